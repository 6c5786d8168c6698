//! Which pods a `Service` selects.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;
use serde::Deserialize;

use crate::cluster::intern::Interner;
use crate::cluster::partial::Keep;
use crate::model::service::Service;

/// `ServiceSpec` of `v1`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cluster) struct Spec {
    selector: Option<BTreeMap<String, String>>,
}

impl Keep for Service {
    type Spec = Spec;

    const MOST: usize = 200_000;

    fn keep(metadata: &ObjectMeta, spec: Spec, interner: &mut Interner) -> Self {
        let selector = spec.selector.iter().flatten();
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            selector: interner.labels(selector.map(|(key, value)| (key.as_str(), value.as_str()))),
        }
    }
}
