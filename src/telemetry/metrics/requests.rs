//! Counts and times requests without a lock, a hash or an allocation: one atomic per combination
//! of labels, found by index.
//!
//! `prometheus_client`'s own histogram takes a mutex per observation, which the request path of
//! all threads would share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;

use super::{ApiGroup, Verb};

/// All requests by verb and API group.
#[derive(Debug, Default)]
pub(super) struct Requests {
    series: [[Series; ApiGroup::ALL.len()]; Verb::ALL.len()],
}

impl Requests {
    pub(super) fn observe(&self, verb: Verb, group: ApiGroup, status: StatusCode, took: Duration) {
        let series = &self.series[verb as usize][group as usize];
        series.codes[code_index(status)].fetch_add(1, Ordering::Relaxed);
        series.latency.observe(took);
    }

    fn each(&self) -> impl Iterator<Item = (Verb, ApiGroup, &Series)> {
        Verb::ALL.into_iter().zip(&self.series).flat_map(|(verb, groups)| {
            ApiGroup::ALL.into_iter().zip(groups).map(move |(group, series)| (verb, group, series))
        })
    }
}

#[derive(Debug, Default)]
struct Series {
    codes: [AtomicU64; CODES.len()],
    latency: Latency,
}

/// `plimsoll_requests`: the counters.
#[derive(Debug)]
pub(super) struct RequestCounts(pub(super) Arc<Requests>);

impl EncodeMetric for RequestCounts {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (verb, group, series) in self.0.each() {
            for (code, count) in CODES.iter().zip(&series.codes) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    let labels =
                        [("verb", verb.as_str()), ("group", group.as_str()), ("code", *code)];
                    encoder
                        .encode_family(&labels)?
                        .encode_counter::<NoLabelSet, u64, f64>(&count, None)?;
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// `plimsoll_request_duration_seconds`: the histograms.
#[derive(Debug)]
pub(super) struct RequestDurations(pub(super) Arc<Requests>);

impl EncodeMetric for RequestDurations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        for (verb, group, series) in self.0.each() {
            let (sum, count, buckets) = series.latency.read();
            if count > 0 {
                let labels = [("verb", verb.as_str()), ("group", group.as_str())];
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

/// A histogram of durations.
#[derive(Debug, Default)]
pub(super) struct Latency {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    nanoseconds: AtomicU64,
}

impl Latency {
    pub(super) fn observe(&self, took: Duration) {
        let bucket = BOUNDS.partition_point(|bound| *bound < took);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Sum in seconds, count, and the count of each bucket with its upper bound. The count is the
    /// sum of the buckets, so that the two agree while others write.
    pub(super) fn read(&self) -> (f64, u64, Vec<(f64, u64)>) {
        let bounds = BOUNDS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds
            .zip(&self.buckets)
            .map(|(bound, bucket)| (bound, bucket.load(Ordering::Relaxed)))
            .collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)).as_secs_f64();
        (sum, count, buckets)
    }
}

/// The codes that answers carry; anything else is `other`, so that the label stays bounded.
const CODES: [&str; 20] = [
    "200", "201", "304", "400", "401", "403", "404", "405", "406", "409", "410", "413", "415",
    "422", "429", "500", "502", "503", "504", "other",
];

fn code_index(status: StatusCode) -> usize {
    let known = CODES.len() - 1;
    CODES[..known].iter().position(|code| *code == status.as_str()).unwrap_or(known)
}

/// From an answer out of the snapshot (well under a millisecond) to the API server's own limit.
pub(super) const BOUNDS: [Duration; 15] = [
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
