//! A `LimitRange`: what a namespace gives to containers that say nothing, and what it allows.

use std::sync::Arc;

use super::quantity::Quantity;

/// One `LimitRange`.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitRange {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `spec.limits` in order; those about volume claims are left out.
    pub limits: Vec<Limit>,
}

/// What a limit is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitTarget {
    /// Each container of a pod.
    Container,
    /// A pod, as the sum of its containers.
    Pod,
}

/// An entry of `spec.limits`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limit {
    /// `type`.
    pub target: LimitTarget,
    /// What is said of each resource, sorted by its name: `cpu`, `memory`.
    pub resources: Vec<(Arc<str>, Bounds)>,
}

impl Limit {
    /// What is said of a resource.
    pub fn of(&self, resource: &str) -> Option<&Bounds> {
        let index =
            self.resources.binary_search_by(|(name, _)| name.as_ref().cmp(resource)).ok()?;
        Some(&self.resources[index].1)
    }
}

/// What is said of one resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// `default`: the limit of a container without one.
    pub default: Option<Quantity>,
    /// `defaultRequest`: the request of a container without one.
    pub default_request: Option<Quantity>,
    /// `min`: of requests and limits.
    pub min: Option<Quantity>,
    /// `max`: of requests and limits.
    pub max: Option<Quantity>,
    /// `maxLimitRequestRatio`: how much larger the limit may be than the request.
    pub max_ratio: Option<Quantity>,
}

impl Bounds {
    /// Fills in what the API server fills in of a limit on containers when it is written
    /// (`SetDefaults_LimitRangeItem` in pkg/apis/core/v1/defaults.go): the default limit is the
    /// maximum, the default request the default limit or else the minimum.
    #[must_use]
    pub fn with_defaults(self) -> Self {
        let default = self.default.or(self.max);
        let default_request = self.default_request.or(default).or(self.min);
        Self { default, default_request, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_said_follows_from_maximum_and_minimum() {
        let quantity = |text| Some(Quantity::parse(text).unwrap());
        let (low, mid, high) = (quantity("100m"), quantity("500m"), quantity("2"));
        let bounds = Bounds { min: low, max: high, ..Bounds::default() };
        let filled = bounds.with_defaults();
        assert_eq!((filled.default, filled.default_request), (high, high));
        assert_eq!(filled.with_defaults(), filled);

        let filled = Bounds { default: mid, ..bounds }.with_defaults();
        assert_eq!((filled.default, filled.default_request), (mid, mid));
        let filled = Bounds { max: None, ..bounds }.with_defaults();
        assert_eq!((filled.default, filled.default_request), (None, low));
    }
}
