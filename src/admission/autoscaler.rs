//! A `HorizontalPodAutoscaler` that is being written: what it says, and what is known about what
//! it names.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::workload::{At, Unreadable, Workload};
use crate::model::autoscaler::{Autoscaler, MetricIdentifier, MetricSource, ObjectReference};
use crate::model::inventory::LabelSet;
use crate::model::limit_range::LimitRange;
use crate::model::selector::Selector;

/// Most metrics of an autoscaler that are looked at.
const MAX_METRICS: usize = 1000;

/// What is known from memory about the place an autoscaler is written to. `None` is always: not
/// known yet.
#[derive(Clone, Copy, Debug)]
pub struct AutoscalerFacts<'a> {
    /// The labels of the namespace.
    pub namespace: Option<&'a LabelSet>,
    /// The limit ranges of the namespace.
    pub limit_ranges: Option<&'a [Arc<LimitRange>]>,
    /// The autoscalers of the namespace.
    pub autoscalers: Option<&'a [Arc<Autoscaler>]>,
    /// The metrics that are served.
    pub served: Option<&'a Served>,
    /// The object that is to be scaled.
    pub target: Target<'a>,
    /// The moment of the judgement.
    pub now: Timestamp,
}

/// What is known about the object that an autoscaler scales.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// Nothing.
    Unknown,
    /// There is none.
    Absent,
    /// It exists; its pods are not known.
    Exists,
    /// It exists and makes these pods.
    Workload(&'a Workload),
}

/// The names of the metrics that are served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Custom metrics of pods.
    pub pods: BTreeSet<Box<str>>,
    /// Custom metrics of other objects.
    pub objects: BTreeSet<Box<str>>,
    /// External metrics.
    pub external: BTreeSet<Box<str>>,
}

/// Reads an autoscaler of `autoscaling/v2`, in the form that is matched as Equivalent.
pub fn read(object: &Value) -> Result<Autoscaler, Unreadable> {
    let root = At::root(object);
    let text = |at: Option<At<'_>>, key: &str| -> Result<Arc<str>, Unreadable> {
        at.map_or_else(|| Ok(Arc::default()), |at| Ok(Arc::from(at.text_of(key)?)))
    };
    let metadata = root.get("metadata")?;
    let spec = root.need("spec")?;
    let target = reference(&spec.need("scaleTargetRef")?)?;
    let number = |key, default| spec.get(key)?.map_or(Ok(default), |at| at.number());
    let narrow = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
    let mut metrics = Vec::new();
    let mut utilization = Vec::new();
    if let Some(list) = spec.get("metrics")? {
        for item in list.items()?.take(MAX_METRICS) {
            if let Some((source, is_share)) = source(&item)? {
                utilization.extend(is_share.then(|| source.clone()));
                metrics.push(source);
            }
        }
    }
    if metrics.is_empty()
        && spec.get("metrics")?.is_none_or(|list| list.value() == &Value::Array(Vec::new()))
    {
        utilization.push(MetricSource::Resource("cpu".into()));
    }
    Ok(Autoscaler {
        namespace: text(metadata, "namespace")?,
        name: text(metadata, "name")?,
        uid: text(metadata, "uid")?,
        target,
        min_replicas: narrow(number("minReplicas", 1)?),
        max_replicas: narrow(number("maxReplicas", 0)?),
        metrics,
        utilization,
    })
}

fn reference(at: &At<'_>) -> Result<ObjectReference, Unreadable> {
    Ok(ObjectReference {
        api_version: at.text_of("apiVersion")?.into(),
        kind: at.text_of("kind")?.into(),
        name: at.text_of("name")?.into(),
    })
}

/// A metric, and whether its target is a share of the request; `None` for an unknown type.
fn source(at: &At<'_>) -> Result<Option<(MetricSource, bool)>, Unreadable> {
    let kind = at.text_of("type")?;
    let is_share = |at: &At<'_>| {
        at.get("target")?.map_or(Ok(false), |target| Ok(&*target.text_of("type")? == "Utilization"))
    };
    Ok(match &*kind {
        "Resource" => {
            let at = at.need("resource")?;
            Some((MetricSource::Resource(at.text_of("name")?.into()), is_share(&at)?))
        }
        "ContainerResource" => {
            let at = at.need("containerResource")?;
            let resource = at.text_of("name")?.into();
            let container = at.text_of("container")?.into();
            Some((MetricSource::ContainerResource { resource, container }, is_share(&at)?))
        }
        "Pods" => Some((MetricSource::Pods(metric(&at.need("pods")?)?), false)),
        "Object" => {
            let at = at.need("object")?;
            let described = reference(&at.need("describedObject")?)?;
            Some((MetricSource::Object { metric: metric(&at)?, described }, false))
        }
        "External" => Some((MetricSource::External(metric(&at.need("external")?)?), false)),
        _ => None,
    })
}

/// The selector plays no part in what is judged.
fn metric(at: &At<'_>) -> Result<MetricIdentifier, Unreadable> {
    let name = at.need("metric")?.text_of("name")?.into();
    Ok(MetricIdentifier { name, selector: Selector::default() })
}
