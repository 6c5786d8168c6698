//! Schema and paths of `insight.plimsoll.dev`, for `kubectl explain decisions`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{kind, operation, path, timestamp};
use crate::wire::GroupVersion;

pub(super) fn schemas() -> BTreeMap<&'static str, Value> {
    let latest = record();
    let mut status = latest.clone();
    if let Some(properties) = status.get_mut("properties").and_then(Value::as_object_mut) {
        let history = json!({
            "type": "array",
            "description": "The last hour, oldest first: every change, and one entry a minute. \
                            Only in a decision that is asked for by name.",
            "items": latest,
        });
        properties.insert("history".to_owned(), history);
    }
    let decision = json!({
        "type": "object",
        "description": "What a decision signal says of one object, and why.",
        "required": ["spec", "status"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object", "description": "The name is OBJECT.METRIC." },
            "spec": {
                "type": "object",
                "description": "What is decided about.",
                "properties": {
                    "metric": text("The name that an HPA uses."),
                    "target": {
                        "type": "object",
                        "description": "The object whose replicas are counted.",
                        "properties": {
                            "apiVersion": text("Group and version."),
                            "kind": text("Kind."),
                            "name": text("Name."),
                        },
                    },
                },
            },
            "status": status,
        },
        "x-kubernetes-group-version-kind": [kind(GroupVersion::Insight, "Decision")],
    });
    BTreeMap::from([("Decision", decision)])
}

fn record() -> Value {
    json!({
        "type": "object",
        "description": "What was decided at one moment.",
        "properties": {
            "time": timestamp(),
            "pods": count("How many pods there were."),
            "replicas": count("How many there should be."),
            "action": text("Up, Down or Hold."),
            "reason": text("The strongest entry of the table, with its numbers."),
            "confidence": {
                "type": "number",
                "description": "Of that entry, from 0 to 1.",
            },
            "inputs": {
                "type": "object",
                "description": "What was seen, by name; what is missing is left out.",
                "additionalProperties": { "type": "number" },
            },
        },
    })
}

fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

fn count(description: &str) -> Value {
    json!({ "type": "integer", "format": "int32", "description": description })
}

/// kubectl finds the kind of a resource by the path of its list.
pub(super) fn paths() -> Value {
    let version = GroupVersion::Insight;
    let operation = |action: &str| operation(version, action, "Decision");
    json!({
        path(version, "decisions"): operation("list"),
        path(version, "namespaces/{namespace}/decisions"): operation("list"),
        path(version, "namespaces/{namespace}/decisions/{name}"): operation("get"),
    })
}
