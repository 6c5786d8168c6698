//! An object of one of our own kinds, before anybody has made sense of its `spec`.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::inventory::Named;

/// The API group of our own kinds.
pub const GROUP: &str = "plimsoll.dev";
/// The version that they are read in.
pub const VERSION: &str = "v1alpha1";

/// The largest `spec` that is kept, in bytes of JSON.
pub const MAX_SPEC: usize = 64 * 1024;

/// Our own kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CustomKind {
    /// A signal of all namespaces.
    ClusterSignal,
    /// What admission leaves alone.
    Exemption,
    /// A signal of its own namespace.
    Signal,
}

impl CustomKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ClusterSignal, Self::Exemption, Self::Signal];

    /// `Signal`
    pub fn kind(self) -> &'static str {
        match self {
            Self::ClusterSignal => "ClusterSignal",
            Self::Exemption => "Exemption",
            Self::Signal => "Signal",
        }
    }

    /// `signals`
    pub fn plural(self) -> &'static str {
        match self {
            Self::ClusterSignal => "clustersignals",
            Self::Exemption => "exemptions",
            Self::Signal => "signals",
        }
    }
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomObject {
    /// `metadata.namespace`; empty where the kind is cluster-scoped.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`; empty in a file.
    pub uid: Arc<str>,
    /// `metadata.generation`, which changes with `spec`; 0 in a file.
    pub generation: i64,
    /// `metadata.creationTimestamp`: of two that claim the same, the older has it.
    pub created: Option<Timestamp>,
    /// `metadata.resourceVersion` when something else here changed last: a change of the status
    /// alone is none.
    pub resource_version: ResourceVersion,
    /// `spec`, or how many bytes it has where that is more than [`MAX_SPEC`].
    pub spec: Result<Arc<Value>, usize>,
}

impl Named for CustomObject {
    fn name(&self) -> &str {
        &self.name
    }
}

/// A resource version. All are equal: what differs by it alone has not changed for anybody here.
#[derive(Clone, Debug, Default)]
pub struct ResourceVersion(pub Box<str>);

impl PartialEq for ResourceVersion {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ResourceVersion {}
