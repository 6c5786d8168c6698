//! What the HPA controller will ask for, read from the autoscalers.

use std::sync::Arc;

use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use crate::model::autoscaler::{Autoscaler, MetricSource, ObjectReference};
use crate::model::object::{GroupResource, Kind, Kinds, Scope};
use crate::model::selector::Selector;

/// The demands of an autoscaler on custom and external metrics. Of a metric of pods all pods of
/// the namespace are meant, because which ones the target selects is not known here.
pub fn of(autoscaler: &Autoscaler, kinds: &Kinds) -> Vec<Demand> {
    autoscaler.metrics.iter().filter_map(|source| demand(autoscaler, source, kinds)).collect()
}

fn demand(autoscaler: &Autoscaler, source: &MetricSource, kinds: &Kinds) -> Option<Demand> {
    let namespace = autoscaler.namespace.to_string();
    Some(match source {
        MetricSource::Resource(_) | MetricSource::ContainerResource { .. } => return None,
        MetricSource::Pods(metric) => Demand::Custom(CustomDemand {
            resource: GroupResource::parse("pods"),
            namespace: Some(namespace),
            target: Target::Selected(Selector::default()),
            metric: metric.name.to_string(),
            metric_selector: metric.selector.clone(),
        }),
        MetricSource::Object { metric, described } => {
            let kind = find(described, kinds)?;
            // The controller asks for a metric of a namespace at the root and for all others in
            // the autoscaler's namespace (custom_metrics/versioned_client.go).
            let is_served = kind.is_namespace() || kind.scope == Scope::Namespaced;
            is_served.then(|| {
                Demand::Custom(CustomDemand {
                    resource: kind.group_resource(),
                    namespace: (!kind.is_namespace()).then_some(namespace),
                    target: Target::Named(described.name.to_string()),
                    metric: metric.name.to_string(),
                    metric_selector: metric.selector.clone(),
                })
            })?
        }
        MetricSource::External(metric) => Demand::External(ExternalDemand {
            namespace,
            metric: metric.name.to_lowercase(),
            selector: metric.selector.clone(),
        }),
    })
}

/// The kind of an object that an autoscaler names.
fn find<'a>(reference: &ObjectReference, kinds: &'a Kinds) -> Option<&'a Arc<Kind>> {
    let group = reference.api_version.split_once('/').map_or("", |(group, _)| group);
    kinds.iter().find(|kind| kind.group == group && *kind.kind == *reference.kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::autoscaler::MetricIdentifier;
    use crate::promql::fixtures::kinds;

    fn reference(api_version: &str, kind: &str, name: &str) -> ObjectReference {
        ObjectReference { api_version: api_version.into(), kind: kind.into(), name: name.into() }
    }

    fn metric(name: &str, selector: &str) -> MetricIdentifier {
        MetricIdentifier { name: name.into(), selector: Selector::parse(selector).unwrap() }
    }

    fn custom(resource: &str, namespace: Option<&str>, target: Target, metric: &str) -> Demand {
        Demand::Custom(CustomDemand {
            resource: GroupResource::parse(resource),
            namespace: namespace.map(str::to_owned),
            target,
            metric: metric.to_owned(),
            metric_selector: Selector::default(),
        })
    }

    #[test]
    fn an_autoscaler_demands_what_the_controller_will_ask_for_in_its_name() {
        let object = |name, described| MetricSource::Object { metric: metric(name, ""), described };
        let autoscaler = Autoscaler {
            namespace: "shop".into(),
            name: "web".into(),
            uid: "1".into(),
            target: reference("apps/v1", "Deployment", "web"),
            min_replicas: 1,
            max_replicas: 9,
            metrics: vec![
                MetricSource::Resource("cpu".into()),
                MetricSource::Pods(metric("requests", "")),
                object("hits", reference("v1", "service", "front")),
                object("quota", reference("v1", "namespace", "shop")),
                object("load", reference("v1", "node", "n1")),
                object("x", reference("unheard.of/v1", "Thing", "y")),
                MetricSource::External(metric("Queue_Depth", "queue=orders")),
            ],
            utilization: Vec::new(),
        };
        let named = |name: &str| Target::Named(name.to_owned());
        let everything = Target::Selected(Selector::default());
        assert_eq!(
            of(&autoscaler, &kinds()),
            [
                custom("pods", Some("shop"), everything, "requests"),
                custom("services", Some("shop"), named("front"), "hits"),
                custom("namespaces", None, named("shop"), "quota"),
                Demand::External(ExternalDemand {
                    namespace: "shop".to_owned(),
                    metric: "queue_depth".to_owned(),
                    selector: Selector::parse("queue=orders").unwrap(),
                }),
            ]
        );
    }
}
