//! What a cluster would know of the demo: its objects, its scrape targets, and how kubectl gets in.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::service::{QUEUE, WORKLOADS};

/// The objects as `kubectl get deployments,services,pods -A -o yaml` prints them, in short.
pub(crate) fn list() -> String {
    let item = |api_version: &str, kind: &str, namespace: &str, name: &str, app: &str| {
        format!(
            "- apiVersion: {api_version}
  kind: {kind}
  metadata:
    name: {name}
    namespace: {namespace}
    labels:
      app: {app}
"
        )
    };
    let items = WORKLOADS.iter().flat_map(|workload| {
        let (namespace, app) = (workload.namespace, workload.name);
        let pods = workload.pods.iter().map(move |pod| item("v1", "Pod", namespace, pod, app));
        pods.chain([
            item("v1", "Service", namespace, app, app),
            item("apps/v1", "Deployment", namespace, app, app),
        ])
    });
    format!("apiVersion: v1\nkind: List\nitems:\n{}", items.collect::<String>())
}

/// A Prometheus configuration in which each pod is a target with the labels that the usual
/// Kubernetes scrape configuration gives it.
pub(crate) fn prometheus_config(service: SocketAddr) -> Value {
    let pods = WORKLOADS.iter().flat_map(|workload| {
        workload.pods.iter().map(move |pod| {
            json!({
                "targets": [service],
                "labels": {
                    "__metrics_path__": format!("/{}/{pod}", workload.namespace),
                    "namespace": workload.namespace,
                    "service": workload.name,
                    "pod": pod,
                },
            })
        })
    });
    let queue = json!({
        "targets": [service],
        "labels": {"__metrics_path__": format!("/shop/{QUEUE}"), "namespace": "shop"},
    });
    json!({
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [
            {"job_name": "pods", "static_configs": pods.collect::<Vec<_>>()},
            {"job_name": "queues", "static_configs": [queue]},
        ],
    })
}

/// A kubeconfig for the demo, to lie beside its certificate. Standalone takes everyone for an admin;
/// the token only keeps kubectl from asking for a user name.
pub(crate) fn kubeconfig(plimsoll: SocketAddr) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: demo\n\
         contexts: [{{name: demo, context: {{cluster: demo, user: demo}}}}]\n\
         clusters: [{{name: demo, cluster: {{server: 'https://{plimsoll}', certificate-authority: apiserver.crt}}}}]\n\
         users: [{{name: demo, user: {{token: demo}}}}]\n"
    )
}
