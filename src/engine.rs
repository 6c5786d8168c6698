//! The heart: what is asked for, how it is computed, and the answers that are ready.
//!
//! A request is a [`Demand`]. It is answered from a [`table`], which holds the values of one
//! metric of all objects in all namespaces where somebody needs it. The first interest in a
//! namespace has it [planned](plan): the catalog says which rule serves the metric, and the rule
//! renders the fewest queries that answer all who are interested. The backend's results are
//! [evaluated](evaluate) and published in the table, from where everybody [reads](read) them
//! without a lock. While somebody keeps asking, or an autoscaler will ask, the table is
//! [refreshed](refresh) in the background; a demand that nobody has had for a while lapses.
//!
//! ```text
//! autoscalers ─▶ demand ─▶ table ─▶ plan ─▶ backend ─▶ evaluate ─▶ table ─▶ read ─▶ answer
//! requests ────────▲                 ▲                    ▲                  ▲
//!                                 catalog ◀─ discovery  refresh           inventory
//! ```
//!
//! The engine knows no HTTP and no Kubernetes client: it has two [`ports`].

pub mod answer;
pub mod catalog;
pub mod compute;
pub mod decisions;
pub mod demand;
pub mod discovery;
pub mod error;
pub mod evaluate;
pub mod evaluations;
pub mod failures;
pub mod foresee;
pub mod origin;
pub mod plan;
pub mod ports;
pub mod read;
pub mod refresh;
pub mod signals;
pub mod table;
#[cfg(test)]
mod tests;
pub mod usage;
pub mod values;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use jiff::Timestamp;
use tokio::time::Instant;

use self::answer::Evaluation;
use self::catalog::Catalog;
use self::decisions::Decisions;
use self::demand::Demand;
use self::demand::slots::{Binding, Demands, Latest, Slot};
use self::error::Error;
use self::foresee::Foreseen;
use self::plan::Place;
use self::ports::{Backend, Inventory};
use self::signals::Forecasts;
use self::table::{Interest, Outcome, Part, Subject, Tables, Values};
use crate::model::no_data::NoData;

/// How long a request waits for the first evaluation of what it asks for. The HPA controller's
/// client has no deadline of its own and blocks one of five workers meanwhile.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// How metrics are computed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How often. With zero nothing is kept: each request asks the backend, as prometheus-adapter
    /// does.
    pub refresh_interval: Duration,
    /// Whether one query answers for all objects and namespaces, where that is the same.
    pub merge: bool,
}

/// Computes metrics and keeps the answers that are in demand.
#[derive(Debug)]
pub struct Engine<B, I> {
    backend: B,
    inventory: I,
    settings: Settings,
    catalog: ArcSwap<Catalog>,
    catalogs: AtomicU64,
    demands: Demands,
    decisions: Arc<Decisions>,
    forecasts: Arc<Forecasts>,
    tables: Tables,
    foreseen: Mutex<Arc<Foreseen>>,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// An engine that serves nothing until its catalog is [published](Self::publish_catalog), and
    /// keeps nothing fresh until it is [run](refresh::run).
    pub fn new(backend: B, inventory: I, settings: Settings) -> Self {
        Self {
            backend,
            inventory,
            settings,
            catalog: ArcSwap::default(),
            catalogs: AtomicU64::new(0),
            demands: Demands::default(),
            decisions: Arc::default(),
            forecasts: Arc::default(),
            tables: Tables::default(),
            foreseen: Mutex::default(),
        }
    }

    /// Answers a request: from the table where it has been evaluated, else from the first
    /// evaluation, which everybody who asks for the same thing shares.
    pub async fn answer(&self, demand: &Demand) -> Result<Arc<Evaluation>, Error> {
        if self.settings.refresh_interval.is_zero() {
            return self.answer_anew(demand).await;
        }
        let slot = self.slot(demand)?;
        slot.asked();
        let binding = slot.binding();
        let latest = slot.latest();
        let before = latest.as_ref().map(|latest| &latest.chosen);
        let kind = binding.kind.as_ref();
        let chosen = read::choose(demand, kind, &self.inventory, before).await?;
        let outcome = self.outcome(&slot.demand, &binding).await?;
        if let Some(latest) = &latest
            && Arc::ptr_eq(&latest.outcome, &outcome)
            && latest.chosen.is_like(&chosen)
            && !outcome_ages(&outcome)
        {
            return Ok(Arc::clone(&latest.evaluation));
        }
        let answer = read::answer(demand, kind, &outcome, &chosen, Timestamp::now())?;
        let evaluation = Arc::new(Evaluation::from(answer));
        slot.keep(Latest { outcome, chosen, evaluation: Arc::clone(&evaluation) });
        Ok(evaluation)
    }

    /// What is known for a demand, or will be soon. Objects share a query, and the data of one can
    /// keep it from being executed: the others are then evaluated by themselves.
    async fn outcome(
        &self,
        demand: &Arc<Demand>,
        binding: &Binding,
    ) -> Result<Arc<Outcome>, Error> {
        let shared = first_outcome(&binding.interest).await?;
        let is_of_objects = matches!(binding.interest.table.subject, Subject::Objects { .. });
        if !is_of_objects || !compute::is_divisible_failure(&shared) {
            binding.alone.store(None);
            return Ok(shared);
        }
        let interest = binding.alone.load_full().unwrap_or_else(|| {
            let subject = Subject::Alone(Arc::clone(demand));
            let interest = Arc::new(self.tables.interest(&subject, &"".into()));
            binding.alone.store(Some(Arc::clone(&interest)));
            interest
        });
        let alone = first_outcome(&interest).await?;
        // What is known of earlier times is known of all.
        let has_earlier = alone.is_err() && shared.is_ok();
        Ok(if has_earlier { shared } else { alone })
    }

    /// Answers a request from an evaluation of its own.
    async fn answer_anew(&self, demand: &Demand) -> Result<Arc<Evaluation>, Error> {
        let Place { kind, .. } = self.place(demand)?;
        let chosen = read::choose(demand, kind.as_ref(), &self.inventory, None).await?;
        let at = Timestamp::now();
        let values = self.compute_alone(demand, &self.catalog(), at).await;
        let values = values.map_err(|error| error.of_metric(demand))?;
        let part = Part { values, failure: None, at, evaluated: Instant::now() };
        let answer = read::answer(demand, kind.as_ref(), &Ok(part), &chosen, at)?;
        Ok(Arc::new(answer.into()))
    }

    /// The slot of a demand, which comes into being with the first request, and looks elsewhere
    /// for its answer when another catalog is in force.
    fn slot(&self, demand: &Demand) -> Result<Arc<Slot>, Error> {
        let number = self.catalog.load().number();
        match self.demands.find(demand) {
            Some(slot) if slot.binding().catalog == number => Ok(slot),
            Some(slot) => {
                slot.bind(self.bind(demand)?);
                Ok(slot)
            }
            None => {
                let binding = self.bind(demand)?;
                Ok(self.demands.insert(Slot::new(Arc::new(demand.clone()), binding)))
            }
        }
    }

    fn bind(&self, demand: &Demand) -> Result<Binding, Error> {
        let catalog = self.catalog.load().number();
        let Place { subject, namespace, kind } = self.place(demand)?;
        let interest = self.tables.interest(&subject, &namespace);
        Ok(Binding { catalog, kind, interest, alone: ArcSwapOption::empty() })
    }

    /// Where the answer to a demand is found; what nobody serves is told apart, which takes no
    /// query.
    fn place(&self, demand: &Demand) -> Result<Place, Error> {
        let place = plan::place(demand, &self.catalog.load(), self.settings.merge, &self.backend);
        if let Err(Error::UnknownResource(_)) = place {
            self.inventory.look_for_kinds();
        }
        place
    }

    /// Puts a new catalog in force for everything that is evaluated from now on. One that is like
    /// the one in force changes nothing.
    pub fn publish_catalog(&self, catalog: Catalog) {
        if self.catalogs.load(Ordering::Relaxed) > 0 && catalog.is_like(&self.catalog.load()) {
            return;
        }
        let number = self.catalogs.fetch_add(1, Ordering::Relaxed) + 1;
        self.catalog.store(Arc::new(catalog.numbered(number)));
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The demands there are now.
    pub fn demands(&self) -> &Demands {
        &self.demands
    }

    /// What decision signals have decided.
    pub fn decisions(&self) -> &Decisions {
        &self.decisions
    }

    /// How well forecast signals forecast.
    pub fn forecasts(&self) -> &Forecasts {
        &self.forecasts
    }

    /// The age of the oldest answer that is being served.
    pub fn oldest_answer(&self) -> Option<Duration> {
        let tables = self.tables.all();
        let ages = tables.iter().filter_map(|table| {
            let evaluated =
                |outcome: &Arc<Outcome>| Some(outcome.as_ref().as_ref().ok()?.evaluated);
            table.parts().values().filter_map(evaluated).min()
        });
        ages.min().map(|evaluated| evaluated.elapsed())
    }

    /// The inventory, for those who know kinds by name.
    pub fn inventory(&self) -> &I {
        &self.inventory
    }

    /// The backend, for the discovery loop.
    pub fn backend(&self) -> &B {
        &self.backend
    }
}

/// What is known of a namespace of a table, waiting for the first evaluation.
async fn first_outcome(interest: &Interest) -> Result<Arc<Outcome>, Error> {
    let Interest { table, namespace } = interest;
    if let Some(outcome) = table.part(namespace) {
        return Ok(outcome);
    }
    let first = table.first_part(namespace);
    let first = tokio::time::timeout(FIRST_ANSWER_DEADLINE, first).await;
    first.map_err(|_| Error::StillEvaluating(FIRST_ANSWER_DEADLINE))
}

/// Whether an answer may have to change although nothing was evaluated: values of earlier times
/// get too old.
fn outcome_ages(outcome: &Outcome) -> bool {
    let Ok(Part { values: Values::Objects(origin, _) | Values::Series(origin, _), .. }) = outcome
    else {
        return false;
    };
    matches!(origin.no_data(), NoData::LastKnown { .. })
}
