//! Kinds of Kubernetes objects and the names people use for them.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// A resource and its API group as they stand in a path: `pods`, `deployments.apps`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupResource {
    /// The API group; empty for the core group.
    pub group: String,
    /// The resource as it was written: plural, singular or short.
    pub resource: String,
}

impl GroupResource {
    /// Splits `deployments.apps` at its first dot, as Kubernetes' `ParseGroupResource` does.
    pub fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self { group: group.to_owned(), resource: resource.to_owned() }
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        Ok(())
    }
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Nodes, namespaces, persistent volumes and the like.
    Cluster,
    /// Pods, services, deployments and the like.
    Namespaced,
}

/// One kind of object, as API discovery describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: String,
    /// The preferred version: `v1`.
    pub version: String,
    /// The kind: `Deployment`.
    pub kind: String,
    /// The plural resource name: `deployments`.
    pub plural: String,
    /// The singular resource name: `deployment`.
    pub singular: String,
    /// Short names: `deploy`.
    pub short_names: Vec<String>,
    /// Where its objects live.
    pub scope: Scope,
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The plural with its group: `deployments.apps`.
    pub fn group_resource(&self) -> GroupResource {
        GroupResource { group: self.group.clone(), resource: self.plural.clone() }
    }

    /// Whether this is the core kind `Namespace`, whose metrics have a path of their own.
    pub fn is_namespace(&self) -> bool {
        self.group.is_empty() && self.plural == "namespaces"
    }
}

/// Every kind there is, found by any of its names.
#[derive(Debug, Default)]
pub struct Kinds {
    all: Vec<Arc<Kind>>,
    by_name: HashMap<String, Vec<usize>>,
}

impl Kinds {
    /// Takes the kinds in order of preference: where a name without a group fits several, the
    /// first wins, as in Kubernetes' `PriorityRESTMapper`, which prefers the core group and then
    /// the order of the API server's group list. Plural and singular come before short names, so
    /// that a custom resource's short name takes nothing away from the resource called that.
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        let all: Vec<_> = kinds.into_iter().map(Arc::new).collect();
        let mut by_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut add = |name: &str, index| {
            let fitting = by_name.entry(name.to_lowercase()).or_default();
            if !fitting.contains(&index) {
                fitting.push(index);
            }
        };
        for (index, kind) in all.iter().enumerate() {
            add(&kind.plural, index);
            // Some API servers leave it out.
            if !kind.singular.is_empty() {
                add(&kind.singular, index);
            }
        }
        for (index, kind) in all.iter().enumerate() {
            kind.short_names.iter().for_each(|name| add(name, index));
        }
        Self { all, by_name }
    }

    /// Finds a kind by plural, singular or short name, in upper or lower case. Without a group any
    /// group fits; with one, it has to be that group, or one that begins with it where none is
    /// equal (Kubernetes' `DefaultRESTMapper.ResourcesFor`).
    pub fn resolve(&self, name: &GroupResource) -> Option<&Arc<Kind>> {
        let resource = if name.resource.chars().any(char::is_uppercase) {
            Cow::Owned(name.resource.to_lowercase())
        } else {
            Cow::Borrowed(&name.resource)
        };
        let fitting = self.by_name.get(resource.as_ref())?;
        let mut kinds = fitting.iter().map(|index| &self.all[*index]);
        if name.group.is_empty() {
            return kinds.next();
        }
        kinds
            .clone()
            .find(|kind| kind.group == name.group)
            .or_else(|| kinds.find(|kind| kind.group.starts_with(&name.group)))
    }

    /// All kinds, in order of preference.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Kind>> {
        self.all.iter()
    }
}
