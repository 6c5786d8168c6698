//! Signals against a real Prometheus with traffic whose true rates, ratios and quantiles are known,
//! and their definitions against a real API server.

mod declared;
mod foreseen;
mod resources;
mod served;
mod traffic;

use jiff::Timestamp;
use plimsoll::model::value::QueryResult;
use plimsoll::prometheus::{Client, Settings, Terms};
use plimsoll::signals::compile::compile;
use plimsoll::signals::preset::Presets;
use plimsoll::signals::query::Scope;
use plimsoll::signals::signal::{Object, State};
use plimsoll::signals::table::Table;
use plimsoll::telemetry::metrics::Metrics;

use crate::support::real_prometheus::RealPrometheus;
use traffic::{NOW, data};

fn client(prometheus: &RealPrometheus) -> Client {
    Client::new(Settings::new(prometheus.url()), Metrics::new().backend("b")).unwrap()
}

/// What a signal says of an object of namespace shop with these pods, or of namespace other.
async fn value(client: &Client, signal: &str, name: &str, pods: &[&str]) -> Result<f64, String> {
    let spec = serde_saphyr::from_str(signal).unwrap();
    let signal = compile("test", &spec, &Presets::default(), None).unwrap();
    let now = Timestamp::from_second(NOW).unwrap();
    let scope = Scope { namespaces: Some(&["shop", "other"]), matchers: "" };
    let queries = signal.queries(&scope).unwrap();
    let mut results: Vec<QueryResult> = Vec::new();
    for query in &queries {
        results.push(client.query(&query.promql, now, &Terms::default()).await.unwrap());
    }
    let tables: Vec<_> = queries
        .iter()
        .zip(&results)
        .map(|(query, result)| Table::new(&query.labels, result))
        .collect();
    let tables: Vec<_> = tables.iter().collect();
    let each = |see: &mut dyn FnMut(&str)| pods.iter().for_each(|pod| see(pod));
    let namespace = if name == "other" { "" } else { "shop" };
    let object = Object { namespace, name, pods: &each };
    let point = signal.value(&tables, &object, &mut State::default(), now);
    // Far below what any autoscaler sees, far above what rounding does.
    point.map(|point| (point.value * 1e9).round() / 1e9).map_err(|missing| missing.to_string())
}

const RATE: &str = "{metric: m, on: deployments.apps, requestRate: {preset: http}}";
const POD_RATE: &str = "{metric: m, on: pods, requestRate: {preset: http}}";
const ERRORS: &str = "{metric: m, on: deployments.apps, errorRatio: {preset: http}}";
const QUIET_ERRORS: &str =
    "{metric: m, on: deployments.apps, errorRatio: {preset: http, minimumRate: 1}}";
const MEDIAN: &str =
    "{metric: m, on: deployments.apps, latencyQuantile: {preset: http, quantile: 0.5}}";
const POD_MEDIAN: &str = "{metric: m, on: pods, latencyQuantile: {preset: http, quantile: 0.5}}";
const AVERAGE: &str = "{metric: m, on: deployments.apps, latencyAverage: {preset: http}}";
const CPU: &str = "{metric: m, on: statefulsets.apps, cpu: {}}";
const MEMORY: &str = "{metric: m, on: statefulsets.apps, memory: {against: limits}}";
const BUSY: &str = "{metric: m, on: services, saturation: {preset: http, capacity: {perPod: 10}}}";
const QUEUE: &str = "{metric: m, on: deployments.apps, query: {promql: \
    'sum(depth{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}}";
const EVERYTHING: &str = "{metric: m, on: namespaces, requestRate: {preset: http}}";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_tells_the_truth_about_known_traffic() {
    let Some(prometheus) = RealPrometheus::start(&data()) else {
        return;
    };
    let client = client(&prometheus);
    let no_requests = Err("there is no sample of requests for it in the window");
    let not_finite = Err("its samples are not finite numbers");
    let cases: &[(&str, &[&str], Result<f64, &str>)] = &[
        // A counter that was reset, a pod that has only started and one that nobody asks for.
        (RATE, &["web-1"], Ok(10.5)),
        (RATE, &["web-1", "web-2"], Ok(30.5)),
        (RATE, &["web-1", "web-2", "new"], Ok(34.25)),
        (RATE, &["idle"], Ok(0.0)),
        (RATE, &["one"], Ok(0.008_333_333)),
        (RATE, &["nan"], not_finite),
        (RATE, &["nan", "web-1"], Ok(10.5)),
        (RATE, &["unknown"], no_requests),
        (RATE, &[], no_requests),
        // It was there for half of the window; the end of a series is known to half a scrape.
        (POD_RATE, &["dead"], Ok(4.5)),
        (ERRORS, &["web-1", "web-2"], Ok(0.016_393_443)),
        (ERRORS, &["web-2"], Ok(0.0)),
        (ERRORS, &["idle"], Ok(0.0)),
        (ERRORS, &["one"], Ok(1.0)),
        (QUIET_ERRORS, &["one"], Ok(0.0)),
        (QUIET_ERRORS, &["web-1"], Ok(0.047_619_048)),
        (ERRORS, &["unknown"], no_requests),
        (MEDIAN, &["fast"], Ok(0.083_333_333)),
        (MEDIAN, &["slow"], Ok(0.75)),
        (MEDIAN, &["fast", "slow"], Ok(0.545_454_545)),
        (MEDIAN, &["infinite"], Ok(1.0)),
        (MEDIAN, &["still"], Err("there was no request in the window")),
        (
            MEDIAN,
            &["blind"],
            Err("the histogram has no bucket but le=\"+Inf\", so that no quantile can be told"),
        ),
        (POD_MEDIAN, &["slow"], Ok(0.75)),
        (POD_MEDIAN, &["infinite"], Ok(1.0)),
        (
            POD_MEDIAN,
            &["still"],
            Err("there was no request in the window, or the histogram has no finite bucket"),
        ),
        (AVERAGE, &["fast", "slow"], Ok(0.4)),
        (AVERAGE, &["still"], Err("there was no request in the window")),
        (CPU, &["db-0", "db-1"], Ok(0.5)),
        (
            CPU,
            &["db-0", "db-2"],
            Err("db-2 has usage but no request, so that there is nothing to divide by"),
        ),
        (MEMORY, &["db-0"], Ok(0.25)),
        (BUSY, &["web-1", "web-2"], Ok(0.6)),
        (QUEUE, &[], Ok(12.0)),
    ];
    let mut wrong = Vec::new();
    for (signal, pods, expected) in cases {
        let name = if signal.contains("on: pods") { pods[0] } else { "worker" };
        let found = value(&client, signal, name, pods).await;
        if found.as_ref().map(|it| *it).map_err(String::as_str) != *expected {
            wrong.push(format!("{signal} of {pods:?}: {found:?}, not {expected:?}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert_eq!(value(&client, EVERYTHING, "other", &[]).await, Ok(7.0));
}

/// Prometheus' own function is asked what the merged buckets are, and has to agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quantiles_of_merged_buckets_are_those_of_prometheus() {
    let Some(prometheus) = RealPrometheus::start(&data()) else {
        return;
    };
    let client = client(&prometheus);
    for part in [0.01, 0.3, 0.5, 0.75, 0.95, 0.99, 1.0] {
        let promql = format!(
            "histogram_quantile({part}, sum by (le) \
             (rate(http_request_duration_seconds_bucket{{pod=~\"fast|slow|infinite\"}}[2m])))"
        );
        let now = Timestamp::from_second(NOW).unwrap();
        let QueryResult::Vector(samples) =
            client.query(&promql, now, &Terms::default()).await.unwrap()
        else {
            panic!("a vector");
        };
        let signal = format!(
            "{{metric: m, on: deployments.apps, latencyQuantile: {{preset: http, quantile: {part}}}}}"
        );
        let found = value(&client, &signal, "web", &["fast", "slow", "infinite"]).await;
        let expected = (samples[0].point.value * 1e9).round() / 1e9;
        assert_eq!(found, Ok(expected), "{part}");
    }
}
