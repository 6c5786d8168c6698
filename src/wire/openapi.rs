//! `OpenAPI` v3 and v2 of the groups that are served: fixed documents, written once at start.
//!
//! They have to be there from the first moment and at once: the API server remembers a 404 on
//! `/openapi/v3` until the `APIService` is created anew, and holds a lock over the whole cluster's
//! document while it waits for ours. They list our own group versions alone, since every key is
//! merged into the cluster's, and never redirect.

mod insight;

use std::collections::BTreeMap;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, EXPIRES, HeaderValue};
use http::{HeaderMap, Response};
use serde_json::{Value, json};

use super::document::Document;
use super::negotiate::Form;
use super::usage::UsageKind;
use super::{CustomVersion, GroupVersion, Groups};

/// Every `OpenAPI` document.
#[derive(Clone, Debug)]
pub struct Documents {
    root: Document,
    versions: BTreeMap<GroupVersion, Document>,
    v2: Document,
}

impl Documents {
    /// Writes all documents.
    pub fn new(groups: Groups) -> Self {
        let versions: BTreeMap<_, _> = groups
            .iter()
            .flat_map(|group| group.versions().iter().copied())
            .map(|version| (version, Document::new(&version_document(version))))
            .collect();
        let paths: BTreeMap<_, _> = versions
            .iter()
            .map(|(version, document)| {
                let key = format!("apis/{}", version.api_version());
                let url = format!("/openapi/v3/{key}?hash={}", document.hash());
                (key, json!({ "serverRelativeURL": url }))
            })
            .collect();
        Self {
            root: Document::new(&json!({ "paths": paths })),
            versions,
            // Without definitions: the API server renames those whose names it knows.
            v2: Document::new(&json!({ "swagger": "2.0", "info": info(), "paths": {} })),
        }
    }

    /// `/openapi/v3`: the whole answer.
    pub fn root(&self, form: Form, request: &HeaderMap) -> Response<Bytes> {
        self.root.respond(form, form.content_type(), "no-cache, private", request)
    }

    /// `/openapi/v3/apis/GROUP/VERSION?hash=HASH`: the whole answer; `None` where the group is not
    /// served. With the right hash the content can never change; with another one, which a client
    /// has from an older or newer replica, it is what it is now, and not for keeps.
    pub fn version(
        &self,
        version: GroupVersion,
        hash: Option<&str>,
        form: Form,
        request: &HeaderMap,
    ) -> Option<Response<Bytes>> {
        let document = self.versions.get(&version)?;
        let mut response =
            document.respond(form, form.content_type(), "no-cache, private", request);
        if hash == Some(document.hash()) {
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            // Far enough, and the same from every replica.
            headers.insert(EXPIRES, HeaderValue::from_static("Fri, 31 Dec 2100 23:59:59 GMT"));
        }
        Some(response)
    }

    /// `/openapi/v2`: the whole answer.
    pub fn v2(&self, form: Form, request: &HeaderMap) -> Response<Bytes> {
        self.v2.respond(form, form.content_type(), "no-cache, private", request)
    }
}

/// No version of ours in it, so that replicas of neighbouring releases serve the same bytes.
fn info() -> Value {
    json!({ "title": "plimsoll", "version": "unversioned" })
}

/// The paths that `kubectl explain` looks for. Metrics have none: they come and go.
fn paths(version: GroupVersion) -> Value {
    match version {
        GroupVersion::Insight => insight::paths(),
        GroupVersion::Resource => {
            let pods = "namespaces/{namespace}/pods";
            json!({
                path(version, "nodes"): operation(version, "list", "NodeMetrics"),
                path(version, "nodes/{name}"): operation(version, "get", "NodeMetrics"),
                path(version, "pods"): operation(version, "list", "PodMetrics"),
                path(version, pods): operation(version, "list", "PodMetrics"),
                path(version, &format!("{pods}/{{name}}")):
                    operation(version, "get", "PodMetrics"),
            })
        }
        GroupVersion::Custom(_) | GroupVersion::External => json!({}),
    }
}

fn path(version: GroupVersion, rest: &str) -> String {
    format!("/apis/{}/{rest}", version.api_version())
}

fn operation(version: GroupVersion, action: &str, item: &str) -> Value {
    json!({ "get": {
        "responses": { "200": { "description": "OK" } },
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind(version, item),
    } })
}

/// The schemas of a group version, and the paths of what has a fixed name.
fn version_document(version: GroupVersion) -> Value {
    let mut schemas = match version {
        GroupVersion::Custom(custom) => custom_schemas(custom),
        GroupVersion::External => external_schemas(),
        GroupVersion::Resource => usage_schemas(),
        GroupVersion::Insight => insight::schemas(),
    };
    let lists: &[_] = match version {
        GroupVersion::Custom(_) => &[("MetricValue", version.list_kind())],
        GroupVersion::External => &[("ExternalMetricValue", version.list_kind())],
        GroupVersion::Resource => {
            &[UsageKind::Node, UsageKind::Pod].map(|it| (it.as_str(), it.list()))
        }
        GroupVersion::Insight => &[("Decision", version.list_kind())],
    };
    for (item, list) in lists {
        schemas.insert(list, list_schema(version, item, list));
    }
    json!({
        "openapi": "3.0.0",
        "info": info(),
        "paths": paths(version),
        "components": { "schemas": schemas },
    })
}

fn list_schema(version: GroupVersion, item: &str, list: &str) -> Value {
    json!({
        "type": "object",
        "description": "Values of one metric.",
        "required": ["items"],
        "properties": {
            "apiVersion": { "type": "string" },
            "kind": { "type": "string" },
            "metadata": { "type": "object" },
            "items": { "type": "array", "items": reference(item) },
        },
        "x-kubernetes-group-version-kind": [kind(version, list)],
    })
}

fn kind(version: GroupVersion, kind: &str) -> Value {
    json!({ "group": version.group().as_str(), "version": version.version(), "kind": kind })
}

fn custom_schemas(version: CustomVersion) -> BTreeMap<&'static str, Value> {
    let selector = json!({
        "type": "object",
        "nullable": true,
        "description": "The metric selector of the request.",
        "properties": {
            "matchLabels": labels(),
            "matchExpressions": { "type": "array", "items": {
                "type": "object",
                "required": ["key", "operator"],
                "properties": {
                    "key": { "type": "string" },
                    "operator": { "type": "string" },
                    "values": { "type": "array", "items": { "type": "string" } },
                },
            } },
        },
    });
    let object = json!({
        "type": "object",
        "description": "The object that the value describes.",
        "properties": {
            "kind": { "type": "string" },
            "namespace": { "type": "string" },
            "name": { "type": "string" },
            "apiVersion": { "type": "string" },
        },
    });
    let item = match version {
        CustomVersion::V1Beta2 => json!({
            "type": "object",
            "required": ["describedObject", "metric", "timestamp", "value"],
            "properties": {
                "describedObject": object,
                "metric": {
                    "type": "object",
                    "required": ["name"],
                    "properties": { "name": { "type": "string" }, "selector": selector },
                },
                "timestamp": timestamp(),
                "windowSeconds": window(),
                "value": quantity(),
            },
        }),
        CustomVersion::V1Beta1 => json!({
            "type": "object",
            "required": ["describedObject", "metricName", "timestamp", "value"],
            "properties": {
                "describedObject": object,
                "metricName": { "type": "string" },
                "timestamp": timestamp(),
                "window": window(),
                "value": quantity(),
                "selector": selector,
            },
        }),
    };
    BTreeMap::from([("MetricValue", item)])
}

fn external_schemas() -> BTreeMap<&'static str, Value> {
    let item = json!({
        "type": "object",
        "required": ["metricName", "metricLabels", "timestamp", "value"],
        "properties": {
            "metricName": { "type": "string" },
            "metricLabels": labels(),
            "timestamp": timestamp(),
            "window": window(),
            "value": quantity(),
        },
    });
    BTreeMap::from([("ExternalMetricValue", item)])
}

fn usage_schemas() -> BTreeMap<&'static str, Value> {
    let usage = json!({
        "type": "object",
        "description": "Amounts by resource: cpu in cores, memory in bytes.",
        "additionalProperties": quantity(),
    });
    let object = |of: UsageKind, field: &str, content: &Value| {
        json!({
            "type": "object",
            "required": ["timestamp", "window", field],
            "properties": {
                "apiVersion": { "type": "string" },
                "kind": { "type": "string" },
                "metadata": { "type": "object" },
                "timestamp": timestamp(),
                "window": { "type": "string", "description": "Over how long it was measured." },
                field: content,
            },
            "x-kubernetes-group-version-kind": [kind(GroupVersion::Resource, of.as_str())],
        })
    };
    let containers = json!({ "type": "array", "items": {
        "type": "object",
        "required": ["name", "usage"],
        "properties": { "name": { "type": "string" }, "usage": usage },
    } });
    BTreeMap::from([
        ("NodeMetrics", object(UsageKind::Node, "usage", &usage)),
        ("PodMetrics", object(UsageKind::Pod, "containers", &containers)),
    ])
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn labels() -> Value {
    json!({ "type": "object", "additionalProperties": { "type": "string" } })
}

fn timestamp() -> Value {
    json!({ "type": "string", "format": "date-time", "description": "When it was measured." })
}

fn window() -> Value {
    json!({
        "type": "integer",
        "format": "int64",
        "description": "Over how many seconds it was measured.",
    })
}

fn quantity() -> Value {
    json!({ "type": "string", "description": "A quantity: 1500m, 7, 3k." })
}

#[cfg(test)]
mod tests;
