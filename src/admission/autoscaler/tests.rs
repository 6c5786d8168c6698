use serde_json::json;

use super::*;
use crate::admission::judge::judge_autoscaler;
use crate::model::policy::Policy;

fn hpa(metrics: &Value) -> Autoscaler {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"});
    let spec = json!({"scaleTargetRef": target, "maxReplicas": 3, "metrics": metrics});
    read(&json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": spec})).unwrap()
}

fn facts<'a>(target: Target<'a>, served: &'a Served) -> AutoscalerFacts<'a> {
    AutoscalerFacts {
        namespace: None,
        limit_ranges: Some(&[]),
        autoscalers: Some(&[]),
        served: Some(served),
        target,
        now: Timestamp::UNIX_EPOCH,
    }
}

/// `rule path current → wanted` of each finding.
fn found(autoscaler: &Autoscaler, facts: &AutoscalerFacts<'_>) -> Vec<String> {
    let judgement = judge_autoscaler(autoscaler, None, &Policy::default(), facts);
    let line = |finding: &super::super::finding::Finding| {
        let super::super::finding::Finding { rule, path, current, wanted, .. } = finding;
        format!("{rule} {path} {current} → {wanted}")
    };
    judgement.findings.iter().map(line).collect()
}

fn workload() -> Workload {
    let containers =
        json!([{"name": "app"}, {"name": "web", "resources": {"requests": {"cpu": 1}}}]);
    let object = json!({"metadata": {"name": "cart"}, "spec": {"template": {"spec": {"containers": containers}}}});
    Workload::read("apps", "Deployment", &object, &[]).unwrap().unwrap()
}

#[test]
fn only_shares_of_requests_need_requests() {
    let served = Served::default();
    let workload = workload();
    let facts = facts(Target::Workload(&workload), &served);
    let missing = |path: &str| {
        format!(
            "autoscalerRequest {path} Deployment cart has no cpu request → \
             spec.template.spec.containers[0].resources.requests.cpu"
        )
    };
    let resource = |kind: &str| json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": kind}}}]);
    assert_eq!(found(&hpa(&json!([])), &facts), [missing("spec.metrics")]);
    assert_eq!(found(&hpa(&resource("Utilization")), &facts), [missing("spec.metrics[0]")]);
    assert_eq!(found(&hpa(&resource("AverageValue")), &facts), [""; 0]);
    let one = |container: &str| {
        json!([{"type": "ContainerResource", "containerResource":
            {"name": "cpu", "container": container, "target": {"type": "Utilization"}}}])
    };
    assert_eq!(found(&hpa(&one("web")), &facts), [""; 0]);
    assert_eq!(
        found(&hpa(&one("proxy")), &facts),
        ["autoscalerContainer spec.metrics[0].containerResource.container \"proxy\" → \
          one of \"app\", \"web\""]
    );
}

#[test]
fn a_metric_that_nothing_serves_is_told_with_the_nearest_names() {
    let served = Served {
        pods: ["http_requests_per_second".into(), "queue_depth".into()].into(),
        ..Served::default()
    };
    let pods = |name: &str| json!([{"type": "Pods", "pods": {"metric": {"name": name}}}]);
    let facts = facts(Target::Exists, &served);
    assert_eq!(found(&hpa(&pods("queue_depth")), &facts), [""; 0]);
    assert_eq!(
        found(&hpa(&pods("http_request_per_second")), &facts),
        ["autoscalerMetric spec.metrics[0].pods.metric.name \"http_request_per_second\" → \
          \"http_requests_per_second\""]
    );
}

#[test]
fn a_target_that_is_not_there_and_one_that_is_scaled_twice_are_told() {
    let served = Served::default();
    let other = Arc::new(Autoscaler { name: "other".into(), ..hpa(&json!(null)) });
    let others = [other];
    let value = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "AverageValue"}}}]);
    let facts = AutoscalerFacts { autoscalers: Some(&others), ..facts(Target::Absent, &served) };
    assert_eq!(
        found(&hpa(&value), &facts),
        [
            "autoscalerTarget spec.scaleTargetRef Deployment cart → an object that exists",
            "autoscalerDuplicate spec.scaleTargetRef Deployment cart, as in \
             HorizontalPodAutoscaler \"other\" → one autoscaler with the metrics of both",
        ]
    );
}
