//! The policy of the file with the `Exemption`s of the cluster: what cannot be used is left out, and
//! told.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use crate::model::custom::{CustomObject, MAX_SPEC};
use crate::model::inventory::Objects;
use crate::model::policy::Policy;
use crate::model::policy::exemption::{Exemption, ExemptionSpec, MAX_EXEMPTIONS};

/// The policy of the file with the exemptions of both, and what is wrong with those of the cluster.
pub fn join(
    of_file: &Arc<Policy>,
    of_cluster: Option<&Objects<CustomObject>>,
) -> (Arc<Policy>, BTreeSet<String>) {
    let mut mistakes = BTreeSet::new();
    let mut exemptions = Vec::new();
    let objects = of_cluster.into_iter().flat_map(Objects::iter);
    for object in objects {
        let source = format!("Exemption {}", object.name);
        match compile(source.clone(), object) {
            Ok(_) if exemptions.len() == MAX_EXEMPTIONS => {
                let what = format!("{source} is left out: there are more than {MAX_EXEMPTIONS}");
                mistakes.insert(what);
            }
            Ok(exemption) => exemptions.push(exemption),
            Err(why) => {
                mistakes.insert(format!("{source} exempts nothing: {why}"));
            }
        }
    }
    if exemptions.is_empty() {
        return (Arc::clone(of_file), mistakes);
    }
    let mut policy = Policy::clone(of_file);
    policy.exemptions.append(&mut exemptions);
    (Arc::new(policy), mistakes)
}

fn compile(source: String, object: &CustomObject) -> Result<Exemption, String> {
    let spec: &Value = match &object.spec {
        Ok(spec) => spec,
        Err(size) => return Err(format!("its spec has {size} bytes, more than {MAX_SPEC}")),
    };
    let spec: ExemptionSpec = serde_path_to_error::deserialize(spec)
        .map_err(|error| format!("spec.{}: {}", error.path(), error.inner()))?;
    Exemption::compile(source, spec).map_err(|error| error.to_string())
}
