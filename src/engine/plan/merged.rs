//! One query for all objects in all namespaces in which a metric is needed.

use crate::engine::catalog::Served;
use crate::engine::error::Error;
use crate::engine::ports::{Facts, Tenancy};
use crate::model::object::{Kind, Kinds};
use crate::model::selector::Selector;
use crate::promql::rule::{MergedQuery, QueryError};
use crate::promql::separable::{Rendering, judge};
use crate::promql::template::Field;

/// The longest name of a namespace (RFC 1123 label).
const MAX_NAMESPACE: usize = 63;

/// Namespaces that no template names by chance, for which a query is rendered to find out what it
/// does with them.
const PROBES: [&str; 2] = ["plimsoll-a", "plimsoll-b"];

/// Whether the name can stand in an alternation as it is; a request may name anything.
pub fn can_alternate(namespace: &str) -> bool {
    namespace.len() <= MAX_NAMESPACE
        && namespace.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
}

/// Whether one query for all objects says of each what the query for it alone would say.
pub fn custom(served: &Served, kind: &Kind, kinds: &Kinds) -> bool {
    *served.is_separable.get_or_init(|| {
        let rule = &served.rule;
        rule.query.only_prints(Field::LabelMatchers)
            && rule.renderings(&served.series, kind, kinds).is_ok_and(|renderings| {
                renderings.is_some_and(|it| {
                    let single = Rendering { promql: &it.single, matchers: &it.single_matchers };
                    let all = Rendering { promql: &it.all, matchers: &it.all_matchers };
                    judge(single, all).is_ok()
                })
            })
    })
}

/// The namespace under which an external metric is found where one query answers for several:
/// the empty one where all namespaces are answered the same; none where it has to be asked for
/// each.
pub fn external<'a>(served: &Served, namespace: &'a str, kinds: &Kinds) -> Option<&'a str> {
    let rule = &served.rule;
    let matches = [Field::LabelMatchers, Field::LabelValuesByName];
    let looks_at_namespace = matches.iter().any(|field| rule.query.uses(*field));
    if rule.enforced_label.is_none() && (!rule.namespaced || !looks_at_namespace) {
        return Some("");
    }
    if namespace.is_empty() || !can_alternate(namespace) {
        return None;
    }
    let is_separable = *served.is_separable.get_or_init(|| external_is_separable(served, kinds));
    is_separable.then_some(namespace)
}

fn external_is_separable(served: &Served, kinds: &Kinds) -> bool {
    let Served { rule, series, .. } = served;
    // An enforced label holds one namespace.
    let is_readable = rule.enforced_label.is_none()
        && rule.query.only_prints(Field::LabelMatchers)
        && !rule.query.uses(Field::LabelValuesByName);
    let render = |namespaces: &[&str]| {
        rule.merged_external_query(series, namespaces, &Selector::default(), kinds)
    };
    let [one, _] = PROBES;
    let (true, Ok(single), Ok(merged)) = (is_readable, render(&[one]), render(&PROBES)) else {
        return false;
    };
    let label = merged.namespace_label.unwrap_or_default();
    let matchers = [format!("{label}=\"{one}\""), format!("{label}=~\"{}\"", PROBES.join("|"))];
    let [single_matchers, merged_matchers] = &matchers;
    let single = Rendering { promql: &single.promql, matchers: single_matchers };
    let merged = Rendering { promql: &merged.promql, matchers: merged_matchers };
    judge(single, merged).is_ok()
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
