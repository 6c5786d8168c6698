//! The heart: what is asked for, how it is computed, and the answers that are ready.
//!
//! A request is a [`Demand`]. The first time somebody has it, it is [planned](plan): the catalog
//! says which rule serves the metric, the inventory which objects are meant, and the rule renders
//! the query. The query is [evaluated](evaluate) at the backend and the [`Answer`] published in
//! the demand's slot, from where everybody reads it without a lock. While somebody keeps asking,
//! the slot is [refreshed](refresh) in the background; a demand that nobody has had for a while
//! lapses.
//!
//! ```text
//! request ─▶ demand ─▶ plan ─▶ backend ─▶ evaluate ─▶ slot ─▶ answer
//!                ▲       ▲                              ▲
//!             requests   catalog ◀─ discovery        refresh
//! ```
//!
//! The engine knows no HTTP and no Kubernetes client: it has two [`ports`].

pub mod answer;
pub mod catalog;
pub mod demand;
pub mod discovery;
pub mod error;
pub mod evaluate;
pub mod plan;
pub mod ports;
pub mod refresh;
#[cfg(test)]
mod tests;
pub mod usage;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::try_join_all;
use jiff::Timestamp;

use self::answer::{Answer, Evaluation};
use self::catalog::Catalog;
use self::demand::{Demand, Demands, Inserted, Slot};
use self::error::Error;
use self::plan::Plan;
use self::ports::{Backend, Inventory};
use crate::model::value::QueryResult;

/// How long a request waits for the first evaluation of what it asks for. The HPA controller's
/// client has no deadline of its own and blocks one of five workers meanwhile.
const FIRST_ANSWER_DEADLINE: Duration = Duration::from_secs(2);

/// Computes metrics and keeps the answers that are in demand.
#[derive(Debug)]
pub struct Engine<B, I> {
    backend: B,
    inventory: I,
    catalog: ArcSwap<Catalog>,
    demands: Demands,
    refresh_interval: Duration,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// An engine that serves nothing until its catalog is [published](Self::publish_catalog).
    ///
    /// With a refresh interval of zero nothing is kept: each request asks the backend, as
    /// prometheus-adapter does.
    pub fn new(backend: B, inventory: I, refresh_interval: Duration) -> Self {
        Self {
            backend,
            inventory,
            catalog: ArcSwap::default(),
            demands: Demands::default(),
            refresh_interval,
        }
    }

    /// Answers a request: from the demand's slot where it has been evaluated, else from its first
    /// evaluation, which everybody who asks for the same thing shares.
    pub async fn answer(self: &Arc<Self>, demand: &Demand) -> Result<Arc<Evaluation>, Error> {
        if self.refresh_interval.is_zero() {
            self.check(demand)?;
            return self.evaluate(demand).await.map(|answer| Arc::new(answer.into()));
        }
        let slot = match self.demands.find(demand) {
            Some(slot) => slot,
            None => match self.insert(demand)? {
                Some(slot) => slot,
                None => return self.evaluate(demand).await.map(|answer| Arc::new(answer.into())),
            },
        };
        Self::read(&slot).await
    }

    /// Tells what nobody serves apart, which takes no query.
    fn check(&self, demand: &Demand) -> Result<(), Error> {
        let known = plan::check(demand, &self.catalog.load());
        if let Err(Error::UnknownResource(_)) = known {
            self.inventory.look_for_kinds();
        }
        known
    }

    /// A slot for a demand that nobody has had, filled from now on; none where there is no room.
    fn insert(self: &Arc<Self>, demand: &Demand) -> Result<Option<Arc<Slot>>, Error> {
        self.check(demand)?;
        Ok(match self.demands.insert(demand) {
            Inserted::Mine(slot) => {
                tokio::spawn(refresh::keep_fresh(Arc::clone(self), Arc::clone(&slot)));
                Some(slot)
            }
            Inserted::Theirs(slot) => Some(slot),
            Inserted::Full => None,
        })
    }

    async fn read(slot: &Slot) -> Result<Arc<Evaluation>, Error> {
        slot.asked();
        let outcome = match slot.outcome() {
            Some(outcome) => outcome,
            None => tokio::time::timeout(FIRST_ANSWER_DEADLINE, slot.first_outcome())
                .await
                .map_err(|_| Error::StillEvaluating(FIRST_ANSWER_DEADLINE))?,
        };
        match outcome.as_ref() {
            Ok(evaluation) => Ok(Arc::clone(evaluation)),
            Err(error) => Err(error.clone()),
        }
    }

    /// Plans a demand, asks the backend and makes the answer.
    async fn evaluate(&self, demand: &Demand) -> Result<Answer, Error> {
        let now = Timestamp::now();
        let catalog = self.catalog.load_full();
        let plan = match demand {
            Demand::Custom(demand) => plan::custom(demand, &catalog, &self.inventory).await?,
            Demand::External(demand) => plan::external(demand, &catalog)?,
            Demand::Usage(demand) => {
                let answer =
                    usage::evaluate(demand, &catalog, &self.inventory, &self.backend, now).await?;
                return Ok(Answer::Usage(answer));
            }
        };
        let result = self.ask(&plan, now).await?;
        evaluate::evaluate(plan, result, now)
    }

    /// Asks all of a plan's queries and puts their results together.
    async fn ask(&self, plan: &Plan, now: Timestamp) -> Result<QueryResult, Error> {
        let results = plan.queries.iter().map(async |promql| {
            self.backend.query(&plan.route, promql, now).await.map_err(|cause| {
                let (rule, promql) = (plan.rule.path.clone(), error::excerpt(promql));
                Error::Backend { rule, promql, cause }
            })
        });
        let mut together = Vec::new();
        for result in try_join_all(results).await? {
            match result {
                QueryResult::Vector(samples) => together.extend(samples),
                scalar @ QueryResult::Scalar(_) => return Ok(scalar),
            }
        }
        Ok(QueryResult::Vector(together))
    }

    /// Puts a new catalog in force for everything that is evaluated from now on.
    pub fn publish_catalog(&self, catalog: Catalog) {
        self.catalog.store(Arc::new(catalog));
    }

    /// The catalog in force.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// The demands there are now.
    pub fn demands(&self) -> &Demands {
        &self.demands
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
