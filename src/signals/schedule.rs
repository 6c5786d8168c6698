//! A value that the time of day and week decides, in the time zone where the people are.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};

/// Windows of the week and their values.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// The time zone of the windows.
    pub time_zone: TimeZone,
    /// The value outside of the windows.
    pub default: Option<f64>,
    /// The windows; where several are open, the greatest value counts.
    pub windows: Vec<Window>,
}

/// A span of time on some days.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// The days on which it opens.
    pub days: Vec<Weekday>,
    /// When it opens.
    pub from: Time,
    /// When it closes; on the next day where that is not after `from`.
    pub to: Time,
    /// The value while it is open.
    pub value: f64,
    /// How long the value takes to rise after it opens and to fall before it closes.
    pub ramp: Duration,
}

impl Schedule {
    /// The value at a moment.
    pub fn value(&self, now: Timestamp) -> Option<f64> {
        let now = now.to_zoned(self.time_zone.clone());
        let values = self.windows.iter().filter_map(|window| self.value_of(window, &now));
        values
            .reduce(f64::max)
            .map(|value| value.max(self.default.unwrap_or(value)))
            .or(self.default)
    }

    /// The value of a window that is open. It may have opened yesterday.
    fn value_of(&self, window: &Window, now: &Zoned) -> Option<f64> {
        let today = now.date();
        let days = [Some(today), today.yesterday().ok()];
        let (opened, closes) = days.into_iter().flatten().find_map(|day| {
            if !window.days.contains(&day.weekday()) {
                return None;
            }
            let end = if window.to > window.from { day } else { day.checked_add(1.day()).ok()? };
            // A time that summer time skips is the next one that there is.
            let opened = self.time_zone.to_ambiguous_zoned(day.to_datetime(window.from));
            let closes = self.time_zone.to_ambiguous_zoned(end.to_datetime(window.to));
            let (opened, closes) = (opened.compatible().ok()?, closes.compatible().ok()?);
            (opened <= *now && *now < closes).then_some((opened, closes))
        })?;
        let base = self.default.unwrap_or(0.0).min(window.value);
        let ramp = window.ramp.as_secs_f64();
        let since = now.duration_since(&opened).as_secs_f64();
        let left = closes.duration_since(now).as_secs_f64();
        let open = if ramp > 0.0 { (since.min(left) / ramp).min(1.0) } else { 1.0 };
        Some(base + (window.value - base) * open)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKDAYS: [Weekday; 5] =
        [Weekday::Monday, Weekday::Tuesday, Weekday::Wednesday, Weekday::Thursday, Weekday::Friday];

    fn window(days: &[Weekday], from: &str, to: &str, value: f64, ramp: u64) -> Window {
        let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
        Window { days: days.to_vec(), from, to, value, ramp: Duration::from_mins(ramp) }
    }

    fn at(schedule: &Schedule, moments: &[&str]) -> Vec<Option<f64>> {
        moments.iter().map(|moment| schedule.value(moment.parse().unwrap())).collect()
    }

    #[test]
    fn a_window_opens_in_its_own_time_zone_also_when_the_clocks_change() {
        let schedule = Schedule {
            time_zone: TimeZone::get("Europe/Berlin").unwrap(),
            default: Some(1.0),
            windows: vec![window(&WORKDAYS, "08:00", "18:00", 9.0, 0)],
        };
        // Winter time is an hour ahead of UTC and summer time two; 2026-03-28 is a Saturday.
        let moments = [
            "2026-03-27T06:59:59Z",
            "2026-03-27T07:00:00Z",
            "2026-03-27T16:59:59Z",
            "2026-03-27T17:00:00Z",
            "2026-03-28T09:00:00Z",
            "2026-03-30T05:59:59Z",
            "2026-03-30T06:00:00Z",
        ];
        let expected = [1.0, 9.0, 9.0, 1.0, 1.0, 1.0, 9.0].map(Some);
        assert_eq!(at(&schedule, &moments), expected);
    }

    #[test]
    fn the_greatest_of_the_open_windows_counts_and_each_has_its_ramp() {
        let schedule = Schedule {
            time_zone: TimeZone::UTC,
            default: Some(2.0),
            windows: vec![
                window(&WORKDAYS, "08:00", "12:00", 10.0, 60),
                window(&WORKDAYS, "11:00", "11:30", 20.0, 0),
                window(&WORKDAYS, "10:00", "11:00", 1.0, 0),
            ],
        };
        let moments = ["08:00", "08:30", "09:00", "10:30", "11:15", "11:30", "11:45", "12:00"]
            .map(|time| format!("2026-11-24T{time}:00Z"));
        let moments: Vec<_> = moments.iter().map(String::as_str).collect();
        let expected = [2.0, 6.0, 10.0, 10.0, 20.0, 6.0, 4.0, 2.0].map(Some);
        assert_eq!(at(&schedule, &moments), expected);
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_opens() {
        let schedule = Schedule {
            time_zone: TimeZone::UTC,
            default: None,
            windows: vec![window(&[Weekday::Friday], "22:00", "02:00", 5.0, 0)],
        };
        let moments = [
            "2026-11-27T21:59:59Z",
            "2026-11-27T22:00:00Z",
            "2026-11-28T01:59:59Z",
            "2026-11-28T02:00:00Z",
            "2026-11-28T22:00:00Z",
        ];
        assert_eq!(at(&schedule, &moments), [None, Some(5.0), Some(5.0), None, None]);
    }
}
