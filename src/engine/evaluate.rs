//! From a query's result to values: which sample is whose, and which is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::answer::SeriesValue;
use crate::engine::error::{Error, excerpt};
use crate::engine::values::{Builder, Fault, ObjectValues};
use crate::model::quantity::{Milli, Rounding};
use crate::model::value::{Labels, Point, QueryResult, Sample};
use crate::promql::rule::Rule;

/// A sample older than this at the time of the evaluation is no value any more: as long as
/// Prometheus itself looks back for one.
const MAX_SAMPLE_AGE_SECONDS: f64 = 300.0;

/// The labels that tell whose value a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLabels {
    /// That of the namespace; none where all samples are of one.
    pub namespace: Option<String>,
    /// That of the object.
    pub object: String,
}

/// The samples of an instant vector; a scalar names no object.
pub fn vector(rule: &Rule, promql: &str, result: QueryResult) -> Result<Vec<Sample>, Error> {
    match result {
        QueryResult::Vector(samples) => Ok(samples),
        QueryResult::Scalar(_) => Err(Error::BadResult {
            rule: rule.path.clone(),
            promql: excerpt(promql),
            reason: "a scalar names no object; a metric of objects needs a vector".into(),
        }),
    }
}

/// The values of objects by namespace, which is empty where the samples tell none.
pub fn objects(
    rule: &Rule,
    labels: &ObjectLabels,
    samples: &[Sample],
    now: Timestamp,
) -> BTreeMap<Arc<str>, ObjectValues> {
    // A sample without these labels is of no object of which anybody could have asked.
    let mut sorted: Vec<_> = samples
        .iter()
        .filter_map(|sample| {
            let namespace = match &labels.namespace {
                Some(label) => sample.labels.get(label).filter(|it| !it.is_empty())?,
                None => "",
            };
            let object = sample.labels.get(&labels.object).filter(|it| !it.is_empty())?;
            Some((namespace, object, sample))
        })
        .collect();
    // Stable, because the last of an object's samples may be the one that counts.
    sorted.sort_by_key(|(namespace, object, _)| (*namespace, *object));
    let by_namespace = sorted.chunk_by(|a, b| a.0 == b.0).filter_map(|samples| {
        let namespace = samples.first()?.0;
        let mut builder = Builder::default();
        for samples in samples.chunk_by(|a, b| a.1 == b.1) {
            add_object(&mut builder, rule, samples, now);
        }
        Some((namespace.into(), builder.build()))
    });
    by_namespace.collect()
}

/// Adds what the samples of one object say of it.
fn add_object(
    builder: &mut Builder,
    rule: &Rule,
    samples: &[(&str, &str, &Sample)],
    now: Timestamp,
) {
    let [(_, object, first), rest @ ..] = samples else { return };
    let counting = match rest {
        [(_, _, second), ..] if !rule.compat.last_sample_wins => {
            let ambiguous = Error::Ambiguous {
                rule: rule.path.clone(),
                object: (*object).to_owned(),
                count: samples.len(),
                first: describe(&first.labels),
                second: describe(&second.labels),
            };
            return builder.fault(object, Fault::Ambiguous(ambiguous));
        }
        [.., (_, _, last)] => last,
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
