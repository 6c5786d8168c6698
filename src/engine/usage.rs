//! What nodes and pods use of their machine, by `resourceRules`.
//!
//! One query for processor time and one for memory answer everybody who asks for any node, or for
//! any pod of a namespace; both have to succeed. As in prometheus-adapter
//! (`pkg/resourceprovider/provider.go`) NaN and negative numbers are zero, an object needs samples
//! of both resources, a container that has one of them uses none of the other, and only running
//! pods count: what has ended has samples for a while. Unlike there
//! what fails is an error and not a shorter list, and two samples for one container are too.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::answer::UsageAnswer;
use crate::engine::catalog::Catalog;
use crate::engine::demand::UsageDemand;
use crate::engine::error::{Error, excerpt};
use crate::engine::evaluate::{describe, is_stale};
use crate::engine::ports::{Backend, Inventory, Route};
use crate::model::inventory::Objects;
use crate::model::object::{GroupResource, Kind};
use crate::model::quantity::{Milli, Rounding};
use crate::model::usage::{ContainerUsage, ObjectUsage};
use crate::model::value::{Labels, Point, QueryResult, Sample};
use crate::promql::resource_rules::{ResourceRule, ResourceRules, UsageQuery};

/// The rules in force, where there are any.
pub(super) fn rules(catalog: &Catalog) -> Result<&Arc<ResourceRules>, Error> {
    let none = || Error::UnknownMetric("no resourceRules are configured".to_owned());
    catalog.resource_rules().ok_or_else(none)
}

/// Asks the backend for both resources and joins the answers.
pub(super) async fn evaluate(
    demand: &UsageDemand,
    catalog: &Catalog,
    inventory: &impl Inventory,
    backend: &impl Backend,
    now: Timestamp,
) -> Result<UsageAnswer, Error> {
    let rules = rules(catalog)?;
    let kind = kind(demand, catalog)?;
    let chosen_from = match demand {
        UsageDemand::Nodes => inventory.objects(kind).await?,
        UsageDemand::Pods { .. } => inventory.running(kind).await?,
    };
    let mut answer = UsageAnswer {
        kind: Arc::clone(kind),
        window: rules.window,
        objects: Vec::new(),
        chosen_from,
    };
    let objects = answer.chosen_from.as_deref();
    let names = match objects {
        Some(objects) => match names(demand, objects) {
            Some(names) => names,
            None => return Ok(answer),
        },
        None => Vec::new(),
    };
    let query = |rule: &ResourceRule| match demand {
        UsageDemand::Nodes => rule.nodes_query(kind, &names, catalog.kinds()),
        UsageDemand::Pods { namespace } => {
            rule.pods_query(kind, namespace.as_deref(), &names, catalog.kinds())
        }
    };
    let ask = async |rule: &ResourceRule| {
        let query = query(rule).map_err(Error::Query)?;
        let samples = ask(backend, &route(rule, demand), &query, now).await?;
        collect(&query, samples, demand, objects, now)
    };
    let (cpu, memory) = tokio::try_join!(ask(&rules.cpu), ask(&rules.memory))?;
    answer.objects = join(cpu, memory);
    Ok(answer)
}

fn kind<'a>(demand: &UsageDemand, catalog: &'a Catalog) -> Result<&'a Arc<Kind>, Error> {
    let resource = match demand {
        UsageDemand::Nodes => "nodes",
        UsageDemand::Pods { .. } => "pods",
    };
    let missing = || Error::UnknownResource(format!("there is no resource {resource}"));
    catalog.kinds().resolve(&GroupResource::parse(resource)).ok_or_else(missing)
}

/// The names to ask for, none for all objects; `None` where there are no objects.
fn names<'a>(demand: &UsageDemand, objects: &'a Objects) -> Option<Vec<&'a str>> {
    let namespace = match demand {
        UsageDemand::Nodes => "",
        UsageDemand::Pods { namespace: Some(namespace) } => namespace,
        UsageDemand::Pods { namespace: None } if objects.is_empty() => return None,
        UsageDemand::Pods { namespace: None } => return Some(Vec::new()),
    };
    let names: Vec<_> =
        objects.in_namespace(namespace).iter().map(|object| &*object.name).collect();
    (!names.is_empty()).then_some(names)
}

fn route(rule: &ResourceRule, demand: &UsageDemand) -> Route {
    let namespace = match demand {
        UsageDemand::Pods { namespace: Some(namespace) } => Some(namespace.as_str().into()),
        UsageDemand::Pods { namespace: None } | UsageDemand::Nodes => None,
    };
    let (backend, accept_partial) = (Arc::clone(&rule.backend), rule.accept_partial);
    Route { backend, namespace, accept_partial }
}

async fn ask(
    backend: &impl Backend,
    route: &Route,
    query: &UsageQuery,
    now: Timestamp,
) -> Result<Vec<Sample>, Error> {
    let result = backend.query(route, &query.promql, now).await.map_err(|cause| {
        Error::Backend { rule: query.place.clone(), promql: excerpt(&query.promql), cause }
    })?;
    match result {
        QueryResult::Vector(samples) => Ok(samples),
        QueryResult::Scalar(_) => Err(bad_result(query, "a scalar names no object")),
    }
}

fn bad_result(query: &UsageQuery, reason: impl Into<String>) -> Error {
    Error::BadResult {
        rule: query.place.clone(),
        promql: excerpt(&query.promql),
        reason: reason.into(),
    }
}

/// One resource by namespace and name of the object, then by name of the container.
type Collected = BTreeMap<(Box<str>, Box<str>), BTreeMap<Box<str>, Amount>>;

/// A value and its time, in whole seconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Amount {
    value: Milli,
    timestamp: i64,
}

/// Puts samples where they belong; those of objects that there are not are left out.
fn collect(
    query: &UsageQuery,
    samples: Vec<Sample>,
    demand: &UsageDemand,
    objects: Option<&Objects>,
    now: Timestamp,
) -> Result<Collected, Error> {
    let mut collected = Collected::new();
    for Sample { labels, point } in samples {
        let namespace = match (demand, &query.namespace_label) {
            (UsageDemand::Pods { namespace: Some(namespace) }, _) => namespace,
            (_, Some(label)) => labels.get(label).ok_or_else(|| without(query, label, &labels))?,
            _ => "",
        };
        let name = labels.get(&query.object_label).unwrap_or_default();
        let exists = objects.is_none_or(|objects| objects.contains(namespace, name));
        let Some(amount) = amount(point, now).filter(|_| exists && !name.is_empty()) else {
            continue;
        };
        let container = query.container_label.as_ref().and_then(|label| labels.get(label));
        let containers = collected.entry((namespace.into(), name.into())).or_default();
        match containers.entry(container.unwrap_or_default().into()) {
            Entry::Vacant(free) => free.insert(amount),
            Entry::Occupied(_) => {
                let second = describe(&labels);
                let reason = format!(
                    "there are several values for {name}, one of them {second}; aggregate them \
                     with `by (<<.GroupBy>>)`"
                );
                return Err(bad_result(query, reason));
            }
        };
    }
    Ok(collected)
}

fn without(query: &UsageQuery, label: &str, labels: &Labels) -> Error {
    let sample = describe(labels);
    let reason = format!(
        "the sample {sample} has no label {label}, which pods of all namespaces need; aggregate \
         `by (<<.GroupBy>>)`, or ask for one namespace"
    );
    bad_result(query, reason)
}

/// What a sample says; `None` where it is missing data.
fn amount(point: Point, now: Timestamp) -> Option<Amount> {
    if is_stale(point, now) {
        return None;
    }
    // The greater of NaN and zero is zero.
    let value = Milli::from_f64(point.value.max(0.0), Rounding::TowardZero)?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the cast saturates; whole seconds are meant"
    )]
    let timestamp = point.timestamp.floor() as i64;
    Some(Amount { value, timestamp })
}

/// The objects that have both resources.
fn join(cpu: Collected, mut memory: Collected) -> Vec<ObjectUsage> {
    let both = cpu.into_iter().filter_map(|(key, cpu)| {
        let memory = memory.remove(&key)?;
        let times = cpu.values().chain(memory.values()).map(|amount| amount.timestamp);
        let timestamp = times.min()?;
        let (namespace, name) = key;
        Some(ObjectUsage { namespace, name, timestamp, containers: containers(cpu, memory) })
    });
    both.collect()
}

fn containers(
    cpu: BTreeMap<Box<str>, Amount>,
    memory: BTreeMap<Box<str>, Amount>,
) -> Vec<ContainerUsage> {
    let mut containers: BTreeMap<_, _> =
        cpu.into_iter().map(|(name, cpu)| (name, (cpu.value, Milli(0)))).collect();
    for (name, memory) in memory {
        containers.entry(name).or_default().1 = memory.value;
    }
    let usage = |(name, (cpu, memory))| ContainerUsage { name, cpu, memory };
    containers.into_iter().map(usage).collect()
}
