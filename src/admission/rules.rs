//! The rules: each looks at the container model and says what is wrong. How hard a rule holds is
//! decided afterwards, but one that is off is not looked at.

mod autoscaling;
mod probes;
mod resources;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::effective::{Effective, effective};
use super::finding::Finding;
use super::history::Usage;
use super::judge::Facts;
use super::workload::{Container, Pod, Workload};
use crate::model::policy::{Mode, Policy, Profile, Rule};

pub(super) use autoscaling::autoscaler;

/// Looks at everything that is wrong with a workload.
pub(super) fn workload(context: &mut Context<'_>) {
    resources::check(context);
    probes::check(context);
    autoscaling::workload(context);
}

/// What the rules look at, and what they find.
pub(super) struct Context<'a> {
    pub(super) workload: &'a Workload,
    pub(super) policy: &'a Policy,
    pub(super) facts: &'a Facts<'a>,
    pub(super) profile: &'a Profile,
    findings: Vec<Finding>,
    notes: Vec<String>,
}

/// What a rule has to say.
pub(super) struct Problem {
    pub(super) rule: Rule,
    /// Below the container, or below the pod's spec.
    pub(super) field: String,
    pub(super) current: String,
    pub(super) wanted: String,
    pub(super) message: String,
    pub(super) fix: Option<Value>,
    /// Greater is worse; `None` where there is no more or less.
    pub(super) badness: Option<f64>,
}

impl<'a> Context<'a> {
    pub(super) fn new(workload: &'a Workload, policy: &'a Policy, facts: &'a Facts<'a>) -> Self {
        let profile = policy.profile(facts.namespace);
        Self { workload, policy, facts, profile, findings: Vec::new(), notes: Vec::new() }
    }

    pub(super) fn finish(self) -> (Vec<Finding>, Vec<String>) {
        (self.findings, self.notes)
    }

    pub(super) fn pod(&self) -> &'a Pod {
        &self.workload.pod
    }

    pub(super) fn is_on(&self, rule: Rule) -> bool {
        self.policy.mode(rule, self.facts.namespace) != Mode::Off
    }

    pub(super) fn effective(&self, container: &Container, resource: &str) -> Effective {
        effective(self.pod(), container, resource, self.facts.limit_ranges.unwrap_or_default())
    }

    pub(super) fn usage(&self, container: &Container) -> Option<&'a Usage> {
        self.facts.history?.of(&container.name)
    }

    /// Says something once.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Takes down a problem of a container, or of the pod.
    pub(super) fn find(&mut self, container: Option<&Container>, problem: Problem) {
        let Problem { rule, field, current, wanted, message, fix, badness } = problem;
        let at = container.map_or_else(|| self.pod().path.to_string(), |c| self.pod().path_of(c));
        self.findings.push(Finding {
            rule,
            container: container.map(|container| container.name.clone()),
            path: format!("{at}.{field}"),
            current,
            wanted,
            message,
            fix,
            mode: Mode::Off,
            lowered: None,
            badness,
        });
    }
}
