//! Pod templates as far as others need them: which one a rollback leads to, and what the pods that
//! an autoscaler counts request.
//!
//! There are many of these, and hardly any is ever looked at: they are kept as small as they go.

use std::sync::Arc;

use super::inventory::{Named, Owner};

/// The template of a revision: a `ReplicaSet`, or a `ControllerRevision`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// `metadata.name`.
    pub name: Box<str>,
    /// The workload that it is a revision of.
    pub owner: Option<Arc<Owner>>,
    /// [`Pod::fingerprint`](super::workload::Pod::fingerprint) of its pods; `None` where the
    /// template cannot be read.
    pub fingerprint: Option<u64>,
}

impl Named for Revision {
    fn name(&self) -> &str {
        &self.name
    }
}

/// A workload that an autoscaler may scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outline {
    /// `metadata.name`.
    pub name: Box<str>,
    /// The `spec` of its pods as JSON, with the names and resources of the containers and nothing
    /// else: some hundred bytes, where the same in types is some thousand.
    pub pod: Arc<str>,
}

impl Named for Outline {
    fn name(&self) -> &str {
        &self.name
    }
}

/// The kinds of revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RevisionKind {
    /// Of a `Deployment`.
    ReplicaSet,
    /// Of a `StatefulSet` or `DaemonSet`.
    ControllerRevision,
}

impl RevisionKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::ReplicaSet, Self::ControllerRevision];

    /// The kind of the revisions of a workload of a kind of `apps`; `None` where it has none.
    pub fn of(workload: &str) -> Option<Self> {
        match workload {
            "Deployment" => Some(Self::ReplicaSet),
            "DaemonSet" | "StatefulSet" => Some(Self::ControllerRevision),
            _ => None,
        }
    }
}

/// The kinds of which outlines are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OutlineKind {
    /// `deployments.apps`
    Deployment,
    /// `statefulsets.apps`
    StatefulSet,
}

impl OutlineKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Deployment, Self::StatefulSet];

    /// A kind of `apps` by name.
    pub fn parse(kind: &str) -> Option<Self> {
        match kind {
            "Deployment" => Some(Self::Deployment),
            "StatefulSet" => Some(Self::StatefulSet),
            _ => None,
        }
    }
}
