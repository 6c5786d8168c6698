//! From a query's result to values: which sample is whose, and which is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::answer::SeriesValue;
use crate::engine::error::{Error, excerpt};
use crate::engine::values::{Builder, Fault, ObjectValues};
use crate::model::no_data::NoData;
use crate::model::quantity::{Milli, Rounding};
use crate::model::rows::{Row, Rows};
use crate::model::value::{Labels, Point, Sample};
use crate::promql::rule::Rule;

/// A sample older than this at the time of the evaluation is no value any more: as long as
/// Prometheus itself looks back for one.
const MAX_SAMPLE_AGE_SECONDS: f64 = 300.0;

/// The error of a result that is a scalar.
pub fn no_vector(rule: &Rule, promql: &str) -> Error {
    Error::BadResult {
        rule: rule.path.clone(),
        promql: excerpt(promql),
        reason: "a scalar names no object; a metric of objects needs a vector".into(),
    }
}

/// The values of objects by namespace, which is empty where the samples tell none.
pub fn objects(rule: &Rule, rows: &Rows, now: Timestamp) -> BTreeMap<Arc<str>, ObjectValues> {
    let is_same = |one: &Row, other: &Row| rows.namespace(one) == rows.namespace(other);
    let by_namespace = rows.all().chunk_by(is_same).filter_map(|all| {
        let namespace = rows.namespace(all.first()?);
        let mut builder = Builder::default();
        for of_one in all.chunk_by(|one, other| rows.is_same_object(one, other)) {
            add_object(&mut builder, rule, rows, of_one, now);
        }
        Some((namespace.into(), builder.build()))
    });
    by_namespace.collect()
}

/// Adds what the samples of one object say of it.
fn add_object(builder: &mut Builder, rule: &Rule, rows: &Rows, all: &[Row], now: Timestamp) {
    let [first, rest @ ..] = all else { return };
    let object = rows.object(first);
    let counting = match rest {
        [second, ..] if !rule.compat.last_sample_wins => {
            let labels = |row| rows.labels(row).map(describe).unwrap_or_default();
            let ambiguous = Error::Ambiguous {
                rule: rule.path.clone(),
                object: object.to_owned(),
                count: all.len(),
                first: labels(first),
                second: labels(second),
            };
            return builder.fault(object, Fault::Ambiguous(ambiguous));
        }
        [.., last] => last,
        [] => first,
    };
    let point = counting.point;
    match object_value(rule, point, now) {
        Some(timed) => builder.value(object, timed),
        None if is_stale(point, now) => builder.fault(object, Fault::Stale),
        None => builder.fault(object, Fault::Unsayable(point.value)),
    }
}

pub(super) fn describe(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(","))
}

/// The values of an external metric, sorted by labels. No two series of one result have the same
/// labels; of an answer that says otherwise nothing is believed, because the HPA controller would
/// add both up.
pub fn series(
    rule: &Rule,
    samples: Vec<Sample>,
    now: Timestamp,
) -> Result<Vec<SeriesValue>, Error> {
    let there_were = samples.len();
    let mut values: Vec<_> = samples
        .into_iter()
        .filter_map(|Sample { labels, point }| {
            let (value, timestamp) = value(rule, point, now)?;
            // With an averageValue target the HPA controller takes a negative sum for an
            // overflow, and scales to the maximum.
            (value >= Milli(0) || rule.compat.negative_external).then_some(SeriesValue {
                labels,
                value,
                timestamp,
            })
        })
        .collect();
    // No policy speaks for samples that are there and cannot be used.
    if values.is_empty()
        && there_were > 0
        && matches!(rule.no_data, NoData::Zero | NoData::Constant(_))
    {
        let path = &rule.path;
        let what = format!("{path} has {there_were} samples, none of which is a value now");
        return Err(Error::NoValue(what));
    }
    values.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
    if let Some(pair) = values.windows(2).find(|pair| pair[0].labels == pair[1].labels) {
        let labels = describe(&pair[0].labels);
        return Err(Error::Twice { rule: rule.path.clone(), labels });
    }
    keep_sum_in_range(&mut values);
    Ok(values)
}

/// The HPA controller adds the values up in an `i64` of thousandths that wraps: where the sum would
/// leave its range, no value is larger than its share of the range.
fn keep_sum_in_range(values: &mut [SeriesValue]) {
    let sum: i128 = values.iter().map(|item| i128::from(item.value.0.unsigned_abs())).sum();
    if sum <= i128::from(Milli::MAX.0) {
        return;
    }
    let share = i64::try_from(values.len()).map_or(0, |count| Milli::MAX.0 / count);
    for item in values {
        item.value = item.value.clamp(Milli(-share), Milli(share));
    }
}

/// The value and time of a sample of an object; NaN is zero where the rule says so.
fn object_value(rule: &Rule, point: Point, now: Timestamp) -> Option<(Milli, i64)> {
    let is_zero = point.value.is_nan() && rule.compat.nan_as_zero;
    value(rule, if is_zero { Point { value: 0.0, ..point } } else { point }, now)
}

/// The value and time of a sample; `None` where it is missing data.
fn value(rule: &Rule, point: Point, now: Timestamp) -> Option<(Milli, i64)> {
    let compat = rule.compat;
    if is_stale(point, now) {
        return None;
    }
    let rounding = if compat.round_up { Rounding::AwayFromZero } else { Rounding::TowardZero };
    let value = Milli::from_f64(point.value, rounding)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates; whole seconds are meant"
    )]
    let sampled = point.timestamp.floor() as i64;
    let timestamp = if compat.now_timestamps { now.as_second() } else { sampled };
    Some((value, timestamp))
}

pub(super) fn is_stale(point: Point, now: Timestamp) -> bool {
    #[expect(clippy::cast_precision_loss, reason = "an age in seconds needs no more than 52 bits")]
    let now_seconds = now.as_millisecond() as f64 / 1000.0;
    now_seconds - point.timestamp > MAX_SAMPLE_AGE_SECONDS
}
