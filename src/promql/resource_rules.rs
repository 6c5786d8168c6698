//! `resourceRules`, compiled: the queries for the processor time and memory that nodes and pods use.
//!
//! Queries are byte for byte those of prometheus-adapter (`pkg/resourceprovider/provider.go`) where
//! the objects are named. Where it would name a whole cluster, ours look for the label alone, and
//! where it asked namespace by namespace, ours ask once and group by namespace as well.

use std::sync::Arc;
use std::time::Duration;

use super::matcher::Matchers;
use super::resources::{ResourceError, Resources};
use super::rule::{QueryError, render};
use super::template::Template;
use crate::model::object::{GroupResource, Kind, Kinds};

/// The longest list of names that goes into a query, in bytes; past it all are asked for.
const MAX_NAMES: usize = 64 * 1024;

/// `resourceRules`
#[derive(Clone, Debug)]
pub struct ResourceRules {
    /// `cpu`: queries that answer cores.
    pub cpu: ResourceRule,
    /// `memory`: queries that answer bytes.
    pub memory: ResourceRule,
    /// `window`: what the answers say that the queries look back over.
    pub window: Duration,
}

/// One of the two resources.
#[derive(Clone, Debug)]
pub struct ResourceRule {
    /// Where it stands: `resourceRules.cpu`.
    pub path: String,
    /// `backend`: the name of the backend that is asked.
    pub backend: Arc<str>,
    /// `partialResults: accept`: whether an answer that the backend calls partial will do.
    pub accept_partial: bool,
    /// `containerQuery`
    pub container_query: Template,
    /// `nodeQuery`
    pub node_query: Template,
    /// Which labels name nodes, namespaces and pods.
    pub resources: Resources,
    /// The label that names containers.
    pub container_label: String,
}

/// A query and the labels that say whose each sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageQuery {
    /// Where its template stands: `resourceRules.cpu.nodeQuery`.
    pub place: String,
    /// What the backend evaluates.
    pub promql: String,
    /// The label with the namespace, where samples of more than one are asked for.
    pub namespace_label: Option<String>,
    /// The label with the name of the node or pod.
    pub object_label: String,
    /// The label with the name of the container; none for nodes.
    pub container_label: Option<String>,
}

impl ResourceRule {
    /// The query for nodes; all of them where none is named.
    pub fn nodes_query(
        &self,
        node: &Kind,
        names: &[&str],
        kinds: &Kinds,
    ) -> Result<UsageQuery, QueryError> {
        let object_label = self.label_for(node, kinds)?;
        let mut matchers = Matchers::default();
        name(&mut matchers, &object_label, names);
        let place = format!("{}.nodeQuery", self.path);
        let group_by = vec![object_label.clone()];
        let promql = render(&self.node_query, || place.clone(), "", matchers, group_by)?;
        Ok(UsageQuery { place, promql, namespace_label: None, object_label, container_label: None })
    }

    /// The query for the containers of pods: those of a namespace or of all, and all of them where
    /// no pod is named.
    pub fn pods_query(
        &self,
        pod: &Kind,
        namespace: Option<&str>,
        names: &[&str],
        kinds: &Kinds,
    ) -> Result<UsageQuery, QueryError> {
        let namespaces = GroupResource::parse("namespaces");
        let namespace_label = match kinds.resolve(&namespaces) {
            Some(kind) => self.label_for(kind, kinds)?,
            None => return Err(self.without_label(ResourceError::NoLabel(namespaces.resource))),
        };
        let object_label = self.label_for(pod, kinds)?;
        let mut matchers = Matchers::default();
        let mut group_by = Vec::new();
        if let Some(namespace) = namespace {
            matchers.equal(&namespace_label, namespace);
        } else {
            matchers.any(&namespace_label);
            group_by.push(namespace_label.clone());
        }
        name(&mut matchers, &object_label, names);
        group_by.extend([object_label.clone(), self.container_label.clone()]);
        let place = format!("{}.containerQuery", self.path);
        let promql = render(&self.container_query, || place.clone(), "", matchers, group_by)?;
        Ok(UsageQuery {
            place,
            promql,
            namespace_label: namespace.is_none().then_some(namespace_label),
            object_label,
            container_label: Some(self.container_label.clone()),
        })
    }

    fn label_for(&self, kind: &Kind, kinds: &Kinds) -> Result<String, QueryError> {
        self.resources.label_for(kind, kinds).map_err(|source| self.without_label(source))
    }

    fn without_label(&self, source: ResourceError) -> QueryError {
        QueryError::Resource { rule: self.path.clone(), source }
    }
}

/// There is always a matcher, as templates go on behind it with a comma.
fn name(matchers: &mut Matchers, label: &str, names: &[&str]) {
    let length: usize = names.iter().map(|name| name.len() + 1).sum();
    if names.is_empty() || length > MAX_NAMES {
        matchers.any(label);
    } else {
        matchers.names(label, names);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::promql::fixtures::{kind, kinds};

    const STOCK: &str = include_str!("../../tests/data/config/stock.yaml");

    fn stock() -> Arc<ResourceRules> {
        config::parse("stock.yaml", STOCK).unwrap().resource_rules.unwrap()
    }

    /// Recorded from prometheus-adapter 0.12 with the stock rules; names come sorted here.
    #[test]
    fn named_objects_are_asked_for_as_prometheus_adapter_does() {
        let rules = stock();
        let nodes = |rule: &ResourceRule, names: &[&str]| {
            rule.nodes_query(&kind("nodes"), names, &kinds()).unwrap().promql
        };
        let pods = |rule: &ResourceRule, names: &[&str]| {
            rule.pods_query(&kind("pods"), Some("default"), names, &kinds()).unwrap().promql
        };
        let cpu = "sum(rate(container_cpu_usage_seconds_total";
        let memory = "sum(container_memory_working_set_bytes";
        assert_eq!(
            nodes(&rules.cpu, &["n1", "n2", "n3"]),
            format!(r#"{cpu}{{instance=~"n1|n2|n3", id='/'}}[5m])) by (instance)"#)
        );
        assert_eq!(
            nodes(&rules.memory, &["n1"]),
            format!(r#"{memory}{{instance="n1",id='/'}}) by (instance)"#)
        );
        assert_eq!(
            pods(&rules.cpu, &["web-0"]),
            format!(r#"{cpu}{{namespace="default",pod="web-0"}}[5m])) by (pod,container)"#)
        );
        assert_eq!(
            pods(&rules.memory, &["api.v1-0", "web-0"]),
            format!(r#"{memory}{{namespace="default",pod=~"api.v1-0|web-0"}}) by (pod,container)"#)
        );
        assert_eq!(rules.window, Duration::from_mins(5));
    }

    #[test]
    fn all_objects_are_asked_for_by_their_label() {
        let rules = stock();
        let nodes = rules.cpu.nodes_query(&kind("nodes"), &[], &kinds()).unwrap();
        assert_eq!(
            nodes.promql,
            "sum(rate(container_cpu_usage_seconds_total{instance=~\".+\", id='/'}[5m])) by \
             (instance)"
        );
        assert_eq!(
            rules.memory.pods_query(&kind("pods"), None, &[], &kinds()).unwrap(),
            UsageQuery {
                place: "resourceRules.memory.containerQuery".to_owned(),
                promql: "sum(container_memory_working_set_bytes{namespace=~\".+\",pod=~\".+\"}) \
                         by (namespace,pod,container)"
                    .to_owned(),
                namespace_label: Some("namespace".to_owned()),
                object_label: "pod".to_owned(),
                container_label: Some("container".to_owned()),
            }
        );
        let names: Vec<_> = (0..10_000).map(|n| format!("web-{n}")).collect();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let many = rules.memory.pods_query(&kind("pods"), Some("x"), &names, &kinds()).unwrap();
        assert_eq!(
            many.promql,
            "sum(container_memory_working_set_bytes{namespace=\"x\",pod=~\".+\"}) by \
             (pod,container)"
        );
    }

    #[test]
    fn a_rule_without_labels_or_query_says_which() {
        let yaml = "resourceRules: {cpu: {nodeQuery: x, resources: {overrides: {node: {resource: \
                    node}}}}}";
        let rules = config::parse("c.yaml", yaml).unwrap().resource_rules.unwrap();
        let node = |rule: &ResourceRule| rule.nodes_query(&kind("nodes"), &["n1"], &kinds());
        let pod = |rule: &ResourceRule| rule.pods_query(&kind("pods"), None, &[], &kinds());
        assert_eq!(node(&rules.cpu).unwrap().promql, "x");
        let errors = [node(&rules.memory), pod(&rules.cpu)];
        assert_eq!(
            errors.map(|outcome| outcome.unwrap_err().to_string()),
            [
                "resourceRules.memory.resources does not serve this query",
                "resourceRules.cpu.resources does not serve this query",
            ]
        );
    }
}
