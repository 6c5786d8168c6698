//! Probes of what runs on: whether they are there, and whether they can do what they are for.
//!
//! Nothing is asked of pods that run to their end, nor of plain init and ephemeral containers,
//! which may have no probes.

use serde_json::{Value, json};

use super::{Context, Problem};
use crate::admission::workload::{Container, Handler, Port, PortReference, Probe};
use crate::model::policy::{ProbeKind, Rule};

/// The rules that ask for a probe.
const REQUIRED: [(Rule, ProbeKind); 3] = [
    (Rule::ReadinessProbe, ProbeKind::Readiness),
    (Rule::LivenessProbe, ProbeKind::Liveness),
    (Rule::StartupProbe, ProbeKind::Startup),
];

pub(super) fn check(context: &mut Context<'_>) {
    let pod = context.pod();
    if pod.run_to_completion {
        return;
    }
    for container in pod.running() {
        for (rule, kind) in REQUIRED {
            if context.is_on(rule) && container.probe(kind).is_none() {
                let message = format!("no {}{}", kind.field(), served(container));
                missing(context, container, rule, kind, message);
            }
        }
        if context.is_on(Rule::AnyProbe) && container.probes.iter().all(Option::is_none) {
            let message = format!("no probe at all{}", served(container));
            missing(context, container, Rule::AnyProbe, ProbeKind::Readiness, message);
        }
        for kind in ProbeKind::ALL {
            if let Some(probe) = container.probe(kind) {
                one(context, container, kind, probe);
            }
        }
        liveness_before_readiness(context, container);
        liveness_during_start(context, container);
    }
}

fn missing(
    context: &mut Context<'_>,
    container: &Container,
    rule: Rule,
    kind: ProbeKind,
    message: String,
) {
    let port = container.ports.first();
    context.find(
        Some(container),
        Problem {
            rule,
            field: kind.field().to_owned(),
            current: "missing".to_owned(),
            wanted: "a probe".to_owned(),
            message,
            fix: port.map(|port| json!({kind.field(): suggested(port)})),
            badness: None,
        },
    );
}

fn served(container: &Container) -> String {
    match container.ports.first() {
        Some(Port { name, number }) if name.is_empty() => format!("; port {number} is served"),
        Some(Port { name, number }) => format!("; port {name:?} ({number}) is served"),
        None => String::new(),
    }
}

/// A handler that fits a port by its name; the path is for the author to say.
fn suggested(port: &Port) -> Value {
    let reference = if port.name.is_empty() { json!(port.number) } else { json!(port.name) };
    match &*port.name {
        name if name.starts_with("grpc") => json!({"grpc": {"port": port.number}}),
        name if name.starts_with("http") => json!({"httpGet": {"path": "/", "port": reference}}),
        _ => json!({"tcpSocket": {"port": reference}}),
    }
}

/// The rules about a single probe.
fn one(context: &mut Context<'_>, container: &Container, kind: ProbeKind, probe: &Probe) {
    for handler in &probe.handlers {
        if context.is_on(Rule::ProbePort) {
            port(context, container, kind, handler);
        }
        if context.is_on(Rule::ProbeHandler) {
            allowed(context, container, kind, handler);
        }
    }
    if context.is_on(Rule::ProbeRange) {
        ranges(context, container, kind, probe);
    }
    if context.is_on(Rule::ProbeTiming) {
        timing(context, container, kind, probe);
    }
}

fn port(context: &mut Context<'_>, container: &Container, kind: ProbeKind, handler: &Handler) {
    let Some(reference) = &handler.port else { return };
    let (message, wanted) = match (reference, container.resolve(reference)) {
        (_, Some(1..=65535)) => return,
        (PortReference::Name(_), None) => {
            let names: Vec<_> =
                container.ports.iter().filter(|port| !port.name.is_empty()).collect();
            let names: Vec<_> = names.iter().map(|port| format!("{:?}", port.name)).collect();
            let wanted = if names.is_empty() {
                "a number, or a port of this name under `ports`".to_owned()
            } else {
                names.join(" or ")
            };
            ("no port of the container has this name, so that the probe always fails", wanted)
        }
        _ => ("there is no such port, so that the probe always fails", "1 to 65535".to_owned()),
    };
    let named = container.ports.iter().find(|port| !port.name.is_empty());
    context.find(
        Some(container),
        Problem {
            rule: Rule::ProbePort,
            field: format!("{}.{}.port", kind.field(), handler.name),
            current: reference.to_string(),
            wanted,
            message: message.to_owned(),
            fix: named.map(|port| json!({kind.field(): {&*handler.name: {"port": port.name}}})),
            badness: None,
        },
    );
}

fn allowed(context: &mut Context<'_>, container: &Container, kind: ProbeKind, handler: &Handler) {
    let allowed = &context.policy.probe(kind).handlers;
    if allowed.is_empty() || allowed.contains(&handler.name) {
        return;
    }
    let wanted = allowed.join(" or ");
    context.find(
        Some(container),
        Problem {
            rule: Rule::ProbeHandler,
            field: format!("{}.{}", kind.field(), handler.name),
            current: handler.name.to_string(),
            wanted,
            message: "this way to probe is not allowed".to_owned(),
            fix: None,
            badness: None,
        },
    );
}

fn ranges(context: &mut Context<'_>, container: &Container, kind: ProbeKind, probe: &Probe) {
    let bounds = context.policy.probe(kind);
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay),
        ("periodSeconds", probe.period),
        ("timeoutSeconds", probe.timeout),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (field, number) in numbers {
        let Some((least, most)) = bounds.ranges.get(field) else { continue };
        let (bound, badness) = match (least, most) {
            (Some(least), _) if number < *least => (*least, least.abs_diff(number)),
            (_, Some(most)) if number > *most => (*most, number.abs_diff(*most)),
            _ => continue,
        };
        let wanted = match (least, most) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            (Some(least), None) => format!("at least {least}"),
            _ => format!("at most {bound}"),
        };
        #[expect(clippy::cast_precision_loss, reason = "only compared with another such number")]
        let badness = badness as f64;
        context.find(
            Some(container),
            Problem {
                rule: Rule::ProbeRange,
                field: format!("{}.{field}", kind.field()),
                current: number.to_string(),
                wanted,
                message: format!("{field} is out of range"),
                fix: Some(json!({kind.field(): {field: bound}})),
                badness: Some(badness),
            },
        );
    }
}

fn timing(context: &mut Context<'_>, container: &Container, kind: ProbeKind, probe: &Probe) {
    let exec = probe.handlers.iter().any(|handler| &*handler.name == "exec");
    let (field, current, wanted, message) = if probe.timeout > probe.period {
        let wanted = format!("at most the period of {}s", probe.period);
        let message = "the timeout is longer than the period, so that failures are noticed late";
        ("timeoutSeconds", format!("{}s", probe.timeout), wanted, message)
    } else if exec && !probe.timeout_written {
        let message = "a command has the default timeout of 1s, which a busy node exceeds";
        ("timeoutSeconds", "1s by default".to_owned(), "a written timeout".to_owned(), message)
    } else {
        return;
    };
    let seconds = probe.timeout.min(probe.period).max(5).min(probe.period);
    context.find(
        Some(container),
        Problem {
            rule: Rule::ProbeTiming,
            field: format!("{}.{field}", kind.field()),
            current,
            wanted,
            message: message.to_owned(),
            fix: Some(json!({kind.field(): {field: seconds}})),
            badness: None,
        },
    );
}

/// The same question, asked of the same port: where it fails, the container should be out of
/// service before it is restarted. Questions that differ are the author's own business.
fn liveness_before_readiness(context: &mut Context<'_>, container: &Container) {
    let (Some(liveness), Some(readiness)) =
        (container.probe(ProbeKind::Liveness), container.probe(ProbeKind::Readiness))
    else {
        return;
    };
    let question = |probe: &Probe| match probe.handlers.as_slice() {
        [Handler { name, port, rest }] => {
            let port =
                port.as_ref().map(|port| container.resolve(port).ok_or_else(|| port.clone()));
            Some((name.clone(), port, rest.clone()))
        }
        _ => None,
    };
    let asked = question(liveness);
    if !context.is_on(Rule::LivenessBeforeReadiness)
        || asked.is_none()
        || asked != question(readiness)
        || liveness.trips_after() > readiness.trips_after()
    {
        return;
    }
    let more = (readiness.trips_after() / liveness.period.max(1)).saturating_add(1);
    context.find(
        Some(container),
        Problem {
            rule: Rule::LivenessBeforeReadiness,
            field: "livenessProbe.failureThreshold".to_owned(),
            current: format!("restart after {}s", liveness.trips_after()),
            wanted: format!("later than out of service after {}s", readiness.trips_after()),
            message: "liveness and readiness ask the same, and liveness trips no later".to_owned(),
            fix: Some(json!({"livenessProbe": {"failureThreshold": more}})),
            badness: None,
        },
    );
}

/// Without a startup probe, liveness has to leave the time that the start takes: what history
/// says, or else what readiness waits for before it asks at all.
fn liveness_during_start(context: &mut Context<'_>, container: &Container) {
    let Some(liveness) = container.probe(ProbeKind::Liveness) else { return };
    if !context.is_on(Rule::LivenessDuringStart) || container.probe(ProbeKind::Startup).is_some() {
        return;
    }
    let seen = context.usage(container).and_then(|usage| usage.start).map(|start| start.as_secs());
    let seen = seen.and_then(|seconds| i64::try_from(seconds).ok());
    let declared = container.probe(ProbeKind::Readiness).map_or(0, |probe| probe.initial_delay);
    let start = seen.unwrap_or(declared);
    let kills = liveness.initial_delay.saturating_add(liveness.trips_after());
    if kills > start {
        return;
    }
    let from = if seen.is_some() { "it has taken to start" } else { "readiness waits for" };
    let more = (start.saturating_mul(2) / liveness.period.max(1)).saturating_add(1);
    context.find(
        Some(container),
        Problem {
            rule: Rule::LivenessDuringStart,
            field: "livenessProbe".to_owned(),
            current: format!("restart {kills}s after the start"),
            wanted: format!("a startupProbe, or more than {start}s"),
            message: format!("liveness kills the container within the {start}s that {from}"),
            fix: Some(json!({"livenessProbe": {"failureThreshold": more}})),
            badness: None,
        },
    );
}
