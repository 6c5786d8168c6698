//! One URL of a backend: its client, its breaker, and how it is compared with the others.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::engine::ports::Fault;
use crate::model::value::QueryResult;
use crate::prometheus::breaker::{Breaker, Change, Permit, Verdict};
use crate::prometheus::pool::verdict;
use crate::prometheus::{Client, Terms};
use crate::telemetry::metrics::ReplicaMetrics;

/// Within this a replica that is well says how fresh its data is.
const PROBE_DEADLINE: Duration = Duration::from_secs(2);

/// When a target was scraped last. `timestamp(up)` alone is that of a scrape which failed, too: a
/// replica that reaches no target writes zeros.
const PROBE: &str = "max(timestamp(up) and up == 1)";

/// One URL of a backend.
pub(super) struct Replica {
    backend: Arc<str>,
    pub(super) client: Client,
    pub(super) breaker: Breaker,
    health: Mutex<Health>,
    metrics: ReplicaMetrics,
}

/// What the last probes said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Health {
    /// Whether the last probe was answered, and nothing has opened the breaker since.
    is_well: bool,
    newest: Newest,
    /// Whether it is too far behind another.
    pub(super) is_stale: bool,
}

/// The newest sample of a replica.
#[derive(Clone, Copy, Debug)]
enum Newest {
    /// It has not answered yet.
    Unknown,
    /// It has none.
    Nothing,
    /// The time in seconds.
    At(f64),
}

impl Health {
    /// The time of its newest sample in seconds.
    pub(super) fn newest(&self) -> Option<f64> {
        if let Newest::At(seconds) = self.newest { Some(seconds) } else { None }
    }
}

impl Replica {
    pub(super) fn new(backend: Arc<str>, client: Client, metrics: ReplicaMetrics) -> Self {
        let health = Health { is_well: true, newest: Newest::Unknown, is_stale: false };
        metrics.breaker_open(false);
        metrics.stale(false);
        Self { backend, client, breaker: Breaker::default(), health: health.into(), metrics }
    }

    pub(super) fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_well(&self) -> bool {
        self.health().is_well && !self.breaker.is_open()
    }

    /// Takes up what came of a request.
    pub(super) fn settle(&self, permit: Permit<'_>, verdict: Verdict) {
        let failure =
            if let Verdict::Failed(text) = &verdict { text.clone() } else { String::new() };
        let (backend, peer) = (&self.backend, self.client.peer());
        match permit.settle(verdict) {
            Some(Change::Opened) => {
                self.change(|health| health.is_well = false);
                self.metrics.breaker_open(true);
                warn!(%backend, %peer, error = failure, "the backend is left alone for a while");
            }
            Some(Change::Closed) => {
                self.metrics.breaker_open(false);
                info!(%backend, %peer, "the backend answers again");
            }
            None => {}
        }
    }

    /// Asks whether it is well and how fresh its data is.
    pub(super) async fn probe(&self, terms: &Terms) {
        let Ok(permit) = self.breaker.admit() else { return };
        let asked = self.client.query(PROBE, Timestamp::now(), terms);
        // Without an answer in time it may be well and have much to do: that opens no breaker.
        let Ok(answer) = timeout(PROBE_DEADLINE, asked).await else {
            return self.change(|health| health.is_well = false);
        };
        // That it answers what costs nothing does not show that it answers the others.
        let well = if permit.is_probe() { Verdict::Answered } else { Verdict::Nothing };
        self.settle(permit, answer.as_ref().err().map_or(well, verdict));
        self.change(|health| match answer {
            Ok(QueryResult::Vector(samples)) => {
                let values = samples.iter().map(|sample| sample.point.value);
                health.newest = values.max_by(f64::total_cmp).map_or(Newest::Nothing, Newest::At);
                health.is_well = true;
            }
            Ok(QueryResult::Scalar(_)) | Err(Fault::Busy { .. }) => {}
            Err(_) => health.is_well = false,
        });
    }

    /// Compares it with the newest sample of all replicas.
    pub(super) fn compare(&self, newest: Option<f64>, max_lag: Duration) {
        let health = self.health();
        let behind = newest.zip(health.newest()).map(|(newest, own)| newest - own);
        // One without data is behind whoever has some.
        let is_empty = newest.is_some() && matches!(health.newest, Newest::Nothing);
        let is_stale = is_empty || behind.is_some_and(|behind| behind > max_lag.as_secs_f64());
        if is_stale == health.is_stale {
            return;
        }
        self.change(|health| health.is_stale = is_stale);
        self.metrics.stale(is_stale);
        let (backend, peer) = (&self.backend, self.client.peer());
        if is_stale {
            warn!(%backend, %peer, behind, "a replica has old data and is not asked");
        } else {
            info!(%backend, %peer, "a replica has fresh data again");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Health)) {
        change(&mut self.health.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
