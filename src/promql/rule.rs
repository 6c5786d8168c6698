//! A discovery rule, compiled: which metrics and kinds a series stands for, and the query that
//! fetches their values.
//!
//! Queries are byte for byte those of prometheus-adapter (`pkg/naming/metrics_query.go`), for
//! every request that it answers.

mod merged;

use std::sync::Arc;
use std::time::Duration;

pub use self::merged::MergedQuery;
use super::compat::Compat;
use super::isolate::{IsolateError, isolate};
use super::matcher::{MatcherError, Matchers};
use super::naming::{Filter, Namer};
use super::resources::{ResourceError, Resources};
use super::template::{Field, QueryArguments, Template, TemplateError};
use crate::model::no_data::NoData;
use crate::model::object::{GroupResource, Kind, Kinds, Scope};
use crate::model::selector::Selector;

/// The backend of rules that name none: the one that `--prometheus-url` and its like describe.
pub const DEFAULT_BACKEND: &str = "default";

/// An entry of `rules` or `externalRules`.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Its place in the list, from zero.
    pub index: usize,
    /// Where it stands: `rules[3]`.
    pub path: String,
    /// `backend`: the name of the backend that is asked.
    pub backend: Arc<str>,
    /// `partialResults: accept`: whether an answer that the backend calls partial will do.
    pub accept_partial: bool,
    /// The series selector that discovery asks for, as it was written.
    pub series_query: String,
    /// Conditions on the names of the series; all have to hold.
    pub filters: Vec<Filter>,
    /// How series become metrics.
    pub namer: Namer,
    /// Which labels name objects.
    pub resources: Resources,
    /// `metricsQuery`.
    pub query: Template,
    /// What the query looks back over, where the template tells.
    pub window: Option<Duration>,
    /// `resources.namespaced`: whether queries of an external metric are limited to the
    /// namespace that asks.
    pub namespaced: bool,
    /// What is served where the backend has nothing.
    pub no_data: NoData,
    /// `enforceNamespaceLabel`: the label that limits every selector of a query to the namespace
    /// that asks, whatever the template says.
    pub enforced_label: Option<String>,
    /// Switches.
    pub compat: Compat,
}

/// A query and how to read its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What the backend evaluates.
    pub promql: String,
    /// The label of the samples that holds the name of the object.
    pub object_label: String,
}

/// A rule's query for one object, and for all objects of its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renderings {
    /// The query for one.
    pub single: String,
    /// The matchers in it that name the object.
    pub single_matchers: String,
    /// The query for all.
    pub all: String,
    /// The matchers in it that stand for those of the object.
    pub all_matchers: String,
    /// The label that names the object.
    pub object_label: String,
}

/// Why a request makes no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The template rendered to nothing; one that is missing does.
    #[error("{0} renders to an empty query")]
    Empty(String),
    /// A limit to one namespace cannot be put into the query.
    #[error("{rule}.enforceNamespaceLabel does not let this query pass")]
    Isolation {
        /// Where the rule stands.
        rule: String,
        /// Why not.
        source: IsolateError,
    },
    /// The request's selector has no equivalent in PromQL.
    #[error(transparent)]
    Matcher(#[from] MatcherError),
    /// The rule knows no label for what was asked.
    #[error("{rule}.resources does not serve this query")]
    Resource {
        /// Where the rule stands.
        rule: String,
        /// What is missing.
        source: ResourceError,
    },
    /// The template cannot be rendered.
    #[error("{place} cannot be rendered")]
    Template {
        /// Where the template stands: `rules[3].metricsQuery`.
        place: String,
        /// What is wrong.
        source: TemplateError,
    },
}

/// Whether Kubernetes would authorize an external metric of this name as a subresource of its
/// namespace (apiserver's `requestinfo.go`): it cannot be served.
pub fn refused_external_name(name: &str) -> bool {
    matches!(name, "status" | "finalize")
}

impl Rule {
    /// The name of the metric that a series makes; `None` where the rule does not take it.
    pub fn metric_name(&self, series: &str) -> Option<String> {
        let taken = self.filters.iter().all(|filter| filter.passes(series));
        if taken { self.namer.name(series) } else { None }
    }

    /// The kinds of objects that a series with these labels describes, each once. Whether a kind
    /// is namespaced is its own matter: prometheus-adapter guessed it from all labels together and
    /// lost every cluster-scoped kind but nodes, namespaces and persistent volumes.
    pub fn described_kinds<'a>(
        &self,
        label_names: impl Iterator<Item = &'a str>,
        kinds: &Kinds,
    ) -> Vec<Arc<Kind>> {
        let mut described = Vec::new();
        for kind in label_names.filter_map(|label| self.resources.kind_of_label(label, kinds)) {
            if !described.contains(&kind) {
                described.push(kind);
            }
        }
        described
    }

    /// The query for a metric of objects of one kind. Without names all of them are meant. The
    /// namespace counts for namespaced kinds alone: a metric of a namespace is asked for by name.
    pub fn custom_query(
        &self,
        series: &str,
        kind: &Kind,
        namespace: Option<&str>,
        names: &[&str],
        selector: &Selector,
        kinds: &Kinds,
    ) -> Result<Query, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        if let Some(namespace) = namespace.filter(|_| kind.scope == Scope::Namespaced) {
            matchers.equal(&self.namespace_label(kinds)?, namespace);
        }
        let object_label = self.label_for(kind, kinds)?;
        matchers.names(&object_label, names);
        let promql = self.render(series, matchers, vec![object_label.clone()])?;
        let asking = match (kind.scope, names) {
            (Scope::Namespaced, _) => namespace,
            // The metric of a namespace is its own.
            (Scope::Cluster, [name]) if kind.is_namespace() => Some(*name),
            (Scope::Cluster, _) => None,
        };
        let promql = self.isolated(promql, asking.unwrap_or_default())?;
        Ok(Query { promql, object_label })
    }

    /// The queries for one object of a kind and for all of them, in all namespaces: what has to be
    /// judged before the latter stands for the former. `None` where the template looks at the
    /// names that are asked for, or where the rule limits its queries to one namespace.
    pub fn renderings(
        &self,
        series: &str,
        kind: &Kind,
        kinds: &Kinds,
    ) -> Result<Option<Renderings>, QueryError> {
        if self.query.uses(Field::LabelValuesByName) || self.enforced_label.is_some() {
            return Ok(None);
        }
        let object_label = self.label_for(kind, kinds)?;
        let mut labels = vec![object_label.clone()];
        if kind.scope == Scope::Namespaced {
            labels.insert(0, self.namespace_label(kinds)?);
        }
        let (mut one, mut all) = (Matchers::default(), Matchers::default());
        for label in &labels {
            // A value that no template has by chance.
            one.equal(label, "plimsoll-rendering");
            all.any(label);
        }
        let (single_matchers, all_matchers) =
            (one.clone().into_parts().0, all.clone().into_parts().0);
        let single = self.render(series, one, vec![object_label.clone()])?;
        let all = self.render(series, all, labels)?;
        Ok(Some(Renderings { single, single_matchers, all, all_matchers, object_label }))
    }

    /// The query for an external metric.
    pub fn external_query(
        &self,
        series: &str,
        namespace: &str,
        selector: &Selector,
        kinds: &Kinds,
    ) -> Result<String, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        if self.namespaced && !namespace.is_empty() {
            matchers.equal(&self.namespace_label(kinds)?, namespace);
        }
        let promql = self.render(series, matchers, Vec::new())?;
        self.isolated(promql, namespace)
    }

    /// Where the rule says so, the query limited to the namespace that asks, which there has to be.
    fn isolated(&self, promql: String, namespace: &str) -> Result<String, QueryError> {
        let Some(label) = &self.enforced_label else { return Ok(promql) };
        isolate(&promql, label, namespace)
            .map_err(|source| QueryError::Isolation { rule: self.path.clone(), source })
    }

    /// The label that names the namespace.
    pub fn namespace_label(&self, kinds: &Kinds) -> Result<String, QueryError> {
        let namespaces = GroupResource { group: String::new(), resource: "namespaces".to_owned() };
        match kinds.resolve(&namespaces) {
            Some(kind) => self.label_for(kind, kinds),
            None => Err(self.without_label(ResourceError::NoLabel(namespaces.resource))),
        }
    }

    fn label_for(&self, kind: &Kind, kinds: &Kinds) -> Result<String, QueryError> {
        self.resources.label_for(kind, kinds).map_err(|source| self.without_label(source))
    }

    fn without_label(&self, source: ResourceError) -> QueryError {
        QueryError::Resource { rule: self.path.clone(), source }
    }

    fn render(
        &self,
        series: &str,
        matchers: Matchers,
        group_by: Vec<String>,
    ) -> Result<String, QueryError> {
        let place = || format!("{}.metricsQuery", self.path);
        render(&self.query, place, series, matchers, group_by)
    }
}

/// Renders a query template, which stands at a place in the configuration.
pub(super) fn render(
    template: &Template,
    place: impl Fn() -> String,
    series: &str,
    matchers: Matchers,
    group_by: Vec<String>,
) -> Result<String, QueryError> {
    let (label_matchers, label_values_by_name) = matchers.into_parts();
    let arguments = QueryArguments {
        series: series.to_owned(),
        label_matchers,
        label_values_by_name,
        group_by: group_by.join(","),
        group_by_slice: group_by,
    };
    let promql = template
        .render(&arguments)
        .map_err(|source| QueryError::Template { place: place(), source })?;
    if promql.is_empty() { Err(QueryError::Empty(place())) } else { Ok(promql) }
}

#[cfg(test)]
mod tests;
