//! What a demand is answered with: values with their times, immutable once published.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::quantity::Milli;
use crate::model::selector::Selector;
use crate::model::value::Labels;

/// An answer and when it was made.
#[derive(Debug)]
pub struct Evaluation {
    /// The answer.
    pub answer: Answer,
    /// When its evaluation ended.
    pub evaluated: Instant,
}

impl From<Answer> for Evaluation {
    fn from(answer: Answer) -> Self {
        Self { answer, evaluated: Instant::now() }
    }
}

/// The values of one demand.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Values of Kubernetes objects.
    Custom(CustomAnswer),
    /// Values of no object.
    External(ExternalAnswer),
}

/// Values of one metric of some objects of one kind.
#[derive(Clone, Debug)]
pub struct CustomAnswer {
    /// The kind of the objects.
    pub kind: Arc<Kind>,
    /// The namespace of the objects; `None` for cluster-scoped ones.
    pub namespace: Option<String>,
    /// The metric's name, as asked for.
    pub metric: String,
    /// The selector of the metric, as asked for.
    pub metric_selector: Selector,
    /// The span of time that the values are computed over, where the query tells.
    pub window: Option<Duration>,
    /// Whether core kinds are said to be of `/v1`, as prometheus-adapter does.
    pub core_api_version_slash: bool,
    /// A value for each object that has one, in the order of an API list.
    pub values: Vec<ObjectValue>,
    /// The objects that were chosen from; `None` where nobody chose, as for a named object.
    pub chosen_from: Option<Arc<Objects>>,
}

/// The value of one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectValue {
    /// The object's name.
    pub name: Box<str>,
    /// The value.
    pub value: Milli,
    /// The sample's time, in whole seconds since the Unix epoch.
    pub timestamp: i64,
}

/// Values of one external metric, one for each series, sorted by labels.
#[derive(Clone, Debug)]
pub struct ExternalAnswer {
    /// The metric's name.
    pub metric: String,
    /// The span of time that the values are computed over, where the query tells.
    pub window: Option<Duration>,
    /// A value for each series.
    pub values: Vec<SeriesValue>,
}

/// The value of one series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesValue {
    /// The series' labels.
    pub labels: Labels,
    /// The value.
    pub value: Milli,
    /// The sample's time, in whole seconds since the Unix epoch.
    pub timestamp: i64,
}
