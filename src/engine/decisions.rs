//! What the decisions among the signals have decided for each object, and why.
//!
//! Only background evaluation writes and only people read, so there is a plain lock. Bounded:
//! [`MAX_OBJECTS`], each with the history that [`History`] keeps; an object that was not decided
//! for lately is forgotten.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::model::object::Kind;
use crate::signals::decision::{Decision, History, Record, Verdict};

/// How many objects have a history at once. Past it decisions are made without one.
pub const MAX_OBJECTS: usize = 10_000;

/// How long after its last decision an object is forgotten.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Whose replicas a decision counts: unique by namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Subject {
    /// The object's namespace.
    pub namespace: Arc<str>,
    /// `OBJECT.METRIC`, which is the name of the decision in the API.
    pub name: Arc<str>,
}

/// The decisions of one subject.
#[derive(Clone, Debug)]
pub struct Decided {
    /// The subject.
    pub subject: Subject,
    /// The object's kind.
    pub kind: Arc<Kind>,
    /// The object's name.
    pub object: Arc<str>,
    /// The signal's metric.
    pub metric: Arc<str>,
    /// The declaration, which puts reasons into words.
    pub decision: Arc<Decision>,
    /// What holds now.
    pub latest: Record,
    /// The time of the oldest record.
    pub since: Timestamp,
    /// All records, oldest first; empty in lists.
    pub history: Vec<Record>,
}

/// The decisions of every object.
#[derive(Debug, Default)]
pub struct Decisions {
    subjects: Mutex<BTreeMap<Subject, Known>>,
}

#[derive(Debug)]
struct Known {
    kind: Arc<Kind>,
    object: Arc<str>,
    metric: Arc<str>,
    decision: Arc<Decision>,
    history: History,
}

/// One object that is decided for now.
#[derive(Debug)]
pub struct Question<'a> {
    /// The signal's metric.
    pub metric: &'a Arc<str>,
    /// The declaration.
    pub decision: &'a Arc<Decision>,
    /// The object's kind.
    pub kind: &'a Arc<Kind>,
    /// The object's namespace.
    pub namespace: &'a Arc<str>,
    /// The object's name.
    pub object: &'a Arc<str>,
    /// How many pods it has.
    pub pods: u32,
    /// The inputs in the declaration's order.
    pub inputs: &'a [Option<f64>],
}

impl Decisions {
    /// Decides, and remembers it. `None` where no input has a value.
    pub fn decide(&self, question: &Question<'_>, now: Timestamp) -> Option<Verdict> {
        let Question { metric, decision, kind, namespace, object, pods, inputs } = *question;
        let mut subjects = self.lock();
        let is_full = subjects.len() >= MAX_OBJECTS;
        let name = format!("{object}.{metric}").into();
        let known = match subjects.entry(Subject { namespace: Arc::clone(namespace), name }) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(_) if is_full => {
                return decision.decide(&mut History::default(), pods, inputs, now);
            }
            Entry::Vacant(free) => free.insert(Known {
                kind: Arc::clone(kind),
                object: Arc::clone(object),
                metric: Arc::clone(metric),
                decision: Arc::clone(decision),
                history: History::default(),
            }),
        };
        if known.decision != *decision || known.kind != *kind {
            // Its samples are those of other inputs.
            known.history = History::default();
            known.decision = Arc::clone(decision);
            known.kind = Arc::clone(kind);
        }
        decision.decide(&mut known.history, pods, inputs, now)
    }

    /// Forgets the objects that were not decided for lately.
    pub fn forget(&self, now: Timestamp) {
        self.lock().retain(|_, known| {
            let latest = known.history.latest();
            latest.is_some_and(|record| now.duration_since(record.at) < FORGOTTEN_AFTER)
        });
    }

    /// What holds now for every subject of a namespace, or of all.
    pub fn list(&self, namespace: Option<&str>) -> Vec<Decided> {
        let subjects = self.lock();
        let meant = subjects
            .iter()
            .filter(|(subject, _)| namespace.is_none_or(|wanted| *wanted == *subject.namespace));
        meant.filter_map(|(subject, known)| known.decided(subject)).collect()
    }

    /// One subject with its past.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Decided> {
        let subject = Subject { namespace: namespace.into(), name: name.into() };
        let subjects = self.lock();
        let known = subjects.get(&subject)?;
        let history = known.history.records().cloned().collect();
        Some(Decided { history, ..known.decided(&subject)? })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Subject, Known>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn decided(&self, subject: &Subject) -> Option<Decided> {
        Some(Decided {
            subject: subject.clone(),
            kind: Arc::clone(&self.kind),
            object: Arc::clone(&self.object),
            metric: Arc::clone(&self.metric),
            decision: Arc::clone(&self.decision),
            latest: self.history.latest()?.clone(),
            since: self.history.records().next()?.at,
            history: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::object::Scope;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + second).unwrap()
    }

    fn deployments() -> Arc<Kind> {
        Arc::new(Kind {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            plural: "deployments".to_owned(),
            singular: "deployment".to_owned(),
            short_names: vec![],
            scope: Scope::Namespaced,
        })
    }

    fn decide(
        decisions: &Decisions,
        decision: &Arc<Decision>,
        object: &str,
        cpu: f64,
        at: Timestamp,
    ) {
        let question = Question {
            metric: &"wanted".into(),
            decision,
            kind: &deployments(),
            namespace: &"shop".into(),
            object: &object.into(),
            pods: 4,
            inputs: &[Some(cpu), None, None, None, None],
        };
        decisions.decide(&question, at);
    }

    fn names(decisions: &Decisions, namespace: Option<&str>) -> Vec<String> {
        let list = decisions.list(namespace).into_iter();
        list.map(|decided| format!("{} {}", decided.subject.name, decided.latest.verdict.replicas))
            .collect()
    }

    #[test]
    fn what_was_decided_is_found_by_namespace_and_name() {
        let (decisions, decision) = (Decisions::default(), Arc::new(Decision::default()));
        decide(&decisions, &decision, "checkout", 0.5, at(0));
        decide(&decisions, &decision, "checkout", 0.96, at(15));
        decide(&decisions, &decision, "cart", 0.5, at(15));
        assert_eq!(names(&decisions, None), ["cart.wanted 4", "checkout.wanted 5"]);
        assert_eq!(names(&decisions, Some("bank")), [""; 0]);
        let checkout = decisions.get("shop", "checkout.wanted").unwrap();
        assert_eq!((checkout.since, checkout.history.len()), (at(0), 2));
        assert!(decisions.get("shop", "checkout").is_none());
    }

    #[test]
    fn another_declaration_begins_another_history() {
        let (decisions, decision) = (Decisions::default(), Arc::new(Decision::default()));
        decide(&decisions, &decision, "checkout", 0.5, at(0));
        let other = Arc::new(Decision { max: 10, ..Decision::default() });
        decide(&decisions, &other, "checkout", 0.5, at(15));
        assert_eq!(decisions.get("shop", "checkout.wanted").unwrap().history.len(), 1);
    }

    #[test]
    fn what_is_not_decided_any_more_is_forgotten() {
        let (decisions, decision) = (Decisions::default(), Arc::new(Decision::default()));
        decide(&decisions, &decision, "old", 0.5, at(0));
        decide(&decisions, &decision, "new", 0.5, at(3000));
        decisions.forget(at(3601));
        assert_eq!(names(&decisions, None), ["new.wanted 4"]);
    }
}
