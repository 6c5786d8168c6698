//! The section `backends` from the file to the request: who is asked, what a reload changes, and what
//! does not load.

use serde_json::json;

use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const DEPTH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop/depth";

/// A fake whose one series has a value in each namespace.
async fn prometheus(value: &str) -> FakePrometheus {
    let fake = FakePrometheus::start().await;
    fake.answer("depth", Answer::data(&json!([{"__name__": "depth", "namespace": "shop"}])));
    let now = jiff::Timestamp::now().as_second() + 60;
    let sample = (json!({"namespace": "shop"}), 0.0, value);
    let time = f64::from(i32::try_from(now).unwrap());
    fake.answer_all(Answer::vector(&[(sample.0, time, sample.2)]));
    fake
}

fn config(url: &str, more: &str) -> String {
    format!(
        "backends:
  mine: {{urls: ['{url}'], bearerTokenFile: token{more}}}
externalRules:
- backend: mine
  seriesQuery: depth
  resources: {{overrides: {{namespace: {{resource: namespace}}}}}}
  metricsQuery: sum(depth{{<<.LabelMatchers>>}}) by (namespace)
"
    )
}

async fn value(plimsoll: &Plimsoll) -> String {
    let answer = plimsoll.client().get(DEPTH).await;
    if answer.status == 200 {
        answer.json()["items"][0]["value"].as_str().unwrap_or_default().to_owned()
    } else {
        answer.message()
    }
}

#[tokio::test]
async fn a_rule_asks_its_backend_and_another_one_after_a_reload() {
    let (one, two) = (prometheus("1").await, prometheus("2").await);
    let url = one.url().to_string();
    let plimsoll = Plimsoll::start(Start {
        config: &config(&url, ""),
        prometheus: "http://127.0.0.1:1",
        files: &[("token", "mine")],
        flags: &["--config-poll-interval=50ms", "--refresh-interval=100ms"],
        ..Start::default()
    })
    .await;
    wait_until("the first is asked", async || value(&plimsoll).await == "1").await;
    assert_eq!(one.last_request().header("authorization"), Some("Bearer mine"));

    // A backend that cannot be asked as it says leaves everything as it is.
    let bad = config(two.url().as_str(), ", ca: missing.pem");
    plimsoll.replace("config.yaml", &bad);
    let rejected = async || {
        let log = plimsoll.log();
        log.iter().any(|line| {
            let text = line.to_string();
            text.contains("missing.pem") && text.contains("the last good one stays")
        })
    };
    wait_until("the change is rejected", rejected).await;
    assert_eq!(value(&plimsoll).await, "1");

    plimsoll.replace("config.yaml", &config(two.url().as_str(), ""));
    wait_until("the second is asked", async || value(&plimsoll).await == "2").await;
}

#[tokio::test]
async fn where_each_namespace_is_a_tenant_no_two_are_asked_for_together() {
    let fake = prometheus("1").await;
    let more = ", tenant: {header: X-Scope-OrgID, fromNamespace: true, value: platform}";
    let url = fake.url().to_string();
    let plimsoll = Plimsoll::start(Start {
        config: &config(&url, more),
        files: &[("token", "mine")],
        prometheus: "http://127.0.0.1:1",
        flags: &["--refresh-interval=100ms"],
        ..Start::default()
    })
    .await;
    let client = plimsoll.client();
    let asked =
        async |namespace: &str| client.get(&DEPTH.replace("shop", namespace)).await.status == 200;
    wait_until("both are answered", async || asked("shop").await & asked("bank").await).await;
    fake.take_requests();
    let both_again = async || {
        let requests = fake.requests();
        ["shop", "bank"].iter().all(|tenant| {
            requests.iter().any(|request| request.header("x-scope-orgid") == Some(tenant))
        })
    };
    wait_until("both are refreshed", both_again).await;
    for request in fake.requests() {
        let tenant = request.header("x-scope-orgid").unwrap();
        let query = request.parameter("query").unwrap().to_owned();
        assert_eq!(query, format!("sum(depth{{namespace=\"{tenant}\"}}) by (namespace)"));
    }
}

#[tokio::test]
async fn a_backend_that_stalls_does_not_hold_up_another() {
    let (stalled, good) = (FakePrometheus::start().await, prometheus("1").await);
    let names: Vec<_> = (0..40).map(|index| format!("stalled_{index}")).collect();
    let listing: Vec<_> = names.iter().map(|name| json!({"__name__": name})).collect();
    stalled.answer("all", Answer::data(&json!(listing)));
    stalled.answer_all(Answer::Stall);
    // The first closes the entry before it, and what follows closes this one.
    let more = format!("}}\n  stalled: {{urls: ['{}'], deadline: 60s", stalled.url());
    let rule = "- {backend: stalled, seriesQuery: all, resources: {namespaced: false}, \
                metricsQuery: sum(<<.Series>>)}\n";
    let plimsoll = Plimsoll::start(Start {
        config: &(config(good.url().as_str(), &more) + rule),
        files: &[("token", "mine")],
        prometheus: "http://127.0.0.1:1",
        flags: &["--refresh-interval=100ms"],
        ..Start::default()
    })
    .await;
    let client = plimsoll.client();
    let asked = names.iter().map(async |name| {
        assert_eq!(client.get(&DEPTH.replace("depth", name)).await.status, 504);
    });
    futures_util::future::join_all(asked).await;
    assert_eq!(value(&plimsoll).await, "1");
    good.take_requests();
    wait_until("it is refreshed", async || good.requests().len() > 5).await;
}

#[tokio::test]
async fn a_backend_called_default_stands_in_place_of_the_flags() {
    let fake = prometheus("3").await;
    let config = config(fake.url().as_str(), "").replace("mine", "default");
    let plimsoll = Plimsoll::start(Start {
        config: &config.replace("- backend: default\n  ", "- "),
        prometheus: "http://127.0.0.1:1",
        files: &[("token", "mine")],
        ..Start::default()
    })
    .await;
    wait_until("it is asked", async || value(&plimsoll).await == "3").await;
    let log = plimsoll.log();
    assert!(log.iter().any(|line| line.to_string().contains("in place of --prometheus-url")));
}

#[test]
fn a_rule_of_no_backend_does_not_load() {
    let config = config("http://127.0.0.1:1", "").replace("backend: mine", "backend: yours");
    let start = Start { config: &config, prometheus: "http://127.0.0.1:1", ..Start::default() };
    let (status, log) = Plimsoll::run_to_the_end(&start);
    assert!(!status.success());
    let expected = "config.yaml:4: externalRules[0].backend: there is no backend \\\"yours\\\"";
    assert!(log.contains(expected) || log.contains(&expected.replace('\\', "")), "{log}");
}
