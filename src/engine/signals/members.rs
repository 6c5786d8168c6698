//! The pods of the objects of a kind: which objects have to be known for that, and where they are.

use std::sync::Arc;

use crate::engine::error::Error;
use crate::engine::ports::Inventory;
use crate::model::inventory::Objects;
use crate::model::membership::{Membership, Sources};
use crate::model::object::{GroupResource, Kind};
use crate::model::service::Service;

/// Workloads that have pods of their own, without another object between.
const DIRECT: [&str; 6] = [
    "statefulsets.apps",
    "daemonsets.apps",
    "replicasets.apps",
    "jobs.batch",
    "replicationcontrollers",
    "nodes",
];

/// What stands between pods and the workloads of others.
const BETWEEN_CUSTOM: [&str; 3] = ["replicasets.apps", "statefulsets.apps", "jobs.batch"];

/// The pods of all objects of a kind, as they are now.
#[derive(Debug)]
pub(super) struct Members {
    pods: Arc<Objects>,
    between: Vec<(Arc<Kind>, Arc<Objects>)>,
    services: Arc<Objects<Service>>,
}

impl Members {
    /// Begins to follow what has to be known, and waits until it is.
    pub(super) async fn find(inventory: &impl Inventory, kind: &Arc<Kind>) -> Result<Self, Error> {
        let resource = kind.group_resource().to_string();
        let unknown = || Error::NoPods { resource: resource.clone() };
        let kinds = inventory.kinds();
        let pods = kinds.resolve(&GroupResource::parse("pods")).ok_or_else(unknown)?;
        let pods = inventory.objects(pods).await?.ok_or_else(unknown)?;
        let mut between = Vec::new();
        for name in names_between(&resource) {
            let Some(kind) = kinds.resolve(&GroupResource::parse(name)) else { continue };
            if let Some(objects) = inventory.objects(kind).await? {
                between.push((Arc::clone(kind), objects));
            }
        }
        let services = if resource == "services" {
            inventory.selecting_services().await?.unwrap_or_default()
        } else {
            Arc::default()
        };
        Ok(Self { pods, between, services })
    }

    /// Whether there is a pod of that name now.
    pub(super) fn has_pod(&self, namespace: &str, name: &str) -> bool {
        self.pods.contains(namespace, name)
    }

    /// What stands between pods and workloads.
    pub(super) fn between(&self) -> Vec<(&Kind, &Objects)> {
        self.between.iter().map(|(kind, objects)| (&**kind, &**objects)).collect()
    }

    /// Which pods belong to which object, by way of those [between](Self::between).
    pub(super) fn of<'a>(
        &'a self,
        kind: &Kind,
        between: &'a [(&'a Kind, &'a Objects)],
    ) -> Membership<'a> {
        let (pods, services) = (&*self.pods, &*self.services);
        Membership::of(kind, Sources { pods, between, services })
    }
}

fn names_between(resource: &str) -> &'static [&'static str] {
    match resource {
        "deployments.apps" => &BETWEEN_CUSTOM[..1],
        "cronjobs.batch" => &BETWEEN_CUSTOM[2..],
        "services" | "namespaces" | "pods" => &[],
        resource if DIRECT.contains(&resource) => &[],
        _ => &BETWEEN_CUSTOM,
    }
}
