//! One query for everybody, and answers that are the same as without.

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use super::*;
use crate::engine::failures::{Change, Failures, State};
use crate::model::autoscaler::{Autoscaler, MetricIdentifier, MetricSource, ObjectReference};

const AGGREGATED: &str = "
rules:
- seriesQuery: requests
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: depth
  resources: {template: <<.Resource>>}
  metricsQuery: <<.Series>>{<<.LabelMatchers>>}
";

fn merging(inventory: FakeInventory, config_text: &str) -> FakeEngine {
    start(inventory, config_text, Settings { refresh_interval: REFRESH, merge: true })
}

fn in_namespace(namespace: &str, target: Target) -> Demand {
    let Demand::Custom(demand) = object_demand("pods", target) else { panic!() };
    Demand::Custom(CustomDemand { namespace: Some(namespace.to_owned()), ..demand })
}

fn named(namespace: &str, name: &str) -> Demand {
    in_namespace(namespace, Target::Named(name.to_owned()))
}

fn of(namespace: &str, pod: &str, value: f64) -> Sample {
    sample(&[("namespace", namespace), ("pod", pod)], value)
}

fn together(namespaces: &str) -> String {
    let sign = if namespaces.contains('|') { "=~" } else { "=" };
    format!(r#"sum(requests{{namespace{sign}"{namespaces}"}}) by (namespace,pod)"#)
}

fn refused() -> Result<QueryResult, BackendError> {
    let message = "many-to-many matching not allowed".to_owned();
    Err(failed(Fault::Refused { status: "422 execution".to_owned(), message }))
}

#[tokio::test(start_paused = true)]
async fn one_query_answers_for_all_namespaces_and_objects_that_are_asked_for() {
    let engine = merging(FakeInventory::of(&[("web-0", "web"), ("db-0", "db")]), AGGREGATED);
    let samples =
        [of("a", "x", 1.0), of("b", "x", 2.0), of("shop", "web-0", 3.0), of("shop", "db-0", 4.0)];
    engine.backend().answer(&together("a|b|shop"), vector(&samples));
    let demands =
        [named("a", "x"), named("b", "x"), named("shop", "db-0"), pods("app=web"), pods("")];
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    let expected: [&[_]; 5] = [
        &[("x", "1")],
        &[("x", "2")],
        &[("db-0", "4")],
        &[("web-0", "3")],
        &[("db-0", "4"), ("web-0", "3")],
    ];
    assert_eq!(answers, expected.map(|it| Ok(pairs(it))));
    assert_eq!(engine.backend().asked(), 1);
    sleep(REFRESH + Duration::from_millis(1)).await;
    assert_eq!(engine.backend().asked(), 2, "it is refreshed together");
}

#[tokio::test(start_paused = true)]
async fn many_namespaces_are_asked_for_without_naming_them() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    let namespaces: Vec<_> = (0..1000).map(|index| format!("namespace-{index:03}")).collect();
    let everywhere = r#"sum(requests{namespace=~".+"}) by (namespace,pod)"#;
    let samples: Vec<_> = namespaces.iter().map(|namespace| of(namespace, "x", 1.0)).collect();
    engine.backend().answer(everywhere, vector(&samples));
    let demands: Vec<_> = namespaces.iter().map(|namespace| named(namespace, "x")).collect();
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    assert_eq!(answers, vec![Ok(pairs(&[("x", "1")])); 1000]);
    assert_eq!(engine.backend().asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_whose_data_cannot_be_executed_harms_no_other() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    for namespaces in ["a|b|c", "b|c", "c"] {
        engine.backend().answer(&together(namespaces), refused());
    }
    engine.backend().answer(&together("a"), vector(&[of("a", "x", 1.0)]));
    engine.backend().answer(&together("b"), vector(&[of("b", "x", 2.0)]));
    let alone = |pod: &str| format!(r#"sum(requests{{namespace="c",pod="{pod}"}}) by (pod)"#);
    engine.backend().answer(&alone("x"), refused());
    engine.backend().answer(&alone("y"), vector(&[sample(&[("pod", "y")], 3.0)]));
    let demands = [named("a", "x"), named("b", "x"), named("c", "x"), named("c", "y")];
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    let [a, b, cx, cy] = <[_; 4]>::try_from(answers).unwrap();
    assert_eq!((a, b), (Ok(pairs(&[("x", "1")])), Ok(pairs(&[("x", "2")]))));
    assert!(cx.unwrap_err().to_string().contains("many-to-many"));
    assert_eq!(cy, Ok(pairs(&[("y", "3")])), "nor another object of the namespace");

    engine.backend().answer(&together("a|b|c"), vector(&[of("c", "x", 4.0), of("c", "y", 5.0)]));
    sleep(REFRESH * 2).await;
    assert_eq!(values(&engine, &named("c", "y")).await, Ok(pairs(&[("y", "5")])));
    let asked = engine.backend().asked();
    sleep(REFRESH * 2 + Duration::from_millis(1)).await;
    assert_eq!(values(&engine, &named("c", "x")).await, Ok(pairs(&[("x", "4")])));
    let more = engine.backend().asked() - asked;
    assert!(more <= 6, "what is not needed any more is not asked: {more}");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_large_for_all_is_asked_for_in_halves() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    let too_large = || Err(failed(Fault::TooLarge("it has 3 series, and maxSeries is 2".into())));
    for namespaces in ["a|b|c", "b|c", "c"] {
        engine.backend().answer(&together(namespaces), too_large());
    }
    engine.backend().answer(&together("a"), vector(&[of("a", "x", 1.0)]));
    engine.backend().answer(&together("b"), vector(&[of("b", "x", 2.0)]));
    engine.backend().answer(r#"sum(requests{namespace="c",pod="x"}) by (pod)"#, too_large());
    let demands = ["a", "b", "c"].map(|namespace| named(namespace, "x"));
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    let [a, b, c] = <[_; 3]>::try_from(answers).unwrap();
    assert_eq!((a, b), (Ok(pairs(&[("x", "1")])), Ok(pairs(&[("x", "2")]))));
    assert_eq!(
        c.unwrap_err().to_string(),
        "c/pods/x/requests: backend default: the answer of Prometheus is too large: it has 3 \
         series, and maxSeries is 2 (asked by rules[0]: sum(requests{namespace=\"c\",pod=\"x\"}) \
         by (pod)); let the query aggregate more, or raise that limit of the backend"
    );
}

#[tokio::test(start_paused = true)]
async fn two_samples_for_one_object_harm_it_alone() {
    let engine = merging(FakeInventory::default(), CONFIG);
    let query = r#"requests{namespace=~"a|b"}"#;
    let double = sample(&[("namespace", "a"), ("pod", "x"), ("zone", "2")], 2.0);
    engine
        .backend()
        .answer(query, vector(&[of("a", "x", 1.0), double, of("a", "y", 3.0), of("b", "x", 4.0)]));
    let all = in_namespace("a", Target::Selected(Selector::default()));
    let demands = [named("a", "x"), all, named("a", "y"), named("b", "x")];
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    let is_ambiguous = |answer: &Result<_, Error>| matches!(answer, Err(Error::Ambiguous { .. }));
    assert_eq!(answers.iter().map(is_ambiguous).collect::<Vec<_>>(), [true, true, false, false]);
    assert_eq!(answers[2..], [Ok(pairs(&[("y", "3")])), Ok(pairs(&[("x", "4")]))]);
}

#[tokio::test(start_paused = true)]
async fn what_would_say_something_else_for_several_is_asked_for_each() {
    for query in [
        "sum(<<.Series>>{<<.LabelMatchers>>})",
        "<<.Series>>{pod=~\"<<.LabelValuesByName.pod>>\",<<.LabelMatchers>>}",
        "topk(1, <<.Series>>{<<.LabelMatchers>>})",
        "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<index .GroupBySlice 0>>)",
    ] {
        let text = AGGREGATED.replace(
            "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)",
            &format!("'{query}'"),
        );
        let engine = merging(FakeInventory::default(), &text);
        let demands = [named("a", "x"), named("a", "y"), named("b", "x")];
        join_all(demands.iter().map(|demand| values(&engine, demand))).await;
        assert_eq!(engine.backend().asked(), 3, "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_external_metric_is_asked_for_once_whoever_asks() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    let depth =
        |namespace, queue, value| sample(&[("namespace", namespace), ("queue", queue)], value);
    let query = r#"depth{namespace=~"a|b"}"#;
    engine.backend().answer(query, vector(&[depth("a", "q", 1.0), depth("b", "q", 2.0)]));
    let demand = |namespace: &str| {
        Demand::External(ExternalDemand {
            namespace: namespace.to_owned(),
            metric: "depth".to_owned(),
            selector: Selector::default(),
        })
    };
    let demands = ["a", "b"].map(demand);
    let answers = join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    let expected = [("namespace=a,queue=q", "1"), ("namespace=b,queue=q", "2")];
    assert_eq!(answers, expected.map(|it| Ok(pairs(&[it]))));
    assert_eq!(engine.backend().asked(), 1);

    let engine = merging(FakeInventory::default(), CONFIG);
    let demands = ["a", "b", "c"].map(demand);
    join_all(demands.iter().map(|demand| values(&engine, demand))).await;
    assert_eq!(
        (engine.backend().asked(), engine.backend().last_query()),
        (1, "depth{}".to_owned())
    );
}

fn autoscaler() -> Arc<Autoscaler> {
    let metric = MetricIdentifier { name: "requests".into(), selector: Selector::default() };
    Arc::new(Autoscaler {
        namespace: "shop".into(),
        name: "web".into(),
        uid: "1".into(),
        target: ObjectReference {
            api_version: "apps/v1".into(),
            kind: "Deployment".into(),
            name: "web".into(),
        },
        min_replicas: 1,
        max_replicas: 3,
        metrics: vec![MetricSource::Pods(metric)],
        utilization: Vec::new(),
    })
}

#[tokio::test(start_paused = true)]
async fn what_an_autoscaler_will_ask_for_is_there_before_it_asks() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    engine.backend().answer(&together("shop"), vector(&[of("shop", "web-0", 3.0)]));
    let autoscaler = autoscaler();
    engine.foresee([&autoscaler]);
    assert!(engine.warmed(Instant::now() + Duration::from_secs(5)).await);
    assert_eq!(engine.backend().asked(), 1);
    assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "3")])));
    assert_eq!(engine.backend().asked(), 1);

    sleep(Duration::from_mins(20)).await;
    let asked = engine.backend().asked();
    assert!(asked > 200, "it does not lapse: {asked}");
    engine.foresee([]);
    sleep(REFRESH * 2).await;
    let asked = engine.backend().asked();
    sleep(REFRESH * 10).await;
    assert_eq!(engine.backend().asked(), asked, "with the autoscaler its demand is gone");
}

fn with_policy(policy: &str) -> String {
    AGGREGATED.replace("  metricsQuery", &format!("  noData: {policy}\n  metricsQuery"))
}

#[tokio::test(start_paused = true)]
async fn without_data_a_policy_answers_and_without_a_backend_only_the_last_known_does() {
    for (policy, without_data, without_backend) in [
        ("{policy: error}", None, None),
        ("{policy: zero}", Some("0"), None),
        ("{policy: constant, value: '7'}", Some("7"), None),
        ("{policy: lastKnown, maxAge: 1h}", Some("3"), Some("3")),
    ] {
        let engine = merging(FakeInventory::default(), &with_policy(policy));
        let query = together("shop");
        let next = async |result| {
            engine.backend().answer(&query, result);
            sleep(REFRESH * 2).await;
            values(&engine, &pod("web-0")).await.ok().map(|it| it[0].1.clone())
        };
        values(&engine, &pod("web-0")).await.ok();
        assert_eq!(next(vector(&[of("shop", "web-0", 3.0)])).await.as_deref(), Some("3"));
        assert_eq!(next(vector(&[])).await.as_deref(), without_data, "{policy}");
        let gone = Err(failed(Fault::Unreachable("connection refused".to_owned())));
        assert_eq!(next(gone).await.as_deref(), without_backend, "{policy}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_an_autoscalers_metric_is_told_once_per_change() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    let mut failures = Failures::default();
    engine.foresee([&autoscaler()]);
    let good = || vector(&[of("shop", "web-0", 3.0)]);
    let unreachable = || Err(failed(Fault::Unreachable("refused".to_owned())));
    let (since, until) = (Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH);
    let suspended = || Err(failed(Fault::Suspended { since, until, last: "it".to_owned() }));
    let mut told = Vec::new();
    let steps = [good(), unreachable(), suspended(), unreachable(), refused(), vector(&[]), good()];
    for (step, result) in steps.into_iter().enumerate() {
        engine.backend().answer(&together("shop"), result);
        for _ in 0..2 {
            sleep(REFRESH * 2).await;
            for Change { autoscaler, metric, state } in failures.look(&engine, Timestamp::now()) {
                let message = match state {
                    State::Answered => "answered".to_owned(),
                    State::Outdated(error) => format!("outdated: {error}"),
                    State::Unanswered(error) => {
                        error.to_string().split(" (").next().unwrap().to_owned()
                    }
                };
                told.push(format!("{step} {}/{metric} {message}", autoscaler.name));
            }
        }
    }
    let told: Vec<_> = told.iter().map(String::as_str).collect();
    assert_eq!(
        told,
        [
            "1 web/pods/requests backend default: Prometheus cannot be reached: refused",
            "4 web/pods/requests backend default: Prometheus answered 422 execution: many-to-many \
             matching not allowed",
            "5 web/pods/requests rules[0] has no sample of any pod in the namespace shop",
            "6 web/pods/requests answered",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_is_no_longer_served_is_told_and_one_that_never_was_is_not() {
    let engine = merging(FakeInventory::default(), AGGREGATED);
    engine.backend().answer(&together("shop"), vector(&[of("shop", "web-0", 3.0)]));
    let mut failures = Failures::default();
    let autoscaler = autoscaler();
    for known in [true, false] {
        if known {
            engine.foresee([&autoscaler]);
            sleep(REFRESH).await;
        }
        let told = failures.look(&engine, Timestamp::now());
        engine.publish_catalog(catalog(&config(AGGREGATED), &[], &["depth"]));
        engine.foresee([&autoscaler]);
        let after = failures.look(&engine, Timestamp::now());
        assert_eq!((told.len(), after.len()), (0, usize::from(known)), "{after:?}");
        failures = Failures::default();
    }
}
