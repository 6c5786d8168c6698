//! Where our answers differ from prometheus-adapter's on purpose, and why.
//!
//! One difference needs no entry: a message may go on where prometheus-adapter's ends, to name
//! the cause.

mod discovery;
mod requests;
mod values;

use serde_json::{Value, json};

use super::recording::{Outcome, Row};

/// A difference that was chosen.
pub(super) struct Difference {
    /// What is different, and why.
    pub(super) reason: &'static str,
    /// Whether the switches under `compat` of a rule take it back.
    pub(super) is_switch: bool,
    /// Whether it is about a request.
    pub(super) applies: fn(&Row) -> bool,
    /// Turns what prometheus-adapter did into what we do.
    pub(super) ours: fn(&Row, &mut Expected),
}

/// What we are expected to do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expected {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) body: Body,
    pub(super) promql: Vec<String>,
}

/// What a body is expected to be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Body {
    Exactly(Value),
    /// Fields of an object, by JSON pointer.
    With(Vec<(&'static str, Value)>),
    /// A `Status` with this reason, whose message begins and contains so.
    Status {
        reason: &'static str,
        begins: String,
        contains: Vec<String>,
    },
}

impl Expected {
    /// To do as prometheus-adapter did.
    pub(super) fn same(row: &Row) -> Self {
        let Outcome { status, content_type, body, promql } = row.outcome();
        let body = if body["kind"] == "Status" {
            let reason = body["reason"].as_str().unwrap_or_default();
            Body::Status {
                reason: REASONS.into_iter().find(|known| *known == reason).unwrap_or_default(),
                begins: row.message().to_owned(),
                contains: Vec::new(),
            }
        } else {
            Body::Exactly(body)
        };
        Self { status, content_type, body, promql }
    }

    /// Whether an outcome is as expected.
    pub(super) fn is_met_by(&self, ours: &Outcome) -> bool {
        self.status == ours.status
            && self.content_type == ours.content_type
            && self.promql == ours.promql
            && match &self.body {
                Body::Exactly(body) => *body == ours.body,
                Body::With(fields) => {
                    fields.iter().all(|(pointer, value)| ours.body.pointer(pointer) == Some(value))
                }
                Body::Status { reason, begins, contains } => {
                    let message = ours.body["message"].as_str().unwrap_or_default();
                    ours.body["kind"] == "Status"
                        && ours.body["code"] == self.status
                        && ours.body["reason"].as_str() == Some(reason)
                        && message.starts_with(begins)
                        && contains.iter().all(|part| message.contains(part))
                }
            }
    }

    /// To refuse with a `Status`.
    fn refuse(&mut self, status: u16, reason: &'static str, begins: impl Into<String>) {
        self.status = status;
        JSON.clone_into(&mut self.content_type);
        self.body = Body::Status { reason, begins: begins.into(), contains: Vec::new() };
    }

    /// To refuse without asking Prometheus.
    fn refuse_at_once(&mut self, status: u16, reason: &'static str, begins: impl Into<String>) {
        self.refuse(status, reason, begins);
        self.promql.clear();
    }

    /// To answer where prometheus-adapter did not.
    fn answer(&mut self, promql: &str, fields: Vec<(&'static str, Value)>) {
        self.status = 200;
        JSON.clone_into(&mut self.content_type);
        self.body = Body::With(fields);
        self.promql = vec![promql.to_owned()];
    }

    fn items(&mut self) -> Option<&mut Vec<Value>> {
        match &mut self.body {
            Body::Exactly(body) => body.get_mut("items")?.as_array_mut(),
            _ => None,
        }
    }
}

const JSON: &str = "application/json";

const REASONS: [&str; 8] = [
    "BadRequest",
    "Forbidden",
    "InternalError",
    "Invalid",
    "MethodNotAllowed",
    "NotAcceptable",
    "NotFound",
    "Timeout",
];

const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/";

/// Queries of ours that prometheus-adapter never sent, and the one sample of their answer.
pub(super) fn unasked() -> Vec<(String, Value)> {
    let mut answers = Vec::new();
    for metric in ["fleet_size", "fleet_only_label"] {
        for matcher in [r#"fleet="north""#, r#"fleet=~"north|south""#] {
            for promql in
                [format!("sum({metric}{{{matcher}}}) by (fleet)"), format!("{metric}{{{matcher}}}")]
            {
                answers.push((promql, json!({"fleet": "north"})));
            }
        }
    }
    answers
}

/// Every difference.
pub(super) fn differences() -> Vec<Difference> {
    let parts = [
        discovery::discovery(),
        discovery::resources(),
        discovery::negotiation(),
        requests::paths(),
        requests::methods(),
        requests::selectors(),
        requests::options(),
        values::objects(),
        values::numbers(),
        values::failures(),
        values::switches(),
    ];
    parts.into_iter().flatten().collect()
}

/// Group and version of a discovery path of ours; the version is empty where there is none.
fn group_and_version(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("/apis/")?;
    let path = path.strip_suffix('/').unwrap_or(path);
    let (group, version) = path.split_once('/').unwrap_or((path, ""));
    let is_ours = match group {
        "custom.metrics.k8s.io" => ["", "v1beta1", "v1beta2"].contains(&version),
        "external.metrics.k8s.io" => ["", "v1beta1"].contains(&version),
        _ => false,
    };
    is_ours.then_some((group, version))
}

fn is_metric(row: &Row) -> bool {
    row.path().contains(".metrics.k8s.io/v1beta")
        && group_and_version(row.path()).is_none()
        && row.answer.body.get("paths").is_none()
}

fn is_custom(row: &Row) -> bool {
    row.path().starts_with("/apis/custom.metrics.k8s.io/v1beta")
}

/// The parts of a path after group and version.
fn parts(path: &str) -> Vec<&str> {
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').skip(4).collect()
}
