//! The families that are kept by replica of a backend: whether it is asked, and if not, why.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::register;

/// The families.
#[derive(Debug)]
pub(super) struct Replicas {
    open: Family<ReplicaLabels, Gauge>,
    stale: Family<ReplicaLabels, Gauge>,
}

impl Replicas {
    pub(super) fn register(registry: &mut Registry) -> Self {
        Self {
            open: register(
                registry,
                "plimsoll_backend_breaker_open",
                "Whether a replica of a backend is left alone because it failed again and again",
            ),
            stale: register(
                registry,
                "plimsoll_backend_replica_stale",
                "Whether a replica of a backend is left alone because its data is old",
            ),
        }
    }

    pub(super) fn of(&self, backend: &str, peer: &str) -> ReplicaMetrics {
        let labels = ReplicaLabels { backend: backend.to_owned(), peer: peer.to_owned() };
        ReplicaMetrics {
            open: self.open.get_or_create_owned(&labels),
            stale: self.stale.get_or_create_owned(&labels),
        }
    }

    pub(super) fn forget(&self, backend: &str, peer: &str) {
        let labels = ReplicaLabels { backend: backend.to_owned(), peer: peer.to_owned() };
        self.open.remove(&labels);
        self.stale.remove(&labels);
    }
}

/// The gauges of one replica.
#[derive(Clone, Debug)]
pub struct ReplicaMetrics {
    open: Gauge,
    stale: Gauge,
}

impl ReplicaMetrics {
    /// Whether its breaker is open.
    pub fn breaker_open(&self, is_open: bool) {
        self.open.set(i64::from(is_open));
    }

    /// Whether its data is too old.
    pub fn stale(&self, is_stale: bool) {
        self.stale.set(i64::from(is_stale));
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReplicaLabels {
    backend: String,
    peer: String,
}
