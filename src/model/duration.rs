//! The two ways in which people write durations here: Prometheus' (`5m`, `1h30m`, `1d`) in queries
//! and configuration, and Go's (`1h15m30.918s`, `1.5h`) in the flags of prometheus-adapter.
//!
//! Neither can be negative, nor longer than an int64 of nanoseconds (292 years), as in Go.

#[cfg(test)]
mod tests;

use std::time::Duration;

/// Why a text is no duration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("empty duration; write for example 5m")]
    Empty,
    /// No number where one has to be.
    #[error("{0:?} is not a duration; write for example 5m")]
    Malformed(String),
    /// A number that says nothing of its unit.
    #[error("missing unit in duration {0:?}; write for example 5m")]
    MissingUnit(String),
    /// Less than nothing.
    #[error("duration {0:?} is negative")]
    Negative(String),
    /// Longer than 292 years.
    #[error("duration {0:?} is out of range")]
    OutOfRange(String),
    /// Prometheus' units go from years to milliseconds, each once.
    #[error("unit {unit:?} is out of order in duration {text:?}; write y, w, d, h, m, s, ms")]
    UnitOrder {
        /// The unit that comes too late.
        unit: String,
        /// The whole duration.
        text: String,
    },
    /// A unit of another notation, or of none.
    #[error("unknown unit {unit:?} in duration {text:?}; known are {known}")]
    UnknownUnit {
        /// What stands in the unit's place.
        unit: String,
        /// The whole duration.
        text: String,
        /// The units there are.
        known: &'static str,
    },
}

/// Reads a Prometheus duration, as `model.ParseDuration` of prometheus/common: whole numbers with
/// the units y, w, d, h, m, s and ms, from the greatest to the least, each once; or a bare `0`.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 24 * HOUR),
        ("w", 7 * 24 * HOUR),
        ("d", 24 * HOUR),
        ("h", HOUR),
        ("m", MINUTE),
        ("s", SECOND),
        ("ms", MILLISECOND),
    ];
    if let Some(outcome) = without_unit(text, text) {
        return outcome;
    }
    let mut total = 0;
    let mut smaller = UNITS.as_slice();
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit());
        let (unit, after) = split(after, |c| !c.is_ascii_digit());
        rest = after;
        if number.is_empty() {
            return Err(DurationError::Malformed(text.to_owned()));
        }
        let length = length(&UNITS, unit, text, "y, w, d, h, m, s and ms")?;
        let Some(index) = smaller.iter().position(|(name, _)| *name == unit) else {
            let (unit, text) = (unit.to_owned(), text.to_owned());
            return Err(DurationError::UnitOrder { unit, text });
        };
        smaller = smaller.get(index + 1..).unwrap_or_default();
        total = sum(total, number, "", length, text)?;
    }
    Ok(Duration::from_nanos(total))
}

/// Reads a duration as Go's `time.ParseDuration`: decimal numbers with the units h, m, s, ms, us
/// (or µs) and ns, in any order; or a bare `0`. Digits past nanoseconds are cut off.
pub fn parse_go(text: &str) -> Result<Duration, DurationError> {
    const UNITS: [(&str, u64); 8] = [
        ("h", HOUR),
        ("m", MINUTE),
        ("s", SECOND),
        ("ms", MILLISECOND),
        ("us", 1000),
        ("\u{b5}s", 1000),
        ("\u{3bc}s", 1000),
        ("ns", 1),
    ];
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if let Some(outcome) = without_unit(text, rest) {
        return outcome;
    }
    let mut total = 0;
    while !rest.is_empty() {
        let (whole, after) = split(rest, |c| c.is_ascii_digit());
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => split(after, |c| c.is_ascii_digit()),
            None => ("", after),
        };
        let (unit, after) = split(after, |c| c != '.' && !c.is_ascii_digit());
        rest = after;
        if whole.is_empty() && fraction.is_empty() {
            return Err(DurationError::Malformed(text.to_owned()));
        }
        let length = length(&UNITS, unit, text, "h, m, s, ms, us and ns")?;
        total = sum(total, whole, fraction, length, text)?;
    }
    Ok(Duration::from_nanos(total))
}

const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1000 * MILLISECOND;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;

/// Writes a duration as Go's `Duration.String`, to the millisecond: `5m0s`, `1.5s`, `20ms`.
pub fn to_go(duration: Duration) -> String {
    let (seconds, milliseconds) = (duration.as_secs(), duration.subsec_millis());
    if seconds == 0 && milliseconds > 0 {
        return format!("{milliseconds}ms");
    }
    let mut text = match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => String::new(),
        (0, minutes) => format!("{minutes}m"),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    };
    text += &(seconds % 60).to_string();
    if milliseconds > 0 {
        text += format!(".{milliseconds:03}").trim_end_matches('0');
    }
    text + "s"
}

/// What needs no unit: zero, and errors that no unit makes better.
fn without_unit(text: &str, unsigned: &str) -> Option<Result<Duration, DurationError>> {
    match unsigned {
        "" => Some(Err(DurationError::Empty)),
        "0" => Some(Ok(Duration::ZERO)),
        _ if text.starts_with('-') => Some(Err(DurationError::Negative(text.to_owned()))),
        _ => None,
    }
}

/// The nanoseconds of a unit.
fn length(
    units: &[(&str, u64)],
    unit: &str,
    text: &str,
    known: &'static str,
) -> Result<u64, DurationError> {
    if unit.is_empty() {
        return Err(DurationError::MissingUnit(text.to_owned()));
    }
    let found = units.iter().find(|(name, _)| *name == unit);
    found.map(|(_, length)| *length).ok_or_else(|| DurationError::UnknownUnit {
        unit: unit.to_owned(),
        text: text.to_owned(),
        known,
    })
}

/// Adds a number of units, given as the digits of its whole part and of its fraction.
fn sum(
    total: u64,
    whole: &str,
    fraction: &str,
    length: u64,
    text: &str,
) -> Result<u64, DurationError> {
    // Digits past the 18th are less than a nanosecond of any unit.
    let fraction = fraction.get(..18).unwrap_or(fraction);
    let part = fraction.bytes().rev().fold(0, |part, digit| {
        // Horner's scheme from the last digit, in 10^-18 of the unit.
        part / 10 + u128::from(digit - b'0') * 100_000_000_000_000_000
    });
    let part = part * u128::from(length) / 1_000_000_000_000_000_000;
    let whole = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
    whole
        .and_then(|whole: u64| whole.checked_mul(length))
        .and_then(|whole| whole.checked_add(u64::try_from(part).ok()?)?.checked_add(total))
        .filter(|total| i64::try_from(*total).is_ok())
        .ok_or_else(|| DurationError::OutOfRange(text.to_owned()))
}

fn split(text: &str, is_first: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !is_first(c)).unwrap_or(text.len()))
}
