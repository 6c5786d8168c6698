//! Objects of our own kinds, whose `spec` is for others to make sense of.

use std::sync::Arc;

use kube::core::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::intern::Interner;
use crate::cluster::partial::Keep;
use crate::model::custom::{CustomObject, MAX_SPEC, ResourceVersion};

/// Anything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(in crate::cluster) struct Spec(Value);

impl Keep for CustomObject {
    type Spec = Spec;

    const MOST: usize = 20_000;

    fn keep(metadata: &ObjectMeta, Spec(spec): Spec, interner: &mut Interner) -> Self {
        let size = spec.to_string().len();
        Self {
            namespace: interner.text(metadata.namespace.as_deref().unwrap_or_default()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            resource_version: ResourceVersion(
                metadata.resource_version.as_deref().unwrap_or_default().into(),
            ),
            spec: if size > MAX_SPEC { Err(size) } else { Ok(Arc::new(spec)) },
        }
    }
}
