//! The section `admission`: modes of rules, bounds, kinds with pod templates, exemptions.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde_saphyr::{Location, Spanned};

use super::file::{Entry, Text};
use super::report::Report;
use crate::model::policy::exemption::{Exemption, ExemptionSpec, MAX_EXEMPTIONS};
use crate::model::policy::{
    Amounts, Mode, Mutation, Policy, ProbeBounds, ProbeKind, Profile, QosClass, Rule, Setting,
    Template,
};
use crate::model::quantity::Quantity;

/// The section as it is written.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Section {
    rules: Option<BTreeMap<String, Text>>,
    init_containers: Option<Text>,
    qos_class: Option<Text>,
    bounds: Option<Bounds>,
    profiles: Option<BTreeMap<String, Entry<Bounds>>>,
    probes: Option<Probes>,
    templates: Option<Vec<Entry<PodTemplate>>>,
    exemptions: Option<Vec<Entry<ExemptionSpec>>>,
    mutation: Option<Spanned<Mutate>>,
    history: Option<Histories>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Bounds {
    minimum: Option<BTreeMap<String, Text>>,
    maximum: Option<BTreeMap<String, Text>>,
    ratio: Option<BTreeMap<String, Text>>,
    requests: Option<BTreeMap<String, Text>>,
    limits: Option<BTreeMap<String, Text>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Probes {
    readiness: Option<Probe>,
    liveness: Option<Probe>,
    startup: Option<Probe>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Probe {
    handlers: Option<Vec<String>>,
    initial_delay_seconds: Option<Spanned<Range>>,
    period_seconds: Option<Spanned<Range>>,
    timeout_seconds: Option<Spanned<Range>>,
    success_threshold: Option<Spanned<Range>>,
    failure_threshold: Option<Spanned<Range>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Range {
    minimum: Option<i64>,
    maximum: Option<i64>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct PodTemplate {
    group: String,
    kind: String,
    pointer: String,
    run_to_completion: bool,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Mutate {
    from_history: bool,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Histories {
    enabled: bool,
}

/// Compiles the section; what is wrong goes to the report and is left out.
pub(super) fn policy(section: Section, report: &mut Report<'_>) -> Policy {
    let mut policy = Policy::default();
    modes(section.rules.unwrap_or_default(), &mut policy, report);
    if let Some(text) = section.init_containers {
        policy.init_containers =
            mode(&text, "admission.initContainers", report).unwrap_or(policy.init_containers);
    }
    if let Some(text) = section.qos_class {
        policy.qos_class = match text.value.as_str() {
            "Guaranteed" => QosClass::Guaranteed,
            "Burstable" => QosClass::Burstable,
            other => {
                let what = format!("{other:?} is no QoS class to ask for: Guaranteed or Burstable");
                report.error(text.referenced, "admission.qosClass".to_owned(), what);
                policy.qos_class
            }
        };
    }
    if let Some(bounds) = section.bounds {
        if bounds.ratio.is_some() {
            follow(&mut policy, Rule::Ratio);
        }
        policy.standard = profile(bounds, &policy.standard, "admission.bounds", report);
    }
    for (name, entry) in section.profiles.unwrap_or_default() {
        let path = format!("admission.profiles.{name}");
        let bounds = entry.value.unwrap_or_default();
        if bounds.ratio.is_some() {
            follow(&mut policy, Rule::Ratio);
        }
        let profile = profile(bounds, &policy.standard, &path, report);
        policy.profiles.insert(name.into(), profile);
    }
    probes(section.probes.unwrap_or_default(), &mut policy, report);
    policy.templates = templates(section.templates.unwrap_or_default(), report);
    policy.exemptions = exemptions(section.exemptions.unwrap_or_default(), report);
    policy.mutation =
        section.mutation.map(|mutate| Mutation { from_history: mutate.value.from_history });
    policy.history = section.history.is_none_or(|history| history.enabled);
    policy
}

fn mode(text: &Text, path: &str, report: &mut Report<'_>) -> Option<Mode> {
    let mode = Mode::parse(&text.value);
    if mode.is_none() {
        let what = format!("{:?} is no mode: off, audit, warn or deny", text.value);
        report.error(text.referenced, path.to_owned(), what);
    }
    mode
}

fn modes(rules: BTreeMap<String, Text>, policy: &mut Policy, report: &mut Report<'_>) {
    for (name, text) in rules {
        let path = format!("admission.rules.{name}");
        let Some(rule) = Rule::parse(&name) else {
            let names: Vec<_> = Rule::ALL.iter().map(|rule| rule.name()).collect();
            let what = format!("there is no such rule: {}", names.join(", "));
            report.error(text.referenced, path, what);
            continue;
        };
        if let Some(mode) = mode(&text, &path, report) {
            policy.modes.insert(rule, Setting { mode, written: true });
        }
    }
    let on = |rule| policy.modes.get(&rule).is_some_and(|setting| setting.mode > Mode::Off);
    if on(Rule::CpuLimit) && on(Rule::NoCpuLimit) {
        let what = "cpuLimit and noCpuLimit cannot both hold: switch one off";
        report.error(Location::UNKNOWN, "admission.rules".to_owned(), what);
    }
}

/// Bounds that somebody writes are meant to hold: the rule warns where nobody says how hard.
fn follow(policy: &mut Policy, rule: Rule) {
    policy.modes.entry(rule).or_insert(Setting { mode: Mode::Warn, written: false });
}

fn profile(bounds: Bounds, standard: &Profile, path: &str, report: &mut Report<'_>) -> Profile {
    let mut amounts =
        |field: &str, written: Option<BTreeMap<String, Text>>, otherwise: &Amounts| {
            let Some(written) = written else { return otherwise.clone() };
            let mut amounts = Amounts::new();
            for (resource, text) in written {
                match Quantity::parse(&text.value) {
                    Ok(amount) => drop(amounts.insert(resource.into(), amount)),
                    Err(error) => {
                        let path = format!("{path}.{field}.{resource}");
                        report.error(text.referenced, path, format!("{:?}: {error}", text.value));
                    }
                }
            }
            amounts
        };
    let profile = Profile {
        minimum: amounts("minimum", bounds.minimum, &standard.minimum),
        maximum: amounts("maximum", bounds.maximum, &standard.maximum),
        ratio: amounts("ratio", bounds.ratio, &standard.ratio),
        requests: amounts("requests", bounds.requests, &standard.requests),
        limits: amounts("limits", bounds.limits, &standard.limits),
    };
    let pairs = [
        ("minimum", &profile.minimum, "maximum", &profile.maximum),
        ("minimum", &profile.minimum, "requests", &profile.requests),
        ("requests", &profile.requests, "limits", &profile.limits),
        ("limits", &profile.limits, "maximum", &profile.maximum),
    ];
    for (less, lower, more, upper) in pairs {
        for (resource, amount) in lower {
            if let Some(other) = upper.get(resource).filter(|other| amount > *other) {
                let what = format!("{less} of {resource} is {amount}, above {more} of {other}");
                report.error(Location::UNKNOWN, path.to_owned(), what);
            }
        }
    }
    profile
}

fn probes(probes: Probes, policy: &mut Policy, report: &mut Report<'_>) {
    let mut is_written = false;
    let written = [probes.readiness, probes.liveness, probes.startup];
    for ((kind, probe), bounds) in ProbeKind::ALL.into_iter().zip(written).zip(&mut policy.probes) {
        let Some(probe) = probe else { continue };
        let path = format!("admission.probes.{}", kind.field().trim_end_matches("Probe"));
        is_written |= one_probe(probe, bounds, &path, report);
    }
    if is_written {
        follow(policy, Rule::ProbeRange);
    }
}

/// Whether a range is written.
fn one_probe(probe: Probe, bounds: &mut ProbeBounds, path: &str, report: &mut Report<'_>) -> bool {
    let handlers = probe.handlers.unwrap_or_default();
    bounds.handlers = handlers.into_iter().map(String::into_boxed_str).collect();
    let ranges = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("periodSeconds", probe.period_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    let mut is_written = false;
    for (field, range) in ranges {
        let Some(Spanned { value: Range { minimum, maximum }, referenced, .. }) = range else {
            continue;
        };
        is_written = true;
        if minimum.zip(maximum).is_some_and(|(minimum, maximum)| minimum > maximum) {
            report.error(referenced, format!("{path}.{field}"), "minimum is above maximum");
        }
        bounds.ranges.insert(field.into(), (minimum, maximum));
    }
    is_written
}

fn templates(entries: Vec<Entry<PodTemplate>>, report: &mut Report<'_>) -> Vec<Template> {
    let mut templates = Vec::new();
    for (index, Spanned { value, referenced, .. }) in entries.into_iter().enumerate() {
        let PodTemplate { group, kind, pointer, run_to_completion } = value.unwrap_or_default();
        let path = format!("admission.templates[{index}]");
        if group.is_empty() || kind.is_empty() {
            let what = "`group` and `kind` are needed, as in argoproj.io and Rollout";
            report.error(referenced, path, what);
            continue;
        }
        let Some(pointer) = pointer.strip_prefix('/') else {
            let what = "`pointer` is needed and starts with a slash, as in /spec/template";
            report.error(referenced, path, what);
            continue;
        };
        // RFC 6901: ~1 is a slash and ~0 a tilde.
        let unescape = |step: &str| step.replace("~1", "/").replace("~0", "~").into_boxed_str();
        let steps = pointer.split('/').map(unescape).collect();
        let (group, kind) = (group.into(), kind.into());
        templates.push(Template { group, kind, steps, run_to_completion });
    }
    templates
}

fn exemptions(entries: Vec<Entry<ExemptionSpec>>, report: &mut Report<'_>) -> Vec<Exemption> {
    let mut exemptions = Vec::new();
    for (index, Spanned { value, referenced, .. }) in entries.into_iter().enumerate() {
        let path = format!("admission.exemptions[{index}]");
        if index == MAX_EXEMPTIONS {
            report.error(referenced, path, format!("more than {MAX_EXEMPTIONS} exemptions"));
            break;
        }
        match Exemption::compile(path.clone(), value.unwrap_or_default()) {
            Ok(exemption) => exemptions.push(exemption),
            Err(error) => report.error(referenced, path, error.to_string()),
        }
    }
    exemptions
}
