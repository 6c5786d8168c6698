//! What a `HorizontalPodAutoscaler` scales and what it will ask for.

use std::collections::BTreeMap;

use kube::core::ObjectMeta;
use serde::Deserialize;

use crate::cluster::intern::Interner;
use crate::cluster::partial::Keep;
use crate::model::autoscaler::{Autoscaler, MetricIdentifier, MetricSource, ObjectReference};
use crate::model::selector::{Operator, Requirement, Selector, SelectorError};

/// `HorizontalPodAutoscalerSpec` of `autoscaling/v2`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cluster) struct Spec {
    scale_target_ref: Option<Reference>,
    min_replicas: Option<i32>,
    max_replicas: Option<i32>,
    metrics: Option<Vec<Metric>>,
}

/// `CrossVersionObjectReference`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reference {
    api_version: Option<String>,
    kind: Option<String>,
    name: Option<String>,
}

/// `MetricSpec`: the field that is named by `type` counts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metric {
    r#type: Option<String>,
    resource: Option<Resource>,
    container_resource: Option<Resource>,
    pods: Option<Custom>,
    object: Option<Custom>,
    external: Option<Custom>,
}

/// `ResourceMetricSource` and `ContainerResourceMetricSource`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Resource {
    name: Option<String>,
    container: Option<String>,
    target: Option<Target>,
}

/// `MetricTarget`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Target {
    r#type: Option<String>,
}

/// `PodsMetricSource`, `ObjectMetricSource` and `ExternalMetricSource`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Custom {
    metric: Option<Identifier>,
    described_object: Option<Reference>,
}

/// `MetricIdentifier`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Identifier {
    name: Option<String>,
    selector: Option<LabelSelector>,
}

/// `metav1.LabelSelector`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LabelSelector {
    match_labels: Option<BTreeMap<String, String>>,
    match_expressions: Option<Vec<Expression>>,
}

/// `metav1.LabelSelectorRequirement`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Expression {
    key: Option<String>,
    operator: Option<String>,
    values: Option<Vec<String>>,
}

impl Keep for Autoscaler {
    type Spec = Spec;

    const MOST: usize = 50_000;

    fn keep(metadata: &ObjectMeta, spec: Spec, interner: &mut Interner) -> Self {
        let (mut metrics, mut utilization) = (Vec::new(), Vec::new());
        // What the API server fills in where there is none.
        if spec.metrics.as_ref().is_none_or(Vec::is_empty) {
            utilization.push(MetricSource::Resource(interner.text("cpu")));
        }
        for metric in spec.metrics.into_iter().flatten() {
            let is_share = is_share(&metric);
            if let Some(source) = source(metric, interner) {
                utilization.extend(is_share.then(|| source.clone()));
                metrics.push(source);
            }
        }
        Self {
            namespace: interner.text(metadata.namespace.as_deref().unwrap_or_default()),
            name: metadata.name.as_deref().unwrap_or_default().into(),
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            target: reference(spec.scale_target_ref.unwrap_or_default(), interner),
            min_replicas: spec.min_replicas.unwrap_or(1),
            max_replicas: spec.max_replicas.unwrap_or_default(),
            metrics,
            utilization,
        }
    }
}

/// Whether the target is a share of the request.
fn is_share(metric: &Metric) -> bool {
    let resource = match metric.r#type.as_deref() {
        Some("Resource") => &metric.resource,
        Some("ContainerResource") => &metric.container_resource,
        _ => return false,
    };
    let target = resource.as_ref().and_then(|resource| resource.target.as_ref());
    target.and_then(|target| target.r#type.as_deref()) == Some("Utilization")
}

fn reference(reference: Reference, interner: &mut Interner) -> ObjectReference {
    let mut text = |text: Option<String>| interner.text(text.as_deref().unwrap_or_default());
    let Reference { api_version, kind, name } = reference;
    ObjectReference { api_version: text(api_version), kind: text(kind), name: text(name) }
}

/// `None` where nobody will ask for it: of an unknown type, or with a selector that the HPA
/// controller cannot read either.
fn source(metric: Metric, interner: &mut Interner) -> Option<MetricSource> {
    match metric.r#type.as_deref()? {
        "Resource" => Some(MetricSource::Resource(interner.text(&metric.resource?.name?))),
        "ContainerResource" => {
            let Resource { name, container, target: _ } = metric.container_resource?;
            let (resource, container) = (interner.text(&name?), interner.text(&container?));
            Some(MetricSource::ContainerResource { resource, container })
        }
        "Pods" => Some(MetricSource::Pods(identifier(metric.pods?.metric?, interner)?)),
        "Object" => {
            let Custom { metric, described_object } = metric.object?;
            let described = reference(described_object?, interner);
            Some(MetricSource::Object { metric: identifier(metric?, interner)?, described })
        }
        "External" => Some(MetricSource::External(identifier(metric.external?.metric?, interner)?)),
        _ => None,
    }
}

fn identifier(identifier: Identifier, interner: &mut Interner) -> Option<MetricIdentifier> {
    let Identifier { name, selector } = identifier;
    let selector = selector.map_or_else(|| Ok(Selector::everything()), selected).ok()?;
    Some(MetricIdentifier { name: interner.text(&name?), selector })
}

fn selected(selector: LabelSelector) -> Result<Selector, SelectorError> {
    let LabelSelector { match_labels, match_expressions } = selector;
    let equal =
        |(key, value)| Ok(Requirement { key, operator: Operator::Equals, values: vec![value] });
    let expressed = |Expression { key, operator, values }| {
        let operator = match operator.as_deref() {
            Some("In") => Operator::In,
            Some("NotIn") => Operator::NotIn,
            Some("Exists") => Operator::Exists,
            Some("DoesNotExist") => Operator::DoesNotExist,
            other => {
                let what =
                    format!("{:?} is not a valid label selector operator", other.unwrap_or(""));
                return Err(SelectorError::Invalid(what));
            }
        };
        let (key, values) = (key.unwrap_or_default(), values.unwrap_or_default());
        Ok(Requirement { key, operator, values })
    };
    let labels = match_labels.into_iter().flatten().map(equal);
    let expressions = match_expressions.into_iter().flatten().map(expressed);
    Selector::from_requirements(labels.chain(expressions).collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kept(spec: serde_json::Value) -> Autoscaler {
        let metadata = ObjectMeta {
            namespace: Some("shop".to_owned()),
            name: Some("web".to_owned()),
            uid: Some("u1".to_owned()),
            ..ObjectMeta::default()
        };
        let spec = serde_json::from_value(spec).unwrap();
        Autoscaler::keep(&metadata, spec, &mut Interner::default())
    }

    fn target(name: &str) -> ObjectReference {
        let (api_version, kind) = ("apps/v1".into(), "Deployment".into());
        ObjectReference { api_version, kind, name: name.into() }
    }

    #[test]
    fn every_type_of_metric_is_read_and_what_is_unknown_is_left_out() {
        let metric = json!({"name": "rps", "selector": {
            "matchLabels": {"verb": "GET"},
            "matchExpressions": [{"key": "code", "operator": "In", "values": ["500", "200"]}],
        }});
        let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"});
        let autoscaler = kept(json!({
            "scaleTargetRef": web, "maxReplicas": 9,
            "metrics": [
                {"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}},
                {"type": "ContainerResource", "containerResource": {"name": "cpu", "container": "c"}},
                {"type": "Pods", "pods": {"metric": metric, "target": {"averageValue": "1"}}},
                {"type": "Object", "object": {"metric": {"name": "depth"}, "describedObject": web}},
                {"type": "External", "external": {"metric": {"name": "lag"}}},
                {"type": "Astrology", "astrology": {}},
                {"type": "Pods", "pods": {"metric": {"name": "bad", "selector": {
                    "matchExpressions": [{"key": "a", "operator": "Like"}]}}}},
            ],
        }));
        let named = |name: &str, selector: &str| MetricIdentifier {
            name: name.into(),
            selector: Selector::parse(selector).unwrap(),
        };
        assert_eq!(
            autoscaler,
            Autoscaler {
                namespace: "shop".into(),
                name: "web".into(),
                uid: "u1".into(),
                target: target("web"),
                min_replicas: 1,
                max_replicas: 9,
                metrics: vec![
                    MetricSource::Resource("cpu".into()),
                    MetricSource::ContainerResource {
                        resource: "cpu".into(),
                        container: "c".into()
                    },
                    MetricSource::Pods(named("rps", "code in (200,500),verb=GET")),
                    MetricSource::Object { metric: named("depth", ""), described: target("web") },
                    MetricSource::External(named("lag", "")),
                ],
                utilization: vec![MetricSource::Resource("cpu".into())],
            }
        );
    }

    #[test]
    fn a_spec_without_anything_is_an_autoscaler_of_nothing() {
        let autoscaler = kept(json!({}));
        assert_eq!((autoscaler.min_replicas, autoscaler.metrics), (1, Vec::new()));
        assert_eq!(autoscaler.utilization, [MetricSource::Resource("cpu".into())]);
    }
}
