//! The objects of one kind at one moment, found by namespace and labels.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use crate::model::selector::Selector;

/// An object as far as metrics need it: its name and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.labels`, sorted by key.
    pub labels: Box<[(Box<str>, Box<str>)]>,
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
    /// Adds an object or replaces the one of the same name.
    pub fn insert(&mut self, namespace: &str, object: Object) {
        let objects = match self.namespaces.get_mut(namespace) {
            Some(objects) => Arc::make_mut(objects),
            None => Arc::make_mut(self.namespaces.entry(namespace.into()).or_default()),
        };
        match objects.binary_search_by(|other| other.name.cmp(&object.name)) {
            Ok(index) => objects[index] = Arc::new(object),
            Err(index) => objects.insert(index, Arc::new(object)),
        }
    }

    /// Removes an object; nothing happens where there is none of that name.
    pub fn remove(&mut self, namespace: &str, name: &str) {
        let Some(objects) = self.namespaces.get_mut(namespace) else {
            return;
        };
        if let Ok(index) = objects.binary_search_by(|other| other.name.as_ref().cmp(name)) {
            Arc::make_mut(objects).remove(index);
        }
        if objects.is_empty() {
            self.namespaces.remove(namespace);
        }
    }

    /// The names of the objects that a selector matches, in the order of an API list.
    pub fn select<'a>(
        &'a self,
        namespace: &str,
        selector: &'a Selector,
    ) -> impl Iterator<Item = &'a str> + 'a {
        self.namespaces
            .get(namespace)
            .into_iter()
            .flat_map(|objects| objects.iter())
            .filter(move |object| {
                selector.matches(|key| {
                    let index =
                        object.labels.binary_search_by(|(k, _)| k.as_ref().cmp(key)).ok()?;
                    Some(object.labels[index].1.as_ref())
                })
            })
            .map(|object| object.name.as_ref())
    }

    /// Whether there is an object of that name.
    pub fn contains(&self, namespace: &str, name: &str) -> bool {
        self.namespaces.get(namespace).is_some_and(|objects| {
            objects.binary_search_by(|other| other.name.as_ref().cmp(name)).is_ok()
        })
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
