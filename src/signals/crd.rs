//! The custom resources `Signal` and `ClusterSignal`: what the file has under `signals:`, one by
//! one. Their schema is written from the types of [`definition`](super::definition).

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::signals::definition::SignalSpec;

/// The API group of both.
pub const GROUP: &str = "plimsoll.dev";
/// The condition that says whether a signal is served, and why it is not.
pub const READY: &str = "Ready";

/// One of the two kinds; they differ in their scope alone.
macro_rules! resource {
    ($spec:ident, $kind:literal, $plural:literal, $singular:literal, $short:literal, $doc:literal $(, $namespaced:ident)?) => {
        #[doc = $doc]
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
        #[kube(
            group = "plimsoll.dev",
            version = "v1alpha1",
            kind = $kind,
            plural = $plural,
            singular = $singular,
            shortname = $short,
            category = "plimsoll",
            label("app.kubernetes.io/name", "plimsoll"),
            label("app.kubernetes.io/part-of", "plimsoll"),
            doc = $doc,
            status = "SignalStatus",
            $($namespaced,)?
            printcolumn(name = "Metric", type_ = "string", json_path = ".spec.metric"),
            printcolumn(name = "On", type_ = "string", json_path = ".spec['on','true']"),
            printcolumn(name = "Value", type_ = "string", json_path = ".status.value"),
            printcolumn(
                name = "Ready",
                type_ = "string",
                json_path = ".status.conditions[?(@.type==\"Ready\")].status"
            ),
            printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
        )]
        #[serde(transparent)]
        #[schemars(transparent)]
        pub struct $spec(pub SignalSpec);
    };
}

resource!(
    NamespacedSpec,
    "Signal",
    "signals",
    "signal",
    "sig",
    "A metric for autoscalers, computed from series of this namespace alone.",
    namespaced
);
resource!(
    ClusterSpec,
    "ClusterSignal",
    "clustersignals",
    "clustersignal",
    "csig",
    "A metric for autoscalers, computed in every namespace."
);

/// What became of a signal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct SignalStatus {
    /// The generation that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The last value, of one object or of several as the least and the greatest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// When it was evaluated last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub last_evaluated: Option<Timestamp>,
    /// Whether it is served, and what is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}

/// As Kubernetes' own types have them, merged by type.
fn conditions(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "maxItems": 8,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {"type": "string", "format": "date-time"},
                "message": {"type": "string", "maxLength": 32768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "reason": {"type": "string", "minLength": 1, "maxLength": 1024},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "type": {"type": "string", "maxLength": 316},
            },
        },
    })
}
