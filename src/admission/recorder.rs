//! Keeps what the containers of each workload have used, for the admission rules that look back.
//!
//! It begins with the first review: without a registered webhook nobody needs it. One namespace
//! after another is read, slowly: each once in six hours, one query at a time. A namespace that
//! somebody deploys to and that is not known yet goes first. A backend that refuses to look back so
//! far is asked for less. Reviews read what is there, and never wait.
//!
//! It needs the series of cAdvisor. To which workload a pod belongs that is gone, the series
//! `kube_pod_owner` and `kube_replicaset_owner` of kube-state-metrics tell, where they are there.
//!
//! Limits: the percentiles of a workload are those of its busiest pod, and a container that was
//! renamed begins anew.

mod fold;
mod queries;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, info, warn};

use self::fold::{Owners, fold};
use self::queries::Measure;
use super::history::History;
use crate::engine::Engine;
use crate::engine::ports::{Backend, BackendError, Fault, Inventory, Route};
use crate::model::inventory::Objects;
use crate::model::object::GroupResource;
use crate::model::value::{QueryResult, Sample};

/// How old what is known of a namespace may become.
const INTERVAL: Duration = Duration::from_hours(6);

/// The least time between two queries, so that they are no load.
const PACE: Duration = Duration::from_millis(200);

/// How long a namespace that could not be read is left alone.
const RETRY: Duration = Duration::from_mins(10);

/// How often it is looked for what is due.
const LOOK: Duration = Duration::from_secs(10);

/// How far back is looked, and how far where the backend refuses that.
const WINDOWS: [Duration; 3] =
    [Duration::from_hours(7 * 24), Duration::from_hours(24), Duration::from_hours(3)];

/// How many namespaces are read.
const MAX_NAMESPACES: usize = 10_000;

/// How many wishes for a namespace wait.
const MAX_WISHES: usize = 64;

/// The histories of one namespace: kind → name → history.
type Namespace = HashMap<Box<str>, HashMap<Box<str>, Arc<History>>>;

type Known = ArcSwap<HashMap<Arc<str>, Arc<Namespace>>>;

/// What reviews read.
#[derive(Clone, Debug)]
pub struct Histories {
    known: Arc<Known>,
    wishes: mpsc::Sender<Arc<str>>,
}

impl Histories {
    /// What the containers of a workload have used; `None` where nothing is known of it. A
    /// namespace of which nothing is known at all is read soon.
    pub fn of(&self, namespace: &str, kind: &str, name: &str) -> Option<Arc<History>> {
        let known = self.known.load();
        let Some(workloads) = known.get(namespace) else {
            // Where there is no room, others wait already.
            let _full = self.wishes.try_send(namespace.into());
            return None;
        };
        workloads.get(kind)?.get(name).cloned()
    }
}

/// Reads histories in the background.
#[derive(Debug)]
pub struct Recorder<B, I> {
    engine: Arc<Engine<B, I>>,
    route: Route,
    known: Arc<Known>,
    wishes: mpsc::Receiver<Arc<str>>,
    /// When each namespace is due.
    due: HashMap<Arc<str>, Instant>,
    /// How many namespaces could not be read in a row, of which one is told.
    failing: u64,
}

impl<B: Backend, I: Inventory> Recorder<B, I> {
    /// A recorder that reads from the backend of a route, and what it fills.
    pub fn new(engine: Arc<Engine<B, I>>, route: Route) -> (Self, Histories) {
        let known = Arc::new(Known::default());
        let (wish, wishes) = mpsc::channel(MAX_WISHES);
        let histories = Histories { known: Arc::clone(&known), wishes: wish };
        (Self { engine, route, known, wishes, due: HashMap::new(), failing: 0 }, histories)
    }

    /// Reads for ever, while it is wanted.
    pub async fn run(&mut self, wanted: impl Fn() -> bool) {
        // The first wish of all is the first review.
        let mut next = self.wishes.recv().await;
        while let Some(namespace) = next {
            if self.is_due(&namespace) {
                self.read(namespace).await;
            }
            next = self.next(&wanted).await;
        }
    }

    /// The next namespace to read; `None` where nobody is left to wish for any.
    async fn next(&mut self, wanted: impl Fn() -> bool) -> Option<Arc<str>> {
        loop {
            if wanted() {
                self.follow_namespaces();
                if let Some(namespace) = self.next_due() {
                    return Some(namespace);
                }
            }
            if let Ok(wish) = timeout(LOOK, self.wishes.recv()).await {
                return wish;
            }
        }
    }

    /// Namespaces that came are due at once, and those that went are forgotten.
    fn follow_namespaces(&mut self) {
        let Some(namespaces) = self.objects("namespaces") else { return };
        let now = Instant::now();
        for namespace in namespaces.in_namespace("") {
            if self.due.len() >= MAX_NAMESPACES {
                break;
            }
            if !self.due.contains_key(&*namespace.name) {
                self.due.insert(Arc::from(&*namespace.name), now);
            }
        }
        let gone = |name: &Arc<str>| !namespaces.contains("", name);
        self.due.retain(|name, _| !gone(name));
        if self.known.load().keys().any(gone) {
            let mut kept = HashMap::clone(&self.known.load());
            kept.retain(|name, _| !gone(name));
            self.known.store(Arc::new(kept));
        }
    }

    /// A namespace that a review asked for, else the one that is due for the longest time.
    fn next_due(&mut self) -> Option<Arc<str>> {
        while let Ok(wish) = self.wishes.try_recv() {
            if self.is_due(&wish) {
                return Some(wish);
            }
        }
        let (namespace, due) = self.due.iter().min_by_key(|(_, due)| **due)?;
        (*due <= Instant::now()).then(|| Arc::clone(namespace))
    }

    /// Whether a namespace was never tried, or not lately.
    fn is_due(&self, namespace: &str) -> bool {
        match self.due.get(namespace) {
            Some(due) => *due <= Instant::now(),
            None => self.due.len() < MAX_NAMESPACES,
        }
    }

    async fn read(&mut self, namespace: Arc<str>) {
        let again = match self.histories(&namespace).await {
            Ok(histories) => {
                debug!(%namespace, kinds = histories.len(), "histories are read");
                if std::mem::take(&mut self.failing) > 0 {
                    info!("histories can be read again");
                }
                let mut known = HashMap::clone(&self.known.load());
                known.insert(Arc::clone(&namespace), Arc::new(histories));
                self.known.store(Arc::new(known));
                INTERVAL
            }
            Err(error) => {
                if self.failing == 0 {
                    warn!(%namespace, %error, "the histories of a namespace cannot be read");
                }
                self.failing += 1;
                RETRY
            }
        };
        self.due.insert(namespace, Instant::now() + again);
    }

    async fn histories(&self, namespace: &Arc<str>) -> Result<Namespace, BackendError> {
        let now = Timestamp::now();
        let mut samples = HashMap::new();
        let mut window = WINDOWS[0];
        for measure in Measure::ALL {
            let (found, seen) = self.ask(measure, namespace, window, now).await?;
            // The others are then about the same time.
            window = window.min(seen);
            samples.insert(measure, found);
        }
        let owners = Owners::new(&samples, namespace, self.objects("pods").as_deref());
        let owners = owners.with_replica_sets(self.objects("replicasets.apps").as_deref());
        Ok(fold(&samples, &owners, window, now))
    }

    /// Asks for one measure, over less time where that is too much for the backend.
    async fn ask(
        &self,
        measure: Measure,
        namespace: &Arc<str>,
        window: Duration,
        now: Timestamp,
    ) -> Result<(Vec<Sample>, Duration), BackendError> {
        let route = Route { namespace: Some(Arc::clone(namespace)), ..self.route.clone() };
        let mut refusal = None;
        for window in WINDOWS.into_iter().filter(|shorter| *shorter <= window) {
            sleep(PACE).await;
            let promql = measure.promql(namespace, window);
            match self.engine.backend().query(&route, &promql, now).await {
                Ok(QueryResult::Vector(samples)) => return Ok((samples, window)),
                Ok(QueryResult::Scalar(_)) => return Ok((Vec::new(), window)),
                Err(error) if is_too_much(&error) => refusal = Some(error),
                Err(error) => return Err(error),
            }
        }
        refusal.map_or(Ok((Vec::new(), window)), Err)
    }

    fn objects(&self, resource: &str) -> Option<Arc<Objects>> {
        let inventory = self.engine.inventory();
        let kinds = inventory.kinds();
        inventory.current(kinds.resolve(&GroupResource::parse(resource))?)
    }
}

/// Whether the backend could answer, but not about so much.
fn is_too_much(error: &BackendError) -> bool {
    matches!(
        *error.fault,
        Fault::Refused { .. }
            | Fault::Deadline(_)
            | Fault::Incomplete { .. }
            | Fault::Malformed(_)
            | Fault::Unusable(_)
    )
}
