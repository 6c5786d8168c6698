//! Smoothing of values from one evaluation to the next: an exponentially weighted moving average
//! and a band in which the value stays what it was.

use std::time::Duration;

use crate::model::value::Point;

/// How a signal's values are smoothed; not at all by default.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Smoother {
    /// The age at which a value counts half.
    pub half_life: Option<Duration>,
    /// The part of itself by which a value has to change.
    pub band: Option<f64>,
}

/// What smoothing remembers of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Smoothed {
    average: Option<Point>,
    held: Option<f64>,
}

impl Smoother {
    /// The smoothed value of a new one. A value that is not newer than the last changes nothing,
    /// so that it does not matter how often it is read.
    pub fn smooth(&self, state: &mut Smoothed, point: Point) -> Point {
        let average = match (self.half_life, state.average) {
            (Some(half_life), Some(last)) => {
                let age = (point.timestamp - last.timestamp).max(0.0);
                let kept = (-age / half_life.as_secs_f64().max(f64::MIN_POSITIVE)).exp2();
                last.value * kept + point.value * (1.0 - kept)
            }
            _ => point.value,
        };
        let is_newer = state.average.is_none_or(|last| point.timestamp > last.timestamp);
        if is_newer {
            state.average = Some(Point { value: average, ..point });
        }
        let value = match (self.band, state.held) {
            (Some(band), Some(held)) if (average - held).abs() <= band * held.abs() => held,
            _ => average,
        };
        state.held = Some(value);
        Point { value, ..point }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn smooth(smoother: Smoother, points: &[(f64, f64)]) -> Vec<f64> {
        let mut state = Smoothed::default();
        let points = points.iter().map(|(timestamp, value)| {
            let point = Point { timestamp: *timestamp, value: *value };
            smoother.smooth(&mut state, point).value
        });
        points.collect()
    }

    #[test]
    fn a_value_counts_half_at_its_half_life() {
        let ewma = Smoother { half_life: Some(Duration::from_mins(1)), band: None };
        let points = [(0.0, 0.0), (60.0, 8.0), (120.0, 8.0), (120.0, 100.0), (180.0, 8.0)];
        assert_eq!(smooth(ewma, &points), [0.0, 4.0, 6.0, 6.0, 7.0]);
    }

    #[test]
    fn a_value_stays_until_it_leaves_the_band() {
        let band = Smoother { half_life: None, band: Some(0.1) };
        let points = [(0.0, 10.0), (1.0, 10.9), (2.0, 9.1), (3.0, 11.5), (4.0, 10.5), (5.0, 0.0)];
        assert_eq!(smooth(band, &points), [10.0, 10.0, 10.0, 11.5, 11.5, 0.0]);
    }

    #[test]
    fn without_smoothing_values_are_as_they_are() {
        assert_eq!(smooth(Smoother::default(), &[(0.0, 1.0), (1.0, 5.0)]), [1.0, 5.0]);
    }
}
