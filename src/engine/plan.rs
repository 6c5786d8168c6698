//! From a demand to the query that answers it.

use std::sync::Arc;
use std::time::Duration;

use crate::engine::catalog::{Catalog, CustomMetric, Served};
use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use crate::engine::error::Error;
use crate::engine::ports::Inventory;
use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::selector::Selector;
use crate::promql::rule::Rule;

/// A query and how its result is to be read.
#[derive(Debug)]
pub struct Plan {
    /// The rule that made the query.
    pub rule: Arc<Rule>,
    /// The query.
    pub promql: String,
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
    }
}

/// Finds who serves a demand, which objects it means, and what to ask the backend.
pub async fn plan(
    demand: &Demand,
    catalog: &Catalog,
    inventory: &impl Inventory,
) -> Result<Plan, Error> {
    match demand {
        Demand::Custom(demand) => plan_custom(demand, catalog, inventory).await,
        Demand::External(demand) => plan_external(demand, catalog),
    }
}

async fn plan_custom(
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
    let query = served
        .rule
        .custom_query(
            &served.series,
            kind,
            demand.namespace.as_deref(),
            &names,
            &demand.metric_selector,
            catalog.kinds(),
        )
        .map_err(Error::Query)?;
    Ok(Plan {
        rule: Arc::clone(&served.rule),
        promql: query.promql,
        window: served.rule.window,
        reading: Reading::Objects(ObjectsReading {
            kind: Arc::clone(kind),
            namespace: demand.namespace.clone(),
            metric: demand.metric.clone(),
            metric_selector: demand.metric_selector.clone(),
            label: query.object_label,
            wanted,
        }),
    })
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
    catalog
        .custom(kind, &demand.metric)
        .ok_or_else(|| not_served(catalog, || catalog.why_no_custom(kind, &demand.metric)))
}

/// While a rule's series have never been listed, nobody can tell that a metric does not exist.
fn not_served(catalog: &Catalog, why: impl FnOnce() -> String) -> Error {
    match catalog.undiscovered() {
        [] => Error::UnknownMetric(why()),
        undiscovered => Error::Undiscovered(format!(
            "the series of some rules could not be listed yet: {}",
            undiscovered.join("; ")
        )),
    }
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
    catalog
        .external(&demand.metric)
        .ok_or_else(|| not_served(catalog, || catalog.why_no_external(&demand.metric)))
}

fn plan_external(demand: &ExternalDemand, catalog: &Catalog) -> Result<Plan, Error> {
    let served = find_external(demand, catalog)?;
    let promql = served
        .rule
        .external_query(&served.series, &demand.namespace, &demand.selector, catalog.kinds())
        .map_err(Error::Query)?;
    Ok(Plan {
        rule: Arc::clone(&served.rule),
        promql,
        window: served.rule.window,
        reading: Reading::Series(demand.metric.clone()),
    })
}
