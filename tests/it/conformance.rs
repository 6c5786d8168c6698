//! The conformance cases of the wire specification that need no cluster, against the real binary:
//! one test each, named by its number and sentence.
//!
//! A client of the aggregator's kind asks `plimsoll serve --standalone`, which has the fixture of
//! the cases: pods web-0 (1.5) and web-1 (7) in namespace default, and the external `queue_depth`
//! with the series a=1 (40) and a=2 (2). What a case says of identities and of
//! `SubjectAccessReview`s belongs to the tests with a cluster.

mod custom;
mod discovery;
mod errors;
mod external;
mod lifecycle;
mod negotiation;
mod openapi;
mod values;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::client::{Answer, Client};
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::{self, FakePrometheus};

const C1: &str = "/apis/custom.metrics.k8s.io/v1beta1";
const C2: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const E: &str = "/apis/external.metrics.k8s.io/v1beta1";
const INSIGHT: &str = "/apis/insight.plimsoll.dev/v1alpha1";

/// What the aggregator of Kubernetes 1.36 accepts from `/apis` (`handler_discovery.go` of
/// kube-aggregator).
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json";

/// The pods of the fixture, as a path writes them.
const PODS: &str = "/namespaces/default/pods/%2A/http_requests?labelSelector=app%3Dweb";

/// Rates of requests, levels of whatever objects there are, and queues.
const CONFIG: &str = r#"
rules:
- seriesQuery: http_requests
  resources: {template: "<<.Resource>>"}
  metricsQuery: "sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m])) by (<<.GroupBy>>)"
- seriesQuery: '{kind="level"}'
  resources: {template: "<<.Resource>>"}
  metricsQuery: "<<.Series>>{<<.LabelMatchers>>}"
- seriesQuery: odd
  name: {as: "ns:rate.5m-total"}
  resources: {template: "<<.Resource>>"}
  metricsQuery: "<<.Series>>{<<.LabelMatchers>>}"
- seriesQuery: spaced
  name: {as: "a b"}
  resources: {template: "<<.Resource>>"}
  metricsQuery: "<<.Series>>{<<.LabelMatchers>>}"
externalRules:
- seriesQuery: '{kind="queue"}'
  resources: {namespaced: false}
  metricsQuery: "<<.Series>>{<<.LabelMatchers>>}"
- seriesQuery: long_queue
  name: {as: Queue_Length}
  resources: {namespaced: false}
  metricsQuery: "max_over_time(<<.Series>>{<<.LabelMatchers>>}[2m])"
"#;

const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: default, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: default, labels: {app: web}}}
- {apiVersion: v1, kind: Pod, metadata: {name: idle-0, namespace: default, labels: {app: idle}}}
- {apiVersion: v1, kind: Service, metadata: {name: web, namespace: default}}
- {apiVersion: v1, kind: Node, metadata: {name: n1}}
- {apiVersion: v1, kind: Node, metadata: {name: n2}}
";

/// The binary with a fake Prometheus behind it.
struct Lab {
    prometheus: FakePrometheus,
    plimsoll: Plimsoll,
    client: Client,
}

/// How the binary differs from the one of the fixture.
#[derive(Clone, Copy)]
struct Setup<'a> {
    config: &'a str,
    objects: &'a str,
    flags: &'a [&'a str],
}

impl Default for Setup<'_> {
    fn default() -> Self {
        Self { config: CONFIG, objects: OBJECTS, flags: &[] }
    }
}

impl Lab {
    /// The fixture.
    async fn start() -> Self {
        Self::with(Setup::default()).await
    }

    /// Something like the fixture.
    async fn with(setup: Setup<'_>) -> Self {
        let prometheus = FakePrometheus::start().await;
        script(&prometheus);
        Self::on(prometheus, setup).await
    }

    /// With a Prometheus that answers something else.
    async fn on(prometheus: FakePrometheus, setup: Setup<'_>) -> Self {
        let url = prometheus.url().to_string();
        let Setup { config, objects, flags } = setup;
        // The fake knows queries by their text; merged ones are for tests of the engine.
        let flags: Vec<&str> = flags.iter().copied().chain(["--merge=false"]).collect();
        let start = Start { config, objects, prometheus: &url, flags: &flags, ..Start::default() };
        let plimsoll = Plimsoll::start(start).await;
        let client = plimsoll.client();
        Self { prometheus, plimsoll, client }
    }

    /// `GET` of group version and rest of the path.
    async fn get(&self, version: &str, rest: &str) -> Answer {
        self.client.get(&format!("{version}{rest}")).await
    }

    async fn get_with(&self, target: &str, header: (&str, &str)) -> Answer {
        self.client.get_with(target, &[header]).await
    }
}

/// What the fake Prometheus knows.
fn script(prometheus: &FakePrometheus) {
    let list = |selector: &str, series: &[Value]| {
        prometheus.answer(selector, prometheus::Answer::data(&json!(series)));
    };
    let series = |name: &str, labels: &[&str]| {
        let mut series = json!({"__name__": name});
        for label in labels {
            series[label] = json!("x");
        }
        series
    };
    list("http_requests", &[series("http_requests", &["namespace", "pod"])]);
    list(
        r#"{kind="level"}"#,
        &[
            series("hits", &["namespace", "service", "deployment"]),
            series("load", &["node"]),
            series("orders", &["namespace"]),
            series("numbers", &["namespace", "pod"]),
        ],
    );
    list("odd", &[series("odd", &["namespace", "pod"])]);
    list("spaced", &[series("spaced", &["namespace", "pod"])]);
    list(r#"{kind="queue"}"#, &[series("queue_depth", &["a"]), series("debts", &["a"])]);
    list("long_queue", &[series("long_queue", &["a"])]);

    let web = [(json!({"pod": "web-0"}), "1.5"), (json!({"pod": "web-1"}), "7")];
    answer(prometheus, &rate(r#"namespace="default",pod=~"web-0|web-1""#), &web);
    answer(prometheus, &rate(r#"namespace="default",pod="web-0""#), &web[..1]);
    for matchers in [r#"service="web""#, r#"deployment="web""#] {
        let (label, _) = matchers.split_once('=').unwrap();
        let hits = format!(r#"hits{{namespace="default",{matchers}}}"#);
        answer(prometheus, &hits, &[(json!({label: "web"}), "12")]);
    }
    let nodes = [(json!({"node": "n1"}), "0.5"), (json!({"node": "n2"}), "2")];
    answer(prometheus, r#"load{node=~"n1|n2"}"#, &nodes);
    answer(prometheus, r#"load{node="n1"}"#, &nodes[..1]);
    let orders = [(json!({"namespace": "default"}), "30")];
    answer(prometheus, r#"orders{namespace="default"}"#, &orders);
    for name in ["odd", "spaced"] {
        let query = format!(r#"{name}{{namespace="default",pod="web-0"}}"#);
        answer(prometheus, &query, &web[..1]);
    }
    let queues = [(json!({"a": "2"}), "2"), (json!({"a": "1"}), "40")];
    answer(prometheus, "queue_depth{}", &queues);
    answer(prometheus, r#"queue_depth{a="1"}"#, &queues[1..]);
    answer(prometheus, r#"queue_depth{a="3"}"#, &[]);
    answer(prometheus, "max_over_time(long_queue{}[2m])", &queues);
}

/// The query of `http_requests` with these matchers.
fn rate(matchers: &str) -> String {
    format!("sum(rate(http_requests{{{matchers}}}[1m])) by (pod)")
}

/// Answers a query with samples of this moment.
fn answer(prometheus: &FakePrometheus, query: &str, samples: &[(Value, &str)]) {
    prometheus.answer(query, vector(samples, 0));
}

/// Samples of some seconds ago.
fn vector(samples: &[(Value, &str)], age: i64) -> prometheus::Answer {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    let time = (Timestamp::now().as_second() - age) as f64;
    let samples: Vec<_> =
        samples.iter().map(|(labels, value)| (labels.clone(), time, *value)).collect();
    prometheus::Answer::vector(&samples)
}

/// Names of the objects, or of the labels, and values of an answer's items.
#[track_caller]
fn items(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let list = answer.json();
    let items = list["items"].as_array().expect("items is an array");
    let name = |item: &Value| {
        if let Value::String(name) = &item["describedObject"]["name"] {
            return name.clone();
        }
        let labels: BTreeMap<String, String> =
            serde_json::from_value(item["metricLabels"].clone()).unwrap();
        let labels: Vec<_> = labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        labels.join(",")
    };
    items.iter().map(|item| (name(item), item["value"].as_str().unwrap().to_owned())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Checks that an answer is a `Status` through and through, and returns its message.
#[track_caller]
fn status(answer: &Answer, code: u16, reason: &str) -> String {
    let body = answer.json();
    let status = json!({
        "http": answer.status, "contentType": answer.header("content-type"), "kind": body["kind"],
        "apiVersion": body["apiVersion"], "status": body["status"], "reason": body["reason"],
        "code": body["code"], "retryAfter": answer.headers.contains_key("retry-after"),
        "retryAfterSeconds": body["details"]["retryAfterSeconds"],
    });
    let expected = json!({
        "http": code, "contentType": "application/json", "kind": "Status", "apiVersion": "v1",
        "status": "Failure", "reason": reason, "code": code, "retryAfter": false,
        "retryAfterSeconds": null,
    });
    assert_eq!(status, expected, "{}", answer.text());
    let message = body["message"].as_str().unwrap().to_owned();
    assert!(!message.is_empty());
    message
}
