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

const NOW: i64 = 1_800_000_000;

fn read(yaml: &str) -> SignalSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn signal(yaml: &str) -> Signal {
    compile(&read(yaml), &Presets::default(), None).unwrap()
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
        let timestamp = NOW as f64;
        Sample { labels, point: Point { timestamp, value: value.parse().unwrap() } }
    };
    QueryResult::Vector(samples.iter().map(sample).collect())
}

/// The value of an object in namespace shop with these pods.
fn value(yaml: &str, results: &[QueryResult], name: &str, pods: &[&str]) -> Result<f64, Missing> {
    let signal = signal(yaml);
    let queries = signal.queries(&Scope::default()).unwrap();
    assert_eq!(queries.len(), results.len(), "{queries:?}");
    let tables: Vec<_> =
        queries.iter().zip(results).map(|(query, result)| Table::new(&query.labels, result)).collect();
    let tables: Vec<_> = tables.iter().collect();
    let pods = |each: &mut dyn FnMut(&str)| pods.iter().for_each(|pod| each(pod));
    let object = Object { namespace: "shop", name, pods: &pods };
    let now = Timestamp::from_second(NOW).unwrap();
    let point = signal.value(&tables, &object, &mut State::default(), now)?;
    assert_eq!(point.timestamp, NOW as f64);
    Ok(point.value)
}

const ISTIO_RATE: &str = "{metric: rps, on: deployments.apps, requestRate: {preset: istio, window: 1m}}";
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
