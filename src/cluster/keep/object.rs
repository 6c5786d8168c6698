//! Name, labels and controller, which metadata alone gives of any kind.

use kube::core::ObjectMeta;
use serde::de::IgnoredAny;

use crate::cluster::intern::{Interner, OwnerRef};
use crate::cluster::partial::Keep;
use crate::model::inventory::Object;

impl Keep for Object {
    type Spec = IgnoredAny;

    const METADATA_ONLY: bool = true;
    const MOST: usize = 1_000_000;

    fn keep(metadata: &ObjectMeta, _: IgnoredAny, interner: &mut Interner) -> Self {
        // The map is sorted by key already.
        let labels = metadata.labels.iter().flatten();
        let mut owners = metadata.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true));
        interner.object(
            metadata.name.as_deref().unwrap_or_default(),
            labels.map(|(key, value)| (key.as_str(), value.as_str())),
            controller.map(|owner| OwnerRef {
                api_version: &owner.api_version,
                kind: &owner.kind,
                name: &owner.name,
            }),
        )
    }
}
