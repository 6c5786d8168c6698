//! The process's own metrics, as `OpenMetrics` text.
//!
//! One method per event. Where the event is an error, the method also writes the log line, so
//! that there is never a count without its cause or a cause without its count. Label values are
//! enums, or names that the configuration bounds (backends and rules).

use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

use self::access::Access;
use self::admission::Admission;
use self::forecasts::ForecastSource;
use self::process::Process;
use self::replicas::Replicas;
use self::requests::{RequestCounts, RequestDurations, Requests};
use self::watches::WatchSource;
use super::chain;

mod access;
mod admission;
mod forecasts;
mod labels;
mod process;
mod replicas;
mod requests;
#[cfg(test)]
mod tests;
mod watches;

pub use self::access::{Authentication, Authorization, Review};
pub use self::admission::{AdmissionOutcome, Webhook};
pub use self::forecasts::ForecastState;
pub use self::labels::{
    ApiGroup, DiscoveryOutcome, EvaluationOutcome, Operation, QueryOutcome, Verb,
};
pub use self::replicas::ReplicaMetrics;
pub use self::watches::WatchState;

/// The `Content-Type` of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Every metric of the process. Made once and shared.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Arc<Requests>,
    access: Access,
    admission: Admission,
    backends: Backends,
    replicas: Replicas,
    snapshot: Arc<SnapshotSource>,
    watches: Arc<WatchSource>,
    forecasts: Arc<ForecastSource>,
    discovery: Discovery,
    config_reloads: Family<OutcomeLabel, Counter>,
    config_last_reload_successful: Gauge,
    evaluations: Family<OutcomeLabel, Counter>,
    slow: Gauge,
    certificate_reloads: Family<OutcomeLabel, Counter>,
    certificate_expiry: Gauge,
    connections: Gauge,
    handshake_failures: Counter,
    panics: Counter,
}

impl Metrics {
    /// Registers every family.
    pub fn new() -> Self {
        let mut registry = Registry::default();
        let requests = Arc::new(Requests::default());
        register_requests(&mut registry, &requests);
        let snapshot = Arc::new(SnapshotSource::default());
        let watches = Arc::new(WatchSource::default());
        let forecasts = Arc::new(ForecastSource::default());
        let this = Self {
            requests,
            access: Access::register(&mut registry),
            admission: Admission::register(&mut registry),
            backends: Backends::register(&mut registry),
            replicas: Replicas::register(&mut registry),
            discovery: Discovery::register(&mut registry),
            config_reloads: register(
                &mut registry,
                "plimsoll_config_reloads",
                "Times the configuration changed, by whether the change was taken up",
            ),
            config_last_reload_successful: register(
                &mut registry,
                "plimsoll_config_last_reload_successful",
                "Whether the configuration as it is now is in force",
            ),
            evaluations: register(
                &mut registry,
                "plimsoll_evaluations",
                "Evaluations of a metric, by whether all, some or none of its namespaces succeeded",
            ),
            slow: register(
                &mut registry,
                "plimsoll_slow_metrics",
                "Metrics that are refreshed less often than wanted, as the backend is slow",
            ),
            certificate_reloads: register(
                &mut registry,
                "plimsoll_certificate_reloads",
                "Times the serving certificate changed, by whether the change was taken up",
            ),
            certificate_expiry: register(
                &mut registry,
                "plimsoll_certificate_expiry_timestamp_seconds",
                "End of the serving certificate's validity since the Unix epoch",
            ),
            connections: register(&mut registry, "plimsoll_connections", "Open connections"),
            handshake_failures: register(
                &mut registry,
                "plimsoll_tls_handshake_failures",
                "Connections that ended before TLS was set up",
            ),
            panics: register(
                &mut registry,
                "plimsoll_panics",
                "Requests that ended in a panic, which is a bug",
            ),
            snapshot: Arc::clone(&snapshot),
            watches: Arc::clone(&watches),
            forecasts: Arc::clone(&forecasts),
            registry: {
                registry.register_collector(Box::new(snapshot));
                registry.register_collector(Box::new(watches));
                registry.register_collector(Box::new(forecasts));
                registry.register_collector(Box::new(Process));
                registry.register(
                    "plimsoll_build",
                    "The version that runs",
                    Info::new([("version", env!("CARGO_PKG_VERSION"))]),
                );
                registry
            },
        };
        this.config_last_reload_successful.set(1);
        this
    }

    /// The exposition: `OpenMetrics` text that ends with `# EOF`.
    pub fn encode(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        // Only a `Write` can fail here, and a `String` takes everything.
        if text::encode(&mut text, &self.registry).is_err() {
            tracing::error!("the metrics could not be encoded");
        }
        text
    }

    /// A request was answered.
    pub fn request(&self, verb: Verb, group: ApiGroup, status: StatusCode, took: Duration) {
        self.requests.observe(verb, group, status, took);
    }

    /// A request's handler panicked; its client got a 500.
    pub fn request_panicked(&self, method: &Method, path: &str, cause: &str) {
        self.panics.inc();
        tracing::error!(%method, path, cause, "the request ended in a panic");
    }

    /// A review was answered.
    pub fn admission_reviewed(&self, webhook: Webhook, outcome: AdmissionOutcome, took: Duration) {
        self.admission.reviewed(webhook, outcome, took);
    }

    /// A rule had a finding. All three are names that the code has, so that they are bounded.
    pub fn admission_found(&self, rule: &'static str, mode: &'static str, kind: &'static str) {
        self.admission.found(rule, mode, kind);
    }

    /// Judging a review panicked; what it was about was let through.
    pub fn review_panicked(&self, webhook: Webhook, cause: &str) {
        self.panics.inc();
        tracing::error!(webhook = webhook.as_str(), cause, "judging a review ended in a panic");
    }

    /// A connection is open until the guard is dropped.
    pub fn connection(&self) -> OpenConnection {
        self.connections.inc();
        OpenConnection(self.connections.clone())
    }

    /// TLS could not be set up with a client.
    pub fn handshake_failed(&self, peer: SocketAddr, error: &(dyn Error + 'static)) {
        self.handshake_failures.inc();
        // Whoever can connect can cause this, so it must not be able to fill the log.
        tracing::debug!(%peer, error = chain(error), "the TLS handshake failed");
    }

    /// The first serving certificate is in use.
    pub fn certificate_loaded(&self, expires: Timestamp) {
        self.certificate_expiry.set(expires.as_second());
        tracing::info!(%expires, "serving certificate loaded");
    }

    /// A changed serving certificate is in use.
    pub fn certificate_reloaded(&self, expires: Timestamp) {
        self.certificate_reloads.get_or_create(&OutcomeLabel::SUCCESS).inc();
        self.certificate_expiry.set(expires.as_second());
        tracing::info!(%expires, "changed serving certificate taken up");
    }

    /// A changed serving certificate cannot be used; the last good one stays.
    pub fn certificate_rejected(&self, error: &(dyn Error + 'static)) {
        self.certificate_reloads.get_or_create(&OutcomeLabel::FAILURE).inc();
        let error = chain(error);
        tracing::error!(error, "the serving certificate cannot be used, the last good one stays");
    }

    /// A changed configuration is in force.
    pub fn config_reloaded(&self) {
        self.config_reloads.get_or_create(&OutcomeLabel::SUCCESS).inc();
        self.config_last_reload_successful.set(1);
        tracing::info!("changed configuration in force");
    }

    /// A changed configuration cannot be used; the last good one stays.
    pub fn config_rejected(&self) {
        self.config_reloads.get_or_create(&OutcomeLabel::FAILURE).inc();
        self.config_last_reload_successful.set(0);
    }

    /// The counters of one backend, found once and then used without a lookup.
    pub fn backend(&self, name: &str) -> BackendMetrics {
        self.backends.of(name)
    }

    /// The gauges of one replica of a backend, which is named by host and port.
    pub fn replica(&self, backend: &str, peer: &str) -> ReplicaMetrics {
        self.replicas.of(backend, peer)
    }

    /// A replica is no longer configured.
    pub fn replica_forgotten(&self, backend: &str, peer: &str) {
        self.replicas.forget(backend, peer);
    }

    /// A backend is no longer configured: its series end, so that reloads do not pile them up.
    pub fn backend_forgotten(&self, name: &str) {
        self.backends.forget(name);
    }

    /// The series of a rule were listed: this many metrics are in the list (none is
    /// [`DiscoveryOutcome::Empty`]), and this many are known with those of earlier lists.
    pub fn discovery_succeeded(&self, rule: &str, listed: usize, known: usize, now: Timestamp) {
        let outcome = if listed == 0 { DiscoveryOutcome::Empty } else { DiscoveryOutcome::Success };
        self.discovery.count(rule, outcome);
        let rule = RuleLabel { rule: rule.to_owned() };
        let known = i64::try_from(known).unwrap_or(i64::MAX);
        self.discovery.metrics.get_or_create(&rule).set(known);
        self.discovery.last_success.get_or_create(&rule).set(now.as_second());
    }

    /// A metric was evaluated.
    pub fn evaluated(&self, outcome: EvaluationOutcome) {
        self.evaluations.get_or_create(&OutcomeLabel { outcome: outcome.as_str() }).inc();
    }

    /// This many metrics are refreshed less often than wanted; the cause is logged for each.
    pub fn refreshed_slowly(&self, metrics: usize) {
        self.slow.set(i64::try_from(metrics).unwrap_or(i64::MAX));
    }

    /// Discovery of a rule's series failed; its last result stays for now.
    pub fn discovery_failed(&self, rule: &str) {
        self.discovery.count(rule, DiscoveryOutcome::Failure);
    }

    /// Metrics of a rule have not been in a list for too long and are gone; this many are left.
    pub fn discovery_expired(&self, rule: &str, gone: usize, left: usize) {
        self.discovery.count(rule, DiscoveryOutcome::Expired);
        let metrics = self.discovery.metrics.get_or_create(&RuleLabel { rule: rule.to_owned() });
        metrics.set(i64::try_from(left).unwrap_or(i64::MAX));
        tracing::warn!(rule, gone, left, "metrics have not been seen for too long and are gone");
    }

    /// A rule is no longer configured: its series end, so that reloads do not pile them up.
    pub fn discovery_forgotten(&self, rule: &str) {
        self.discovery.forget(rule);
    }

    /// Says how the snapshot is to be read at each scrape; only the first call counts.
    pub fn observe_snapshot(&self, read: impl Fn() -> SnapshotState + Send + Sync + 'static) {
        // Set twice only by a mistake in the composition, and then the first is as good.
        drop(self.snapshot.read.set(Box::new(read)));
    }

    /// Says how the inventory is to be read at each scrape; only the first call counts.
    pub fn observe_watches(&self, read: impl Fn() -> Vec<WatchState> + Send + Sync + 'static) {
        drop(self.watches.read.set(Box::new(read)));
    }

    /// Says how well signals forecast at each scrape; only the first call counts.
    pub fn observe_forecasts(&self, read: impl Fn() -> Vec<ForecastState> + Send + Sync + 'static) {
        drop(self.forecasts.read.set(Box::new(read)));
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A connection that counts as open until this is dropped.
#[derive(Debug)]
#[must_use = "the connection counts as closed when this is dropped"]
pub struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The counters of one backend.
#[derive(Clone, Debug)]
pub struct BackendMetrics {
    queries: [[Counter; QueryOutcome::ALL.len()]; Operation::ALL.len()],
    durations: [Histogram; Operation::ALL.len()],
    warnings: Counter,
    failovers: Counter,
}

impl BackendMetrics {
    /// Another replica than the first answered.
    pub fn failed_over(&self) {
        self.failovers.inc();
    }

    /// The backend was asked, and this came of it after this time.
    pub fn asked(&self, operation: Operation, outcome: QueryOutcome, took: Duration) {
        self.queries[operation as usize][outcome as usize].inc();
        self.durations[operation as usize].observe(took.as_secs_f64());
    }

    /// An answer carried this many warnings.
    pub fn warned(&self, warnings: u64) {
        self.warnings.inc_by(warnings);
    }
}

/// The engine's state at a scrape.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotState {
    /// Age of the oldest answer that is still refreshed; none before the first.
    pub age: Option<Duration>,
    /// Demands that are alive.
    pub demands: usize,
}

/// Reads the engine's state when the metrics are scraped.
#[derive(Default)]
struct SnapshotSource {
    read: OnceLock<Box<dyn Fn() -> SnapshotState + Send + Sync>>,
}

impl Collector for SnapshotSource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(read) = self.read.get() else {
            return Ok(());
        };
        let SnapshotState { age, demands } = read();
        let demands = ConstGauge::new(i64::try_from(demands).unwrap_or(i64::MAX));
        let kind = demands.metric_type();
        let help = "Metrics of objects that somebody asked for and that are kept fresh.";
        demands.encode(encoder.encode_descriptor("plimsoll_demands", help, None, kind)?)?;
        if let Some(age) = age {
            let age = ConstGauge::new(age.as_secs_f64());
            let help = "Age of the oldest answer that is kept fresh.";
            let name = "plimsoll_snapshot_age_seconds";
            age.encode(encoder.encode_descriptor(name, help, None, age.metric_type())?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for SnapshotSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSource").finish_non_exhaustive()
    }
}

/// The families that are kept by backend.
#[derive(Debug)]
struct Backends {
    queries: Family<QueryLabels, Counter>,
    durations: Family<OperationLabels, Histogram, fn() -> Histogram>,
    warnings: Family<BackendLabel, Counter>,
    failovers: Family<BackendLabel, Counter>,
}

impl Backends {
    fn register(registry: &mut Registry) -> Self {
        let durations: Family<_, _, fn() -> Histogram> = Family::new_with_constructor(|| {
            Histogram::new(requests::BOUNDS.iter().map(Duration::as_secs_f64))
        });
        registry.register(
            "plimsoll_backend_query_duration_seconds",
            "Time from asking a backend to its answer or failure",
            durations.clone(),
        );
        Self {
            queries: register(
                registry,
                "plimsoll_backend_queries",
                "Questions to a backend by what came of them",
            ),
            durations,
            warnings: register(
                registry,
                "plimsoll_backend_warnings",
                "Warnings in the answers of a backend",
            ),
            failovers: register(
                registry,
                "plimsoll_backend_failovers",
                "Answers of a backend that came from another replica than its first",
            ),
        }
    }

    fn of(&self, name: &str) -> BackendMetrics {
        let backend = || name.to_owned();
        BackendMetrics {
            queries: Operation::ALL.map(|operation| {
                QueryOutcome::ALL.map(|outcome| {
                    let (operation, outcome) = (operation.as_str(), outcome.as_str());
                    let labels = QueryLabels { backend: backend(), operation, outcome };
                    self.queries.get_or_create_owned(&labels)
                })
            }),
            durations: Operation::ALL.map(|operation| {
                let labels = OperationLabels { backend: backend(), operation: operation.as_str() };
                self.durations.get_or_create_owned(&labels)
            }),
            warnings: self.warnings.get_or_create_owned(&BackendLabel { backend: backend() }),
            failovers: self.failovers.get_or_create_owned(&BackendLabel { backend: backend() }),
        }
    }

    fn forget(&self, name: &str) {
        let backend = || name.to_owned();
        for operation in Operation::ALL.map(Operation::as_str) {
            for outcome in QueryOutcome::ALL.map(QueryOutcome::as_str) {
                self.queries.remove(&QueryLabels { backend: backend(), operation, outcome });
            }
            self.durations.remove(&OperationLabels { backend: backend(), operation });
        }
        self.warnings.remove(&BackendLabel { backend: backend() });
        self.failovers.remove(&BackendLabel { backend: backend() });
    }
}

/// The families that are kept by rule.
#[derive(Debug)]
struct Discovery {
    outcomes: Family<DiscoveryLabels, Counter>,
    metrics: Family<RuleLabel, Gauge>,
    last_success: Family<RuleLabel, Gauge>,
}

impl Discovery {
    fn register(registry: &mut Registry) -> Self {
        Self {
            outcomes: register(
                registry,
                "plimsoll_discovery_outcomes",
                "Rounds of discovery of a rule's series by what came of them",
            ),
            metrics: register(
                registry,
                "plimsoll_discovery_metrics",
                "Metrics that a rule found in its last good round of discovery",
            ),
            last_success: register(
                registry,
                "plimsoll_discovery_last_success_timestamp_seconds",
                "Time of a rule's last good round of discovery since the Unix epoch",
            ),
        }
    }

    fn count(&self, rule: &str, outcome: DiscoveryOutcome) {
        let labels = DiscoveryLabels { rule: rule.to_owned(), outcome: outcome.as_str() };
        self.outcomes.get_or_create(&labels).inc();
    }

    fn forget(&self, rule: &str) {
        for outcome in DiscoveryOutcome::ALL {
            let rule = rule.to_owned();
            self.outcomes.remove(&DiscoveryLabels { rule, outcome: outcome.as_str() });
        }
        let rule = RuleLabel { rule: rule.to_owned() };
        self.metrics.remove(&rule);
        self.last_success.remove(&rule);
    }
}

fn register_requests(registry: &mut Registry, requests: &Arc<Requests>) {
    registry.register(
        "plimsoll_requests",
        "Requests answered",
        RequestCounts(Arc::clone(requests)),
    );
    registry.register(
        "plimsoll_request_duration_seconds",
        "Time from the head of a request to its answer",
        RequestDurations(Arc::clone(requests)),
    );
}

fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl OutcomeLabel {
    const FAILURE: Self = Self { outcome: "failure" };
    const SUCCESS: Self = Self { outcome: "success" };
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BackendLabel {
    backend: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    backend: String,
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryLabels {
    backend: String,
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RuleLabel {
    rule: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DiscoveryLabels {
    rule: String,
    outcome: &'static str,
}
