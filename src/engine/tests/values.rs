//! Which objects are asked for, and which sample is whose value.

use super::*;

/// Asks each time.
fn engine_of(inventory: FakeInventory, config_text: &str) -> FakeEngine {
    engine_with(inventory, config_text, Duration::ZERO)
}

fn with_compat(switches: &str) -> String {
    CONFIG.replace("metricsQuery:", &format!("compat: {{{switches}}}\n  metricsQuery:"))
}

#[tokio::test]
async fn objects_are_chosen_from_the_inventory() {
    let pods_there = [("web-0", "web"), ("web-1", "web"), ("api-0", "api")];
    let engine = engine_of(FakeInventory::of(&pods_there), CONFIG);
    let query = r#"requests{namespace="shop",pod=~"web-0|web-1"}"#;
    engine.backend().answer(
        query,
        vector(&[
            sample(&[("pod", "web-1")], 7.0),
            sample(&[("pod", "web-0")], 1.5),
            sample(&[("pod", "stranger")], 9.0),
        ]),
    );
    assert_eq!(
        values(&engine, &pods("app=web")).await,
        Ok(pairs(&[("web-0", "1500m"), ("web-1", "7")]))
    );
    assert_eq!(
        message(&engine, &pods("app=db")).await,
        "no pods match the selector app=db in namespace shop"
    );
    assert_eq!(
        message(&engine, &object_demand("services", Target::Selected(Selector::default()))).await,
        "cannot list services: the API server answered 403"
    );
}

#[tokio::test]
async fn without_an_inventory_objects_are_those_that_the_series_name() {
    let engine = engine_of(FakeInventory::default(), CONFIG);
    engine.backend().answer(
        r#"requests{namespace="shop"}"#,
        vector(&[
            sample(&[("pod", "b")], 2.0),
            sample(&[("pod", "a")], 1.0),
            sample(&[("instance", "nobody")], 3.0),
        ]),
    );
    assert_eq!(values(&engine, &pods("")).await, Ok(pairs(&[("a", "1"), ("b", "2")])));
    assert_eq!(
        message(&engine, &pods("app=web")).await,
        "labelSelector needs to know the labels of pods: give --objects with what \
         `kubectl get pods -A -o yaml` prints"
    );
}

#[tokio::test]
async fn two_samples_for_one_object_are_an_error_unless_the_last_one_wins() {
    let query = r#"requests{namespace="shop",pod="web-0"}"#;
    let samples = vector(&[
        sample(&[("pod", "web-0"), ("zone", "a")], 1.0),
        sample(&[("pod", "web-0"), ("zone", "b")], 2.0),
        sample(&[("pod", "web-0"), ("zone", "c")], 3.0),
    ]);
    let engine = engine_of(FakeInventory::default(), CONFIG);
    engine.backend().answer(query, samples.clone());
    assert_eq!(
        message(&engine, &pod("web-0")).await,
        "rules[0] found 3 values for web-0: {pod=\"web-0\",zone=\"a\"} and \
         {pod=\"web-0\",zone=\"b\"}; aggregate them with `by (<<.GroupBy>>)`, or set \
         `compat: {lastSampleWins: true}` on the rule"
    );
    let engine = engine_of(FakeInventory::default(), &with_compat("lastSampleWins: true"));
    engine.backend().answer(query, samples);
    assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "3")])));
}

/// The values of the pods `n00`, `n01`, … whose samples are these numbers.
async fn served(config_text: &str, numbers: &[f64]) -> Vec<Option<String>> {
    let engine = engine_of(FakeInventory::default(), config_text);
    let names: Vec<_> = (0..numbers.len()).map(|index| format!("n{index:02}")).collect();
    let samples: Vec<_> =
        names.iter().zip(numbers).map(|(name, value)| sample(&[("pod", name)], *value)).collect();
    engine.backend().answer(r#"requests{namespace="shop"}"#, vector(&samples));
    let values = values(&engine, &pods("")).await.unwrap();
    let find = |name| values.iter().find(|(other, _)| other == name).map(|(_, it)| it.clone());
    names.iter().map(find).collect()
}

#[tokio::test]
async fn infinities_and_overflow_are_missing_data_and_nan_is_zero_where_the_rule_says_so() {
    let numbers = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300, -1e300, 9e15, -9e15];
    let some = |text: &str| Some(text.to_owned());
    let expected = [None, None, None, None, None, some("9P"), some("-9P")];
    assert_eq!(served(&with_compat("nanAsZero: false"), &numbers).await, expected);
    assert_eq!(served(CONFIG, &numbers).await[0], some("0"));
}

#[tokio::test]
async fn digits_past_the_thousandths_are_cut_off_unless_the_rule_rounds_up() {
    let numbers = [0.3, 0.1 + 0.2, 1e-12, -0.0005];
    let texts = |texts: [&str; 4]| texts.map(|text| Some(text.to_owned()));
    assert_eq!(served(CONFIG, &numbers).await, texts(["300m", "300m", "0", "0"]));
    let rounded = served(&with_compat("roundUp: true"), &numbers).await;
    assert_eq!(rounded, texts(["300m", "301m", "1m", "-1m"]));
}

#[tokio::test]
async fn an_external_metric_has_no_nan_no_overflow_and_no_negative_number() {
    let samples = vector(&[
        sample(&[("a", "nan")], f64::NAN),
        sample(&[("a", "inf")], f64::INFINITY),
        sample(&[("a", "huge")], 1e300),
        sample(&[("a", "negative")], -3.0),
        sample(&[("a", "good")], 40.0),
        sample(&[], 2.0),
    ]);
    let of = async |config_text: &str| {
        let engine = engine_of(FakeInventory::default(), config_text);
        engine.backend().answer("depth{}", samples.clone());
        values(&engine, &external("depth")).await.unwrap()
    };
    let good = ("a=good", "40");
    assert_eq!(of(CONFIG).await, pairs(&[("", "2"), good]));
    let negative = with_compat("negativeExternal: true");
    assert_eq!(of(&negative).await, pairs(&[("", "2"), good, ("a=negative", "-3")]));
}

#[tokio::test]
async fn an_external_metric_with_a_series_twice_is_not_added_up() {
    let engine = engine_of(FakeInventory::default(), CONFIG);
    let twice = [sample(&[("a", "b")], 1.0), sample(&[], 1.0), sample(&[("a", "b")], 2.0)];
    engine.backend().answer("depth{}", vector(&twice));
    assert_eq!(
        message(&engine, &external("depth")).await,
        r#"externalRules[0] cannot use what the backend answered: it has the series {a="b"} twice"#
    );
}

#[tokio::test]
async fn the_sum_of_an_external_metric_stays_in_what_the_controller_can_add_up() {
    let of = async |numbers: [f64; 3]| {
        let engine = engine_of(FakeInventory::default(), &with_compat("negativeExternal: true"));
        let [a, b, c] = numbers.map(|number| number * 1e15);
        let samples =
            [("a", a), ("b", b), ("c", c)].map(|(name, it)| sample(&[("queue", name)], it));
        engine.backend().answer("depth{}", vector(&samples));
        let evaluation = engine.answer(&external("depth")).await.unwrap();
        external_answer(&evaluation.answer).values.iter().map(|it| it.value.0).collect::<Vec<_>>()
    };
    let share = i64::MAX / 1000 * 1000 / 3;
    let one = 1_000_000_000_000_000_000;
    assert_eq!(of([7.0, 1.0, 1.0]).await, [7 * one, one, one]);
    assert_eq!(of([9.0, 9.0, 1.0]).await, [share, share, one]);
    assert_eq!(of([-9.0, 9.0, -9.0]).await, [-share, share, -share]);
}

#[tokio::test]
async fn a_scalar_is_a_value_of_no_labels_and_none_of_an_object() {
    let engine = engine_of(FakeInventory::default(), CONFIG);
    let scalar = Ok(QueryResult::Scalar(sample(&[], 4.0).point));
    engine.backend().answer("depth{}", scalar.clone());
    let query = r#"requests{namespace="shop",pod="web-0"}"#;
    engine.backend().answer(query, scalar);
    assert_eq!(values(&engine, &external("depth")).await, Ok(pairs(&[("", "4")])));
    assert_eq!(
        message(&engine, &pod("web-0")).await,
        format!(
            "rules[0] cannot use what Prometheus answered: a scalar names no object; a metric of \
             objects needs a vector ({query})"
        )
    );
}

#[tokio::test]
async fn a_named_object_without_a_value_is_told_why() {
    let config_text = with_compat("nanAsZero: false");
    let of = async |samples: &[Sample]| {
        let engine = engine_of(FakeInventory::default(), &config_text);
        engine.backend().answer(r#"requests{namespace="shop",pod="web-0"}"#, vector(samples));
        message(&engine, &pod("web-0")).await
    };
    let labels: &[_] = &[("pod", "web-0")];
    assert_eq!(of(&[]).await, "rules[0] has no sample that names pod web-0");
    assert_eq!(
        of(&[aged(labels, 1.0, 302.0)]).await,
        "the sample that rules[0] has for pod web-0 is older than 5 minutes"
    );
    let said = "rules[0] computes NaN for pod web-0, which no quantity can say";
    assert_eq!(of(&[sample(labels, f64::NAN)]).await, said);
}

#[tokio::test]
async fn a_sample_past_the_look_back_of_prometheus_is_no_value() {
    let engine = engine_of(FakeInventory::default(), CONFIG);
    let (old, young) = (aged(&[("pod", "a")], 1.0, 302.0), aged(&[("pod", "b")], 2.0, 290.0));
    engine.backend().answer(r#"requests{namespace="shop"}"#, vector(&[old, young.clone()]));
    let evaluation = engine.answer(&pods("")).await.unwrap();
    let values = &custom_answer(&evaluation.answer).values;
    let found: Vec<_> = values.iter().map(|it| (&*it.name, it.timestamp)).collect();
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds")]
    let expected = young.point.timestamp as i64;
    assert_eq!(found, [("b", expected)]);
}

#[tokio::test]
async fn an_unknown_metric_is_answered_with_the_names_nearest_to_it() {
    let engine = engine_of(FakeInventory::default(), CONFIG);
    let requests = |resource: &str, metric: &str, namespace: Option<&str>| {
        Demand::Custom(CustomDemand {
            resource: GroupResource::parse(resource),
            namespace: namespace.map(str::to_owned),
            target: Target::Named("x".to_owned()),
            metric: metric.to_owned(),
            metric_selector: Selector::default(),
        })
    };
    let shop = Some("shop");
    let cases = [
        (requests("pods", "request", shop), "no rule serves it; the nearest names are requests"),
        (
            requests("pods", "zzz", shop),
            "no rule serves it; pods have no metric with a name like it",
        ),
        (
            requests("nodes", "requests", None),
            "it is served for namespaces, pods, services, since its series carry no label that \
             names nodes",
        ),
        (requests("unicorns", "requests", shop), "there is no resource unicorns in this cluster"),
        (
            requests("pods", "requests", None),
            "pods are in a namespace: ask under /namespaces/NAMESPACE/",
        ),
        (
            requests("nodes", "requests", shop),
            "nodes are in no namespace: ask without /namespaces/NAMESPACE",
        ),
        (external("depths"), "no rule serves it; the nearest names are depth"),
        (external("zzz"), "no external rule serves it"),
    ];
    for (demand, expected) in cases {
        assert_eq!(message(&engine, &demand).await, expected);
    }
}
