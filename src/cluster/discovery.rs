//! The kinds of a cluster, from the API server's aggregated discovery.
//!
//! Two requests, whatever the number of groups. The metric groups are left out, ours or not:
//! their "resources" are metrics, not objects.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use kube::Client;
use kube::core::discovery::v2::{APIGroupDiscovery, APIGroupDiscoveryList, APIResourceDiscovery};

use super::explain;
use crate::model::object::{GroupResource, Kind, Kinds, Scope};

/// v2beta1 is what Kubernetes 1.26 to 1.29 have; both have the same shape.
const ACCEPT: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,\
    application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,\
    application/json";
const DEADLINE: Duration = Duration::from_secs(10);
const METRICS: [&str; 3] = ["custom.metrics.k8s.io", "external.metrics.k8s.io", "metrics.k8s.io"];

/// What discovery said.
#[derive(Debug, Default)]
pub(super) struct Catalog {
    /// The kinds: the core group first, then groups in the API server's order.
    pub(super) kinds: Arc<Kinds>,
    /// Kinds without the verbs `list` and `watch`.
    pub(super) unwatchable: HashSet<GroupResource>,
}

/// Why the kinds are not known.
#[derive(Debug, thiserror::Error)]
#[error("cannot discover the kinds of the cluster: {0}")]
pub struct DiscoveryError(String);

/// Asks for the kinds. Of a group whose server does not answer the API server, the kinds known
/// before are kept.
pub(super) async fn discover(client: &Client, before: &Catalog) -> Result<Catalog, DiscoveryError> {
    let both = async { tokio::try_join!(list(client, "/api"), list(client, "/apis")) };
    let (core, groups) = tokio::time::timeout(DEADLINE, both)
        .await
        .map_err(|_| DiscoveryError(format!("the API server did not answer within {DEADLINE:?}")))?
        .map_err(|error| DiscoveryError(explain::client(&error)))?;
    if core.items.is_empty() {
        let message = "the API server has no aggregated discovery, Kubernetes 1.26 or newer does";
        return Err(DiscoveryError(message.to_owned()));
    }
    Ok(Catalog::new(core.items.into_iter().chain(groups.items), before))
}

async fn list(client: &Client, path: &str) -> Result<APIGroupDiscoveryList, kube::Error> {
    let request = Request::get(path).header(header::ACCEPT, ACCEPT).body(Vec::new());
    client.request(request.map_err(kube::Error::HttpError)?).await
}

impl Catalog {
    fn new(groups: impl Iterator<Item = APIGroupDiscovery>, before: &Self) -> Self {
        let mut kinds = Vec::new();
        let mut unwatchable = HashSet::new();
        for group in groups {
            let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
            if METRICS.contains(&name.as_str()) {
                continue;
            }
            let mut seen = HashSet::new();
            let mut stale = false;
            // Versions come in the order of preference: the first that has a resource wins.
            for version in group.versions {
                stale |= version.freshness.as_deref() == Some("Stale");
                let version_name = version.version.unwrap_or_default();
                for resource in version.resources {
                    let watchable = ["list", "watch"]
                        .iter()
                        .all(|verb| resource.verbs.iter().any(|offered| offered == verb));
                    let Some(kind) = kind(&name, &version_name, resource) else {
                        continue;
                    };
                    if !seen.insert(kind.plural.clone()) {
                        continue;
                    }
                    if !watchable {
                        unwatchable.insert(kind.group_resource());
                    }
                    kinds.push(kind);
                }
            }
            if stale {
                let kept = before
                    .kinds
                    .iter()
                    .filter(|kind| kind.group == name && !seen.contains(&kind.plural));
                for kind in kept {
                    if before.unwatchable.contains(&kind.group_resource()) {
                        unwatchable.insert(kind.group_resource());
                    }
                    kinds.push((**kind).clone());
                }
            }
        }
        Self { kinds: Arc::new(Kinds::new(kinds)), unwatchable }
    }
}

fn kind(group: &str, version: &str, resource: APIResourceDiscovery) -> Option<Kind> {
    let kind = resource.response_kind?.kind.filter(|kind| !kind.is_empty())?;
    Some(Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: resource.resource?,
        singular: resource
            .singular_resource
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| kind.to_lowercase()),
        short_names: resource.short_names,
        scope: match resource.scope.as_deref() {
            Some("Namespaced") => Scope::Namespaced,
            _ => Scope::Cluster,
        },
        kind,
    })
}
