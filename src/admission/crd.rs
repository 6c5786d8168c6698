//! The custom resource `Exemption`: what the file has under `admission.exemptions`, one by one.
//!
//! It is cluster-scoped: who may exempt is not who is judged.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::policy::exemption::ExemptionSpec;

/// What admission leaves alone, why and until when.
#[expect(clippy::duplicated_attributes, reason = "each column has a type of its own")]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, CustomResource, JsonSchema)]
#[kube(
    group = "plimsoll.dev",
    version = "v1alpha1",
    kind = "Exemption",
    plural = "exemptions",
    singular = "exemption",
    category = "plimsoll",
    label("app.kubernetes.io/name", "plimsoll"),
    label("app.kubernetes.io/part-of", "plimsoll"),
    doc = "What admission leaves alone, why and until when.",
    printcolumn(name = "Namespaces", type_ = "string", json_path = ".spec.namespaces"),
    printcolumn(name = "Rules", type_ = "string", json_path = ".spec.rules"),
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expires"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(transparent)]
#[schemars(transparent)]
pub struct Exempting(pub ExemptionSpec);
