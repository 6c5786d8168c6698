//! What the engine needs from the world: a backend to query and an inventory of objects.
//!
//! The adapters `prometheus` and `cluster` implement these; tests put fakes in their place.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::inventory::Objects;
use crate::model::object::{Kind, Kinds};
use crate::model::value::{QueryResult, SeriesNames};

/// A Prometheus-compatible HTTP API.
pub trait Backend: Send + Sync + 'static {
    /// Evaluates an instant query at a time.
    fn query(
        &self,
        promql: &str,
        at: Timestamp,
    ) -> impl Future<Output = Result<QueryResult, BackendError>> + Send;

    /// Lists the metrics and label names of the series that a selector matches and that had
    /// samples since a time.
    fn series(
        &self,
        selector: &str,
        since: Timestamp,
    ) -> impl Future<Output = Result<SeriesNames, BackendError>> + Send;
}

/// Why a backend gave no answer. The text is read by people in an HPA's condition: it names the
/// phase and what the backend said, never a URL's credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BackendError {
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
    /// The answer is not what the HTTP API promises, or is larger than the bound.
    #[error("the answer of Prometheus cannot be used: {0}")]
    Malformed(String),
    /// The backend refused the query or could not execute it.
    #[error("Prometheus answered {status}: {message}")]
    Refused {
        /// HTTP status and, where the body says so, the error type: `422 execution`.
        status: String,
        /// The backend's own words.
        message: String,
    },
    /// No connection, or it broke.
    #[error("Prometheus cannot be reached: {0}")]
    Unreachable(String),
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
