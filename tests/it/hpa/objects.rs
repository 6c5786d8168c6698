//! The objects of an application, and where its HPA finds its metric.

use serde_json::{Value, json};

use super::workload::NAMESPACE;
use super::{CUSTOM, EXTERNAL, RESOURCE};

pub(crate) fn list(items: &[Value]) -> String {
    json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string()
}

pub(crate) fn deployment(app: &str) -> Value {
    let labels = json!({"app": app});
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": "web", "image": "web",
                "resources": {"requests": {"cpu": "200m"}}}]},
        }},
    })
}

pub(crate) fn service(app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {"ports": [{"port": 80}]},
    })
}

pub(crate) fn hpa(app: &str) -> Value {
    let average = json!({"type": "AverageValue", "averageValue": "10"});
    let service = json!({"apiVersion": "v1", "kind": "Service", "name": app});
    let object = |described: Value, metric: &str, target: Value| {
        json!({"type": "Object", "object": {
            "describedObject": described, "metric": {"name": metric}, "target": target}})
    };
    let metric = match app {
        "by-value" => {
            let target = json!({"type": "Value", "value": "10"});
            object(service, "http_requests_per_replica", target)
        }
        "by-average" | "vanishing-service" => object(service, "http_requests_per_second", average),
        "by-deployment" => {
            let described = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": app});
            object(described, "orders", average)
        }
        "by-composite" | "by-decision" => {
            let described = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": app});
            let name = if app == "by-decision" { "replicas_wanted" } else { "pressure" };
            object(described, name, json!({"type": "AverageValue", "averageValue": "1"}))
        }
        "by-namespace" => {
            let described = json!({"apiVersion": "v1", "kind": "Namespace", "name": NAMESPACE});
            object(described, "sales", average)
        }
        _ if app.contains("queue") => json!({"type": "External", "external": {
            "metric": {"name": "queue_messages_ready", "selector": {"matchLabels": {"queue": app}}},
            "target": average}}),
        // A request costs 10 ms.
        "by-cpu" => json!({"type": "Resource", "resource": {
            "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 50}}}),
        _ => json!({"type": "Pods", "pods": {
            "metric": {"name": "http_requests_per_second"}, "target": average}}),
    };
    // With a target of type Value the controller multiplies: it must not take the value of before
    // its last step for one of after it. A decision multiplies itself.
    let behavior = if ["by-value", "by-decision"].contains(&app) {
        json!({"scaleUp": {"stabilizationWindowSeconds": 5}})
    } else {
        json!({})
    };
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": app, "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": app},
            // More than is needed, so that the metric is what ends the growth.
            "minReplicas": 1, "maxReplicas": 20, "metrics": [metric],
            "behavior": behavior,
        },
    })
}

/// Where the HPA of an application finds its metric.
pub(crate) fn metric_of(app: &str) -> String {
    match app {
        "by-value" => format!("{CUSTOM}/services/{app}/http_requests_per_replica"),
        "by-average" | "vanishing-service" => {
            format!("{CUSTOM}/services/{app}/http_requests_per_second")
        }
        "by-deployment" => format!("{CUSTOM}/deployments.apps/{app}/orders"),
        "by-composite" => format!("{CUSTOM}/deployments.apps/{app}/pressure"),
        "by-decision" => format!("{CUSTOM}/deployments.apps/{app}/replicas_wanted"),
        "by-namespace" => format!("{CUSTOM}/metrics/sales"),
        "by-cpu" => format!("{RESOURCE}/pods?labelSelector=app%3D{app}"),
        "by-queue" => format!("{EXTERNAL}/queue_messages_ready?labelSelector=queue%3D{app}"),
        _ => format!("{CUSTOM}/pods/*/http_requests_per_second?labelSelector=app%3D{app}"),
    }
}
