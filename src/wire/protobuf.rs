//! The protobuf form of value lists and errors, the same bytes that Kubernetes' Go types write:
//! fields that are not optional there are written even where they are empty.
//!
//! Written by hand because this is the hot path: the views borrow, and a generated encoder would
//! want owned strings and the length of every message before its content. Field numbers are those
//! of the generated.proto of k8s.io/metrics, k8s.io/api/core/v1 and k8s.io/apimachinery. Nothing
//! reads protobuf here: requests have no bodies.

use std::io::Write;

use bytes::Bytes;

use super::metrics::{ExternalMetricValue, MetricValue, ObjectReference, Seconds};
use super::status::{Cause, Details, FAILURE, Status};
use super::{CustomVersion, GroupVersion};
use crate::model::quantity::Milli;
use crate::model::selector::LabelSelector;

/// What every body begins with (runtime/serializer/protobuf of apimachinery).
const MAGIC: &[u8] = b"k8s\0";

/// Wire types (the last three bits of a field's key).
const VARINT: u8 = 0;
const LENGTH_DELIMITED: u8 = 2;

/// Writes a list of values that describe objects, in the given version.
pub(super) fn custom(version: CustomVersion, values: &[MetricValue<'_>]) -> Bytes {
    let write = match version {
        CustomVersion::V1Beta2 => Writer::value_v1beta2,
        CustomVersion::V1Beta1 => Writer::value_v1beta1,
    };
    list(GroupVersion::Custom(version), values, write)
}

/// Writes a list of values that describe series.
pub(super) fn external(values: &[ExternalMetricValue<'_>]) -> Bytes {
    list(GroupVersion::External, values, Writer::external_value)
}

/// Writes an error.
pub(super) fn status(status: &Status) -> Bytes {
    object("v1", "Status", 256 + status.message.len(), |writer| {
        writer.message(1, Writer::list_meta);
        writer.text(2, FAILURE);
        writer.text(3, &status.message);
        writer.text(4, status.reason.as_str());
        if let Some(details) = &status.details {
            writer.message(5, |writer| writer.details(details));
        }
        writer.integer(6, status.code.as_u16().into());
    })
}

fn list<T>(version: GroupVersion, values: &[T], write: fn(&mut Writer, &T)) -> Bytes {
    // A value with its object, labels and names takes about 100 bytes.
    let capacity = 128 + 160 * values.len();
    object(version.api_version(), version.list_kind(), capacity, |writer| {
        writer.message(1, Writer::list_meta);
        for value in values {
            writer.message(2, |writer| write(writer, value));
        }
    })
}

/// `runtime.Unknown`: an object, and what it is. `capacity` is a guess of the length in bytes.
fn object(
    api_version: &str,
    kind: &str,
    capacity: usize,
    content: impl FnOnce(&mut Writer),
) -> Bytes {
    let mut writer = Writer(Vec::with_capacity(capacity));
    writer.0.extend_from_slice(MAGIC);
    writer.message(1, |writer| {
        writer.text(1, api_version);
        writer.text(2, kind);
    });
    writer.message(2, content);
    // The encoding and type of the content, both the usual ones.
    writer.text(3, "");
    writer.text(4, "");
    writer.0.into()
}

/// Appends fields to a buffer.
struct Writer(Vec<u8>);

/// The messages.
impl Writer {
    fn value_v1beta2(&mut self, value: &MetricValue<'_>) {
        self.message(1, |writer| writer.object_reference(&value.object));
        self.message(2, |writer| {
            writer.text(1, value.metric);
            writer.selector(2, value.selector);
        });
        self.measurement(3, value.timestamp, value.window, value.value);
    }

    fn value_v1beta1(&mut self, value: &MetricValue<'_>) {
        self.message(1, |writer| writer.object_reference(&value.object));
        self.text(2, value.metric);
        self.measurement(3, value.timestamp, value.window, value.value);
        self.selector(6, value.selector);
    }

    fn external_value(&mut self, value: &ExternalMetricValue<'_>) {
        self.text(1, value.metric);
        for (name, label) in value.labels.iter() {
            self.entry(2, name, label);
        }
        self.measurement(3, value.timestamp, value.window, value.value);
    }

    /// Time, window and value, which follow each other in every list.
    fn measurement(&mut self, first: u8, timestamp: Seconds, window: Option<u32>, value: Milli) {
        self.message(first, |writer| {
            if let Some(second) = timestamp.written() {
                writer.integer(1, second);
                // Nanoseconds, which Kubernetes neither writes nor reads.
                writer.integer(2, 0);
            }
        });
        if let Some(window) = window {
            self.integer(first + 1, window.into());
        }
        self.message(first + 2, |writer| {
            // A string: length and content, as a message has them.
            writer.message(1, |writer| {
                // A Vec takes everything.
                _ = write!(writer.0, "{value}");
            });
        });
    }

    fn object_reference(&mut self, object: &ObjectReference<'_>) {
        self.text(1, object.kind);
        self.text(2, object.namespace);
        self.text(3, object.name);
        self.text(4, ""); // uid
        self.text(5, object.api_version);
        self.text(6, ""); // resourceVersion
        self.text(7, ""); // fieldPath
    }

    fn selector(&mut self, field: u8, selector: Option<&LabelSelector>) {
        let Some(selector) = selector else { return };
        self.message(field, |writer| {
            for (key, value) in &selector.match_labels {
                writer.entry(1, key, value);
            }
            for requirement in &selector.match_expressions {
                writer.message(2, |writer| {
                    writer.text(1, &requirement.key);
                    writer.text(2, requirement.operator);
                    for value in &requirement.values {
                        writer.text(3, value);
                    }
                });
            }
        });
    }

    fn details(&mut self, details: &Details) {
        self.text(1, &details.name);
        self.text(2, &details.group);
        self.text(3, &details.kind);
        for Cause { reason, message, field } in &details.causes {
            self.message(4, |writer| {
                writer.text(1, reason);
                writer.text(2, message);
                writer.text(3, field);
            });
        }
        self.integer(5, 0); // retryAfterSeconds
        self.text(6, ""); // uid
    }

    fn list_meta(&mut self) {
        self.text(1, ""); // selfLink
        self.text(2, ""); // resourceVersion
        self.text(3, ""); // continue
    }

    /// One entry of a map.
    fn entry(&mut self, field: u8, key: &str, value: &str) {
        self.message(field, |writer| {
            writer.text(1, key);
            writer.text(2, value);
        });
    }
}

/// The encoding (protobuf.dev/programming-guides/encoding). No field number here is above 15, so
/// every key is one byte.
impl Writer {
    /// A field of messages: its length follows from its content, and is put before it afterwards.
    fn message(&mut self, field: u8, content: impl FnOnce(&mut Self)) {
        self.key(field, LENGTH_DELIMITED);
        let start = self.0.len();
        content(self);
        let end = self.0.len();
        self.varint((end - start) as u64);
        let prefix = self.0.len() - end;
        self.0[start..].rotate_right(prefix);
    }

    fn text(&mut self, field: u8, text: &str) {
        self.key(field, LENGTH_DELIMITED);
        self.varint(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn integer(&mut self, field: u8, value: i64) {
        self.key(field, VARINT);
        self.varint(value.cast_unsigned());
    }

    fn key(&mut self, field: u8, wire_type: u8) {
        self.0.push(field << 3 | wire_type);
    }

    /// Seven bits at a time, the least first; the eighth says that more follow.
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(low_byte(value) | 0x80);
            value >>= 7;
        }
        self.0.push(low_byte(value));
    }
}

fn low_byte(value: u64) -> u8 {
    let [low, ..] = value.to_le_bytes();
    low
}

#[cfg(test)]
mod tests;
