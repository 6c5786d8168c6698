//! Demand before the first request: what the autoscalers of the cluster will ask for.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, timeout_at};

use crate::engine::Engine;
use crate::engine::demand::{Demand, Target, autoscaler};
use crate::engine::error::Error;
use crate::engine::plan;
use crate::engine::ports::{Backend, Inventory};
use crate::engine::table::{Interest, Subject};
use crate::model::autoscaler::Autoscaler;
use crate::model::inventory::Objects;
use crate::model::object::Kind;

/// How often, at most, the demands are read again.
const PAUSE: Duration = Duration::from_secs(1);

/// What the autoscalers will ask for, and where the answers will be.
#[derive(Debug, Default)]
pub struct Foreseen {
    /// By the place of the answers.
    pub(super) places: Vec<Awaited>,
    pub(super) unserved: Vec<Unserved>,
    /// The number of the catalog that said so.
    catalog: u64,
}

/// One namespace of a table that autoscalers will ask for.
#[derive(Debug)]
pub struct Awaited {
    pub(super) interest: Interest,
    /// The kind of the objects; none where they are of none.
    pub(super) kind: Option<Arc<Kind>>,
    pub(super) askers: Vec<Asker>,
}

/// A metric of an autoscaler that nobody serves.
#[derive(Debug)]
pub struct Unserved {
    pub(super) asker: Asker,
    pub(super) metric: String,
    pub(super) error: Error,
}

/// One metric of an autoscaler.
#[derive(Clone, Debug)]
pub struct Asker {
    pub(super) autoscaler: Arc<Autoscaler>,
    /// Tells its demands from all others.
    pub(super) key: u64,
    /// The object whose metric it is; none where it is that of several or of none.
    pub(super) name: Option<Box<str>>,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// Keeps an interest in what the autoscalers will ask for, for as long as somebody watches
    /// them.
    pub async fn follow(&self, mut autoscalers: watch::Receiver<Option<Arc<Objects<Autoscaler>>>>) {
        let mut pauses = tokio::time::interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pauses.tick().await;
            let Ok(is_changed) = autoscalers.has_changed() else { return };
            if is_changed || self.foreseen().catalog != self.catalog().number() {
                let current = autoscalers.borrow_and_update().clone();
                if let Some(current) = current {
                    self.foresee(current.iter());
                }
            }
        }
    }

    /// Waits until the autoscalers are known and everything that they will ask for has been
    /// evaluated, or the deadline is over; tells which.
    pub async fn warm(
        &self,
        mut autoscalers: watch::Receiver<Option<Arc<Objects<Autoscaler>>>>,
        deadline: Instant,
    ) -> bool {
        let current = match timeout_at(deadline, autoscalers.wait_for(Option::is_some)).await {
            Ok(Ok(current)) => current.clone(),
            Ok(Err(_)) | Err(_) => return false,
        };
        self.foresee(current.iter().flat_map(|current| current.iter()));
        self.warmed(deadline).await
    }

    /// Notes what these autoscalers will ask for, in place of what was noted before.
    pub fn foresee<'a>(&self, autoscalers: impl IntoIterator<Item = &'a Arc<Autoscaler>>) {
        if self.settings.refresh_interval.is_zero() {
            return;
        }
        let catalog = self.catalog();
        let mut indexes = HashMap::new();
        let (mut places, mut unserved) = (Vec::<Awaited>::new(), Vec::new());
        for autoscaler in autoscalers {
            for demand in autoscaler::of(autoscaler, catalog.kinds()) {
                let asker = Asker::new(autoscaler, &demand);
                let place = match plan::place(&demand, &catalog, self.settings.merge, &self.backend)
                {
                    Ok(place) => place,
                    // It may well be there, and only not be listed yet.
                    Err(Error::Undiscovered(_)) => continue,
                    Err(error) => {
                        unserved.push(Unserved { asker, metric: demand.to_string(), error });
                        continue;
                    }
                };
                if matches!(place.subject, Subject::Alone(_)) && !is_exact(&demand) {
                    continue;
                }
                let next = places.len();
                let key = (place.subject.clone(), Arc::clone(&place.namespace));
                let index = *indexes.entry(key).or_insert(next);
                if index == next {
                    let interest = self.tables.interest(&place.subject, &place.namespace);
                    places.push(Awaited { interest, kind: place.kind, askers: Vec::new() });
                }
                if let Some(place) = places.get_mut(index) {
                    place.askers.push(asker);
                }
            }
        }
        let foreseen = Foreseen { places, unserved, catalog: catalog.number() };
        let mut current = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(foreseen);
    }

    /// Waits until everything that is foreseen has been evaluated, or the deadline is over; tells
    /// which.
    pub async fn warmed(&self, deadline: Instant) -> bool {
        let foreseen = self.foreseen();
        let parts = foreseen.places.iter().map(async |place| {
            let Awaited { interest: Interest { table, namespace }, kind, askers } = place;
            if let Some(kind) = kind
                && askers.iter().any(|asker| asker.name.is_none())
            {
                // Which of the values are meant is asked of the inventory. What it cannot say now
                // is said to whoever asks.
                let _unknown = self.inventory.objects(kind).await;
            }
            table.first_part(namespace).await;
        });
        timeout_at(deadline, join_all(parts)).await.is_ok()
    }

    pub(super) fn foreseen(&self) -> Arc<Foreseen> {
        Arc::clone(&self.foreseen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Asker {
    fn new(autoscaler: &Arc<Autoscaler>, demand: &Demand) -> Self {
        let mut key = DefaultHasher::new();
        (&autoscaler.namespace, &autoscaler.name, &autoscaler.uid, demand).hash(&mut key);
        let name = match demand {
            Demand::Custom(demand) => match &demand.target {
                Target::Named(name) => Some(name.as_str().into()),
                Target::Selected(_) => None,
            },
            Demand::External(_) | Demand::Usage(_) => None,
        };
        Self { autoscaler: Arc::clone(autoscaler), key: key.finish(), name }
    }
}

/// Whether a request will say just this. Which pods an autoscaler's target selects is not known.
fn is_exact(demand: &Demand) -> bool {
    match demand {
        Demand::Custom(demand) => matches!(demand.target, Target::Named(_)),
        Demand::External(_) | Demand::Usage(_) => true,
    }
}
