//! Answers of Prometheus that are none, and what becomes of them.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::recording::{Recorded, Request, lines, replayed, teach_series, text};
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::FakePrometheus;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fault {
    #[serde(rename = "fault")]
    name: String,
    request: Request,
    promql: Vec<String>,
    prometheus: BTreeMap<String, Value>,
    answer: Recorded,
    /// What prometheus-adapter logged; its message is "unable to fetch metrics" throughout.
    #[serde(default, rename = "log")]
    _log: String,
}

/// What is wrong; our status for a named object, for `*` and for an external metric; and what our
/// message says of it.
const FAULTS: [(&str, [u16; 3], &str); 17] = [
    ("drop", [503; 3], "Prometheus cannot be reached"),
    ("500", [500; 3], "500 Internal Server Error: internal oops"),
    ("502", [500; 3], "502 Bad Gateway: <html>bad gateway</html>"),
    ("503json", [500; 3], "503 unavailable: TSDB not ready"),
    ("404", [500; 3], "404 Not Found: 404 page not found"),
    ("429", [500; 3], "429 Too Many Requests: slow down"),
    ("401", [500; 3], "401 Unauthorized: Unauthorized"),
    ("html200", [500; 3], "it is no JSON and begins with \"<html>login</html>\""),
    ("empty200", [500; 3], "it is empty"),
    ("err200", [500; 3], "execution: boom"),
    ("null", [500; 3], "`data` is missing or null"),
    ("nodata", [500; 3], "`data` is missing or null"),
    ("emptyvec", [404, 200, 200], ""),
    ("nullvec", [404, 200, 200], ""),
    ("dupes", [500; 3], "is partial: partial response"),
    ("utf8", [200; 3], ""),
    ("histo", [500; 3], "the query gives native histograms"),
];

/// Where the status is not prometheus-adapter's, and why.
const DIFFERENT: [(&str, &str); 4] = [
    ("drop", "a peer that cannot be reached is 503, which is not an error of ours"),
    ("nullvec", "no samples are no samples; prometheus-adapter fails on external metrics alone"),
    ("dupes", "what the backend calls partial is an error (`partialResults: accept`)"),
    ("histo", "a histogram is no number; prometheus-adapter takes it for zero"),
];

#[tokio::test]
async fn what_is_wrong_with_an_answer_of_prometheus_is_told() {
    let prometheus = FakePrometheus::start().await;
    teach_series("both", &prometheus);
    let url = prometheus.url();
    let plimsoll = Plimsoll::start(Start {
        config: &text("both.yaml"),
        objects: &text("objects.yaml"),
        prometheus: url.as_str(),
        flags: &["--refresh-interval=0"],
        ..Start::default()
    })
    .await;
    let client = plimsoll.client();
    let mut seen = 0;
    for Fault { name: fault, request, promql, prometheus: answers, answer, .. } in
        lines("faults.jsonl")
    {
        for (promql, answer) in &answers {
            prometheus.answer(promql, replayed(answer));
        }
        let ours = client.get(&request.path).await;
        let (_, status, told) = FAULTS.iter().find(|(name, ..)| *name == fault).unwrap();
        let (status, rule) = match &request.path {
            path if path.contains("external") => (status[2], "externalRules[0]"),
            path if path.contains('*') => (status[1], "rules[0]"),
            _ => (status[0], "rules[0]"),
        };
        let context = format!("{fault} {} {}", request.path, ours.text());
        assert_eq!(ours.status, status, "{context}");
        if !DIFFERENT.iter().any(|(name, _)| *name == fault) {
            assert_eq!(ours.status, answer.status, "{context}");
        }
        if status >= 500 {
            assert!(ours.message().contains(told), "{context}");
            assert!(ours.message().contains(rule), "{context}");
            assert!(fault == "dupes" || ours.message().contains(&promql[0]), "{context}");
        }
        seen += 1;
    }
    assert_eq!(seen, 3 * FAULTS.len());
}
