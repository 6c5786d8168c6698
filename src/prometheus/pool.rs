//! One backend: its replicas, and which of them is asked.
//!
//! That is the first whose breaker is closed, that answered its last probe and whose data is as fresh
//! as that of the others. One that is stale is never asked: it would answer with old numbers. What
//! fails at one replica is asked of the next within the same deadline.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderName, HeaderValue};
use tokio::sync::OnceCell;
use tokio::time::{Instant, timeout_at};

use crate::engine::ports::{BackendError, Fault, Route};
use crate::prometheus::breaker::{Permit, Verdict};
use crate::prometheus::holds::Holds;
use crate::prometheus::replica::Replica;
use crate::prometheus::{Client, Definition, Settings, SettingsError, Terms};
use crate::telemetry::metrics::{BackendMetrics, Metrics};

/// What a proxy says of a backend that it cannot reach. A backend's own word for an error stands in
/// place of the second one.
const GATEWAY: [&str; 3] = ["502 Bad Gateway", "503 Service Unavailable", "504 Gateway Timeout"];

/// A backend as it is asked.
pub(super) struct Pool {
    pub(super) definition: Definition,
    /// Those of the first replica.
    settings: Settings,
    replicas: Vec<Replica>,
    tenant: Option<(HeaderName, HeaderValue)>,
    holds: Holds,
    /// Whether all replicas have been probed once.
    probed: OnceCell<()>,
    metrics: BackendMetrics,
}

impl Pool {
    /// Reads credential files, sends nothing.
    pub(super) fn new(definition: Definition, metrics: &Metrics) -> Result<Self, SettingsError> {
        let Definition { name, replicas, tenant, .. } = &definition;
        let settings = replicas.first().cloned().ok_or(SettingsError::NoUrl)?;
        let asked = metrics.backend(name);
        let replicas = replicas.iter().map(|settings| {
            let client = Client::new(settings.clone(), asked.clone())?;
            let metrics = metrics.replica(name, client.peer());
            Ok(Replica::new(Arc::clone(name), client, metrics))
        });
        let replicas: Vec<_> = replicas.collect::<Result<_, SettingsError>>()?;
        let tenant = tenant.as_ref().map(|tenant| {
            let invalid = || SettingsError::Header(tenant.header.clone());
            let name = HeaderName::try_from(&tenant.header).map_err(|_| invalid())?;
            let value = HeaderValue::try_from(&tenant.value).map_err(|_| invalid())?;
            Ok::<_, SettingsError>((name, value))
        });
        Ok(Self {
            replicas,
            tenant: tenant.transpose()?,
            holds: Holds::default(),
            probed: OnceCell::new(),
            metrics: asked,
            settings,
            definition,
        })
    }

    /// How each replica is asked.
    pub(super) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Host and port of each replica.
    pub(super) fn peers(&self) -> Vec<Arc<str>> {
        self.replicas.iter().map(|replica| Arc::clone(replica.client.peer())).collect()
    }

    /// Asks each replica whether it is well and how fresh its data is. A single one is not asked:
    /// there is nothing to choose.
    pub(super) async fn probe(&self) {
        if self.replicas.len() < 2 {
            return;
        }
        let tenant = self.tenant.clone();
        let terms = Terms { tenant, accept_partial: true };
        join_all(self.replicas.iter().map(|replica| replica.probe(&terms))).await;
        let newest = self.replicas.iter().filter_map(|replica| replica.health().newest());
        let newest = newest.max_by(f64::total_cmp);
        for replica in &self.replicas {
            replica.compare(newest, self.definition.max_lag);
        }
    }

    /// The attempts to answer one question within a deadline.
    pub(super) async fn attempts(
        &self,
        route: &Route,
        deadline: Duration,
    ) -> Result<Attempts<'_>, BackendError> {
        let until = Instant::now() + deadline;
        let tenant = self.tenant_of(route).map_err(|fault| fault.of(&route.backend))?;
        let held = self.holds.check(tenant.as_ref().map(|(_, tenant)| tenant));
        held.map_err(|fault| fault.of(&route.backend))?;
        if self.replicas.len() > 1 {
            // A stale one is known before anybody asks it.
            self.probed.get_or_init(|| self.probe()).await;
        }
        let terms = Terms { tenant, accept_partial: route.accept_partial };
        Ok(Attempts { pool: self, terms, until, deadline, order: self.order(), failed: None })
    }

    fn tenant_of(&self, route: &Route) -> Result<Option<(HeaderName, HeaderValue)>, Fault> {
        let from_namespace = self.definition.is_per_namespace();
        match (&self.tenant, &route.namespace) {
            (Some((name, _)), Some(namespace)) if from_namespace => {
                let invalid =
                    |_| Fault::NotAsked("the namespace cannot be sent as a tenant".to_owned());
                let value = HeaderValue::try_from(&**namespace).map_err(invalid)?;
                Ok(Some((name.clone(), value)))
            }
            (tenant, _) => Ok(tenant.clone()),
        }
    }

    /// The replicas in the order in which they are asked, the next one last.
    fn order(&self) -> Vec<&Replica> {
        let fresh = |replica: &&Replica| !replica.health().is_stale;
        let mut order: Vec<_> = self.replicas.iter().filter(fresh).collect();
        order.sort_by_key(|replica| !replica.is_well());
        order.reverse();
        order
    }
}

/// The attempts to answer one question.
pub(super) struct Attempts<'a> {
    pool: &'a Pool,
    terms: Terms,
    until: Instant,
    deadline: Duration,
    order: Vec<&'a Replica>,
    failed: Option<BackendError>,
}

/// One attempt.
pub(super) struct Attempt<'a> {
    replica: &'a Replica,
    permit: Permit<'a>,
    until: Option<Instant>,
    deadline: Duration,
    pub(super) terms: Terms,
}

impl<'a> Attempts<'a> {
    /// The next one, or what came of the others.
    pub(super) fn next(&mut self) -> Result<Attempt<'a>, BackendError> {
        let name = &self.pool.definition.name;
        let is_first = self.failed.is_none();
        while let Some(replica) = self.order.pop() {
            if !is_first && Instant::now() >= self.until {
                break;
            }
            match replica.breaker.admit() {
                Ok(permit) => {
                    // The first has all of the time to itself only where there is no other.
                    let until = match (is_first, self.order.is_empty()) {
                        (true, true) => None,
                        (true, false) => Some(Instant::now() + self.deadline / 2),
                        (false, _) => Some(self.until),
                    };
                    let (terms, deadline) = (self.terms.clone(), self.deadline);
                    return Ok(Attempt { replica, permit, until, deadline, terms });
                }
                Err(fault) => {
                    self.failed.get_or_insert_with(|| fault.at(name, replica.client.peer()));
                }
            }
        }
        Err(self.failed.take().unwrap_or_else(|| {
            let text = "the data of all its replicas is too old".to_owned();
            Fault::NotAsked(text).of(name)
        }))
    }

    /// Takes up what came of an attempt: the answer to the question, or none where another replica
    /// is to be asked.
    pub(super) fn settle<T>(
        &mut self,
        attempt: Attempt<'_>,
        result: Result<T, Fault>,
    ) -> Option<Result<T, BackendError>> {
        let Attempt { replica, permit, terms, .. } = attempt;
        replica.settle(permit, result.as_ref().err().map_or(Verdict::Answered, verdict));
        let fault = match result {
            Ok(answer) => {
                if !self.pool.replicas.first().is_some_and(|first| std::ptr::eq(first, replica)) {
                    self.pool.metrics.failed_over();
                }
                return Some(Ok(answer));
            }
            Err(fault) => fault,
        };
        if let Fault::Throttled { after: Some(wait), .. } = &fault {
            let tenant = terms.tenant.as_ref().map(|(_, tenant)| tenant);
            self.pool.holds.hold(tenant, *wait, fault.to_string());
        }
        let others_may_know = others_may_know(&fault);
        let error = fault.at(&self.pool.definition.name, replica.client.peer());
        if others_may_know && !self.order.is_empty() {
            self.failed = Some(error);
            return None;
        }
        Some(Err(error))
    }
}

impl Attempt<'_> {
    pub(super) fn client(&self) -> &Client {
        &self.replica.client
    }

    /// Ends what takes longer than the question may; the first attempt has half of it where another may follow.
    pub(super) async fn within<T>(
        &self,
        asked: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, Fault> {
        match self.until {
            None => asked.await,
            Some(until) => {
                timeout_at(until, asked).await.unwrap_or(Err(Fault::Deadline(self.deadline)))
            }
        }
    }
}

/// Whether a fault is that of the peer as a whole. Where it answers in its own words, the query may
/// be to blame, and a bad query must not take the backend away from the good ones.
pub(super) fn verdict(fault: &Fault) -> Verdict {
    match fault {
        Fault::Deadline(_) | Fault::Incomplete { .. } | Fault::Unreachable(_) => {
            Verdict::Failed(fault.to_string())
        }
        Fault::Refused { status, .. } if GATEWAY.contains(&status.as_str()) => {
            Verdict::Failed(fault.to_string())
        }
        Fault::Malformed(_)
        | Fault::Refused { .. }
        | Fault::Throttled { .. }
        | Fault::TooLarge(_)
        | Fault::Unusable(_)
        | Fault::Partial(_) => Verdict::Answered,
        Fault::Busy { .. } | Fault::Suspended { .. } | Fault::NotAsked(_) => Verdict::Nothing,
    }
}

fn others_may_know(fault: &Fault) -> bool {
    match fault {
        Fault::Refused { status, .. } => status.starts_with('5'),
        Fault::Malformed(_) | Fault::Partial(_) => true,
        other => matches!(verdict(other), Verdict::Failed(_)),
    }
}
