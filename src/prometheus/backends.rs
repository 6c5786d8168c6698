//! The backends there are, by name: the engine's port to them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::time::MissedTickBehavior;

use crate::engine::ports::{Backend, BackendError, Facts, Fault, Range, Route, Tenancy};
use crate::model::backend::Tenant;
use crate::model::rows::{ObjectLabels, Rows};
use crate::model::value::{QueryResult, Series, SeriesNames};
use crate::prometheus::pool::Pool;
use crate::prometheus::{Settings, SettingsError};
use crate::telemetry::metrics::Metrics;

/// Bytes of the longest query: `VictoriaMetrics` takes no longer ones (`-search.maxQueryLen`).
const MAX_QUERY: usize = 16 << 10;

/// How often replicas are compared.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How far a replica may be behind another where nothing is said: more than a scrape interval of one
/// minute, which is the default of Prometheus.
const MAX_LAG: Duration = Duration::from_secs(90);

/// A backend as it is configured.
#[derive(Clone, PartialEq)]
pub struct Definition {
    /// What rules call it.
    pub name: Arc<str>,
    /// Where it is, and how it is asked: one for each replica. They differ in the URL alone.
    pub replicas: Vec<Settings>,
    /// Whose data is meant.
    pub tenant: Option<Tenant>,
    /// How far the newest sample of a replica may be behind that of another.
    pub max_lag: Duration,
}

impl Definition {
    /// A backend of these replicas without tenants.
    pub fn new(name: &str, replicas: Vec<Settings>) -> Self {
        Self { name: name.into(), replicas, tenant: None, max_lag: MAX_LAG }
    }

    pub(super) fn is_per_namespace(&self) -> bool {
        self.tenant.as_ref().is_some_and(|tenant| tenant.from_namespace)
    }

    fn facts(&self) -> Facts {
        let tenancy = if self.is_per_namespace() { Tenancy::PerNamespace } else { Tenancy::Shared };
        let Some(settings) = self.replicas.first() else { return unknown() };
        Facts {
            tenancy,
            max_query: MAX_QUERY,
            concurrency: settings.concurrency,
            deadline: settings.deadline,
            max_series: settings.max_series,
        }
    }
}

/// The backends in force.
pub struct Backends(ArcSwap<HashMap<Arc<str>, Arc<Pool>>>);

impl Backends {
    /// Builds the clients. Reads credential files, sends nothing.
    pub fn new(definitions: Vec<Definition>, metrics: &Metrics) -> Result<Self, SettingsError> {
        let this = Self(ArcSwap::default());
        this.replace(definitions, metrics)?;
        Ok(this)
    }

    /// Puts other definitions in force, or none of them. Backends that stay as they are keep their
    /// connections and what is known of them.
    pub fn replace(
        &self,
        definitions: Vec<Definition>,
        metrics: &Metrics,
    ) -> Result<(), SettingsError> {
        let before = self.0.load_full();
        let mut after = HashMap::new();
        for definition in definitions {
            let name = Arc::clone(&definition.name);
            let pool = match before.get(&name) {
                Some(pool) if pool.definition == definition => Arc::clone(pool),
                _ => Arc::new(Pool::new(definition, metrics)?),
            };
            after.insert(name, pool);
        }
        for (name, pool) in before.iter() {
            let peers = after.get(name).map(|pool| pool.peers()).unwrap_or_default();
            for peer in pool.peers().into_iter().filter(|peer| !peers.contains(peer)) {
                metrics.replica_forgotten(name, &peer);
            }
            if !after.contains_key(name) {
                metrics.backend_forgotten(name);
            }
        }
        self.0.store(Arc::new(after));
        Ok(())
    }

    /// Compares the replicas of each backend for as long as it runs.
    pub async fn watch(&self) {
        let mut rounds = tokio::time::interval(PROBE_INTERVAL);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.probe().await;
        }
    }

    /// Compares the replicas of each backend once.
    pub async fn probe(&self) {
        let pools = self.0.load_full();
        join_all(pools.values().map(|pool| pool.probe())).await;
    }

    fn pool(&self, route: &Route) -> Result<Arc<Pool>, BackendError> {
        self.0.load().get(&route.backend).cloned().ok_or_else(|| {
            Fault::NotAsked("it is not configured under `backends`".to_owned()).of(&route.backend)
        })
    }
}

/// What holds for most.
fn unknown() -> Facts {
    Facts {
        tenancy: Tenancy::Shared,
        max_query: MAX_QUERY,
        concurrency: 1,
        deadline: Duration::from_secs(10),
        max_series: 500_000,
    }
}

impl Backend for Backends {
    async fn query(
        &self,
        route: &Route,
        promql: &str,
        at: Timestamp,
    ) -> Result<QueryResult, BackendError> {
        let pool = self.pool(route)?;
        let mut attempts = pool.attempts(route, pool.settings().deadline).await?;
        loop {
            let attempt = attempts.next()?;
            let asked = attempt.client().query(promql, at, &attempt.terms);
            let result = attempt.within(asked).await;
            if let Some(answer) = attempts.settle(attempt, result) {
                return answer;
            }
        }
    }

    async fn query_objects(
        &self,
        route: &Route,
        promql: &str,
        labels: &ObjectLabels,
        describe: bool,
        at: Timestamp,
    ) -> Result<Option<Rows>, BackendError> {
        let pool = self.pool(route)?;
        let mut attempts = pool.attempts(route, pool.settings().deadline).await?;
        loop {
            let attempt = attempts.next()?;
            let asked =
                attempt.client().query_objects(promql, labels, describe, at, &attempt.terms);
            let result = attempt.within(asked).await;
            if let Some(answer) = attempts.settle(attempt, result) {
                return answer;
            }
        }
    }

    async fn query_range(
        &self,
        route: &Route,
        promql: &str,
        range: &Range,
    ) -> Result<Vec<Series>, BackendError> {
        let pool = self.pool(route)?;
        let mut attempts = pool.attempts(route, pool.settings().deadline).await?;
        loop {
            let attempt = attempts.next()?;
            let asked = attempt.client().query_range(promql, range, &attempt.terms);
            let result = attempt.within(asked).await;
            if let Some(answer) = attempts.settle(attempt, result) {
                return answer;
            }
        }
    }

    async fn series(
        &self,
        route: &Route,
        selector: &str,
        since: Timestamp,
    ) -> Result<SeriesNames, BackendError> {
        let pool = self.pool(route)?;
        let mut attempts = pool.attempts(route, pool.settings().series_deadline).await?;
        loop {
            let attempt = attempts.next()?;
            let asked = attempt.client().series(selector, since, &attempt.terms);
            let result = attempt.within(asked).await;
            if let Some(answer) = attempts.settle(attempt, result) {
                return answer;
            }
        }
    }

    fn facts(&self, backend: &str) -> Facts {
        self.0.load().get(backend).map_or_else(unknown, |pool| pool.definition.facts())
    }
}
