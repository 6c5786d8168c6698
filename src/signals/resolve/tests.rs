use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::model::custom::ResourceVersion;

fn object(namespace: &str, name: &str, created: i64, spec: Value) -> Arc<CustomObject> {
    Arc::new(CustomObject {
        namespace: namespace.into(),
        name: name.into(),
        uid: format!("{namespace}/{name}").into(),
        generation: 1,
        created: Timestamp::from_second(created).ok(),
        resource_version: ResourceVersion::default(),
        spec: Ok(Arc::new(spec)),
    })
}

fn objects(list: &[Arc<CustomObject>]) -> Arc<Objects<CustomObject>> {
    let mut objects = Objects::default();
    for object in list {
        objects.insert(&object.namespace, Arc::clone(object));
    }
    Arc::new(objects)
}

fn rate(metric: &str) -> Value {
    json!({"metric": metric, "on": "pods", "requestRate": {"series": "x_total"}})
}

fn sum(metric: &str, of: &str) -> Value {
    let inputs = json!({"a": {"metric": of}});
    json!({"metric": metric, "on": "pods", "composite": {"inputs": inputs, "expression": "a"}})
}

fn declared(
    file: &[Value],
    cluster: &[Arc<CustomObject>],
    namespaced: &[Arc<CustomObject>],
) -> Declared {
    let presets = Arc::new(Presets::default());
    let signals = (0..).zip(file).map(|(index, spec)| {
        let spec = serde_json::from_value(spec.clone()).unwrap();
        Arc::new(compile(&format!("signals[{index}]"), &spec, &presets, None).unwrap())
    });
    let file = signals.collect();
    Declared { file, presets, cluster: objects(cluster), namespaced: objects(namespaced) }
}

/// The origins of what is served, and what is told to each resource.
fn outcome(resolved: &Resolved) -> (Vec<&str>, Vec<String>) {
    let served = resolved.signals.iter().map(|signal| signal.origin.as_str()).collect();
    let told = resolved.verdicts.iter().map(|Verdict { kind, object, outcome, note }| {
        let outcome = match outcome {
            Ok(_) => note.clone(),
            Err(Refusal::Invalid(what)) => format!("invalid: {what}"),
            Err(Refusal::NameTaken(what)) => format!("taken: {what}"),
        };
        format!("{} {}: {outcome}", kind.kind(), object.name)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    (served, told)
}

#[test]
fn the_nearest_and_then_the_oldest_wins_and_the_losers_are_told() {
    let declared = declared(
        &[rate("all"), rate("some"), rate("mine")],
        &[object("", "some", 1, rate("some")), object("", "later", 2, rate("some"))],
        &[
            object("shop", "some", 3, rate("some")),
            object("shop", "b", 2, rate("mine")),
            object("shop", "a", 2, rate("mine")),
            object("bank", "mine", 9, rate("mine")),
        ],
    );
    let resolved = Resolver::default().resolve(&declared);
    let (served, told) = outcome(&resolved);
    assert_eq!(
        served,
        [
            "Signal bank/mine",
            "Signal shop/a",
            "Signal shop/some",
            "ClusterSignal some",
            "signals[0]",
            "signals[2]"
        ]
    );
    let taken = |kind, owner, metric| {
        format!(
            "taken: the older {kind} {owner} has the metric {metric} on pods: choose another name, \
             or delete one of them"
        )
    };
    assert_eq!(
        told,
        [
            format!("ClusterSignal later: {}", taken("ClusterSignal", "some", "some")),
            "ClusterSignal some: a Signal of this metric is served instead in the namespace shop"
                .to_owned(),
            "Signal a: ".to_owned(),
            format!("Signal b: {}", taken("Signal", "a", "mine")),
            "Signal mine: ".to_owned(),
            "Signal some: ".to_owned(),
        ]
    );
    assert_eq!(
        resolved.lost,
        [
            "signals[1]: ClusterSignal some has the metric some on pods",
            "signals[2]: a Signal of this metric is served instead in the namespace bank, shop",
        ]
    );
    let confined = |signal: &Arc<Signal>| signal.namespace.as_deref().map(str::to_owned);
    let seen: Vec<_> = resolved.signals.iter().map(confined).collect();
    assert_eq!(seen[..3], ["bank", "shop", "shop"].map(|it| Some(it.to_owned())));
    assert_eq!(seen[3..], [None, None, None]);
}

#[test]
fn what_cannot_be_is_told_and_harms_nothing_else() {
    let declared = declared(
        &[rate("base")],
        &[object("", "bad", 1, json!({"metric": "base", "on": "pods", "cpus": {}}))],
        &[
            object("shop", "sum", 1, sum("sum", "base")),
            object("shop", "over", 1, sum("over", "sum")),
            object("shop", "lost", 1, sum("lost", "nowhere")),
            object("shop", "loop", 1, sum("loop", "loop")),
            object("shop", "none", 1, json!({"metric": "m", "on": "pods"})),
        ],
    );
    let resolved = Resolver::default().resolve(&declared);
    let (served, told) = outcome(&resolved);
    assert_eq!(served, ["Signal shop/over", "Signal shop/sum", "signals[0]"]);
    assert!(
        told[0].starts_with("ClusterSignal bad: invalid: spec.cpus: unknown field"),
        "{told:?}"
    );
    assert_eq!(
        told[1..3],
        [
            "Signal loop: invalid: spec.composite.inputs.a.metric: the signal \"loop\" needs this \
             one in turn",
            "Signal lost: invalid: spec.composite.inputs.a.metric: there is no other signal \
             \"nowhere\" on pods",
        ]
    );
    assert!(told[3].starts_with("Signal none: invalid: spec: it has no kind"), "{told:?}");
}

#[test]
fn what_has_not_changed_stays_the_same_one() {
    let mut resolver = Resolver::default();
    let cluster = [object("", "a", 1, rate("a")), object("", "b", 1, sum("b", "a"))];
    let mut declared = declared(&[], &cluster, &[]);
    let before = resolver.resolve(&declared).signals;
    declared.namespaced = objects(&[object("shop", "c", 1, sum("c", "b"))]);
    let after = resolver.resolve(&declared).signals;
    assert_eq!(after.len(), 3);
    assert!(before.iter().zip(&after[1..]).all(|(one, other)| Arc::ptr_eq(one, other)));
}
