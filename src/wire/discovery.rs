//! Discovery: which groups, versions and metrics there are, in the legacy documents and in the
//! aggregated one.
//!
//! Written once for each inventory of metrics and then served from memory, because a slow or
//! missing answer makes the API server call the groups stale, and a stale group stops every HPA on
//! it and the deletion of every namespace. Every version is always there and `Current`, with or
//! without metrics, and the list is sorted and capped: HPAs do not read it, but kubectl and the
//! controllers of the cluster download and parse all of it every minute.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use http::{HeaderMap, Response};

use self::types::{
    ApiGroup, ApiGroupDiscovery, ApiGroupDiscoveryList, ApiGroupList, ApiResource,
    ApiResourceDiscovery, ApiResourceList, ApiSubresourceDiscovery, ApiVersionDiscovery,
    GroupVersionKind, ObjectMeta,
};
use super::document::Document;
use super::negotiate::Form;
use super::usage::UsageKind;
use super::{Empty, Group, GroupVersion, Groups};

mod types;

/// Most entries of one group version.
pub const MAX_ENTRIES: usize = 1000;

/// How the answer to a request for the aggregated document is recognised.
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// The resources of `metrics.k8s.io`, whether they are in a namespace, and their kinds.
const USAGE: [(&str, bool, UsageKind); 2] =
    [("nodes", false, UsageKind::Node), ("pods", true, UsageKind::Pod)];

/// The metrics that are served, in any order and as often as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    /// Metrics that describe objects.
    pub custom: Vec<CustomResource>,
    /// Names of metrics that describe series.
    pub external: Vec<String>,
}

/// One metric of one kind of object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CustomResource {
    /// The plural with its group: `pods`, `deployments.apps`.
    pub resource: String,
    /// Whether its objects live in a namespace; namespaces themselves do not.
    pub namespaced: bool,
    /// The metric.
    pub metric: String,
}

/// How many metrics discovery does not show, because there are more than [`MAX_ENTRIES`] or their
/// names cannot stand in it (empty, or with a slash). They are served all the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Of `custom.metrics.k8s.io`.
    pub custom: usize,
    /// Of `external.metrics.k8s.io`.
    pub external: usize,
}

/// Every discovery document.
#[derive(Clone, Debug)]
pub struct Documents {
    group_list: Document,
    aggregated: Document,
    groups: BTreeMap<Group, Document>,
    versions: BTreeMap<GroupVersion, Document>,
    left_out: LeftOut,
}

impl Documents {
    /// Writes all documents.
    pub fn new(groups: Groups, resources: &Resources) -> Self {
        let (custom, custom_left_out) = custom_entries(&resources.custom);
        let (external, external_left_out) = external_entries(&resources.external);
        let entries = Entries { custom, external };
        let versions = || groups.iter().flat_map(|group| group.versions().iter().copied());
        Self {
            group_list: Document::new(&ApiGroupList {
                kind: "APIGroupList",
                api_version: "v1",
                groups: groups.iter().map(|group| ApiGroup::new(group, None)).collect(),
            }),
            aggregated: Document::new(&entries.aggregated(groups)),
            groups: groups
                .iter()
                .map(|group| (group, Document::new(&ApiGroup::new(group, Some("v1")))))
                .collect(),
            versions: versions()
                .map(|version| (version, Document::new(&entries.resource_list(version))))
                .collect(),
            left_out: LeftOut { custom: custom_left_out, external: external_left_out },
        }
    }

    /// How many metrics are not shown.
    pub const fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// `/apis` for those who do not ask for the aggregated document.
    pub fn group_list(&self, form: Form) -> Bytes {
        self.group_list.bytes(form)
    }

    /// `/apis` for those who do: the whole answer, 304 where `If-None-Match` has the current tag.
    pub fn aggregated(&self, form: Form, request: &HeaderMap) -> Response<Bytes> {
        self.aggregated.respond(form, AGGREGATED, "public", request)
    }

    /// `/apis/GROUP`; `None` where the group is not served.
    pub fn group(&self, group: Group, form: Form) -> Option<Bytes> {
        Some(self.groups.get(&group)?.bytes(form))
    }

    /// `/apis/GROUP/VERSION`; `None` where the group is not served. Never answer 304 here: the API
    /// server asks with the tag of `/apis` and takes 304 for an error.
    pub fn resource_list(&self, version: GroupVersion, form: Form) -> Option<Bytes> {
        Some(self.versions.get(&version)?.bytes(form))
    }
}

/// The metrics that are shown: resource → metrics, and external names; sorted, without
/// repetitions.
struct Entries<'a> {
    custom: BTreeMap<&'a str, Parent<'a>>,
    external: BTreeSet<String>,
}

/// The metrics of a kind of object.
#[derive(Default)]
struct Parent<'a> {
    namespaced: bool,
    metrics: BTreeSet<&'a str>,
}

/// The custom metrics to show, and how many there are beside them. Where sources disagree about
/// the scope of a resource it is namespaced: two scopes under one name make the API server refuse
/// the whole version.
fn custom_entries(resources: &[CustomResource]) -> (BTreeMap<&str, Parent<'_>>, usize) {
    let mut scopes: BTreeMap<&str, bool> = BTreeMap::new();
    let mut pairs = BTreeSet::new();
    let mut unnameable = BTreeSet::new();
    for CustomResource { resource, namespaced, metric } in resources {
        let pair = (resource.as_str(), metric.as_str());
        if can_stand(resource) && can_stand(metric) {
            *scopes.entry(resource).or_default() |= namespaced;
            pairs.insert(pair);
        } else {
            unnameable.insert(pair);
        }
    }
    let left_out = unnameable.len() + pairs.len().saturating_sub(MAX_ENTRIES);
    let mut entries: BTreeMap<&str, Parent<'_>> = BTreeMap::new();
    for (resource, metric) in pairs.into_iter().take(MAX_ENTRIES) {
        let parent = entries.entry(resource).or_default();
        parent.namespaced = scopes.get(resource).is_some_and(|namespaced| *namespaced);
        parent.metrics.insert(metric);
    }
    (entries, left_out)
}

/// The external metrics to show, in lower case since the HPA can ask for no other, and how many
/// there are beside them.
fn external_entries(names: &[String]) -> (BTreeSet<String>, usize) {
    let (mut shown, unnameable): (BTreeSet<_>, BTreeSet<_>) =
        names.iter().map(|name| name.to_lowercase()).partition(|name| can_stand(name));
    let left_out = unnameable.len() + shown.len().saturating_sub(MAX_ENTRIES);
    if let Some(first_left_out) = shown.iter().nth(MAX_ENTRIES).cloned() {
        shown.split_off(&first_left_out);
    }
    (shown, left_out)
}

/// Whether a name can be one segment of a resource's name.
fn can_stand(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

impl Entries<'_> {
    fn resource_list(&self, version: GroupVersion) -> ApiResourceList {
        let kind = version.list_kind();
        let resources = match version {
            GroupVersion::Custom(_) => self
                .custom
                .iter()
                .flat_map(|(resource, Parent { namespaced, metrics })| {
                    metrics.iter().map(move |metric| {
                        ApiResource::new(format!("{resource}/{metric}"), *namespaced, kind)
                    })
                })
                .collect(),
            GroupVersion::External => self
                .external
                .iter()
                .map(|name| ApiResource::new(name.clone(), true, kind))
                .collect(),
            GroupVersion::Resource => USAGE
                .map(|(name, namespaced, kind)| {
                    let resource = ApiResource::new(name.to_owned(), namespaced, kind.as_str());
                    ApiResource { verbs: &["get", "list"], ..resource }
                })
                .into(),
            GroupVersion::Insight => {
                let resource = ApiResource::new("decisions".to_owned(), true, "Decision");
                let verbs = &["get", "list"];
                vec![ApiResource { singular_name: "decision", verbs, ..resource }]
            }
        };
        ApiResourceList {
            kind: "APIResourceList",
            api_version: "v1",
            group_version: version.api_version(),
            resources,
        }
    }

    fn aggregated(&self, groups: Groups) -> ApiGroupDiscoveryList<'_> {
        let items = groups
            .iter()
            .map(|group| ApiGroupDiscovery {
                metadata: ObjectMeta { name: group.as_str(), creation_timestamp: None },
                versions: group.versions().iter().map(|version| self.version(*version)).collect(),
            })
            .collect();
        ApiGroupDiscoveryList {
            kind: "APIGroupDiscoveryList",
            api_version: "apidiscovery.k8s.io/v2",
            metadata: Empty {},
            items,
        }
    }

    fn version(&self, version: GroupVersion) -> ApiVersionDiscovery<'_> {
        let response_kind = GroupVersionKind::list_of(version);
        let resources = match version {
            GroupVersion::Custom(_) => self
                .custom
                .iter()
                .map(|(resource, parent)| ApiResourceDiscovery {
                    resource,
                    // The parent can do nothing of its own; clients then keep the metrics alone.
                    response_kind: GroupVersionKind::NONE,
                    scope: if parent.namespaced { "Namespaced" } else { "Cluster" },
                    singular_resource: "",
                    verbs: &[],
                    subresources: parent
                        .metrics
                        .iter()
                        .map(|metric| ApiSubresourceDiscovery {
                            subresource: metric,
                            response_kind,
                            verbs: &["get"],
                        })
                        .collect(),
                })
                .collect(),
            GroupVersion::External => self
                .external
                .iter()
                .map(|name| ApiResourceDiscovery {
                    resource: name,
                    response_kind,
                    scope: "Namespaced",
                    singular_resource: name,
                    verbs: &["get"],
                    subresources: Vec::new(),
                })
                .collect(),
            GroupVersion::Resource => USAGE
                .map(|(resource, namespaced, kind)| ApiResourceDiscovery {
                    resource,
                    response_kind: GroupVersionKind { kind: kind.as_str(), ..response_kind },
                    scope: if namespaced { "Namespaced" } else { "Cluster" },
                    singular_resource: "",
                    verbs: &["get", "list"],
                    subresources: Vec::new(),
                })
                .into(),
            GroupVersion::Insight => vec![ApiResourceDiscovery {
                resource: "decisions",
                response_kind: GroupVersionKind { kind: "Decision", ..response_kind },
                scope: "Namespaced",
                singular_resource: "decision",
                verbs: &["get", "list"],
                subresources: Vec::new(),
            }],
        };
        ApiVersionDiscovery { version: version.version(), freshness: "Current", resources }
    }
}

#[cfg(test)]
mod tests;
