//! The rules about probes, each by what it says.

use serde_json::{Value, json};

use crate::admission::history::{History, Usage};
use crate::admission::judge::{Facts, judge};
use crate::admission::workload::Workload;
use crate::model::policy::{Mode, Policy, Rule, Setting};

/// What one rule finds at a container: `path: current → wanted`.
fn found(rule: Rule, policy: Policy, container: &Value, history: Option<&History>) -> Vec<String> {
    let mut policy = policy;
    policy.modes.insert(rule, Setting { mode: Mode::Deny, written: true });
    let object = json!({"spec": {"template": {"spec": {"containers": [container]}}}});
    let workload = Workload::read("apps", "Deployment", &object, &[]).unwrap().unwrap();
    let facts = Facts { history, ..Facts::alone(jiff::Timestamp::UNIX_EPOCH) };
    let judgement = judge(&workload, None, &policy, &facts);
    let findings = judgement.findings.iter().filter(|finding| finding.rule == rule);
    findings
        .map(|finding| {
            let field = finding.path.trim_start_matches("spec.template.spec.containers[0].");
            format!("{field}: {} → {}", finding.current, finding.wanted)
        })
        .collect()
}

fn with_probes(probes: &Value) -> Value {
    let mut container = json!({"name": "app", "ports": [{"name": "http", "containerPort": 8080}]});
    container.as_object_mut().unwrap().extend(probes.as_object().unwrap().clone());
    container
}

#[test]
fn a_handler_that_is_not_on_the_list_is_found() {
    let mut policy = Policy::default();
    policy.probes[1].handlers = vec!["httpGet".into(), "grpc".into()];
    let container = with_probes(&json!({
        "readinessProbe": {"exec": {"command": ["true"]}},
        "livenessProbe": {"exec": {"command": ["true"]}},
    }));
    assert_eq!(
        found(Rule::ProbeHandler, policy, &container, None),
        ["livenessProbe.exec: exec → httpGet or grpc"]
    );
}

#[test]
fn numbers_out_of_range_are_found_with_the_defaults_that_count() {
    let mut policy = Policy::default();
    let ranges = &mut policy.probes[0].ranges;
    ranges.insert("periodSeconds".into(), (Some(5), Some(30)));
    ranges.insert("timeoutSeconds".into(), (Some(2), None));
    let said = |readiness: Value| {
        let container = with_probes(&json!({"readinessProbe": readiness}));
        found(Rule::ProbeRange, policy.clone(), &container, None)
    };
    assert_eq!(
        said(json!({"httpGet": {"port": 80}, "periodSeconds": 60})),
        [
            "readinessProbe.periodSeconds: 60 → 5 to 30",
            "readinessProbe.timeoutSeconds: 1 → at least 2",
        ]
    );
    assert_eq!(
        said(json!({"httpGet": {"port": 80}, "periodSeconds": 30, "timeoutSeconds": 2})),
        [""; 0]
    );
}

#[test]
fn a_timeout_beyond_the_period_and_a_command_with_the_default_timeout_are_found() {
    let said = |probe: Value| {
        let container = with_probes(&json!({"readinessProbe": probe}));
        found(Rule::ProbeTiming, Policy::default(), &container, None)
    };
    let http = json!({"httpGet": {"port": 80}, "periodSeconds": 10, "timeoutSeconds": 10});
    assert_eq!(said(http), [""; 0]);
    let late = json!({"httpGet": {"port": 80}, "periodSeconds": 10, "timeoutSeconds": 11});
    assert_eq!(said(late), ["readinessProbe.timeoutSeconds: 11s → at most the period of 10s"]);
    let command = json!({"exec": {"command": ["true"]}});
    assert_eq!(said(command), ["readinessProbe.timeoutSeconds: 1s by default → a written timeout"]);
    let written = json!({"exec": {"command": ["true"]}, "timeoutSeconds": 1});
    assert_eq!(said(written), [""; 0]);
}

#[test]
fn liveness_that_kills_before_the_start_is_done_is_found() {
    let liveness = json!({"httpGet": {"port": 80}, "periodSeconds": 5, "failureThreshold": 2});
    let readiness = json!({"httpGet": {"port": 80}, "initialDelaySeconds": 60});
    let rule = Rule::LivenessDuringStart;
    let said = |probes: Value, history: Option<&History>| {
        found(rule, Policy::default(), &with_probes(&probes), history)
    };
    let both = json!({"livenessProbe": liveness, "readinessProbe": readiness});
    let told = said(both.clone(), None);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].ends_with("a startupProbe, or more than 60s"), "{told:?}");
    let mut started = both;
    started["startupProbe"] = json!({"httpGet": {"port": 80}});
    assert_eq!(said(started, None), [""; 0]);
    // What was seen counts more than what is declared.
    let seen = |seconds| {
        let start = Some(std::time::Duration::from_secs(seconds));
        let usage = Usage { samples: 1, start, ..Usage::default() };
        History { containers: [("app".into(), usage)].into() }
    };
    let alone = json!({"livenessProbe": liveness});
    assert_eq!(said(alone.clone(), Some(&seen(5))), [""; 0]);
    let told = said(alone, Some(&seen(30)));
    assert!(told[0].ends_with("a startupProbe, or more than 30s"), "{told:?}");
}

#[test]
fn a_cpu_limit_is_found_where_it_is_forbidden() {
    let limited = json!({"name": "app", "resources": {"limits": {"cpu": "1", "memory": "1Gi"}}});
    assert_eq!(
        found(Rule::NoCpuLimit, Policy::default(), &limited, None),
        ["resources.limits.cpu: 1 → no limit"]
    );
    let free = json!({"name": "app", "resources": {"limits": {"memory": "1Gi"}}});
    assert_eq!(found(Rule::NoCpuLimit, Policy::default(), &free, None), [""; 0]);
}

/// The API server would refuse some of these numbers, but it asks us first.
#[test]
fn no_number_makes_a_rule_panic() {
    for number in [i64::MIN, -1, 0, 1, i64::MAX] {
        let probe = json!({"httpGet": {"port": number}, "initialDelaySeconds": number,
            "periodSeconds": number, "timeoutSeconds": number, "failureThreshold": number,
            "successThreshold": number});
        let container = with_probes(&json!({"livenessProbe": probe, "readinessProbe": probe}));
        for rule in Rule::ALL {
            let _findings = found(*rule, Policy::default(), &container, None);
        }
    }
}
