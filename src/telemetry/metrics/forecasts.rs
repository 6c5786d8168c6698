//! How far forecasts are from what came, read from the engine when the metrics are scraped.
//!
//! The labels are bounded by the signals that forecast; one that is asked for no longer has no
//! series any more.

use std::fmt;
use std::sync::OnceLock;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

/// How one signal forecasts: means over its objects.
#[derive(Clone, Debug, PartialEq)]
pub struct ForecastState {
    /// The metric and the kind that has it: `deployments.apps/requests_in_half_an_hour`.
    pub signal: String,
    /// The mean error of the forecast, in the unit of the signal.
    pub error: f64,
    /// The mean error of repeating the last season.
    pub last_season_error: f64,
    /// How many objects have a forecast.
    pub foreseen: usize,
    /// How many have none, because it would be worse than the last season or cannot be made.
    pub refused: usize,
}

/// Reads the engine's forecasts when the metrics are scraped.
#[derive(Default)]
pub(super) struct ForecastSource {
    pub(super) read: OnceLock<Box<dyn Fn() -> Vec<ForecastState> + Send + Sync>>,
}

impl Collector for ForecastSource {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let states = self.read.get().map(|read| read()).unwrap_or_default();
        if states.is_empty() {
            return Ok(());
        }
        let mut family = encoder.encode_descriptor(
            "plimsoll_forecast_error",
            "Mean error of forecasts that could be compared with what came, by model.",
            None,
            MetricType::Gauge,
        )?;
        for state in &states {
            let errors = [("forecast", state.error), ("last_season", state.last_season_error)];
            for (model, error) in errors {
                let labels = [("signal", state.signal.as_str()), ("model", model)];
                ConstGauge::new(error).encode(family.encode_family(&labels)?)?;
            }
        }
        let mut family = encoder.encode_descriptor(
            "plimsoll_forecast_objects",
            "Objects of a signal that forecasts, by whether they have a forecast.",
            None,
            MetricType::Gauge,
        )?;
        for state in &states {
            for (outcome, count) in [("foreseen", state.foreseen), ("refused", state.refused)] {
                let labels = [("signal", state.signal.as_str()), ("outcome", outcome)];
                ConstGauge::new(count as u64).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ForecastSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ForecastSource").finish_non_exhaustive()
    }
}
