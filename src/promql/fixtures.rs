//! The kinds that tests know: those of prometheus-adapter's `series_registry_test.go`, one with
//! dots in its group and one that is scoped to the cluster without being built in.

use crate::model::object::{Kind, Kinds, Scope};

pub(crate) fn kinds() -> Kinds {
    Kinds::new(all())
}

pub(crate) fn kind(plural: &str) -> Kind {
    all().into_iter().find(|kind| kind.plural == plural).unwrap()
}

fn all() -> Vec<Kind> {
    let rows = [
        ("", "pods", "pod", "po", Scope::Namespaced),
        ("", "services", "service", "svc", Scope::Namespaced),
        ("", "nodes", "node", "no", Scope::Cluster),
        ("", "persistentvolumes", "persistentvolume", "pv", Scope::Cluster),
        ("", "namespaces", "namespace", "ns", Scope::Cluster),
        ("extensions", "ingresses", "ingress", "ing", Scope::Namespaced),
        ("extensions", "deployments", "deployment", "deploy", Scope::Namespaced),
        ("my-shop.io", "widgets", "widget", "wd", Scope::Cluster),
    ];
    let kind = |(group, plural, singular, short, scope): (&str, &str, &str, &str, Scope)| Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: singular.to_owned(),
        plural: plural.to_owned(),
        singular: singular.to_owned(),
        short_names: vec![short.to_owned()],
        scope,
    };
    rows.map(kind).into()
}
