//! What a signal will be some time ahead, from its own past.
//!
//! The past comes from a range query. It is decomposed into seasons and a trend (MSTL), the trend
//! is continued by exponential smoothing (`AutoETS`), and the seasons are repeated: crates
//! `augurs-mstl` and `augurs-ets`.
//!
//! Each forecast is backtested on the same past: from several moments of the last season it is
//! forecast what is known by now. While that was worse than to repeat the last season, there is no
//! forecast. Nothing is kept between two evaluations, so that replicas agree.
//!
//! A fit is some milliseconds to tens of milliseconds of processor time: too long for the hot way.

#[cfg(test)]
mod tests;

use std::time::Duration;

use augurs_core::{Fit, Predict};
use augurs_ets::AutoETS;
use augurs_mstl::MSTLModel;

use crate::model::value::Point;

/// How many points of the past a fit looks at, at most.
pub const MAX_POINTS: usize = 2048;

/// How many steps ahead it looks, at most.
pub const MAX_STEPS_AHEAD: usize = 288;

/// The share of the past that may be missing.
const MAX_GAPS: f64 = 0.2;

/// From how many moments of the last season a forecast is tried out.
const TRIALS: usize = 4;

/// A forecast as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// How far ahead.
    pub horizon: Duration,
    /// The lengths of the seasons, such as a day and a week, shortest first; at least one.
    pub seasons: Vec<Duration>,
    /// How far back the past is read: at least two of the longest season.
    pub history: Duration,
    /// The distance of two points of the past.
    pub step: Duration,
}

/// A forecast that cannot be declared so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeclarationError {
    /// Nothing repeats.
    #[error("a forecast needs a season, such as 1d")]
    NoSeason,
    /// There is less than the model needs.
    #[error("history {history:?} is less than twice the longest season, {season:?}")]
    ShortHistory {
        /// What was declared.
        history: Duration,
        /// The longest season.
        season: Duration,
    },
    /// The steps of the past are longer than the season or the horizon.
    #[error(
        "{what} {value:?} is less than {least} steps of {step:?}: give a longer one or less history"
    )]
    Coarse {
        /// `season` or `horizon`.
        what: &'static str,
        /// What was declared.
        value: Duration,
        /// How many steps are needed.
        least: u32,
        /// The step.
        step: Duration,
    },
    /// It looks further ahead than it can.
    #[error("horizon {horizon:?} is more than {MAX_STEPS_AHEAD} steps of {step:?}")]
    Far {
        /// What was declared.
        horizon: Duration,
        /// The step.
        step: Duration,
    },
}

/// Why there is no forecast now.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ForecastError {
    /// The backend does not know enough of the past.
    #[error("{missing} of {needed} points of the past are missing")]
    Gaps {
        /// How many are missing.
        missing: usize,
        /// How many there should be.
        needed: usize,
    },
    /// The model cannot be fitted.
    #[error("the model cannot be fitted: {0}")]
    Fit(String),
    /// To repeat the last season would have been better.
    #[error(
        "its mean error, {}, is larger than that of repeating the last season, {}",
        .0.forecast,
        .0.last_season
    )]
    Worse(Errors),
}

/// Mean absolute errors over the same moments, in the signal's own unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// Of the forecast.
    pub forecast: f64,
    /// Of repeating the last season.
    pub last_season: f64,
}

/// A forecast that may be served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outlook {
    /// The value at the horizon.
    pub value: f64,
    /// How well it has done lately.
    pub errors: Errors,
}

impl Forecast {
    /// Checks a declaration and finds the step: the shortest of whole minutes with which the past
    /// has no more than [`MAX_POINTS`].
    pub fn new(
        horizon: Duration,
        mut seasons: Vec<Duration>,
        history: Duration,
    ) -> Result<Self, DeclarationError> {
        seasons.sort_unstable();
        seasons.dedup();
        let (Some(shortest), Some(longest)) = (seasons.first(), seasons.last()) else {
            return Err(DeclarationError::NoSeason);
        };
        if history < longest.saturating_mul(2) {
            return Err(DeclarationError::ShortHistory { history, season: *longest });
        }
        let minutes = history.as_secs().div_ceil(60 * MAX_POINTS as u64).max(1);
        let step = Duration::from_secs(60 * minutes);
        let coarse = |what, value, least| DeclarationError::Coarse { what, value, least, step };
        if *shortest < step.saturating_mul(4) {
            return Err(coarse("season", *shortest, 4));
        }
        if horizon < step {
            return Err(coarse("horizon", horizon, 1));
        }
        let forecast = Self { horizon, seasons, history, step };
        if forecast.steps(horizon) > MAX_STEPS_AHEAD {
            return Err(DeclarationError::Far { horizon, step });
        }
        Ok(forecast)
    }

    /// Looks ahead from the end of the past. `points` are in order of time, at most one of them for
    /// each step, of which the last is at `end`, in seconds since the Unix epoch.
    pub fn look_ahead(&self, points: &[Point], end: f64) -> Result<Outlook, ForecastError> {
        let past = self.fill(points, end)?;
        let ahead = self.steps(self.horizon);
        let errors = self.backtest(&past, ahead)?;
        if errors.forecast > errors.last_season {
            return Err(ForecastError::Worse(errors));
        }
        let values = self.predict(&past, ahead)?;
        let value = values.last().copied().unwrap_or_default();
        Ok(Outlook { value, errors })
    }

    /// Compares what would have been forecast with what came.
    fn backtest(&self, past: &[f64], ahead: usize) -> Result<Errors, ForecastError> {
        let season = self.seasons.first().map_or(1, |season| self.steps(*season));
        let mut errors = Errors { forecast: 0.0, last_season: 0.0 };
        let mut count = 0.0;
        for trial in 0..TRIALS {
            // Spread over the last season, the latest trial up to the present.
            let back = ahead + trial * season.div_ceil(TRIALS);
            let Some((known, later)) = past.split_at_checked(past.len().saturating_sub(back))
            else {
                break;
            };
            let predicted = self.predict(known, ahead)?;
            for (index, (predicted, came)) in predicted.iter().zip(later).enumerate() {
                let before = repeated(known, season, index);
                errors.forecast += (predicted - came).abs();
                errors.last_season += (before - came).abs();
                count += 1.0;
            }
        }
        Ok(Errors { forecast: errors.forecast / count, last_season: errors.last_season / count })
    }

    fn predict(&self, past: &[f64], ahead: usize) -> Result<Vec<f64>, ForecastError> {
        let failed = |error: &dyn std::fmt::Display| ForecastError::Fit(error.to_string());
        let periods: Vec<_> = self.seasons.iter().map(|season| self.steps(*season)).collect();
        let periods = periods.into_iter().filter(|period| past.len() >= 2 * period).collect();
        let model = MSTLModel::new(periods, AutoETS::non_seasonal().into_trend_model());
        let fitted = model.fit(past).map_err(|error| failed(&error))?;
        let predicted = fitted.predict(ahead, None).map_err(|error| failed(&error))?;
        // What never was negative will not be.
        let least = if past.iter().all(|value| *value >= 0.0) { 0.0 } else { f64::MIN };
        let values: Vec<_> = predicted.point.iter().map(|value| value.max(least)).collect();
        if values.len() != ahead || values.iter().any(|value| !value.is_finite()) {
            return Err(failed(&"it gives no finite values"));
        }
        Ok(values)
    }

    /// The past at every step, gaps bridged by straight lines.
    fn fill(&self, points: &[Point], end: f64) -> Result<Vec<f64>, ForecastError> {
        let needed = self.steps(self.history);
        let step = self.step.as_secs_f64();
        let mut past = vec![f64::NAN; needed];
        for point in points.iter().filter(|point| point.value.is_finite()) {
            let back = ((end - point.timestamp) / step).round();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the cast saturates, and what is out of range finds no place"
            )]
            let place = needed.checked_sub((back as usize).saturating_add(1));
            if back >= 0.0
                && let Some(place) = place.and_then(|place| past.get_mut(place))
            {
                *place = point.value;
            }
        }
        let missing = past.iter().filter(|value| value.is_nan()).count();
        #[expect(clippy::cast_precision_loss, reason = "there are at most some thousand points")]
        if missing as f64 > needed as f64 * MAX_GAPS {
            return Err(ForecastError::Gaps { missing, needed });
        }
        bridge(&mut past);
        Ok(past)
    }

    /// How many steps there are in a span.
    fn steps(&self, span: Duration) -> usize {
        usize::try_from(span.as_secs() / self.step.as_secs().max(1)).unwrap_or(usize::MAX)
    }
}

/// The value of the last season at some steps past the end.
fn repeated(known: &[f64], season: usize, index: usize) -> f64 {
    let back = season - index % season;
    let place = known.len().checked_sub(back);
    place.and_then(|place| known.get(place)).copied().unwrap_or_default()
}

/// Draws a straight line over each gap; those at the ends are filled with their neighbour.
fn bridge(values: &mut [f64]) {
    let mut last: Option<(usize, f64)> = None;
    for index in 0..values.len() {
        let value = values[index];
        if value.is_nan() {
            continue;
        }
        match last {
            None => values[..index].fill(value),
            Some((from, start)) => {
                let gap = index - from;
                for (offset, filled) in values[from + 1..index].iter_mut().enumerate() {
                    #[expect(clippy::cast_precision_loss, reason = "gaps are short")]
                    let share = (offset + 1) as f64 / gap as f64;
                    *filled = start + (value - start) * share;
                }
            }
        }
        last = Some((index, value));
    }
    if let Some((from, value)) = last {
        values[from..].fill(value);
    }
}
