//! The verdict: rules, modes, exemptions and the ratchet, from an object, a policy and what is
//! known from memory.

mod ratchet;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use jiff::Timestamp;

use super::autoscaler::AutoscalerFacts;
use super::finding::{Finding, Lowered};
use super::history::History;
use super::rules::{self, Context};
use super::workload::{Class, Workload};
use crate::model::autoscaler::Autoscaler;
use crate::model::inventory::LabelSet;
use crate::model::limit_range::LimitRange;
use crate::model::policy::exemption::{Force, Subject};
use crate::model::policy::{Mode, Policy, unknown_labels};

/// What is known from memory about the place an object is written to. `None` is always: not known
/// yet.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The labels of the namespace.
    pub namespace: Option<&'a LabelSet>,
    /// The limit ranges of the namespace.
    pub limit_ranges: Option<&'a [Arc<LimitRange>]>,
    /// The autoscalers of the namespace.
    pub autoscalers: Option<&'a [Arc<Autoscaler>]>,
    /// Whether the controller of the object was judged.
    pub owner: OwnerVerdict,
    /// [`Pod::fingerprint`](super::workload::Pod::fingerprint) of the revisions of this workload
    /// that exist, to which a rollback leads.
    pub revisions: Option<&'a [u64]>,
    /// What the workload's containers have used.
    pub history: Option<&'a History>,
    /// The moment of the judgement.
    pub now: Timestamp,
}

/// What is known about the controller of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OwnerVerdict {
    /// There is none, it is of a kind that is not judged, or there is no such object.
    #[default]
    NotJudged,
    /// It exists and is of a kind that is judged, or a controller of Kubernetes writes.
    Judged,
    /// It cannot be known yet.
    Unknown,
}

impl Facts<'_> {
    /// A manifest in a file, where nothing surrounds it.
    pub fn alone(now: Timestamp) -> Self {
        Self {
            namespace: None,
            limit_ranges: Some(&[]),
            autoscalers: None,
            owner: OwnerVerdict::NotJudged,
            revisions: Some(&[]),
            history: None,
            now,
        }
    }
}

/// What is wrong with an object, and what becomes of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Judgement {
    /// The findings, the gravest first.
    pub findings: Vec<Finding>,
    /// The findings that an exemption covers.
    pub exempted: Vec<Exempted>,
    /// What could not be judged and why, and labels that mean nothing.
    pub notes: Vec<String>,
}

/// A finding that an exemption covers.
#[derive(Clone, Debug, PartialEq)]
pub struct Exempted {
    /// The finding.
    pub finding: Finding,
    /// Where the exemption is written.
    pub source: String,
    /// Its reason.
    pub reason: String,
}

impl Judgement {
    /// Whether the write is refused.
    pub fn is_denied(&self) -> bool {
        self.with(Mode::Deny).next().is_some()
    }

    /// The findings of a mode.
    pub fn with(&self, mode: Mode) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |finding| finding.mode == mode)
    }
}

/// Judges a write: a new object, and the one that it replaces.
pub fn judge(
    new: &Workload,
    old: Option<&Workload>,
    policy: &Policy,
    facts: &Facts<'_>,
) -> Judgement {
    let mut judgement = examine(new, policy, facts);
    if facts.revisions.is_some_and(|known| known.contains(&new.pod.fingerprint())) {
        lower_all(&mut judgement, &Lowered::Existing);
    } else if let Some(old) = old {
        // What was exempt before was there before.
        let before = examine(old, policy, facts);
        let exempted = before.exempted.into_iter().map(|exempted| exempted.finding);
        let before: Vec<_> = before.findings.into_iter().chain(exempted).collect();
        ratchet::lower_what_was_there(&mut judgement.findings, &before);
        if facts.revisions.is_none() && judgement.is_denied() {
            lower_all(&mut judgement, &Lowered::RevisionsUnknown);
            let note = "the revisions of the workload are not known yet: it may be a rollback";
            judgement.notes.push(note.to_owned());
        }
    }
    judgement.findings.sort_by_key(|finding| std::cmp::Reverse(finding.mode));
    judgement
}

fn lower_all(judgement: &mut Judgement, why: &Lowered) {
    judgement.findings.iter_mut().for_each(|finding| finding.lower(Mode::Warn, why.clone()));
}

/// Judges the write of an autoscaler.
pub fn judge_autoscaler(
    new: &Autoscaler,
    old: Option<&Autoscaler>,
    policy: &Policy,
    facts: &AutoscalerFacts<'_>,
) -> Judgement {
    let mut judgement = examine_autoscaler(new, policy, facts);
    if let Some(old) = old {
        let before = examine_autoscaler(old, policy, facts);
        let exempted = before.exempted.into_iter().map(|exempted| exempted.finding);
        let before: Vec<_> = before.findings.into_iter().chain(exempted).collect();
        ratchet::lower_what_was_there(&mut judgement.findings, &before);
    }
    judgement.findings.sort_by_key(|finding| std::cmp::Reverse(finding.mode));
    judgement
}

fn examine_autoscaler(
    autoscaler: &Autoscaler,
    policy: &Policy,
    facts: &AutoscalerFacts<'_>,
) -> Judgement {
    let (findings, notes) = rules::autoscaler(autoscaler, facts);
    let mut judgement = Judgement { notes, ..Judgement::default() };
    let subject = (&*autoscaler.namespace, "HorizontalPodAutoscaler", &*autoscaler.name);
    for mut finding in findings {
        finding.mode = policy.mode(finding.rule, facts.namespace);
        let container = finding.container.clone();
        let container = container.as_deref().map(|name| (name, ""));
        exempt(finding, subject, container, policy, facts.now, &mut judgement);
    }
    judgement
}

/// Judges an object by itself.
fn examine(workload: &Workload, policy: &Policy, facts: &Facts<'_>) -> Judgement {
    let mut judgement = Judgement::default();
    if workload.deleting || workload.mirror {
        return judgement;
    }
    let mut context = Context::new(workload, policy, facts);
    rules::workload(&mut context);
    let (findings, notes) = context.finish();
    judgement.notes = notes;
    let unknown = facts.namespace.map(|labels| unknown_labels(policy, labels)).unwrap_or_default();
    judgement.notes.extend(unknown.iter().map(|label| {
        format!("the namespace's label {label} means nothing and is left out of account")
    }));
    let subject = (&*workload.namespace, &*workload.kind, &*workload.name);
    for mut finding in findings {
        finding.mode = policy.mode(finding.rule, facts.namespace);
        let container = finding.container.as_deref();
        let container =
            workload.pod.containers.iter().find(|other| Some(&*other.name) == container);
        if container.is_some_and(|container| container.class == Class::Init) {
            finding.lower(policy.init_containers, Lowered::InitContainer);
        }
        match facts.owner {
            OwnerVerdict::NotJudged => {}
            OwnerVerdict::Judged => finding.lower(Mode::Audit, Lowered::OwnerJudged),
            OwnerVerdict::Unknown => finding.lower(Mode::Warn, Lowered::OwnerUnknown),
        }
        let container = container.map(|container| (&*container.name, &*container.image));
        exempt(finding, subject, container, policy, facts.now, &mut judgement);
    }
    judgement
}

/// Puts a finding where the exemptions want it.
fn exempt(
    mut finding: Finding,
    (namespace, kind, name): (&str, &str, &str),
    container: Option<(&str, &str)>,
    policy: &Policy,
    now: Timestamp,
    judgement: &mut Judgement,
) {
    let subject = Subject { namespace, kind, name, container, rule: finding.rule };
    let strongest = policy
        .exemptions
        .iter()
        .map(|exemption| (exemption.force(&subject, now), exemption))
        .max_by_key(|(force, _)| *force);
    if finding.mode == Mode::Off {
        return;
    }
    match strongest {
        Some((Force::Full, exemption)) => {
            let (source, reason) = (exemption.source.clone(), exemption.reason().to_owned());
            judgement.exempted.push(Exempted { finding, source, reason });
            return;
        }
        Some((Force::Grace, exemption)) => {
            let (source, expires) = (exemption.source.clone(), exemption.expires().to_owned());
            finding.lower(Mode::Warn, Lowered::ExemptionExpired { source, expires });
        }
        _ => {}
    }
    judgement.findings.push(finding);
}
