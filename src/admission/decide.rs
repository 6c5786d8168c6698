//! From a review to its answer: what is asked, what is known about it, the judgement, and what of
//! it is said to whom.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::autoscaler::{self, AutoscalerFacts, Target};
use super::finding::Finding;
use super::judge::{Facts, Judgement, OwnerVerdict, judge, judge_autoscaler};
use super::report;
use super::review::{Answer, Denial, Request};
use super::scope::{self, Write};
use super::server::Verdict;
use super::workload::{Owner, Unreadable, Workload};
use crate::model::autoscaler::Autoscaler;
use crate::model::inventory::LabelSet;
use crate::model::limit_range::LimitRange;
use crate::model::policy::{Mode, Policy};
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
    // What is to be added to a pod is nobody's to say yet, and a validation is asked for it later.
    let (Some(object), Webhook::Validate) = (object, webhook) else {
        return skipped();
    };
    let judgement = if is_autoscaler {
        autoscaler(request, object, &policy, around, now)
    } else {
        workload(request, group_and_kind, object, &policy, around, write.user, now)
    };
    match judgement {
        Ok(Some((title, judgement))) => {
            judgement.findings.iter().for_each(|finding| found(finding, &kind.kind));
            answer(&title, &judgement)
        }
        Ok(None) => skipped(),
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

type Judged = Result<Option<(String, Judgement)>, Unreadable>;

fn workload(
    request: &Request<'_>,
    (group, kind): (&str, &str),
    object: &RawValue,
    policy: &Policy,
    around: &impl Surroundings,
    user: &str,
    now: Timestamp,
) -> Judged {
    let read = |object: &RawValue| -> Result<Option<Workload>, Unreadable> {
        let mut workload = Workload::read(group, kind, &value(object)?, &policy.templates)?;
        if let Some(workload) = &mut workload {
            place(&mut workload.namespace, &mut workload.name, request);
        }
        Ok(workload)
    };
    let Some(new) = read(object)? else { return Ok(None) };
    if scope::skips_object(&new).is_some() {
        return Ok(None);
    }
    // An old object that cannot be read is none to compare with.
    let old = request.old_object.and_then(|old| read(old).ok().flatten());
    let namespace = around.namespace(&request.namespace);
    let limit_ranges = around.limit_ranges(&request.namespace);
    let autoscalers = around.autoscalers(&request.namespace);
    let facts = Facts {
        namespace: namespace.as_ref(),
        limit_ranges: limit_ranges.as_deref(),
        autoscalers: autoscalers.as_deref(),
        owner: owner(&new, policy, around, user),
        revisions: &[],
        history: None,
        now,
    };
    Ok(Some((new.title(), judge(&new, old.as_ref(), policy, &facts))))
}

fn autoscaler(
    request: &Request<'_>,
    object: &RawValue,
    policy: &Policy,
    around: &impl Surroundings,
    now: Timestamp,
) -> Judged {
    let new = autoscaler::read(&value(object)?)?;
    let old = request.old_object.and_then(|old| autoscaler::read(&value(old).ok()?).ok());
    let namespace = around.namespace(&request.namespace);
    let limit_ranges = around.limit_ranges(&request.namespace);
    let autoscalers = around.autoscalers(&request.namespace);
    let target = &new.target;
    let target =
        match around.exists(&target.api_version, &target.kind, &request.namespace, &target.name) {
            Some(true) => Target::Exists,
            Some(false) => Target::Absent,
            None => Target::Unknown,
        };
    let facts = AutoscalerFacts {
        namespace: namespace.as_ref(),
        limit_ranges: limit_ranges.as_deref(),
        autoscalers: autoscalers.as_deref(),
        served: None,
        target,
        now,
    };
    let title = format!("HorizontalPodAutoscaler {}/{}", request.namespace, new.name);
    Ok(Some((title, judge_autoscaler(&new, old.as_ref(), policy, &facts))))
}

fn value(object: &RawValue) -> Result<Value, Unreadable> {
    serde_json::from_str(object.get())
        .map_err(|error| Unreadable { path: "object".to_owned(), what: error.to_string() })
}

/// Where the object will be is the request's to say: the object's own metadata may not yet.
fn place(namespace: &mut Box<str>, name: &mut Box<str>, request: &Request<'_>) {
    *namespace = (*request.namespace).into();
    if name.is_empty() {
        *name = (*request.name).into();
    }
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
        message: report::refusal(title, judgement),
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
