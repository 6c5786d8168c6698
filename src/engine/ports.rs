//! What the engine needs from the world: backends to query and an inventory of objects.
//!
//! The adapters `prometheus` and `cluster` implement these; tests put fakes in their place.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::inventory::Objects;
use crate::model::object::{Kind, Kinds};
use crate::model::rows::{ObjectLabels, Rows};
use crate::model::service::Service;
use crate::model::value::{QueryResult, Series, SeriesNames};

/// Prometheus-compatible HTTP APIs, each known by a name.
pub trait Backend: Send + Sync + 'static {
    /// Evaluates an instant query at a time.
    fn query(
        &self,
        route: &Route,
        promql: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<QueryResult, BackendError>> + Send;

    /// Evaluates an instant query of which only the values of objects are wanted; none where its
    /// result is a scalar. The other labels of the first two samples of an object that has several
    /// are kept where that is asked for.
    fn query_objects(
        &self,
        route: &Route,
        promql: &str,
        labels: &ObjectLabels,
        _describe: bool,
        at: Timestamp,
    ) -> impl Future<Output = Result<Option<Rows>, BackendError>> + Send {
        async move {
            Ok(match self.query(route, promql, at).await? {
                QueryResult::Vector(samples) => Some(Rows::of(&samples, labels)),
                QueryResult::Scalar(_) => None,
            })
        }
    }

    /// Evaluates a query at every step from start to end, both included.
    fn query_range(
        &self,
        route: &Route,
        promql: &str,
        range: &Range,
    ) -> impl Future<Output = Result<Vec<Series>, BackendError>> + Send;

    /// Lists the metrics and label names of the series that a selector matches and that had
    /// samples since a time.
    fn series(
        &self,
        route: &Route,
        selector: &str,
        since: Timestamp,
    ) -> impl Future<Output = Result<SeriesNames, BackendError>> + Send;

    /// What a planner has to know of a backend. Of one that is not configured, which fails
    /// whatever it is asked, it is what holds for most.
    fn facts(&self, backend: &str) -> Facts;
}

/// Which backend is asked, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The backend's name.
    pub backend: Arc<str>,
    /// Whose data is meant; it matters where the backend takes its [tenant](Tenancy) from it.
    pub namespace: Option<Arc<str>>,
    /// Whether an answer that the backend calls partial will do.
    pub accept_partial: bool,
}

/// The times of a range query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first.
    pub start: Timestamp,
    /// The last is not later.
    pub end: Timestamp,
    /// From one to the next, not zero.
    pub step: Duration,
}

/// What a planner has to know of a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whether one query can see all namespaces.
    pub tenancy: Tenancy,
    /// Bytes of the longest query that it takes.
    pub max_query: usize,
    /// How many queries it is asked at once.
    pub concurrency: usize,
    /// How long a query may take.
    pub deadline: Duration,
    /// The most series that the answer to a query may have.
    pub max_series: usize,
}

/// How a backend keeps the data of namespaces apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tenancy {
    /// It does not, or not by namespace.
    Shared,
    /// Each namespace is a tenant of its own: no query sees two.
    PerNamespace,
}

/// Why a backend gave no answer. The text is read by people in an HPA's condition: it names the
/// backend, where it was asked, the phase and what the backend said, never a URL's credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct BackendError {
    /// The backend's name.
    pub backend: Arc<str>,
    /// Host and port of the URL that was asked, where one was.
    pub peer: Option<Arc<str>>,
    /// What went wrong; not a `source`, since its text is part of this one.
    pub fault: Box<Fault>,
}

impl fmt::Display for BackendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, peer, fault } = self;
        match peer {
            Some(peer) => write!(f, "backend {backend} ({peer}): {fault}"),
            None => write!(f, "backend {backend}: {fault}"),
        }
    }
}

/// What goes wrong with a request to a backend.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No answer within the deadline: connecting, or waiting for the head of the answer.
    #[error("Prometheus did not answer within {0:?}")]
    Deadline(Duration),
    /// The answer began within the deadline and did not end within it.
    #[error("the answer of Prometheus was not complete within {deadline:?}: {received} bytes came")]
    Incomplete {
        /// The time that the whole request was given.
        deadline: Duration,
        /// How much of the body had come.
        received: u64,
    },
    /// The request was never sent, because others took all the slots until the deadline.
    #[error("{slots} other requests to Prometheus were under way for the whole {deadline:?}")]
    Busy {
        /// How many requests may be under way at once.
        slots: usize,
        /// The time that the whole request was given.
        deadline: Duration,
    },
    /// The request was never sent, because those before it failed or the backend said when to
    /// come back.
    #[error("not asked since {since}, next at {until}: {last}")]
    Suspended {
        /// When that began, in whole seconds.
        since: Timestamp,
        /// When it is asked again, in whole seconds.
        until: Timestamp,
        /// The failure that led to it.
        last: String,
    },
    /// The request was never sent, because it cannot be.
    #[error("{0}")]
    NotAsked(String),
    /// The answer is not what the HTTP API promises.
    #[error("the answer of Prometheus cannot be used: {0}")]
    Malformed(String),
    /// The answer is as it should be and no metric can be made of it.
    #[error("the answer of Prometheus cannot be used: {0}")]
    Unusable(String),
    /// The answer is larger than what the configuration allows.
    #[error("the answer of Prometheus is too large: {0}")]
    TooLarge(String),
    /// The answer lacks what a part of the backend would have said.
    #[error(
        "the answer of Prometheus is partial: {0} (`partialResults: accept` on the rule takes it \
         all the same)"
    )]
    Partial(String),
    /// The backend refused the query or could not execute it.
    #[error("Prometheus answered {status}: {message}")]
    Refused {
        /// HTTP status and, where the body says so, the error type: `422 execution`.
        status: String,
        /// The backend's own words.
        message: String,
    },
    /// The backend has had too many questions.
    #[error("Prometheus answered {status}: {message}")]
    Throttled {
        /// HTTP status and, where the body says so, the error type.
        status: String,
        /// The backend's own words.
        message: String,
        /// When to come back, where it says so.
        after: Option<Duration>,
    },
    /// No connection, or it broke.
    #[error("Prometheus cannot be reached: {0}")]
    Unreachable(String),
}

impl Fault {
    /// Whether the answer is larger than what it may be.
    pub const fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge(_))
    }

    /// The error of a backend that was asked at some host and port.
    pub fn at(self, backend: &Arc<str>, peer: &Arc<str>) -> BackendError {
        let (backend, peer) = (Arc::clone(backend), Some(Arc::clone(peer)));
        BackendError { backend, peer, fault: Box::new(self) }
    }

    /// The error of a backend that was not asked.
    pub fn of(self, backend: &Arc<str>) -> BackendError {
        BackendError { backend: Arc::clone(backend), peer: None, fault: Box::new(self) }
    }
}

/// The kinds and objects there are.
pub trait Inventory: Send + Sync + 'static {
    /// The kinds known now.
    fn kinds(&self) -> Arc<Kinds>;

    /// Somebody asked for a kind that is not known: it may have come since.
    fn look_for_kinds(&self);

    /// The objects of a kind as they are in memory now, without waiting: `None` where they are
    /// not followed yet, or where this inventory knows of no objects at all.
    fn current(&self, kind: &Kind) -> Option<Arc<Objects>>;

    /// The objects of a kind; the first call for a kind starts to follow it and waits until its
    /// objects are in. `Ok(None)` where there is no inventory: objects are then taken from the
    /// labels of the series.
    fn objects(
        &self,
        kind: &Arc<Kind>,
    ) -> impl Future<Output = Result<Option<Arc<Objects>>, InventoryError>> + Send;

    /// The same of pods, without those whose phase is not `Running`. An inventory that knows no
    /// phases takes all for running.
    fn running(
        &self,
        pods: &Arc<Kind>,
    ) -> impl Future<Output = Result<Option<Arc<Objects>>, InventoryError>> + Send {
        self.objects(pods)
    }

    /// All Services with their selectors; the first call starts to follow them and waits until
    /// they are in. `Ok(None)` where there is no inventory.
    fn selecting_services(
        &self,
    ) -> impl Future<Output = Result<Option<Arc<Objects<Service>>>, InventoryError>> + Send;
}

/// Why the objects of a kind cannot be listed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot list {kind}: {reason}")]
pub struct InventoryError {
    /// The resource: `deployments.apps`.
    pub kind: String,
    /// What the API server or the file said.
    pub reason: String,
}
