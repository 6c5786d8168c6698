//! The signals there are, from the file and from custom resources together, and what became of each
//! resource.
//!
//! Of several with the same metric on the same kind the nearest wins: a `Signal` in its namespace,
//! then a `ClusterSignal`, then the file; of two resources of one kind the older. Whatever loses is
//! told, and what cannot be harms nothing else.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::model::custom::{CustomKind, CustomObject, MAX_SPEC};
use crate::model::inventory::Objects;
use crate::signals::compile::{Mistake, compile};
use crate::signals::definition::SignalSpec;
use crate::signals::link::link;
use crate::signals::preset::Presets;
use crate::signals::signal::{On, Signal};

/// How many namespaces a message names.
const MAX_NAMED: usize = 8;

/// Everything that is declared.
#[derive(Clone, Debug)]
pub struct Declared {
    /// The signals of the file.
    pub file: Vec<Arc<Signal>>,
    /// The presets of the file, which resources may name as well.
    pub presets: Arc<Presets>,
    /// Every `ClusterSignal`.
    pub cluster: Arc<Objects<CustomObject>>,
    /// Every `Signal`.
    pub namespaced: Arc<Objects<CustomObject>>,
}

/// What comes of it.
#[derive(Clone, Debug, Default)]
pub struct Resolved {
    /// The signals that are served, linked, in the order of precedence: of two with the same metric
    /// on the same kind the first that sees a namespace is the one of that namespace.
    pub signals: Vec<Arc<Signal>>,
    /// What became of each resource.
    pub verdicts: Vec<Verdict>,
    /// What became of signals of the file that do not serve everywhere, for the log.
    pub lost: Vec<String>,
}

/// What became of a resource.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its kind.
    pub kind: CustomKind,
    /// The resource.
    pub object: Arc<CustomObject>,
    /// The signal, or why there is none.
    pub outcome: Result<Arc<Signal>, Refusal>,
    /// Where another is served in its place; empty where none is.
    pub note: String,
}

/// Why a resource is no signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be; the message has a line for each mistake.
    Invalid(String),
    /// Another has its name.
    NameTaken(String),
}

/// Compiles what has changed since the last time.
#[derive(Debug, Default)]
pub struct Resolver {
    presets: Option<Arc<Presets>>,
    compiled: HashMap<Key, Compiled>,
    /// The signals of the last time. Who computes a metric is told by identity, so one that is like
    /// before is the one from before.
    last: HashMap<(String, Name), Arc<Signal>>,
}

type Key = (CustomKind, Arc<str>, Arc<str>);
type Name = (On, String);

#[derive(Debug)]
struct Compiled {
    object: Arc<CustomObject>,
    signal: Result<Signal, String>,
}

/// A resource that could be compiled and has its name.
struct Claim {
    object: Arc<CustomObject>,
    signal: Signal,
}

impl Resolver {
    /// Joins everything that is declared.
    pub fn resolve(&mut self, declared: &Declared) -> Resolved {
        let Declared { file, presets, cluster, namespaced } = declared;
        if self.presets.as_ref().is_none_or(|known| !Arc::ptr_eq(known, presets)) {
            self.compiled.clear();
            self.presets = Some(Arc::clone(presets));
        }
        self.compiled.retain(|(kind, namespace, name), _| {
            let objects = if *kind == CustomKind::Signal { namespaced } else { cluster };
            objects.contains(namespace, name)
        });
        let mut resolved = Resolved::default();
        let of_file: HashMap<Name, &Arc<Signal>> =
            file.iter().map(|signal| (name(signal), signal)).collect();

        let objects = cluster.iter().cloned().collect();
        let claims = self.claims(CustomKind::ClusterSignal, objects, presets, &mut resolved);
        let outside = |on: &On, metric: &str| {
            of_file.get(&(on.clone(), metric.to_owned())).map(|signal| Arc::clone(signal))
        };
        let of_cluster = linked(CustomKind::ClusterSignal, claims, &outside, &mut resolved);

        let mut winners = Vec::new();
        let mut shadows: HashMap<Name, Vec<&str>> = HashMap::new();
        let by_name: BTreeMap<&Arc<str>, _> = namespaced.namespaces().collect();
        for (namespace, objects) in by_name {
            let objects = objects.to_vec();
            let claims = self.claims(CustomKind::Signal, objects, presets, &mut resolved);
            let outside = |on: &On, metric: &str| {
                let name = (on.clone(), metric.to_owned());
                of_cluster.get(&name).or_else(|| of_file.get(&name).copied()).map(Arc::clone)
            };
            for (name, signal) in linked(CustomKind::Signal, claims, &outside, &mut resolved) {
                winners.push(signal);
                shadows.entry(name).or_default().push(namespace);
            }
        }
        resolved.note_losers(&of_cluster, file, &shadows);
        let rest = file.iter().filter(|signal| !of_cluster.contains_key(&name(signal)));
        let mut of_cluster: Vec<_> = of_cluster.values().map(Arc::clone).collect();
        of_cluster.sort_unstable_by(|one, other| one.origin.cmp(&other.origin));
        winners.sort_unstable_by(|one, other| one.origin.cmp(&other.origin));
        resolved.signals = winners;
        resolved.signals.extend(of_cluster);
        resolved.signals.extend(rest.cloned());
        self.keep_identities(&mut resolved);
        resolved
    }

    fn keep_identities(&mut self, resolved: &mut Resolved) {
        let key = |signal: &Signal| (signal.origin.clone(), name(signal));
        let of_resources = resolved.verdicts.iter_mut().filter_map(|it| it.outcome.as_mut().ok());
        for signal in resolved.signals.iter_mut().chain(of_resources) {
            if let Some(known) = self.last.get(&key(signal)).filter(|known| **known == *signal) {
                *signal = Arc::clone(known);
            }
        }
        let all = resolved.signals.iter();
        self.last = all.map(|signal| (key(signal), Arc::clone(signal))).collect();
    }

    /// The resources of one namespace, or of none, that have their name.
    fn claims(
        &mut self,
        kind: CustomKind,
        mut objects: Vec<Arc<CustomObject>>,
        presets: &Presets,
        resolved: &mut Resolved,
    ) -> Vec<Claim> {
        let age = |object: &CustomObject| (object.created.is_none(), object.created);
        objects.sort_by(|one, other| (age(one), &one.name).cmp(&(age(other), &other.name)));
        let mut taken: HashMap<Name, Arc<str>> = HashMap::new();
        let mut claims = Vec::new();
        for object in objects {
            let signal = match self.compiled(kind, &object, presets) {
                Ok(signal) => signal.clone(),
                Err(mistakes) => {
                    let refusal = Refusal::Invalid(mistakes.clone());
                    resolved.refuse(kind, object, refusal);
                    continue;
                }
            };
            let name = name(&signal);
            if let Some(owner) = taken.get(&name) {
                let refusal = Refusal::NameTaken(format!(
                    "the older {} {owner} has the metric {} on {}: choose another name, or delete \
                     one of them",
                    kind.kind(),
                    signal.metric,
                    signal.on
                ));
                resolved.refuse(kind, object, refusal);
                continue;
            }
            taken.insert(name, Arc::clone(&object.name));
            claims.push(Claim { object, signal });
        }
        claims
    }

    fn compiled(
        &mut self,
        kind: CustomKind,
        object: &Arc<CustomObject>,
        presets: &Presets,
    ) -> &Result<Signal, String> {
        let key = (kind, Arc::clone(&object.namespace), Arc::clone(&object.name));
        let fresh = || Compiled {
            object: Arc::clone(object),
            signal: compile_object(kind, object, presets),
        };
        let compiled = self.compiled.entry(key).or_insert_with(fresh);
        if !Arc::ptr_eq(&compiled.object, object) {
            *compiled = fresh();
        }
        &compiled.signal
    }
}

impl Resolved {
    fn refuse(&mut self, kind: CustomKind, object: Arc<CustomObject>, refusal: Refusal) {
        self.verdicts.push(Verdict { kind, object, outcome: Err(refusal), note: String::new() });
    }

    /// Tells those that do not serve in some namespaces, or not at all.
    fn note_losers(
        &mut self,
        of_cluster: &HashMap<Name, Arc<Signal>>,
        file: &[Arc<Signal>],
        shadows: &HashMap<Name, Vec<&str>>,
    ) {
        for verdict in &mut self.verdicts {
            if let (CustomKind::ClusterSignal, Ok(signal)) = (verdict.kind, &verdict.outcome)
                && let Some(namespaces) = shadows.get(&name(signal))
            {
                verdict.note = elsewhere(namespaces);
            }
        }
        // Nobody wrote those of a preset one by one.
        for signal in file.iter().filter(|signal| !signal.is_golden()) {
            let (Signal { origin, metric, on, .. }, name) = (&**signal, name(signal));
            if let Some(winner) = of_cluster.get(&name) {
                let winner = &winner.origin;
                self.lost.push(format!("{origin}: {winner} has the metric {metric} on {on}"));
            } else if let Some(namespaces) = shadows.get(&name) {
                self.lost.push(format!("{origin}: {}", elsewhere(namespaces)));
            }
        }
    }
}

fn name(signal: &Signal) -> Name {
    (signal.on.clone(), signal.metric.clone())
}

fn elsewhere(namespaces: &[&str]) -> String {
    let named = namespaces.get(..MAX_NAMED).unwrap_or(namespaces);
    let more = namespaces.len() - named.len();
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("a Signal of this metric is served instead in the namespace {}{more}", named.join(", "))
}

/// Compiles the definition in a resource; else all mistakes in one text.
fn compile_object(
    kind: CustomKind,
    object: &CustomObject,
    presets: &Presets,
) -> Result<Signal, String> {
    let spec = object
        .spec
        .as_ref()
        .map_err(|size| format!("spec has {size} bytes, and no more than {MAX_SPEC} are read"))?;
    let spec: SignalSpec =
        serde_path_to_error::deserialize(&**spec).map_err(|error| {
            match error.path().to_string() {
                path if path == "." => format!("spec: {}", error.inner()),
                path => format!("spec.{path}: {}", error.inner()),
            }
        })?;
    let CustomObject { namespace, name, .. } = object;
    let confined = (kind == CustomKind::Signal).then_some(&**namespace);
    let origin = match confined {
        Some(namespace) => format!("{} {namespace}/{name}", kind.kind()),
        None => format!("{} {name}", kind.kind()),
    };
    compile(&origin, &spec, presets, confined)
        .map_err(|mistakes| mistakes.iter().map(told).collect::<Vec<_>>().join("\n"))
}

fn told(Mistake { path, what }: &Mistake) -> String {
    let dot = if path.is_empty() { "" } else { "." };
    format!("spec{dot}{path}: {what}")
}

/// Links the resources of one namespace, or of none, with each other and with those outside.
fn linked(
    kind: CustomKind,
    claims: Vec<Claim>,
    outside: &impl Fn(&On, &str) -> Option<Arc<Signal>>,
    resolved: &mut Resolved,
) -> HashMap<Name, Arc<Signal>> {
    let (objects, signals): (Vec<_>, Vec<_>) =
        claims.into_iter().map(|Claim { object, signal }| (object, signal)).unzip();
    let (linked, mistakes) = link(signals, outside);
    for (index, mistake) in mistakes {
        if let Some(object) = objects.get(index) {
            resolved.refuse(kind, Arc::clone(object), Refusal::Invalid(told(&mistake)));
        }
    }
    let mut by_name = HashMap::new();
    for (index, signal) in linked {
        let Some(object) = objects.get(index) else { continue };
        by_name.insert(name(&signal), Arc::clone(&signal));
        let (object, note) = (Arc::clone(object), String::new());
        resolved.verdicts.push(Verdict { kind, object, outcome: Ok(signal), note });
    }
    by_name
}
