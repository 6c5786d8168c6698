use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::admission::history::Usage;
use crate::model::autoscaler::{MetricSource, ObjectReference};
use crate::model::limit_range::{Bounds, Limit, LimitTarget};
use crate::model::policy::exemption::{Exemption, ExemptionSpec};
use crate::model::policy::{Rule, Setting};
use crate::model::quantity::Quantity;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn workload(group: &str, kind: &str, pod: &Value) -> Workload {
    let metadata = json!({"name": "cart", "namespace": "shop"});
    let object = if kind == "Pod" {
        json!({"metadata": metadata, "spec": pod})
    } else {
        json!({"metadata": metadata, "spec": {"template": {"spec": pod}}})
    };
    Workload::read(group, kind, &object, &[]).unwrap().unwrap()
}

fn deployment(pod: &Value) -> Workload {
    workload("apps", "Deployment", pod)
}

/// Everything in baseline denies, so that a mode says what became of it.
fn policy() -> Policy {
    let rules = Rule::ALL.iter().filter(|rule| rule.default_mode() > Mode::Off);
    let deny = Setting { mode: Mode::Deny, written: true };
    Policy { modes: rules.map(|rule| (*rule, deny)).collect(), ..Policy::default() }
}

fn with(rule: Rule) -> Policy {
    let mut policy = policy();
    policy.modes.insert(rule, Setting { mode: Mode::Deny, written: true });
    policy
}

/// `rule container` of each finding.
fn found(judgement: &Judgement) -> Vec<String> {
    let name = |finding: &Finding| {
        format!("{} {}", finding.rule, finding.container.as_deref().unwrap_or("-"))
    };
    judgement.findings.iter().map(name).collect()
}

fn alone(workload: &Workload, policy: &Policy) -> Vec<String> {
    found(&judge(workload, None, policy, &Facts::alone(NOW)))
}

fn good(name: &str) -> Value {
    json!({
        "name": name,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}},
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"port": "http"}},
    })
}

fn range(resource: &str, limit: &str) -> Arc<LimitRange> {
    let bounds = Bounds { default: Quantity::parse(limit).ok(), ..Bounds::default() };
    let limit =
        Limit { target: LimitTarget::Container, resources: vec![(resource.into(), bounds)] };
    Arc::new(LimitRange { name: "defaults".into(), limits: vec![limit] })
}

/// The truth table of container classes.
#[test]
fn each_class_is_asked_only_for_what_it_may_have() {
    let workload = deployment(&json!({
        "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}],
        "containers": [{"name": "app"}],
        "ephemeralContainers": [{"name": "debug"}],
    }));
    let asked = |name: &str, rules: &[&str]| -> Vec<String> {
        rules.iter().map(|rule| format!("{rule} {name}")).collect()
    };
    let resources = ["cpuRequest", "memoryRequest", "memoryLimit"];
    let all = ["cpuRequest", "memoryRequest", "memoryLimit", "readinessProbe"];
    let mut expected =
        [asked("setup", &resources), asked("mesh", &all), asked("app", &all)].concat();
    expected.sort();
    let mut found = alone(&workload, &policy());
    found.sort();
    assert_eq!(found, expected);
}

#[test]
fn a_plain_init_container_is_held_to_less() {
    let workload =
        deployment(&json!({"initContainers": [{"name": "setup"}], "containers": [good("app")]}));
    let judgement = judge(&workload, None, &policy(), &Facts::alone(NOW));
    assert!(!judgement.is_denied());
    assert_eq!(judgement.with(Mode::Warn).count(), 3);
}

#[test]
fn resources_of_the_pod_as_a_whole_satisfy_the_rules() {
    let mut app = good("app");
    app["resources"] = json!({});
    let whole = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
    assert_eq!(
        alone(&deployment(&json!({"resources": whole, "containers": [app]})), &policy()),
        [""; 0]
    );
}

#[test]
fn a_template_has_the_defaults_that_its_pods_will_have() {
    let mut app = good("app");
    app["resources"] = json!({"limits": {"cpu": "1"}});
    let workload = deployment(&json!({"containers": [app]}));
    assert_eq!(alone(&workload, &policy()), ["memoryRequest app", "memoryLimit app"]);
    let ranges = [range("memory", "512Mi")];
    let facts = Facts { limit_ranges: Some(&ranges), ..Facts::alone(NOW) };
    let judgement = judge(&workload, None, &policy(), &facts);
    let note = |what: &str| {
        format!(
            "container \"app\" relies on LimitRange \"defaults\" for its memory {what} of 512Mi"
        )
    };
    assert_eq!(
        (found(&judgement), judgement.notes),
        (vec![], vec![note("request"), note("limit")])
    );
}

#[test]
fn what_a_cache_would_tell_is_not_judged_without_it() {
    let workload = deployment(&json!({"containers": [{"name": "app"}]}));
    let facts = Facts { limit_ranges: None, ..Facts::alone(NOW) };
    let judgement = judge(&workload, None, &policy(), &facts);
    assert_eq!(found(&judgement), ["readinessProbe app"]);
    assert_eq!(judgement.notes.len(), 1);
}

/// polaris#215, kube-score#36, kyverno/policies#1528.
#[test]
fn what_runs_to_its_end_is_not_asked_for_probes() {
    let pod = json!({"restartPolicy": "Never", "containers": [{"name": "app", "livenessProbe": {"exec": {}}}]});
    let resources = ["cpuRequest app", "memoryRequest app", "memoryLimit app"];
    assert_eq!(alone(&workload("", "Pod", &pod), &policy()), resources);
    assert_eq!(alone(&workload("batch", "Job", &pod), &policy()), resources);
}

/// kyverno/policies#1335: `kubectl debug`.
#[test]
fn an_ephemeral_container_is_never_blamed() {
    let pod = json!({"containers": [good("app")], "ephemeralContainers": [{"name": "debug"}]});
    assert_eq!(alone(&workload("", "Pod", &pod), &policy()), [""; 0]);
}

/// gatekeeper-library's regular expressions and kyverno's comparison of texts.
#[test]
fn amounts_are_compared_as_numbers_however_they_are_written() {
    let mut policy = with(Rule::QosClass);
    policy.qos_class = crate::model::policy::QosClass::Guaranteed;
    let mut app = good("app");
    app["resources"] = json!({
        "requests": {"cpu": "1000m", "memory": "0.5Gi"}, "limits": {"cpu": "1", "memory": "512Mi"}});
    assert_eq!(alone(&deployment(&json!({"containers": [app]})), &policy), [""; 0]);
}

/// kube-linter blames numbers that no port declares, which need not be declared.
#[test]
fn only_a_port_name_that_does_not_exist_is_blamed() {
    let probe = |port: Value| {
        let mut app = good("app");
        app["readinessProbe"] = json!({"tcpSocket": {"port": port}});
        alone(&deployment(&json!({"containers": [app]})), &policy())
    };
    assert_eq!(probe(json!(9999)), [""; 0]);
    assert_eq!(probe(json!("8080")), [""; 0]);
    assert_eq!(probe(json!("web")), ["probePort app"]);
    assert_eq!(probe(json!(0)), ["probePort app"]);
    assert_eq!(probe(json!(70000)), ["probePort app"]);
}

/// kube-score#339: only the same question that trips no later is a problem.
#[test]
fn liveness_may_ask_the_same_as_readiness_if_it_is_slower() {
    let pod = |liveness: Value| {
        let mut app = good("app");
        app["livenessProbe"] = liveness;
        alone(&deployment(&json!({"containers": [app]})), &policy())
    };
    let blamed = ["livenessBeforeReadiness app"];
    assert_eq!(pod(json!({"httpGet": {"port": "http"}})), blamed);
    assert_eq!(pod(json!({"httpGet": {"port": 8080}})), blamed);
    assert_eq!(pod(json!({"httpGet": {"port": "http"}, "failureThreshold": 6})), [""; 0]);
    assert_eq!(pod(json!({"httpGet": {"port": "http", "path": "/live"}})), [""; 0]);
}

/// kyverno#8815, #9044: a violator that exists can be touched.
#[test]
fn only_what_an_update_adds_or_worsens_is_denied() {
    let pod = |containers: &Value| deployment(&json!({"containers": containers}));
    let bare = pod(&json!([{"name": "app"}]));
    let modes = |new: &Workload, old: &Workload| {
        let judgement = judge(new, Some(old), &policy(), &Facts::alone(NOW));
        (judgement.with(Mode::Deny).count(), judgement.with(Mode::Warn).count())
    };
    assert_eq!(modes(&pod(&json!([{"name": "app", "image": "app:2"}])), &bare), (0, 4));
    assert_eq!(modes(&pod(&json!([{"name": "new"}, {"name": "app"}])), &bare), (4, 4));
    assert_eq!(modes(&bare, &pod(&json!([good("app")]))), (4, 0));
}

#[test]
fn a_value_out_of_bounds_may_get_better_and_not_worse() {
    let mut policy = policy();
    policy.standard.maximum.insert("memory".into(), Quantity::parse("1Gi").unwrap());
    let pod = |limit: &str| {
        let mut app = good("app");
        app["resources"]["limits"]["memory"] = json!(limit);
        deployment(&json!({"containers": [app]}))
    };
    let denied =
        |new, old| judge(&pod(new), Some(&pod(old)), &policy, &Facts::alone(NOW)).is_denied();
    assert!(denied("3Gi", "2Gi"));
    assert!(!denied("2Gi", "3Gi"));
    assert!(denied("2Gi", "1Gi"));
}

#[test]
fn a_rollback_to_a_revision_that_exists_goes_through() {
    let old = deployment(&json!({"containers": [{"name": "app"}]}));
    let new = deployment(&json!({"containers": [good("app")]}));
    let revisions = [old.pod.fingerprint()];
    let facts = Facts { revisions: Some(&revisions), ..Facts::alone(NOW) };
    assert!(!judge(&old, Some(&new), &policy(), &facts).is_denied());
    assert!(judge(&old, Some(&new), &policy(), &Facts::alone(NOW)).is_denied());
}

#[test]
fn pods_of_a_judged_owner_are_audited_only() {
    let pod = workload("", "Pod", &json!({"containers": [{"name": "app"}]}));
    let most = |owner| {
        let facts = Facts { owner, ..Facts::alone(NOW) };
        judge(&pod, None, &policy(), &facts).findings.iter().map(|finding| finding.mode).max()
    };
    assert_eq!(most(OwnerVerdict::Judged), Some(Mode::Audit));
    assert_eq!(most(OwnerVerdict::Unknown), Some(Mode::Warn));
    assert_eq!(most(OwnerVerdict::NotJudged), Some(Mode::Deny));
}

#[test]
fn mirror_pods_and_what_is_being_deleted_are_not_judged() {
    for metadata in [
        json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        json!({"annotations": {"kubernetes.io/config.mirror": "x"}}),
    ] {
        let object = json!({"metadata": metadata, "spec": {"containers": [{"name": "app"}]}});
        let pod = Workload::read("", "Pod", &object, &[]).unwrap().unwrap();
        assert_eq!(alone(&pod, &policy()), [""; 0]);
    }
}

/// kyverno#7987: the name of an injected sidecar exempted the whole pod.
#[test]
fn an_exempt_container_leaves_the_others_judged() {
    let spec = ExemptionSpec {
        containers: vec!["istio-proxy".to_owned()],
        reason: "injected".to_owned(),
        expires: "2030-01-01".to_owned(),
        ..ExemptionSpec::default()
    };
    let exemptions = vec![Exemption::compile("e".to_owned(), spec).unwrap()];
    let policy = Policy { exemptions, ..policy() };
    let workload = deployment(&json!({"containers": [{"name": "istio-proxy"}, {"name": "app"}]}));
    let judgement = judge(&workload, None, &policy, &Facts::alone(NOW));
    assert!(judgement.findings.iter().all(|finding| finding.container.as_deref() == Some("app")));
    assert_eq!((judgement.findings.len(), judgement.exempted.len()), (4, 4));
}

#[test]
fn a_limit_below_what_was_used_is_a_finding_with_a_proposal() {
    let usage = Usage {
        window: Duration::from_hours(7 * 24),
        samples: 5000,
        memory_peak: 412.0 * 1024.0 * 1024.0,
        memory_p99: 380.0 * 1024.0 * 1024.0,
        cpu_p99: 0.1,
        ..Usage::default()
    };
    let history = History { containers: [("app".into(), usage)].into() };
    let facts = Facts { history: Some(&history), ..Facts::alone(NOW) };
    let judgement =
        judge(&deployment(&json!({"containers": [good("app")]})), None, &policy(), &facts);
    let wanted: Vec<_> =
        judgement.findings.iter().map(|f| (f.rule, &*f.current, &*f.wanted)).collect();
    assert_eq!(wanted, [(Rule::LimitBelowPeak, "256Mi", "at least 480Mi")]);
}

/// istio#13977: one sidecar without a request keeps the HPA from scaling.
#[test]
fn an_autoscaler_needs_the_requests_of_all_that_runs_on() {
    let target = ObjectReference {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        name: "cart".into(),
    };
    let autoscaler = Arc::new(Autoscaler {
        namespace: "shop".into(),
        name: "cart".into(),
        uid: "".into(),
        target,
        min_replicas: 1,
        max_replicas: 3,
        metrics: Vec::new(),
        utilization: vec![MetricSource::Resource("cpu".into())],
    });
    let mut policy = policy();
    policy.modes.insert(Rule::CpuRequest, Setting { mode: Mode::Off, written: true });
    let mut mesh = good("mesh");
    mesh["resources"]["requests"] = json!({"memory": "1Mi"});
    mesh["restartPolicy"] = json!("Always");
    let workload = deployment(&json!({"initContainers": [mesh], "containers": [good("app")]}));
    let autoscalers = [autoscaler];
    let facts = Facts { autoscalers: Some(&autoscalers), ..Facts::alone(NOW) };
    assert_eq!(found(&judge(&workload, None, &policy, &facts)), ["autoscalerRequest mesh"]);
}
