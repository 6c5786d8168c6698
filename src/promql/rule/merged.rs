//! The query that answers for several namespaces, or all of them, and for all objects in them.
//!
//! It is the query that the rule makes for one of them, but that it looks at more namespaces and
//! groups by the namespace as well. Whether its result says the same is for others to judge.

use crate::model::object::{Kind, Kinds, Scope};
use crate::model::selector::Selector;
use crate::promql::matcher::Matchers;
use crate::promql::rule::{QueryError, Rule};

/// A query for all objects of some namespaces and how to read its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedQuery {
    /// What the backend evaluates.
    pub promql: String,
    /// The label that holds the namespace; none for kinds that are in no namespace.
    pub namespace_label: Option<String>,
    /// The label that holds the name of the object; empty for an external metric.
    pub object_label: String,
}

impl Rule {
    /// The query for a metric of all objects of a kind in some namespaces; in all where there are
    /// none given.
    pub fn merged_query(
        &self,
        series: &str,
        kind: &Kind,
        namespaces: &[&str],
        selector: &Selector,
        kinds: &Kinds,
    ) -> Result<MergedQuery, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        let object_label = self.label_for(kind, kinds)?;
        let namespace_label = match kind.scope {
            Scope::Cluster => None,
            Scope::Namespaced => Some(self.namespace_label(kinds)?),
        };
        match &namespace_label {
            Some(label) => in_namespaces(&mut matchers, label, namespaces),
            // Templates write a comma beside the matchers, so that there has to be one.
            None => matchers.any(&object_label),
        }
        let group_by = namespace_label.iter().chain([&object_label]).cloned().collect();
        let promql = self.render(series, matchers, group_by)?;
        Ok(MergedQuery { promql, namespace_label, object_label })
    }

    /// The same for an external metric.
    pub fn merged_external_query(
        &self,
        series: &str,
        namespaces: &[&str],
        selector: &Selector,
        kinds: &Kinds,
    ) -> Result<MergedQuery, QueryError> {
        let mut matchers = Matchers::of_selector(selector)?;
        let label = self.namespace_label(kinds)?;
        in_namespaces(&mut matchers, &label, namespaces);
        let promql = self.render(series, matchers, Vec::new())?;
        Ok(MergedQuery { promql, namespace_label: Some(label), object_label: String::new() })
    }
}

fn in_namespaces(matchers: &mut Matchers, label: &str, namespaces: &[&str]) {
    if namespaces.is_empty() {
        matchers.any(label);
    } else {
        matchers.names(label, namespaces);
    }
}
