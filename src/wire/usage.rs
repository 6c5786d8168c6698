//! `NodeMetrics` and `PodMetrics` of `metrics.k8s.io/v1beta1`, alone and in lists
//! (k8s.io/metrics/pkg/apis/metrics/v1beta1).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::{Serialize, Serializer};

use super::metrics::Seconds;
use super::negotiate::Form;
use super::{Empty, GroupVersion, protobuf};
use crate::model::duration;
use crate::model::quantity::{Format, Milli, Quantity};
use crate::model::usage::{ContainerUsage, ObjectUsage};

/// The kind of object whose usage is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageKind {
    /// `NodeMetrics`
    Node,
    /// `PodMetrics`
    Pod,
}

/// What is the same for every object of an answer.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The kind of the objects.
    pub kind: UsageKind,
    /// Over how long the usage was measured.
    pub window: Duration,
    /// When the answer was made: its objects are created for it.
    pub created: Seconds,
}

/// The usage of one object.
#[derive(Clone, Copy, Debug)]
pub struct UsageItem<'a> {
    /// What it uses.
    pub usage: &'a ObjectUsage,
    /// The object's labels, sorted by key.
    pub labels: &'a [(Arc<str>, Arc<str>)],
}

impl UsageKind {
    /// The kind of one: `PodMetrics`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Node => "NodeMetrics",
            Self::Pod => "PodMetrics",
        }
    }

    /// The kind of a list: `PodMetricsList`.
    pub const fn list(self) -> &'static str {
        match self {
            Self::Node => "NodeMetricsList",
            Self::Pod => "PodMetricsList",
        }
    }
}

/// Writes the usage of one object.
pub fn object(form: Form, context: &Context, item: &UsageItem<'_>) -> Bytes {
    if form == Form::Protobuf {
        return protobuf::usage::object(context, item);
    }
    form.encode(&Object::new(context, item), 1024)
}

/// Writes a list.
pub fn list(form: Form, context: &Context, items: &[UsageItem<'_>]) -> Bytes {
    if form == Form::Protobuf {
        return protobuf::usage::list(context, items);
    }
    let list = List {
        kind: context.kind.list(),
        api_version: GroupVersion::Resource.api_version(),
        metadata: Empty {},
        items: items.iter().map(|item| Item::new(context, item)).collect(),
    };
    form.encode(&list, 128 + 512 * items.len())
}

/// The fields in Go's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    items: Vec<Item<'a>>,
}

/// An object by itself, which says what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Object<'a> {
    kind: &'static str,
    api_version: &'static str,
    #[serde(flatten)]
    item: Item<'a>,
}

#[derive(Serialize)]
struct Item<'a> {
    metadata: Metadata<'a>,
    timestamp: Seconds,
    window: String,
    #[serde(flatten)]
    amounts: Amounts<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Amounts<'a> {
    Usage(Usage),
    Containers(Vec<Container<'a>>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    namespace: &'a str,
    creation_timestamp: Seconds,
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

#[derive(Serialize)]
struct Container<'a> {
    name: &'a str,
    usage: Usage,
}

#[derive(Serialize)]
struct Usage {
    cpu: String,
    memory: String,
}

/// Labels as an object.
struct Labels<'a>(&'a [(Arc<str>, Arc<str>)]);

impl<'a> Object<'a> {
    pub(super) fn new(context: &Context, item: &UsageItem<'a>) -> Self {
        Self {
            kind: context.kind.as_str(),
            api_version: GroupVersion::Resource.api_version(),
            item: Item::new(context, item),
        }
    }
}

impl<'a> Item<'a> {
    fn new(context: &Context, item: &UsageItem<'a>) -> Self {
        let usage = |container: &ContainerUsage| Usage {
            cpu: cpu(container.cpu),
            memory: memory(container.memory),
        };
        let containers = &item.usage.containers;
        Self {
            metadata: Metadata::new(context, item),
            timestamp: Seconds(item.usage.timestamp),
            window: duration::to_go(context.window),
            amounts: match context.kind {
                UsageKind::Node => {
                    let (cpu, memory) = total(item.usage);
                    Amounts::Usage(Usage { cpu: self::cpu(cpu), memory: self::memory(memory) })
                }
                UsageKind::Pod => Amounts::Containers(
                    containers
                        .iter()
                        .map(|container| Container {
                            name: &container.name,
                            usage: usage(container),
                        })
                        .collect(),
                ),
            },
        }
    }
}

impl<'a> Metadata<'a> {
    pub(super) fn new(context: &Context, item: &UsageItem<'a>) -> Self {
        Self {
            name: &item.usage.name,
            namespace: &item.usage.namespace,
            creation_timestamp: context.created,
            labels: Labels(item.labels),
        }
    }
}

impl Labels<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (&**key, &**value)))
    }
}

/// What all containers use together: cores and bytes.
pub(super) fn total(usage: &ObjectUsage) -> (Milli, Milli) {
    let none = (Milli(0), Milli(0));
    usage.containers.iter().fold(none, |(cpu, memory), container| {
        let sum = |one: Milli, other: Milli| Milli(one.0.saturating_add(other.0));
        (sum(cpu, container.cpu), sum(memory, container.memory))
    })
}

/// Cores as the API writes them: `1500m`.
pub(super) fn cpu(cores: Milli) -> String {
    cores.to_string()
}

/// Bytes as the API writes them: `3Mi`.
pub(super) fn memory(bytes: Milli) -> String {
    Quantity::from_milli(bytes, Format::BinarySI).to_string()
}

#[cfg(test)]
mod tests;
