//! The backend client against a fake and a real Prometheus.

mod credentials;
mod errors;
mod identity;
mod real;
mod replicas;
mod requests;
mod series;

use std::time::Duration;

use jiff::Timestamp;
use plimsoll::engine::ports::Fault;
use plimsoll::model::value::{Point, QueryResult, Sample, SeriesNames};
use plimsoll::prometheus::{Client, Settings, Terms};
use plimsoll::telemetry::metrics::Metrics;
use serde_json::json;

use crate::support::prometheus::{Answer, FakePrometheus};

/// A time with a fraction: 2023-11-14T22:13:20.5Z.
fn now() -> Timestamp {
    Timestamp::from_millisecond(1_700_000_000_500).unwrap()
}

fn client(settings: Settings) -> Client {
    Client::new(settings, Metrics::new().backend("b")).unwrap()
}

/// A client of a fake with other settings than the default ones.
fn client_with(fake: &FakePrometheus, change: impl FnOnce(&mut Settings)) -> Client {
    let mut settings = Settings::new(fake.url());
    change(&mut settings);
    client(settings)
}

async fn query(client: &Client, promql: &str) -> Result<QueryResult, Fault> {
    client.query(promql, now(), &Terms::default()).await
}

async fn series(client: &Client, selector: &str) -> Result<SeriesNames, Fault> {
    client.series(selector, now(), &Terms { accept_partial: true, tenant: None }).await
}

fn sample(labels: &[(&str, &str)], timestamp: f64, value: f64) -> Sample {
    Sample { labels: labels.iter().copied().collect(), point: Point { timestamp, value } }
}

fn names(expected: &[(&str, &[&str])]) -> SeriesNames {
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    expected.iter().map(|(metric, names)| ((*metric).to_owned(), labels(names))).collect()
}

#[tokio::test]
async fn a_vector_and_a_scalar_come_back() {
    let fake = FakePrometheus::start().await;
    fake.answer("up", Answer::vector(&[(json!({"pod": "a"}), 1.5, "2"), (json!({}), 1.0, "+Inf")]));
    fake.answer("empty", Answer::vector(&[]));
    fake.answer("scalar(1)", Answer::scalar(1.5, "1"));
    let client = client(Settings::new(fake.url()));
    let results = [
        query(&client, "up").await,
        query(&client, "empty").await,
        query(&client, "scalar(1)").await,
    ];
    let up = vec![sample(&[("pod", "a")], 1.5, 2.0), sample(&[], 1.0, f64::INFINITY)];
    assert_eq!(
        results,
        [
            Ok(QueryResult::Vector(up)),
            Ok(QueryResult::Vector(Vec::new())),
            Ok(QueryResult::Scalar(Point { timestamp: 1.5, value: 1.0 })),
        ]
    );
}

#[tokio::test]
async fn each_request_is_observed_with_its_outcome_and_warnings() {
    let fake = FakePrometheus::start().await;
    let noted = json!({"status": "success", "data": [], "warnings": ["a"], "infos": ["b"]});
    fake.answer("noted", Answer::json(200, &noted));
    fake.answer("refused", Answer::error(422, "execution", "x"));
    fake.answer("malformed", Answer::text(200, "<html>"));
    fake.answer("stalls", Answer::Stall);
    fake.answer("half", Answer::StallAfter("{".into()));
    fake.answer("hangs up", Answer::HangUp);
    let metrics = Metrics::new();
    let settings = Settings { deadline: Duration::from_millis(200), ..Settings::new(fake.url()) };
    let client = Client::new(settings, metrics.backend("b")).unwrap();
    series(&client, "noted").await.unwrap();
    for promql in ["refused", "malformed", "stalls", "half", "hangs up"] {
        query(&client, promql).await.unwrap_err();
    }
    let counted = metrics.encode();
    let mut counters: Vec<_> = counted
        .lines()
        .filter_map(|line| line.strip_prefix("plimsoll_backend_"))
        .filter(|line| line.contains("_total{") && !line.ends_with(" 0"))
        .collect();
    counters.sort_unstable();
    assert_eq!(
        counters,
        [
            "queries_total{backend=\"b\",operation=\"query\",outcome=\"deadline\"} 1",
            "queries_total{backend=\"b\",operation=\"query\",outcome=\"incomplete\"} 1",
            "queries_total{backend=\"b\",operation=\"query\",outcome=\"malformed\"} 1",
            "queries_total{backend=\"b\",operation=\"query\",outcome=\"refused\"} 1",
            "queries_total{backend=\"b\",operation=\"query\",outcome=\"unreachable\"} 1",
            "queries_total{backend=\"b\",operation=\"series\",outcome=\"success\"} 1",
            "warnings_total{backend=\"b\"} 2",
        ]
    );
}
