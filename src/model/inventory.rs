//! The objects of one kind at one moment, found by namespace and labels.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::selector::Selector;

/// An object as far as metrics need it: its name, labels and controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.labels`.
    pub labels: LabelSet,
    /// The entry of `metadata.ownerReferences` that is the controller.
    pub owner: Option<Arc<Owner>>,
}

/// Labels sorted by key. Objects of one workload share one set, and all objects the texts: with
/// 100,000 pods that is a sixth of the memory or less.
pub type LabelSet = Arc<[(Arc<str>, Arc<str>)]>;

/// The controller of an object, such as the `ReplicaSet` of a pod; it is in the same namespace, or
/// in none.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    /// Group and version: `apps/v1`.
    pub api_version: Arc<str>,
    /// `ReplicaSet`.
    pub kind: Arc<str>,
    /// `metadata.name`.
    pub name: Arc<str>,
}

impl Object {
    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        let index = self.labels.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
        Some(&self.labels[index].1)
    }

    /// Whether a selector matches the labels.
    pub fn is_selected_by(&self, selector: &Selector) -> bool {
        selector.matches(|key| self.label(key))
    }
}

/// All objects of one kind at one moment; immutable, so that readers need no lock.
///
/// Cluster-scoped objects are under the empty namespace. Cloning shares everything; a change of
/// one object copies the list of its namespace alone.
#[derive(Clone, Debug, Default)]
pub struct Objects {
    namespaces: HashMap<Arc<str>, Arc<Vec<Arc<Object>>>>,
}

impl Objects {
    /// Adds an object or replaces the one of the same name; false where it is there already as it
    /// is.
    pub fn insert(&mut self, namespace: &str, object: Arc<Object>) -> bool {
        let objects = match self.namespaces.get_mut(namespace) {
            Some(objects) => objects,
            None => self.namespaces.entry(namespace.into()).or_default(),
        };
        match find(objects, &object.name) {
            Ok(index) if objects[index] == object => return false,
            Ok(index) => Arc::make_mut(objects)[index] = object,
            Err(index) => Arc::make_mut(objects).insert(index, object),
        }
        true
    }

    /// Removes an object; false where there is none of that name.
    pub fn remove(&mut self, namespace: &str, name: &str) -> bool {
        let Some(objects) = self.namespaces.get_mut(namespace) else {
            return false;
        };
        let Ok(index) = find(objects, name) else {
            return false;
        };
        Arc::make_mut(objects).remove(index);
        if objects.is_empty() {
            self.namespaces.remove(namespace);
        }
        true
    }

    /// The names of the objects that a selector matches, in the order of an API list.
    pub fn select<'a>(
        &'a self,
        namespace: &str,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a str> + 'a {
        self.in_namespace(namespace)
            .iter()
            .filter(|object| object.is_selected_by(selector))
            .map(|object| object.name.as_ref())
    }

    /// The object of that name.
    pub fn get(&self, namespace: &str, name: &str) -> Option<&Arc<Object>> {
        let objects = self.in_namespace(namespace);
        find(objects, name).ok().map(|index| &objects[index])
    }

    /// Whether there is an object of that name.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.get(namespace, name).is_some()
    }

    /// The objects of a namespace in the order of an API list.
    pub fn in_namespace(&self, namespace: &str) -> &[Arc<Object>] {
        self.namespaces.get(namespace).map_or(&[], |objects| objects)
    }

    /// The same as it is shared: as long as it is this one, nothing in the namespace has changed.
    pub fn list(&self, namespace: &str) -> Option<&Arc<Vec<Arc<Object>>>> {
        self.namespaces.get(namespace)
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|objects| objects.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.namespaces.is_empty()
    }
}

/// The index of a name, or the one that it would have.
fn find(objects: &[Arc<Object>], name: &str) -> Result<usize, usize> {
    objects.binary_search_by(|object| object.name.as_ref().cmp(name))
}
