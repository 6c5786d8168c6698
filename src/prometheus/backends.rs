//! The backends there are, by name: the engine's port to them.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::ports::{Backend, BackendError, Facts, Fault, Range, Route, Tenancy};
use crate::model::rows::{ObjectLabels, Rows};
use crate::model::value::{QueryResult, Series, SeriesNames};
use crate::prometheus::{Client, Settings, SettingsError, Terms};
use crate::telemetry::metrics::Metrics;

/// Bytes of the longest query: a form of this size passes every server that is known to us.
const MAX_QUERY: usize = 256 << 10;

/// A backend as it is configured.
#[derive(Clone, PartialEq)]
pub struct Definition {
    /// What rules call it.
    pub name: Arc<str>,
    /// Where it is, and how it is asked.
    pub settings: Settings,
}

/// The backends in force.
pub struct Backends {
    by_name: HashMap<Arc<str>, Client>,
    facts: HashMap<Arc<str>, Facts>,
}

impl Backends {
    /// Builds the clients. Reads credential files, sends nothing.
    pub fn new(definitions: Vec<Definition>, metrics: &Metrics) -> Result<Self, SettingsError> {
        let (mut by_name, mut facts) = (HashMap::new(), HashMap::new());
        for Definition { name, settings } in definitions {
            facts.insert(Arc::clone(&name), self::facts(&settings));
            let client = Client::new(settings, metrics.backend(&name))?;
            by_name.insert(name, client);
        }
        Ok(Self { by_name, facts })
    }

    fn client(&self, route: &Route) -> Result<&Client, BackendError> {
        self.by_name.get(&route.backend).ok_or_else(|| {
            Fault::NotAsked("it is not configured under `backends`".to_owned()).of(&route.backend)
        })
    }
}

fn facts(settings: &Settings) -> Facts {
    Facts {
        tenancy: Tenancy::Shared,
        max_query: MAX_QUERY,
        concurrency: settings.concurrency,
        deadline: settings.deadline,
        max_series: settings.max_series,
    }
}

fn terms(route: &Route) -> Terms {
    Terms { tenant: None, accept_partial: route.accept_partial }
}

impl Backend for Backends {
    async fn query(
        &self,
        route: &Route,
        promql: &str,
        at: Timestamp,
    ) -> Result<QueryResult, BackendError> {
        let client = self.client(route)?;
        let answer = client.query(promql, at, &terms(route)).await;
        answer.map_err(|fault| fault.at(&route.backend, client.peer()))
    }

    async fn query_objects(
        &self,
        route: &Route,
        promql: &str,
        labels: &ObjectLabels,
        describe: bool,
        at: Timestamp,
    ) -> Result<Option<Rows>, BackendError> {
        let client = self.client(route)?;
        let answer = client.query_objects(promql, labels, describe, at, &terms(route)).await;
        answer.map_err(|fault| fault.at(&route.backend, client.peer()))
    }

    async fn query_range(
        &self,
        route: &Route,
        promql: &str,
        range: &Range,
    ) -> Result<Vec<Series>, BackendError> {
        let client = self.client(route)?;
        let answer = client.query_range(promql, range, &terms(route)).await;
        answer.map_err(|fault| fault.at(&route.backend, client.peer()))
    }

    async fn series(
        &self,
        route: &Route,
        selector: &str,
        since: Timestamp,
    ) -> Result<SeriesNames, BackendError> {
        let client = self.client(route)?;
        let answer = client.series(selector, since, &terms(route)).await;
        answer.map_err(|fault| fault.at(&route.backend, client.peer()))
    }

    fn facts(&self, backend: &str) -> Facts {
        self.facts.get(backend).copied().unwrap_or_else(|| Facts {
            tenancy: Tenancy::Shared,
            max_query: MAX_QUERY,
            concurrency: 1,
            deadline: std::time::Duration::from_secs(10),
            max_series: 500_000,
        })
    }
}
