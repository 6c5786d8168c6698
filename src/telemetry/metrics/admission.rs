//! Counts and times reviews by index, as [`super::requests`] does, and findings by name: those
//! that have some are not on the quick way.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use super::register;
use super::requests::Latency;

/// Which question a review asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Webhook {
    /// `/validate`: may it be?
    Validate,
    /// `/mutate`: what is to be added?
    Mutate,
}

impl Webhook {
    /// Every webhook.
    pub const ALL: [Self; 2] = [Self::Validate, Self::Mutate];

    /// The webhook of a path.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/validate" => Some(Self::Validate),
            "/mutate" => Some(Self::Mutate),
            _ => None,
        }
    }

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Mutate => "mutate",
        }
    }
}

/// What came of a review.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdmissionOutcome {
    /// Nothing to say against it.
    #[default]
    Allowed,
    /// Nothing that needs judging: a deletion, a status, a mirror pod.
    Skipped,
    /// Allowed with findings that are written into the audit log alone.
    Audited,
    /// Allowed with warnings.
    Warned,
    /// Not allowed.
    Denied,
    /// Allowed because it could not be judged.
    Failed,
    /// Not readable as a review, or one too many.
    Refused,
}

impl AdmissionOutcome {
    /// Every outcome.
    pub const ALL: [Self; 7] = [
        Self::Allowed,
        Self::Skipped,
        Self::Audited,
        Self::Warned,
        Self::Denied,
        Self::Failed,
        Self::Refused,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Skipped => "skipped",
            Self::Audited => "audited",
            Self::Warned => "warned",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Refused => "refused",
        }
    }
}

/// What is counted of admission.
#[derive(Debug)]
pub(super) struct Admission {
    reviews: Arc<Reviews>,
    findings: Family<FindingLabels, Counter>,
}

impl Admission {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let reviews = Arc::new(Reviews::default());
        registry.register(
            "plimsoll_admission_reviews",
            "Reviews by webhook and outcome",
            ReviewCounts(Arc::clone(&reviews)),
        );
        registry.register(
            "plimsoll_admission_review_duration_seconds",
            "Time from the head of a review to its answer",
            ReviewDurations(Arc::clone(&reviews)),
        );
        let findings = register(
            registry,
            "plimsoll_admission_findings",
            "Findings in reviews by rule, mode and kind of the object",
        );
        Self { reviews, findings }
    }

    pub(super) fn reviewed(&self, webhook: Webhook, outcome: AdmissionOutcome, took: Duration) {
        let series = &self.reviews.series[webhook as usize];
        series.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        series.latency.observe(took);
    }

    pub(super) fn found(&self, rule: &'static str, mode: &'static str, kind: &'static str) {
        self.findings.get_or_create(&FindingLabels { rule, mode, kind }).inc();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FindingLabels {
    rule: &'static str,
    mode: &'static str,
    kind: &'static str,
}

#[derive(Debug, Default)]
struct Reviews {
    series: [Series; Webhook::ALL.len()],
}

#[derive(Debug, Default)]
struct Series {
    outcomes: [AtomicU64; AdmissionOutcome::ALL.len()],
    latency: Latency,
}

#[derive(Debug)]
struct ReviewCounts(Arc<Reviews>);

impl EncodeMetric for ReviewCounts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (webhook, series) in Webhook::ALL.into_iter().zip(&self.0.series) {
            for (outcome, count) in AdmissionOutcome::ALL.into_iter().zip(&series.outcomes) {
                let labels = [("webhook", webhook.as_str()), ("outcome", outcome.as_str())];
                let count = count.load(Ordering::Relaxed);
                encoder
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

#[derive(Debug)]
struct ReviewDurations(Arc<Reviews>);

impl EncodeMetric for ReviewDurations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (webhook, series) in Webhook::ALL.into_iter().zip(&self.0.series) {
            let (sum, count, buckets) = series.latency.read();
            if count > 0 {
                let labels = [("webhook", webhook.as_str())];
                encoder
                    .encode_family(&labels)?
                    .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
