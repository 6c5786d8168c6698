//! What somebody needs now: one metric of some objects, or one external metric.
//!
//! A demand is exactly what a request says, so that a request finds its answer with one hash
//! look-up. Each has a slot that holds the latest outcome. The table of slots is copied when a
//! demand comes or goes, which is rare, and read without a lock, which is all the time.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::answer::Evaluation;
use crate::engine::error::Error;
use crate::model::object::GroupResource;
use crate::model::selector::Selector;

/// How many demands are kept at once. Requests past it are answered, each by a query of its own.
const MAX_DEMANDS: usize = 20_000;

/// One thing that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// A metric of Kubernetes objects.
    Custom(CustomDemand),
    /// A metric of no object.
    External(ExternalDemand),
}

impl fmt::Display for Demand {
    /// As a path would have it: `shop/pods/*/requests_per_second`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Custom(CustomDemand { resource, namespace, target, metric, .. }) => {
                if let Some(namespace) = namespace {
                    write!(f, "{namespace}/")?;
                }
                let name = match target {
                    Target::Named(name) => name,
                    Target::Selected(_) => "*",
                };
                write!(f, "{resource}/{name}/{metric}")
            }
            Self::External(ExternalDemand { namespace, metric, .. }) => {
                write!(f, "{namespace}/{metric}")
            }
        }
    }
}

/// A metric of one object, or of all that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomDemand {
    /// The resource as the path names it.
    pub resource: GroupResource,
    /// The namespace; `None` for a cluster-scoped request, such as one that describes a namespace.
    pub namespace: Option<String>,
    /// Which objects.
    pub target: Target,
    /// The metric's name.
    pub metric: String,
    /// Which series, by their labels.
    pub metric_selector: Selector,
}

/// Which objects a request means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one of this name.
    Named(String),
    /// All whose labels match: `*` in a path.
    Selected(Selector),
}

/// An external metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalDemand {
    /// The namespace of the one who asks.
    pub namespace: String,
    /// The metric's name, in lower case: the HPA controller can only ask in lower case.
    pub metric: String,
    /// Which series, by their labels.
    pub selector: Selector,
}

/// How an evaluation went.
pub type Outcome = Result<Arc<Evaluation>, Error>;

/// Holds the latest outcome of one demand.
#[derive(Debug)]
pub struct Slot {
    /// What is asked for.
    pub demand: Arc<Demand>,
    outcome: ArcSwapOption<Outcome>,
    published: Notify,
    created: Instant,
    /// Milliseconds after `created` at which somebody last asked.
    last_asked: AtomicU64,
}

impl Slot {
    fn new(demand: Arc<Demand>) -> Self {
        Self {
            demand,
            outcome: ArcSwapOption::empty(),
            published: Notify::new(),
            created: Instant::now(),
            last_asked: AtomicU64::new(0),
        }
    }

    /// Notes that somebody asks now.
    pub fn asked(&self) {
        let after = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_asked.store(after, Ordering::Relaxed);
    }

    /// How long nobody has asked.
    pub fn idle(&self) -> Duration {
        let asked = Duration::from_millis(self.last_asked.load(Ordering::Relaxed));
        self.created.elapsed().saturating_sub(asked)
    }

    /// The latest outcome, if there has been one.
    pub fn outcome(&self) -> Option<Arc<Outcome>> {
        self.outcome.load_full()
    }

    /// Waits for the first outcome.
    pub async fn first_outcome(&self) -> Arc<Outcome> {
        loop {
            // Registered before the look, or a publication between the two would be missed.
            let published = self.published.notified();
            if let Some(outcome) = self.outcome() {
                return outcome;
            }
            published.await;
        }
    }

    /// Puts a new outcome in the place of the last.
    pub fn publish(&self, outcome: Outcome) {
        self.outcome.store(Some(Arc::new(outcome)));
        self.published.notify_waiters();
    }
}

/// Every demand that somebody has.
#[derive(Debug, Default)]
pub struct Demands {
    slots: ArcSwap<HashMap<Arc<Demand>, Arc<Slot>>>,
    /// Held while the table is copied; readers never take it.
    changing: Mutex<()>,
}

/// What became of a demand that was to be inserted.
#[derive(Debug)]
pub enum Inserted {
    /// There is no room for another.
    Full,
    /// This call made the slot, and has to see that it is filled.
    Mine(Arc<Slot>),
    /// Somebody else made the slot meanwhile.
    Theirs(Arc<Slot>),
}

impl Demands {
    /// The slot of a demand that somebody has had before.
    pub fn find(&self, demand: &Demand) -> Option<Arc<Slot>> {
        self.slots.load().get(demand).cloned()
    }

    /// Adds a demand.
    pub fn insert(&self, demand: &Demand) -> Inserted {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = self.slots.load();
        if let Some(slot) = slots.get(demand) {
            return Inserted::Theirs(Arc::clone(slot));
        }
        if slots.len() >= MAX_DEMANDS {
            return Inserted::Full;
        }
        let demand = Arc::new(demand.clone());
        let slot = Arc::new(Slot::new(Arc::clone(&demand)));
        let mut copy = HashMap::clone(&slots);
        copy.insert(demand, Arc::clone(&slot));
        self.slots.store(Arc::new(copy));
        Inserted::Mine(slot)
    }

    /// Takes a demand away.
    pub fn remove(&self, slot: &Slot) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut copy = HashMap::clone(&self.slots.load());
        copy.remove(&slot.demand);
        self.slots.store(Arc::new(copy));
    }

    /// How many demands there are.
    pub fn len(&self) -> usize {
        self.slots.load().len()
    }

    /// Whether nobody asks for anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The age of the oldest answer that is being served.
    pub fn oldest_answer(&self) -> Option<Duration> {
        self.slots
            .load()
            .values()
            .filter_map(|slot| match slot.outcome()?.as_ref() {
                Ok(evaluation) => Some(evaluation.evaluated.elapsed()),
                Err(_) => None,
            })
            .max()
    }
}
