//! Lists of metric values: `MetricValueList` of both custom versions and
//! `ExternalMetricValueList` (k8s.io/metrics/pkg/apis).
//!
//! This is the hot path: the views borrow, and a list becomes bytes in one pass over one buffer.

use std::fmt;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::negotiate::Form;
use super::{CustomVersion, Empty, GroupVersion, protobuf};
use crate::model::quantity::Milli;
use crate::model::selector::LabelSelector;
use crate::model::value::Labels;

/// A value that describes an object.
#[derive(Clone, Copy, Debug)]
pub struct MetricValue<'a> {
    /// What it describes.
    pub object: ObjectReference<'a>,
    /// The metric's name as it was asked for.
    pub metric: &'a str,
    /// The metric selector of the request, where it had one.
    pub selector: Option<&'a LabelSelector>,
    /// When it was measured.
    pub timestamp: Seconds,
    /// Over how many seconds it was measured, where that is known and it is not of an instant.
    pub window: Option<u32>,
    /// The value.
    pub value: Milli,
}

/// The object that a value describes; what is empty is left out.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference<'a> {
    /// `Pod`, not `pods`.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub kind: &'a str,
    /// Empty for objects of the cluster.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub namespace: &'a str,
    /// The object's name.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: &'a str,
    /// `v1`, `apps/v1`; the reference writes `/v1` for the core group.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub api_version: &'a str,
}

/// A value of one series.
#[derive(Clone, Copy, Debug)]
pub struct ExternalMetricValue<'a> {
    /// The metric's name as it was asked for.
    pub metric: &'a str,
    /// What tells the series apart from the others.
    pub labels: &'a Labels,
    /// When it was measured.
    pub timestamp: Seconds,
    /// Over how many seconds it was measured, where that is known and it is not of an instant.
    pub window: Option<u32>,
    /// The value.
    pub value: Milli,
}

/// Whole seconds since the Unix epoch, written as RFC 3339 in UTC in JSON. Years before 0 and after
/// 9999, which RFC 3339 cannot say, become the first or last moment that it can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub i64);

/// Writes a list of values that describe objects, in the given version.
pub fn custom(form: Form, version: CustomVersion, values: &[MetricValue<'_>]) -> Bytes {
    if form == Form::Protobuf {
        return protobuf::custom(version, values);
    }
    let capacity = capacity(values.len());
    let list = GroupVersion::Custom(version);
    match version {
        CustomVersion::V1Beta2 => {
            form.encode(&List::new(list, values.iter().map(ValueV1Beta2::from)), capacity)
        }
        CustomVersion::V1Beta1 => {
            form.encode(&List::new(list, values.iter().map(ValueV1Beta1::from)), capacity)
        }
    }
}

/// Writes a list of values that describe series.
pub fn external(form: Form, values: &[ExternalMetricValue<'_>]) -> Bytes {
    if form == Form::Protobuf {
        return protobuf::external(values);
    }
    let list = List::new(GroupVersion::External, values.iter().map(ExternalItem::from));
    form.encode(&list, capacity(values.len()))
}

/// A value with its object, labels and names takes about 200 bytes.
const fn capacity(values: usize) -> usize {
    128 + 256 * values
}

/// The fields in Go's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<I: Serialize> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: I,
}

impl<I: Iterator<Item: Serialize> + Clone> List<Each<I>> {
    const fn new(version: GroupVersion, items: I) -> Self {
        Self {
            kind: version.list_kind(),
            api_version: version.api_version(),
            metadata: Empty {},
            items: Each(items),
        }
    }
}

/// What an iterator yields, as a sequence.
struct Each<I>(I);

impl<I: Iterator<Item: Serialize> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueV1Beta2<'a> {
    described_object: ObjectReference<'a>,
    metric: MetricIdentifier<'a>,
    timestamp: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_seconds: Option<u32>,
    value: Text,
}

#[derive(Serialize)]
struct MetricIdentifier<'a> {
    name: &'a str,
    selector: Option<&'a LabelSelector>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ValueV1Beta1<'a> {
    described_object: ObjectReference<'a>,
    metric_name: &'a str,
    timestamp: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
    value: Text,
    selector: Option<&'a LabelSelector>,
}

/// An item of an external list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ExternalItem<'a> {
    metric_name: &'a str,
    metric_labels: LabelMap<'a>,
    timestamp: Seconds,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<u32>,
    value: Text,
}

impl<'a> From<&MetricValue<'a>> for ValueV1Beta2<'a> {
    fn from(value: &MetricValue<'a>) -> Self {
        Self {
            described_object: value.object,
            metric: MetricIdentifier { name: value.metric, selector: value.selector },
            timestamp: value.timestamp,
            window_seconds: value.window,
            value: Text(value.value),
        }
    }
}

impl<'a> From<&MetricValue<'a>> for ValueV1Beta1<'a> {
    fn from(value: &MetricValue<'a>) -> Self {
        Self {
            described_object: value.object,
            metric_name: value.metric,
            timestamp: value.timestamp,
            window: value.window,
            value: Text(value.value),
            selector: value.selector,
        }
    }
}

impl<'a> From<&ExternalMetricValue<'a>> for ExternalItem<'a> {
    fn from(value: &ExternalMetricValue<'a>) -> Self {
        Self {
            metric_name: value.metric,
            metric_labels: LabelMap(value.labels),
            timestamp: value.timestamp,
            window: value.window,
            value: Text(value.value),
        }
    }
}

impl Seconds {
    /// The first second of year 0.
    const FIRST: i64 = -62_167_219_200;

    /// The first second of year 1, which Go and so Kubernetes take for no time at all.
    const NONE: Self = Self(-62_135_596_800);

    /// The moment that is written: the nearest that RFC 3339 can say; `None` where Kubernetes
    /// writes no time.
    pub(super) fn written(self) -> Option<i64> {
        (self != Self::NONE).then(|| self.nearest())
    }

    fn nearest(self) -> i64 {
        self.0.clamp(Self::FIRST, Timestamp::MAX.as_second())
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Timestamp::from_second(self.nearest()).unwrap_or(Timestamp::UNIX_EPOCH).fmt(f)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.written() {
            Some(_) => serializer.collect_str(self),
            None => serializer.serialize_none(),
        }
    }
}

/// A quantity as a string.
struct Text(Milli);

impl Serialize for Text {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// Labels as an object: `{}` where there are none. Go writes `null` there, which readers take for
/// the same.
struct LabelMap<'a>(&'a Labels);

impl Serialize for LabelMap<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter())
    }
}

#[cfg(test)]
mod tests;
