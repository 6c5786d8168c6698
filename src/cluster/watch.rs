//! The inventory of a cluster: kinds from API discovery, objects from metadata-only watches.
//!
//! A kind is followed from the first time its objects are asked for until nobody has asked for a
//! while. Reading is lock-free; while the API server is away the last state serves. Kinds are
//! looked up again every few minutes, and sooner when their definitions change or somebody asks
//! for one that is not known.
//!
//! Of a few kinds more is kept than metadata. Each of these is followed from the first time that
//! somebody subscribes to it, while there is such a kind.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kube::Client;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use super::discovery::DiscoveryError;
use super::discovery::{self, Catalog};
use super::follow::Follow;
use super::partial::Keep;
use super::{Snapshots, definitions, keep};
use crate::engine::ports::{Inventory, InventoryError};
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::{Object, Objects};
use crate::model::limit_range::LimitRange;
use crate::model::object::{GroupResource, Kind, Kinds};
use crate::model::service::Service;
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};
use crate::tasks;

/// How often the kinds are looked up without a reason.
const REFRESH: Duration = Duration::from_mins(5);
/// How often at most, whatever is asked for.
const REFRESH_AT_MOST: Duration = Duration::from_secs(30);
/// How long after a change of a definition the kinds are looked up: it takes the API server a
/// moment to serve a new one, and many come together.
const SETTLE: Duration = Duration::from_secs(2);
/// How long a kind is followed after the last question for it: twice as long as a demand lasts.
const IDLE: Duration = Duration::from_mins(10);
/// How often idle kinds are looked for.
const IDLE_CHECK: Duration = Duration::from_mins(1);
/// The pods that use something.
const RUNNING: &str = "status.phase=Running";
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
    /// How often a list or watch has failed.
    pub failures: u64,
}

struct Shared {
    client: Client,
    catalog: ArcSwap<Catalog>,
    /// Those of the catalog, for those who wait for one.
    kinds: watch::Sender<Arc<Kinds>>,
    follows: ArcSwap<Follows>,
    tables: Tables,
    /// Held while `follows` is replaced.
    change: Mutex<()>,
    /// Somebody asked for a kind that is not known.
    unknown: Notify,
    /// A definition of a kind has changed.
    redefined: Notify,
    stop: CancellationToken,
}

type Follows = HashMap<Arc<Kind>, Following>;

/// The kinds of which more is kept, as far as somebody has subscribed to them.
#[derive(Default)]
struct Tables {
    autoscalers: Table<Autoscaler>,
    services: Table<Service>,
    limit_ranges: Table<LimitRange>,
    running_pods: Table<Object>,
    custom: [Table<CustomObject>; CustomKind::ALL.len()],
    outlines: [Table<Outline>; OutlineKind::ALL.len()],
    revisions: [Table<Revision>; RevisionKind::ALL.len()],
}

type Table<T> = OnceLock<Arc<Follow<T>>>;

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
            kinds: watch::Sender::new(Arc::clone(&catalog.kinds)),
            catalog: ArcSwap::from_pointee(catalog),
            follows: ArcSwap::default(),
            tables: Tables::default(),
            change: Mutex::default(),
            unknown: Notify::new(),
            redefined: Notify::new(),
            stop: stop.clone(),
        });
        let refresh = Arc::clone(&shared).refresh();
        tasks::spawn_until(stop.clone(), "kinds", refresh);
        let retire = Arc::clone(&shared).retire_idle();
        tasks::spawn_until(stop.clone(), "idle watches", retire);
        if shared
            .catalog
            .load()
            .kinds
            .resolve(&GroupResource::parse(definitions::RESOURCE))
            .is_some()
        {
            let shared = Arc::clone(&shared);
            let watch =
                async move { definitions::watch(shared.client.clone(), &shared.redefined).await };
            tasks::spawn_until(stop.clone(), "watch of definitions", watch);
        }
        Ok(Self { shared, _stop_on_drop: stop.drop_guard() })
    }

    /// How well each kind is followed that was asked for. Where a kind is followed in two ways,
    /// this is the worse of them.
    pub fn watches(&self) -> Vec<WatchState> {
        let Tables {
            autoscalers,
            services,
            limit_ranges,
            running_pods,
            custom,
            outlines,
            revisions,
        } = &self.shared.tables;
        let follows = self.shared.follows.load();
        let mut states: Vec<_> =
            follows.values().map(|following| following.follow.state()).collect();
        states.extend(autoscalers.get().map(|follow| follow.state()));
        states.extend(services.get().map(|follow| follow.state()));
        states.extend(limit_ranges.get().map(|follow| follow.state()));
        states.extend(running_pods.get().map(|follow| follow.state()));
        states.extend(custom.iter().filter_map(OnceLock::get).map(|follow| follow.state()));
        states.extend(outlines.iter().filter_map(OnceLock::get).map(|follow| follow.state()));
        states.extend(revisions.iter().filter_map(OnceLock::get).map(|follow| follow.state()));
        states.sort_by(|one, other| one.resource.cmp(&other.resource));
        states.dedup_by(|next, kept| {
            let same = next.resource == kept.resource;
            if same {
                let failures = kept.failures + next.failures;
                if next.age > kept.age {
                    std::mem::swap(next, kept);
                }
                kept.failures = failures;
            }
            same
        });
        states
    }

    /// All autoscalers.
    pub fn autoscalers(&self) -> Snapshots<Autoscaler> {
        self.shared.subscribe(&self.shared.tables.autoscalers, keep::autoscalers)
    }

    /// All Services with their selectors.
    pub fn services(&self) -> Snapshots<Service> {
        self.shared.subscribe(&self.shared.tables.services, keep::services)
    }

    /// All limit ranges.
    pub fn limit_ranges(&self) -> Snapshots<LimitRange> {
        self.shared.subscribe(&self.shared.tables.limit_ranges, keep::limit_ranges)
    }

    /// What the pods of all workloads of a kind request.
    pub fn outlines(&self, kind: OutlineKind) -> Snapshots<Outline> {
        let [deployments, stateful_sets] = &self.shared.tables.outlines;
        let table = match kind {
            OutlineKind::Deployment => deployments,
            OutlineKind::StatefulSet => stateful_sets,
        };
        self.shared.subscribe(table, || keep::outlines(kind))
    }

    /// All revisions of a kind.
    pub fn revisions(&self, kind: RevisionKind) -> Snapshots<Revision> {
        let [replica_sets, controller_revisions] = &self.shared.tables.revisions;
        let table = match kind {
            RevisionKind::ReplicaSet => replica_sets,
            RevisionKind::ControllerRevision => controller_revisions,
        };
        self.shared.subscribe(table, || keep::revisions(kind))
    }

    /// All objects of one of our own kinds; none while its definition is not installed.
    pub fn custom(&self, kind: CustomKind) -> Snapshots<CustomObject> {
        let table = match kind {
            CustomKind::ClusterSignal => &self.shared.tables.custom[0],
            CustomKind::Exemption => &self.shared.tables.custom[1],
            CustomKind::Signal => &self.shared.tables.custom[2],
        };
        self.shared.subscribe(table, || keep::custom(kind))
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
        let follows = self.shared.follows.load();
        let Following { follow, .. } = follows.get(kind)?;
        follow.asked();
        follow.current()
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
        first(&self.shared.follow(kind)).await.map_err(error)
    }

    async fn running(&self, pods: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        let follow = || Follow::selected(Arc::clone(pods), RUNNING);
        let follow = self.shared.table(&self.shared.tables.running_pods, follow);
        let kind = pods.group_resource().to_string();
        first(follow).await.map_err(|reason| InventoryError { kind, reason })
    }

    async fn selecting_services(&self) -> Result<Option<Arc<Objects<Service>>>, InventoryError> {
        let mut services = self.services();
        if let Some(services) = services.borrow().as_ref() {
            return Ok(Some(Arc::clone(services)));
        }
        let first = timeout(FIRST_LIST, services.wait_for(Option::is_some)).await;
        if let Ok(Ok(services)) = first {
            return Ok(services.clone());
        }
        let reason = format!("the API server did not list all of them within {FIRST_LIST:?}");
        Err(InventoryError { kind: "services".to_owned(), reason })
    }
}

/// The objects once there is a list of them; what keeps it away where there is none in time.
async fn first(follow: &Follow) -> Result<Option<Arc<Objects>>, String> {
    match timeout(FIRST_LIST, follow.first()).await {
        Ok(Ok(objects)) => Ok(Some(objects)),
        Ok(Err(reason)) => Err(reason.to_string()),
        Err(_) => Err(format!("the API server did not list all of it within {FIRST_LIST:?}")),
    }
}

impl Shared {
    /// What is kept of a kind, which is followed from now on.
    fn subscribe<T: Keep>(&self, table: &Table<T>, kind: impl FnOnce() -> Kind) -> Snapshots<T> {
        self.table(table, || Follow::new(Arc::new(kind()))).subscribe()
    }

    fn table<'a, T: Keep>(
        &self,
        table: &'a Table<T>,
        follow: impl FnOnce() -> Follow<T>,
    ) -> &'a Arc<Follow<T>> {
        let start = || {
            let follow = Arc::new(follow());
            let kinds = self.kinds.subscribe();
            let run = Arc::clone(&follow).run_while_there(self.client.clone(), kinds);
            tasks::spawn_until(self.stop.child_token(), "watch of a table", run);
            follow
        };
        table.get_or_init(start)
    }

    /// The follower of a kind, started where there is none.
    fn follow(&self, kind: &Arc<Kind>) -> Arc<Follow> {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let follows = self.follows.load();
        if let Some(Following { follow, .. }) = follows.get(kind) {
            follow.asked();
            return Arc::clone(follow);
        }
        let follow = Arc::new(Follow::new(Arc::clone(kind)));
        let stop = self.stop.child_token();
        let run = Arc::clone(&follow).run(self.client.clone());
        tasks::spawn_until(stop.clone(), "watch of objects", run);
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
                () = self.redefined.notified() => sleep(SETTLE).await,
            }
            match discovery::discover(&self.client, &self.catalog.load_full()).await {
                Ok(catalog) => {
                    self.forget_kinds_missing_in(&catalog);
                    self.kinds.send_replace(Arc::clone(&catalog.kinds));
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

    /// Ends the watches that nobody needs any more, for ever.
    async fn retire_idle(self: Arc<Self>) {
        loop {
            sleep(IDLE_CHECK).await;
            self.end_watches(|_, follow| follow.idle() > IDLE, "nobody asks for the kind any more");
        }
    }

    /// Ends the watches of kinds that are gone or go by another version now.
    fn forget_kinds_missing_in(&self, catalog: &Catalog) {
        let known: HashSet<&Kind> = catalog.kinds.iter().map(|kind| &**kind).collect();
        self.end_watches(|kind, _| !known.contains(kind), "the kind is gone");
    }

    fn end_watches(&self, ends: impl Fn(&Kind, &Follow) -> bool, why: &str) {
        let _change = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changed = Follows::clone(&self.follows.load());
        let ended: Vec<_> =
            changed.extract_if(|kind, following| ends(kind, &following.follow)).collect();
        if ended.is_empty() {
            return;
        }
        for (kind, Following { stop, .. }) in ended {
            stop.cancel();
            tracing::info!(kind = %kind.group_resource(), "not followed any more: {why}");
        }
        self.follows.store(Arc::new(changed));
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { catalog, follows, .. } = self;
        let (catalog, follows) = (catalog.load(), follows.load());
        f.debug_struct("Shared").field("catalog", &catalog).field("follows", &follows).finish()
    }
}
