//! What exists: kinds and objects, from a file or from an API server.
//!
//! Both implement the engine's port [`Inventory`]. Names and labels are all that is kept of an
//! object. Who asks and what they may is not answered here.

pub mod client;
mod discovery;
mod explain;
pub mod file;
mod follow;
mod kinds;
pub mod watch;

use std::sync::Arc;

use crate::engine::ports::{Inventory, InventoryError};
use crate::model::inventory::Objects;
use crate::model::object::{Kind, Kinds};

use file::FileInventory;
use watch::WatchInventory;

/// Either inventory, for a program that learns from its flags which one it has.
#[derive(Debug)]
pub enum AnyInventory {
    /// `--standalone`, with or without `--objects`.
    File(FileInventory),
    /// An API server.
    Watch(WatchInventory),
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
}
