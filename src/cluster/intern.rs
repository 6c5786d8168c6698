//! Keeps each text, label set and owner once, however many objects have it.
//!
//! The pods of a workload differ in their names alone, so what they share is most of what there is
//! to keep. What no object has any more is swept out whenever the pools have doubled, so that they
//! are never more than twice as large as what is in use, whatever came and went.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use crate::model::inventory::{LabelSet, Object, Owner};

/// How many entries are kept before the first sweep.
const FIRST_SWEEP: usize = 1024;

/// Pools of what objects share.
#[derive(Debug)]
pub(super) struct Interner {
    texts: HashSet<Arc<str>>,
    label_sets: HashSet<LabelSet>,
    owners: HashSet<Arc<Owner>>,
    /// The number of entries that the next sweep waits for.
    sweep_at: usize,
}

/// An owner as it was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct OwnerRef<'a> {
    pub(super) api_version: &'a str,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
}

impl Default for Interner {
    fn default() -> Self {
        Self {
            texts: HashSet::new(),
            label_sets: HashSet::new(),
            owners: HashSet::new(),
            sweep_at: FIRST_SWEEP,
        }
    }
}

impl Interner {
    /// An object that shares what it can; labels come sorted by key.
    pub(super) fn object<'a>(
        &mut self,
        name: &str,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
        owner: Option<OwnerRef<'_>>,
    ) -> Object {
        let labels = self.labels(labels);
        let owner = owner.map(|owner| self.owner(owner));
        Object { name: name.into(), labels, owner }
    }

    /// An owner that many objects have.
    pub(super) fn owner(&mut self, owner: OwnerRef<'_>) -> Arc<Owner> {
        let OwnerRef { api_version, kind, name } = owner;
        let owner = Owner {
            api_version: self.text(api_version),
            kind: self.text(kind),
            name: self.text(name),
        };
        shared(&mut self.owners, &owner, |owner| Arc::new(owner.clone()))
    }

    /// A set of labels, sorted by key.
    pub(super) fn labels<'a>(
        &mut self,
        labels: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> LabelSet {
        let labels: Vec<_> =
            labels.map(|(key, value)| (self.text(key), self.text(value))).collect();
        shared(&mut self.label_sets, labels.as_slice(), |labels| labels.into())
    }

    /// A text that many objects have.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        if self.len() >= self.sweep_at {
            self.sweep();
        }
        shared(&mut self.texts, text, |text| text.into())
    }

    fn len(&self) -> usize {
        self.texts.len() + self.label_sets.len() + self.owners.len()
    }

    /// Lets go of what nobody else has: sets and owners first, which have texts.
    fn sweep(&mut self) {
        self.label_sets.retain(|labels| Arc::strong_count(labels) > 1);
        self.owners.retain(|owner| Arc::strong_count(owner) > 1);
        self.texts.retain(|text| Arc::strong_count(text) > 1);
        self.texts.shrink_to_fit();
        self.label_sets.shrink_to_fit();
        self.owners.shrink_to_fit();
        self.sweep_at = (2 * self.len()).max(FIRST_SWEEP);
    }
}

/// The entry of a pool that equals a value, added where there is none.
fn shared<T, V>(pool: &mut HashSet<Arc<T>>, value: &V, share: impl FnOnce(&V) -> Arc<T>) -> Arc<T>
where
    T: ?Sized + Hash + Eq,
    V: ?Sized + Hash + Eq,
    Arc<T>: Borrow<V>,
{
    if let Some(known) = pool.get(value) {
        return Arc::clone(known);
    }
    let new = share(value);
    pool.insert(Arc::clone(&new));
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(interner: &mut Interner, name: &str, app: &str) -> Object {
        let owner = OwnerRef { api_version: "apps/v1", kind: "ReplicaSet", name: app };
        interner.object(name, [("app", app), ("tier", "front")].into_iter(), Some(owner))
    }

    #[test]
    fn objects_of_a_workload_share_labels_and_owner_and_all_objects_the_texts() {
        let mut interner = Interner::default();
        let pods = [("a-0", "a"), ("a-1", "a"), ("b-0", "b")]
            .map(|(name, app)| pod(&mut interner, name, app));

        assert_eq!(pods[2].label("app"), Some("b"));
        assert!(Arc::ptr_eq(&pods[0].labels, &pods[1].labels));
        let owner = |index: usize| pods[index].owner.clone().unwrap();
        assert!(Arc::ptr_eq(&owner(0), &owner(1)));
        assert_eq!((&*owner(2).kind, &*owner(2).name), ("ReplicaSet", "b"));
        assert!(Arc::ptr_eq(&pods[0].labels[1].1, &pods[2].labels[1].1));
        assert!(Arc::ptr_eq(&owner(0).kind, &owner(2).kind));
    }

    #[test]
    fn what_no_object_has_any_more_goes() {
        let mut interner = Interner::default();
        let kept = pod(&mut interner, "kept", "kept");
        for n in 0..100_000 {
            pod(&mut interner, "gone", &format!("app-{n}"));
            assert!(interner.len() <= FIRST_SWEEP + 8, "{} entries", interner.len());
        }
        interner.sweep();
        // app, kept, tier, front, apps/v1, ReplicaSet; a set; an owner.
        assert_eq!(interner.len(), 8);
        let again = pod(&mut interner, "again", "kept");
        assert!(Arc::ptr_eq(&kept.labels, &again.labels));
    }
}
