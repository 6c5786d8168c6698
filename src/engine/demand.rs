//! What somebody needs now: one metric of some objects, one external metric, or what objects use
//! of their machine.
//!
//! A demand is exactly what a request says, so that a request finds its [slot](slots) with one
//! hash look-up. What an autoscaler will ask for is a demand [before it asks](autoscaler).

pub mod autoscaler;
pub mod slots;

use std::fmt;

use crate::model::object::GroupResource;
use crate::model::selector::Selector;

/// One thing that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Demand {
    /// A metric of Kubernetes objects.
    Custom(CustomDemand),
    /// A metric of no object.
    External(ExternalDemand),
    /// What objects use of their machine.
    Usage(UsageDemand),
}

impl fmt::Display for Demand {
    /// As a path would have it: `shop/pods/*/requests_per_second`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Custom(CustomDemand { resource, namespace, target, metric, .. }) => {
                if let Some(namespace) = namespace {
                    write!(f, "{namespace}/")?;
                }
                let name = match target {
                    Target::Named(name) => name,
                    Target::Selected(_) => "*",
                };
                write!(f, "{resource}/{name}/{metric}")
            }
            Self::External(ExternalDemand { namespace, metric, .. }) => {
                write!(f, "{namespace}/{metric}")
            }
            Self::Usage(UsageDemand::Nodes) => f.write_str("usage of nodes"),
            Self::Usage(UsageDemand::Pods { namespace: Some(namespace) }) => {
                write!(f, "usage of pods in {namespace}")
            }
            Self::Usage(UsageDemand::Pods { namespace: None }) => f.write_str("usage of pods"),
        }
    }
}

/// A metric of one object, or of all that a selector matches.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CustomDemand {
    /// The resource as the path names it.
    pub resource: GroupResource,
    /// The namespace; `None` for a cluster-scoped request, such as one that describes a namespace.
    pub namespace: Option<String>,
    /// Which objects.
    pub target: Target,
    /// The metric's name.
    pub metric: String,
    /// Which series, by their labels.
    pub metric_selector: Selector,
}

/// Which objects a request means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// The one of this name.
    Named(String),
    /// All whose labels match: `*` in a path.
    Selected(Selector),
}

/// An external metric.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ExternalDemand {
    /// The namespace of the one who asks.
    pub namespace: String,
    /// The metric's name, in lower case: the HPA controller can only ask in lower case.
    pub metric: String,
    /// Which series, by their labels.
    pub selector: Selector,
}

/// The processor time and memory of all nodes, or of the pods of a namespace: whoever asks for
/// some of them shares the queries with everybody else, and chooses from the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum UsageDemand {
    /// Of every node.
    Nodes,
    /// Of pods.
    Pods {
        /// Their namespace; `None` for those of all.
        namespace: Option<String>,
    },
}
