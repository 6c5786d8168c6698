//! What the status of `Signal` and `ClusterSignal` says: whether it is served, what it comes to, and
//! what is wrong with it on the series that there are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use crate::app::AppEngine;
use crate::cluster::status::{Condition, Status, StatusSubject, Statuses};
use crate::engine::evaluations::Evaluated;
use crate::engine::ports::{Backend as _, Inventory as _, Route};
use crate::engine::table::Interest;
use crate::model::custom::CustomKind;
use crate::model::object::Scope;
use crate::model::quantity::{Format, Milli, Quantity};
use crate::model::value::QueryResult;
use crate::promql::rule::DEFAULT_BACKEND;
use crate::signals::crd::READY;
use crate::signals::resolve::{Refusal, Resolved, Verdict};
use crate::signals::signal::{On, Signal};

/// How often what the signals come to is looked at.
const ROUND: Duration = Duration::from_secs(10);

/// How often the series of a signal are looked at, and its value where nobody asks for it.
const EXAMINATION: Duration = Duration::from_mins(5);
/// Where something is wrong it is looked at again sooner.
const REEXAMINATION: Duration = Duration::from_secs(30);
/// How many are looked at in a round, how many of them at a time, and for how long; the rest comes in
/// the next round.
const EXAMINATIONS: usize = 200;
const AT_A_TIME: usize = 4;
const EXAMINING: Duration = Duration::from_secs(30);

/// How far back series are listed.
const LISTED: Duration = Duration::from_mins(10);

/// How long the evaluation of what nobody asks for is waited for.
const PROBE_DEADLINE: Duration = Duration::from_secs(10);

/// The longest message, in bytes; the API server takes 32 KiB.
const MESSAGE: usize = 4 << 10;

/// What is known of a signal.
#[derive(Debug)]
struct Known {
    signal: Arc<Signal>,
    examined: Option<Instant>,
    /// What is wrong with its series.
    problems: Option<(&'static str, String)>,
    evaluated: Option<Evaluated>,
}

impl Known {
    fn is_due(&self) -> bool {
        let is_wrong = self.problems.is_some()
            || self.evaluated.as_ref().is_some_and(|evaluated| evaluated.range.is_none());
        let pause = if is_wrong { REEXAMINATION } else { EXAMINATION };
        self.examined.is_none_or(|at| at.elapsed() >= pause)
    }
}

/// Reports while the Lease is held.
pub(in crate::app) async fn report(
    engine: Arc<AppEngine>,
    mut resolved: watch::Receiver<Arc<Resolved>>,
    mut held: watch::Receiver<bool>,
    statuses: Statuses,
) {
    let mut known = HashMap::new();
    let mut reported = HashSet::new();
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while held.wait_for(|held| *held).await.is_ok() {
        let current = Arc::clone(&resolved.borrow_and_update());
        note(&mut known, &current);
        // What is wrong by itself is told without waiting for anybody.
        tell(&engine, &statuses, &current, &known, &mut reported);
        examine(&engine, &mut known).await;
        tell(&engine, &statuses, &current, &known, &mut reported);
        tokio::select! {
            _ = rounds.tick() => {}
            changed = resolved.changed() => if changed.is_err() { return },
        }
    }
}

/// Forgets what is known of signals that have changed.
fn note(known: &mut HashMap<String, Known>, resolved: &Resolved) {
    let mut before = std::mem::take(known);
    for signal in resolved.verdicts.iter().filter_map(|verdict| verdict.outcome.as_ref().ok()) {
        let same = before.remove(&signal.origin);
        let same = same.filter(|known| Arc::ptr_eq(&known.signal, signal));
        let fresh = || Known {
            signal: Arc::clone(signal),
            examined: None,
            problems: None,
            evaluated: None,
        };
        known.insert(signal.origin.clone(), same.unwrap_or_else(fresh));
    }
}

/// Looks at the series of some signals, and at what all come to.
async fn examine(engine: &Arc<AppEngine>, known: &mut HashMap<String, Known>) {
    let in_demand = engine.evaluations();
    let due: Vec<_> = known
        .values()
        .filter(|known| known.is_due())
        .take(EXAMINATIONS)
        .map(|known| (Arc::clone(&known.signal), !in_demand.contains_key(&known.signal.origin)))
        .collect();
    let examined = stream::iter(due).map(async |(signal, nobody_asks)| {
        let problems = problems(engine, &signal).await;
        let interest = match &signal.namespace {
            Some(namespace) if nobody_asks => {
                engine.probe(&signal, namespace, PROBE_DEADLINE).await
            }
            _ => None,
        };
        (signal, problems, interest)
    });
    let examined = examined.buffer_unordered(AT_A_TIME).take_until(tokio::time::sleep(EXAMINING));
    let examined: Vec<_> = examined.collect().await;
    let mut probed: Vec<Option<Interest>> = Vec::new();
    for (signal, problems, interest) in examined {
        if let Some(known) = known.get_mut(&signal.origin) {
            known.examined = Some(Instant::now());
            // What cannot be looked at may be as it was.
            if let Some(problems) = problems {
                known.problems = problems;
            }
        }
        probed.push(interest);
    }
    for (origin, evaluated) in engine.evaluations() {
        if let Some(known) = known.get_mut(&origin) {
            known.evaluated = Some(evaluated);
        }
    }
    drop(probed);
}

/// What is wrong with the series of a signal, if anything; `None` where the backend does not say.
async fn problems(engine: &AppEngine, signal: &Signal) -> Option<Option<(&'static str, String)>> {
    let backend = engine.backend();
    let now = Timestamp::now();
    let route = Route {
        backend: signal.backend.as_deref().unwrap_or(DEFAULT_BACKEND).into(),
        namespace: signal.namespace.clone(),
        accept_partial: true,
    };
    if let Some(selector) = signal.listing() {
        let since = now.checked_sub(LISTED).unwrap_or(now);
        let listed = backend.series(&route, &selector, since).await.ok()?;
        let problems = signal.problems(&listed);
        if !problems.is_empty() {
            return Some(Some(("BadSeries", problems.join("\n"))));
        }
    }
    let Some(query) = signal.interval_query() else { return Some(None) };
    let seconds = match backend.query(&route, &query, now).await.ok()? {
        QueryResult::Scalar(point) => point.value,
        QueryResult::Vector(samples) => match samples.first() {
            Some(sample) => sample.point.value,
            None => return Some(None),
        },
    };
    let interval = Duration::try_from_secs_f64(seconds.ceil()).ok()?;
    Some(signal.too_short(interval).map(|what| ("WindowTooShort", what)))
}

/// Reports the status of every resource, and forgets that of those that are gone.
fn tell(
    engine: &AppEngine,
    statuses: &Statuses,
    resolved: &Resolved,
    known: &HashMap<String, Known>,
    reported: &mut HashSet<StatusSubject>,
) {
    let mut there = HashSet::new();
    for verdict in &resolved.verdicts {
        let object = &verdict.object;
        let known = verdict.outcome.as_ref().ok().and_then(|it| known.get(&it.origin));
        let subject = StatusSubject {
            kind: verdict.kind,
            namespace: Arc::clone(&object.namespace),
            name: Arc::clone(&object.name),
            uid: Arc::clone(&object.uid),
        };
        // What has not been looked at yet is not told to be fine.
        if known.is_none_or(|known| known.examined.is_some()) {
            let (condition, values) = said(engine, verdict, known);
            let generation = object.generation;
            let status = Status { generation, conditions: vec![condition], values };
            statuses.report(&subject, status);
        }
        there.insert(subject);
    }
    for gone in reported.difference(&there) {
        statuses.forget(gone);
    }
    *reported = there;
}

fn said(
    engine: &AppEngine,
    verdict: &Verdict,
    known: Option<&Known>,
) -> (Condition, Map<String, Value>) {
    let signal = match &verdict.outcome {
        Ok(signal) => signal,
        Err(Refusal::Invalid(message)) => return (ready(false, "Invalid", message), Map::new()),
        Err(Refusal::NameTaken(message)) => {
            return (ready(false, "NameTaken", message), Map::new());
        }
    };
    if let Some((reason, message)) = unserved(engine, verdict.kind, signal) {
        return (ready(false, reason, &message), Map::new());
    }
    let Some(Known { problems, evaluated, .. }) = known else {
        return (ready(true, "Served", &verdict.note), Map::new());
    };
    let values = evaluated.as_ref().map(values).unwrap_or_default();
    let with_note = |message: &str| match (message, verdict.note.as_str()) {
        (message, "") => message.to_owned(),
        ("", note) => note.to_owned(),
        (message, note) => format!("{message}\n{note}"),
    };
    let condition = match (problems, evaluated) {
        (_, Some(Evaluated { failure: Some(failure), .. })) => {
            ready(false, "EvaluationFailed", &with_note(&failure.to_string()))
        }
        (Some((reason, message)), _) => ready(false, reason, &with_note(message)),
        (None, Some(Evaluated { range: None, missing, .. })) => {
            let nothing = "no object has a value".to_owned();
            ready(false, "NoData", &with_note(missing.as_ref().unwrap_or(&nothing)))
        }
        (None, Some(_)) => ready(true, "Evaluated", &with_note("it is evaluated")),
        (None, None) => ready(true, "Served", &with_note("nobody asks for it at the moment")),
    };
    (condition, values)
}

/// Why the cluster has no place for a signal.
fn unserved(
    engine: &AppEngine,
    kind: CustomKind,
    signal: &Signal,
) -> Option<(&'static str, String)> {
    let On::Objects(resource) = &signal.on else { return None };
    let kinds = engine.inventory().kinds();
    let Some(found) = kinds.resolve(resource) else {
        let message = format!("spec.on: there is no resource {resource} in this cluster");
        return Some(("UnknownKind", message));
    };
    let is_out_of_sight =
        kind == CustomKind::Signal && found.scope == Scope::Cluster && !found.is_namespace();
    is_out_of_sight.then(|| {
        let message = format!(
            "spec.on: {resource} are in no namespace, so that a Signal, which sees one, can say \
             nothing of them: make it a ClusterSignal"
        );
        ("OutOfSight", message)
    })
}

fn values(evaluated: &Evaluated) -> Map<String, Value> {
    let quantity = |value: Milli| Quantity::from_milli(value, Format::DecimalSI).to_string();
    let mut values = Map::new();
    if let Some((least, greatest)) = evaluated.range {
        let (least, greatest) = (quantity(least), quantity(greatest));
        let value = if least == greatest { least } else { format!("{least} to {greatest}") };
        values.insert("value".to_owned(), value.into());
    }
    if let Some(at) = evaluated.at {
        let at = at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        values.insert("lastEvaluated".to_owned(), json!(at));
    }
    values
}

fn ready(is_ready: bool, reason: &'static str, message: &str) -> Condition {
    let message = message.get(..message.floor_char_boundary(MESSAGE)).unwrap_or_default();
    Condition { type_: READY, status: Some(is_ready), reason, message: message.to_owned() }
}
