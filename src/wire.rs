//! What goes over the wire: the documents of `custom.metrics.k8s.io`,
//! `external.metrics.k8s.io`, `metrics.k8s.io` and `insight.plimsoll.dev`, discovery, `OpenAPI`,
//! errors, and which form of them a client takes.
//!
//! Pure: data goes in, bytes come out. Nothing in here reads a clock or knows of a connection.
//! JSON has the field names, order and presence of Kubernetes' Go types, so that a client or a
//! shadow comparison sees no difference; the one deliberate gap is that `<`, `>` and `&` are not
//! escaped, which no JSON reader notices. Protobuf, which the HPA controller asks for, has the very
//! bytes of theirs.

use std::fmt;

use serde::Serialize;

pub mod compress;
pub mod discovery;
pub mod document;
#[cfg(test)]
mod fixtures;
pub mod insight;
pub mod metrics;
pub mod negotiate;
pub mod openapi;
mod protobuf;
pub mod status;
pub mod table;
pub mod usage;
pub mod version;

/// A version of `custom.metrics.k8s.io`, in order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CustomVersion {
    /// `metric.name`, `metric.selector`, `windowSeconds`; what the HPA asks for first.
    V1Beta2,
    /// `metricName`, `selector`, `window`.
    V1Beta1,
}

/// The API groups that this server can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Group {
    /// `custom.metrics.k8s.io`: values that describe objects.
    Custom,
    /// `external.metrics.k8s.io`: values that describe series.
    External,
    /// `metrics.k8s.io`: what nodes and pods use.
    Resource,
    /// `insight.plimsoll.dev`: what decision signals decided, and why.
    Insight,
}

/// A group and version that this server can serve, in the order of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupVersion {
    /// `custom.metrics.k8s.io`.
    Custom(CustomVersion),
    /// `external.metrics.k8s.io/v1beta1`.
    External,
    /// `metrics.k8s.io/v1beta1`.
    Resource,
    /// `insight.plimsoll.dev/v1alpha1`.
    Insight,
}

/// Which groups are served: all but `metrics.k8s.io` always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Groups {
    /// Whether `metrics.k8s.io` is.
    pub resource: bool,
}

impl Group {
    /// Every group, in the order of discovery.
    pub const ALL: [Self; 4] = [Self::Custom, Self::External, Self::Resource, Self::Insight];

    /// The group's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Custom => "custom.metrics.k8s.io",
            Self::External => "external.metrics.k8s.io",
            Self::Resource => "metrics.k8s.io",
            Self::Insight => "insight.plimsoll.dev",
        }
    }

    /// The group's versions, the preferred one first.
    pub const fn versions(self) -> &'static [GroupVersion] {
        match self {
            Self::Custom => &[
                GroupVersion::Custom(CustomVersion::V1Beta2),
                GroupVersion::Custom(CustomVersion::V1Beta1),
            ],
            Self::External => &[GroupVersion::External],
            Self::Resource => &[GroupVersion::Resource],
            Self::Insight => &[GroupVersion::Insight],
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl GroupVersion {
    /// The version that a path names: `custom.metrics.k8s.io` and `v1beta2`.
    pub fn parse(group: &str, version: &str) -> Option<Self> {
        Group::ALL
            .into_iter()
            .filter(|known| known.as_str() == group)
            .flat_map(Group::versions)
            .find(|known| known.version() == version)
            .copied()
    }

    /// The group.
    pub const fn group(self) -> Group {
        match self {
            Self::Custom(_) => Group::Custom,
            Self::External => Group::External,
            Self::Resource => Group::Resource,
            Self::Insight => Group::Insight,
        }
    }

    /// The version alone: `v1beta2`.
    pub const fn version(self) -> &'static str {
        match self {
            Self::Custom(CustomVersion::V1Beta2) => "v1beta2",
            Self::Custom(CustomVersion::V1Beta1) | Self::External | Self::Resource => "v1beta1",
            Self::Insight => "v1alpha1",
        }
    }

    /// Group and version as objects carry them: `custom.metrics.k8s.io/v1beta2`.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Custom(CustomVersion::V1Beta2) => "custom.metrics.k8s.io/v1beta2",
            Self::Custom(CustomVersion::V1Beta1) => "custom.metrics.k8s.io/v1beta1",
            Self::External => "external.metrics.k8s.io/v1beta1",
            Self::Resource => "metrics.k8s.io/v1beta1",
            Self::Insight => "insight.plimsoll.dev/v1alpha1",
        }
    }

    /// The kind of its lists; of `metrics.k8s.io`, which has two, that of pods.
    pub const fn list_kind(self) -> &'static str {
        match self {
            Self::Custom(_) => "MetricValueList",
            Self::External => "ExternalMetricValueList",
            Self::Resource => "PodMetricsList",
            Self::Insight => "DecisionList",
        }
    }
}

impl Groups {
    /// Whether a group is served.
    pub const fn serve(self, group: Group) -> bool {
        match group {
            Group::Custom | Group::External | Group::Insight => true,
            Group::Resource => self.resource,
        }
    }

    /// The groups that are served, in the order of discovery.
    pub fn iter(self) -> impl Iterator<Item = Group> {
        Group::ALL.into_iter().filter(move |group| self.serve(*group))
    }
}

/// `{}`, the metadata of what has none.
#[derive(Serialize)]
struct Empty {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_versions_that_there_are_and_no_others() {
        let known = Group::ALL.iter().flat_map(|group| group.versions());
        for version in known {
            let (group, name) = (version.group().as_str(), version.version());
            assert_eq!(GroupVersion::parse(group, name), Some(*version));
            assert_eq!(version.api_version(), format!("{group}/{name}"));
        }
        for (group, version) in [
            ("external.metrics.k8s.io", "v1beta2"),
            ("custom.metrics.k8s.io", "v1"),
            ("metrics.k8s.io", "v1"),
            ("", ""),
        ] {
            assert_eq!(GroupVersion::parse(group, version), None);
        }
    }
}
