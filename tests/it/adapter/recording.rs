//! The recordings in `tests/data/prometheus-adapter`, and how answers are made comparable.
//!
//! Two answers are equal where a client cannot tell them apart: times only have to be times, the
//! order of what Go keeps in a map says nothing, and an empty optional field is an absent one.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::SystemTime;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::support::client;
use crate::support::prometheus::{Answer, FakePrometheus};

/// A request that prometheus-adapter answered.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The configuration it ran with.
    #[serde(skip)]
    pub(super) config: &'static str,
    pub(super) request: Request,
    /// The queries that it sent, in their order.
    #[serde(default)]
    pub(super) promql: Vec<String>,
    /// What Prometheus answered to each.
    #[serde(default)]
    pub(super) prometheus: BTreeMap<String, Value>,
    pub(super) answer: Recorded,
    /// What makes the request worth a row.
    #[serde(default)]
    pub(super) note: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Request {
    #[serde(default = "get")]
    pub(super) method: String,
    pub(super) path: String,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Recorded {
    pub(super) status: u16,
    #[serde(rename = "type")]
    content_type: Option<String>,
    /// JSON, or the text of anything else.
    #[serde(default)]
    pub(super) body: Value,
    /// The text of JSON whose layout matters.
    #[serde(default)]
    raw: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// An answer and the queries that led to it, comparable.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// Without parameters.
    pub(super) content_type: String,
    /// JSON, or the text of anything else; null where there is none.
    pub(super) body: Value,
    pub(super) promql: Vec<String>,
}

impl Row {
    /// What to call the row.
    pub(super) fn name(&self) -> String {
        let Request { method, path, headers } = &self.request;
        format!("{} {method} {path} {headers:?}", self.config)
    }

    pub(super) fn path(&self) -> &str {
        &self.request.path
    }

    pub(super) fn accept(&self) -> &str {
        self.request.headers.get("Accept").map_or("", String::as_str)
    }

    /// Whether any of the queries contains a text.
    pub(super) fn asks(&self, text: &str) -> bool {
        self.promql.iter().any(|promql| promql.contains(text))
    }

    /// The message of prometheus-adapter's `Status`.
    pub(super) fn message(&self) -> &str {
        self.answer.body["message"].as_str().unwrap_or_default()
    }

    /// Whether the layout of the answer is to be compared too.
    fn is_layout(&self) -> bool {
        self.answer.raw.is_some() && self.answer.status == 200
    }

    /// What prometheus-adapter did.
    pub(super) fn outcome(&self) -> Outcome {
        let body = match (&self.answer.raw, &self.answer.body) {
            (Some(raw), _) if self.is_layout() => Value::String(raw.clone()),
            (Some(raw), _) => serde_json::from_str(raw).unwrap(),
            (None, Value::String(empty)) if empty.is_empty() => Value::Null,
            (None, body) => body.clone(),
        };
        let mut outcome = Outcome {
            status: self.answer.status,
            content_type: media_type(self.answer.content_type.as_deref().unwrap_or_default()),
            body,
            promql: self.promql.clone(),
        };
        normalize(&mut outcome.body);
        outcome
    }

    /// What we do: `answer` and the queries that were sent meanwhile.
    pub(super) fn ours(&self, answer: &client::Answer, promql: Vec<String>) -> Outcome {
        let content_type = media_type(answer.header("content-type"));
        let text = || Value::String(answer.text().to_owned());
        let mut body = match content_type.as_str() {
            _ if answer.body.is_empty() => Value::Null,
            "application/json" if !self.is_layout() => {
                serde_json::from_slice(&answer.body).unwrap_or_else(|_| text())
            }
            "application/vnd.kubernetes.protobuf" => Value::Null,
            _ => text(),
        };
        normalize(&mut body);
        Outcome { status: answer.status, content_type, body, promql }
    }

    /// Teaches the fake what Prometheus answered, as if it were now: it is measured by the clock
    /// whether a sample is too old.
    pub(super) fn teach(&self, prometheus: &FakePrometheus) {
        for (promql, answer) in &self.prometheus {
            prometheus.answer(promql, replayed(answer));
        }
    }
}

/// The rows of a configuration.
pub(super) fn rows(config: &'static str) -> Vec<Row> {
    let mut rows: Vec<Row> = lines(&format!("{config}.jsonl"));
    for row in &mut rows {
        row.config = config;
    }
    rows
}

/// A file of one JSON value a line.
pub(super) fn lines<T: for<'de> Deserialize<'de>>(file: &str) -> Vec<T> {
    let parse = |line: &str| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{file}: {error}: {line}"))
    };
    text(file).lines().map(parse).collect()
}

/// The text of a file.
pub(super) fn text(file: &str) -> String {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/data/prometheus-adapter").join(file);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Teaches the fake the series of a configuration.
pub(super) fn teach_series(config: &str, prometheus: &FakePrometheus) {
    let series: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_str(&text("series.json")).unwrap();
    for (selector, data) in series.get(config).into_iter().flatten() {
        prometheus.answer(selector, Answer::data(data));
    }
}

/// A recorded answer of Prometheus, with its samples taken now.
pub(super) fn replayed(answer: &Value) -> Answer {
    if let Some(status) = answer.get("http_status") {
        let Some(status) = status.as_u64() else { return Answer::HangUp };
        let status = u16::try_from(status).unwrap();
        return match &answer["body"] {
            Value::String(text) => Answer::text(status, text.clone()),
            body => Answer::json(status, body),
        };
    }
    if let Value::String(text) = answer {
        return Answer::text(200, text.clone());
    }
    let mut answer = answer.clone();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let Some(data) = answer.get_mut("data").filter(|data| data.is_object()) else {
        return Answer::json(200, &answer);
    };
    if data["resultType"] == "scalar" || data["resultType"] == "string" {
        data["result"][0] = now.into();
    }
    for sample in data["result"].as_array_mut().into_iter().flatten() {
        for kind in ["value", "histogram"] {
            if let Some(point) = sample.get_mut(kind) {
                point[0] = now.into();
            }
        }
    }
    Answer::json(200, &answer)
}

fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().to_owned()
}

fn normalize(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields.iter_mut() {
                normalize(value);
                if key == "timestamp" && value.as_str().is_some_and(is_time) {
                    *value = "TIME".into();
                }
            }
            fields.retain(|key, value| {
                let empty =
                    value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
                let optional = ["selector", "metricLabels", "metadata", "details"];
                !(empty && optional.contains(&key.as_str()))
            });
            for list in ["resources", "groups"] {
                if let Some(Value::Array(list)) = fields.get_mut(list) {
                    sort(list);
                }
            }
            if fields.get("kind").is_some_and(|kind| kind == "ExternalMetricValueList")
                && let Some(Value::Array(items)) = fields.get_mut("items")
            {
                sort(items);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(normalize),
        Value::String(text) => *text = without_times(text),
        _ => {}
    }
}

fn sort(list: &mut [Value]) {
    list.sort_by_cached_key(ToString::to_string);
}

fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|it| if it.is_ascii_digit() { '0' } else { it }).collect();
    shape == "0000-00-00T00:00:00Z"
}

/// A text with its times blotted out.
fn without_times(text: &str) -> String {
    static TIME: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ").unwrap());
    TIME.replace_all(text, "TIME").into_owned()
}
