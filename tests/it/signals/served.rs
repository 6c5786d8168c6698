//! Signals from end to end: a real Prometheus with known traffic of the present, the real binary,
//! and what an HPA gets when it asks.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::traffic::series_at;
use crate::support::client::Client;
use crate::support::kubernetes::{FakeKubernetes, resource};
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::real_prometheus::RealPrometheus;

/// How long before and after the start of the test there is traffic, in seconds.
const SPAN: [i32; 2] = [-600, 900];

/// What `kubectl get -o yaml` prints, shortened.
const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Namespace, metadata: {name: shop}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: idle, namespace: shop}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: empty, namespace: shop}}
- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-7d9, namespace: shop,
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: a, controller: true}]}}
- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: idle-5c4, namespace: shop,
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: idle, uid: b, controller: true}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-7d9-aaaaa, namespace: shop, labels: {app: web},
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d9, uid: c, controller: true}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-7d9-bbbbb, namespace: shop, labels: {app: web},
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d9, uid: c, controller: true}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-7d9-new, namespace: shop, labels: {app: web},
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d9, uid: c, controller: true}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: idle-5c4-ccccc, namespace: shop, labels: {app: idle},
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: idle-5c4, uid: d, controller: true}]}}
- {apiVersion: v1, kind: Service, metadata: {name: front, namespace: shop},
    spec: {selector: {app: web}}}
";

const CONFIG: &str = "
presets: [http]
signals:
- metric: pressure
  on: deployments.apps
  composite:
    inputs:
      rps: {metric: requests_per_second}
      errors: {errorRatio: {preset: http, minimumRate: 100}}
      p95: {latencyQuantile: {preset: http, quantile: 0.95}, noData: {policy: constant, value: 0}}
    expression: 'errors > 0.5 ? rps / 100 : max(rps / 10, p95 / 100)'
- metric: failing
  on: deployments.apps
  errorRatio: {preset: http, minimumRate: 100}
- metric: clock
  on: deployments.apps
  schedule: {default: 3, windows: [{from: '00:00', to: '00:00', value: 7}]}
- metric: depth
  on: external
  query: {promql: 'sum(queue_depth{<<.LabelMatchers>>}) by (<<.GroupBy>>)'}
- metric: replicas
  on: deployments.apps
  decision: {preset: http, max: 10}
- metric: turns
  on: rollouts.argoproj.io
  requestRate: {series: rollout_requests_total, labels: {object: rollout}}
";

/// Two pods of a Deployment answer 10 and 20 requests per second, of which 1 fails, within half a
/// second; a third has no series yet. Another Deployment answers none.
fn traffic() -> String {
    let now = Timestamp::now().as_second();
    let mut text = String::from("# TYPE http_requests counter\n");
    let mut one = |name: &str, rate: f64| {
        series_at(&mut text, now, name, SPAN, &|at| rate * (at + 3600.0));
    };
    for (pod, code, rate) in [
        ("web-7d9-aaaaa", "200", 9.0),
        ("web-7d9-aaaaa", "500", 1.0),
        ("web-7d9-bbbbb", "200", 20.0),
        ("idle-5c4-ccccc", "200", 0.0),
    ] {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\",code=\"{code}\"");
        one(&format!("http_requests_total{{{labels}}}"), rate);
    }
    text.push_str("# TYPE http_request_duration_seconds histogram\n");
    let mut one = |name: &str, rate: f64| {
        series_at(&mut text, now, name, SPAN, &|at| rate * (at + 3600.0));
    };
    for (pod, fast, all) in [("web-7d9-aaaaa", 10.0, 10.0), ("web-7d9-bbbbb", 5.0, 20.0)] {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\"");
        for (bound, rate) in [("0.25", 0.0), ("0.5", fast), ("1", all), ("+Inf", all)] {
            let name = format!("http_request_duration_seconds_bucket{{{labels},le=\"{bound}\"}}");
            one(&name, rate);
        }
        one(&format!("http_request_duration_seconds_count{{{labels}}}"), all);
        one(&format!("http_request_duration_seconds_sum{{{labels}}}"), all);
    }
    resources(&mut text, now);
    text.push_str("# TYPE queue_depth gauge\n");
    series_at(&mut text, now, "queue_depth{namespace=\"shop\"}", SPAN, &|_| 12.0);
    text.push_str("# TYPE rollout_requests counter\n");
    let name = "rollout_requests_total{namespace=\"shop\",rollout=\"blue\"}";
    series_at(&mut text, now, name, SPAN, &|at| 5.0 * (at + 3600.0));
    text + "# EOF\n"
}

/// Both pods use 0.9 of the one core that they asked for.
fn resources(text: &mut String, now: i64) {
    let pods = ["web-7d9-aaaaa", "web-7d9-bbbbb"];
    text.push_str("# TYPE container_cpu_usage_seconds counter\n");
    for pod in pods {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\",container=\"app\"");
        let name = format!("container_cpu_usage_seconds_total{{{labels}}}");
        series_at(text, now, &name, SPAN, &|at| 0.9 * (at + 3600.0));
    }
    text.push_str("# TYPE kube_pod_container_resource_requests gauge\n");
    for pod in pods {
        let labels = format!("namespace=\"shop\",pod=\"{pod}\",container=\"app\",resource=\"cpu\"");
        let name = format!("kube_pod_container_resource_requests{{{labels}}}");
        series_at(text, now, &name, SPAN, &|_| 1.0);
    }
}

/// The values of an answer by the names of their objects, or the message of the error.
async fn values(client: &Client, path: &str) -> Value {
    read(&client.get(path).await.body)
}

fn read(body: &[u8]) -> Value {
    let body: Value = serde_json::from_slice(body).unwrap();
    let Some(items) = body["items"].as_array() else { return body["message"].clone() };
    let item = |item: &Value| {
        let name = item["describedObject"]["name"].as_str().unwrap_or_default();
        format!("{name}={}", item["value"].as_str().unwrap())
    };
    json!(items.iter().map(item).collect::<Vec<_>>().join(" "))
}

fn custom(rest: &str) -> String {
    format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/{rest}")
}

fn external(rest: &str) -> String {
    format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hpa_gets_what_is_declared_for_workloads_services_and_pods() {
    let Some(prometheus) = RealPrometheus::start(&traffic()) else { return };
    let url = prometheus.url();
    let start =
        Start { config: CONFIG, objects: OBJECTS, prometheus: url.as_str(), ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    let cases = [
        (custom("deployments.apps/web/requests_per_second"), "web=30"),
        (custom("services/front/requests_per_second"), "front=30"),
        (
            custom("pods/*/requests_per_second?labelSelector=app%3Dweb"),
            "web-7d9-aaaaa=10 web-7d9-bbbbb=20",
        ),
        (custom("deployments.apps/*/requests_per_second"), "idle=0 web=30"),
        (custom("metrics/requests_per_second"), "shop=30"),
        // 1 of 30; half of all within half a second, the others evenly up to a second.
        (custom("deployments.apps/web/error_ratio"), "web=34m"),
        (custom("deployments.apps/web/latency_p95_seconds"), "web=950m"),
        (custom("deployments.apps/web/pressure"), "web=3"),
        (custom("deployments.apps/idle/pressure"), "idle=0"),
        // No error ratio of fewer than 100 requests per second, and none of no requests.
        (custom("deployments.apps/web/failing"), "web=0"),
        (custom("deployments.apps/idle/error_ratio"), "idle=0"),
        (custom("deployments.apps/empty/clock"), "empty=7"),
        (external("depth"), "=12"),
        (
            custom("deployments.apps/idle/latency_p95_seconds"),
            "the server could not find the metric latency_p95_seconds for deployments.apps idle: \
             presets[0] (http) has no value for deployment idle: there is no sample of response \
             times for it in the window",
        ),
        (
            custom("deployments.apps/empty/pressure"),
            "the server could not find the metric pressure for deployments.apps empty: signals[0] \
             has no value for deployment empty: input `errors`: there is no sample of requests \
             for it in the window",
        ),
        (
            custom("deployments.apps/gone/requests_per_second"),
            "the server could not find the metric requests_per_second for deployments.apps gone: \
             presets[0] (http) has no sample that names deployment gone",
        ),
        (
            custom("deployments.apps/web/request_per_second"),
            "the server could not find the metric request_per_second for deployments.apps web: no \
             rule serves it; the nearest names are requests_per_second",
        ),
        // 3 pods, of which 2 use 0.9 of a core, where 0.8 is the line.
        (custom("deployments.apps/web/replicas"), "web=4"),
    ];
    let mut wrong = Vec::new();
    for (path, expected) in cases {
        let found = values(&client, &path).await;
        if found != expected {
            wrong.push(format!("{path}: {found}, not {expected}"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    the_decision_is_explained(&client).await;
}

async fn the_decision_is_explained(client: &Client) {
    let path = "/apis/insight.plimsoll.dev/v1alpha1/namespaces/shop/decisions/web.replicas";
    let decision: Value = serde_json::from_slice(&client.get(path).await.body).unwrap();
    let status = &decision["status"];
    let said = json!([status["pods"], status["replicas"], status["action"], status["reason"]]);
    assert_eq!(said, json!([3, 4, "Up", "cpu 0.9 is above 0.8"]), "{decision}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_an_inventory_objects_are_those_that_the_labels_name() {
    let Some(prometheus) = RealPrometheus::start(&traffic()) else { return };
    let url = prometheus.url();
    let config = "
presets: [http]
signals:
- {metric: turns, on: deployments.apps, requestRate: {series: rollout_requests_total, labels: {object: rollout}}}
- {metric: clock, on: deployments.apps, schedule: {windows: [{from: '00:00', to: '00:00', value: 7}]}}
";
    let start = Start { config, prometheus: url.as_str(), ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    let asked = [
        custom("deployments.apps/blue/turns"),
        custom("deployments.apps/*/turns"),
        custom("pods/web-7d9-aaaaa/requests_per_second"),
        custom("metrics/requests_per_second"),
        custom("deployments.apps/any/clock"),
    ];
    let mut found = Vec::new();
    for path in &asked {
        found.push(values(&client, path).await);
    }
    assert_eq!(found, ["blue=5", "blue=5", "web-7d9-aaaaa=10", "shop=30", "any=7"]);
    let workload = values(&client, &custom("deployments.apps/web/requests_per_second")).await;
    assert_eq!(
        workload,
        "the series name pods, and which of them belong to deployments.apps is not known: give \
         --objects with what `kubectl get pods,replicasets,jobs,services,deployments.apps -A -o \
         yaml` prints"
    );
}

/// The same objects in a cluster, where they are watched from the first request on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_a_cluster_the_pods_of_an_object_are_followed() {
    let Some(prometheus) = RealPrometheus::start(&traffic()) else { return };
    let kubernetes = FakeKubernetes::start().await;
    let core = resource("services", "Service", &["svc"], "Namespaced");
    kubernetes.add_kind("", "v1", &core);
    kubernetes.add_kind("apps", "v1", &resource("replicasets", "ReplicaSet", &[], "Namespaced"));
    let objects: Value = serde_saphyr::from_str(OBJECTS).unwrap();
    for object in objects["items"].as_array().unwrap() {
        let path = match object["kind"].as_str().unwrap() {
            "Pod" => "/api/v1/pods",
            "Service" => "/api/v1/services",
            "ReplicaSet" => "/apis/apps/v1/replicasets",
            "Deployment" => "/apis/apps/v1/deployments",
            _ => continue,
        };
        kubernetes.put_whole(path, object.clone());
    }
    kubernetes.add_token("token", json!({"username": "hpa", "groups": ["system:authenticated"]}));
    let (url, kubeconfig) = (prometheus.url(), kubernetes.kubeconfig());
    let (prometheus, flags) = (url.as_str(), ["--refresh-interval=1s"]);
    let start = Start {
        config: CONFIG,
        prometheus,
        kubeconfig: &kubeconfig,
        flags: &flags,
        ..Start::default()
    };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    let ask = async |path: &str| {
        let answer = client.get_with(path, &[("authorization", "Bearer token")]).await;
        read(&answer.body)
    };
    let deployment = custom("deployments.apps/web/requests_per_second");
    let found = [
        ask(&deployment).await,
        ask(&custom("services/front/requests_per_second")).await,
        ask(&custom("deployments.apps/web/replicas")).await,
        ask(&custom("deployments.apps/gone/requests_per_second")).await,
    ];
    assert_eq!(found[..3], ["web=30", "front=30", "web=4"]);
    assert!(found[3].as_str().unwrap().contains("no sample that names deployment gone"));
    kubernetes.delete("/api/v1/pods", "shop", "web-7d9-aaaaa");
    wait_until("a pod that is gone counts no more", async || ask(&deployment).await == "web=20")
        .await;
}

/// The section of the README that declares signals, with a Deployment of its name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_signals_of_the_readme_are_what_its_hpa_asks_for() {
    let section = include_str!("../../../README.md").split("\n## ");
    let section = section.into_iter().find(|text| text.starts_with("Declare a signal")).unwrap();
    let blocks: Vec<&str> = section.split("```yaml\n").skip(1).collect();
    let blocks: Vec<&str> = blocks.iter().map(|block| block.split("```").next().unwrap()).collect();
    let [config, hpa] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    let hpa: Value = serde_saphyr::from_str(hpa).unwrap();
    let metric = &hpa["spec"]["metrics"][0]["object"];
    let (name, metric) = (&metric["describedObject"]["name"], &metric["metric"]["name"]);
    let path =
        |metric: &str| custom(&format!("deployments.apps/{}/{metric}", name.as_str().unwrap()));

    let named = |text: &str| {
        text.replace("web-7d9", "checkout-7d9").replace("name: web,", "name: checkout,")
    };
    let Some(prometheus) = RealPrometheus::start(&named(&traffic())) else { return };
    let (url, objects) = (prometheus.url(), named(OBJECTS));
    let start = Start { config, objects: &objects, prometheus: url.as_str(), ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    // 0.95 s over 0.3 s is more than 30 requests per second over 100.
    assert_eq!(values(&client, &path(metric.as_str().unwrap())).await, "checkout=3167m");
    assert_eq!(values(&client, &path("checkout_replicas")).await, "checkout=4");
    let forecast = values(&client, &path("requests_in_half_an_hour")).await;
    assert!(forecast.as_str().unwrap().contains("points of the past are missing"), "{forecast}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_signal_that_changes_is_served_as_it_is_now() {
    let Some(prometheus) = RealPrometheus::start(&traffic()) else { return };
    let url = prometheus.url();
    let config = |factor: u8| {
        format!(
            "signals: [{{metric: depth, on: external, query: {{promql: \
            'sum(queue_depth{{<<.LabelMatchers>>}}) by (<<.GroupBy>>) * {factor}'}}}}]"
        )
    };
    let flags = ["--config-poll-interval=100ms", "--refresh-interval=1s"];
    let (text, prometheus) = (config(1), url.as_str());
    let start = Start { config: &text, prometheus, flags: &flags, ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    assert_eq!(values(&client, &external("depth")).await, "=12");
    plimsoll.replace("config.yaml", &config(2));
    let path = external("depth");
    wait_until("it is twice as much", async || values(&client, &path).await == "=24").await;
}
