//! `metrics.k8s.io`: chooses from what all objects use those that a request means.

use std::sync::Arc;

use bytes::Bytes;

use crate::apiserver::path::UsageRoute;
use crate::engine::answer::UsageAnswer;
use crate::engine::demand::{Target, UsageDemand};
use crate::engine::error::Error;
use crate::engine::ports::Inventory;
use crate::model::inventory::Objects;
use crate::model::object::GroupResource;
use crate::model::usage::ObjectUsage;
use crate::wire::metrics::Seconds;
use crate::wire::negotiate::{Choice, Shape};
use crate::wire::status::Status;
use crate::wire::table::{self, IncludeObject};
use crate::wire::usage::{self, Context, UsageItem, UsageKind};

/// Writes one object or a list, of those that exist. `created` is the time of the answer.
pub fn respond(
    answer: &UsageAnswer,
    route: &UsageRoute,
    choice: Choice,
    include: IncludeObject,
    created: Seconds,
    inventory: &impl Inventory,
) -> Result<Bytes, Status> {
    let current = inventory.current(&answer.kind).or_else(|| answer.chosen_from.clone());
    let current = current.as_deref();
    let context = Context {
        kind: match route.demand {
            UsageDemand::Nodes => UsageKind::Node,
            UsageDemand::Pods { .. } => UsageKind::Pod,
        },
        window: answer.window,
        created,
    };
    let items = match &route.target {
        Target::Named(name) => {
            let item = named(answer, route, name, current)?;
            if !matches!(choice.shape, Shape::Table(_)) {
                return Ok(usage::object(choice.form, &context, &item));
            }
            vec![item]
        }
        Target::Selected(selector) => {
            if current.is_none() && !selector.is_empty() {
                let resource = answer.kind.group_resource().to_string();
                return Err(Status::bad_request(Error::NoInventory { resource }.to_string()));
            }
            answer
                .objects
                .iter()
                .filter(|object| route.fields.matches(&object.namespace, &object.name))
                .filter_map(|object| item(object, current))
                .filter(|item| selector.matches(|key| label(item, key)))
                .collect()
        }
    };
    Ok(match choice.shape {
        Shape::Table(version) => table::usage(choice.form, version, include, &context, &items),
        _ => usage::list(choice.form, &context, &items),
    })
}

fn named<'a>(
    answer: &'a UsageAnswer,
    route: &UsageRoute,
    name: &str,
    current: Option<&'a Objects>,
) -> Result<UsageItem<'a>, Status> {
    let namespace = match &route.demand {
        UsageDemand::Pods { namespace: Some(namespace) } => namespace,
        _ => "",
    };
    if current.is_some_and(|objects| !objects.contains(namespace, name)) {
        return Err(Status::object_not_found(&answer.kind.group_resource(), name));
    }
    let key = (namespace, name);
    let found = answer
        .objects
        .binary_search_by(|object| (&*object.namespace, &*object.name).cmp(&key))
        .ok()
        .and_then(|index| item(&answer.objects[index], current));
    found.ok_or_else(|| {
        let group = "metrics.k8s.io".to_owned();
        let resource = GroupResource { group, resource: answer.kind.plural.clone() };
        Status::object_not_found(&resource, name)
            .because("resourceRules find no samples of both cpu and memory for it")
    })
}

/// The usage of an object with its labels; `None` where it does not exist any more.
fn item<'a>(usage: &'a ObjectUsage, current: Option<&'a Objects>) -> Option<UsageItem<'a>> {
    let Some(objects) = current else {
        return Some(UsageItem { usage, labels: &[] });
    };
    let object = objects.get(&usage.namespace, &usage.name)?;
    Some(UsageItem { usage, labels: &object.labels })
}

fn label<'a>(item: &UsageItem<'a>, key: &str) -> Option<&'a str> {
    let index = item.labels.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
    let (_, value): &'a (Arc<str>, Arc<str>) = &item.labels[index];
    Some(value)
}
