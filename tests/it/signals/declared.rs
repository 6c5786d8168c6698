//! Signals that teams declare in a cluster, through the binary and a real API server.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::control_plane::{Authorities, ControlPlane};
use crate::support::kubectl::Kubectl;
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const CONFIG: &str = "signals: [{metric: rps, on: pods, requestRate: {series: file_total}}]";

fn rps(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Signal",
        "metadata": {"namespace": "shop", "name": name}, "spec": spec,
    })
    .to_string()
}

/// Every query for `team_total` finds 7 a second; the file's series has 1. A scrape is 15 s.
async fn prometheus() -> FakePrometheus {
    let prometheus = FakePrometheus::start().await;
    let now = jiff::Timestamp::now().as_second();
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in an f64")]
    let now = now as f64;
    let of = |value| Answer::vector(&[(json!({"namespace": "shop", "pod": "web-0"}), now, value)]);
    prometheus.answer_all(of("7"));
    let selector = r#"{__name__=~"team_total",namespace="shop"}"#;
    let series = json!([{"__name__": "team_total", "namespace": "shop", "pod": "web-0"}]);
    prometheus.answer(selector, Answer::data(&series));
    prometheus.answer(r#"{__name__=~"gone_total",namespace="shop"}"#, Answer::data(&json!([])));
    let lives = format!("{selector} and {selector} offset 600s");
    let interval = format!("600 / max(count_over_time({selector}[600s]) and {lives})");
    prometheus.answer(&interval, Answer::vector(&[(json!({}), now, "15")]));
    prometheus
}

/// Status, reason and message of the condition.
async fn condition(kubectl: &Kubectl, name: &str) -> String {
    let signal = kubectl.json(&format!("get signal {name} -n shop -o json")).await;
    let condition = &signal["status"]["conditions"][0];
    let text = |key: &str| condition[key].as_str().unwrap_or_default().to_owned();
    format!("{} {}: {}", text("status"), text("reason"), text("message"))
}

async fn says(kubectl: &Kubectl, name: &str, expected: &str) {
    wait_until(&format!("{name} says {expected}"), async || {
        condition(kubectl, name).await.starts_with(expected)
    })
    .await;
}

async fn value(client: &Client) -> Value {
    const PODS: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/pods/web-0/rps";
    client.get(PODS).await.json()["items"][0]["value"].clone()
}

async fn start(prometheus: &FakePrometheus, kubeconfig: &str) -> Plimsoll {
    let authority = Authority::new();
    let pair = authority.issue_for(&["plimsoll.plimsoll.svc", "127.0.0.1"]);
    let chain = pair.cert + &authority.pem;
    Plimsoll::start(Start {
        config: CONFIG,
        prometheus: prometheus.url().as_str(),
        kubeconfig,
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
}

#[tokio::test(flavor = "multi_thread")]
async fn a_team_declares_a_signal_sees_its_value_and_what_is_wrong_and_takes_it_back() {
    let name = "a_team_declares_a_signal_sees_its_value_and_what_is_wrong_and_takes_it_back";
    let (front_proxy, users) = (Authority::new(), Authority::new());
    let authorities = Authorities { front_proxy: &front_proxy, users: &users };
    let Some(plane) = ControlPlane::start_secured(name, authorities).await else { return };
    let kubeconfig = plane.kubeconfig("lab");
    let Some(kubectl) = Kubectl::new(&kubeconfig) else { return };
    kubectl.create(&plimsoll::cli::crds::print().unwrap()).await;
    kubectl.run("wait --for=condition=Established crd/signals.plimsoll.dev").await;
    kubectl.run("create namespace shop").await;
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &kubeconfig).await;
    let admin = users.client("admin", "system:masters", |_| ());
    let client = plimsoll.client().with_certificate(&admin);

    // It is refused where the schema can say it, and told in the condition where only we can.
    let both = json!({"metric": "rps", "on": "pods", "requestRate": {}, "errorRatio": {}});
    let refusal = kubectl.attempt("apply -f -", &rps("both", &both)).await.unwrap_err();
    assert!(refusal.contains("exactly one of requestRate, errorRatio"), "{refusal}");
    let rate = |series: &str, window: &str| {
        let rate = json!({"series": series, "window": window});
        json!({"metric": "rps", "on": "pods", "requestRate": rate})
    };
    let apply = async |name: &str, spec: &Value| {
        kubectl.attempt("apply -f -", &rps(name, spec)).await.unwrap();
    };
    apply("rate", &rate("team_total", "a while")).await;
    says(&kubectl, "rate", "False Invalid: spec.requestRate.window: ").await;
    apply("rate", &rate("gone_total", "1m")).await;
    says(&kubectl, "rate", "False BadSeries: there is no series gone_total").await;
    apply("rate", &rate("team_total", "20s")).await;
    says(&kubectl, "rate", "False WindowTooShort: its window of 20s is less than twice").await;
    let elsewhere =
        json!({"metric": "m", "on": "gadgets.example.com", "requestRate": {"series": "x"}});
    apply("elsewhere", &elsewhere).await;
    says(&kubectl, "elsewhere", "False UnknownKind: spec.on: there is no resource").await;

    apply("rate", &rate("team_total", "1m")).await;
    says(&kubectl, "rate", "True Evaluated: it is evaluated").await;
    apply("second", &rate("team_total", "2m")).await;
    says(&kubectl, "second", "False NameTaken: the older Signal rate has the metric rps").await;
    wait_until("the value is in the status", async || {
        let columns = kubectl.run("get signals -n shop --no-headers").await;
        let line = columns.lines().find(|line| line.starts_with("rate ")).unwrap().to_owned();
        let words: Vec<_> = line.split_whitespace().collect();
        words[..5] == ["rate", "rps", "pods", "7", "True"]
    })
    .await;
    let signal = kubectl.json("get signal rate -n shop -o json").await;
    assert!(signal["status"]["lastEvaluated"].is_string(), "{signal}");

    wait_until("its value is served", async || value(&client).await == "7").await;
    let asked = |series: &str| {
        let requests = prometheus.take_requests();
        requests.iter().any(|it| it.parameter("query").is_some_and(|it| it.contains(series)))
    };
    assert!(asked("team_total"));
    kubectl.run("delete signal rate second elsewhere -n shop").await;
    prometheus.take_requests();
    wait_until("the file's is served", async || value(&client).await == "7" && asked("file_total"))
        .await;
    let log = plimsoll.log();
    let lost = "signals[0]: a Signal of this metric is served instead in the namespace shop";
    assert!(log.iter().any(|line| line["message"] == lost), "{log:?}");
}
