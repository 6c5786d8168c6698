//! From the results of a signal's queries to the value of each object.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::States;
use super::forecast::Outlooks;
use super::members::Members;
use crate::engine::answer::SeriesValue;
use crate::engine::decisions::{Decisions, Question};
use crate::engine::error::Error;
use crate::engine::origin::Origin;
use crate::engine::table::Values;
use crate::engine::values::{Builder, Fault, ObjectValues, Timed};
use crate::model::inventory::Objects;
use crate::model::membership::Membership;
use crate::model::no_data::NoData;
use crate::model::object::{Kind, Scope};
use crate::model::quantity::{Milli, Rounding};
use crate::model::value::{Labels, Point, QueryResult};
use crate::signals::missing::Missing;
use crate::signals::query::Query;
use crate::signals::signal::{Object, Signal, State};
use crate::signals::table::Table;

/// Below it millionths are told apart.
const MAX_MEANT: f64 = 1e9;

/// Everything that the values of a signal in some namespaces are made of.
pub(super) struct Work {
    pub(super) signal: Arc<Signal>,
    pub(super) kind: Option<Arc<Kind>>,
    pub(super) namespaces: Vec<Arc<str>>,
    pub(super) named: Option<Box<str>>,
    pub(super) queries: Vec<Query>,
    pub(super) results: Vec<Arc<QueryResult>>,
    pub(super) objects: Option<Arc<Objects>>,
    pub(super) members: Option<Members>,
    pub(super) at: Timestamp,
    pub(super) decisions: Arc<Decisions>,
    pub(super) remembered: HashMap<Arc<str>, States>,
    /// Objects of which something is foreseen, by namespace.
    pub(super) foreseen: Vec<(Arc<str>, Box<str>)>,
}

/// A namespace, the values in it, and what to remember.
pub(super) type Done = (Arc<str>, Result<Values, Error>, States);

/// Takes the namespace in which an object is asked for, the one in which it is, its name and its
/// pods.
type SeeObject<'see, 'work> = dyn FnMut(&'work Arc<str>, &str, &str, &[&str]) + 'see;

impl Work {
    /// Computes the values of each namespace.
    pub(super) fn run(mut self) -> Vec<Done> {
        let mut remembered = std::mem::take(&mut self.remembered);
        let tables: Vec<_> = self
            .queries
            .iter()
            .zip(&self.results)
            .map(|(query, result)| Table::new(&query.labels, result))
            .collect();
        let tables: Vec<_> = tables.iter().collect();
        let Some(kind) = &self.kind else {
            let done = self.namespaces.iter().map(|namespace| {
                let states = remembered.remove(namespace).unwrap_or_default();
                self.external(&tables, namespace, states)
            });
            return done.collect();
        };
        let mut builders: HashMap<&str, (Builder, States, States)> = self
            .namespaces
            .iter()
            .map(|namespace| {
                let before = remembered.remove(namespace).unwrap_or_default();
                let now = States { outlooks: before.outlooks.clone(), ..States::default() };
                (&**namespace, (Builder::default(), before, now))
            })
            .collect();
        self.each_object(kind, &tables, &mut |namespace, in_namespace, name, pods| {
            let Some((builder, before, now)) = builders.get_mut(&**namespace) else { return };
            let mut state = before.by_name.remove(name).unwrap_or_default();
            let outlooks = before.outlooks.as_ref();
            match self.value(&tables, in_namespace, name, pods, &mut state, outlooks) {
                Ok(timed) => builder.value(name, timed),
                Err(fault) => builder.fault(name, fault),
            }
            if self.signal.needs_state() {
                now.by_name.insert(name.into(), state);
            }
        });
        let done = self.namespaces.iter().map(|namespace| {
            let (builder, _, states) = builders.remove(&**namespace).unwrap_or_default();
            (Arc::clone(namespace), Ok(self.values_of(builder.build())), states)
        });
        done.collect()
    }

    /// Calls with each object, those of one namespace in the order of their names.
    pub(super) fn each_object<'a>(
        &'a self,
        kind: &Kind,
        tables: &[&Table<'_>],
        see: &mut SeeObject<'_, 'a>,
    ) {
        let between = self.members.as_ref().map(Members::between).unwrap_or_default();
        let membership = self.members.as_ref().map(|members| members.of(kind, &between));
        let membership = membership.unwrap_or_default();
        let names = self.names(kind, tables, &membership);
        for (namespace, names) in self.namespaces.iter().zip(names) {
            let in_namespace = if kind.scope == Scope::Cluster { "" } else { &**namespace };
            for name in &names {
                see(namespace, in_namespace, name, membership.pods(in_namespace, name));
            }
        }
    }

    fn values_of(&self, objects: ObjectValues) -> Values {
        Values::Objects(Origin::Signal(Arc::clone(&self.signal)), objects)
    }

    /// The names of the objects in each namespace, sorted.
    fn names(
        &self,
        kind: &Kind,
        tables: &[&Table<'_>],
        membership: &Membership<'_>,
    ) -> Vec<Vec<Box<str>>> {
        let mut names = Names::of(kind, &self.namespaces);
        let objects = self.objects.as_ref().filter(|objects| !objects.is_empty());
        if let Some(objects) = objects {
            for (namespace, objects) in objects.namespaces() {
                for object in objects {
                    names.add(namespace, &object.name);
                }
            }
        } else {
            // Nothing is known of the kind but what others say.
            membership.iter().for_each(|(namespace, name, _)| names.add(namespace, name));
            self.signal.named(tables, &self.namespaces, &mut |namespace, name| {
                names.add(namespace, name);
            });
            self.foreseen.iter().for_each(|(namespace, name)| names.add(namespace, name));
            if let (Some(named), [namespace]) = (&self.named, self.namespaces.as_slice()) {
                names.add(namespace, named);
            }
        }
        names.sorted()
    }

    fn value(
        &self,
        tables: &[&Table<'_>],
        namespace: &str,
        name: &str,
        pods: &[&str],
        state: &mut State,
        outlooks: Option<&Outlooks>,
    ) -> Result<Timed, Fault> {
        let each = |see: &mut dyn FnMut(&str)| pods.iter().for_each(|pod| see(pod));
        let object = Object { namespace, name, pods: &each };
        let value = match (self.signal.decision(), &self.kind) {
            (Some(decision), Some(kind)) => {
                let inputs = self.signal.inputs(tables, &object, state, self.at);
                inputs.and_then(|(inputs, oldest)| {
                    let question = Question {
                        metric: &self.signal.metric.as_str().into(),
                        decision,
                        kind,
                        namespace: &namespace.into(),
                        object: &name.into(),
                        pods: u32::try_from(pods.len()).unwrap_or(u32::MAX),
                        inputs: &inputs,
                    };
                    let verdict = self.decisions.decide(&question, self.at);
                    let replicas = verdict.ok_or(Missing::Elsewhere)?.replicas;
                    Ok(Point { timestamp: oldest, value: f64::from(replicas) })
                })
            }
            _ if self.signal.forecast().is_some() => {
                let outlook = outlooks.map(|outlooks| outlooks.get(name));
                let outlook = outlook.unwrap_or_else(|| Err("none was made yet".to_owned()));
                #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact")]
                let timestamp = self.at.as_second() as f64;
                let point = |value| Point { timestamp, value };
                outlook.map(point).map_err(Missing::Unforeseen)
            }
            _ => self.signal.value(tables, &object, state, self.at),
        };
        value.map_err(Fault::Missing).and_then(timed)
    }

    fn external(&self, tables: &[&Table<'_>], namespace: &Arc<str>, mut states: States) -> Done {
        let origin = Origin::Signal(Arc::clone(&self.signal));
        let mut state = states.by_name.remove("").unwrap_or_default();
        let value = self.value(tables, namespace, "", &[], &mut state, states.outlooks.as_ref());
        states.by_name = HashMap::from([(Box::from(""), state)]);
        let values = match value {
            // An autoscaler takes a sum below zero for an overflow, and scales to the maximum.
            Ok((Milli(..0), _)) => Err(format!("{origin} is below zero, which is no value")),
            Ok((value, timestamp)) => {
                Ok([SeriesValue { labels: Labels::default(), value, timestamp }].into())
            }
            Err(_) if matches!(origin.no_data(), NoData::Zero | NoData::Constant(_)) => {
                Ok([].into())
            }
            Err(Fault::Missing(missing)) => Err(format!("{origin} has no value: {missing}")),
            Err(_) => Err(format!("{origin} has a value that no quantity can say")),
        };
        let values = values.map(|series: Arc<[SeriesValue]>| Values::Series(origin, series));
        (Arc::clone(namespace), values.map_err(Error::NoValue), states)
    }
}

/// A value as a quantity with whole seconds.
fn timed(Point { timestamp, value }: Point) -> Result<Timed, Fault> {
    // The digits that sums of floating-point numbers get wrong are no load.
    let meant = if value.abs() < MAX_MEANT { (value * 1e6).round() / 1e6 } else { value };
    let milli = Milli::from_f64(meant, Rounding::AwayFromZero).ok_or(Fault::Unsayable(value))?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates; whole seconds are meant"
    )]
    let timestamp = timestamp.floor() as i64;
    Ok((milli, timestamp))
}

/// Names of objects by the namespace in which they are asked for.
struct Names<'a> {
    index: HashMap<&'a str, usize>,
    found: Vec<Vec<Box<str>>>,
    is_namespace: bool,
}

impl<'a> Names<'a> {
    fn of(kind: &Kind, namespaces: &'a [Arc<str>]) -> Self {
        let index = namespaces.iter().zip(0..).map(|(namespace, index)| (&**namespace, index));
        let found = vec![Vec::new(); namespaces.len()];
        Self { index: index.collect(), found, is_namespace: kind.is_namespace() }
    }

    /// Adds an object; a Namespace is asked for by its own name, or with all others.
    fn add(&mut self, namespace: &str, name: &str) {
        let own = if self.is_namespace { name } else { namespace };
        let all = self.is_namespace.then_some("");
        for place in [Some(own), all].into_iter().flatten() {
            if let Some(names) = self.index.get(place).and_then(|at| self.found.get_mut(*at)) {
                names.push(name.into());
            }
        }
    }

    fn sorted(mut self) -> Vec<Vec<Box<str>>> {
        for names in &mut self.found {
            names.sort_unstable();
            names.dedup();
        }
        self.found
    }
}
