//! The discovery types of `metav1` and of `apidiscovery.k8s.io/v2`, with their fields in Go's order
//! and as present as there.

use serde::Serialize;

use crate::wire::{Empty, Group, GroupVersion};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroupList {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) groups: Vec<ApiGroup>,
}

/// `metav1.APIGroup`; kind and version stand in it only where it is a document of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) api_version: Option<&'static str>,
    pub(super) name: &'static str,
    pub(super) versions: Vec<GroupVersionForDiscovery>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) preferred_version: Option<GroupVersionForDiscovery>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct GroupVersionForDiscovery {
    pub(super) group_version: &'static str,
    pub(super) version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResourceList {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) group_version: &'static str,
    pub(super) resources: Vec<ApiResource>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResource {
    pub(super) name: String,
    pub(super) singular_name: &'static str,
    pub(super) namespaced: bool,
    pub(super) kind: &'static str,
    pub(super) verbs: &'static [&'static str],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiGroupDiscoveryList<'a> {
    pub(super) kind: &'static str,
    pub(super) api_version: &'static str,
    pub(super) metadata: Empty,
    pub(super) items: Vec<ApiGroupDiscovery<'a>>,
}

#[derive(Serialize)]
pub(super) struct ApiGroupDiscovery<'a> {
    pub(super) metadata: ObjectMeta,
    pub(super) versions: Vec<ApiVersionDiscovery<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectMeta {
    pub(super) name: &'static str,
    /// Always `null`.
    pub(super) creation_timestamp: Option<()>,
}

#[derive(Serialize)]
pub(super) struct ApiVersionDiscovery<'a> {
    pub(super) version: &'static str,
    pub(super) freshness: &'static str,
    pub(super) resources: Vec<ApiResourceDiscovery<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiResourceDiscovery<'a> {
    pub(super) resource: &'a str,
    pub(super) response_kind: GroupVersionKind,
    pub(super) scope: &'static str,
    pub(super) singular_resource: &'a str,
    pub(super) verbs: &'static [&'static str],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subresources: Vec<ApiSubresourceDiscovery<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiSubresourceDiscovery<'a> {
    pub(super) subresource: &'a str,
    pub(super) response_kind: GroupVersionKind,
    pub(super) verbs: &'static [&'static str],
}

#[derive(Clone, Copy, Serialize)]
pub(super) struct GroupVersionKind {
    pub(super) group: &'static str,
    pub(super) version: &'static str,
    pub(super) kind: &'static str,
}

impl ApiGroup {
    pub(super) fn new(group: Group, api_version: Option<&'static str>) -> Self {
        let versions = || {
            group.versions().iter().map(|version| GroupVersionForDiscovery {
                group_version: version.api_version(),
                version: version.version(),
            })
        };
        Self {
            kind: api_version.map(|_| "APIGroup"),
            api_version,
            name: group.as_str(),
            versions: versions().collect(),
            preferred_version: versions().next(),
        }
    }
}

impl ApiResource {
    pub(super) const fn new(name: String, namespaced: bool, kind: &'static str) -> Self {
        Self { name, singular_name: "", namespaced, kind, verbs: &["get"] }
    }
}

impl GroupVersionKind {
    pub(super) const NONE: Self = Self { group: "", version: "", kind: "" };

    pub(super) const fn list_of(version: GroupVersion) -> Self {
        Self {
            group: version.group().as_str(),
            version: version.version(),
            kind: version.list_kind(),
        }
    }
}
