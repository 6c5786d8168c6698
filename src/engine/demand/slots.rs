//! Where each demand that somebody has lately finds the table that answers it.
//!
//! The slots are spread over shards, each of which is copied when a demand comes or goes and read
//! without a lock: what a change costs does not grow with the square of the demands.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::time::Instant;

use crate::engine::answer::Evaluation;
use crate::engine::demand::Demand;
use crate::engine::read::Chosen;
use crate::engine::table::{Interest, Outcome};
use crate::model::object::Kind;

/// How many demands are kept at once. Requests past it are answered, but nobody keeps the tables
/// that answer them.
const MAX_DEMANDS: usize = 50_000;

/// Into how many parts the slots are spread; a change copies one of them.
const SHARDS: usize = 256;

/// Where a demand's answer comes from.
#[derive(Debug)]
pub struct Binding {
    /// The number of the catalog that said so.
    pub catalog: u64,
    /// The kind of the objects; none for external metrics.
    pub kind: Option<Arc<Kind>>,
    /// The table and the namespace in it.
    pub interest: Interest,
    /// Where the demand is evaluated by itself, for as long as the query that answers for others
    /// too cannot be executed.
    pub alone: ArcSwapOption<Interest>,
}

/// The latest answer and what it was made of.
#[derive(Debug)]
pub struct Latest {
    /// The values.
    pub outcome: Arc<Outcome>,
    /// The objects.
    pub chosen: Chosen,
    /// What was made of them.
    pub evaluation: Arc<Evaluation>,
}

/// One demand that somebody has.
#[derive(Debug)]
pub struct Slot {
    /// What is asked for.
    pub demand: Arc<Demand>,
    binding: ArcSwap<Binding>,
    latest: ArcSwapOption<Latest>,
    created: Instant,
    /// Milliseconds after `created` at which somebody last asked.
    last_asked: AtomicU64,
}

impl Slot {
    /// A slot that is asked for now.
    pub fn new(demand: Arc<Demand>, binding: Binding) -> Self {
        Self {
            demand,
            binding: ArcSwap::from_pointee(binding),
            latest: ArcSwapOption::empty(),
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

    /// Where the answer comes from.
    pub fn binding(&self) -> Arc<Binding> {
        self.binding.load_full()
    }

    /// Has the answer come from elsewhere.
    pub fn bind(&self, binding: Binding) {
        self.binding.store(Arc::new(binding));
    }

    /// The latest answer.
    pub fn latest(&self) -> Option<Arc<Latest>> {
        self.latest.load_full()
    }

    /// Keeps an answer for those who ask until its values or objects have changed.
    pub fn keep(&self, latest: Latest) {
        self.latest.store(Some(Arc::new(latest)));
    }
}

type Shard = HashMap<Arc<Demand>, Arc<Slot>>;

/// Every demand that somebody has.
#[derive(Debug)]
pub struct Demands {
    shards: Box<[ArcSwap<Shard>]>,
    hasher: RandomState,
    count: AtomicUsize,
    /// Held while a shard is copied; readers never take it.
    changing: Mutex<()>,
}

impl Default for Demands {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: RandomState::new(),
            count: AtomicUsize::new(0),
            changing: Mutex::new(()),
        }
    }
}

impl Demands {
    /// The slot of a demand that somebody has had before.
    pub fn find(&self, demand: &Demand) -> Option<Arc<Slot>> {
        self.shard(demand)?.load().get(demand).cloned()
    }

    /// Adds a slot, unless there is one for its demand, which is then returned, or no room, when
    /// it stays the caller's alone.
    pub fn insert(&self, slot: Slot) -> Arc<Slot> {
        let slot = Arc::new(slot);
        let Some(shard) = self.shard(&slot.demand) else { return slot };
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = shard.load();
        if let Some(there) = slots.get(&slot.demand) {
            return Arc::clone(there);
        }
        if self.len() < MAX_DEMANDS {
            let mut copy = Shard::clone(&slots);
            copy.insert(Arc::clone(&slot.demand), Arc::clone(&slot));
            shard.store(Arc::new(copy));
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        slot
    }

    /// Takes the demands away that are not to be kept.
    pub fn retain(&self, keep: impl Fn(&Slot) -> bool) {
        for shard in &self.shards {
            if shard.load().values().all(|slot| keep(slot)) {
                continue;
            }
            let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut copy = Shard::clone(&shard.load());
            let before = copy.len();
            copy.retain(|_, slot| keep(slot));
            self.count.fetch_sub(before - copy.len(), Ordering::Relaxed);
            shard.store(Arc::new(copy));
        }
    }

    /// How many demands there are.
    pub fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether nobody asks for anything.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, demand: &Demand) -> Option<&ArcSwap<Shard>> {
        let hash = self.hasher.hash_one(demand) % SHARDS as u64;
        self.shards.get(usize::try_from(hash).unwrap_or_default())
    }
}
