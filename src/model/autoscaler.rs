//! A `HorizontalPodAutoscaler` as far as others need it: what it scales and what it will ask for.

use std::sync::Arc;

use super::selector::Selector;

/// One `HorizontalPodAutoscaler` of `autoscaling/v2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Autoscaler {
    /// `metadata.namespace`.
    pub namespace: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
    /// `metadata.uid`, which an Event names.
    pub uid: Arc<str>,
    /// `spec.scaleTargetRef`.
    pub target: ObjectReference,
    /// `spec.minReplicas`; 1 where it is absent.
    pub min_replicas: i32,
    /// `spec.maxReplicas`.
    pub max_replicas: i32,
    /// `spec.metrics` in order; entries of an unknown type are left out.
    pub metrics: Vec<MetricSource>,
    /// Those of `metrics` whose target is a share of what the containers request: a `Resource` or
    /// `ContainerResource` with `averageUtilization`, and CPU where `spec.metrics` is empty.
    /// Without the requests the controller cannot compute them (`replica_calculator.go`).
    pub utilization: Vec<MetricSource>,
}

/// An object that another names: it is in the same namespace, or in none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectReference {
    /// Group and version: `apps/v1`. The HPA controller may be given a version that is not served
    /// any more: only the group counts.
    pub api_version: Arc<str>,
    /// `Deployment`.
    pub kind: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

/// An entry of `spec.metrics`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum MetricSource {
    /// `Resource`: of all containers of the target's pods, by the name of the resource.
    Resource(Arc<str>),
    /// `ContainerResource`: of one container of the target's pods.
    ContainerResource {
        /// The name of the resource.
        resource: Arc<str>,
        /// The name of the container.
        container: Arc<str>,
    },
    /// `Pods`: a custom metric of the target's pods.
    Pods(MetricIdentifier),
    /// `Object`: a custom metric of one object in the autoscaler's namespace.
    Object {
        /// The metric.
        metric: MetricIdentifier,
        /// The object.
        described: ObjectReference,
    },
    /// `External`: a metric of no object.
    External(MetricIdentifier),
}

/// The name of a metric and which of its series are meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MetricIdentifier {
    /// The metric's name, as written.
    pub name: Arc<str>,
    /// `selector`; everything where it is absent.
    pub selector: Selector,
}
