//! The whole way: a real Prometheus with known data, the binary, and kubectl.

use std::fmt::Write as _;
use std::process::Command;

use jiff::Timestamp;
use serde_json::Value;

use crate::support::installed::is_installed;
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::real_prometheus::RealPrometheus;

const CONFIG: &str = r#"
rules:
- seriesQuery: '{__name__=~"^http_requests_total$|^orders_total$"}'
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  resources: {template: "<<.Resource>>"}
  metricsQuery: 'sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)'
- seriesQuery: node_load
  resources: {overrides: {instance: {resource: node}}}
  metricsQuery: 'avg(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)'
externalRules:
- seriesQuery: queue_depth
  resources: {namespaced: false}
  metricsQuery: 'max(<<.Series>>{<<.LabelMatchers>>}) by (queue)'
"#;

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: shop, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: api-0, namespace: shop, labels: {app: api}}}
- {apiVersion: v1, kind: Node, metadata: {name: node-a}}
- {apiVersion: v1, kind: Node, metadata: {name: node-b}}
";

/// Series for ten minutes around now, a sample every 15 s: counters of known rates, and levels.
fn data() -> String {
    let now = Timestamp::now().as_second();
    let times = || (now - 600..=now + 600).step_by(15);
    let mut text = String::new();
    let mut family = |name: &str, kind: &str, series: &[(&str, i64)]| {
        writeln!(text, "# TYPE {name} {kind}").unwrap();
        let suffix = if kind == "counter" { "_total" } else { "" };
        for (labels, number) in series {
            for time in times() {
                // A counter rises by so many thousandths in each second.
                let value = if kind == "counter" { number * (time - now + 600) } else { *number };
                let (whole, rest) = (value / 1000, value % 1000);
                writeln!(text, "{name}{suffix}{{{labels}}} {whole}.{rest:03} {time}").unwrap();
            }
        }
    };
    let requests = [
        (r#"namespace="shop",pod="web-0",service="web",code="200""#, 1_500),
        (r#"namespace="shop",pod="web-1",service="web",code="200""#, 6_000),
        (r#"namespace="shop",pod="web-1",service="web",code="500""#, 1_000),
        (r#"namespace="shop",pod="api-0",service="api",code="200""#, 250),
        (r#"namespace="other",pod="web-0",service="web",code="200""#, 99_000),
    ];
    family("http_requests", "counter", &requests);
    family("orders", "counter", &[(r#"namespace="shop""#, 30_000)]);
    family("node_load", "gauge", &[(r#"instance="node-a""#, 500), (r#"instance="node-b""#, 2_000)]);
    family("queue_depth", "gauge", &[(r#"queue="a""#, 40_000), (r#"queue="b""#, 2_000)]);
    text + "# EOF\n"
}

/// Runs `kubectl get --raw`; the JSON, or what it says of the error.
fn kubectl(plimsoll: &Plimsoll, path: &str) -> Result<Value, String> {
    let output = Command::new("kubectl")
        // Without a token it asks for a user name. Standalone takes everyone for an admin.
        .args(["get", "--raw", path, "--token=any"])
        .arg(format!("--server=https://{}", plimsoll.secure))
        .arg(format!("--certificate-authority={}", plimsoll.path("apiserver.crt")))
        .env("KUBECONFIG", "/dev/null")
        .output()
        .unwrap();
    if output.status.success() {
        return Ok(serde_json::from_slice(&output.stdout).unwrap());
    }
    Err(String::from_utf8(output.stderr).unwrap())
}

/// Name or labels of each item, and its value in thousandths.
#[track_caller]
fn values(list: &Value) -> Vec<(String, i64)> {
    let value = |text: &str| match text.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<i64>().unwrap(),
        None => text.parse::<i64>().unwrap() * 1000,
    };
    let items = list["items"].as_array().unwrap().iter();
    items
        .map(|item| {
            let name = match &item["describedObject"] {
                Value::Null => item["metricLabels"].to_string(),
                object => format!("{} {}", object["kind"], object["name"]).replace('"', ""),
            };
            (name, value(item["value"].as_str().unwrap()))
        })
        .collect()
}

/// A rate is extrapolated, and its last digit cut off.
#[track_caller]
fn check(list: &Value, expected: &[(&str, i64)]) {
    let found = values(list);
    let near = |(found, expected): (&(String, i64), &(&str, i64))| {
        found.0 == expected.0 && (found.1 - expected.1).abs() <= 1
    };
    let all = found.len() == expected.len() && found.iter().zip(expected).all(near);
    assert!(all, "{found:?} is not {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_gets_known_values_of_every_kind_from_a_real_prometheus() {
    if !is_installed("kubectl", &["options"]) {
        return;
    }
    let Some(prometheus) = RealPrometheus::start(&data()) else { return };
    let url = prometheus.url().to_string();
    let start = Start { config: CONFIG, objects: OBJECTS, prometheus: &url, ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let custom = |version: &str, path: &str| {
        let path = format!("/apis/custom.metrics.k8s.io/{version}{path}");
        kubectl(&plimsoll, &path).unwrap()
    };

    for version in ["v1beta1", "v1beta2"] {
        let pods = "/namespaces/shop/pods/*/http_requests_per_second?labelSelector=app%3Dweb";
        let expected = [("Pod web-0", 1_500), ("Pod web-1", 7_000)];
        check(&custom(version, pods), &expected);
        let good = format!("{pods}&metricLabelSelector=code%21%3D500");
        check(&custom(version, &good), &[("Pod web-0", 1_500), ("Pod web-1", 6_000)]);
        let object = "/namespaces/shop/services/web/http_requests_per_second";
        check(&custom(version, object), &[("Service web", 8_500)]);
        let namespace = "/namespaces/shop/metrics/orders_per_second";
        check(&custom(version, namespace), &[("Namespace shop", 30_000)]);
        let nodes = "/nodes/*/node_load";
        check(&custom(version, nodes), &[("Node node-a", 500), ("Node node-b", 2_000)]);
        check(&custom(version, "/nodes/node-b/node_load"), &[("Node node-b", 2_000)]);
    }
    let external = |path: &str| {
        let path = format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/{path}");
        kubectl(&plimsoll, &path)
    };
    let (a, b) = ((r#"{"queue":"a"}"#, 40_000), (r#"{"queue":"b"}"#, 2_000));
    check(&external("queue_depth").unwrap(), &[a, b]);
    check(&external("queue_depth?labelSelector=queue%20in%20(b)").unwrap(), &[b]);
    assert_eq!(
        external("queue_dept").unwrap_err(),
        "Error from server (NotFound): the server could not find the external metric queue_dept: \
         no rule serves it; the nearest names are queue_depth\n"
    );
    let list = custom("v1beta2", "");
    let names = list["resources"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|resource| resource["name"].as_str().unwrap()).collect();
    let expected = [
        "namespaces/http_requests_per_second",
        "namespaces/orders_per_second",
        "nodes/node_load",
        "pods/http_requests_per_second",
        "services/http_requests_per_second",
    ];
    assert_eq!(names, expected);
}
