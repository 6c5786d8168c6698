//! Decisions as a table, so that `kubectl get decisions` reads well.

use bytes::Bytes;
use serde::Serialize;

use super::{Column, IncludeObject, Row, Table};
use crate::wire::Empty;
use crate::wire::insight::{Decision, Metadata, Object};
use crate::wire::metrics::Seconds;
use crate::wire::negotiate::{Form, TableVersion};

/// Writes decisions as a table, one row each. `now` is the time of the answer.
pub fn decisions(
    form: Form,
    version: TableVersion,
    include: IncludeObject,
    items: &[Decision],
    now: Seconds,
) -> Bytes {
    let rows = items
        .iter()
        .map(|item| Row { cells: cells(item, now), object: included(version, include, item) });
    let table = Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        column_definitions: &COLUMNS,
        rows: rows.collect(),
    };
    form.encode(&table, 2048 + 512 * items.len())
}

const COLUMNS: [Column; 8] = [
    Column { format: "name", ..Column::new("Name", "Object and metric.") },
    Column::new("Target", "Kind and name of the object."),
    Column::new("Pods", "How many pods there are."),
    Column::new("Replicas", "How many there should be."),
    Column::new("Action", "Up, Down or Hold."),
    Column::new("Reason", "The strongest entry of the table."),
    Column::new("Confidence", "Of that entry, from 0 to 1."),
    Column::new("Evaluated", "How long ago."),
];

fn cells(item: &Decision, now: Seconds) -> Vec<String> {
    let (target, latest) = (&item.spec.target, &item.status.latest);
    vec![
        item.metadata.name.clone(),
        format!("{}/{}", target.kind, target.name),
        latest.pods.to_string(),
        latest.replicas.to_string(),
        latest.action.clone(),
        latest.reason.clone(),
        latest.confidence.to_string(),
        format!("{}s", now.0.saturating_sub(latest.time.0).max(0)),
    ]
}

/// What a row carries beside its cells.
#[derive(Serialize)]
#[serde(untagged)]
enum Included<'a> {
    Object(Object<'a>),
    #[serde(rename_all = "camelCase")]
    Metadata {
        kind: &'static str,
        api_version: &'static str,
        metadata: &'a Metadata,
    },
}

fn included(
    version: TableVersion,
    include: IncludeObject,
    item: &Decision,
) -> Option<Included<'_>> {
    match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(Included::Metadata {
            kind: "PartialObjectMetadata",
            api_version: version.api_version(),
            metadata: &item.metadata,
        }),
        IncludeObject::Object => Some(Included::Object(Object::new(item))),
    }
}
