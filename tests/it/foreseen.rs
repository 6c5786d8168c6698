//! What autoscalers will ask for is there before they ask, and what is wrong with it is told to
//! them: through the binary, against a fake API server and a real one where there is one.

use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::kubectl::Kubectl;
use crate::support::kubernetes::{FakeKubernetes, resource};
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const AUTOSCALERS: &str = "/apis/autoscaling/v2/horizontalpodautoscalers";
const PODS: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/*/requests";

const CONFIG: &str = "
rules:
- seriesQuery: requests
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
";

fn autoscaler() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "shop", "name": "web", "uid": "u1"},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
            "maxReplicas": 9,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": "requests"},
                "target": {"type": "AverageValue", "averageValue": "10"},
            }}],
        },
    })
}

async fn prometheus() -> FakePrometheus {
    let prometheus = FakePrometheus::start().await;
    let series = json!([{"__name__": "requests", "namespace": "shop", "pod": "web-0"}]);
    prometheus.answer("requests", Answer::data(&series));
    prometheus.answer_all(good());
    prometheus
}

fn good() -> Answer {
    let now = jiff::Timestamp::now().as_second();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in an f64")]
    let now = now as f64;
    Answer::vector(&[(json!({"namespace": "shop", "pod": "web-0"}), now, "3")])
}

fn queries(prometheus: &FakePrometheus) -> usize {
    let requests = prometheus.requests();
    requests.iter().filter(|request| request.path.ends_with("/query")).count()
}

/// An API server with an autoscaler and its pod.
async fn kubernetes(users: &Authority) -> FakeKubernetes {
    let kubernetes = FakeKubernetes::start().await;
    kubernetes.add_kind("", "v1", &resource("namespaces", "Namespace", &["ns"], "Cluster"));
    let kind =
        resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", &["hpa"], "Namespaced");
    kubernetes.add_kind("autoscaling", "v2", &kind);
    kubernetes.put_whole(AUTOSCALERS, autoscaler());
    kubernetes.put("/api/v1/pods", "shop", "web-0", &[("app", "web")]);
    kubernetes.publish_authentication(&[("client-ca-file", &users.pem)]);
    kubernetes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_process_is_ready_when_it_can_answer_the_autoscalers_without_a_question() {
    let users = Authority::new();
    let (kubernetes, prometheus) = (kubernetes(&users).await, prometheus().await);
    let url = prometheus.url().to_string();
    let start = Start {
        config: CONFIG,
        prometheus: &url,
        kubeconfig: &kubernetes.kubeconfig(),
        flags: &["--refresh-interval=10m"],
        ..Start::default()
    };
    let plimsoll = Plimsoll::start(start).await;
    let (asked, listed) = (queries(&prometheus), kubernetes.requests("/api/v1/pods").len());
    assert_eq!(asked, 1, "{:?}", prometheus.requests());
    let client = plimsoll.client().with_certificate(&users.client("hpa", "", |_| ()));
    let answer = client.get(PODS).await;
    assert_eq!((answer.status, &answer.json()["items"][0]["value"]), (200, &json!("3")));
    assert_eq!(queries(&prometheus), asked);
    assert_eq!(kubernetes.requests("/api/v1/pods").len(), listed);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_does_not_wait_for_ever_for_a_backend_or_an_api_server_that_hangs() {
    let users = Authority::new();
    let (kubernetes, prometheus) = (kubernetes(&users).await, prometheus().await);
    let url = prometheus.url().to_string();
    for hangs in ["backend", "API server"] {
        if hangs == "backend" {
            prometheus.answer_all(Answer::Stall);
        } else {
            prometheus.answer_all(good());
            kubernetes.stall(AUTOSCALERS, true);
        }
        let plimsoll = Plimsoll::start_unready(&Start {
            config: CONFIG,
            prometheus: &url,
            kubeconfig: &kubernetes.kubeconfig(),
            ..Start::default()
        });
        let client = plimsoll.client();
        let ready = async || client.get("/readyz?verbose").await;
        wait_until("all is there but what is asked for", async || {
            ready().await.text().contains("[+]discovery ok\n[-]autoscalers failed")
        })
        .await;
        wait_until("it is ready", async || ready().await.status == 200).await;
    }
}

/// Type, reason, count and note of each of our Events.
async fn told(kubectl: &Kubectl) -> Vec<String> {
    let list = kubectl.json("get events.events.k8s.io -n shop -o json").await;
    let ours = list["items"].as_array().unwrap().iter();
    let ours = ours.filter(|event| event["reportingController"] == "plimsoll.dev/plimsoll");
    let line = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        let count = event["series"]["count"].as_i64().unwrap_or(1);
        format!("{} {} {count} {}", text("type"), text("reason"), text("note"))
    };
    let mut lines: Vec<_> = ours.map(line).collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replicas_tell_an_autoscaler_once_that_its_metric_fails_and_that_it_is_back() {
    let name = "two_replicas_tell_an_autoscaler_once_that_its_metric_fails_and_that_it_is_back";
    let Some(plane) = ControlPlane::start(name).await else { return };
    let kubeconfig = plane.kubeconfig("lab");
    let Some(kubectl) = Kubectl::new(&kubeconfig) else { return };
    kubectl.run("create namespace shop").await;
    kubectl.create(&autoscaler().to_string()).await;
    let prometheus = prometheus().await;
    let url = prometheus.url().to_string();
    let authority = Authority::new();
    let pair = authority.issue_for(&["plimsoll.plimsoll.svc", "127.0.0.1"]);
    let chain = pair.cert + &authority.pem;
    let start = async || {
        Plimsoll::start(Start {
            config: CONFIG,
            prometheus: &url,
            kubeconfig: &kubeconfig,
            files: &[("apiserver.crt", &chain), ("apiserver.key", &pair.key)],
            flags: &[
                "--service=default/plimsoll",
                "--tls-cert-file={dir}/apiserver.crt",
                "--tls-private-key-file={dir}/apiserver.key",
                "--refresh-interval=1s",
            ],
            ..Start::default()
        })
        .await
    };
    let _replicas = [start().await, start().await];

    prometheus.answer_all(Answer::error(422, "execution", "too many samples"));
    let mut expected = vec![format!(
        "Warning PlimsollMetricUnavailable 1 pods/requests: backend default ({}:{}): Prometheus \
         answered 422 execution: too many samples (asked by rules[0]: \
         sum(requests{{namespace=\"shop\"}}) by (namespace,pod))",
        prometheus.url().host_str().unwrap(),
        prometheus.url().port().unwrap(),
    )];
    wait_until("the failure is told", async || told(&kubectl).await == expected).await;
    prometheus.answer_all(good());
    expected.insert(
        0,
        "Normal PlimsollMetricAvailable 1 pods/requests: it has a value again".to_owned(),
    );
    wait_until("the end of it is told", async || told(&kubectl).await == expected).await;
    let described = kubectl.run("describe hpa web -n shop").await;
    assert!(described.contains("PlimsollMetricUnavailable"), "{described}");
}
