//! From an answer to the bytes that a client takes.

use std::time::Duration;

use bytes::Bytes;

use crate::engine::answer::{CustomAnswer, Encoding, ExternalAnswer, ObjectValue};
use crate::model::selector::LabelSelector;
use crate::wire::CustomVersion;
use crate::wire::metrics::{self, ExternalMetricValue, MetricValue, ObjectReference, Seconds};
use crate::wire::negotiate::{Choice, Form, Shape};
use crate::wire::table::{self, IncludeObject};

/// Writes the values of objects.
pub fn custom(answer: &CustomAnswer, version: CustomVersion, form: Form) -> Bytes {
    let api_version = api_version(answer);
    let selector = echo(answer);
    let namespace = answer.namespace.as_deref().unwrap_or_default();
    let values: Vec<_> = answer
        .values
        .iter()
        .map(|ObjectValue { name, value, timestamp }| MetricValue {
            object: ObjectReference {
                kind: &answer.kind.kind,
                namespace,
                name,
                api_version: &api_version,
            },
            metric: &answer.metric,
            selector: selector.as_ref(),
            timestamp: Seconds(*timestamp),
            window: window(answer.window),
            value: *value,
        })
        .collect();
    metrics::custom(form, version, &values)
}

/// Tells the forms of an answer on objects apart.
pub fn encoding(version: CustomVersion, form: Form) -> Encoding {
    let version = match version {
        CustomVersion::V1Beta2 => 0,
        CustomVersion::V1Beta1 => 1,
    };
    let form = match form {
        Form::Json => 0,
        Form::PrettyJson => 2,
        Form::Protobuf => 4,
    };
    version + form
}

/// prometheus-adapter joins the empty group of core kinds and the version with a slash.
fn api_version(answer: &CustomAnswer) -> String {
    if answer.core_api_version_slash && answer.kind.group.is_empty() {
        format!("/{}", answer.kind.version)
    } else {
        answer.kind.api_version()
    }
}

/// The metric's selector as a request is told it was understood; none where it gave none.
fn echo(answer: &CustomAnswer) -> Option<LabelSelector> {
    if answer.metric_selector.is_empty() {
        return None;
    }
    answer.metric_selector.to_label_selector().ok()
}

/// Writes the values of an external metric, also as a table.
pub fn external(
    answer: &ExternalAnswer,
    namespace: &str,
    choice: Choice,
    include: IncludeObject,
) -> Bytes {
    let values: Vec<_> = answer
        .values
        .iter()
        .map(|value| ExternalMetricValue {
            metric: &answer.metric,
            labels: &value.labels,
            timestamp: Seconds(value.timestamp),
            window: window(answer.window),
            value: value.value,
        })
        .collect();
    match choice.shape {
        Shape::Table(version) => table::external(choice.form, version, include, namespace, &values),
        _ => metrics::external(choice.form, &values),
    }
}

fn window(window: Option<Duration>) -> Option<u32> {
    window.and_then(|window| u32::try_from(window.as_secs()).ok())
}
