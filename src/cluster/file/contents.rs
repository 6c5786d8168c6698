//! What the objects of a file make together: kinds by every name, and objects by kind.
//!
//! Pure. Kinds come from the standard table, then from the `CustomResourceDefinition` objects of
//! the file, then from a guess.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::{ObjectMeta, Version};

use super::manifest::{Definition, Entry, Error, Spec};
use crate::cluster::intern::{Interner, OwnerRef};
use crate::cluster::kinds;
use crate::cluster::partial::Keep;
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::Objects;
use crate::model::limit_range::LimitRange;
use crate::model::object::{GroupResource, Kind, Kinds, Scope};
use crate::model::service::Service;
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};

/// The kinds and objects of a file.
#[derive(Debug)]
pub struct Contents {
    /// The standard kinds and those of the file.
    pub kinds: Arc<Kinds>,
    /// The objects of each kind that has some.
    pub objects: HashMap<GroupResource, Arc<Objects>>,
    /// More of the kinds of which more is kept.
    pub tables: Tables,
}

/// What is kept beside metadata, of each kind of which something is.
#[derive(Debug, Default)]
pub struct Tables {
    /// All autoscalers.
    pub autoscalers: Objects<Autoscaler>,
    /// All Services with their selectors.
    pub services: Objects<Service>,
    /// All limit ranges.
    pub limit_ranges: Objects<LimitRange>,
    /// The objects of our own kinds.
    pub custom: HashMap<CustomKind, Objects<CustomObject>>,
    /// What the pods of workloads request.
    pub outlines: HashMap<OutlineKind, Objects<Outline>>,
    /// The revisions of workloads.
    pub revisions: HashMap<RevisionKind, Objects<Revision>>,
}

impl Tables {
    fn insert(&mut self, entry: &mut Entry, interner: &mut Interner) {
        let spec = std::mem::take(&mut entry.spec);
        match spec {
            Spec::Autoscaler(spec) => insert(&mut self.autoscalers, entry, spec, interner),
            Spec::Service(spec) => insert(&mut self.services, entry, spec, interner),
            Spec::LimitRange(spec) => insert(&mut self.limit_ranges, entry, spec, interner),
            Spec::Custom(kind, spec) => {
                insert(self.custom.entry(kind).or_default(), entry, spec, interner);
            }
            Spec::Outline(kind, spec) => {
                insert(self.outlines.entry(kind).or_default(), entry, spec, interner);
            }
            Spec::Revision(kind, spec) => {
                insert(self.revisions.entry(kind).or_default(), entry, spec, interner);
            }
            Spec::Ignored | Spec::Definition(_) => {}
        }
    }
}

fn insert<T: Keep>(
    objects: &mut Objects<T>,
    entry: &Entry,
    spec: T::Spec,
    interner: &mut Interner,
) {
    let metadata = ObjectMeta {
        name: Some(entry.name.clone()),
        namespace: Some(entry.namespace.clone()),
        owner_references: entry.owner.as_ref().map(|owner| vec![owner.to_reference()]),
        ..ObjectMeta::default()
    };
    objects.insert(&entry.namespace, Arc::new(T::keep(&metadata, spec, interner)));
}

impl Contents {
    /// Puts the entries of a file in order.
    ///
    /// The same object twice is one object, as in a file made by two overlapping commands; the
    /// same name with other labels or another spec is an error, since one of them is not true.
    pub(super) fn new(entries: Vec<Entry>) -> Result<Self, Error> {
        let known = KnownKinds::of(&entries);
        let mut seen: HashMap<(usize, &str, &str), &Entry> = HashMap::new();
        for entry in &entries {
            let index = known.index(entry);
            check_scope(entry, &known.all[index])?;
            let Some(first) = seen.insert((index, &entry.namespace, &entry.name), entry) else {
                continue;
            };
            let differs = match () {
                () if first.labels != entry.labels => "other labels",
                () if first.spec != entry.spec => "another spec",
                () => continue,
            };
            return Err(entry.error(format!(
                "{} is on line {} already, with {differs}",
                entry.describe(),
                first.place.line,
            )));
        }
        let mut interner = Interner::default();
        let mut objects: HashMap<usize, Objects> = HashMap::new();
        let mut tables = Tables::default();
        for mut entry in entries {
            tables.insert(&mut entry, &mut interner);
            let labels = entry.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
            let owner = entry.owner.as_ref().map(|owner| OwnerRef {
                api_version: &owner.api_version,
                kind: &owner.kind,
                name: &owner.name,
            });
            let object = interner.object(&entry.name, labels, owner);
            let of_kind = objects.entry(known.index(&entry)).or_default();
            of_kind.insert(&entry.namespace, Arc::new(object));
        }
        let objects = objects
            .into_iter()
            .map(|(index, objects)| (known.all[index].group_resource(), Arc::new(objects)))
            .collect();
        Ok(Self { kinds: Arc::new(Kinds::new(known.all)), objects, tables })
    }
}

impl Entry {
    fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }

    fn version(&self) -> &str {
        self.api_version.split_once('/').map_or(&self.api_version, |(_, version)| version)
    }

    fn describe(&self) -> String {
        if self.namespace.is_empty() {
            format!("{} {}", self.kind, self.name)
        } else {
            format!("{} {}/{}", self.kind, self.namespace, self.name)
        }
    }

    fn error(&self, what: String) -> Error {
        Error::Object { place: self.place, what }
    }
}

fn check_scope(entry: &Entry, kind: &Kind) -> Result<(), Error> {
    match (kind.scope, entry.namespace.is_empty()) {
        (Scope::Namespaced, true) => {
            Err(entry.error(format!("{} has no metadata.namespace", entry.describe())))
        }
        (Scope::Cluster, false) => Err(entry.error(format!(
            "{} has a metadata.namespace, but {} are cluster-scoped",
            entry.describe(),
            kind.plural,
        ))),
        _ => Ok(()),
    }
}

/// Kinds in order of preference, found by group and kind.
struct KnownKinds {
    all: Vec<Kind>,
    by_name: HashMap<(String, String), usize>,
}

impl KnownKinds {
    fn of(entries: &[Entry]) -> Self {
        let mut known = Self { all: Vec::new(), by_name: HashMap::new() };
        for kind in kinds::standard() {
            known.add(kind);
        }
        for entry in entries {
            if let Spec::Definition(definition) = &entry.spec {
                known.add(defined(definition));
            }
        }
        let exact = known.all.len();
        for entry in entries {
            let index = match known.by_name.get(&key(entry)) {
                Some(index) => *index,
                None => known.add(guessed(entry)),
            };
            if index >= exact {
                learn(&mut known.all[index], entry);
            }
        }
        known
    }

    /// Adds a kind unless there is one of that group and kind; the first one stays.
    fn add(&mut self, kind: Kind) -> usize {
        let key = (kind.group.clone(), kind.kind.clone());
        *self.by_name.entry(key).or_insert_with(|| {
            self.all.push(kind);
            self.all.len() - 1
        })
    }

    /// Every entry's kind was added by [`Self::of`].
    fn index(&self, entry: &Entry) -> usize {
        self.by_name[&key(entry)]
    }
}

fn key(entry: &Entry) -> (String, String) {
    (entry.group().to_owned(), entry.kind.clone())
}

fn defined(definition: &Definition) -> Kind {
    let Definition { group, kind, plural, singular, short_names, scope, versions } = definition;
    Kind {
        group: group.clone(),
        version: versions
            .iter()
            .max_by_key(|version| Version::parse(version).priority())
            .cloned()
            .unwrap_or_default(),
        kind: kind.clone(),
        plural: plural.clone(),
        singular: singular.clone().unwrap_or_else(|| kind.to_lowercase()),
        short_names: short_names.clone(),
        scope: *scope,
    }
}

fn guessed(entry: &Entry) -> Kind {
    Kind {
        group: entry.group().to_owned(),
        version: entry.version().to_owned(),
        kind: entry.kind.clone(),
        plural: kinds::guess_plural(&entry.kind),
        singular: entry.kind.to_lowercase(),
        short_names: Vec::new(),
        scope: Scope::Cluster,
    }
}

/// What one more object tells of a guessed kind.
fn learn(kind: &mut Kind, entry: &Entry) {
    if !entry.namespace.is_empty() {
        kind.scope = Scope::Namespaced;
    }
    let priority = |version: &str| Version::parse(version).priority();
    if priority(entry.version()) > priority(&kind.version) {
        entry.version().clone_into(&mut kind.version);
    }
}
