//! Signals between a fake backend and a fake inventory.

use super::*;
use crate::engine::catalog::Source;
use crate::signals::compile::compile;
use crate::signals::preset::Presets;
use crate::signals::signal::Signal;

/// A signal on pods that is declared somewhere, for one namespace or for all.
fn signal(origin: &str, series: &str, namespace: Option<&str>) -> Arc<Signal> {
    let yaml = format!("{{metric: requests, on: pods, requestRate: {{series: {series}}}}}");
    let spec = serde_saphyr::from_str(&yaml).unwrap();
    Arc::new(compile(origin, &spec, &Presets::default(), namespace).unwrap())
}

#[test]
fn the_first_signal_wins_in_its_namespace_and_over_a_rule_and_the_losers_are_told() {
    let signals = [
        signal("Signal shop/own", "a_total", Some("shop")),
        signal("ClusterSignal all", "b_total", None),
        signal("signals[0]", "c_total", None),
    ];
    let labels: &[&str] = &["namespace", "pod"];
    let catalog = catalog(&config(CONFIG), &[("requests", labels)], &[]).with_signals(&signals);
    let pods = GroupResource::parse("pods");
    let pods = catalog.kinds().resolve(&pods).unwrap();
    let origin = |namespace| match catalog.custom(pods, "requests", Some(namespace)) {
        Some(Source::Signal(signal)) => signal.origin.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!([origin("shop"), origin("bank")], ["Signal shop/own", "ClusterSignal all"]);
    let listed: Vec<_> = catalog.custom_metrics().filter(|(_, kind)| *kind == &**pods).collect();
    assert_eq!(listed.len(), 1);
    let mut problems = catalog.problems().to_vec();
    problems.retain(|problem| problem.starts_with("pods/requests"));
    assert_eq!(
        problems,
        [
            "pods/requests comes from rules[0] and from the signal ClusterSignal all; the latter \
             is served",
            "pods/requests is declared by ClusterSignal all and by signals[0]; the former is served",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn each_namespace_is_answered_by_its_own_signal() {
    let engine = engine();
    let labels: &[&str] = &["namespace", "pod"];
    let signals = [signal("own", "a_total", Some("shop")), signal("all", "b_total", None)];
    let catalog = catalog(&config(CONFIG), &[("requests", labels)], &[]).with_signals(&signals);
    engine.publish_catalog(catalog);
    let value = |namespace: &'static str, name: &'static str, value| {
        sample(&[("namespace", namespace), ("pod", name)], value)
    };
    let own = "sum by (namespace, pod) (rate(a_total{namespace=\"shop\"}[120s]))";
    engine.backend().answer(own, vector(&[value("shop", "web", 1.0), value("bank", "web", 9.0)]));
    let all = "sum by (namespace, pod) (rate(b_total{namespace=\"bank\"}[120s]))";
    engine.backend().answer(all, vector(&[value("bank", "web", 2.0)]));
    let mut found = Vec::new();
    for namespace in ["shop", "bank"] {
        let Demand::Custom(demand) = pod("web") else { panic!("a demand for pods") };
        let namespace = Some(namespace.to_owned());
        let evaluation =
            engine.answer(&Demand::Custom(CustomDemand { namespace, ..demand })).await.unwrap();
        found.push(custom_answer(&evaluation.answer).values[0].value.0);
    }
    assert_eq!(found, [1000, 2000]);
}
