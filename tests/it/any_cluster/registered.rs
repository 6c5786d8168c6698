//! The APIs registered in the cluster, and an HPA that scales on them: served by a process on this
//! machine in place of a pod, so that no image has to be anywhere.

use std::net::Ipv4Addr;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Made, kubeconfig_of};
use crate::support::kubectl::Kubectl;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::real_prometheus::RealPrometheus;

const CONFIG: &str = include_str!("../../data/hpa/config.yaml");
const NAMESPACE: &str = "plimsoll-test";
const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/plimsoll-test";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/plimsoll-test";

/// The cluster, and the file with the rights of its administrator.
#[derive(Clone, Copy)]
pub(super) struct Cluster<'a> {
    pub(super) kubectl: &'a Kubectl,
    pub(super) kubeconfig: &'a str,
}

/// Our account is there.
pub(super) async fn an_autoscaler_scales(
    Cluster { kubectl, kubeconfig }: Cluster<'_>,
    address: Ipv4Addr,
    api_services: Vec<Value>,
) {
    let names: Vec<_> =
        api_services.iter().map(|it| it["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    for name in &names {
        let there = kubectl.run(&format!("get apiservice {name} --ignore-not-found -o name")).await;
        assert_eq!(there, "", "somebody else serves this in the cluster");
    }
    let prometheus = RealPrometheus::start(&data()).expect("prometheus is installed");
    let plimsoll = Plimsoll::start_unready(&Start {
        config: CONFIG,
        prometheus: prometheus.url().as_str(),
        kubeconfig: &kubeconfig_of(kubectl, "plimsoll").await,
        flags: &[
            &format!("--bind-address={address}"),
            "--certificate-secret=plimsoll/plimsoll-certificates",
            "--metrics-relist-interval=2s",
            "--metrics-max-age=1m",
        ],
        ..Start::default()
    });
    let mut objects = api_services;
    objects.extend(service(address, plimsoll.secure.port()));
    objects.extend(application());
    let _made = Made::make(kubectl, kubeconfig, &objects).await;
    for name in &names {
        let wait = "wait --for=condition=Available --timeout=50s";
        kubectl.run(&format!("{wait} apiservice/{name}")).await;
    }
    values_come_through_the_aggregator(kubectl).await;

    let wait = format!("wait -n {NAMESPACE} --timeout=50s");
    let active = format!("{wait} hpa/web --for=condition=ScalingActive");
    wait_until("the HPA has its metrics", async || kubectl.attempt(&active, "").await.is_ok())
        .await;
    kubectl.run(&format!("{wait} deployment/web --for=jsonpath={{.spec.replicas}}=2")).await;
    let hpa = kubectl.json(&format!("get hpa web -n {NAMESPACE} -o json")).await;
    assert_eq!(hpa["status"]["currentMetrics"].as_array().unwrap().len(), 2, "{hpa}");
}

async fn values_come_through_the_aggregator(kubectl: &Kubectl) {
    let paths = [
        format!("{CUSTOM}/deployments.apps/web/orders"),
        format!("{EXTERNAL}/queue_messages_ready?labelSelector=queue%3Dweb"),
    ];
    for path in paths {
        wait_until(&format!("{path} has a value"), async || {
            let answer = kubectl.attempt(&format!("get --raw {path}"), "").await;
            let answer: Value =
                serde_json::from_str(&answer.unwrap_or_default()).unwrap_or_default();
            answer["items"][0]["value"] == "20"
        })
        .await;
    }
}

/// Two metrics with a value of 20, from five minutes ago until five minutes from now.
fn data() -> String {
    let now = Timestamp::now().as_second();
    let times = || (now - 300..now + 300).step_by(15);
    let metrics = [("orders", "deployment"), ("queue_messages_ready", "queue")];
    let lines = metrics.iter().flat_map(|(name, label)| {
        let labels = format!("namespace=\"{NAMESPACE}\",{label}=\"web\"");
        let samples = times().map(move |time| format!("{name}{{{labels}}} 20 {time}\n"));
        std::iter::once(format!("# TYPE {name} gauge\n")).chain(samples)
    });
    lines.chain(["# EOF\n".to_owned()]).collect()
}

/// The Service without a selector, and where it leads. A slice of addresses refuses loopback, one of
/// names does not.
fn service(address: Ipv4Addr, port: u16) -> [Value; 2] {
    let kind = if address.is_loopback() { "FQDN" } else { "IPv4" };
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "plimsoll", "namespace": "plimsoll"},
        "spec": {"ports": [{"name": "https", "port": 443, "targetPort": port}]},
    });
    let labels = json!({"kubernetes.io/service-name": "plimsoll"});
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "plimsoll-test", "namespace": "plimsoll", "labels": labels},
        "addressType": kind, "ports": [{"name": "https", "port": port}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": true}}],
    });
    [service, slice]
}

/// Whether its pods run makes no difference to an HPA on these metrics.
fn application() -> [Value; 3] {
    let labels = json!({"app": "web"});
    let average = json!({"type": "AverageValue", "averageValue": "10"});
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
    let metadata = json!({"name": "web", "namespace": NAMESPACE});
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "registry.k8s.io/pause:3.10"}]},
        }},
    });
    let hpa = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata,
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 3, "metrics": [
            {"type": "Object", "object": {
                "describedObject": target, "metric": {"name": "orders"}, "target": average}},
            {"type": "External", "external": {"target": average, "metric": {
                "name": "queue_messages_ready", "selector": {"matchLabels": {"queue": "web"}}}}},
        ]},
    });
    [namespace, deployment, hpa]
}
