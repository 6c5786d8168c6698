//! What nodes and pods use as a table, with the columns of metrics-server (`pkg/api/table.go`).

use bytes::Bytes;
use serde::Serialize;

use super::{Column, IncludeObject, Row, Table};
use crate::model::duration;
use crate::wire::Empty;
use crate::wire::negotiate::{Form, TableVersion};
use crate::wire::usage::{Context, Metadata, Object, UsageItem, cpu, memory, total};

/// Writes the usage of objects as a table, one row each.
pub fn usage(
    form: Form,
    version: TableVersion,
    include: IncludeObject,
    context: &Context,
    items: &[UsageItem<'_>],
) -> Bytes {
    let rows = items.iter().map(|item| {
        let (cores, bytes) = total(item.usage);
        let window = duration::to_go(context.window);
        Row {
            cells: vec![item.usage.name.to_string(), cpu(cores), memory(bytes), window],
            object: included(version, include, context, item),
        }
    });
    let table = Table {
        kind: "Table",
        api_version: version.api_version(),
        metadata: Empty {},
        column_definitions: &COLUMNS,
        rows: rows.collect(),
    };
    form.encode(&table, 1024 + 512 * items.len())
}

const COLUMNS: [Column; 4] = [
    Column { format: "name", ..Column::new("Name", "Name of the resource") },
    Column { format: "quantity", ..Column::new("cpu", "") },
    Column { format: "quantity", ..Column::new("memory", "") },
    Column { format: "duration", ..Column::new("Window", "") },
];

/// What a row carries beside its cells.
#[derive(Serialize)]
#[serde(untagged)]
enum Included<'a> {
    Object(Object<'a>),
    #[serde(rename_all = "camelCase")]
    Metadata {
        kind: &'static str,
        api_version: &'static str,
        metadata: Metadata<'a>,
    },
}

fn included<'a>(
    version: TableVersion,
    include: IncludeObject,
    context: &Context,
    item: &UsageItem<'a>,
) -> Option<Included<'a>> {
    match include {
        IncludeObject::None => None,
        IncludeObject::Metadata => Some(Included::Metadata {
            kind: "PartialObjectMetadata",
            api_version: version.api_version(),
            metadata: Metadata::new(context, item),
        }),
        IncludeObject::Object => Some(Included::Object(Object::new(context, item))),
    }
}
