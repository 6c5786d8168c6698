//! What is judged: the containers of a pod template, with their class, what they declare, and
//! where each field stands.
//!
//! Only what the rules look at is read. What Kubernetes could not decode either is an error that
//! names the field; unknown fields are left alone. Classes follow KEP 753: an init container whose
//! `restartPolicy` is `Always` is a sidecar and runs beside the app.

mod at;
mod read;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

pub(crate) use at::At;

use crate::model::policy::{Amounts, ProbeKind, Template};
use crate::model::quantity::Quantity;

/// An object that makes pods, or is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The API group: `apps`; empty for the core group.
    pub group: Box<str>,
    /// `Deployment`
    pub kind: Box<str>,
    /// `metadata.namespace`; empty where it is not said.
    pub namespace: Box<str>,
    /// `metadata.name`, or else `metadata.generateName` with a `*`.
    pub name: Box<str>,
    /// `metadata.labels`.
    pub labels: BTreeMap<Box<str>, Box<str>>,
    /// `metadata.ownerReferences`.
    pub owners: Vec<Owner>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// Whether it is the mirror of a static pod, which only the kubelet writes.
    pub mirror: bool,
    /// The pod, or the template of it.
    pub pod: Pod,
}

/// An entry of `metadata.ownerReferences`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Group and version.
    pub api_version: Box<str>,
    /// The kind.
    pub kind: Box<str>,
    /// The name.
    pub name: Box<str>,
    /// The uid.
    pub uid: Box<str>,
    /// Whether it is the controller.
    pub controller: bool,
}

/// A pod's spec as far as it is judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// The path of the pod's spec: `spec.template.spec`.
    pub path: Box<str>,
    /// All containers: plain init containers and sidecars in their order, then the app's, then
    /// ephemeral ones.
    pub containers: Vec<Container>,
    /// `resources` of the pod as a whole.
    pub resources: Resources,
    /// Whether the pod ends by itself, so that nobody waits for it to be ready.
    pub run_to_completion: bool,
}

/// What a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// An entry of `containers`.
    App,
    /// An entry of `initContainers` with `restartPolicy: Always`: it runs on.
    Sidecar,
    /// Another entry of `initContainers`: it runs to its end, and may have no probes.
    Init,
    /// An entry of `ephemeralContainers`: it may have neither resources nor probes.
    Ephemeral,
}

/// A container as far as it is judged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Container {
    /// What it is.
    pub class: Class,
    /// Its place in its list.
    pub index: usize,
    /// `name`
    pub name: Box<str>,
    /// `image`; empty where it is not said.
    pub image: Box<str>,
    /// `resources`
    pub resources: Resources,
    /// `ports`
    pub ports: Vec<Port>,
    /// In the order of [`ProbeKind::ALL`].
    pub probes: [Option<Probe>; 3],
}

/// Requests and limits as written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resources {
    /// `requests`
    pub requests: Amounts,
    /// `limits`
    pub limits: Amounts,
}

/// An entry of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Port {
    /// `name`; empty where it has none.
    pub name: Box<str>,
    /// `containerPort`
    pub number: i64,
}

/// A probe, with Kubernetes' defaults where a field is absent or zero.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// The handlers; Kubernetes wants exactly one.
    pub handlers: Vec<Handler>,
    /// `initialDelaySeconds`, 0.
    pub initial_delay: i64,
    /// `periodSeconds`, 10.
    pub period: i64,
    /// `timeoutSeconds`, 1.
    pub timeout: i64,
    /// Whether the timeout is written.
    pub timeout_written: bool,
    /// `successThreshold`, 1.
    pub success_threshold: i64,
    /// `failureThreshold`, 3.
    pub failure_threshold: i64,
}

/// How a probe asks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handler {
    /// `httpGet`, `tcpSocket`, `grpc`, `exec`, or one that is not known yet.
    pub name: Box<str>,
    /// Where it asks, if at a port.
    pub port: Option<PortReference>,
    /// All else that it says, as JSON text: two handlers that say the same do the same.
    pub rest: Box<str>,
}

/// A port as a probe names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum PortReference {
    /// By number.
    Number(i64),
    /// By the name of one of the container's ports.
    Name(Box<str>),
}

/// Why an object cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {what}")]
pub struct Unreadable {
    /// `spec.template.spec.containers[1].resources.limits.memory`; `object` for all of it.
    pub path: String,
    /// What is wrong there.
    pub what: String,
}

impl Workload {
    /// Reads an object of a group and kind; `None` where the kind is none that is judged.
    /// `templates` are the kinds that Kubernetes does not know.
    pub fn read(
        group: &str,
        kind: &str,
        object: &Value,
        templates: &[Template],
    ) -> Result<Option<Self>, Unreadable> {
        read::workload(group, kind, object, templates)
    }

    /// Whether objects of a kind are judged.
    pub fn is_judged(group: &str, kind: &str, templates: &[Template]) -> bool {
        read::shape(group, kind, templates).is_some()
    }

    /// The owner that made it.
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.controller)
    }

    /// `Deployment shop/cart`
    pub fn title(&self) -> String {
        let Self { kind, namespace, name, .. } = self;
        if namespace.is_empty() {
            format!("{kind} {name}")
        } else {
            format!("{kind} {namespace}/{name}")
        }
    }
}

impl Pod {
    /// The path of a container.
    pub fn path_of(&self, container: &Container) -> String {
        format!("{}.{}[{}]", self.path, container.class.list(), container.index)
    }

    /// The containers that run as long as the pod: what the HPA and the scheduler count.
    pub fn running(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(|container| container.class.runs_on())
    }

    /// The same number for templates that are judged the same, wherever they stand: a `ReplicaSet`
    /// has that of the `Deployment` which made it.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.containers.hash(&mut hasher);
        self.resources.hash(&mut hasher);
        hasher.finish()
    }
}

impl Class {
    /// The field of the pod's spec.
    pub fn list(self) -> &'static str {
        match self {
            Self::App => "containers",
            Self::Sidecar | Self::Init => "initContainers",
            Self::Ephemeral => "ephemeralContainers",
        }
    }

    /// Whether it runs as long as the pod does, and so may have probes and is counted by an HPA.
    pub fn runs_on(self) -> bool {
        matches!(self, Self::App | Self::Sidecar)
    }

    /// Whether it may have resources.
    pub fn has_resources(self) -> bool {
        self != Self::Ephemeral
    }
}

impl Container {
    /// One of its probes.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        let [readiness, liveness, startup] = &self.probes;
        match kind {
            ProbeKind::Readiness => readiness.as_ref(),
            ProbeKind::Liveness => liveness.as_ref(),
            ProbeKind::Startup => startup.as_ref(),
        }
    }

    /// The number of a port that a probe names; `None` where no port has the name.
    pub fn resolve(&self, port: &PortReference) -> Option<i64> {
        match port {
            PortReference::Number(number) => Some(*number),
            PortReference::Name(name) => {
                self.ports.iter().find(|port| port.name == *name).map(|port| port.number)
            }
        }
    }
}

impl Resources {
    /// The request as written.
    pub fn request(&self, resource: &str) -> Option<Quantity> {
        self.requests.get(resource).copied()
    }

    /// The limit as written.
    pub fn limit(&self, resource: &str) -> Option<Quantity> {
        self.limits.get(resource).copied()
    }
}

impl Probe {
    /// Seconds of failure until it acts.
    pub fn trips_after(&self) -> i64 {
        self.period.saturating_mul(self.failure_threshold)
    }
}

impl fmt::Display for PortReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => write!(f, "{name:?}"),
        }
    }
}
