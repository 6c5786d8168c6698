//! The messages of `metrics.k8s.io/v1beta1`
//! (k8s.io/metrics/pkg/apis/metrics/v1beta1/generated.proto).

use bytes::Bytes;

use super::{Writer, object as envelope};
use crate::model::quantity::Milli;
use crate::wire::GroupVersion;
use crate::wire::metrics::Seconds;
use crate::wire::usage::{Context, UsageItem, UsageKind, cpu, memory, total};

/// Writes the usage of one object.
pub(in crate::wire) fn object(context: &Context, item: &UsageItem<'_>) -> Bytes {
    let api_version = GroupVersion::Resource.api_version();
    envelope(api_version, context.kind.as_str(), 1024, |writer| writer.usage(context, item))
}

/// Writes a list.
pub(in crate::wire) fn list(context: &Context, items: &[UsageItem<'_>]) -> Bytes {
    let api_version = GroupVersion::Resource.api_version();
    let capacity = 128 + 256 * items.len();
    envelope(api_version, context.kind.list(), capacity, |writer| {
        writer.message(1, Writer::list_meta);
        for item in items {
            writer.message(2, |writer| writer.usage(context, item));
        }
    })
}

impl Writer {
    fn usage(&mut self, context: &Context, item: &UsageItem<'_>) {
        self.message(1, |writer| writer.object_meta(context, item));
        self.message(2, |writer| writer.time(Seconds(item.usage.timestamp)));
        self.message(3, |writer| {
            writer.integer(1, i64::try_from(context.window.as_nanos()).unwrap_or(i64::MAX));
        });
        match context.kind {
            UsageKind::Node => self.amounts(4, total(item.usage)),
            UsageKind::Pod => {
                for container in &item.usage.containers {
                    self.message(4, |writer| {
                        writer.text(1, &container.name);
                        writer.amounts(2, (container.cpu, container.memory));
                    });
                }
            }
        }
    }

    fn object_meta(&mut self, context: &Context, item: &UsageItem<'_>) {
        self.text(1, &item.usage.name);
        self.text(2, ""); // generateName
        self.text(3, &item.usage.namespace);
        self.text(4, ""); // selfLink
        self.text(5, ""); // uid
        self.text(6, ""); // resourceVersion
        self.integer(7, 0); // generation
        self.message(8, |writer| writer.time(context.created));
        for (key, value) in item.labels {
            self.entry(11, key, value);
        }
    }

    /// `ResourceList`, a map of quantities.
    fn amounts(&mut self, field: u8, (cores, bytes): (Milli, Milli)) {
        for (resource, amount) in [("cpu", cpu(cores)), ("memory", memory(bytes))] {
            self.message(field, |writer| {
                writer.text(1, resource);
                writer.message(2, |writer| writer.text(1, &amount));
            });
        }
    }
}
