//! The five metrics of every HPA: the rules that serve them, what an HPA says of them, and what
//! the HPA controller asks for in its name (pkg/controller/podautoscaler/metrics/client.go).

use serde_json::{Value, json};

use crate::fleet::{self, Fleet};

/// Rules for prometheus-adapter; the second metric keeps its last values where plimsoll reads it.
pub(crate) fn config(no_data: bool) -> String {
    let keep = if no_data { "\n  noData: {policy: lastKnown, maxAge: 10m}" } else { "" };
    format!(
        r#"
rules:
- seriesQuery: 'http_requests_total{{namespace!="",pod!=""}}'
  resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}
  name: {{matches: "^(.*)_total$", as: "${{1}}_per_second"}}
  metricsQuery: sum(rate(<<.Series>>{{<<.LabelMatchers>>}}[2m])) by (<<.GroupBy>>)
- seriesQuery: 'http_requests_in_flight{{namespace!="",pod!=""}}'
  resources: {{overrides: {{namespace: {{resource: namespace}}, pod: {{resource: pod}}}}}}
  metricsQuery: sum(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>){keep}
- seriesQuery: 'errors_total{{namespace!="",deployment!=""}}'
  resources:
    overrides: {{namespace: {{resource: namespace}}, deployment: {{group: apps, resource: deployment}}}}
  name: {{matches: "^(.*)_total$", as: "${{1}}_per_second"}}
  metricsQuery: sum(rate(<<.Series>>{{<<.LabelMatchers>>}}[2m])) by (<<.GroupBy>>)
- seriesQuery: 'latency_seconds{{namespace!="",deployment!=""}}'
  resources:
    overrides: {{namespace: {{resource: namespace}}, deployment: {{group: apps, resource: deployment}}}}
  metricsQuery: max(<<.Series>>{{<<.LabelMatchers>>}}) by (<<.GroupBy>>)
externalRules:
- seriesQuery: 'queue_messages{{namespace!=""}}'
  resources: {{overrides: {{namespace: {{resource: namespace}}}}}}
  metricsQuery: sum(<<.Series>>{{<<.LabelMatchers>>}}) by (namespace)
"#
    )
}

/// What is asked for, and whose value is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metric {
    /// A metric of pods.
    Requests,
    /// A metric of pods, whose last values are promised.
    InFlight,
    /// A metric of the Deployment.
    Errors,
    /// A metric of the Deployment.
    Latency,
    /// A metric of no object.
    Queue,
}

/// Whose value a sample is, by the number in a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    Pods,
    Deployment,
    Namespace,
}

impl Metric {
    pub(crate) const ALL: [Self; 5] =
        [Self::Requests, Self::InFlight, Self::Errors, Self::Latency, Self::Queue];

    /// The name of its series.
    pub(crate) fn series(self) -> &'static str {
        match self {
            Self::Requests => "http_requests_total",
            Self::InFlight => "http_requests_in_flight",
            Self::Errors => "errors_total",
            Self::Latency => "latency_seconds",
            Self::Queue => "queue_messages",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Requests => "http_requests_per_second",
            Self::Errors => "errors_per_second",
            other => other.series(),
        }
    }

    pub(crate) fn of(self) -> Of {
        match self {
            Self::Requests | Self::InFlight => Of::Pods,
            Self::Errors | Self::Latency => Of::Deployment,
            Self::Queue => Of::Namespace,
        }
    }

    /// Whether its last values are promised while there are no new ones.
    pub(crate) fn is_promised(self) -> bool {
        self == Self::InFlight
    }

    /// The path that the controller asks for a Deployment's HPA.
    pub(crate) fn path(self, deployment: usize, own_selectors: bool) -> String {
        let namespace = fleet::namespace(Fleet::namespace_of(deployment));
        let (name, app) = (self.name(), fleet::deployment(deployment));
        let custom = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}");
        match self.of() {
            Of::Pods => format!("{custom}/pods/*/{name}?labelSelector=app%3D{app}"),
            Of::Deployment => format!("{custom}/deployments.apps/{app}/{name}"),
            Of::Namespace => {
                let path =
                    format!("/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{name}");
                if own_selectors { format!("{path}?labelSelector=app%3D{app}") } else { path }
            }
        }
    }
}

/// The `spec` of a Deployment's HPA.
pub(crate) fn spec(deployment: usize) -> Value {
    let app = fleet::deployment(deployment);
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": app});
    let metrics = Metric::ALL.map(|metric| {
        let (name, average) = (metric.name(), json!({"type": "AverageValue", "averageValue": "9"}));
        match metric.of() {
            Of::Pods => {
                json!({"type": "Pods", "pods": {"metric": {"name": name}, "target": average}})
            }
            Of::Deployment => json!({"type": "Object", "object": {
                "metric": {"name": name}, "describedObject": target,
                "target": {"type": "Value", "value": "9"},
            }}),
            Of::Namespace => {
                json!({"type": "External", "external": {"metric": {"name": name}, "target": average}})
            }
        }
    });
    json!({"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 99, "metrics": metrics})
}
