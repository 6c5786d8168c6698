//! How well each kind of object is followed, read from the inventory when the metrics are scraped.
//!
//! The label `resource` is bounded by the kinds that are followed; a kind that is followed no
//! longer has no series any more.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// How one kind is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchState {
    /// The resource: `deployments.apps`.
    pub resource: String,
    /// How long the state has not been up to date; zero while it is.
    pub age: Duration,
    /// How many objects there are; none before the first list.
    pub objects: Option<usize>,
    /// How often a list or watch has failed.
    pub failures: u64,
}

/// Reads the inventory's state when the metrics are scraped.
#[derive(Default)]
pub(super) struct WatchSource {
    pub(super) read: OnceLock<Box<dyn Fn() -> Vec<WatchState> + Send + Sync>>,
}

impl Collector for WatchSource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let states = self.read.get().map(|read| read()).unwrap_or_default();
        if states.is_empty() {
            return Ok(());
        }
        let age = |state: &WatchState| Some(ConstGauge::new(state.age.as_secs_f64()));
        family(
            &mut encoder,
            "plimsoll_watch_age_seconds",
            "How long the objects of a kind have not been up to date, zero while they are.",
            &states,
            age,
        )?;
        family(
            &mut encoder,
            "plimsoll_watch_objects",
            "Objects of a kind that is followed.",
            &states,
            |state| state.objects.map(|objects| ConstGauge::new(objects as u64)),
        )?;
        family(
            &mut encoder,
            "plimsoll_watch_failures",
            "Lists and watches of a kind that failed.",
            &states,
            |state| Some(ConstCounter::new(state.failures)),
        )
    }
}

fn family<M: EncodeMetric>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    states: &[WatchState],
    metric: impl Fn(&WatchState) -> Option<M>,
) -> Result<(), fmt::Error> {
    let mut metrics = states.iter().filter_map(|state| Some((state, metric(state)?))).peekable();
    let Some((_, first)) = metrics.peek() else {
        return Ok(());
    };
    let kind = first.metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (state, metric) in metrics {
        let labels = [("resource", state.resource.as_str())];
        metric.encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl fmt::Debug for WatchSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WatchSource").finish_non_exhaustive()
    }
}
