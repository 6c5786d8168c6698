//! What is judged by what surrounds an object: limit ranges, autoscalers, revisions, metrics.

use serde_json::{Value, json};

use super::{merge, post, review, start_with, verdict};
use crate::support::plimsoll::Plimsoll;
use crate::support::prometheus::FakePrometheus;

/// A namespace that enforces and gives CPU and memory to who says nothing, one that gives nothing,
/// and in both a Deployment with an autoscaler and a former revision.
const OBJECTS: &str = r"
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {plimsoll.dev/enforce: baseline}}
  - apiVersion: v1
    kind: Namespace
    metadata: {name: given, labels: {plimsoll.dev/enforce: baseline}}
  - apiVersion: v1
    kind: LimitRange
    metadata: {name: gifts, namespace: given}
    spec:
      limits:
        - type: Container
          default: {memory: 256Mi}
          defaultRequest: {cpu: 100m, memory: 128Mi}
  - apiVersion: apps/v1
    kind: Deployment
    metadata: {name: cart, namespace: shop}
    spec:
      template:
        spec:
          initContainers: [{name: proxy, image: p, restartPolicy: Always}]
          containers: [{name: app, image: a, resources: {requests: {cpu: 1}}}]
  - apiVersion: apps/v1
    kind: ReplicaSet
    metadata:
      name: cart-1
      namespace: shop
      ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: cart, uid: u, controller: true}]
    spec: {template: {spec: {containers: [{name: app, image: 'cart:0'}]}}}
  - apiVersion: autoscaling/v2
    kind: HorizontalPodAutoscaler
    metadata: {name: cart, namespace: shop}
    spec:
      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: cart}
      maxReplicas: 5
";

async fn denied(plimsoll: &Plimsoll, review: &Value) -> Option<String> {
    let answer = post(plimsoll, "/validate?timeout=2s", review.to_string()).await;
    let uid = review["request"]["uid"].as_str().unwrap();
    let response = verdict(&answer, uid, false, "facts");
    response["status"]["message"].as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_limit_range_gives_what_a_template_does_not_say() {
    let prometheus = FakePrometheus::start().await;
    let plimsoll = start_with(OBJECTS, prometheus.url().as_str()).await;
    let mut silent = review();
    let pod = "/request/object/spec/template/spec/containers/0";
    silent.pointer_mut(pod).unwrap().as_object_mut().unwrap().remove("resources");
    let message = denied(&plimsoll, &silent).await.unwrap();
    assert!(message.contains("resources.limits.memory missing"), "{message}");
    silent["request"]["namespace"] = json!("given");
    assert_eq!(denied(&plimsoll, &silent).await, None);
}

#[tokio::test]
async fn a_rollback_to_a_revision_that_exists_goes_through_and_a_new_violation_does_not() {
    let prometheus = FakePrometheus::start().await;
    let plimsoll = start_with(OBJECTS, prometheus.url().as_str()).await;
    let mut rollback = review();
    rollback["request"]["operation"] = json!("UPDATE");
    rollback["request"]["oldObject"] = rollback["request"]["object"].clone();
    let old = json!([{"name": "app", "image": "cart:0"}]);
    rollback["request"]["object"]["spec"]["template"]["spec"]["containers"] = old;
    assert_eq!(denied(&plimsoll, &rollback).await, None);
    let new = json!([{"name": "app", "image": "cart:2"}]);
    rollback["request"]["object"]["spec"]["template"]["spec"]["containers"] = new;
    let message = denied(&plimsoll, &rollback).await.unwrap();
    assert!(message.starts_with("Deployment shop/cart: "), "{message}");
}

fn hpa(spec: &Value) -> Value {
    let kind = json!({"group": "autoscaling", "version": "v2", "kind": "HorizontalPodAutoscaler"});
    let resource = json!({
        "group": "autoscaling", "version": "v2", "resource": "horizontalpodautoscalers",
    });
    let mut hpa = review();
    merge(
        &mut hpa["request"],
        &json!({"kind": kind, "resource": resource, "requestKind": kind, "name": "cart-2"}),
    );
    hpa["request"]["object"] = json!({
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "cart-2", "namespace": "shop"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "cart"},
        },
    });
    merge(&mut hpa["request"]["object"]["spec"], spec);
    hpa
}

async fn warnings(plimsoll: &Plimsoll, review: &Value) -> Vec<String> {
    let answer = post(plimsoll, "/validate?timeout=2s", review.to_string()).await;
    let uid = review["request"]["uid"].as_str().unwrap();
    let response = verdict(&answer, uid, false, "facts");
    let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
    warnings.iter().map(|warning| warning.as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_autoscaler_is_judged_by_its_target_its_siblings_and_what_is_served() {
    let prometheus = FakePrometheus::start().await;
    let plimsoll = start_with(OBJECTS, prometheus.url().as_str()).await;
    let said = warnings(&plimsoll, &hpa(&json!({}))).await.join("\n");
    // The sidecar has no request, and there is an autoscaler already.
    assert!(
        said.contains("container \"proxy\": spec.metrics Deployment cart has no cpu request"),
        "{said}"
    );
    assert!(said.contains("as in HorizontalPodAutoscaler \"cart\""), "{said}");
    assert!(!said.contains("container \"app\""), "{said}");
    let gone =
        json!({"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}});
    let said = warnings(&plimsoll, &hpa(&gone)).await.join("\n");
    assert!(said.contains("Deployment x → an object that exists"), "{said}");
}

#[tokio::test]
async fn a_workload_hears_that_its_autoscaler_cannot_compute_its_share() {
    let prometheus = FakePrometheus::start().await;
    let plimsoll = start_with(OBJECTS, prometheus.url().as_str()).await;
    let mut review = review();
    let sidecar = json!([{"name": "proxy", "image": "p", "restartPolicy": "Always"}]);
    review["request"]["object"]["spec"]["template"]["spec"]["initContainers"] = sidecar;
    review["request"]["namespace"] = json!("shop");
    let answer = post(&plimsoll, "/validate?timeout=2s", review.to_string()).await;
    let uid = review["request"]["uid"].as_str().unwrap();
    let response = verdict(&answer, uid, false, "share").to_string();
    assert!(response.contains("autoscalerRequest/proxy"), "{response}");
    assert!(!response.contains("autoscalerRequest/app"), "{response}");
}
