//! What a demand is answered with: values with their times, immutable once published.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::quantity::Milli;
use crate::model::selector::Selector;
use crate::model::usage::ObjectUsage;
use crate::model::value::Labels;

/// The largest answer whose bytes are kept.
const MAX_KEPT: usize = 1 << 20;

/// An answer, and its bytes where somebody asks for it again.
#[derive(Debug)]
pub struct Evaluation {
    /// The answer.
    pub answer: Answer,
    encoded: ArcSwapOption<(Encoding, Bytes)>,
    is_read: AtomicBool,
}

/// In which of its forms an answer is: whoever encodes it gives each a number.
pub type Encoding = u16;

impl Evaluation {
    /// The answer's bytes in one of its forms. They are kept from the second time on: the HPA
    /// controller asks less often than there is a new answer.
    pub fn encoded(&self, encoding: Encoding, encode: impl FnOnce() -> Bytes) -> Bytes {
        let kept = self.encoded.load();
        if let Some(kept) = kept.as_deref().filter(|kept| kept.0 == encoding) {
            return kept.1.clone();
        }
        let bytes = encode();
        if self.is_read.swap(true, Ordering::Relaxed) && bytes.len() <= MAX_KEPT {
            self.encoded.store(Some(Arc::new((encoding, bytes.clone()))));
        }
        bytes
    }
}

impl From<Answer> for Evaluation {
    fn from(answer: Answer) -> Self {
        Self { answer, encoded: ArcSwapOption::empty(), is_read: AtomicBool::new(false) }
    }
}

/// The values of one demand.
#[derive(Clone, Debug)]
pub enum Answer {
    /// Values of Kubernetes objects.
    Custom(CustomAnswer),
    /// Values of no object.
    External(ExternalAnswer),
    /// What objects use of their machine.
    Usage(Arc<UsageAnswer>),
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
    /// A value for each object that there is and that has one, in the order of an API list.
    pub values: Vec<ObjectValue>,
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
    pub values: Arc<[SeriesValue]>,
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

/// What nodes or pods use of their machine.
#[derive(Clone, Debug)]
pub struct UsageAnswer {
    /// The kind of the objects.
    pub kind: Arc<Kind>,
    /// The span of time that the rules say they look back over.
    pub window: Duration,
    /// The objects that have samples of both resources, in the order of an API list.
    pub objects: Vec<ObjectUsage>,
    /// The objects there were; `None` where there is no inventory.
    pub chosen_from: Option<Arc<Objects>>,
}
