//! External and resource metrics as a `Table` of `meta.k8s.io`, so that `kubectl get METRIC` and
//! `kubectl get podmetrics` print them.
//!
//! kubectl cannot print an `ExternalMetricValueList`; custom metrics need no table, since no
//! kubectl command but `get --raw` can name them.

mod decisions;
mod usage;

use std::fmt::Write;

use bytes::Bytes;
use serde::Serialize;

use super::metrics::{ExternalItem, ExternalMetricValue};
use super::negotiate::{Form, TableVersion};
use super::status::Status;
use super::{Empty, GroupVersion};
use crate::model::value::Labels;

pub use self::decisions::decisions;
pub use self::usage::usage;

/// What stands in a cell that has no value.
const NONE: &str = "<none>";

/// What a row carries beside its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// Name and namespace.
    Metadata,
    /// The value itself with name and namespace, for `kubectl get --sort-by`.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`; fails with 400 for any other word.
    pub fn parse(parameter: Option<&str>) -> Result<Self, Status> {
        match parameter.unwrap_or_default() {
            "None" => Ok(Self::None),
            "" | "Metadata" => Ok(Self::Metadata),
            "Object" => Ok(Self::Object),
            other => Err(Status::bad_request(format!(
                "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
                 must be None, Metadata, Object or empty"
            ))),
        }
    }
}

/// Writes external values as a table, one row each.
pub fn external(
    form: Form,
    version: TableVersion,
    include: IncludeObject,
    namespace: &str,
    values: &[ExternalMetricValue<'_>],
) -> Bytes {
    let rows = values
        .iter()
        .map(|value| Row {
            cells: cells(value),
            object: object(version, include, namespace, value),
        })
        .collect();
    let table = Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        column_definitions: &COLUMNS,
        rows,
    };
    form.encode(&table, 1024 + 384 * values.len())
}

const COLUMNS: [Column; 5] = [
    Column { format: "name", ..Column::new("Name", "Name of the metric.") },
    Column::new("Value", "Value of the series, as a quantity."),
    Column::new("Labels", "Labels that tell the series apart."),
    Column::new("Timestamp", "When the value was measured."),
    Column { priority: 1, ..Column::new("Window", "Over how long the value was measured.") },
];

/// The fields in Go's order; all of a column's are always present.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Table<O> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    column_definitions: &'static [Column],
    rows: Vec<Row<O>>,
}

#[derive(Serialize)]
struct Column {
    name: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    format: &'static str,
    description: &'static str,
    priority: u8,
}

#[derive(Serialize)]
struct Row<O> {
    cells: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<O>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Object<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Metadata<'a>,
    #[serde(flatten)]
    value: Option<ExternalItem<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    name: &'a str,
    namespace: &'a str,
}

impl Column {
    const fn new(name: &'static str, description: &'static str) -> Self {
        Self { name, kind: "string", format: "", description, priority: 0 }
    }
}

fn cells(value: &ExternalMetricValue<'_>) -> Vec<String> {
    vec![
        value.metric.to_owned(),
        value.value.to_string(),
        labels(value.labels),
        value.timestamp.to_string(),
        value.window.map_or_else(|| NONE.to_owned(), |seconds| format!("{seconds}s")),
    ]
}

/// `a=1,b=2`, as kubectl prints the labels of objects.
fn labels(labels: &Labels) -> String {
    let mut text = String::new();
    for (name, value) in labels.iter() {
        let comma = if text.is_empty() { "" } else { "," };
        // A String takes everything.
        _ = write!(text, "{comma}{name}={value}");
    }
    if text.is_empty() { NONE.to_owned() } else { text }
}

fn object<'a>(
    version: TableVersion,
    include: IncludeObject,
    namespace: &'a str,
    value: &ExternalMetricValue<'a>,
) -> Option<Object<'a>> {
    let metadata = Metadata { name: value.metric, namespace };
    match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(Object {
            kind: "PartialObjectMetadata",
            api_version: version.api_version(),
            metadata,
            value: None,
        }),
        IncludeObject::Object => Some(Object {
            kind: "ExternalMetricValue",
            api_version: GroupVersion::External.api_version(),
            metadata,
            value: Some(ExternalItem::from(value)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::quantity::Milli;
    use crate::wire::metrics::Seconds;

    const HEAD: &str = r#"{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{},"columnDefinitions":[{"name":"Name","type":"string","format":"name","description":"Name of the metric.","priority":0},{"name":"Value","type":"string","format":"","description":"Value of the series, as a quantity.","priority":0},{"name":"Labels","type":"string","format":"","description":"Labels that tell the series apart.","priority":0},{"name":"Timestamp","type":"string","format":"","description":"When the value was measured.","priority":0},{"name":"Window","type":"string","format":"","description":"Over how long the value was measured.","priority":1}],"rows":"#;

    fn render(version: TableVersion, include: IncludeObject, labels: &[&Labels]) -> String {
        let values: Vec<_> = labels
            .iter()
            .map(|labels| ExternalMetricValue {
                metric: "queue_depth",
                labels,
                timestamp: Seconds(1_767_323_045),
                window: (labels.iter().count() > 0).then_some(60),
                value: Milli(42_000),
            })
            .collect();
        let table = external(Form::Json, version, include, "default", &values);
        String::from_utf8(table.to_vec()).unwrap()
    }

    #[test]
    fn a_row_says_which_series_has_which_value() {
        let labels = Labels::from_iter([("a", "1"), ("b", "2")]);
        let object = r#""object":{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"queue_depth","namespace":"default"}}"#;

        assert_eq!(
            render(TableVersion::V1, IncludeObject::Metadata, &[&labels, &Labels::default()]),
            format!(
                r#"{HEAD}[{{"cells":["queue_depth","42","a=1,b=2","2026-01-02T03:04:05Z","60s"],{object}}},{{"cells":["queue_depth","42","<none>","2026-01-02T03:04:05Z","<none>"],{object}}}]}}"#
            ) + "\n"
        );
    }

    #[test]
    fn a_row_carries_the_object_that_was_asked_for() {
        let labels = Labels::from_iter([("a", "1")]);
        let cells = r#""cells":["queue_depth","42","a=1","2026-01-02T03:04:05Z","60s"]"#;
        let object = r#""object":{"kind":"ExternalMetricValue","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{"name":"queue_depth","namespace":"default"},"metricName":"queue_depth","metricLabels":{"a":"1"},"timestamp":"2026-01-02T03:04:05Z","window":60,"value":"42"}"#;

        assert_eq!(
            render(TableVersion::V1, IncludeObject::None, &[&labels]),
            format!("{HEAD}[{{{cells}}}]}}\n")
        );
        assert_eq!(
            render(TableVersion::V1, IncludeObject::Object, &[&labels]),
            format!("{HEAD}[{{{cells},{object}}}]}}\n")
        );
    }

    #[test]
    fn a_table_without_rows_is_of_the_version_that_was_asked_for() {
        assert_eq!(
            render(TableVersion::V1Beta1, IncludeObject::Metadata, &[]),
            HEAD.replace("meta.k8s.io/v1", "meta.k8s.io/v1beta1") + "[]}\n"
        );
    }

    #[test]
    fn include_object_is_one_of_three_words() {
        let message = |parameter| IncludeObject::parse(parameter).map_err(|status| status.message);

        assert_eq!(message(None), Ok(IncludeObject::Metadata));
        assert_eq!(message(Some("")), Ok(IncludeObject::Metadata));
        assert_eq!(message(Some("Metadata")), Ok(IncludeObject::Metadata));
        assert_eq!(message(Some("None")), Ok(IncludeObject::None));
        assert_eq!(message(Some("Object")), Ok(IncludeObject::Object));
        assert_eq!(
            message(Some("x")),
            Err("Unable to convert to Table as requested: includeObject: Invalid value: \"x\": \
                 must be None, Metadata, Object or empty"
                .to_owned())
        );
    }
}
