//! One query for all objects in all namespaces in which a metric is needed.

use crate::engine::catalog::Served;
use crate::engine::error::Error;
use crate::engine::plan::separable;
use crate::engine::ports::{Facts, Tenancy};
use crate::model::object::{Kind, Kinds, Scope};
use crate::model::selector::Selector;
use crate::promql::rule::{MergedQuery, QueryError};
use crate::promql::template::Field;

/// The longest name of a namespace (RFC 1123 label).
const MAX_NAMESPACE: usize = 63;

/// Namespaces that a query is rendered for to find out what it does with them.
const PROBES: [&str; 2] = ["plimsoll-a", "plimsoll-b"];

/// Whether the name can stand in an alternation as it is; a request may name anything.
pub fn can_alternate(namespace: &str) -> bool {
    namespace.len() <= MAX_NAMESPACE
        && namespace.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// Whether one query for all objects says of each what the query for it alone would say.
pub fn custom(served: &Served, kind: &Kind, kinds: &Kinds) -> bool {
    *served.is_separable.get_or_init(|| {
        if !looks_at_matchers_alone(served) {
            return false;
        }
        let probes: &[&str] = if kind.scope == Scope::Namespaced { &PROBES } else { &[] };
        let query =
            served.rule.merged_query(&served.series, kind, probes, &Selector::default(), kinds);
        query.is_ok_and(|MergedQuery { promql, namespace_label, object_label }| {
            let labels: Vec<&str> =
                namespace_label.iter().chain([&object_label]).map(String::as_str).collect();
            namespace_label.as_ref() != Some(&object_label) && separable::by(&promql, &labels)
        })
    })
}

/// The namespace under which an external metric is found where one query answers for several:
/// the empty one where all namespaces are answered the same; none where it has to be asked for
/// each.
pub fn external<'a>(served: &Served, namespace: &'a str, kinds: &Kinds) -> Option<&'a str> {
    let query = &served.rule.query;
    let matches = [Field::LabelMatchers, Field::LabelValuesByName];
    if !served.rule.namespaced || !matches.iter().any(|field| query.uses(*field)) {
        return Some("");
    }
    if namespace.is_empty() || !can_alternate(namespace) {
        return None;
    }
    let is_separable = *served.is_separable.get_or_init(|| {
        // It is rendered without labels to group by, and has to stay so.
        let groups = query.uses(Field::GroupBy) || query.uses(Field::GroupBySlice);
        let (series, everything) = (&served.series, Selector::default());
        looks_at_matchers_alone(served)
            && !groups
            && served.rule.merged_external_query(series, &PROBES, &everything, kinds).is_ok_and(
                |query| {
                    let label = query.namespace_label.unwrap_or_default();
                    separable::by(&query.promql, &[&label])
                },
            )
    });
    is_separable.then_some(namespace)
}

fn looks_at_matchers_alone(served: &Served) -> bool {
    let query = &served.rule.query;
    // An enforced label holds one namespace.
    served.rule.enforced_label.is_none()
        && query.uses(Field::LabelMatchers)
        && !query.uses(Field::LabelValuesByName)
}

/// A query and the namespaces that it is asked for.
#[derive(Debug)]
pub struct Piece<'a, N> {
    /// The query.
    pub query: MergedQuery,
    /// The namespaces.
    pub namespaces: &'a [N],
}

/// The fewest queries for some namespaces: one that names them, or one for all namespaces where
/// that would be too long. Where it may not be for all, they are divided. Where each is a tenant of
/// its own, it has a query of its own.
pub fn pieces<'a, N: AsRef<str>>(
    namespaces: &'a [N],
    may_be_all: bool,
    facts: &Facts,
    render: &impl Fn(&[&str]) -> Result<MergedQuery, QueryError>,
) -> Result<Vec<Piece<'a, N>>, Error> {
    let names: Vec<&str> = namespaces.iter().map(AsRef::as_ref).collect();
    let is_shared = facts.tenancy == Tenancy::Shared;
    if is_shared || names.len() < 2 {
        let query = render(&names).map_err(Error::Query)?;
        if query.promql.len() <= facts.max_query || names.len() < 2 {
            return Ok(vec![Piece { query, namespaces }]);
        }
    }
    if may_be_all && is_shared {
        let query = render(&[]).map_err(Error::Query)?;
        return Ok(vec![Piece { query, namespaces }]);
    }
    let (first, second) = namespaces.split_at(namespaces.len() / 2);
    let mut all = pieces(first, false, facts, render)?;
    all.extend(pieces(second, false, facts, render)?);
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "rendering by a rule can fail")]
    fn render(names: &[&str]) -> Result<MergedQuery, QueryError> {
        let (promql, object_label) = (names.join("|"), String::new());
        Ok(MergedQuery { promql, namespace_label: None, object_label })
    }

    /// The queries for three namespaces, each of which just names them.
    fn asked(tenancy: Tenancy, max_query: usize) -> Vec<String> {
        let deadline = Duration::from_secs(10);
        let facts = Facts { tenancy, max_query, concurrency: 1, deadline, max_series: 1 };
        let pieces = pieces(&["a", "b", "c"], true, &facts, &render).unwrap();
        pieces.into_iter().map(|piece| piece.query.promql).collect()
    }

    #[test]
    fn where_each_namespace_is_a_tenant_each_has_a_query_of_its_own() {
        assert_eq!(asked(Tenancy::Shared, 5), ["a|b|c"]);
        assert_eq!(asked(Tenancy::Shared, 4), [""]);
        assert_eq!(asked(Tenancy::PerNamespace, 5), ["a", "b", "c"]);
        assert_eq!(asked(Tenancy::PerNamespace, 0), ["a", "b", "c"]);
    }
}
