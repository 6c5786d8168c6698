//! An object as far as it is read: some of its metadata, and of its `spec` what is kept.
//!
//! Managed fields, annotations and status are most of what the API server sends of an object.
//! kube's own types build them in memory, and a page of a list with them, before any can be let
//! go.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Debug;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};
use kube::Resource;
use kube::core::{ApiResource, DynamicResourceScope, ObjectMeta};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

use super::intern::Interner;
use crate::model::inventory::Named;

/// What can be kept of the objects of a kind.
pub(super) trait Keep: Named + PartialEq + Clone + Debug + Send + Sync + 'static {
    /// What is read of `spec`. A field of a type that the API server would not have is an error
    /// for the whole list, so that only what is certain is typed.
    type Spec: DeserializeOwned + Default + Clone + Debug + Send + 'static;

    /// Whether the API server may leave everything but the metadata out.
    const METADATA_ONLY: bool = false;
    /// How many objects are kept; those beyond are left out, which is logged.
    const MOST: usize;
    /// How many come in one answer: large enough for 100,000 objects in 100 requests, small enough
    /// to hold a page twice.
    const PAGE: u32 = 1_000;

    /// What is kept.
    fn keep(metadata: &ObjectMeta, spec: Self::Spec, interner: &mut Interner) -> Self;
}

/// An object of any kind. Of its metadata there are name, namespace, labels, owners, and what
/// tells one version from another.
#[derive(Clone, Debug)]
pub(super) struct Partial<T: Keep> {
    pub(super) metadata: ObjectMeta,
    pub(super) spec: T::Spec,
}

impl<'de, T: Keep> Deserialize<'de> for Partial<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(bound = "S: DeserializeOwned")]
        struct Object<S> {
            #[serde(default)]
            metadata: Kept,
            // What a `ControllerRevision` has in its place.
            #[serde(alias = "data")]
            spec: Option<S>,
        }

        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kept {
            name: Option<String>,
            namespace: Option<String>,
            labels: Option<BTreeMap<String, String>>,
            owner_references: Option<Vec<OwnerReference>>,
            resource_version: Option<String>,
            uid: Option<String>,
            generation: Option<i64>,
            creation_timestamp: Option<Time>,
        }

        let Object { metadata, spec } = Object::<T::Spec>::deserialize(deserializer)?;
        let metadata = ObjectMeta {
            name: metadata.name,
            namespace: metadata.namespace,
            labels: metadata.labels,
            owner_references: metadata.owner_references,
            resource_version: metadata.resource_version,
            uid: metadata.uid,
            generation: metadata.generation,
            creation_timestamp: metadata.creation_timestamp,
            ..ObjectMeta::default()
        };
        Ok(Self { metadata, spec: spec.unwrap_or_default() })
    }
}

impl<T: Keep> Resource for Partial<T> {
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
        T::METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}
