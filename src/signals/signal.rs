//! A compiled signal: its queries for some namespaces, and the value of one object from their
//! results.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::no_data::NoData;
use crate::model::object::GroupResource;
use crate::model::value::Point;
use crate::promql::template::TemplateError;
use crate::signals::leaf::Leaf;
use crate::signals::missing::Missing;
use crate::signals::query::{Query, Scope};
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
    /// The only namespace that it sees; `None` for all.
    pub namespace: Option<Arc<str>>,
    /// The backend's name; `None` for the default one.
    pub backend: Option<String>,
    /// What it answers when there is no data. Whoever keeps the answers applies it.
    pub no_data: NoData,
    pub(super) kind: Kind,
    pub(super) smoother: Smoother,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Leaf(Leaf),
    Schedule(Schedule),
}

/// An object and its pods.
#[derive(Clone, Copy)]
pub struct Object<'a> {
    /// Its namespace; empty for cluster-scoped objects.
    pub namespace: &'a str,
    /// Its name; empty for `external`.
    pub name: &'a str,
    /// Calls with the name of each pod in its namespace that belongs to it. It is called only
    /// where [`Signal::needs_pods`], perhaps more than once.
    pub pods: &'a dyn Fn(&mut dyn FnMut(&str)),
}

impl fmt::Debug for Object<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Object").field("namespace", &self.namespace).field("name", &self.name).finish()
    }
}

/// What a signal remembers of an object from one evaluation to the next.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct State {
    smoothed: Smoothed,
}

impl Signal {
    /// The queries whose results [`Signal::value`] reads, in its order. Equal queries of several
    /// signals need to be asked once only. A signal that sees one namespace asks for that alone,
    /// whatever the scope says.
    pub fn queries(&self, scope: &Scope<'_>) -> Result<Vec<Query>, TemplateError> {
        let own = self.namespace.as_deref();
        let own = own.as_slice();
        let scope = if own.is_empty() { *scope } else { Scope { namespaces: Some(own), ..*scope } };
        match &self.kind {
            Kind::Leaf(leaf) => leaf.patterns.iter().map(|pattern| pattern.render(&scope)).collect(),
            Kind::Schedule(_) => Ok(Vec::new()),
        }
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
        let point = match &self.kind {
            Kind::Leaf(leaf) => leaf.value(tables, object),
            Kind::Schedule(schedule) => scheduled(schedule, now),
        }?;
        if !point.value.is_finite() {
            return Err(Missing::NotFinite);
        }
        Ok(self.smoother.smooth(&mut state.smoothed, point))
    }

    /// Whether an object's value is made of its pods.
    pub fn needs_pods(&self) -> bool {
        match &self.kind {
            Kind::Leaf(leaf) => leaf.needs_pods(),
            Kind::Schedule(_) => false,
        }
    }

    /// Whether [`State`] has to be kept from one evaluation to the next.
    pub fn needs_state(&self) -> bool {
        self.smoother != Smoother::default()
    }

    /// The longest time looked back over.
    pub fn window(&self) -> Option<Duration> {
        match &self.kind {
            Kind::Leaf(leaf) => leaf.window,
            Kind::Schedule(_) => None,
        }
    }
}

fn scheduled(schedule: &Schedule, now: Timestamp) -> Result<Point, Missing> {
    #[expect(clippy::cast_precision_loss, reason = "whole seconds of this era are exact in an f64")]
    let timestamp = now.as_second() as f64;
    schedule.value(now).map(|value| Point { timestamp, value }).ok_or(Missing::Closed)
}
