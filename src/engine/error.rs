//! Why a request has no answer. The texts are read by people in an HPA's condition.

use std::fmt;
use std::time::Duration;

use crate::engine::ports::{BackendError, Fault, InventoryError};
use crate::promql::rule::QueryError;
use crate::signals;
use crate::telemetry::chain;

/// How many characters of a query stand in a message.
const MAX_EXCERPT: usize = 300;

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The backend gave no answer.
    #[error("{cause} (asked by {rule}: {promql})")]
    Backend {
        /// The rule's path in the configuration.
        rule: String,
        /// The beginning of the query.
        promql: String,
        /// What went wrong; not a `source`, since its text is part of this one.
        cause: BackendError,
    },
    /// Several samples describe the same object, and none of them is more right than the others.
    #[error(
        "{rule} found {count} values for {object}: {first} and {second}; aggregate them with \
         `by (<<.GroupBy>>)`, or set `compat: {{lastSampleWins: true}}` on the rule"
    )]
    Ambiguous {
        /// The rule's path in the configuration.
        rule: String,
        /// The object's name.
        object: String,
        /// How many samples there are.
        count: usize,
        /// The labels of one.
        first: String,
        /// The labels of another.
        second: String,
    },
    /// A result has the same series twice, which no result may.
    #[error("{rule} cannot use what the backend answered: it has the series {labels} twice")]
    Twice {
        /// The rule's path in the configuration.
        rule: String,
        /// The labels.
        labels: String,
    },
    /// The result is not one that a metric can be made of.
    #[error("{rule} cannot use what Prometheus answered: {reason} ({promql})")]
    BadResult {
        /// The rule's path in the configuration.
        rule: String,
        /// The beginning of the query.
        promql: String,
        /// What is wrong with the result.
        reason: String,
    },
    /// The inventory could not be asked.
    #[error(transparent)]
    Inventory(#[from] InventoryError),
    /// A selector needs an inventory, and there is none.
    #[error(
        "labelSelector needs to know the labels of {resource}: give --objects with what \
         `kubectl get {resource} -A -o yaml` prints"
    )]
    NoInventory {
        /// The resource.
        resource: String,
    },
    /// An object's value is that of its pods, and nobody knows which they are.
    #[error(
        "the series name pods, and which of them belong to {resource} is not known: give --objects \
         with what `kubectl get pods,replicasets,jobs,services,{resource} -A -o yaml` prints"
    )]
    NoPods {
        /// The resource.
        resource: String,
    },
    /// No value: the object has none, or it is not a number that can be told.
    #[error("{0}")]
    NoValue(String),
    /// The rule cannot make a query of the request.
    #[error("{}", chain(.0))]
    Query(QueryError),
    /// The signal cannot make a query of the request.
    #[error("{signal}: {}", chain(.cause))]
    Signal {
        /// Where it was declared.
        signal: String,
        /// Why; not a `source`, since its text is part of this one.
        cause: Box<signals::query::QueryError>,
    },
    /// The first evaluation takes longer than a request may wait; a later request will find it.
    #[error("the first evaluation takes longer than {0:?}; it goes on, ask again")]
    StillEvaluating(Duration),
    /// The backend's answer is larger than what it may be.
    #[error(
        "{metric}: {cause} (asked by {rule}: {promql}); let the query aggregate more, or raise \
         that limit of the backend"
    )]
    TooLarge {
        /// What was to be computed.
        metric: String,
        /// The rule's path in the configuration.
        rule: String,
        /// The beginning of the query.
        promql: String,
        /// What is too large; not a `source`, since its text is part of this one.
        cause: BackendError,
    },
    /// Nothing serves the metric; says why.
    #[error("{0}")]
    UnknownMetric(String),
    /// There is no such kind, or not at that scope.
    #[error("{0}")]
    UnknownResource(String),
    /// Whether the metric exists cannot be told: its series could not be listed yet.
    #[error("{0}")]
    Undiscovered(String),
}

impl Error {
    /// Whether another error is the same but for its details, such as how many bytes had come. That
    /// a backend is not asked any more is a detail of why it is not.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        use std::mem::discriminant;
        match (self, other) {
            (Self::Backend { cause, .. }, Self::Backend { cause: other, .. }) => {
                // While a backend is left alone, its errors are of the fault that led to it.
                let is_suspended = |fault: &Fault| matches!(fault, Fault::Suspended { .. });
                cause.backend == other.backend
                    && (discriminant(&*cause.fault) == discriminant(&*other.fault)
                        || is_suspended(&cause.fault)
                        || is_suspended(&other.fault))
            }
            _ => discriminant(self) == discriminant(other),
        }
    }

    /// The same error, of a result that was for a metric.
    pub(super) fn of_metric(self, metric: &impl fmt::Display) -> Self {
        match self {
            Self::Backend { rule, promql, cause } if cause.fault.is_too_large() => {
                Self::TooLarge { metric: metric.to_string(), rule, promql, cause }
            }
            other => other,
        }
    }

    /// Whether less may have an answer where all together have none: the backend understood the
    /// query and could not execute it with the data it has (two series that match one, a result
    /// with the same labels twice, too many samples), or its answer is too large.
    pub(super) fn is_divisible(&self) -> bool {
        let (Self::Backend { cause, .. } | Self::TooLarge { cause, .. }) = self else {
            return false;
        };
        match &*cause.fault {
            Fault::Refused { status, .. } => status.starts_with("422"),
            fault => fault.is_too_large(),
        }
    }

    /// Whether there is no such metric, as opposed to a metric without an answer.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::UnknownMetric(_) | Self::UnknownResource(_) | Self::Undiscovered(_))
    }
}

/// As much of a query as a message has room for: one that names hundreds of pods tells nobody
/// more than its beginning.
pub(super) fn excerpt(promql: &str) -> String {
    match promql.char_indices().nth(MAX_EXCERPT) {
        Some((end, _)) => promql.get(..end).unwrap_or_default().to_owned() + "…",
        None => promql.to_owned(),
    }
}
