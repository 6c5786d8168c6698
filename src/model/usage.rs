//! What nodes and pods use of their machine.

use crate::model::quantity::Milli;

/// What one node or pod uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectUsage {
    /// Its namespace; empty for nodes.
    pub namespace: Box<str>,
    /// Its name.
    pub name: Box<str>,
    /// The time of its earliest sample, in whole seconds since the Unix epoch.
    pub timestamp: i64,
    /// Its containers by name; a node has one, without a name.
    pub containers: Vec<ContainerUsage>,
}

/// What one container uses; never negative.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Its name.
    pub name: Box<str>,
    /// Cores.
    pub cpu: Milli,
    /// Bytes.
    pub memory: Milli,
}
