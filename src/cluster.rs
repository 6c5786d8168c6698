//! What the cluster knows: which kinds and objects exist, who asks, and what they may; and what is
//! kept there.
//!
//! Kinds and objects come from a file or from an API server, and both implement the engine's port
//! [`Inventory`]; name, labels and controller are all that is kept of an object, and a little of the
//! `spec` of a few kinds ([`Snapshots`]). Who asks
//! ([`authn`]) and what they may ([`authz`]) is the API server's to say. The serving certificate
//! ([`certificates`]) is made by the holder of a [`lease`].

pub mod authn;
pub mod authz;
mod cache;
pub mod certificates;
pub mod client;
mod definitions;
mod discovery;
pub mod events;
mod explain;
pub mod file;
mod follow;
mod intern;
mod keep;
mod kinds;
pub mod lease;
pub mod name;
mod partial;
pub mod reviews;
pub mod status;
pub mod watch;

use std::sync::Arc;

use tokio::sync::watch as channel;

use crate::engine::ports::{Inventory, InventoryError};
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::Objects;
use crate::model::limit_range::LimitRange;
use crate::model::object::{Kind, Kinds};
use crate::model::service::Service;
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};

use file::FileInventory;
use watch::{WatchInventory, WatchState};

/// All objects of a kind as they were seen last; `None` until the first list is in. While the API
/// server is away the last state stays.
pub type Snapshots<T> = channel::Receiver<Option<Arc<Objects<T>>>>;

/// Either inventory, for a program that learns from its flags which one it has.
#[derive(Debug)]
pub enum AnyInventory {
    /// `--standalone`, with or without `--objects`.
    File(FileInventory),
    /// An API server.
    Watch(WatchInventory),
}

impl AnyInventory {
    /// How well each kind is followed; none where there is no API server.
    pub fn watches(&self) -> Vec<WatchState> {
        match self {
            Self::File(_) => Vec::new(),
            Self::Watch(watch) => watch.watches(),
        }
    }

    /// All autoscalers.
    pub fn autoscalers(&self) -> Snapshots<Autoscaler> {
        match self {
            Self::File(file) => file.autoscalers(),
            Self::Watch(watch) => watch.autoscalers(),
        }
    }

    /// All Services with their selectors.
    pub fn services(&self) -> Snapshots<Service> {
        match self {
            Self::File(file) => file.services(),
            Self::Watch(watch) => watch.services(),
        }
    }

    /// All limit ranges.
    pub fn limit_ranges(&self) -> Snapshots<LimitRange> {
        match self {
            Self::File(file) => file.limit_ranges(),
            Self::Watch(watch) => watch.limit_ranges(),
        }
    }

    /// What the pods of all workloads of a kind request.
    pub fn outlines(&self, kind: OutlineKind) -> Snapshots<Outline> {
        match self {
            Self::File(file) => file.outlines(kind),
            Self::Watch(watch) => watch.outlines(kind),
        }
    }

    /// All revisions of a kind.
    pub fn revisions(&self, kind: RevisionKind) -> Snapshots<Revision> {
        match self {
            Self::File(file) => file.revisions(kind),
            Self::Watch(watch) => watch.revisions(kind),
        }
    }

    /// All objects of one of our own kinds; none where its definition is not installed.
    pub fn custom(&self, kind: CustomKind) -> Snapshots<CustomObject> {
        match self {
            Self::File(file) => file.custom(kind),
            Self::Watch(watch) => watch.custom(kind),
        }
    }
}

impl Inventory for AnyInventory {
    fn kinds(&self) -> Arc<Kinds> {
        match self {
            Self::File(file) => file.kinds(),
            Self::Watch(watch) => watch.kinds(),
        }
    }

    fn look_for_kinds(&self) {
        match self {
            Self::File(file) => file.look_for_kinds(),
            Self::Watch(watch) => watch.look_for_kinds(),
        }
    }

    fn current(&self, kind: &Kind) -> Option<Arc<Objects>> {
        match self {
            Self::File(file) => file.current(kind),
            Self::Watch(watch) => watch.current(kind),
        }
    }

    async fn objects(&self, kind: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        match self {
            Self::File(file) => file.objects(kind).await,
            Self::Watch(watch) => watch.objects(kind).await,
        }
    }

    async fn running(&self, pods: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        match self {
            Self::File(file) => file.running(pods).await,
            Self::Watch(watch) => watch.running(pods).await,
        }
    }

    async fn selecting_services(&self) -> Result<Option<Arc<Objects<Service>>>, InventoryError> {
        match self {
            Self::File(file) => file.selecting_services().await,
            Self::Watch(watch) => watch.selecting_services().await,
        }
    }
}
