//! What is computed once for everybody: the values of one metric in all namespaces in which
//! somebody needs it.
//!
//! A table is published whole and read without a lock. It lasts for as long as somebody has an
//! [`Interest`] in one of its namespaces.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::engine::answer::{SeriesValue, UsageAnswer};
use crate::engine::demand::Demand;
use crate::engine::error::Error;
use crate::engine::origin::Origin;
use crate::engine::signals::Memory;
use crate::engine::values::ObjectValues;
use crate::model::object::Kind;
use crate::model::selector::Selector;

/// What a table is of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A metric of all objects of a kind.
    Objects {
        /// The metric's name.
        metric: String,
        /// The kind.
        kind: Arc<Kind>,
        /// Which series, by their labels.
        selector: Selector,
    },
    /// An external metric.
    Series {
        /// The metric's name, in lower case.
        metric: String,
        /// Which series, by their labels.
        selector: Selector,
    },
    /// What cannot be computed together with anything else.
    Alone(Arc<Demand>),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (metric, selector) = match self {
            Self::Objects { metric, kind, selector } => {
                write!(f, "{}/", kind.group_resource())?;
                (metric, selector)
            }
            Self::Series { metric, selector } => (metric, selector),
            Self::Alone(demand) => return demand.fmt(f),
        };
        f.write_str(metric)?;
        if selector.is_empty() { Ok(()) } else { write!(f, "{{{selector}}}") }
    }
}

/// How the evaluation went for one namespace.
pub type Outcome = Result<Part, Error>;

/// The part of a table that is about one namespace.
#[derive(Debug)]
pub struct Part {
    /// The values.
    pub values: Values,
    /// Why there is nothing but values of earlier times.
    pub failure: Option<Error>,
    /// The time that the backend was asked about.
    pub at: Timestamp,
    /// When the evaluation ended.
    pub evaluated: Instant,
}

/// Values, and what they were computed from.
#[derive(Debug)]
pub enum Values {
    /// Of objects.
    Objects(Origin, ObjectValues),
    /// Of series.
    Series(Origin, Arc<[SeriesValue]>),
    /// Of both resources.
    Usage(Arc<UsageAnswer>),
}

/// A table's parts by namespace; empty where the subject is in none.
pub type Parts = HashMap<Arc<str>, Arc<Outcome>>;

/// A table.
#[derive(Debug)]
pub struct Table {
    /// What it is of.
    pub subject: Subject,
    /// Counts the tables from zero.
    pub number: u64,
    /// How many are interested, by namespace.
    wanted: Mutex<BTreeMap<Arc<str>, usize>>,
    parts: ArcSwap<Parts>,
    /// What its signals remember from one evaluation to the next.
    pub memory: Mutex<Memory>,
    published: Notify,
}

impl Table {
    fn new(subject: Subject, number: u64) -> Self {
        Self {
            subject,
            number,
            wanted: Mutex::default(),
            parts: ArcSwap::default(),
            memory: Mutex::default(),
            published: Notify::new(),
        }
    }

    /// What is known of a namespace.
    pub fn part(&self, namespace: &str) -> Option<Arc<Outcome>> {
        self.parts.load().get(namespace).cloned()
    }

    /// Waits until something is known of a namespace.
    pub async fn first_part(&self, namespace: &str) -> Arc<Outcome> {
        loop {
            // Registered before the look, or a publication between the two would be missed.
            let published = self.published.notified();
            if let Some(part) = self.part(namespace) {
                return part;
            }
            published.await;
        }
    }

    /// Every part.
    pub fn parts(&self) -> Arc<Parts> {
        self.parts.load_full()
    }

    /// The namespaces that somebody is interested in.
    pub fn wanted(&self) -> Vec<Arc<str>> {
        self.lock().keys().cloned().collect()
    }

    /// Forgets what signals remember of namespaces that nobody is interested in any more.
    pub fn forget(&self) {
        // They are sorted.
        let wanted = self.wanted();
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).keep(&wanted);
    }

    /// Those of them of which nothing is known yet.
    pub fn unknown(&self) -> Vec<Arc<str>> {
        let parts = self.parts.load();
        self.lock().keys().filter(|namespace| !parts.contains_key(*namespace)).cloned().collect()
    }

    /// Puts new parts in force; those of namespaces that nobody is interested in go.
    pub fn publish(&self, new: Parts) {
        let wanted = self.lock();
        let mut parts = Parts::clone(&self.parts.load());
        parts.extend(new);
        parts.retain(|namespace, _| wanted.contains_key(namespace));
        parts.shrink_to_fit();
        self.parts.store(Arc::new(parts));
        drop(wanted);
        self.published.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Somebody's interest in one namespace of a table, for as long as this lives.
#[derive(Debug)]
pub struct Interest {
    /// The table.
    pub table: Arc<Table>,
    /// The namespace; empty where the subject is in none.
    pub namespace: Arc<str>,
}

impl Interest {
    fn new(table: Arc<Table>, namespace: &Arc<str>) -> Self {
        let mut wanted = table.lock();
        let namespace = match wanted.get_key_value(namespace) {
            // One text for all who are interested.
            Some((there, _)) => Arc::clone(there),
            None => Arc::clone(namespace),
        };
        *wanted.entry(Arc::clone(&namespace)).or_default() += 1;
        drop(wanted);
        Self { table, namespace }
    }
}

impl Drop for Interest {
    fn drop(&mut self) {
        let mut wanted = self.table.lock();
        if let Some(count) = wanted.get_mut(&self.namespace) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(&self.namespace);
            }
        }
    }
}

/// Every table.
#[derive(Debug, Default)]
pub struct Tables {
    /// A table is there for as long as somebody has an interest in it.
    all: Mutex<HashMap<Subject, Weak<Table>>>,
    made: AtomicU64,
    /// Tables of which somebody waits for a part that is not known yet.
    urgent: Mutex<Vec<Weak<Table>>>,
    called: Notify,
}

impl Tables {
    /// Notes an interest in a namespace of a subject. What is not known of it yet will be
    /// evaluated next.
    pub fn interest(&self, subject: &Subject, namespace: &Arc<str>) -> Interest {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let table = all.get(subject).and_then(Weak::upgrade).unwrap_or_else(|| {
            let number = self.made.fetch_add(1, Ordering::Relaxed);
            let table = Arc::new(Table::new(subject.clone(), number));
            all.insert(subject.clone(), Arc::downgrade(&table));
            table
        });
        drop(all);
        let interest = Interest::new(table, namespace);
        if interest.table.part(namespace).is_none() {
            let mut urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
            urgent.push(Arc::downgrade(&interest.table));
            self.called.notify_one();
        }
        interest
    }

    /// The tables that somebody waits for, once there is one.
    pub async fn urgent(&self) -> Vec<Arc<Table>> {
        loop {
            let called = self.called.notified();
            let urgent = {
                let mut urgent = self.urgent.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::take(&mut *urgent)
            };
            let mut urgent: Vec<_> = urgent.iter().filter_map(Weak::upgrade).collect();
            if !urgent.is_empty() {
                urgent.sort_unstable_by_key(|table| table.number);
                urgent.dedup_by_key(|table| table.number);
                return urgent;
            }
            called.await;
        }
    }

    /// Every table that there is.
    pub fn all(&self) -> Vec<Arc<Table>> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let tables: Vec<_> = all.values().filter_map(Weak::upgrade).collect();
        if tables.len() < all.len() {
            all.retain(|_, table| table.strong_count() > 0);
        }
        tables
    }
}
