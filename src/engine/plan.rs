//! From a demand to the query that answers it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::catalog::{Catalog, CustomMetric, Served};
use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use crate::engine::error::Error;
use crate::engine::ports::{Inventory, Route};
use crate::engine::usage;
use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::selector::Selector;
use crate::promql::rule::{Query, QueryError, Rule};
use crate::promql::template::Field;

/// How many rules that could not be listed a message names.
const MAX_UNDISCOVERED: usize = 16;

/// A query that would be longer is asked in parts, each for some of the objects.
const MAX_QUERY: usize = 8 * 1024;

/// Queries and how their results are to be read.
#[derive(Debug)]
pub struct Plan {
    /// The rule that made the queries.
    pub rule: Arc<Rule>,
    /// Whom they go to.
    pub route: Route,
    /// The queries, one but for very many objects; their results are put together.
    pub queries: Vec<String>,
    /// The span of time that the query looks at, where it tells.
    pub window: Option<Duration>,
    /// What becomes of the result.
    pub reading: Reading,
}

/// What becomes of a query's result.
#[derive(Debug)]
pub enum Reading {
    /// Each sample is the value of the object that a label names.
    Objects(ObjectsReading),
    /// Each sample is a value of the external metric of this name.
    Series(String),
}

/// How samples become values of objects.
#[derive(Debug)]
pub struct ObjectsReading {
    /// The objects' kind.
    pub kind: Arc<Kind>,
    /// Their namespace; `None` for cluster-scoped ones.
    pub namespace: Option<String>,
    /// The metric, as asked for.
    pub metric: String,
    /// The metric's selector, as asked for.
    pub metric_selector: Selector,
    /// The label that names the object.
    pub label: String,
    /// Which objects are wanted.
    pub wanted: Wanted,
}

/// Which objects of a result are wanted.
#[derive(Debug)]
pub enum Wanted {
    /// Whichever the series name: there is no inventory to choose from.
    Any,
    /// The one of this name.
    One(String),
    /// These, sorted, chosen from an inventory.
    These(Vec<String>, Arc<Objects>),
}

impl Wanted {
    /// Whether the object of this name is wanted.
    pub fn includes(&self, object: &str) -> bool {
        match self {
            Self::Any => !object.is_empty(),
            Self::One(name) => name == object,
            Self::These(names, _) => {
                names.binary_search_by(|name| name.as_str().cmp(object)).is_ok()
            }
        }
    }
}

/// Whether somebody serves a demand at all, which needs no query and no inventory.
pub fn check(demand: &Demand, catalog: &Catalog) -> Result<(), Error> {
    match demand {
        Demand::Custom(demand) => find_custom(demand, catalog).map(|_| ()),
        Demand::External(demand) => find_external(demand, catalog).map(|_| ()),
        Demand::Usage(_) => usage::rules(catalog).map(|_| ()),
    }
}

/// Finds who serves a metric of objects, which objects are meant, and what to ask the backend.
pub async fn custom(
    demand: &CustomDemand,
    catalog: &Catalog,
    inventory: &impl Inventory,
) -> Result<Plan, Error> {
    let CustomMetric { kind, served } = find_custom(demand, catalog)?;
    let wanted = wanted(demand, kind, inventory).await?;
    let names: Vec<&str> = match &wanted {
        Wanted::Any => Vec::new(),
        Wanted::One(name) => vec![name],
        Wanted::These(names, _) => names.iter().map(String::as_str).collect(),
    };
    let render = |names: &[&str]| {
        let (series, selector) = (&served.series, &demand.metric_selector);
        let namespace = demand.namespace.as_deref();
        served.rule.custom_query(series, kind, namespace, names, selector, catalog.kinds())
    };
    // A query that does not group by the object may mean all of them together.
    let groups = [Field::GroupBy, Field::GroupBySlice];
    let is_divisible = groups.iter().any(|field| served.rule.query.uses(*field));
    let Queries { label, queries } = queries(&render, &names, is_divisible)?;
    Ok(Plan {
        rule: Arc::clone(&served.rule),
        route: route(&served.rule, demand.namespace.as_deref()),
        queries,
        window: served.rule.window,
        reading: Reading::Objects(ObjectsReading {
            kind: Arc::clone(kind),
            namespace: demand.namespace.clone(),
            metric: demand.metric.clone(),
            metric_selector: demand.metric_selector.clone(),
            label,
            wanted,
        }),
    })
}

fn route(rule: &Rule, namespace: Option<&str>) -> Route {
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
) -> Result<Queries, Error> {
    let Query { promql, object_label } = render(names).map_err(Error::Query)?;
    if promql.len() <= MAX_QUERY || names.len() < 2 || !is_divisible {
        return Ok(Queries { label: object_label, queries: vec![promql] });
    }
    let (first, second) = names.split_at(names.len() / 2);
    let mut parts = queries(render, first, is_divisible)?;
    parts.queries.extend(queries(render, second, is_divisible)?.queries);
    Ok(parts)
}

fn find_custom<'a>(demand: &CustomDemand, catalog: &'a Catalog) -> Result<&'a CustomMetric, Error> {
    let Some(kind) = catalog.kinds().resolve(&demand.resource) else {
        return Err(Error::UnknownResource(format!(
            "there is no resource {} in this cluster",
            demand.resource
        )));
    };
    if let Some(mismatch) = Catalog::scope_mismatch(kind, demand.namespace.as_deref()) {
        return Err(Error::UnknownResource(mismatch));
    }
    catalog.custom(kind, &demand.metric).ok_or_else(|| {
        let undiscovered = &catalog.undiscovered().custom;
        not_served(undiscovered, || catalog.why_no_custom(kind, &demand.metric))
    })
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

async fn wanted(
    demand: &CustomDemand,
    kind: &Arc<Kind>,
    inventory: &impl Inventory,
) -> Result<Wanted, Error> {
    let selector = match &demand.target {
        Target::Named(name) => return Ok(Wanted::One(name.clone())),
        Target::Selected(selector) => selector,
    };
    let Some(objects) = inventory.objects(kind).await? else {
        return if selector.is_empty() {
            Ok(Wanted::Any)
        } else {
            Err(Error::NoInventory { resource: kind.group_resource().to_string() })
        };
    };
    let namespace = demand.namespace.as_deref().unwrap_or_default();
    let names: Vec<_> = objects.select(namespace, selector).map(str::to_owned).collect();
    if names.is_empty() {
        return Err(Error::NoValue(no_objects(kind, demand.namespace.as_deref(), selector)));
    }
    Ok(Wanted::These(names, objects))
}

fn no_objects(kind: &Kind, namespace: Option<&str>, selector: &Selector) -> String {
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

fn find_external<'a>(demand: &ExternalDemand, catalog: &'a Catalog) -> Result<&'a Served, Error> {
    catalog.external(&demand.metric).ok_or_else(|| {
        let undiscovered = &catalog.undiscovered().external;
        not_served(undiscovered, || catalog.why_no_external(&demand.metric))
    })
}

/// Finds who serves an external metric, and what to ask the backend.
pub fn external(demand: &ExternalDemand, catalog: &Catalog) -> Result<Plan, Error> {
    let served = find_external(demand, catalog)?;
    let promql = served
        .rule
        .external_query(&served.series, &demand.namespace, &demand.selector, catalog.kinds())
        .map_err(Error::Query)?;
    Ok(Plan {
        rule: Arc::clone(&served.rule),
        route: route(&served.rule, Some(&demand.namespace)),
        queries: vec![promql],
        window: served.rule.window,
        reading: Reading::Series(demand.metric.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let Queries { label, queries: parts } = queries(&render, &names, true).unwrap();
        assert_eq!(label, "pod");
        assert!(parts.iter().all(|part| part.len() <= MAX_QUERY));
        assert_eq!(parts.len(), 4);
        assert_eq!(parts.join("|"), names.join("|"));
    }

    #[test]
    fn a_query_that_cannot_be_divided_stays_whole() {
        let long = "x".repeat(MAX_QUERY);
        let whole = |names: &[&str], is_divisible| {
            queries(&render, names, is_divisible).unwrap().queries.len()
        };
        assert_eq!(whole(&[&long, "b"], false), 1);
        assert_eq!(whole(&[&long, "b"], true), 2);
        assert_eq!(whole(&[&(long + "y")], true), 1);
        assert_eq!(whole(&[], true), 1);
    }
}
