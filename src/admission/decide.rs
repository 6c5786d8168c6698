//! From a review to its answer: what is asked, what is known about it, the judgement, and what of
//! it is said to whom.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::autoscaler::{self, AutoscalerFacts, Served, Target};
use super::finding::Finding;
use super::history::History;
use super::judge::{Facts, Judgement, OwnerVerdict, judge, judge_autoscaler};
use super::mutate::patch;
use super::report;
use super::review::{Answer, Denial, Request};
use super::scope::{self, Write};
use super::server::Verdict;
use super::workload::{Owner, Unreadable, Workload};
use crate::model::autoscaler::{Autoscaler, ObjectReference};
use crate::model::inventory::LabelSet;
use crate::model::limit_range::LimitRange;
use crate::model::policy::{Mode, Policy, Rule};
use crate::model::template::RevisionKind;
use crate::telemetry::metrics::{AdmissionOutcome, Webhook};

/// The group and kind of autoscalers.
const AUTOSCALER: (&str, &str) = ("autoscaling", "HorizontalPodAutoscaler");

/// What is known at one moment, from memory. `None` is always: not known yet.
pub trait Surroundings {
    /// What is asked for.
    fn policy(&self) -> Arc<Policy>;
    /// The labels of a namespace.
    fn namespace(&self, namespace: &str) -> Option<LabelSet>;
    /// The limit ranges of a namespace.
    fn limit_ranges(&self, namespace: &str) -> Option<Vec<Arc<LimitRange>>>;
    /// The autoscalers of a namespace.
    fn autoscalers(&self, namespace: &str) -> Option<Vec<Arc<Autoscaler>>>;
    /// Whether an object exists.
    fn exists(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<bool>;
    /// The fingerprints of the revisions of a workload of `apps`.
    fn revisions(&self, kind: RevisionKind, workload: &Workload) -> Option<Vec<u64>>;
    /// What the pods of an autoscaler's target request.
    fn target(&self, namespace: &str, target: &ObjectReference) -> Option<Workload>;
    /// The names of the metrics that are served.
    fn served(&self) -> Option<Arc<Served>>;
    /// What the containers of a workload have used.
    fn history(&self, namespace: &str, kind: &str, name: &str) -> Option<Arc<History>>;
    /// The namespace of this process; empty where it is in none.
    fn own_namespace(&self) -> &str;
}

/// Decides about a review. `found` is told each finding with the kind of its object.
pub fn decide(
    request: &Request<'_>,
    webhook: Webhook,
    around: &impl Surroundings,
    now: Timestamp,
    found: impl Fn(&Finding, &str),
) -> Verdict {
    let kind = request.kind.clone().unwrap_or_default();
    let write = Write {
        operation: &request.operation,
        subresource: &request.sub_resource,
        kind: &kind.kind,
        namespace: &request.namespace,
        user: request.user_info.as_ref().map_or("", |user| &user.username),
        own_namespace: around.own_namespace(),
    };
    let policy = around.policy();
    let group_and_kind = (&*kind.group, &*kind.kind);
    let is_autoscaler = group_and_kind == AUTOSCALER;
    let judged = is_autoscaler || Workload::is_judged(&kind.group, &kind.kind, &policy.templates);
    let object = request.object.filter(|_| judged && scope::skips_request(&write).is_none());
    let Some(object) = object else {
        return skipped();
    };
    let case = Case { request, group_and_kind, object, policy: &policy, around, now };
    let outcome = match (webhook, is_autoscaler) {
        (Webhook::Mutate, true) => return skipped(),
        (Webhook::Mutate, false) => case.addition(write.user),
        (Webhook::Validate, true) => case.autoscaler(),
        (Webhook::Validate, false) => case.workload(write.user),
    };
    match outcome {
        Ok(Outcome::Judged(title, judgement)) => {
            judgement.findings.iter().for_each(|finding| found(finding, &kind.kind));
            answer(&title, &judgement)
        }
        Ok(Outcome::Patched(operations)) => patched(&operations),
        Ok(Outcome::Skipped) => skipped(),
        Err(unreadable) => {
            let warning = format!("plimsoll: not judged: {unreadable}");
            let answer = Answer::allowed_with(report::clean(&warning, report::MAX_WARNING));
            Verdict { answer, outcome: AdmissionOutcome::Failed }
        }
    }
}

fn skipped() -> Verdict {
    Verdict { answer: Answer::default(), outcome: AdmissionOutcome::Skipped }
}

/// What the object came to.
enum Outcome {
    /// Its title, and what is wrong with it.
    Judged(String, Judgement),
    /// The operations of a patch.
    Patched(Vec<Value>),
    /// Nothing is to be said about it.
    Skipped,
}

/// An object to decide about.
struct Case<'a, S> {
    request: &'a Request<'a>,
    group_and_kind: (&'a str, &'a str),
    object: &'a RawValue,
    policy: &'a Policy,
    around: &'a S,
    now: Timestamp,
}

/// What is known about a namespace.
struct Place {
    labels: Option<LabelSet>,
    limit_ranges: Option<Vec<Arc<LimitRange>>>,
    autoscalers: Option<Vec<Arc<Autoscaler>>>,
    revisions: Option<Vec<u64>>,
    history: Option<Arc<History>>,
}

impl<S: Surroundings> Case<'_, S> {
    fn workload(&self, user: &str) -> Result<Outcome, Unreadable> {
        let Some(new) = self.read(&value(self.object)?)? else {
            return Ok(Outcome::Skipped);
        };
        if scope::skips_object(&new).is_some() {
            return Ok(Outcome::Skipped);
        }
        // An old object that cannot be read is none to compare with.
        let old = self.request.old_object;
        let old = old.and_then(|old| self.read(&value(old).ok()?).ok().flatten());
        let place = self.place(&new);
        let facts = self.facts(&place, &new, user);
        let judgement = judge(&new, old.as_ref(), self.policy, &facts);
        Ok(Outcome::Judged(new.title(), judgement))
    }

    fn addition(&self, user: &str) -> Result<Outcome, Unreadable> {
        let object = value(self.object)?;
        let Some(pod) = self.read(&object)? else {
            return Ok(Outcome::Skipped);
        };
        if scope::skips_object(&pod).is_some() {
            return Ok(Outcome::Skipped);
        }
        let place = self.place(&pod);
        let facts = self.facts(&place, &pod, user);
        Ok(Outcome::Patched(patch(&pod, &object, self.policy, &facts)))
    }

    fn autoscaler(&self) -> Result<Outcome, Unreadable> {
        let (request, around) = (self.request, self.around);
        let new = autoscaler::read(&value(self.object)?)?;
        let old = request.old_object.and_then(|old| autoscaler::read(&value(old).ok()?).ok());
        let place = self.surroundings();
        let served = around.served();
        let target = &new.target;
        let pods = around.target(&request.namespace, target);
        let exists =
            || around.exists(&target.api_version, &target.kind, &request.namespace, &target.name);
        let facts = AutoscalerFacts {
            namespace: place.labels.as_ref(),
            limit_ranges: place.limit_ranges.as_deref(),
            autoscalers: place.autoscalers.as_deref(),
            served: served.as_deref(),
            target: pods.as_ref().map_or_else(
                || match exists() {
                    Some(true) => Target::Exists,
                    Some(false) => Target::Absent,
                    None => Target::Unknown,
                },
                Target::Workload,
            ),
            now: self.now,
        };
        let title = format!("HorizontalPodAutoscaler {}/{}", request.namespace, new.name);
        Ok(Outcome::Judged(title, judge_autoscaler(&new, old.as_ref(), self.policy, &facts)))
    }

    /// Where the object will be is the request's to say: its own metadata may not yet.
    fn read(&self, object: &Value) -> Result<Option<Workload>, Unreadable> {
        let (group, kind) = self.group_and_kind;
        let workload = Workload::read(group, kind, object, &self.policy.templates)?;
        Ok(workload.map(|mut workload| {
            workload.namespace = (*self.request.namespace).into();
            if workload.name.is_empty() {
                workload.name = (*self.request.name).into();
            }
            workload
        }))
    }

    fn surroundings(&self) -> Place {
        let namespace = &self.request.namespace;
        Place {
            labels: self.around.namespace(namespace),
            limit_ranges: self.around.limit_ranges(namespace),
            autoscalers: self.around.autoscalers(namespace),
            revisions: Some(Vec::new()),
            history: None,
        }
    }

    fn place(&self, workload: &Workload) -> Place {
        let place = self.surroundings();
        let revisions = self.revisions(workload, place.labels.as_ref());
        let (kind, name) = origin(workload);
        let history = self.around.history(&workload.namespace, kind, name);
        Place { revisions, history, ..place }
    }

    /// Nobody needs to know them but where an update could be denied.
    fn revisions(&self, workload: &Workload, labels: Option<&LabelSet>) -> Option<Vec<u64>> {
        let denies = || Rule::ALL.iter().any(|rule| self.policy.mode(*rule, labels) == Mode::Deny);
        let kind = RevisionKind::of(&workload.kind).filter(|_| &*workload.group == "apps");
        match kind {
            Some(kind) if self.request.old_object.is_some() && denies() => {
                self.around.revisions(kind, workload)
            }
            _ => Some(Vec::new()),
        }
    }

    fn facts<'a>(&self, place: &'a Place, workload: &Workload, user: &str) -> Facts<'a> {
        Facts {
            namespace: place.labels.as_ref(),
            limit_ranges: place.limit_ranges.as_deref(),
            autoscalers: place.autoscalers.as_deref(),
            owner: owner(workload, self.policy, self.around, user),
            revisions: place.revisions.as_deref(),
            history: place.history.as_deref(),
            now: self.now,
        }
    }
}

/// The workload whose history is that of an object: of a pod or `ReplicaSet` its controller.
fn origin(workload: &Workload) -> (&str, &str) {
    match workload.controller() {
        Some(owner) => (&owner.kind, &owner.name),
        None => (&workload.kind, &workload.name),
    }
}

fn value(object: &RawValue) -> Result<Value, Unreadable> {
    serde_json::from_str(object.get())
        .map_err(|error| Unreadable { path: "object".to_owned(), what: error.to_string() })
}

/// Whether what made an object was judged.
fn owner(
    workload: &Workload,
    policy: &Policy,
    around: &impl Surroundings,
    user: &str,
) -> OwnerVerdict {
    let Some(Owner { api_version, kind, name, .. }) = workload.controller() else {
        return OwnerVerdict::NotJudged;
    };
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    if !Workload::is_judged(group, kind, &policy.templates) {
        return OwnerVerdict::NotJudged;
    }
    if scope::is_controller(user) {
        return OwnerVerdict::Judged;
    }
    match around.exists(api_version, kind, &workload.namespace, name) {
        Some(true) => OwnerVerdict::Judged,
        Some(false) => OwnerVerdict::NotJudged,
        None => OwnerVerdict::Unknown,
    }
}

fn answer(title: &str, judgement: &Judgement) -> Verdict {
    let denial = judgement.is_denied().then(|| Denial {
        message: printable(&report::refusal(title, judgement)),
        causes: report::causes(judgement),
    });
    let warnings = report::warnings(judgement);
    let outcome = if denial.is_some() {
        AdmissionOutcome::Denied
    } else if !warnings.is_empty() {
        AdmissionOutcome::Warned
    } else if judgement.with(Mode::Audit).next().is_some() {
        AdmissionOutcome::Audited
    } else {
        AdmissionOutcome::Allowed
    };
    let audit_annotations = report::audit_annotations(judgement);
    Verdict { answer: Answer { denial, warnings, audit_annotations, patch: None }, outcome }
}

/// A fragment to paste has names as they are, which a terminal may act on.
fn printable(message: &str) -> String {
    let lines: Vec<_> = message.lines().map(|line| report::clean(line, usize::MAX)).collect();
    lines.join("\n")
}

/// A patch without an operation is none.
fn patched(operations: &[Value]) -> Verdict {
    let patch = (!operations.is_empty()).then(|| serde_json::to_vec(operations).ok()).flatten();
    Verdict { answer: Answer { patch, ..Answer::default() }, outcome: AdmissionOutcome::Allowed }
}
