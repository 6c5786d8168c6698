//! The resources that a container will have once its pod exists: what is written, a request from
//! the limit, what the namespace's limit ranges fill in, and what the pod has as a whole.
//!
//! The API server does the first two steps on a pod before a webhook sees it and on a template
//! never (`SetDefaults_Pod` in pkg/apis/core/v1/defaults.go, then the LimitRanger plugin), so that
//! a template is judged by what its pods will be.

use std::sync::Arc;

use super::workload::{Class, Container, Pod, Resources};
use crate::model::limit_range::{LimitRange, LimitTarget};
use crate::model::quantity::Quantity;

/// An amount and where it comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount {
    pub(super) quantity: Quantity,
    pub(super) source: Source,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Written,
    /// The container's own limit.
    Limit,
    /// The limit range of this name.
    LimitRange(Box<str>),
    /// The resources of the pod as a whole.
    Pod,
}

/// Request and limit of one resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Effective {
    pub(super) request: Option<Amount>,
    pub(super) limit: Option<Amount>,
}

/// What a container will have of a resource. An amount of zero is none: the runtime takes a limit
/// of zero for unlimited, and a share of a zero request cannot be computed.
pub(super) fn effective(
    pod: &Pod,
    container: &Container,
    resource: &str,
    limit_ranges: &[Arc<LimitRange>],
) -> Effective {
    let written = own(&container.resources, resource);
    let ranges = || {
        let exempt = container.class == Class::Ephemeral;
        limit_ranges.iter().filter(move |_| !exempt).flat_map(|range| {
            let limits = range.limits.iter().filter(|limit| limit.target == LimitTarget::Container);
            limits.filter_map(|limit| Some((&range.name, limit.of(resource)?.with_defaults())))
        })
    };
    let from = |name: &str, quantity| Amount { quantity, source: Source::LimitRange(name.into()) };
    let limit = written.limit.or_else(|| {
        ranges().find_map(|(name, bounds)| bounds.default.map(|limit| from(name, limit)))
    });
    let request = written.request.or_else(|| {
        ranges().find_map(|(name, bounds)| bounds.default_request.map(|limit| from(name, limit)))
    });
    let whole = of_pod(pod, resource);
    let some = |amount: Option<Amount>| amount.filter(|amount| !is_zero(amount.quantity));
    Effective { request: some(request).or(whole.request), limit: some(limit).or(whole.limit) }
}

/// What the pod has as a whole.
pub(super) fn of_pod(pod: &Pod, resource: &str) -> Effective {
    let Effective { request, limit } = own(&pod.resources, resource);
    let whole = |amount: Option<Amount>| {
        let quantity = amount.map(|amount| amount.quantity).filter(|quantity| !is_zero(*quantity));
        quantity.map(|quantity| Amount { quantity, source: Source::Pod })
    };
    Effective { request: whole(request), limit: whole(limit) }
}

fn own(resources: &Resources, resource: &str) -> Effective {
    let amount = |source| move |quantity| Amount { quantity, source };
    let limit = resources.limit(resource);
    let request = resources.request(resource).map(amount(Source::Written));
    Effective {
        request: request.or_else(|| limit.map(amount(Source::Limit))),
        limit: limit.map(amount(Source::Written)),
    }
}

fn is_zero(quantity: Quantity) -> bool {
    Some(quantity) == Quantity::parse("0").ok()
}
