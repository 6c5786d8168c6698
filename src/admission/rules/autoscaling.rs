//! Whether an autoscaler can compute what it is to scale on, seen from the autoscaler and from the
//! workload.
//!
//! What it needs is said by `replica_calculator.go` in Kubernetes' pkg/controller/podautoscaler:
//! a share of the request needs the request in every container that runs on, sidecars counted,
//! unless the pod as a whole has one; one container's share needs that of the container alone.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::{Context, Problem};
use crate::admission::autoscaler::{AutoscalerFacts, Target};
use crate::admission::effective::{Source, effective};
use crate::admission::finding::Finding;
use crate::admission::history::Usage;
use crate::admission::workload::{Container, Pod, Workload};
use crate::model::autoscaler::{Autoscaler, MetricSource, ObjectReference};
use crate::model::limit_range::LimitRange;
use crate::model::policy::{Mode, Rule};

/// Most names that are offered for one that is not served.
const MAX_NEAREST: usize = 3;
/// Names less alike than this are not offered (Jaro-Winkler).
const NEAR: f64 = 0.8;

/// From the workload: do the autoscalers that scale it still find what they need?
pub(super) fn workload(context: &mut Context<'_>) {
    let on = [Rule::AutoscalerRequest, Rule::AutoscalerContainer];
    if !on.iter().any(|rule| context.is_on(*rule)) {
        return;
    }
    let Some(autoscalers) = context.facts.autoscalers else { return };
    let workload = context.workload;
    for autoscaler in autoscalers.iter().filter(|one| scales(one, workload)) {
        for source in &autoscaler.utilization {
            if context.facts.limit_ranges.is_some() {
                for (container, resource) in
                    without_request(&workload.pod, source, context.facts.limit_ranges)
                {
                    missing_request(context, autoscaler, container, resource);
                }
            }
        }
        for source in &autoscaler.metrics {
            if let MetricSource::ContainerResource { container, .. } = source
                && context.is_on(Rule::AutoscalerContainer)
                && !has_container(&workload.pod, container)
            {
                let names = names(&workload.pod);
                context.find(
                    None,
                    Problem {
                        rule: Rule::AutoscalerContainer,
                        field: "containers".to_owned(),
                        current: names,
                        wanted: format!("a container {container:?}"),
                        message: format!(
                            "HorizontalPodAutoscaler {:?} scales on a container that is not there",
                            autoscaler.name
                        ),
                        fix: None,
                        badness: None,
                    },
                );
            }
        }
    }
}

fn missing_request(
    context: &mut Context<'_>,
    autoscaler: &Autoscaler,
    container: &Container,
    resource: &str,
) {
    if !context.is_on(Rule::AutoscalerRequest) {
        return;
    }
    let proposal = context.usage(container).map(Usage::propose).unwrap_or_default();
    let proposed = match resource {
        "cpu" => proposal.cpu_request,
        "memory" => proposal.memory_request,
        _ => None,
    };
    let proposed = proposed.or_else(|| context.profile.requests.get(resource).copied());
    let amount = proposed.map_or_else(|| "an amount".to_owned(), |amount| amount.to_string());
    context.find(
        Some(container),
        Problem {
            rule: Rule::AutoscalerRequest,
            field: format!("resources.requests.{resource}"),
            current: "missing".to_owned(),
            wanted: amount.clone(),
            message: format!(
                "HorizontalPodAutoscaler {:?} scales on {resource} as a share of the request and \
                 cannot compute it",
                autoscaler.name
            ),
            fix: proposed.map(|_| json!({"resources": {"requests": {resource: amount}}})),
            badness: None,
        },
    );
}

/// Whether an autoscaler is about a workload. Only the group of its target counts.
fn scales(autoscaler: &Autoscaler, workload: &Workload) -> bool {
    let target = &autoscaler.target;
    *target.kind == *workload.kind
        && *target.name == *workload.name
        && group(target) == &*workload.group
}

fn group(reference: &ObjectReference) -> &str {
    reference.api_version.split_once('/').map_or("", |(group, _)| group)
}

/// The containers without the request that a share of it needs.
fn without_request<'a>(
    pod: &'a Pod,
    source: &'a MetricSource,
    limit_ranges: Option<&[Arc<LimitRange>]>,
) -> Vec<(&'a Container, &'a str)> {
    let (resource, only) = match source {
        MetricSource::Resource(resource) => (&**resource, None),
        MetricSource::ContainerResource { resource, container } => (&**resource, Some(container)),
        _ => return Vec::new(),
    };
    let lacks = |container: &&Container| {
        let request = effective(pod, container, resource, limit_ranges.unwrap_or_default()).request;
        request.is_none_or(|request| only.is_some() && request.source == Source::Pod)
    };
    let counted =
        pod.running().filter(|container| only.is_none_or(|only| **only == *container.name));
    counted.filter(lacks).map(|container| (container, resource)).collect()
}

fn has_container(pod: &Pod, name: &str) -> bool {
    pod.running().any(|container| *container.name == *name)
}

fn names(pod: &Pod) -> String {
    let names: Vec<_> = pod.running().map(|container| format!("{:?}", container.name)).collect();
    names.join(", ")
}

/// From the autoscaler: everything that keeps it from scaling.
pub(in crate::admission) fn autoscaler(
    autoscaler: &Autoscaler,
    facts: &AutoscalerFacts<'_>,
) -> (Vec<Finding>, Vec<String>) {
    let mut findings = Vec::new();
    let mut notes = Vec::new();
    target(autoscaler, facts, &mut findings);
    if matches!(facts.target, Target::Unknown) {
        notes.push("the target is not known yet, so that its requests are not judged".to_owned());
    }
    duplicate(autoscaler, facts, &mut findings);
    if let Some(served) = facts.served {
        for (index, source) in autoscaler.metrics.iter().enumerate() {
            let (field, metric, names) = match source {
                MetricSource::Pods(metric) => ("pods", metric, &served.pods),
                MetricSource::Object { metric, .. } => ("object", metric, &served.objects),
                MetricSource::External(metric) => ("external", metric, &served.external),
                _ => continue,
            };
            // An API of which nothing is served here may be somebody else's.
            let is_ours = match source {
                MetricSource::External(_) => !served.external.is_empty(),
                _ => !(served.pods.is_empty() && served.objects.is_empty()),
            };
            if is_ours && !is_served(source, &metric.name, names) {
                findings.push(not_served(index, field, &metric.name, names));
            }
        }
    } else {
        notes.push(
            "the metrics that are served are not known yet, so that their names are not judged"
                .to_owned(),
        );
    }
    (findings, notes)
}

/// The controller asks for external metrics in lower case, whatever the autoscaler says.
fn is_served(source: &MetricSource, name: &str, names: &BTreeSet<Box<str>>) -> bool {
    names.contains(name)
        || matches!(source, MetricSource::External(_)) && names.contains(&*name.to_lowercase())
}

fn finding(rule: Rule, path: String, current: String, wanted: String, message: String) -> Finding {
    Finding {
        rule,
        container: None,
        path,
        current,
        wanted,
        message,
        fix: None,
        mode: Mode::Off,
        lowered: None,
        badness: None,
    }
}

fn target(autoscaler: &Autoscaler, facts: &AutoscalerFacts<'_>, findings: &mut Vec<Finding>) {
    let ObjectReference { kind, name, .. } = &autoscaler.target;
    let workload = match facts.target {
        Target::Workload(workload) => workload,
        Target::Absent => {
            findings.push(finding(
                Rule::AutoscalerTarget,
                "spec.scaleTargetRef".to_owned(),
                format!("{kind} {name}"),
                "an object that exists".to_owned(),
                "there is no such object to scale in this namespace".to_owned(),
            ));
            return;
        }
        Target::Exists | Target::Unknown => return,
    };
    let path = |source: &MetricSource| {
        let index = autoscaler.metrics.iter().position(|other| other == source);
        index.map_or_else(|| "spec.metrics".to_owned(), |index| format!("spec.metrics[{index}]"))
    };
    if facts.limit_ranges.is_some() {
        for source in &autoscaler.utilization {
            for (container, resource) in without_request(&workload.pod, source, facts.limit_ranges)
            {
                let mut finding = finding(
                    Rule::AutoscalerRequest,
                    path(source),
                    format!("{kind} {name} has no {resource} request"),
                    format!("{}.resources.requests.{resource}", workload.pod.path_of(container)),
                    format!("{resource} as a share of the request cannot be computed without it"),
                );
                finding.container = Some(container.name.clone());
                findings.push(finding);
            }
        }
    }
    for source in &autoscaler.metrics {
        if let MetricSource::ContainerResource { container, .. } = source
            && !has_container(&workload.pod, container)
        {
            findings.push(finding(
                Rule::AutoscalerContainer,
                format!("{}.containerResource.container", path(source)),
                format!("{container:?}"),
                format!("one of {}", names(&workload.pod)),
                format!("{kind} {name} has no such container that runs on"),
            ));
        }
    }
}

fn duplicate(autoscaler: &Autoscaler, facts: &AutoscalerFacts<'_>, findings: &mut Vec<Finding>) {
    let same = |other: &ObjectReference| {
        let target = &autoscaler.target;
        (group(other), &other.kind, &other.name) == (group(target), &target.kind, &target.name)
    };
    let others = facts.autoscalers.unwrap_or_default().iter();
    let other =
        others.filter(|other| other.name != autoscaler.name).find(|other| same(&other.target));
    if let Some(other) = other {
        let ObjectReference { kind, name, .. } = &autoscaler.target;
        findings.push(finding(
            Rule::AutoscalerDuplicate,
            "spec.scaleTargetRef".to_owned(),
            format!("{kind} {name}, as in HorizontalPodAutoscaler {:?}", other.name),
            "one autoscaler with the metrics of both".to_owned(),
            "two autoscalers for one target undo each other's work".to_owned(),
        ));
    }
}

fn not_served(index: usize, field: &str, name: &str, names: &BTreeSet<Box<str>>) -> Finding {
    let mut near: Vec<_> = names
        .iter()
        .map(|other| (strsim::jaro_winkler(name, other), other))
        .filter(|(likeness, _)| *likeness >= NEAR)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let near: Vec<_> = near.iter().take(MAX_NEAREST).map(|(_, name)| format!("{name:?}")).collect();
    let wanted = if near.is_empty() {
        "a metric that is served (kubectl get --raw lists them)".to_owned()
    } else {
        near.join(" or ")
    };
    finding(
        Rule::AutoscalerMetric,
        format!("spec.metrics[{index}].{field}.metric.name"),
        format!("{name:?}"),
        wanted,
        "nothing here serves this metric now".to_owned(),
    )
}
