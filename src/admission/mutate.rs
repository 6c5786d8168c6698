//! What is added to a pod: missing requests and limits, and nothing else. Probes are never added,
//! what is written is never changed, and nothing goes beyond a limit or limit range, so that what
//! is added is never what the API server refuses.
//!
//! Asked again about the patched pod, there is nothing left to add.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde_json::{Value, json};

use super::judge::Facts;
use super::workload::{Container, Workload};
use crate::model::limit_range::{LimitRange, LimitTarget};
use crate::model::policy::{Policy, Profile};
use crate::model::quantity::Quantity;

/// The annotation that tells what was added.
pub const ANNOTATION: &str = "plimsoll.dev/added-resources";

/// The resources of which a request and a limit are added.
const ADDED: &[&str] = &["cpu", "memory", "ephemeral-storage"];

/// The operations of an RFC 6902 patch; empty where there is nothing to add, where mutation is off,
/// for anything but a pod, and while limit ranges are not known. `object` is what `pod` was read
/// from.
pub fn patch(pod: &Workload, object: &Value, policy: &Policy, facts: &Facts<'_>) -> Vec<Value> {
    let is_pod = pod.group.is_empty() && &*pod.kind == "Pod";
    let (Some(mutation), Some(ranges)) = (policy.mutation, facts.limit_ranges) else {
        return Vec::new();
    };
    // Resources of the pod as a whole bound the sum of its containers.
    let whole = &pod.pod.resources;
    if !is_pod
        || pod.deleting
        || pod.mirror
        || !whole.requests.is_empty()
        || !whole.limits.is_empty()
    {
        return Vec::new();
    }
    let profile = policy.profile(facts.namespace);
    let mut operations = Vec::new();
    let mut added = Vec::new();
    for container in pod.pod.containers.iter().filter(|container| container.class.has_resources()) {
        let history = facts.history.filter(|_| mutation.from_history);
        let usage = history.and_then(|history| history.of(&container.name));
        let proposal = usage.filter(|usage| usage.is_firm()).map(|usage| usage.propose());
        let proposal = proposal.unwrap_or_default();
        let mut new = Additions::default();
        for resource in ADDED {
            let known = match *resource {
                "cpu" => [proposal.cpu_request, None],
                "memory" => [proposal.memory_request, proposal.memory_limit],
                _ => [None, None],
            };
            amounts(container, resource, known, profile, ranges, &mut new);
        }
        let mut path = format!("/spec/{}/{}", container.class.list(), container.index);
        write(object, &mut path, &new, &mut operations);
        let said = |(side, list): (&str, &Vec<(&str, Quantity)>)| {
            let list: Vec<_> =
                list.iter().map(|(name, amount)| format!("{side}.{name}={amount}")).collect();
            list
        };
        let said =
            [("requests", &new.requests), ("limits", &new.limits)].into_iter().flat_map(said);
        added.extend(said.map(|text| format!("{}:{text}", container.name)));
    }
    if !added.is_empty() {
        annotate(object, &added.join(","), &mut operations);
    }
    operations
}

#[derive(Default)]
struct Additions<'a> {
    requests: Vec<(&'a str, Quantity)>,
    limits: Vec<(&'a str, Quantity)>,
}

fn amounts<'a>(
    container: &Container,
    resource: &'a str,
    [request, limit]: [Option<Quantity>; 2],
    profile: &Profile,
    ranges: &[Arc<LimitRange>],
    new: &mut Additions<'a>,
) {
    let written = &container.resources;
    let request = request.or_else(|| profile.requests.get(resource).copied());
    let limit = limit.or_else(|| profile.limits.get(resource).copied());
    let within = |amount| within(amount, resource, profile, ranges);
    let old_limit = written.limit(resource);
    // A request that is not written is the limit once it is a pod.
    let old_request = written.request(resource).or(old_limit);
    let added_request = request.filter(|_| old_request.is_none()).and_then(within);
    let request = old_request.or(added_request);
    let limit = limit.filter(|_| old_limit.is_none()).and_then(within);
    let limit = limit.filter(|limit| request.is_none_or(|request| request <= *limit));
    // Without a request the pod would get the limit for one.
    let limit = limit.filter(|limit| {
        request.is_some_and(|request| !is_over_ratio(*limit, request, resource, ranges))
    });
    new.requests.extend(added_request.map(|amount| (resource, amount)));
    new.limits.extend(limit.map(|amount| (resource, amount)));
}

/// Within the bounds of the profile and of every limit range; `None` where those leave nothing.
fn within(
    amount: Quantity,
    resource: &str,
    profile: &Profile,
    ranges: &[Arc<LimitRange>],
) -> Option<Quantity> {
    let bounds = || of_containers(resource, ranges);
    let least = profile
        .minimum
        .get(resource)
        .copied()
        .into_iter()
        .chain(bounds().filter_map(|b| b.0))
        .max();
    let most = profile
        .maximum
        .get(resource)
        .copied()
        .into_iter()
        .chain(bounds().filter_map(|b| b.1))
        .min();
    if least.zip(most).is_some_and(|(least, most)| least > most) {
        return None;
    }
    let amount = least.map_or(amount, |least| amount.max(least));
    Some(most.map_or(amount, |most| amount.min(most)))
}

fn is_over_ratio(
    limit: Quantity,
    request: Quantity,
    resource: &str,
    ranges: &[Arc<LimitRange>],
) -> bool {
    of_containers(resource, ranges)
        .filter_map(|bounds| bounds.2)
        .any(|times| limit.is_over(&times, &request))
}

/// Minimum, maximum and ratio of each limit range.
fn of_containers<'a>(
    resource: &'a str,
    ranges: &'a [Arc<LimitRange>],
) -> impl Iterator<Item = (Option<Quantity>, Option<Quantity>, Option<Quantity>)> + 'a {
    let limits = ranges.iter().flat_map(|range| &range.limits);
    let limits = limits.filter(|limit| limit.target == LimitTarget::Container);
    limits.filter_map(move |limit| limit.of(resource)).map(|b| (b.min, b.max, b.max_ratio))
}

/// Parents that are missing are added first: an operation below a missing one fails the write.
fn write(object: &Value, path: &mut String, new: &Additions<'_>, operations: &mut Vec<Value>) {
    let sides = [("requests", &new.requests), ("limits", &new.limits)];
    if sides.iter().all(|(_, list)| list.is_empty()) {
        return;
    }
    path.push_str("/resources");
    let has = |path: &str| object.pointer(path).is_some_and(Value::is_object);
    let is_new = !has(path);
    if is_new {
        operations.push(json!({"op": "add", "path": *path, "value": {}}));
    }
    for (side, list) in sides.into_iter().filter(|(_, list)| !list.is_empty()) {
        let path = format!("{path}/{side}");
        if is_new || !has(&path) {
            operations.push(json!({"op": "add", "path": path, "value": {}}));
        }
        for (resource, amount) in list {
            let path = format!("{path}/{}", escape(resource));
            operations.push(json!({"op": "add", "path": path, "value": amount.to_string()}));
        }
    }
}

fn annotate(object: &Value, text: &str, operations: &mut Vec<Value>) {
    if !object.pointer("/metadata").is_some_and(Value::is_object) {
        operations.push(json!({"op": "add", "path": "/metadata", "value": {}}));
    }
    let parent = "/metadata/annotations";
    if !object.pointer(parent).is_some_and(Value::is_object) {
        operations.push(json!({"op": "add", "path": parent, "value": {}}));
    }
    let path = format!("{parent}/{}", escape(ANNOTATION));
    operations.push(json!({"op": "add", "path": path, "value": text}));
}

/// A step of a JSON pointer (RFC 6901).
fn escape(step: &str) -> String {
    step.replace('~', "~0").replace('/', "~1")
}
