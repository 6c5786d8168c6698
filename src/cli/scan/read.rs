//! What `plimsoll scan` reads of a cluster, page by page, and the one thing that it writes.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::Value;
use tokio::time::timeout;

use crate::admission::exemptions::join;
use crate::cluster::Snapshots;
use crate::cluster::watch::{DiscoveryError, WatchInventory};
use crate::engine::ports::Inventory as _;
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::{LabelSet, Named, Objects};
use crate::model::limit_range::LimitRange;
use crate::model::object::Kind;
use crate::model::policy::{Policy, Template};

/// Objects in one answer.
const PAGE: u32 = 250;
/// How long what surrounds the workloads may take to come in.
const PATIENCE: Duration = Duration::from_mins(1);

/// The kinds that are judged; `kinds` adds those of the configuration.
const WORKLOADS: [(&str, &str); 8] = [
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("apps", "ReplicaSet"),
    ("", "ReplicationController"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("", "Pod"),
];

/// Of these kinds an object that was not listed does not exist.
pub(super) const SCALABLE: [&str; 4] =
    ["Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"];

/// The group and kind of autoscalers.
pub(super) const AUTOSCALER: (&str, &str) = ("autoscaling", "HorizontalPodAutoscaler");

/// The version of an object; a list leaves it out of its items.
pub(super) fn version(group: &str, object: &Value) -> String {
    let written = object["apiVersion"].as_str();
    let version = written.map(|text| text.rsplit('/').next().unwrap_or(text));
    let usual = if group == AUTOSCALER.0 { "v2" } else { "v1" };
    version.unwrap_or(usual).to_owned()
}

/// Why something cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The kinds cannot be discovered.
    #[error("cannot discover the kinds of the cluster")]
    Discovery(#[source] Box<DiscoveryError>),
    /// A kind cannot be listed.
    #[error("cannot list {0}")]
    List(String, #[source] Box<kube::Error>),
    /// What surrounds the workloads did not come in.
    #[error("{0} were not listed within {PATIENCE:?}: is there a right to watch them?")]
    Late(&'static str),
    /// A report cannot be written.
    #[error(
        "cannot write the PolicyReport of namespace {0} (are the definitions of wgpolicyk8s.io \
         installed?)"
    )]
    Report(String, #[source] Box<kube::Error>),
}

/// A cluster whose limit ranges and autoscalers are known.
pub(super) struct Cluster {
    client: Client,
    inventory: WatchInventory,
    limit_ranges: Arc<Objects<LimitRange>>,
    autoscalers: Arc<Objects<Autoscaler>>,
}

impl Cluster {
    pub(super) async fn connect(client: Client) -> Result<Self, ReadError> {
        let inventory = WatchInventory::start(client.clone())
            .await
            .map_err(|error| ReadError::Discovery(Box::new(error)))?;
        let limit_ranges = known(inventory.limit_ranges(), "limit ranges").await?;
        let autoscalers = known(inventory.autoscalers(), "autoscalers").await?;
        Ok(Self { client, inventory, limit_ranges, autoscalers })
    }

    /// The policy with the exemptions of the cluster.
    pub(super) async fn with_exemptions(
        &self,
        policy: &Arc<Policy>,
    ) -> Result<Arc<Policy>, ReadError> {
        let objects: Arc<Objects<CustomObject>> =
            known(self.inventory.custom(CustomKind::Exemption), "exemptions").await?;
        Ok(join(policy, Some(&objects)).0)
    }

    pub(super) fn limit_ranges(&self, namespace: &str) -> Vec<Arc<LimitRange>> {
        self.limit_ranges.in_namespace(namespace).to_vec()
    }

    pub(super) fn autoscalers(&self, namespace: &str) -> Vec<Arc<Autoscaler>> {
        self.autoscalers.in_namespace(namespace).to_vec()
    }

    /// The names and labels of all namespaces.
    pub(super) async fn namespaces(&self) -> Result<Vec<(String, LabelSet)>, ReadError> {
        let mut namespaces = Vec::new();
        let mut each = |object: DynamicObject| {
            let labels = object.labels().iter();
            let labels = labels.map(|(key, value)| (Arc::from(&**key), Arc::from(&**value)));
            namespaces.push((object.name_any(), labels.collect()));
        };
        self.pages("", "Namespace", None, &mut each).await?;
        Ok(namespaces)
    }

    /// The group and kind of all that is judged.
    pub(super) fn kinds(templates: &[Template]) -> Vec<(String, String)> {
        let own = WORKLOADS.map(|(group, kind)| (group.to_owned(), kind.to_owned()));
        let others = templates.iter().map(|one| (one.group.to_string(), one.kind.to_string()));
        own.into_iter().chain(others).collect()
    }

    /// Shows each object of a kind in a namespace; none where there is no such kind.
    pub(super) async fn each(
        &self,
        group: &str,
        kind: &str,
        namespace: &str,
        each: &mut impl FnMut(Value),
    ) -> Result<(), ReadError> {
        let mut each = |object: DynamicObject| {
            // What came as JSON can be JSON again.
            each(serde_json::to_value(object).unwrap_or_default());
        };
        self.pages(group, kind, Some(namespace), &mut each).await
    }

    async fn pages(
        &self,
        group: &str,
        kind: &str,
        namespace: Option<&str>,
        each: &mut impl FnMut(DynamicObject),
    ) -> Result<(), ReadError> {
        let kinds = self.inventory.kinds();
        let Some(kind) = kinds.iter().find(|known| known.group == group && known.kind == kind)
        else {
            return Ok(());
        };
        let resource = resource(kind);
        let api: Api<DynamicObject> = match namespace {
            Some(namespace) => Api::namespaced_with(self.client.clone(), namespace, &resource),
            None => Api::all_with(self.client.clone(), &resource),
        };
        let mut parameters = ListParams::default().limit(PAGE);
        loop {
            let page = api.list(&parameters).await.map_err(|error| {
                ReadError::List(kind.group_resource().to_string(), Box::new(error))
            })?;
            let next = page.metadata.continue_.filter(|next| !next.is_empty());
            page.items.into_iter().for_each(&mut *each);
            let Some(next) = next else { return Ok(()) };
            parameters = parameters.continue_token(&next);
        }
    }

    /// Writes the report of a namespace, and owns it.
    pub(super) async fn write_report(
        &self,
        namespace: &str,
        report: &Value,
    ) -> Result<(), ReadError> {
        let resource = ApiResource {
            group: "wgpolicyk8s.io".to_owned(),
            version: "v1alpha2".to_owned(),
            api_version: "wgpolicyk8s.io/v1alpha2".to_owned(),
            kind: "PolicyReport".to_owned(),
            plural: "policyreports".to_owned(),
        };
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &resource);
        let parameters = PatchParams::apply("plimsoll").force();
        api.patch("plimsoll", &parameters, &Patch::Apply(report))
            .await
            .map_err(|error| ReadError::Report(namespace.to_owned(), Box::new(error)))?;
        Ok(())
    }
}

fn resource(kind: &Kind) -> ApiResource {
    // What autoscalers say is read in this version.
    let version = if kind.group == AUTOSCALER.0 { "v2" } else { &kind.version };
    let prefix = if kind.group.is_empty() { String::new() } else { format!("{}/", kind.group) };
    ApiResource {
        group: kind.group.clone(),
        version: version.to_owned(),
        api_version: format!("{prefix}{version}"),
        kind: kind.kind.clone(),
        plural: kind.plural.clone(),
    }
}

/// The first state.
async fn known<T: Named + PartialEq>(
    mut snapshots: Snapshots<T>,
    what: &'static str,
) -> Result<Arc<Objects<T>>, ReadError> {
    match timeout(PATIENCE, snapshots.wait_for(Option::is_some)).await {
        Ok(Ok(objects)) => Ok(objects.clone().unwrap_or_default()),
        _ => Err(ReadError::Late(what)),
    }
}
