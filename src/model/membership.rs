//! Which pods belong to each object of a kind: through their controllers, a Service's selector, or
//! their namespace.
//!
//! Made anew from the objects in memory whenever it is needed: one pass over the pods, without an
//! allocation for each. A pod's phase is not known here: one that has ended is still a member.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::inventory::{Object, Objects, Owner};
use super::object::Kind;
use super::service::Service;

/// How many controllers there may be between a pod and the object: a Deployment has one, and so has
/// a `CronJob`.
const MOST_BETWEEN: usize = 4;

/// Where the pods of an object are looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// All pods.
    pub pods: &'a Objects,
    /// The kinds whose objects may stand between a pod and its workload: `ReplicaSet` for
    /// Deployments, `Job` for `CronJobs`.
    pub between: &'a [(&'a Kind, &'a Objects)],
    /// All Services; looked at for the kind `Service` alone.
    pub services: &'a Objects<Service>,
}

/// The objects of one kind that have pods, with their pods.
#[derive(Clone, Debug, Default)]
pub struct Membership<'a> {
    /// Sorted by namespace and name.
    groups: Vec<(&'a str, &'a str, Range<usize>)>,
    /// The names of the pods of one object after the other.
    pods: Vec<&'a str>,
}

impl<'a> Membership<'a> {
    /// The pods of each object of a kind: by selector those of a `Service`, by place those of a
    /// `Namespace`, by controller those of any other, which is in the namespace of its pods.
    pub fn of(kind: &Kind, sources: Sources<'a>) -> Self {
        let mut this = Self::default();
        let mut namespaces: Vec<_> = sources.pods.namespaces().collect();
        namespaces.sort_unstable_by_key(|(namespace, _)| *namespace);
        let mut found = Vec::new();
        for (namespace, pods) in namespaces {
            if kind.is_namespace() {
                this.add("", namespace, pods.iter().map(|pod| &*pod.name));
                continue;
            }
            found.clear();
            if kind.group.is_empty() && kind.kind == "Service" {
                selected(sources.services.in_namespace(namespace), pods, &mut found);
            } else {
                controlled(kind, sources.between, namespace, pods, &mut found);
            }
            // Stable, so that the pods of an object stay in the order of their names.
            found.sort_by_key(|(object, _)| *object);
            for group in found.chunk_by(|(one, _), (other, _)| one == other) {
                if let [(object, _), ..] = group {
                    this.add(namespace, object, group.iter().map(|(_, pod)| *pod));
                }
            }
        }
        this
    }

    /// The names of the pods of an object, sorted; none where it has none.
    pub fn pods(&self, namespace: &str, name: &str) -> &[&'a str] {
        let key = (namespace, name);
        let found = self.groups.binary_search_by(|(space, object, _)| (*space, *object).cmp(&key));
        found.map_or(&[], |index| self.slice(&self.groups[index].2))
    }

    /// Namespace, name and sorted pods of each object that has some, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str, &[&'a str])> {
        self.groups.iter().map(|(namespace, name, range)| (*namespace, *name, self.slice(range)))
    }

    fn slice(&self, range: &Range<usize>) -> &[&'a str] {
        self.pods.get(range.clone()).unwrap_or_default()
    }

    fn add(&mut self, namespace: &'a str, name: &'a str, pods: impl Iterator<Item = &'a str>) {
        let start = self.pods.len();
        self.pods.extend(pods);
        self.groups.push((namespace, name, start..self.pods.len()));
    }
}

/// Whose a pod seems to have been that is no more: the name of the controller of a kind, by the form
/// in which Kubernetes names pods. None of kinds that do not name them so.
pub fn former_controller<'a>(kind: &Kind, pod: &'a str) -> Option<&'a str> {
    let one_less = pod.rsplit_once('-').map(|(name, _)| name);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("apps", "Deployment") | ("batch", "CronJob") => {
            one_less.and_then(|name| name.rsplit_once('-')).map(|(name, _)| name)
        }
        ("apps", "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job")
        | ("", "ReplicationController") => one_less,
        _ => None,
    }
}

/// Adds the name of the controlling object, and the pod, for each pod that has one.
fn controlled<'a>(
    kind: &Kind,
    between: &[(&'a Kind, &'a Objects)],
    namespace: &str,
    pods: &'a [Arc<Object>],
    found: &mut Vec<(&'a str, &'a str)>,
) {
    // The pods of a workload stand together, and share their owner.
    let mut last: Option<(&'a Arc<Owner>, Option<&'a str>)> = None;
    for pod in pods {
        let Some(owner) = &pod.owner else { continue };
        let object = match last {
            Some((seen, object)) if Arc::ptr_eq(seen, owner) => object,
            _ => climb(kind, between, namespace, owner),
        };
        last = Some((owner, object));
        found.extend(object.map(|object| (object, &*pod.name)));
    }
}

/// The name of the controller of a kind, by way of those between.
fn climb<'a>(
    kind: &Kind,
    between: &[(&'a Kind, &'a Objects)],
    namespace: &str,
    mut owner: &'a Owner,
) -> Option<&'a str> {
    for _ in 0..=MOST_BETWEEN {
        if is(owner, kind) {
            return Some(&owner.name);
        }
        let (_, objects) = between.iter().find(|(kind, _)| is(owner, kind))?;
        owner = objects.get(namespace, &owner.name)?.owner.as_deref()?;
    }
    None
}

/// Whether an owner is of a kind, in whichever version.
fn is(owner: &Owner, kind: &Kind) -> bool {
    let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
    *owner.kind == *kind.kind && group == kind.group
}

/// Adds the name of each Service that selects a pod, and the pod.
fn selected<'a>(
    services: &'a [Arc<Service>],
    pods: &'a [Arc<Object>],
    found: &mut Vec<(&'a str, &'a str)>,
) {
    let index = index(services);
    // The pods of a workload stand together, and share their labels.
    let mut last: Option<*const (Arc<str>, Arc<str>)> = None;
    let mut selecting: Vec<&'a str> = Vec::new();
    for pod in pods {
        if last != Some(pod.labels.as_ptr()) {
            last = Some(pod.labels.as_ptr());
            selecting.clear();
            for (key, value) in pod.labels.iter() {
                let candidates = index.get(&(&**key, &**value)).into_iter().flatten();
                let fitting = candidates.filter(|service| selects(service, pod));
                selecting.extend(fitting.map(|service| &*service.name));
            }
        }
        found.extend(selecting.iter().map(|service| (*service, &*pod.name)));
    }
}

fn selects(service: &Service, pod: &Object) -> bool {
    service.selector.iter().all(|(key, value)| pod.label(key) == Some(value))
}

/// The Services of a namespace, each under the one of its labels that the fewest others ask for.
fn index(services: &[Arc<Service>]) -> HashMap<(&str, &str), Vec<&Service>> {
    let mut frequency: HashMap<(&str, &str), usize> = HashMap::new();
    for service in services {
        for (key, value) in service.selector.iter() {
            *frequency.entry((key, value)).or_default() += 1;
        }
    }
    let mut index: HashMap<(&str, &str), Vec<&Service>> = HashMap::new();
    for service in services {
        let pairs = service.selector.iter().map(|(key, value)| (&**key, &**value));
        if let Some(rarest) = pairs.min_by_key(|pair| frequency.get(pair)) {
            index.entry(rarest).or_default().push(service);
        }
    }
    index
}
