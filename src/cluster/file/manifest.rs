//! Reads what `kubectl get … -o yaml` or `-o json` prints: one `List`, one typed list, or several
//! documents.
//!
//! Of each object only kind, namespace, name, labels and controller are kept, and of a few kinds
//! some of `spec`, provided that kind stands before it, as kubectl has it; the rest is checked to be
//! YAML and passed over. JSON is read as the YAML it is. Pure: the text comes in, entries go out.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1 as meta;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_saphyr::Spanned;

use crate::cluster::keep::{
    AutoscalerSpec, CustomSpec, LimitRangeSpec, OutlineSpec, RevisionSpec, ServiceSpec,
};
use crate::model::custom::{self, CustomKind};
use crate::model::object::Scope;
use crate::model::template::{OutlineKind, RevisionKind};

/// One object of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Group and version, `apps/v1`.
    pub(super) api_version: String,
    /// `Deployment`.
    pub(super) kind: String,
    /// `metadata.namespace`; empty for cluster-scoped objects.
    pub(super) namespace: String,
    /// `metadata.name`.
    pub(super) name: String,
    /// `metadata.labels`, sorted by key.
    pub(super) labels: Vec<(String, String)>,
    /// The controller among `metadata.ownerReferences`.
    pub(super) owner: Option<OwnerReference>,
    /// What `spec` says, where it is read.
    pub(super) spec: Spec,
    /// Where the object begins.
    pub(super) place: Place,
}

/// What is kept of `spec`, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Spec {
    /// Nothing.
    #[default]
    Ignored,
    Autoscaler(AutoscalerSpec),
    Custom(CustomKind, CustomSpec),
    /// What a `CustomResourceDefinition` defines.
    Definition(Definition),
    LimitRange(LimitRangeSpec),
    Outline(OutlineKind, OutlineSpec),
    Revision(RevisionKind, RevisionSpec),
    Service(ServiceSpec),
}

/// An entry of `metadata.ownerReferences`.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) name: String,
    controller: Option<bool>,
}

impl OwnerReference {
    pub(super) fn to_reference(&self) -> meta::OwnerReference {
        meta::OwnerReference {
            api_version: self.api_version.clone(),
            kind: self.kind.clone(),
            name: self.name.clone(),
            controller: self.controller,
            ..meta::OwnerReference::default()
        }
    }
}

/// A place in a file, both counted from one. Documents without content are not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u64,
    pub(super) document: usize,
}

/// The names that a `CustomResourceDefinition` gives its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) plural: String,
    pub(super) singular: Option<String>,
    pub(super) short_names: Vec<String>,
    pub(super) scope: Scope,
    /// The versions that are served.
    pub(super) versions: Vec<String>,
}

/// Why a text cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is not YAML, or a field has the wrong type.
    #[error("{0}")]
    Syntax(String),
    /// An object lacks something.
    #[error("line {}, document {}: {what}", place.line, place.document)]
    Object { place: Place, what: String },
}

/// The objects of a text in its order.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Error> {
    let documents: Vec<Spanned<Node>> =
        serde_saphyr::from_multiple_with_options(text, options(text.len()))
            .map_err(|error| Error::Syntax(error.to_string()))?;
    let mut entries = Vec::new();
    for (index, document) in documents.into_iter().enumerate() {
        flatten(document, index + 1, None, &mut entries)?;
    }
    Ok(entries)
}

/// Limits that follow the size of the text, which the caller bounds; aliases alone could make
/// more of it than it is.
fn options(size: usize) -> serde_saphyr::Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: size.saturating_add(1024),
            max_nodes: size.saturating_add(1024),
            max_total_scalar_bytes: size.saturating_add(1024),
            max_documents: size.saturating_add(1024),
            // The schemas inside CustomResourceDefinitions nest far deeper than the default 64.
            max_depth: 512,
            max_aliases: 1_000,
        },
        with_snippet: false,
    }
}

/// Takes lists apart. The items of a typed list (`PodList`) have no kind of their own.
fn flatten(
    node: Spanned<Node>,
    document: usize,
    inherited: Option<(&str, &str)>,
    entries: &mut Vec<Entry>,
) -> Result<(), Error> {
    let place = Place { line: node.referenced.line(), document };
    let Node { api_version, kind, metadata, items, spec } = node.value;
    let missing = |what: &str| Error::Object { place, what: format!("an object without {what}") };
    let (api_version, kind) = match (api_version, kind, inherited) {
        (Some(api_version), Some(kind), _) => (api_version, kind),
        (None, None, Some((api_version, kind))) => (api_version.to_owned(), kind.to_owned()),
        (None, _, _) => return Err(missing("apiVersion")),
        (_, None, _) => return Err(missing("kind")),
    };
    if let Some(item_kind) = kind.strip_suffix("List").filter(|_| items.is_some()) {
        let inherited = (!item_kind.is_empty()).then_some((api_version.as_str(), item_kind));
        for item in items.into_iter().flatten() {
            flatten(item, document, inherited, entries)?;
        }
        return Ok(());
    }
    let Metadata { name, namespace, labels, owner_references } = metadata.unwrap_or_default();
    let Some(name) = name.filter(|name| !name.is_empty()) else {
        return Err(Error::Object { place, what: format!("a {kind} without metadata.name") });
    };
    entries.push(Entry {
        api_version,
        kind,
        namespace: namespace.unwrap_or_default(),
        name,
        labels: labels
            .unwrap_or_default()
            .into_iter()
            .map(|(key, value)| (key, value.unwrap_or_default()))
            .collect(),
        owner: owner_references.into_iter().flatten().find(|owner| owner.controller == Some(true)),
        spec,
        place,
    });
    Ok(())
}

/// An object or a list of them.
#[derive(Default)]
struct Node {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<Metadata>,
    items: Option<Vec<Spanned<Self>>>,
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, Option<String>>>,
    owner_references: Option<Vec<OwnerReference>>,
}

/// By hand, because `spec` has a shape that depends on the kind; kubectl prints the kind first.
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a Kubernetes object or a list of them")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Node, A::Error> {
                let mut node = Node::default();
                while let Some(field) = fields.next_key::<String>()? {
                    match field.as_str() {
                        "apiVersion" => node.api_version = fields.next_value()?,
                        "kind" => node.kind = fields.next_value()?,
                        "metadata" => node.metadata = fields.next_value()?,
                        "items" => node.items = fields.next_value()?,
                        // `data` is what a `ControllerRevision` has in the place of `spec`.
                        "spec" | "data" => node.spec = node.next_spec(&mut fields)?,
                        _ => {
                            fields.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(node)
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl Node {
    fn next_spec<'de, A: MapAccess<'de>>(&self, fields: &mut A) -> Result<Spec, A::Error> {
        let api_version = self.api_version.as_deref().unwrap_or_default();
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let kind = self.kind.as_deref().unwrap_or_default();
        Ok(match (group, version, kind) {
            (_, _, "CustomResourceDefinition") => {
                Spec::Definition(fields.next_value::<DefinitionSpec>()?.into_definition())
            }
            ("autoscaling", "v2", "HorizontalPodAutoscaler") => {
                Spec::Autoscaler(fields.next_value::<Option<_>>()?.unwrap_or_default())
            }
            ("", "v1", "LimitRange") => {
                Spec::LimitRange(fields.next_value::<Option<_>>()?.unwrap_or_default())
            }
            ("", "v1", "Service") => {
                Spec::Service(fields.next_value::<Option<_>>()?.unwrap_or_default())
            }
            ("apps", "v1", "ReplicaSet") => {
                let spec = fields.next_value::<Option<_>>()?.unwrap_or_default();
                Spec::Revision(RevisionKind::ReplicaSet, spec)
            }
            ("apps", "v1", "ControllerRevision") => {
                let spec = fields.next_value::<Option<_>>()?.unwrap_or_default();
                Spec::Revision(RevisionKind::ControllerRevision, spec)
            }
            ("apps", "v1", kind) if let Some(kind) = OutlineKind::parse(kind) => {
                Spec::Outline(kind, fields.next_value::<Option<_>>()?.unwrap_or_default())
            }
            (custom::GROUP, _, kind) => {
                match CustomKind::ALL.into_iter().find(|custom| custom.kind() == kind) {
                    Some(custom) => Spec::Custom(custom, fields.next_value()?),
                    None => ignored(fields)?,
                }
            }
            _ => ignored(fields)?,
        })
    }
}

fn ignored<'de, A: MapAccess<'de>>(fields: &mut A) -> Result<Spec, A::Error> {
    fields.next_value::<IgnoredAny>()?;
    Ok(Spec::Ignored)
}

#[derive(Deserialize)]
struct DefinitionSpec {
    group: String,
    names: DefinitionNames,
    scope: DefinitionScope,
    versions: Vec<DefinitionVersion>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct DefinitionNames {
    kind: String,
    plural: String,
    singular: Option<String>,
    #[serde(default)]
    short_names: Vec<String>,
}

#[derive(Deserialize)]
enum DefinitionScope {
    Cluster,
    Namespaced,
}

#[derive(Deserialize)]
struct DefinitionVersion {
    name: String,
    #[serde(default)]
    served: bool,
}

impl DefinitionSpec {
    fn into_definition(self) -> Definition {
        let Self { group, names, scope, versions } = self;
        let DefinitionNames { kind, plural, singular, short_names } = names;
        Definition {
            group,
            kind,
            plural,
            singular,
            short_names,
            scope: match scope {
                DefinitionScope::Cluster => Scope::Cluster,
                DefinitionScope::Namespaced => Scope::Namespaced,
            },
            versions: versions
                .into_iter()
                .filter(|version| version.served)
                .map(|version| version.name)
                .collect(),
        }
    }
}
