//! What prometheus-adapter 0.12.0 answered to hundreds of requests, put to our binary.

mod recording;

use self::recording::{Outcome, Row, rows, teach_series, text};
use crate::support::client::Client;
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::FakePrometheus;

const CONFIGS: [&str; 8] =
    ["both", "core", "empty", "errors", "external", "kube", "naming", "stock"];

/// Switches every rule back to what prometheus-adapter does.
const COMPAT: &str = "compat: {coreApiVersionSlash: true, lastSampleWins: true, \
                      negativeExternal: true, nowTimestamps: true}";

fn with_compat(config: &str) -> String {
    let mut text = String::new();
    let config = config.replace("sum(<<.LabelMatchersByName>>)", "<<index .GroupBySlice 3>>");
    for line in config.lines() {
        text.extend([line, "\n"]);
        if line.starts_with("- seriesQuery:") {
            text.extend(["  ", COMPAT, "\n"]);
        }
    }
    text
}

async fn replay(config: &'static str, file: &str) -> Vec<(Row, Outcome)> {
    let prometheus = FakePrometheus::start().await;
    teach_series(config, &prometheus);
    let url = prometheus.url().to_string();
    let plimsoll = Plimsoll::start(Start {
        config: file,
        objects: &text("objects.yaml"),
        prometheus: &url,
        flags: &["--refresh-interval=0"],
    })
    .await;
    let client = plimsoll.client();
    let mut answers = Vec::new();
    prometheus.take_requests();
    for row in rows(config) {
        let outcome = ask(&row, &client, &prometheus).await;
        answers.push((row, outcome));
    }
    answers
}

async fn ask(row: &Row, client: &Client, prometheus: &FakePrometheus) -> Outcome {
    row.teach(prometheus);
    let headers: Vec<_> =
        row.request.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let answer = client.send(&row.request.method, &row.request.path, &headers).await;
    let requests = prometheus.take_requests();
    let promql = requests.iter().filter_map(|it| it.parameter("query").map(str::to_owned));
    row.ours(&answer, promql.collect())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dump() {
    let all = CONFIGS.map(async |config| {
            replay(config, &with_compat(&text(&format!("{config}.yaml")))).await
    });
    let mut out = String::new();
    for answers in futures_util::future::join_all(all).await {
        for (row, ours) in answers {
            let theirs = row.outcome();
            if theirs != ours {
                out += &format!("{}\n   {theirs:?}\n   {ours:?}\n", row.name());
                out += &format!("@@{}\n", serde_json::json!({"row": row.name(), "t": theirs.status, "o": ours.status, "tt": theirs.content_type, "ot": ours.content_type, "tb": theirs.body, "ob": ours.body, "tq": theirs.promql, "oq": ours.promql}));
            }
        }
    }
    std::fs::write("/tmp/replay.txt", out).unwrap();
}
