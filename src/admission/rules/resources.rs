//! Requests and limits: whether they are there, and whether they are within bounds.

use serde_json::{Value, json};

use super::{Context, Problem};
use crate::admission::effective::{Source, of_pod};
use crate::admission::history::Usage;
use crate::admission::workload::{Container, Resources};
use crate::model::policy::{QosClass, Rule};
use crate::model::quantity::Quantity;

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Requests,
    Limits,
}

/// The rules that ask for an amount.
const REQUIRED: &[(Rule, &str, Side)] = &[
    (Rule::CpuRequest, "cpu", Side::Requests),
    (Rule::MemoryRequest, "memory", Side::Requests),
    (Rule::CpuLimit, "cpu", Side::Limits),
    (Rule::MemoryLimit, "memory", Side::Limits),
    (Rule::EphemeralStorageRequest, "ephemeral-storage", Side::Requests),
    (Rule::EphemeralStorageLimit, "ephemeral-storage", Side::Limits),
];

pub(super) fn check(context: &mut Context<'_>) {
    let pod = context.pod();
    for container in pod.containers.iter().filter(|container| container.class.has_resources()) {
        for (rule, resource, side) in REQUIRED {
            if context.is_on(*rule) {
                required(context, container, *rule, resource, *side);
            }
        }
        if context.is_on(Rule::NoCpuLimit) {
            no_cpu_limit(context, container);
        }
        bounds(context, container);
        if context.is_on(Rule::LimitBelowPeak) {
            limit_below_peak(context, container);
        }
    }
    if context.is_on(Rule::QosClass) {
        qos_class(context);
    }
}

impl Side {
    fn name(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Limits => "limits",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Requests => "request",
            Self::Limits => "limit",
        }
    }

    fn of(self, resources: &Resources, resource: &str) -> Option<Quantity> {
        match self {
            Self::Requests => resources.request(resource),
            Self::Limits => resources.limit(resource),
        }
    }
}

/// A fragment for a container.
fn fix(side: Side, resource: &str, amount: &str) -> Value {
    json!({"resources": {side.name(): {resource: amount}}})
}

fn field(side: Side, resource: &str) -> String {
    format!("resources.{}.{resource}", side.name())
}

fn required(
    context: &mut Context<'_>,
    container: &Container,
    rule: Rule,
    resource: &str,
    side: Side,
) {
    let effective = context.effective(container, resource);
    let amount = match side {
        Side::Requests => effective.request,
        Side::Limits => effective.limit,
    };
    if let Some(amount) = amount {
        if let Source::LimitRange(range) = amount.source {
            context.note(format!(
                "container {:?} relies on LimitRange {range:?} for its {resource} {} of {}",
                container.name,
                side.word(),
                amount.quantity
            ));
        }
        return;
    }
    if context.facts.limit_ranges.is_none() {
        context.note("limit ranges are not known yet, so that missing amounts are not judged");
        return;
    }
    let (proposed, basis) = propose(context, container, resource, side);
    let wanted = proposed.map_or_else(|| "an amount".to_owned(), |amount| amount.to_string());
    let written = side.of(&container.resources, resource);
    context.find(
        Some(container),
        Problem {
            rule,
            field: field(side, resource),
            current: written.map_or_else(|| "missing".to_owned(), |zero| zero.to_string()),
            message: format!("no {resource} {} ({basis})", side.word()),
            // What nobody can say is not made up.
            fix: proposed.map(|amount| fix(side, resource, &amount.to_string())),
            wanted,
            badness: None,
        },
    );
}

/// What would be right, and where that comes from: history, else the profile. Requests and limits
/// that are written bound it, since a limit below its request is refused.
fn propose(
    context: &Context<'_>,
    container: &Container,
    resource: &str,
    side: Side,
) -> (Option<Quantity>, String) {
    let usage = context.usage(container).filter(|_| matches!(resource, "cpu" | "memory"));
    let proposal = usage.map(Usage::propose).unwrap_or_default();
    let from_history = match (resource, side) {
        ("cpu", Side::Requests) => proposal.cpu_request,
        ("memory", Side::Requests) => proposal.memory_request,
        ("memory", Side::Limits) => proposal.memory_limit,
        _ => None,
    };
    let profile = match side {
        Side::Requests => &context.profile.requests,
        Side::Limits => &context.profile.limits,
    };
    let (amount, basis) = match (from_history, usage, profile.get(resource)) {
        (Some(amount), Some(usage), _) => (Some(amount), usage.basis(resource)),
        (_, _, Some(amount)) => (Some(*amount), "no history; as the profile has it".to_owned()),
        _ => (None, "no history".to_owned()),
    };
    let bounded = amount.map(|amount| match side {
        Side::Requests => {
            container.resources.limit(resource).map_or(amount, |limit| amount.min(limit))
        }
        Side::Limits => {
            container.resources.request(resource).map_or(amount, |request| amount.max(request))
        }
    });
    (bounded.map(|amount| within(context, resource, amount)), basis)
}

/// Not below the minimum and not above the maximum, which would be the next finding.
fn within(context: &Context<'_>, resource: &str, amount: Quantity) -> Quantity {
    let raised = context.profile.minimum.get(resource).map_or(amount, |least| amount.max(*least));
    context.profile.maximum.get(resource).map_or(raised, |most| raised.min(*most))
}

fn no_cpu_limit(context: &mut Context<'_>, container: &Container) {
    let Some(limit) = container.resources.limit("cpu") else { return };
    context.find(
        Some(container),
        Problem {
            rule: Rule::NoCpuLimit,
            field: field(Side::Limits, "cpu"),
            current: limit.to_string(),
            wanted: "no limit".to_owned(),
            message: "a CPU limit throttles where nothing is short; the request is the fair share"
                .to_owned(),
            fix: None,
            badness: None,
        },
    );
}

fn bounds(context: &mut Context<'_>, container: &Container) {
    let profile = context.profile;
    if context.is_on(Rule::Minimum) {
        for (resource, least) in &profile.minimum {
            let request = context.effective(container, resource).request;
            let request = request.filter(|request| request.source != Source::Pod);
            if let Some(request) = request.filter(|request| request.quantity < *least) {
                let side =
                    if request.source == Source::Limit { Side::Limits } else { Side::Requests };
                out_of_bounds(
                    context,
                    container,
                    (Rule::Minimum, resource, side),
                    request.quantity,
                    *least,
                );
            }
        }
    }
    if context.is_on(Rule::Maximum) {
        for (resource, most) in &profile.maximum {
            let effective = context.effective(container, resource);
            let side = if effective.limit.is_some() { Side::Limits } else { Side::Requests };
            let amount = effective.limit.or(effective.request);
            let amount = amount.filter(|amount| amount.source != Source::Pod);
            if let Some(amount) = amount.filter(|amount| amount.quantity > *most) {
                out_of_bounds(
                    context,
                    container,
                    (Rule::Maximum, resource, side),
                    amount.quantity,
                    *most,
                );
            }
        }
    }
    if context.is_on(Rule::Ratio) {
        for (resource, times) in &profile.ratio {
            ratio(context, container, resource, *times);
        }
    }
}

fn out_of_bounds(
    context: &mut Context<'_>,
    container: &Container,
    (rule, resource, side): (Rule, &str, Side),
    amount: Quantity,
    bound: Quantity,
) {
    let (wanted, word, badness) = if rule == Rule::Minimum {
        (format!("at least {bound}"), "below the minimum", -amount.as_f64())
    } else {
        (format!("at most {bound}"), "above the maximum", amount.as_f64())
    };
    context.find(
        Some(container),
        Problem {
            rule,
            field: field(side, resource),
            current: amount.to_string(),
            wanted,
            message: format!("{resource} {} {word}", side.word()),
            fix: Some(fix(side, resource, &bound.to_string())),
            badness: Some(badness),
        },
    );
}

fn ratio(context: &mut Context<'_>, container: &Container, resource: &str, times: Quantity) {
    let effective = context.effective(container, resource);
    let own = |source: &Source| *source != Source::Pod;
    let (Some(limit), Some(request)) = (
        effective.limit.filter(|limit| own(&limit.source)),
        effective.request.filter(|request| own(&request.source)),
    ) else {
        return;
    };
    let (limit, request) = (limit.quantity, request.quantity);
    if !limit.is_over(&times, &request) {
        return;
    }
    context.find(
        Some(container),
        Problem {
            rule: Rule::Ratio,
            field: field(Side::Limits, resource),
            current: limit.to_string(),
            wanted: format!("at most {times} times the request of {request}"),
            message: format!("{resource} limit too far above the request"),
            fix: None,
            badness: Some(limit.as_f64() / request.as_f64()),
        },
    );
}

fn limit_below_peak(context: &mut Context<'_>, container: &Container) {
    let Some(usage) = context.usage(container) else { return };
    let Some(limit) = context.effective(container, "memory").limit else { return };
    let proposed = usage.propose().memory_limit;
    // After a kill the limit of that time is the peak.
    if limit.source == Source::Pod || limit.quantity.as_f64() >= usage.memory_peak {
        return;
    }
    let amount = proposed.map_or_else(|| usage.peak(), |amount| amount.to_string());
    context.find(
        Some(container),
        Problem {
            rule: Rule::LimitBelowPeak,
            field: field(Side::Limits, "memory"),
            current: limit.quantity.to_string(),
            wanted: format!("at least {amount}"),
            message: format!(
                "memory limit below what it has used, so that it will be killed ({})",
                usage.basis("memory")
            ),
            fix: Some(fix(Side::Limits, "memory", &amount)),
            badness: Some(-limit.quantity.as_f64()),
        },
    );
}

/// As `ComputePodQOS` in pkg/apis/core/v1/helper/qos has it: with resources of the pod as a whole,
/// only those count.
fn qos_class(context: &mut Context<'_>) {
    let pod = context.pod();
    let resources = ["cpu", "memory"];
    let whole = resources.map(|resource| of_pod(pod, resource));
    let each: Vec<_> = if whole.iter().any(|whole| whole.request.is_some()) {
        whole.to_vec()
    } else {
        let containers = pod.containers.iter().filter(|container| container.class.has_resources());
        containers
            .flat_map(|container| resources.map(|resource| context.effective(container, resource)))
            .collect()
    };
    let quantity = |amount: &Option<_>| {
        amount.as_ref().map(|amount: &crate::admission::effective::Amount| amount.quantity)
    };
    let guaranteed = each
        .iter()
        .all(|one| one.limit.is_some() && quantity(&one.limit) == quantity(&one.request));
    let burstable = each.iter().any(|one| one.request.is_some() || one.limit.is_some());
    let (current, wanted, badness) = match (context.policy.qos_class, guaranteed, burstable) {
        (_, true, _) | (QosClass::Burstable, _, true) => return,
        (QosClass::Burstable, ..) => ("BestEffort", "Burstable or Guaranteed", 2.0),
        (QosClass::Guaranteed, _, burstable) => (
            if burstable { "Burstable" } else { "BestEffort" },
            "Guaranteed",
            1.0 + f64::from(u8::from(!burstable)),
        ),
    };
    if context.facts.limit_ranges.is_none() {
        return;
    }
    context.find(
        None,
        Problem {
            rule: Rule::QosClass,
            field: "containers[*].resources".to_owned(),
            current: current.to_owned(),
            wanted: wanted.to_owned(),
            message: "the pod's QoS class is too low".to_owned(),
            fix: None,
            badness: Some(badness),
        },
    );
}
