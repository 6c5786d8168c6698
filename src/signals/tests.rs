//! From a definition to queries, and from results to values.

use jiff::Timestamp;

use crate::model::value::{Labels, Point, QueryResult, Sample};
use crate::signals::compile::compile;
use crate::signals::definition::SignalSpec;
use crate::signals::missing::Missing;
use crate::signals::preset::Presets;
use crate::signals::query::Scope;
use crate::signals::signal::{Object, Signal, State};
use crate::signals::table::Table;

const NOW: i32 = 1_800_000_000;

fn read(yaml: &str) -> SignalSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn signal(yaml: &str) -> Signal {
    compile("test", &read(yaml), &Presets::default(), None).unwrap()
}

fn queries(yaml: &str) -> Vec<String> {
    let scope = Scope { namespaces: Some(&["shop"]), matchers: "" };
    signal(yaml).queries(&scope).unwrap().into_iter().map(|query| query.promql).collect()
}

/// `a=b,c=d value` for each sample.
fn vector(samples: &[&str]) -> QueryResult {
    let sample = |text: &&str| {
        let (labels, value) = text.rsplit_once(' ').unwrap();
        let labels: Labels = labels.split(',').map(|it| it.split_once('=').unwrap()).collect();
        let timestamp = f64::from(NOW);
        Sample { labels, point: Point { timestamp, value: value.parse().unwrap() } }
    };
    QueryResult::Vector(samples.iter().map(sample).collect())
}

/// The value of an object in namespace shop with these pods.
fn value(yaml: &str, results: &[QueryResult], name: &str, pods: &[&str]) -> Result<f64, Missing> {
    let signal = signal(yaml);
    let queries = signal.queries(&Scope::default()).unwrap();
    assert_eq!(queries.len(), results.len(), "{queries:?}");
    let tables: Vec<_> = queries
        .iter()
        .zip(results)
        .map(|(query, result)| Table::new(&query.labels, result))
        .collect();
    let tables: Vec<_> = tables.iter().collect();
    let pods = |each: &mut dyn FnMut(&str)| pods.iter().for_each(|pod| each(pod));
    let object = Object { namespace: "shop", name, pods: &pods };
    let now = Timestamp::from_second(NOW.into()).unwrap();
    let point = signal.value(&tables, &object, &mut State::default(), now)?;
    assert_eq!(point, Point { timestamp: f64::from(NOW), ..point });
    Ok(point.value)
}

const ISTIO_RATE: &str =
    "{metric: rps, on: deployments.apps, requestRate: {preset: istio, window: 1m}}";
const POD_RATE: &str = "{metric: rps, on: deployments.apps, requestRate: {preset: linkerd}}";

#[test]
fn a_request_rate_is_one_sum_for_all_workloads() {
    assert_eq!(
        queries(ISTIO_RATE),
        ["sum by (destination_workload_namespace, destination_workload) \
          (rate(istio_requests_total{destination_workload_namespace=\"shop\",\
          reporter=~\"destination|waypoint\"}[60s]))"]
    );
    let result = vector(&[
        "destination_workload_namespace=shop,destination_workload=web 12.5",
        "destination_workload_namespace=other,destination_workload=web 1",
    ]);
    assert_eq!(value(ISTIO_RATE, std::slice::from_ref(&result), "web", &[]), Ok(12.5));
    let missing = Missing::NoSample { what: "requests" };
    assert_eq!(value(ISTIO_RATE, &[result], "api", &[]), Err(missing));
}

#[test]
fn rates_of_pods_add_up_and_one_that_has_none_does_not_count() {
    assert_eq!(
        queries(POD_RATE),
        ["sum by (namespace, pod) (rate(response_total{namespace=\"shop\",direction=\"inbound\"}\
          [120s]))"]
    );
    let result = vector(&[
        "namespace=shop,pod=web-1 2",
        "namespace=shop,pod=web-2 3",
        "namespace=shop,pod=web-3 NaN",
        "namespace=shop,pod=api-1 100",
        "namespace=other,pod=web-2 100",
    ]);
    let pods = ["web-1", "web-2", "web-3", "web-new"];
    assert_eq!(value(POD_RATE, std::slice::from_ref(&result), "web", &pods), Ok(5.0));
    assert_eq!(value(POD_RATE, &[result], "web", &["web-3"]), Err(Missing::NotFinite));
}

const PRESSURE: &str = "\
metric: pressure
on: deployments.apps
composite:
  inputs:
    rps: {requestRate: {preset: linkerd}}
    errors: {errorRatio: {preset: linkerd, minimumRate: 1}}
    p95: {latencyQuantile: {preset: linkerd, quantile: 0.95}, noData: {policy: constant, value: 0}}
  expression: 'errors > 0.5 ? rps / 100.0 : max(rps / 100.0, p95 / 0.3)'
";

/// Errors, total, buckets and total again, in the order of the inputs' names.
fn pressure(errors: &str, bucket: &str) -> Vec<QueryResult> {
    let total = vector(&["namespace=shop,pod=web-1 30", "namespace=shop,pod=web-2 10"]);
    let buckets = vector(&[
        bucket,
        "namespace=shop,pod=web-1,le=500 40",
        "namespace=shop,pod=web-1,le=+Inf 40",
    ]);
    vec![total.clone(), vector(&[errors]), buckets, total]
}

#[test]
fn a_composite_is_what_its_expression_makes_of_its_inputs() {
    let pods = ["web-1", "web-2"];
    let slow = "namespace=shop,pod=web-1,le=300 0";
    let calm = pressure("namespace=shop,pod=web-1 4", slow);
    // 95 % of what lies between 300 and 500 ms, over 0.3 s.
    let found = value(PRESSURE, &calm, "web", &pods).map(|it| (it * 1e6).round() / 1e6);
    assert_eq!(found, Ok(1.633_333));
    let failing = pressure("namespace=shop,pod=web-1 30", slow);
    assert_eq!(value(PRESSURE, &failing, "web", &pods), Ok(0.4));
    // Without traffic there is no response time, for which its own policy stands in.
    let broken = pressure("namespace=shop,pod=web-1 4", "namespace=shop,pod=web-1,le=300 NaN");
    assert_eq!(value(PRESSURE, &broken, "web", &pods), Ok(0.4));
    let missing = Missing::Input {
        input: "errors".to_owned(),
        cause: Box::new(Missing::NoSample { what: "requests" }),
    };
    assert_eq!(value(PRESSURE, &calm, "web", &["api-1"]), Err(missing));
}

#[test]
fn a_signal_of_one_namespace_asks_for_that_alone_whatever_it_says() {
    let confined = |yaml: &str| compile("test", &read(yaml), &Presets::default(), Some("shop"));
    let query = |yaml: &str| {
        let everywhere = Scope { namespaces: None, matchers: "" };
        let queries = confined(yaml).unwrap().queries(&everywhere).unwrap();
        queries.into_iter().map(|query| query.promql).collect::<Vec<_>>()
    };
    let written = "{metric: m, on: pods, query: {promql: \
        'sum by (<<.GroupBy>>) (x{<<.LabelMatchers>>}) + ignoring(pod) y{namespace=\"bank\"}'}}";
    let [isolated] = query(written).try_into().unwrap();
    assert!(isolated.contains("y{namespace=\"shop\"}"), "{isolated}");
    assert!(!isolated.contains("bank"), "{isolated}");
    assert!(query(ISTIO_RATE)[0].contains("destination_workload_namespace=\"shop\""));
    let refused = [
        "{metric: m, on: pods, requestRate: {series: x, labels: {namespace: app}}}",
        "{metric: m, on: pods, requestRate: {series: x, labels: {namespace: ''}}}",
        "{metric: m, on: deployments.apps, requestRate: {preset: istio, series: x}}",
        "{metric: m, on: services, requestRate: {preset: traefik}}",
        "{metric: m, on: pods, requestRate: {series: x, labels: {namespace: app, object: pod}}}",
    ];
    for yaml in refused {
        let mistakes = confined(yaml).unwrap_err();
        let paths: Vec<_> = mistakes.iter().map(|mistake| mistake.path.as_str()).collect();
        assert_eq!(paths, ["requestRate.labels.namespace"], "{yaml}");
    }
}

#[test]
fn labels_that_hold_several_names_are_taken_apart() {
    let envoy = "{metric: m, on: httproutes.gateway.networking.k8s.io, \
        requestRate: {preset: envoy-gateway}}";
    let routes = vector(&["plimsoll_namespace=shop,plimsoll_object=web 7"]);
    assert_eq!(value(envoy, &[routes], "web", &[]), Ok(7.0));
    let traefik = "{metric: m, on: services, requestRate: {preset: traefik}}";
    let services = vector(&["plimsoll_object=shop-web 7", "plimsoll_object=web 1"]);
    assert_eq!(value(traefik, &[services], "web", &[]), Ok(7.0));
    assert_eq!(
        queries(traefik),
        ["sum by (plimsoll_object) (label_replace(rate(traefik_service_requests_total[120s]), \
          \"plimsoll_object\", \"$1\", \"service\", \"(.+)-[^-@]+@kubernetes.*\"))"]
    );
}

#[test]
fn of_several_series_an_object_has_the_first_counts_for_all_its_pods() {
    let yaml = "{metric: m, on: deployments.apps, latencyAverage: {preset: otel-http}}";
    let of = |variant: u8, pod: &str, value: f64| {
        format!("plimsoll_variant={variant},namespace=shop,pod={pod} {value}")
    };
    let count = [of(1, "old-1", 10.0), of(0, "new-1", 4.0), of(1, "new-1", 50.0)];
    let sum = [of(1, "old-1", 2500.0), of(0, "new-1", 2.0), of(1, "new-1", 1.0)];
    let results = [count, sum].map(|it| vector(&it.each_ref().map(String::as_str)));
    assert_eq!(value(yaml, &results, "old", &["old-1"]), Ok(0.25));
    assert_eq!(value(yaml, &results, "new", &["new-1"]), Ok(0.5));
}
