//! What the engine and the configuration promise beyond the protocol, through the real binary.

mod bad_input;
mod faults;
mod kubectl;

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const CONFIG: &str = "
externalRules:
- {seriesQuery: depth, resources: {namespaced: false}, metricsQuery: sum(<<.Series>>)}
";

const DEPTH: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default/depth";

/// A Prometheus that knows `depth`, which is 1.
async fn prometheus() -> FakePrometheus {
    let prometheus = FakePrometheus::start().await;
    prometheus.answer("depth", Answer::data(&json!([{"__name__": "depth"}])));
    prometheus.answer("sum(depth)", scalar("1"));
    prometheus
}

fn scalar(value: &str) -> Answer {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
    let now = jiff::Timestamp::now().as_second() as f64;
    Answer::scalar(now, value)
}

async fn start(prometheus: &FakePrometheus, flags: &[&str]) -> Plimsoll {
    let url = prometheus.url().to_string();
    Plimsoll::start(Start { config: CONFIG, prometheus: &url, flags, ..Start::default() }).await
}

/// How often a query was asked.
fn asked(prometheus: &FakePrometheus, query: &str) -> usize {
    let requests = prometheus.requests();
    requests.iter().filter(|request| request.parameter("query") == Some(query)).count()
}

/// The value of the only item; empty where there is an error.
async fn depth(plimsoll: &Plimsoll) -> String {
    let list = plimsoll.client().get(DEPTH).await.json();
    list["items"][0]["value"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn fifty_first_requests_for_the_same_thing_are_one_query() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &["--refresh-interval=1h"]).await;
    let session = plimsoll.client().open_http2().await;
    let answers = join_all((0..50).map(|_| session.get(DEPTH))).await;
    assert!(answers.iter().all(|answer| answer.json()["items"][0]["value"] == "1"));
    assert_eq!(asked(&prometheus, "sum(depth)"), 1);
}

#[tokio::test]
async fn what_was_answered_once_is_answered_without_prometheus() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &["--refresh-interval=1h"]).await;
    assert_eq!(depth(&plimsoll).await, "1");
    let before = prometheus.requests().len();
    drop(prometheus);
    for _ in 0..20 {
        assert_eq!(depth(&plimsoll).await, "1");
    }
    assert_eq!(before, 2, "a listing and a query");
}

#[tokio::test]
async fn an_answer_is_refreshed_at_the_interval() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &["--refresh-interval=100ms"]).await;
    let began = Instant::now();
    assert_eq!(depth(&plimsoll).await, "1");
    prometheus.answer("sum(depth)", scalar("2"));
    wait_until("the new value is served", async || depth(&plimsoll).await == "2").await;
    wait_until("it is asked again and again", async || asked(&prometheus, "sum(depth)") >= 10)
        .await;
    // However often it was read, it is asked once in an interval.
    let intervals = began.elapsed().as_millis() / 100;
    let asked = asked(&prometheus, "sum(depth)");
    assert!(asked as u128 <= intervals + 1, "{asked} in {intervals} intervals");
}

#[tokio::test]
async fn without_a_refresh_interval_each_request_asks() {
    let prometheus = prometheus().await;
    let plimsoll = start(&prometheus, &["--refresh-interval=0"]).await;
    for count in 1..=3 {
        let value = count.to_string();
        prometheus.answer("sum(depth)", scalar(&value));
        assert_eq!(depth(&plimsoll).await, value);
        assert_eq!(asked(&prometheus, "sum(depth)"), count);
    }
}

#[tokio::test]
async fn a_good_change_of_the_configuration_is_in_force_within_the_poll_interval() {
    let prometheus = prometheus().await;
    prometheus.answer("max(depth)", scalar("7"));
    let flags = ["--config-poll-interval=100ms", "--refresh-interval=100ms"];
    let plimsoll = start(&prometheus, &flags).await;
    assert_eq!(depth(&plimsoll).await, "1");
    let began = Instant::now();
    plimsoll.replace("config.yaml", &CONFIG.replace("sum(", "max("));
    wait_until("the new rule answers", async || depth(&plimsoll).await == "7").await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    // A metric that is configured no more is gone, too.
    plimsoll.replace("config.yaml", "rules: []");
    wait_until("the metric is gone", async || plimsoll.client().get(DEPTH).await.status == 404)
        .await;
}

#[tokio::test]
async fn a_bad_change_of_the_configuration_leaves_the_old_one_in_force_and_is_told() {
    let prometheus = prometheus().await;
    let flags = ["--config-poll-interval=100ms", "--refresh-interval=0"];
    let plimsoll = start(&prometheus, &flags).await;
    let told = |text: &str| {
        let says = |entry: &Value| entry.to_string().contains(text);
        plimsoll.log().iter().filter(|entry| says(entry)).count()
    };
    let bad = [
        (CONFIG.replace("<<.Series>>", "<<.Serie>>"), "externalRules[0].metricsQuery"),
        (CONFIG.replace("metricsQuery", "metricQuery"), "unknown field `metricQuery`"),
        ("rules: [".to_owned(), "config.yaml:"),
    ];
    for (text, expected) in bad {
        let rejected = told("the last good one stays");
        plimsoll.replace("config.yaml", &text);
        wait_until("it is told", async || told("the last good one stays") > rejected).await;
        assert!(told(expected) > 0, "{expected}: {:?}", plimsoll.log().last());
        assert_eq!(depth(&plimsoll).await, "1");
    }
    let metrics = metrics(&plimsoll).await;
    for line in [
        "plimsoll_config_reloads_total{outcome=\"failure\"} 3",
        "plimsoll_config_last_reload_successful 0",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in {metrics}");
    }
    plimsoll.replace("config.yaml", CONFIG);
    prometheus.answer("sum(depth)", scalar("3"));
    assert_eq!(depth(&plimsoll).await, "3");
}

/// `/metrics` of the admin port.
async fn metrics(plimsoll: &Plimsoll) -> String {
    let mut stream = TcpStream::connect(plimsoll.admin).await.unwrap();
    let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
