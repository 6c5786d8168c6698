//! A compiled signal: its queries for some namespaces, and the value of one object from their
//! results.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::no_data::NoData;
use crate::model::object::GroupResource;
use crate::model::value::Point;
use crate::signals::decision::Decision;
use crate::signals::forecast::Forecast;
use crate::signals::inputs::{Inputs, Outcome};
use crate::signals::leaf::Leaf;
use crate::signals::missing::Missing;
use crate::signals::query::{Pattern, Query, QueryError, Scope};
use crate::signals::schedule::Schedule;
use crate::signals::smoothing::{Smoothed, Smoother};
use crate::signals::table::Table;

/// Whose metric a signal is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum On {
    /// Objects of a kind, as it was written: `deployments.apps`.
    Objects(GroupResource),
    /// Nobody's: `external.metrics.k8s.io` serves it in each namespace.
    External,
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Objects(resource) => resource.fmt(f),
            Self::External => f.write_str("external"),
        }
    }
}

/// A compiled signal.
#[derive(Clone, Debug, PartialEq)]
pub struct Signal {
    /// The name that an HPA uses.
    pub metric: String,
    /// Whose it is.
    pub on: On,
    /// Where it was declared, for messages: `signals[3]`.
    pub origin: String,
    /// The only namespace that it sees; `None` for all.
    pub namespace: Option<Arc<str>>,
    /// The backend's name; `None` for the default one.
    pub backend: Option<String>,
    /// What it answers when there is no data. Whoever keeps the answers applies it.
    pub no_data: NoData,
    pub(super) kind: Kind,
    pub(super) smoother: Smoother,
}

/// What a signal is computed from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Leaf(Leaf),
    Schedule(Schedule),
    Composite(Inputs),
}

/// Calls with the name of each pod of an object.
pub type EachPod<'a> = dyn Fn(&mut dyn FnMut(&str)) + 'a;

/// An object and its pods.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Its name; empty for `external`.
    pub name: &'a str,
    /// Calls with the name of each pod in its namespace that belongs to it. It is called only
    /// where [`Signal::needs_pods`], perhaps more than once.
    pub pods: &'a EachPod<'a>,
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object")
            .field("namespace", &self.namespace)
            .field("name", &self.name)
            .finish()
    }
}

/// What a signal remembers of an object from one evaluation to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    smoothed: Smoothed,
    inputs: Vec<Option<Point>>,
}

impl Signal {
    /// The queries whose results [`Signal::value`] reads, in its order. Equal queries of several
    /// signals need to be asked once only. A signal that sees one namespace asks for that alone,
    /// whatever the scope says.
    pub fn queries(&self, scope: &Scope<'_>) -> Result<Vec<Query>, QueryError> {
        let own = self.namespace.as_deref();
        let namespaces = own.as_slice();
        let scope =
            if own.is_none() { *scope } else { Scope { namespaces: Some(namespaces), ..*scope } };
        self.kind.queries(&scope, own)
    }

    /// The value of an object at a moment, with the time of the oldest sample in it. The tables
    /// are those of [`Signal::queries`], in its order.
    pub fn value(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Point, Missing> {
        let point = self.kind.value(tables, object, &mut state.inputs, now)?;
        if !point.value.is_finite() {
            return Err(Missing::NotFinite);
        }
        Ok(self.smoother.smooth(&mut state.smoothed, point))
    }

    /// How the replica count is decided, where that is what the signal says.
    pub fn decision(&self) -> Option<&Arc<Decision>> {
        match self.outcome()? {
            Outcome::Decision(decision) => Some(decision),
            Outcome::Expression(_) | Outcome::Forecast(_) => None,
        }
    }

    /// How the future is foreseen, where that is what the signal says.
    pub fn forecast(&self) -> Option<&Forecast> {
        match self.outcome()? {
            Outcome::Forecast(forecast) => Some(forecast),
            Outcome::Expression(_) | Outcome::Decision(_) => None,
        }
    }

    /// The values of the inputs that a [decision](Self::decision) or [forecast](Self::forecast) is
    /// made of, in their order, and the time of the oldest sample in them. An error where none of
    /// them has a value.
    pub fn inputs(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        state: &mut State,
        now: Timestamp,
    ) -> Result<(Vec<Option<f64>>, f64), Missing> {
        let Kind::Composite(inputs) = &self.kind else { return Err(Missing::Elsewhere) };
        inputs.each(tables, object, &mut state.inputs, now)
    }

    pub(super) fn outcome(&self) -> Option<&Outcome> {
        match &self.kind {
            Kind::Composite(inputs) => Some(&inputs.outcome),
            Kind::Leaf(_) | Kind::Schedule(_) => None,
        }
    }

    /// Whether an object's value is made of its pods.
    pub fn needs_pods(&self) -> bool {
        self.kind.needs_pods()
    }

    /// Whether [`State`] has to be kept from one evaluation to the next.
    pub fn needs_state(&self) -> bool {
        let of_inputs = match &self.kind {
            Kind::Composite(composite) => composite.needs_state(),
            Kind::Leaf(_) | Kind::Schedule(_) => false,
        };
        of_inputs || self.smoother != Smoother::default()
    }

    /// Whether a backend is asked for it; if not, its value is the same for all objects.
    pub fn has_queries(&self) -> bool {
        self.kind.count() > 0
    }

    /// Whether nobody wrote it: a preset that is named brings it along.
    pub fn is_golden(&self) -> bool {
        self.origin.starts_with("presets[")
    }

    /// Calls with namespace and name of each object that the tables name, perhaps more than once;
    /// what names pods names no object of another kind. The tables are those of
    /// [`Signal::queries`], for these namespaces; an empty one stands for objects in none.
    pub fn named(
        &self,
        tables: &[&Table<'_>],
        namespaces: &[Arc<str>],
        see: &mut dyn FnMut(&str, &str),
    ) {
        self.kind.named(tables, namespaces, see);
    }

    /// The longest time looked back over.
    pub fn window(&self) -> Option<Duration> {
        self.kind.window()
    }
}

impl Kind {
    pub(super) fn queries(
        &self,
        scope: &Scope<'_>,
        confined: Option<&str>,
    ) -> Result<Vec<Query>, QueryError> {
        match self {
            Self::Leaf(leaf) => {
                leaf.patterns.iter().map(|pattern| pattern.render(scope, confined)).collect()
            }
            Self::Schedule(_) => Ok(Vec::new()),
            Self::Composite(composite) => composite.queries(scope, confined),
        }
    }

    pub(super) fn value(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        last: &mut Vec<Option<Point>>,
        now: Timestamp,
    ) -> Result<Point, Missing> {
        match self {
            Self::Leaf(leaf) => leaf.value(tables, object),
            Self::Schedule(schedule) => {
                let value = schedule.value(now).ok_or(Missing::Closed)?;
                Ok(Point { timestamp: seconds(now), value })
            }
            Self::Composite(composite) => composite.value(tables, object, last, now),
        }
    }

    /// The queries before their scope is known.
    pub(super) fn patterns(&self) -> Vec<&Pattern> {
        match self {
            Self::Leaf(leaf) => leaf.patterns.iter().collect(),
            Self::Schedule(_) => Vec::new(),
            Self::Composite(composite) => composite.kinds().flat_map(Self::patterns).collect(),
        }
    }

    fn named(
        &self,
        tables: &[&Table<'_>],
        namespaces: &[Arc<str>],
        see: &mut dyn FnMut(&str, &str),
    ) {
        match self {
            Self::Leaf(leaf) => {
                for table in tables {
                    leaf.place.named(table, namespaces, see);
                }
            }
            Self::Schedule(_) => {}
            Self::Composite(composite) => {
                let mut rest = tables;
                for kind in composite.kinds() {
                    let (own, others) = rest.split_at(kind.count().min(rest.len()));
                    rest = others;
                    kind.named(own, namespaces, see);
                }
            }
        }
    }

    /// How many queries it has.
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Leaf(leaf) => leaf.patterns.len(),
            Self::Schedule(_) => 0,
            Self::Composite(composite) => composite.count(),
        }
    }

    pub(super) fn needs_pods(&self) -> bool {
        match self {
            Self::Leaf(leaf) => leaf.place.is_pods(),
            Self::Schedule(_) => false,
            Self::Composite(composite) => composite.needs_pods(),
        }
    }

    pub(super) fn window(&self) -> Option<Duration> {
        match self {
            Self::Leaf(leaf) => leaf.window,
            Self::Schedule(_) => None,
            Self::Composite(composite) => composite.window(),
        }
    }
}

/// A moment as backends write it.
pub(super) fn seconds(now: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this era are exact in an f64")]
    let milliseconds = now.as_millisecond() as f64;
    milliseconds / 1000.0
}
