//! What a `LimitRange` gives and allows.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::ObjectMeta;
use serde::Deserialize;

use crate::cluster::intern::Interner;
use crate::cluster::partial::Keep;
use crate::model::limit_range::{Bounds, Limit, LimitRange, LimitTarget};
use crate::model::quantity::Quantity;

/// `LimitRangeSpec` of `v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cluster) struct Spec {
    limits: Option<Vec<Item>>,
}

/// `LimitRangeItem` of `v1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    r#type: Option<String>,
    default: Resources,
    default_request: Resources,
    min: Resources,
    max: Resources,
    max_limit_request_ratio: Resources,
}

/// Amounts by the name of the resource.
type Resources = Option<BTreeMap<String, String>>;

impl Keep for LimitRange {
    type Spec = Spec;

    const MOST: usize = 50_000;

    fn keep(metadata: &ObjectMeta, spec: Spec, interner: &mut Interner) -> Self {
        Self {
            name: metadata.name.as_deref().unwrap_or_default().into(),
            limits: spec
                .limits
                .into_iter()
                .flatten()
                .filter_map(|item| limit(&item, interner))
                .collect(),
        }
    }
}

fn limit(item: &Item, interner: &mut Interner) -> Option<Limit> {
    let target = match item.r#type.as_deref() {
        Some("Container") => LimitTarget::Container,
        Some("Pod") => LimitTarget::Pod,
        _ => return None,
    };
    let all =
        [&item.default, &item.default_request, &item.min, &item.max, &item.max_limit_request_ratio];
    let names: BTreeSet<&String> = all.into_iter().flatten().flat_map(BTreeMap::keys).collect();
    let bounds = |name: &str| {
        // The API server takes no other amounts; a file may have any, and those say nothing.
        let amount = |of: &Resources| Quantity::parse(of.as_ref()?.get(name)?).ok();
        let bounds = Bounds {
            default: amount(&item.default),
            default_request: amount(&item.default_request),
            min: amount(&item.min),
            max: amount(&item.max),
            max_ratio: amount(&item.max_limit_request_ratio),
        };
        if target == LimitTarget::Container { bounds.with_defaults() } else { bounds }
    };
    let resources = names.into_iter().map(|name| (interner.text(name), bounds(name))).collect();
    Some(Limit { target, resources })
}
