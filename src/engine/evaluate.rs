//! From a query's result to the answer: which sample is whose value, and which is none.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use jiff::Timestamp;

use crate::engine::answer::{Answer, CustomAnswer, ExternalAnswer, ObjectValue, SeriesValue};
use crate::engine::error::{Error, excerpt};
use crate::engine::plan::{ObjectsReading, Plan, Reading, Wanted};
use crate::model::object::Kind;
use crate::model::quantity::{Milli, Rounding};
use crate::model::value::{Labels, Point, QueryResult, Sample};
use crate::promql::rule::Rule;

/// A sample older than this at the time of the evaluation is no value any more: as long as
/// Prometheus itself looks back for one.
const MAX_SAMPLE_AGE_SECONDS: f64 = 300.0;

/// Reads a result as its plan says.
pub fn evaluate(plan: Plan, result: QueryResult, now: Timestamp) -> Result<Answer, Error> {
    let Plan { rule, queries, window, reading, .. } = plan;
    match reading {
        Reading::Objects(reading) => {
            let QueryResult::Vector(samples) = result else {
                return Err(Error::BadResult {
                    rule: rule.path.clone(),
                    promql: queries.first().map_or_else(String::new, |promql| excerpt(promql)),
                    reason: "a scalar names no object; a metric of objects needs a vector".into(),
                });
            };
            custom(&rule, window, reading, samples, now).map(Answer::Custom)
        }
        Reading::Series(metric) => {
            Ok(Answer::External(external(&rule, window, metric, result, now)))
        }
    }
}

fn custom(
    rule: &Rule,
    window: Option<Duration>,
    reading: ObjectsReading,
    samples: Vec<Sample>,
    now: Timestamp,
) -> Result<CustomAnswer, Error> {
    let ObjectsReading { kind, namespace, metric, metric_selector, label, wanted } = reading;
    let mut by_object = group(rule, &label, &wanted, samples)?;
    let value_of = |name: Box<str>, point| {
        let (value, timestamp) = object_value(rule, point, now)?;
        Some(ObjectValue { name, value, timestamp })
    };
    let (values, chosen_from) = match wanted {
        Wanted::One(name) => {
            let point = by_object.remove(&*name).map(|sample| sample.point);
            let value = point.and_then(|point| value_of(name.as_str().into(), point));
            let missing = || Error::NoValue(no_value(rule, &kind, &name, point, now));
            (vec![value.ok_or_else(missing)?], None)
        }
        Wanted::These(names, objects) => {
            let values = names.into_iter().filter_map(|name| {
                let sample = by_object.remove(&*name)?;
                value_of(name.into(), sample.point)
            });
            (values.collect(), Some(objects))
        }
        Wanted::Any => {
            let mut values: Vec<_> = by_object
                .into_iter()
                .filter_map(|(name, sample)| value_of(name, sample.point))
                .collect();
            values.sort_unstable_by(|a, b| a.name.cmp(&b.name));
            (values, None)
        }
    };
    Ok(CustomAnswer {
        kind,
        namespace,
        metric,
        metric_selector,
        window,
        core_api_version_slash: rule.compat.core_api_version_slash,
        values,
        chosen_from,
    })
}

/// Why the object of that name has no value.
fn no_value(rule: &Rule, kind: &Kind, name: &str, point: Option<Point>, now: Timestamp) -> String {
    let (path, object) = (&rule.path, format!("{} {name}", kind.singular));
    match point {
        None => format!("{path} has no sample that names {object}"),
        Some(point) if is_stale(point, now) => {
            format!("the sample that {path} has for {object} is older than 5 minutes")
        }
        Some(Point { value, .. }) => {
            format!("{path} computes {value:?} for {object}, which no quantity can say")
        }
    }
}

/// The samples of wanted objects, by the object that they name.
fn group(
    rule: &Rule,
    label: &str,
    wanted: &Wanted,
    samples: Vec<Sample>,
) -> Result<HashMap<Box<str>, Sample>, Error> {
    let mut by_object: HashMap<Box<str>, Sample> = HashMap::with_capacity(samples.len());
    let count = |object: &str, samples: &[Sample]| {
        samples.iter().filter(|sample| sample.labels.get(label) == Some(object)).count()
    };
    let mut rest = samples.into_iter();
    while let Some(sample) = rest.next() {
        let object = sample.labels.get(label).unwrap_or_default();
        if !wanted.includes(object) {
            continue;
        }
        match by_object.entry(object.into()) {
            Entry::Vacant(free) => {
                free.insert(sample);
            }
            Entry::Occupied(mut taken) if rule.compat.last_sample_wins => {
                taken.insert(sample);
            }
            Entry::Occupied(taken) => {
                return Err(Error::Ambiguous {
                    rule: rule.path.clone(),
                    object: taken.key().to_string(),
                    count: 2 + count(taken.key(), rest.as_slice()),
                    first: describe(&taken.get().labels),
                    second: describe(&sample.labels),
                });
            }
        }
    }
    Ok(by_object)
}

pub(super) fn describe(labels: &Labels) -> String {
    let pairs: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    format!("{{{}}}", pairs.join(","))
}

fn external(
    rule: &Rule,
    window: Option<Duration>,
    metric: String,
    result: QueryResult,
    now: Timestamp,
) -> ExternalAnswer {
    let samples = match result {
        QueryResult::Scalar(point) => vec![Sample { labels: Labels::default(), point }],
        QueryResult::Vector(samples) => samples,
    };
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
    keep_sum_in_range(&mut values);
    ExternalAnswer { metric, window, values }
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
