//! What prometheus-adapter 0.12.0 answered to hundreds of requests, put to our binary.
//!
//! A fake Prometheus replays the listings and answers that were recorded, by the exact text of the
//! query: another query than prometheus-adapter's finds nothing. Every answer and every query has
//! to be the same, but for the [differences] that were chosen.

mod differences;
mod faults;
mod merged;
mod recording;
mod startup;

use std::collections::BTreeSet;

use self::differences::{Difference, Expected, differences, unasked};
use self::recording::{Outcome, Row, rows, teach_series, text};
use crate::support::client::Client;
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::{Answer, FakePrometheus};

/// The configurations that prometheus-adapter ran with.
const CONFIGS: [&str; 8] =
    ["both", "core", "empty", "errors", "external", "kube", "naming", "stock"];

/// Asks Prometheus for each request, as prometheus-adapter does.
const EACH_TIME: &str = "--refresh-interval=0";

#[tokio::test(flavor = "multi_thread")]
async fn rules_with_compat_answer_as_prometheus_adapter_but_for_the_chosen_differences() {
    let differences = differences().into_iter().filter(|it| !it.is_switch).collect::<Vec<_>>();
    compare(&replay_all(with_compat).await, &differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchanged_rules_answer_as_prometheus_adapter_but_for_the_chosen_differences() {
    compare(&replay_all(str::to_owned).await, &differences());
}

#[tokio::test]
async fn a_warm_snapshot_answers_as_prometheus_adapter_without_asking_prometheus() {
    let prometheus = FakePrometheus::start().await;
    let config = with_compat(&text("external.yaml"));
    // Longer than the test: nothing is computed twice.
    let plimsoll = start("external", &config, &prometheus, "--refresh-interval=1h").await;
    let client = plimsoll.client();
    let differences = differences();
    let mut count = 0;
    for row in rows("external") {
        let first = ask(&row, &client, &prometheus).await;
        let second = ask(&row, &client, &prometheus).await;
        let is_value = row.answer.status == 200 && first.status == 200 && !row.promql.is_empty();
        if !is_value {
            continue;
        }
        let mut expected = Expected::same(&row);
        for difference in differences.iter().filter(|it| !it.is_switch && (it.applies)(&row)) {
            (difference.ours)(&row, &mut expected);
        }
        expected.promql.clear();
        assert!(expected.is_met_by(&second), "{}\n{expected:?}\n{second:?}", row.name());
        count += 1;
    }
    assert!(count > 60, "{count}");
}

/// Fails on every row that is not as expected, and on every difference that makes none.
fn compare(answers: &[(Row, Outcome)], differences: &[Difference]) {
    assert!(answers.len() > 800, "{}", answers.len());
    let mut unused: BTreeSet<_> = differences.iter().map(|it| it.reason).collect();
    let mut wrong = Vec::new();
    for (row, ours) in answers {
        let mut expected = Expected::same(row);
        for difference in differences.iter().filter(|it| (it.applies)(row)) {
            let before = expected.clone();
            (difference.ours)(row, &mut expected);
            if expected != before {
                unused.remove(difference.reason);
            }
        }
        if !expected.is_met_by(ours) {
            let recorded = row.outcome();
            let note = row.note.as_deref().unwrap_or_default();
            wrong.push(format!(
                "{} {note}\n  recorded {recorded:?}\n  expected {expected:?}\n  ours     {ours:?}",
                row.name()
            ));
        }
    }
    let count = wrong.len();
    assert!(wrong.is_empty(), "{count} of {}:\n{}", answers.len(), wrong.join("\n"));
    assert!(unused.is_empty(), "differences that no row shows: {unused:#?}");
}

async fn replay_all(change: fn(&str) -> String) -> Vec<(Row, Outcome)> {
    let all = CONFIGS.map(async |config| replay(config, change).await);
    futures_util::future::join_all(all).await.into_iter().flatten().collect()
}

async fn replay(config: &'static str, change: fn(&str) -> String) -> Vec<(Row, Outcome)> {
    let prometheus = FakePrometheus::start().await;
    let file = change(&startable(&text(&format!("{config}.yaml"))));
    let plimsoll = start(config, &file, &prometheus, EACH_TIME).await;
    let client = plimsoll.client();
    let mut answers = Vec::new();
    for row in rows(config) {
        let outcome = ask(&row, &client, &prometheus).await;
        answers.push((row, outcome));
    }
    answers
}

async fn start(config: &str, file: &str, prometheus: &FakePrometheus, refresh: &str) -> Plimsoll {
    teach_series(config, prometheus);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    for (promql, labels) in unasked() {
        prometheus.answer(&promql, Answer::vector(&[(labels, now.as_secs_f64(), "7")]));
    }
    let url = prometheus.url();
    let start = Start {
        config: file,
        objects: &text("objects.yaml"),
        prometheus: url.as_str(),
        flags: &[refresh],
        ..Start::default()
    };
    let plimsoll = Plimsoll::start(start).await;
    prometheus.take_requests();
    plimsoll
}

async fn ask(row: &Row, client: &Client, prometheus: &FakePrometheus) -> Outcome {
    row.teach(prometheus);
    let headers: Vec<_> =
        row.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.send(&row.request.method, row.path(), &headers).await;
    let requests = prometheus.take_requests();
    let promql = requests.iter().filter_map(|it| it.parameter("query").map(str::to_owned));
    row.ours(&answer, promql.collect())
}

/// A field that does not exist is refused when we load the file, and by prometheus-adapter when it
/// renders the query; an index that does not exist is refused by both when they render it.
fn startable(config: &str) -> String {
    config.replace("sum(<<.LabelMatchersByName>>)", "<<index .GroupBySlice 3>>")
}

/// Switches every rule back to what prometheus-adapter does.
fn with_compat(config: &str) -> String {
    let compat = "compat: {coreApiVersionSlash: true, lastSampleWins: true, negativeExternal: \
                  true, nowTimestamps: true}";
    let mut text = String::new();
    for line in config.lines() {
        text.extend([line, "\n"]);
        if line.starts_with("- seriesQuery:") {
            text.extend(["  ", compat, "\n"]);
        }
    }
    text
}
