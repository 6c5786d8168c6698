//! The custom resources as a real API server takes them.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::runtime::conditions::is_crd_established;
use kube::runtime::wait::await_condition;
use plimsoll::cli::crds::definitions;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;

const ESTABLISHED: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_takes_the_definitions_and_refuses_what_cannot_be() {
    let Some(plane) = ControlPlane::start("the custom resources").await else {
        return;
    };
    let client = plane.client().await;
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    for definition in definitions() {
        let definition = serde_json::from_value(definition).unwrap();
        let made = crds.create(&PostParams::default(), &definition).await.unwrap();
        let name = made.metadata.name.unwrap();
        let established = await_condition(crds.clone(), &name, is_crd_established());
        tokio::time::timeout(ESTABLISHED, established).await.unwrap().unwrap();
    }
    let rate = json!({"requestRate": {"preset": "istio", "window": "1m"}});
    let with = |more: Value| {
        let mut spec = json!({"metric": "m", "on": "deployments.apps"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let cases = [
        (with(rate.clone()), ""),
        (json!({"metric": "m", "true": "pods", "requestRate": {"preset": "istio"}}), ""),
        (
            with(json!({"composite": {"inputs": {"a": rate}, "expression": "a"},
                "noData": {"policy": "lastKnown", "maxAge": "2m"}})),
            "",
        ),
        (with(json!({})), "exactly one of requestRate, errorRatio"),
        (with(json!({"requestRate": {}, "errorRatio": {}})), "exactly one of requestRate"),
        (json!({"metric": "m", "requestRate": {}}), "on has to be there"),
        (json!({"on": "pods", "requestRate": {}}), "spec.metric: Required value"),
        (json!({"metric": "a b", "on": "pods", "requestRate": {}}), "spec.metric"),
        (with(json!({"latencyQuantile": {"quantile": 1.5}})), "less than or equal to 1"),
        (
            with(json!({"latencyQuantile": {"quantile": 0.5, "unit": "fortnights"}})),
            "Unsupported value",
        ),
        (
            with(json!({"requestRate": {}, "noData": {"policy": "lastKnown"}})),
            "lastKnown needs maxAge",
        ),
        (
            with(json!({"composite": {"inputs": {"a": {}}, "expression": "a"}})),
            "exactly one of metric, requestRate",
        ),
        (
            with(json!({"saturation": {"capacity": {"perPod": 1.0, "total": 2.0}}})),
            "exactly one of series, perPod and total",
        ),
    ];
    let signals = |kind: &ApiResource| Api::namespaced_with(client.clone(), "default", kind);
    check("Signal", signals, &cases).await;
    let of = |more: Value| {
        let mut spec = json!({"reason": "until the upgrade", "expires": "2027-03-31"});
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        spec
    };
    let cases = [
        (of(json!({"namespaces": ["shop"], "rules": ["memoryLimit"]})), ""),
        (of(json!({})), "it would exempt everything"),
        (of(json!({"names": ["*"]})), "it would exempt everything"),
        (of(json!({"names": ["a"], "expires": "soon"})), "spec.expires"),
        (of(json!({"names": ["a"], "reason": ""})), "spec.reason"),
        (json!({"names": ["a"], "reason": "r"}), "reason and expires have to be there"),
    ];
    check("Exemption", |kind| Api::all_with(client.clone(), kind), &cases).await;
}

/// Creates objects of a kind, each with what the refusal says; nothing where there is none.
async fn check(
    kind: &str,
    api: impl Fn(&ApiResource) -> Api<DynamicObject>,
    cases: &[(Value, &str)],
) {
    let gvk = GroupVersionKind::gvk("plimsoll.dev", "v1alpha1", kind);
    let api = api(&ApiResource::from_gvk(&gvk));
    for (index, (spec, refusal)) in cases.iter().enumerate() {
        let object = json!({"apiVersion": "plimsoll.dev/v1alpha1", "kind": kind,
            "metadata": {"name": format!("it-{index}")}, "spec": spec});
        let object = serde_json::from_value(object).unwrap();
        let made = api.create(&PostParams::default(), &object).await;
        let told = made.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(told.contains(refusal) && told.is_empty() == refusal.is_empty(), "{spec}: {told}");
    }
}
