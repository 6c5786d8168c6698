//! The inventory of `--standalone`: objects from a file, or none at all.
//!
//! The file is what `kubectl get pods,services,nodes,… -A -o yaml` prints. It is compared by
//! content at an interval, since watching a mounted ConfigMap for changes is unreliable; a good
//! change is in force at once, a bad one leaves the old objects in force and is logged once.

mod contents;
mod manifest;
mod tables;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use sha2::{Digest, Sha256};
use tokio::task::spawn_blocking;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::cluster::{Snapshots, kinds};
use crate::engine::ports::{Inventory, InventoryError};
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::Objects;
use crate::model::limit_range::LimitRange;
use crate::model::object::{Kind, Kinds};
use crate::model::service::Service;
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};
use crate::tasks;

pub use contents::{Contents, Tables};
use tables::Published;

/// The largest file that is read: some 50,000 pods with all their fields.
pub const MAX_BYTES: u64 = 256 << 20;

/// The objects of a file, kept up to date while this lives; or no objects at all, so that they
/// are taken from the labels of the series.
#[derive(Debug)]
pub struct FileInventory(Source);

#[derive(Debug)]
enum Source {
    None { kinds: Arc<Kinds>, tables: Published },
    File { state: Arc<State>, _stop_on_drop: DropGuard },
}

#[derive(Debug)]
struct State {
    contents: ArcSwap<Contents>,
    tables: Published,
    problem: ArcSwapOption<FileError>,
    /// What a kind without objects has.
    none: Arc<Objects>,
}

/// Why a file of objects is not in force.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file cannot be read.
    #[error("cannot read the objects in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file is larger than [`MAX_BYTES`].
    #[error(
        "{} has more than {} MiB: leave out the kinds that no metric describes",
        path.display(),
        MAX_BYTES >> 20
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what `kubectl get -o yaml` prints.
    #[error("cannot use the objects in {}", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// The line and what is wrong there.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl FileInventory {
    /// No objects are known; the kinds are the standard ones.
    pub fn none() -> Self {
        let kinds = Arc::new(Kinds::new(kinds::standard()));
        Self(Source::None { kinds, tables: Published::new(Tables::default()) })
    }

    /// Reads a file and looks for changes every `poll`. Must be called on a Tokio runtime.
    pub async fn open(path: PathBuf, poll: Duration) -> Result<Self, FileError> {
        let read = blocking(&path, read).await?;
        let digest = read.digest;
        let mut contents = blocking(&path, move |path| parse(path, &read.bytes)).await?;
        let state = Arc::new(State {
            tables: Published::new(std::mem::take(&mut contents.tables)),
            contents: ArcSwap::from_pointee(contents),
            problem: ArcSwapOption::empty(),
            none: Arc::default(),
        });
        let stop = CancellationToken::new();
        let follow = follow(path, digest, poll, Arc::clone(&state));
        tasks::spawn_until(stop.clone(), "objects file", follow);
        Ok(Self(Source::File { state, _stop_on_drop: stop.drop_guard() }))
    }

    /// Why the file as it is now is not in force; `None` while it is.
    pub fn problem(&self) -> Option<Arc<FileError>> {
        match &self.0 {
            Source::None { .. } => None,
            Source::File { state, .. } => state.problem.load_full(),
        }
    }

    /// All autoscalers.
    pub fn autoscalers(&self) -> Snapshots<Autoscaler> {
        self.tables().autoscalers.subscribe()
    }

    /// All Services with their selectors.
    pub fn services(&self) -> Snapshots<Service> {
        self.tables().services.subscribe()
    }

    /// All limit ranges.
    pub fn limit_ranges(&self) -> Snapshots<LimitRange> {
        self.tables().limit_ranges.subscribe()
    }

    /// What the pods of all workloads of a kind request.
    pub fn outlines(&self, kind: OutlineKind) -> Snapshots<Outline> {
        self.tables().outlines(kind).subscribe()
    }

    /// All revisions of a kind.
    pub fn revisions(&self, kind: RevisionKind) -> Snapshots<Revision> {
        self.tables().revisions(kind).subscribe()
    }

    /// All objects of one of our own kinds.
    pub fn custom(&self, kind: CustomKind) -> Snapshots<CustomObject> {
        self.tables().custom(kind).subscribe()
    }

    fn tables(&self) -> &Published {
        match &self.0 {
            Source::None { tables, .. } => tables,
            Source::File { state, .. } => &state.tables,
        }
    }
}

impl Inventory for FileInventory {
    fn kinds(&self) -> Arc<Kinds> {
        match &self.0 {
            Source::None { kinds, .. } => Arc::clone(kinds),
            Source::File { state, .. } => Arc::clone(&state.contents.load().kinds),
        }
    }

    /// The file is looked at anyway.
    fn look_for_kinds(&self) {}

    fn current(&self, kind: &Kind) -> Option<Arc<Objects>> {
        let Source::File { state, .. } = &self.0 else {
            return None;
        };
        let contents = state.contents.load();
        let objects = contents.objects.get(&kind.group_resource());
        Some(Arc::clone(objects.unwrap_or(&state.none)))
    }

    async fn objects(&self, kind: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        Ok(self.current(kind))
    }

    async fn selecting_services(&self) -> Result<Option<Arc<Objects<Service>>>, InventoryError> {
        match &self.0 {
            Source::None { .. } => Ok(None),
            Source::File { .. } => Ok(self.services().borrow().clone()),
        }
    }
}

/// Takes up good changes for ever. `seen` is what the file held when it was last looked at, so
/// that a bad content is parsed and logged once.
async fn follow(path: PathBuf, digest: ContentDigest, poll: Duration, state: Arc<State>) {
    let mut seen = Some(digest);
    loop {
        tokio::time::sleep(poll).await;
        let read = match blocking(&path, read).await {
            Ok(read) => read,
            Err(error) => {
                // Once for an unbroken series of failures, whatever each of them says.
                if seen.take().is_some() {
                    report(&state, error);
                }
                continue;
            }
        };
        if seen.replace(read.digest) == Some(read.digest) {
            continue;
        }
        match blocking(&path, move |path| parse(path, &read.bytes)).await {
            Ok(mut contents) => {
                state.tables.publish(std::mem::take(&mut contents.tables));
                state.contents.store(Arc::new(contents));
                state.problem.store(None);
                tracing::info!(path = %path.display(), "objects reloaded");
            }
            Err(error) => report(&state, error),
        }
    }
}

fn report(state: &State, error: FileError) {
    let cause = std::error::Error::source(&error).map(ToString::to_string);
    tracing::warn!(%error, cause, "the objects read before stay in force");
    state.problem.store(Some(Arc::new(error)));
}

/// Reads and parses off the runtime's threads: a large file takes seconds.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce(&Path) -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    let owned = path.to_owned();
    match spawn_blocking(move || work(&owned)).await {
        Ok(result) => result,
        Err(error) => {
            Err(FileError::Read { path: path.to_owned(), source: io::Error::other(error) })
        }
    }
}

type ContentDigest = [u8; 32];

struct Read {
    bytes: Vec<u8>,
    digest: ContentDigest,
}

fn read(path: &Path) -> Result<Read, FileError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let digest = Sha256::digest(&bytes).into();
    Ok(Read { bytes, digest })
}

/// Reads what such a file holds. The path is for messages alone.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Contents, FileError> {
    let content = |source| FileError::Content { path: path.to_owned(), source };
    let text = str::from_utf8(bytes).map_err(|error| content(error.into()))?;
    let entries = manifest::parse(text).map_err(|error| content(error.into()))?;
    Contents::new(entries).map_err(|error| content(error.into()))
}
