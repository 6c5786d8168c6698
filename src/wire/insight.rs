//! `Decision` of `insight.plimsoll.dev/v1alpha1`: what a decision signal says of one object, why,
//! and, of one that is asked for by name, its last hour.

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::metrics::Seconds;
use super::negotiate::Form;
use super::{Empty, GroupVersion};

/// What is decided for one object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Its name and namespace.
    pub metadata: Metadata,
    /// What it is about.
    pub spec: Spec,
    /// What is decided.
    pub status: Status,
}

/// Name and namespace.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// `OBJECT.METRIC`.
    pub name: String,
    /// The object's namespace.
    pub namespace: String,
    /// The time of the oldest record, from which kubectl tells the age.
    pub creation_timestamp: Seconds,
}

/// What a decision is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Spec {
    /// The signal's metric.
    pub metric: String,
    /// The object.
    pub target: Target,
}

/// The object whose replicas are counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
}

/// The latest record, and those before it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Status {
    /// What holds now.
    #[serde(flatten)]
    pub latest: Record,
    /// Oldest first; empty in lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Record>,
}

/// What was decided at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Record {
    /// When.
    pub time: Seconds,
    /// The pods there were.
    pub pods: u32,
    /// The pods there should be.
    pub replicas: u32,
    /// `Up`, `Down` or `Hold`.
    pub action: String,
    /// Which entry of the table was the strongest, with its numbers.
    pub reason: String,
    /// Of that entry, from 0 to 1.
    pub confidence: f64,
    /// What was seen, by the names of the declaration; what is missing is left out.
    pub inputs: Inputs,
}

/// Inputs by name, in the order of the declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct Inputs(pub Vec<(String, f32)>);

impl Serialize for Inputs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// Writes one.
pub fn object(form: Form, decision: &Decision) -> Bytes {
    form.encode(&Object::new(decision), 1024 + 512 * decision.status.history.len())
}

/// Writes a list.
pub fn list(form: Form, items: &[Decision]) -> Bytes {
    let list = List {
        kind: GroupVersion::Insight.list_kind(),
        api_version: GroupVersion::Insight.api_version(),
        metadata: Empty {},
        items,
    };
    form.encode(&list, 128 + 1024 * items.len())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: &'a [Decision],
}

/// An object by itself, which says what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<'a> {
    kind: &'static str,
    api_version: &'static str,
    #[serde(flatten)]
    decision: &'a Decision,
}

impl<'a> Object<'a> {
    pub(super) fn new(decision: &'a Decision) -> Self {
        Self { kind: "Decision", api_version: GroupVersion::Insight.api_version(), decision }
    }
}

#[cfg(test)]
mod tests;
