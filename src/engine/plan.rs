//! From what is asked for to the queries that answer it.
//!
//! A demand has its place in a [table](super::table): with those for other objects and in other
//! namespaces where [one query](merged) answers all of them, or alone.

pub mod merged;

use std::sync::Arc;

use crate::engine::catalog::{Catalog, Served, Source};
use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use crate::engine::error::Error;
use crate::engine::ports::{Backend, Inventory, Route, Tenancy};
use crate::engine::table::Subject;
use crate::engine::usage;
use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::rows::ObjectLabels;
use crate::model::selector::Selector;
use crate::promql::rule::{Query, QueryError, Rule};
use crate::promql::template::Field;

/// How many rules that could not be listed a message names.
const MAX_UNDISCOVERED: usize = 16;

/// Where the answer to a demand is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// What the table is of.
    pub subject: Subject,
    /// The namespace in it; empty where the subject is in none.
    pub namespace: Arc<str>,
    /// The kind of the objects; none where the demand is for no objects.
    pub kind: Option<Arc<Kind>>,
}

/// Finds the place of a demand, or says why nobody serves it. It takes no query and no inventory.
pub fn place(
    demand: &Demand,
    catalog: &Catalog,
    merge: bool,
    backend: &impl Backend,
) -> Result<Place, Error> {
    let alone = || Subject::Alone(Arc::new(demand.clone()));
    match demand {
        Demand::Custom(custom) => {
            let (kind, source) = find_custom(custom, catalog)?;
            let namespace = match source {
                Source::Series(_) => custom.namespace.as_deref().unwrap_or_default(),
                Source::Signal(_) => whose(custom, kind).unwrap_or_default(),
            };
            let is_merged = merged::can_alternate(namespace)
                && match source {
                    Source::Series(served) => {
                        merge && merged::custom(served, kind, catalog.kinds())
                    }
                    // Where nothing is asked, nobody but the request knows the object.
                    Source::Signal(signal) => signal.has_queries(),
                };
            let subject = if is_merged {
                let (metric, selector) = (custom.metric.clone(), custom.metric_selector.clone());
                Subject::Objects { metric, kind: Arc::clone(kind), selector }
            } else {
                alone()
            };
            let namespace = if is_merged { namespace } else { "" };
            Ok(Place { subject, namespace: namespace.into(), kind: Some(Arc::clone(kind)) })
        }
        Demand::External(external) => {
            let namespace = external.namespace.as_str();
            let namespace = match external_metric(&external.metric, namespace, catalog)? {
                Source::Series(served) => {
                    // What is the same for all namespaces is not where each is a tenant.
                    let is_shared = backend.facts(&served.rule.backend).tenancy == Tenancy::Shared;
                    merged::external(served, namespace, catalog.kinds())
                        .filter(|name| merge && (is_shared || !name.is_empty()))
                }
                Source::Signal(_) => Some(namespace).filter(|it| merged::can_alternate(it)),
            };
            let subject = match namespace {
                Some(_) => Subject::Series {
                    metric: external.metric.clone(),
                    selector: external.selector.clone(),
                },
                None => alone(),
            };
            Ok(Place { subject, namespace: namespace.unwrap_or_default().into(), kind: None })
        }
        Demand::Usage(_) => {
            usage::rules(catalog)?;
            Ok(Place { subject: alone(), namespace: "".into(), kind: None })
        }
    }
}

/// The backend that a table is computed from; none where nobody serves it, or only signals of
/// single namespaces do, or where it is the default one.
pub fn backend(subject: &Subject, catalog: &Catalog) -> Option<Arc<str>> {
    let source = match subject {
        Subject::Objects { metric, kind, .. } => catalog.custom(kind, metric, None)?,
        Subject::Series { metric, .. } => catalog.external(metric, "")?,
        Subject::Alone(demand) => match &**demand {
            Demand::Custom(demand) => find_custom(demand, catalog).ok()?.1,
            Demand::External(demand) => catalog.external(&demand.metric, &demand.namespace)?,
            Demand::Usage(_) => return Some(Arc::clone(&catalog.resource_rules()?.cpu.backend)),
        },
    };
    match source {
        Source::Series(served) => Some(Arc::clone(&served.rule.backend)),
        Source::Signal(signal) => signal.backend.as_deref().map(Arc::from),
    }
}

/// Whether somebody serves a demand at all.
pub fn check(demand: &Demand, catalog: &Catalog) -> Result<(), Error> {
    match demand {
        Demand::Custom(demand) => find_custom(demand, catalog).map(|_| ()),
        Demand::External(demand) => {
            external_metric(&demand.metric, &demand.namespace, catalog).map(|_| ())
        }
        Demand::Usage(_) => usage::rules(catalog).map(|_| ()),
    }
}

/// Queries for objects and how to read their results.
#[derive(Debug)]
pub struct Plan {
    /// The rule that made the queries.
    pub rule: Arc<Rule>,
    /// Whom they go to.
    pub route: Route,
    /// The queries, one but for very many objects; their results are put together.
    pub queries: Vec<String>,
    /// How to read them.
    pub labels: ObjectLabels,
}

/// Finds which objects are meant, and what to ask the backend for a rule.
pub async fn custom(
    demand: &CustomDemand,
    kind: &Arc<Kind>,
    served: &Served,
    catalog: &Catalog,
    inventory: &impl Inventory,
    backend: &impl Backend,
) -> Result<Plan, Error> {
    let objects = match &demand.target {
        Target::Named(_) => None,
        Target::Selected(_) => inventory.objects(kind).await?,
    };
    let names: Vec<&str> = match (&demand.target, &objects) {
        (Target::Named(name), _) => vec![name],
        (Target::Selected(selector), Some(objects)) => names(demand, kind, selector, objects)?,
        (Target::Selected(_), None) => Vec::new(),
    };
    let render = |names: &[&str]| {
        let (series, selector) = (&served.series, &demand.metric_selector);
        let namespace = demand.namespace.as_deref();
        served.rule.custom_query(series, kind, namespace, names, selector, catalog.kinds())
    };
    // A query that does not group by the object may mean all of them together.
    let groups = [Field::GroupBy, Field::GroupBySlice];
    let is_divisible = groups.iter().any(|field| served.rule.query.uses(*field));
    let max_query = backend.facts(&served.rule.backend).max_query;
    let Queries { label, queries } = queries(&render, &names, is_divisible, max_query)?;
    let labels = ObjectLabels { namespace: None, object: label };
    let route = route(&served.rule, demand.namespace.as_deref());
    Ok(Plan { rule: Arc::clone(&served.rule), route, queries, labels })
}

pub(super) fn route(rule: &Rule, namespace: Option<&str>) -> Route {
    Route {
        backend: Arc::clone(&rule.backend),
        namespace: namespace.map(Into::into),
        accept_partial: rule.accept_partial,
    }
}

/// The queries for some objects, and the label that names an object in their results.
struct Queries {
    label: String,
    queries: Vec<String>,
}

/// Halves the objects until no query is too long, or there is nothing left to halve.
fn queries(
    render: &impl Fn(&[&str]) -> Result<Query, QueryError>,
    names: &[&str],
    is_divisible: bool,
    max_query: usize,
) -> Result<Queries, Error> {
    let Query { promql, object_label } = render(names).map_err(Error::Query)?;
    if promql.len() <= max_query || names.len() < 2 || !is_divisible {
        return Ok(Queries { label: object_label, queries: vec![promql] });
    }
    let (first, second) = names.split_at(names.len() / 2);
    let mut parts = queries(render, first, is_divisible, max_query)?;
    parts.queries.extend(queries(render, second, is_divisible, max_query)?.queries);
    Ok(parts)
}

/// Who serves a metric of objects.
pub(super) fn find_custom<'a>(
    demand: &CustomDemand,
    catalog: &'a Catalog,
) -> Result<(&'a Arc<Kind>, &'a Source), Error> {
    let Some(kind) = catalog.kinds().resolve(&demand.resource) else {
        return Err(Error::UnknownResource(format!(
            "there is no resource {} in this cluster",
            demand.resource
        )));
    };
    if let Some(mismatch) = Catalog::scope_mismatch(kind, demand.namespace.as_deref()) {
        return Err(Error::UnknownResource(mismatch));
    }
    let source = custom_metric(kind, &demand.metric, whose(demand, kind), catalog)?;
    Ok((kind, source))
}

/// The namespace that a demand is about, be it the object itself.
pub(super) fn whose<'a>(demand: &'a CustomDemand, kind: &Kind) -> Option<&'a str> {
    match &demand.target {
        Target::Named(name) if kind.is_namespace() => Some(name),
        _ => demand.namespace.as_deref(),
    }
}

fn custom_metric<'a>(
    kind: &Kind,
    metric: &str,
    namespace: Option<&str>,
    catalog: &'a Catalog,
) -> Result<&'a Source, Error> {
    catalog.custom(kind, metric, namespace).ok_or_else(|| {
        not_served(&catalog.undiscovered().custom, || catalog.why_no_custom(kind, metric))
    })
}

/// What a merged subject is computed from in a namespace; an error where it is not, or not any
/// more.
pub(super) fn source<'a>(
    subject: &Subject,
    namespace: &str,
    catalog: &'a Catalog,
) -> Result<&'a Source, Error> {
    let changed = || Error::NoValue("the rule has changed meanwhile; ask again".to_owned());
    let source = match subject {
        Subject::Objects { metric, kind, .. } => {
            let namespace = Some(namespace).filter(|namespace| !namespace.is_empty());
            custom_metric(kind, metric, namespace, catalog)?
        }
        Subject::Series { metric, .. } => external_metric(metric, namespace, catalog)?,
        Subject::Alone(_) => return Err(changed()),
    };
    match (source, subject) {
        (Source::Series(served), Subject::Objects { kind, .. })
            if !merged::custom(served, kind, catalog.kinds()) =>
        {
            Err(changed())
        }
        _ => Ok(source),
    }
}

/// While a rule's series have never been listed, nobody can tell that a metric does not exist.
fn not_served(undiscovered: &[String], why: impl FnOnce() -> String) -> Error {
    if undiscovered.is_empty() {
        return Error::UnknownMetric(why());
    }
    let (told, rest) = undiscovered.split_at(undiscovered.len().min(MAX_UNDISCOVERED));
    let more = if rest.is_empty() { String::new() } else { format!("; and {} more", rest.len()) };
    let told = told.join("; ");
    Error::Undiscovered(format!("the series of some rules could not be listed yet: {told}{more}"))
}

/// The names that a selector matches; an error where there is none.
fn names<'a>(
    demand: &CustomDemand,
    kind: &Kind,
    selector: &'a Selector,
    objects: &'a Objects,
) -> Result<Vec<&'a str>, Error> {
    let namespace = demand.namespace.as_deref();
    let names: Vec<_> = objects.select(namespace.unwrap_or_default(), selector).collect();
    if names.is_empty() {
        return Err(Error::NoValue(no_objects(kind, namespace, selector)));
    }
    Ok(names)
}

pub(super) fn no_objects(kind: &Kind, namespace: Option<&str>, selector: &Selector) -> String {
    let resource = kind.group_resource();
    let whose = if selector.is_empty() {
        format!("there are no {resource}")
    } else {
        format!("no {resource} match the selector {selector}")
    };
    match namespace {
        Some(namespace) => format!("{whose} in namespace {namespace}"),
        None => whose,
    }
}

pub(super) fn external_metric<'a>(
    metric: &str,
    namespace: &str,
    catalog: &'a Catalog,
) -> Result<&'a Source, Error> {
    catalog.external(metric, namespace).ok_or_else(|| {
        not_served(&catalog.undiscovered().external, || catalog.why_no_external(metric))
    })
}

/// What to ask the backend for an external metric of a rule.
pub fn external(
    demand: &ExternalDemand,
    served: &Served,
    catalog: &Catalog,
) -> Result<String, Error> {
    let (namespace, selector) = (&demand.namespace, &demand.selector);
    let query = served.rule.external_query(&served.series, namespace, selector, catalog.kinds());
    query.map_err(Error::Query)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_QUERY: usize = 8 * 1024;

    /// As a rule would: the names, and nothing else.
    #[expect(clippy::unnecessary_wraps, reason = "rendering by a rule can fail")]
    fn render(names: &[&str]) -> Result<Query, QueryError> {
        Ok(Query { promql: names.join("|"), object_label: "pod".to_owned() })
    }

    #[test]
    fn a_query_for_very_many_objects_is_asked_in_parts() {
        let names: Vec<_> =
            (0..1000).map(|index| format!("checkout-6d5f9c7b64-{index:05}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Queries { label, queries: parts } = queries(&render, &names, true, MAX_QUERY).unwrap();
        assert_eq!(label, "pod");
        assert!(parts.iter().all(|part| part.len() <= MAX_QUERY));
        assert_eq!(parts.len(), 4);
        assert_eq!(parts.join("|"), names.join("|"));
    }

    #[test]
    fn a_query_that_cannot_be_divided_stays_whole() {
        let long = "x".repeat(MAX_QUERY);
        let whole = |names: &[&str], is_divisible| {
            queries(&render, names, is_divisible, MAX_QUERY).unwrap().queries.len()
        };
        assert_eq!(whole(&[&long, "b"], false), 1);
        assert_eq!(whole(&[&long, "b"], true), 2);
        assert_eq!(whole(&[&(long + "y")], true), 1);
        assert_eq!(whole(&[], true), 1);
    }
}
