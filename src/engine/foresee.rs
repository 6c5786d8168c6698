//! Demand before the first request: what the autoscalers of the cluster will ask for.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::engine::Engine;
use crate::engine::demand::{Demand, Target, autoscaler};
use crate::engine::plan;
use crate::engine::ports::{Backend, Inventory};
use crate::engine::table::{Interest, Subject};
use crate::model::autoscaler::Autoscaler;

/// How often, at most, the demands are read again.
const PAUSE: Duration = Duration::from_secs(1);

/// The interests that stand for the autoscalers.
#[derive(Debug, Default)]
pub struct Foreseen {
    interests: Vec<Interest>,
    catalog: u64,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// Keeps an interest in what the autoscalers will ask for, for as long as somebody watches
    /// them.
    pub async fn follow(&self, mut autoscalers: watch::Receiver<Arc<Vec<Arc<Autoscaler>>>>) {
        let mut pauses = tokio::time::interval(PAUSE);
        pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pauses.tick().await;
            let Ok(is_changed) = autoscalers.has_changed() else { return };
            if is_changed || self.foreseen_with() != self.catalog().number() {
                let current = Arc::clone(&autoscalers.borrow_and_update());
                self.foresee(&current);
            }
        }
    }

    /// Notes what these autoscalers will ask for, in place of what was noted before.
    pub fn foresee(&self, autoscalers: &[Arc<Autoscaler>]) {
        if self.settings.refresh_interval.is_zero() {
            return;
        }
        let catalog = self.catalog();
        let mut seen = HashSet::new();
        let mut interests = Vec::new();
        let demands = autoscalers.iter().flat_map(|it| autoscaler::of(it, catalog.kinds()));
        for demand in demands {
            let place = plan::place(&demand, &catalog, self.settings.merge, &self.backend);
            let Ok(place) = place else { continue };
            let is_known = !matches!(place.subject, Subject::Alone(_)) || is_exact(&demand);
            if is_known && seen.insert((place.subject.clone(), Arc::clone(&place.namespace))) {
                interests.push(self.tables.interest(&place.subject, &place.namespace));
            }
        }
        let mut foreseen = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
        *foreseen = Foreseen { interests, catalog: catalog.number() };
    }

    /// Waits until everything that is foreseen has been evaluated, or the deadline is over; tells
    /// which.
    pub async fn warmed(&self, deadline: Duration) -> bool {
        let until = Instant::now() + deadline;
        let awaited: Vec<_> = {
            let foreseen = self.foreseen.lock().unwrap_or_else(PoisonError::into_inner);
            let pair = |it: &Interest| (Arc::clone(&it.table), Arc::clone(&it.namespace));
            foreseen.interests.iter().map(pair).collect()
        };
        let parts = awaited.iter().map(|(table, namespace)| table.first_part(namespace));
        tokio::time::timeout_at(until, join_all(parts)).await.is_ok()
    }

    fn foreseen_with(&self) -> u64 {
        self.foreseen.lock().unwrap_or_else(PoisonError::into_inner).catalog
    }
}

/// Whether a request will say just this. Which pods an autoscaler's target selects is not known.
fn is_exact(demand: &Demand) -> bool {
    match demand {
        Demand::Custom(demand) => matches!(demand.target, Target::Named(_)),
        Demand::External(_) | Demand::Usage(_) => true,
    }
}
