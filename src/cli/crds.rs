//! `plimsoll crds`: prints the definitions of the custom resources.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::admission::crd::Exemption;
use crate::signals::crd::{ClusterSignal, Signal};

/// The first lines of the text.
const HEADER: &str = "\
# The custom resources, as `plimsoll crds` prints them.
";

/// The definitions as YAML, ready for `kubectl apply -f -`.
pub fn print() -> Result<String, serde_saphyr::ser::Error> {
    let mut text = HEADER.to_owned();
    for (index, definition) in definitions().iter().enumerate() {
        text.push_str(if index > 0 { "---\n" } else { "" });
        text.push_str(&serde_saphyr::to_string(definition)?);
    }
    Ok(text)
}

/// All definitions, as an API server takes them.
pub fn definitions() -> Vec<Value> {
    [Signal::crd(), ClusterSignal::crd(), Exemption::crd()].iter().map(structural).collect()
}

/// A structural schema forbids nothing by `additionalProperties: false`: the API server prunes
/// what it does not know, or refuses it where a client asks for that.
fn structural(definition: &CustomResourceDefinition) -> Value {
    let mut definition = serde_json::to_value(definition).unwrap_or_default();
    strip(&mut definition);
    definition
}

fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.get("additionalProperties") == Some(&Value::Bool(false)) {
                fields.remove("additionalProperties");
            }
            // What an empty default says, absence says too, and it need not fit the schema.
            if matches!(fields.get("default"), Some(Value::String(text)) if text.is_empty()) {
                fields.remove("default");
            }
            // Kubernetes knows signed formats alone; the bounds stand beside them.
            if matches!(fields.get("format"), Some(Value::String(format)) if format.starts_with("uint"))
            {
                fields.remove("format");
            }
            // An API server leaves out a null where none is allowed.
            if fields.get("nullable") == Some(&Value::Bool(true)) {
                fields.remove("nullable");
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(items) => items.iter_mut().for_each(strip),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_have_the_definitions_that_are_printed() {
        let base = include_str!("../../manifests/base/crds.yaml");
        let chart = include_str!("../../manifests/chart/crds/crds.yaml");
        assert_eq!(base, print().unwrap(), "run: plimsoll crds > manifests/base/crds.yaml");
        assert_eq!(chart, base, "run: plimsoll crds > manifests/chart/crds/crds.yaml");
    }
}
