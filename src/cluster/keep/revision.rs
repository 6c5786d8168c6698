//! What tells the template of one revision from another.
//!
//! A template is let go of while it is read, so that a page of a list is never there as a whole.

use kube::core::ObjectMeta;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use crate::cluster::intern::{Interner, OwnerRef};
use crate::cluster::partial::Keep;
use crate::model::template::Revision;
use crate::model::workload::Workload;

/// `ReplicaSetSpec` of `apps/v1`, or the `data` of a `ControllerRevision`, which is a patch of the
/// workload.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cluster) struct Spec {
    template: Option<Template>,
    spec: Option<Patch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Patch {
    template: Option<Template>,
}

/// The fingerprint of a `PodTemplateSpec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Template(Option<u64>);

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = json!({"spec": {"template": Value::deserialize(deserializer)?}});
        let workload = Workload::read("apps", "ReplicaSet", &object, &[]).ok().flatten();
        Ok(Self(workload.map(|workload| workload.pod.fingerprint())))
    }
}

impl Keep for Revision {
    type Spec = Spec;

    const MOST: usize = 500_000;
    const PAGE: u32 = 250;

    fn keep(metadata: &ObjectMeta, spec: Spec, interner: &mut Interner) -> Self {
        let template = spec.template.or_else(|| spec.spec?.template);
        let mut owners = metadata.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true));
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            owner: controller.map(|owner| {
                interner.owner(OwnerRef {
                    api_version: &owner.api_version,
                    kind: &owner.kind,
                    name: &owner.name,
                })
            }),
            fingerprint: template.and_then(|Template(fingerprint)| fingerprint),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(spec: Value) -> Option<u64> {
        let spec = serde_json::from_value(spec).unwrap();
        Revision::keep(&ObjectMeta::default(), spec, &mut Interner::default()).fingerprint
    }

    #[test]
    fn a_revision_is_known_by_its_template_wherever_that_stands() {
        let template = json!({"spec": {"containers": [{"name": "app", "image": "a:1"}]}});
        let of_set = fingerprint(json!({"replicas": 1, "template": template}));
        let patch = json!({"spec": {"template": template}});
        assert!(of_set.is_some());
        assert_eq!(fingerprint(patch), of_set);
        let other = json!({"spec": {"containers": [{"name": "app", "image": "a:2"}]}});
        assert_ne!(fingerprint(json!({"template": other})), of_set);
        assert_eq!(fingerprint(json!({"template": {"spec": 7}})), None);
        assert_eq!(fingerprint(json!({})), None);
    }
}
