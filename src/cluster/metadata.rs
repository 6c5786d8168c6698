//! The metadata of an object as far as it is kept, read without the rest.
//!
//! Managed fields and annotations are most of what the API server sends of an object. kube's own
//! `PartialObjectMeta` builds them in memory, and a page of a list with them, before any can be let
//! go.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::{Deserialize, Deserializer};

/// An object of any kind, asked for as `PartialObjectMetadata`. Of its metadata there are name,
/// namespace, labels, owners and version.
#[derive(Clone, Debug)]
pub(super) struct Metadata(pub(super) ObjectMeta);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Object {
            #[serde(default)]
            metadata: Kept,
        }

        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kept {
            name: Option<String>,
            namespace: Option<String>,
            labels: Option<BTreeMap<String, String>>,
            owner_references: Option<Vec<OwnerReference>>,
            resource_version: Option<String>,
        }

        let Kept { name, namespace, labels, owner_references, resource_version } =
            Object::deserialize(deserializer)?.metadata;
        Ok(Self(ObjectMeta {
            name,
            namespace,
            labels,
            owner_references,
            resource_version,
            ..ObjectMeta::default()
        }))
    }
}

impl Resource for Metadata {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        resource.kind.as_str().into()
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        resource.group.as_str().into()
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        resource.version.as_str().into()
    }

    fn api_version(resource: &ApiResource) -> Cow<'_, str> {
        resource.api_version.as_str().into()
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        resource.plural.as_str().into()
    }

    fn metadata_api() -> bool {
        true
    }

    fn meta(&self) -> &ObjectMeta {
        &self.0
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.0
    }
}
