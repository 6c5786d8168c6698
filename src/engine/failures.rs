//! What is wrong with the answers that autoscalers will get, told once per change.
//!
//! It is found by looking at the tables again and again, so that whatever happened between two looks
//! is told by what it came to. Nothing is told of an answer that has always been good.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::Engine;
use crate::engine::error::Error;
use crate::engine::foresee::{Asker, Awaited, Foreseen, Unserved};
use crate::engine::ports::{Backend, Inventory};
use crate::engine::read;
use crate::engine::table::Outcome;
use crate::model::autoscaler::Autoscaler;

/// What an autoscaler gets of one of its metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Its values, as it should be.
    Answered,
    /// Values of earlier times, which its rule allows; why there are no others.
    Outdated(Error),
    /// No value, and why.
    Unanswered(Error),
}

/// A state that has changed.
#[derive(Clone, Debug)]
pub struct Change {
    /// Whose answer it is.
    pub autoscaler: Arc<Autoscaler>,
    /// Metric and kind, for people.
    pub metric: String,
    /// What it is now.
    pub state: State,
}

/// What was found at the last look.
#[derive(Debug, Default)]
pub struct Failures {
    foreseen: Option<Arc<Foreseen>>,
    /// The outcome that was looked at last, by the index of the place.
    seen: Vec<Option<Arc<Outcome>>>,
    /// Those that were evaluated at some time, by the key of the asker.
    answered: HashSet<u64>,
    /// Those that are not as they should be.
    failing: HashMap<u64, State>,
}

impl Failures {
    /// Looks again: what has changed since the last look.
    pub fn look<B: Backend, I: Inventory>(
        &mut self,
        engine: &Engine<B, I>,
        now: Timestamp,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let foreseen = engine.foreseen();
        let is_new = self.foreseen.as_ref().is_none_or(|seen| !Arc::ptr_eq(seen, &foreseen));
        if is_new {
            self.forget_all_but(&foreseen);
            self.seen = vec![None; foreseen.places.len()];
            for Unserved { asker, metric, error } in &foreseen.unserved {
                // What has never been served may be somebody else's to serve.
                if self.answered.contains(&asker.key) {
                    let state = State::Unanswered(error.clone());
                    changes.extend(self.turn(asker, state, || metric.clone()));
                }
            }
        }
        for (index, place) in foreseen.places.iter().enumerate() {
            let Awaited { interest, askers, .. } = place;
            let Some(outcome) = interest.table.part(&interest.namespace) else { continue };
            let Some(seen) = self.seen.get_mut(index) else { continue };
            if seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &outcome)) {
                continue;
            }
            *seen = Some(Arc::clone(&outcome));
            for asker in askers {
                let state = state(place, asker, &outcome, now);
                let metric = || interest.table.subject.to_string();
                changes.extend(self.turn(asker, state, metric));
            }
        }
        self.foreseen = Some(foreseen);
        changes
    }

    /// Notes a state; the change that it is.
    fn turn(
        &mut self,
        asker: &Asker,
        state: State,
        metric: impl FnOnce() -> String,
    ) -> Option<Change> {
        self.answered.insert(asker.key);
        let before = self.failing.get(&asker.key);
        let is_news = match (before, &state) {
            (None, State::Answered) => false,
            (Some(State::Outdated(before)), State::Outdated(now))
            | (Some(State::Unanswered(before)), State::Unanswered(now)) => !before.is_like(now),
            _ => true,
        };
        if !is_news {
            return None;
        }
        match &state {
            State::Answered => drop(self.failing.remove(&asker.key)),
            state => drop(self.failing.insert(asker.key, state.clone())),
        }
        Some(Change { autoscaler: Arc::clone(&asker.autoscaler), metric: metric(), state })
    }

    /// Forgets what nobody asks for any more.
    fn forget_all_but(&mut self, foreseen: &Foreseen) {
        let served = foreseen.places.iter().flat_map(|place| &place.askers);
        let unserved = foreseen.unserved.iter().map(|unserved| &unserved.asker);
        let keys: HashSet<u64> = served.chain(unserved).map(|asker| asker.key).collect();
        self.answered.retain(|key| keys.contains(key));
        self.failing.retain(|key, _| keys.contains(key));
    }
}

fn state(place: &Awaited, asker: &Asker, outcome: &Outcome, now: Timestamp) -> State {
    let Awaited { interest, kind, .. } = place;
    let (kind, namespace) = (kind.as_deref(), &interest.namespace);
    match read::lack(outcome, kind, namespace, asker.name.as_deref(), now) {
        Some(error) => State::Unanswered(error),
        None => match outcome.as_ref().ok().and_then(|part| part.failure.clone()) {
            Some(error) => State::Outdated(error),
            None => State::Answered,
        },
    }
}
