use crate::config::parse;
use crate::model::policy::{Mode, Rule, Setting};
use crate::model::quantity::Quantity;

const FILE: &str = r#"
admission:
  rules:
    memoryLimit: deny
    readinessProbe: "off"
  initContainers: audit
  qosClass: Guaranteed
  bounds:
    minimum: {memory: 32Mi}
    ratio: {cpu: 10}
  profiles:
    small: {limits: {memory: 1Gi}}
  probes:
    readiness: {handlers: [httpGet], periodSeconds: {minimum: 2, maximum: 30}}
  templates:
  - {group: argoproj.io, kind: Rollout, pointer: /spec/template}
  exemptions:
  - {containers: [istio-proxy], reason: the mesh, expires: 2027-03-31}
  mutation: {fromHistory: true}
"#;

#[test]
fn the_section_becomes_a_policy() {
    let policy = parse("f", FILE).unwrap().admission;
    let written = |mode| Setting { mode, written: true };
    let follows = Setting { mode: Mode::Warn, written: false };
    let modes: Vec<_> = policy.modes.iter().map(|(rule, setting)| (*rule, *setting)).collect();
    assert_eq!(
        modes,
        [
            (Rule::MemoryLimit, written(Mode::Deny)),
            (Rule::Ratio, follows),
            (Rule::ReadinessProbe, written(Mode::Off)),
            (Rule::ProbeRange, follows),
        ]
    );
    let small = &policy.profiles["small"];
    assert_eq!(small.minimum["memory"], Quantity::parse("32Mi").unwrap());
    assert_eq!(small.limits["memory"], Quantity::parse("1Gi").unwrap());
    assert_eq!(policy.probes[0].ranges["periodSeconds"], (Some(2), Some(30)));
    assert_eq!(&*policy.templates[0].steps[1], "template");
    assert_eq!(policy.exemptions[0].reason(), "the mesh");
    assert!(policy.mutation.unwrap().from_history);
}

#[test]
fn every_mistake_of_the_section_is_told_with_its_place() {
    let text = r"
admission:
  rules:
    memoryLimits: deny
    cpuLimit: refuse
  initContainers: never
  qosClass: BestEffort
  bounds:
    minimum: {memory: 1 Gi, cpu: 2}
    maximum: {cpu: 1}
  probes:
    liveness: {timeoutSeconds: {minimum: 3, maximum: 2}}
  templates:
  - {kind: Rollout}
  - {group: g, kind: K, pointer: spec}
  exemptions:
  - {names: [a]}
";
    let error = parse("f", text).unwrap_err();
    let places: Vec<_> = error
        .problems()
        .iter()
        .map(|line| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    assert_eq!(
        places,
        [
            "f:5: admission.rules.cpuLimit",
            "f:4: admission.rules.memoryLimits",
            "f:6: admission.initContainers",
            "f:7: admission.qosClass",
            "f:9: admission.bounds.minimum.memory",
            "f: admission.bounds",
            "f:12: admission.probes.liveness.timeoutSeconds",
            "f:14: admission.templates[0]",
            "f:15: admission.templates[1]",
            "f:17: admission.exemptions[0]",
        ]
    );
}
