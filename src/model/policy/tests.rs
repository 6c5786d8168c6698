use std::sync::Arc;

use super::*;

fn labels(text: &str) -> LabelSet {
    let mut labels: Vec<_> =
        text.split_whitespace().filter_map(|label| label.split_once('=')).collect();
    labels.sort_unstable();
    labels.into_iter().map(|(key, value)| (Arc::from(key), Arc::from(value))).collect()
}

fn mode(rule: Rule, setting: Option<Mode>, text: &str) -> Mode {
    let modes = setting.map(|mode| (rule, Setting { mode, written: true }));
    let policy = Policy { modes: modes.into_iter().collect(), ..Policy::default() };
    policy.mode(rule, Some(&labels(text)))
}

#[test]
fn a_namespace_without_a_label_warns() {
    let warned = Rule::ALL.iter().filter(|rule| rule.level() == Some(Level::Baseline));
    let modes: Vec<_> = warned.map(|rule| (rule.name(), mode(*rule, None, ""))).collect();
    let expected = ["cpuRequest", "memoryRequest", "memoryLimit", "readinessProbe"];
    assert_eq!(modes, expected.map(|name| (name, Mode::Warn)));
    assert_eq!(mode(Rule::ProbePort, None, ""), Mode::Deny);
    assert_eq!(mode(Rule::LivenessProbe, None, ""), Mode::Off);
}

#[test]
fn labels_raise_the_rules_of_their_level() {
    let strict = "plimsoll.dev/enforce=baseline plimsoll.dev/warn=strict";
    assert_eq!(mode(Rule::MemoryLimit, None, strict), Mode::Deny);
    assert_eq!(mode(Rule::LivenessProbe, None, strict), Mode::Warn);
    assert_eq!(mode(Rule::CpuLimit, None, strict), Mode::Off);
    assert_eq!(mode(Rule::AutoscalerMetric, None, strict), Mode::Warn);
    assert_eq!(mode(Rule::MemoryLimit, None, "plimsoll.dev/audit=baseline"), Mode::Audit);
    assert_eq!(mode(Rule::MemoryLimit, None, "plimsoll.dev/enforce=everything"), Mode::Warn);
}

#[test]
fn what_the_file_says_is_the_least_and_off_is_off() {
    let enforce = "plimsoll.dev/enforce=baseline";
    let audit = "plimsoll.dev/audit=baseline";
    assert_eq!(mode(Rule::MemoryLimit, Some(Mode::Off), enforce), Mode::Off);
    assert_eq!(mode(Rule::MemoryLimit, Some(Mode::Warn), enforce), Mode::Deny);
    assert_eq!(mode(Rule::MemoryLimit, Some(Mode::Deny), audit), Mode::Deny);
}

#[test]
fn labels_that_mean_nothing_are_named() {
    let labels = labels("a=b plimsoll.dev/enforce=hard plimsoll.dev/profile=tiny");
    let unknown = unknown_labels(&Policy::default(), &labels);
    assert_eq!(unknown, ["plimsoll.dev/enforce=hard", "plimsoll.dev/profile=tiny"]);
}
