//! A signal as a person writes it, in the file and in a CRD alike: types for the parsers and for
//! the CRD's schema. Nothing is checked yet but names and types; that is the task of
//! [`compile`](super::compile).
//!
//! The comments of the fields are what `kubectl explain` prints.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod decision;

pub use self::decision::{AboveHighest, Decision, DecisionCondition, DecisionEntry, Forecast};

/// Most inputs of one composite or decision.
pub const MAX_INPUTS: usize = 16;

/// A declared metric: exactly one of the kinds, from `requestRate` to `forecast`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.requestRate), has(self.errorRatio), has(self.latencyQuantile), \
     has(self.latencyAverage), has(self.saturation), has(self.cpu), has(self.memory), \
     has(self.query), has(self.schedule), has(self.composite), has(self.decision), \
     has(self.forecast)].filter(it, it).size() == 1"
).message(
    "exactly one of requestRate, errorRatio, latencyQuantile, latencyAverage, saturation, cpu, \
     memory, query, schedule, composite, decision and forecast has to be there"
))]
#[x_kube(validation = Rule::new("has(self.on) != has(self.__true__)").message("on has to be there"))]
pub struct SignalSpec {
    /// The name that an HPA uses.
    #[schemars(regex(pattern = r"^[a-zA-Z_:][a-zA-Z0-9_:.-]*$"), length(min = 1, max = 253))]
    pub metric: String,
    /// The kind of the objects that have it, as `deployments.apps`, or `external`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub on: Option<String>,
    /// What becomes of `on` where YAML 1.1 is read, as by kubectl: there the bare word is a truth
    /// value. Write `on`; this is accepted in its place.
    #[serde(rename = "true", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub on_in_yaml_1_1: Option<String>,
    /// Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_rate: Option<RequestRate>,
    /// The part of the requests that failed, from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<ErrorRatio>,
    /// The time in seconds within which a part of the requests was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_quantile: Option<LatencyQuantile>,
    /// The mean response time in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_average: Option<LatencyAverage>,
    /// What is in flight or queued, or its part of a capacity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
    /// CPU usage as a part of requests or limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<ResourceUsage>,
    /// Memory usage as a part of requests or limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ResourceUsage>,
    /// Plain PromQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<PlainQuery>,
    /// A value that the time of day and week decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// An expression over other signals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub composite: Option<Composite>,
    /// How many replicas there should be, for an HPA with `averageValue: "1"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<Decision>,
    /// What a value will be some time ahead, from its own past.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forecast: Option<Forecast>,
    /// What it answers when there is no data; an error unless something else stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoDataPolicy>,
    /// How the values are smoothed; they are not unless something stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smoothing: Option<Smoothing>,
    /// The name of the backend that is asked; the default backend where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
}

impl SignalSpec {
    /// What stands under `on`; empty where nothing does.
    pub fn on(&self) -> &str {
        self.on.as_deref().or(self.on_in_yaml_1_1.as_deref()).unwrap_or_default()
    }
}

/// The labels that say whose a series is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SeriesLabels {
    /// The label that names the namespace. Empty: none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub namespace: Option<String>,
    /// The label that names the object itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub object: Option<String>,
    /// The label that names a pod. A signal on something else is then that of its pods together.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub pod: Option<String>,
}

/// Requests per second.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestRate {
    /// The preset that fills what is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The time looked back over, as `1m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far the window lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The counter of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the requests that count, as `method="GET",path!="/healthz"`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// The part of the requests that failed: the sum of error rates over the sum of request rates.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ErrorRatio {
    /// The preset that fills what is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The time looked back over, as `2m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far the window lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The counter of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the requests that count, failed or not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// PromQL matchers of those that failed, as `code=~"5.."`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub errors: Option<String>,
    /// The counter of failed requests where it is another than that of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_series: Option<String>,
    /// Requests per second below which the ratio is zero, so that one error in the night is not
    /// 100 %.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0))]
    pub minimum_rate: Option<f64>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// How the observations of a histogram are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum HistogramForm {
    /// One counter for each bucket, with a label `le`.
    #[default]
    Classic,
    /// One series of native histograms.
    Native,
}

/// The unit of a duration's series.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum TimeUnit {
    /// Seconds.
    #[default]
    Seconds,
    /// Milliseconds.
    Milliseconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// How many seconds it is.
    pub fn seconds(self) -> f64 {
        match self {
            Self::Seconds => 1.0,
            Self::Milliseconds => 1e-3,
            Self::Microseconds => 1e-6,
            Self::Nanoseconds => 1e-9,
        }
    }
}

/// The time in seconds within which a part of the requests was answered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LatencyQuantile {
    /// The preset that fills what is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The part, from 0 to 1.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub quantile: f64,
    /// The time looked back over, as `2m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far the window lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The histogram, without `_bucket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the requests that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// The unit of the series' durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeUnit>,
    /// The form of the histogram.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub histogram: Option<HistogramForm>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// The mean response time in seconds: the sum of durations over the number of requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LatencyAverage {
    /// The preset that fills what is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The time looked back over, as `2m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far the window lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The histogram or summary, without `_sum` and `_count`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the requests that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// The unit of the series' durations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeUnit>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// What is in flight or queued; with a capacity the part of it that is taken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Saturation {
    /// The preset that fills what is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// The time averaged over; the present value where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far it lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The gauge: requests in flight, length of a queue, connections in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// How much there may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<Capacity>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// How much there may be: exactly one of these.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.series), has(self.perPod), has(self.total)].filter(it, it).size() == 1"
).message("exactly one of series, perPod and total has to be there"))]
pub struct Capacity {
    /// A gauge with the labels of the series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// What each pod that has the series can take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_pod: Option<f64>,
    /// What the object can take, however many pods it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<f64>,
}

/// What usage is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Against {
    /// The containers' requests.
    #[default]
    Requests,
    /// The containers' limits.
    Limits,
}

/// Usage of a resource by pods as a part of what they request or may use.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResourceUsage {
    /// The preset of the usage; cadvisor where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// What usage is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// The time looked back over, as `5m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<String>,
    /// How far it lies in the past, as `1d`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<String>,
    /// The series of usage: a counter of seconds for CPU, a gauge of bytes for memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub series: Option<String>,
    /// PromQL matchers of the containers that count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matchers: Option<String>,
    /// The gauge of requests or limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_series: Option<String>,
    /// PromQL matchers of the requests or limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_matchers: Option<String>,
    /// The labels that say whose a series is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
}

/// How the values of pods become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum RollUp {
    /// The sum.
    Sum,
    /// The greatest.
    Max,
    /// The least.
    Min,
}

/// Plain PromQL.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PlainQuery {
    /// A query in which `<<.LabelMatchers>>` stands where the matchers of the namespace go and
    /// `<<.GroupBy>>` where the labels of the object go.
    #[schemars(length(min = 1, max = 65536))]
    pub promql: String,
    /// The labels of the result that name the namespace and the object or pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<SeriesLabels>,
    /// How the values of an object's pods become one, where the result names pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub roll_up: Option<RollUp>,
}

/// A value that the time of day and week decides: the greatest of the windows that are open, or
/// the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Schedule {
    /// The time zone of the windows, as `Europe/Berlin`; UTC where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// The value outside of the windows; no data where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<f64>,
    /// The windows.
    #[schemars(length(min = 1, max = 64))]
    pub windows: Vec<ScheduleWindow>,
}

/// A span of time on some days of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ScheduleWindow {
    /// The days on which it opens, as `mon` or `mon-fri`; every day where none stands here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<String>,
    /// When it opens, as `08:00`.
    pub from: String,
    /// When it closes, as `18:00`; on the next day where that is not after `from`.
    pub to: String,
    /// The value while it is open.
    pub value: f64,
    /// How long the value takes to rise after `from`, and to fall before `to`, as `30m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramp: Option<String>,
}

/// An expression over other signals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Composite {
    /// The inputs by the name that the expression uses.
    #[schemars(extend("maxProperties" = MAX_INPUTS, "minProperties" = 1))]
    pub inputs: BTreeMap<String, Input>,
    /// A CEL expression over the inputs.
    #[schemars(length(min = 1, max = 4096))]
    pub expression: String,
}

/// An input of another signal: exactly one of the kinds, or the name of another signal's metric.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.metric), has(self.requestRate), has(self.errorRatio), has(self.latencyQuantile), \
     has(self.latencyAverage), has(self.saturation), has(self.cpu), has(self.memory), \
     has(self.query), has(self.schedule)].filter(it, it).size() == 1"
).message(
    "exactly one of metric, requestRate, errorRatio, latencyQuantile, latencyAverage, saturation, \
     cpu, memory, query and schedule has to be there"
))]
pub struct Input {
    /// The metric of another signal on the same kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Requests per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_rate: Option<RequestRate>,
    /// The part of the requests that failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_ratio: Option<ErrorRatio>,
    /// The time within which a part of the requests was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_quantile: Option<LatencyQuantile>,
    /// The mean response time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_average: Option<LatencyAverage>,
    /// What is in flight or queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub saturation: Option<Saturation>,
    /// CPU usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<ResourceUsage>,
    /// Memory usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<ResourceUsage>,
    /// Plain PromQL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<PlainQuery>,
    /// A value that the time decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Schedule>,
    /// What it is when there is no data; the composite has none then unless something stands here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_data: Option<NoDataPolicy>,
}

/// What becomes of missing data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum NoDataChoice {
    /// An error, on which an HPA holds still.
    #[default]
    Error,
    /// Zero.
    Zero,
    /// The last value while it is not older than `maxAge`.
    LastKnown,
    /// `value`.
    Constant,
}

/// A no-data policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "(self.policy == 'lastKnown') == has(self.maxAge) && (self.policy == 'constant') == has(self.value)"
).message("lastKnown needs maxAge, constant needs value, and no other policy has either"))]
pub struct NoDataPolicy {
    /// What becomes of missing data.
    pub policy: NoDataChoice,
    /// The largest age of a last known value, as `2m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
    /// The constant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// How values are smoothed. An HPA's `behavior` smooths what it does with them: both together
/// react slowly.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Smoothing {
    /// An exponentially weighted moving average.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ewma: Option<Ewma>,
    /// A band in which the value stays what it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hysteresis: Option<Hysteresis>,
}

/// An exponentially weighted moving average.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Ewma {
    /// The age at which a value counts half, as `1m`.
    pub half_life: String,
}

/// The value stays what it was until it would change by more than this part of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hysteresis {
    /// The part: 0.1 for 10 %.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ratio: f64,
}
