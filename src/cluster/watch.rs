//! The inventory of a cluster: kinds from API discovery, objects from metadata-only watches.
//!
//! A kind is followed from the first time its objects are asked for. Reading is lock-free; while
//! the API server is away the last state serves. Kinds are looked up again every few minutes, and
//! sooner where somebody asks for one that is not known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::discovery::DiscoveryError;
use super::discovery::{self, Catalog};
use super::follow::Follow;
use crate::engine::ports::{Inventory, InventoryError};
use crate::model::inventory::Objects;
use crate::model::object::{GroupResource, Kind, Kinds};

/// How often the kinds are looked up without a reason.
const REFRESH: Duration = Duration::from_mins(5);
/// How often at most, whatever is asked for.
const REFRESH_AT_MOST: Duration = Duration::from_secs(30);
/// How long the first question for a kind waits for its objects.
const FIRST_LIST: Duration = Duration::from_secs(5);

/// What exists in a cluster, followed while this lives.
#[derive(Debug)]
pub struct WatchInventory {
    shared: Arc<Shared>,
    /// Ends all tasks when the inventory is dropped.
    _stop_on_drop: DropGuard,
}

/// How well a kind is followed, for metrics.
#[derive(Clone, Debug)]
pub struct WatchState {
    /// The resource: `deployments.apps`.
    pub resource: GroupResource,
    /// How many objects there are; `None` before the first list is in.
    pub objects: Option<usize>,
    /// How long the state has not been up to date; zero while it is.
    pub age: Duration,
    /// What the API server said last, while it is not.
    pub failure: Option<Arc<str>>,
}

struct Shared {
    client: Client,
    catalog: ArcSwap<Catalog>,
    follows: ArcSwap<Follows>,
    /// Held while `follows` is replaced.
    change: Mutex<()>,
    /// Somebody asked for a kind that is not known.
    unknown: Notify,
    stop: CancellationToken,
}

type Follows = HashMap<Arc<Kind>, Following>;

#[derive(Clone, Debug)]
struct Following {
    follow: Arc<Follow>,
    stop: CancellationToken,
}

impl WatchInventory {
    /// Discovers the kinds; nothing is followed yet. Must be called on a Tokio runtime.
    pub async fn start(client: Client) -> Result<Self, DiscoveryError> {
        let catalog = discovery::discover(&client, &Catalog::default()).await?;
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            client,
            catalog: ArcSwap::from_pointee(catalog),
            follows: ArcSwap::default(),
            change: Mutex::default(),
            unknown: Notify::new(),
            stop: stop.clone(),
        });
        let refresh = Arc::clone(&shared).refresh();
        tokio::spawn(stop.clone().run_until_cancelled_owned(refresh));
        Ok(Self { shared, _stop_on_drop: stop.drop_guard() })
    }

    /// How well each kind is followed that was asked for.
    pub fn watches(&self) -> Vec<WatchState> {
        let follows = self.shared.follows.load();
        let state = |following: &Following| {
            let failure = following.follow.failure();
            WatchState {
                resource: following.follow.kind().group_resource(),
                objects: following.follow.current().map(|objects| objects.len()),
                age: failure.as_ref().map_or(Duration::ZERO, |failure| failure.since.elapsed()),
                failure: failure.map(|failure| failure.reason),
            }
        };
        let mut states: Vec<_> = follows.values().map(state).collect();
        states.sort_by(|one, other| one.resource.cmp(&other.resource));
        states
    }
}

impl Inventory for WatchInventory {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::clone(&self.shared.catalog.load().kinds)
    }

    fn look_for_kinds(&self) {
        self.shared.unknown.notify_one();
    }

    fn current(&self, kind: &Kind) -> Option<Arc<Objects>> {
        self.shared.follows.load().get(kind)?.follow.current()
    }

    async fn objects(&self, kind: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        if let Some(objects) = self.current(kind) {
            return Ok(Some(objects));
        }
        let resource = kind.group_resource();
        let error = |reason| InventoryError { kind: resource.to_string(), reason };
        if self.shared.catalog.load().unwatchable.contains(&resource) {
            return Err(error("the API server offers no list and watch of it".to_owned()));
        }
        let follow = self.shared.follow(kind);
        match timeout(FIRST_LIST, follow.first()).await {
            Ok(Ok(objects)) => Ok(Some(objects)),
            Ok(Err(reason)) => Err(error(reason.to_string())),
            Err(_) => {
                let reason = format!("the API server did not list all of it within {FIRST_LIST:?}");
                Err(error(reason))
            }
        }
    }
}

impl Shared {
    /// The follower of a kind, started where there is none.
    fn follow(&self, kind: &Arc<Kind>) -> Arc<Follow> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = self.follows.load();
        if let Some(following) = follows.get(kind) {
            return Arc::clone(&following.follow);
        }
        let follow = Arc::new(Follow::new(Arc::clone(kind)));
        let stop = self.stop.child_token();
        let run = Arc::clone(&follow).run(self.client.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(run));
        let mut changed = Follows::clone(&follows);
        changed.insert(Arc::clone(kind), Following { follow: Arc::clone(&follow), stop });
        self.follows.store(Arc::new(changed));
        follow
    }

    /// Looks the kinds up again, for ever.
    async fn refresh(self: Arc<Self>) {
        let mut failing = false;
        loop {
            let asked = Instant::now();
            tokio::select! {
                () = sleep(REFRESH) => {}
                () = self.unknown.notified() => sleep_until(asked + REFRESH_AT_MOST).await,
            }
            match discovery::discover(&self.client, &self.catalog.load_full()).await {
                Ok(catalog) => {
                    self.forget_kinds_missing_in(&catalog);
                    self.catalog.store(Arc::new(catalog));
                    failing = false;
                }
                // The next try comes with the next reason; the kinds known before stay.
                Err(error) if failing => tracing::debug!(%error, "the known kinds stay in force"),
                Err(error) => {
                    tracing::warn!(%error, "the known kinds stay in force");
                    failing = true;
                }
            }
        }
    }

    /// Ends the watches of kinds that are gone or go by another version now.
    fn forget_kinds_missing_in(&self, catalog: &Catalog) {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let known: std::collections::HashSet<&Kind> =
            catalog.kinds.iter().map(|kind| &**kind).collect();
        let mut changed = Follows::clone(&self.follows.load());
        for (_, following) in changed.extract_if(|kind, _| !known.contains(&**kind)) {
            following.stop.cancel();
            tracing::info!(kind = %following.follow.kind().group_resource(), "the kind is gone");
        }
        self.follows.store(Arc::new(changed));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { client: _, catalog, follows, change: _, unknown: _, stop: _ } = self;
        let (catalog, follows) = (catalog.load(), follows.load());
        f.debug_struct("Shared").field("catalog", &catalog).field("follows", &follows).finish()
    }
}
