use super::*;

fn kind(group: &str, kind: &str, plural: &str, short: &[&str], scope: Scope) -> Kind {
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: short.iter().copied().map(str::to_owned).collect(),
        scope,
    }
}

fn kinds() -> Kinds {
    use Scope::{Cluster, Namespaced};
    Kinds::new([
        kind("", "Pod", "pods", &["po"], Namespaced),
        kind("", "Namespace", "namespaces", &["ns"], Cluster),
        kind("", "Event", "events", &["ev"], Namespaced),
        kind("apps", "Deployment", "deployments", &["deploy"], Namespaced),
        kind("storage.k8s.io", "StorageClass", "storageclasses", &["sc"], Cluster),
        kind("events.k8s.io", "Event", "events", &["ev"], Namespaced),
        kind("example.com", "Pond", "ponds", &["pods", "po"], Namespaced),
        kind("metrics.k8s.io", "PodMetrics", "pods", &[], Namespaced),
    ])
}

/// The resource and group that a name in a path leads to.
fn resolved(name: &str) -> Option<String> {
    let kinds = kinds();
    let kind = kinds.resolve(&GroupResource::parse(name))?;
    Some(kind.group_resource().to_string())
}

#[test]
fn a_kind_is_found_by_each_of_its_names() {
    let names = [
        ("deployments", Some("deployments.apps")),
        ("deployment", Some("deployments.apps")),
        ("deploy", Some("deployments.apps")),
        ("deployments.apps", Some("deployments.apps")),
        ("deploy.apps", Some("deployments.apps")),
        ("Deployment.apps", Some("deployments.apps")),
        ("NAMESPACES", Some("namespaces")),
        ("StorageClass", Some("storageclasses.storage.k8s.io")),
        ("deploymentz", None),
        ("", None),
    ];
    for (name, wanted) in names {
        assert_eq!(resolved(name).as_deref(), wanted, "{name:?}");
    }
}

#[test]
fn a_group_is_equal_or_else_begins_the_same() {
    let names = [
        ("storageclass.storage", Some("storageclasses.storage.k8s.io")),
        ("events.events.k8s.io", Some("events.events.k8s.io")),
        ("events.e", Some("events.events.k8s.io")),
        ("pods.metrics.k8s.io", Some("pods.metrics.k8s.io")),
        ("pods.example.com", Some("ponds.example.com")),
        ("deployments.extensions", None),
        ("deployments.apps.k8s.io", None),
        ("deployments.Apps", None),
    ];
    for (name, wanted) in names {
        assert_eq!(resolved(name).as_deref(), wanted, "{name:?}");
    }
}

#[test]
fn without_a_group_the_first_kind_wins_and_short_names_come_last() {
    assert_eq!(
        ["events", "ev", "pods", "po"].map(|name| resolved(name).unwrap()),
        ["events", "events", "pods", "pods"]
    );
    let only_short = Kinds::new([
        kind("example.com", "Pond", "ponds", &["pods"], Scope::Namespaced),
        kind("", "Pod", "pods", &[], Scope::Namespaced),
    ]);
    let pods = only_short.resolve(&GroupResource::parse("pods")).unwrap();
    assert_eq!(pods.kind, "Pod");
}

#[test]
fn a_kind_without_a_singular_is_not_found_by_nothing() {
    let mut pod = kind("", "Pod", "pods", &[], Scope::Namespaced);
    pod.singular = String::new();
    let kinds = Kinds::new([pod]);
    let found = ["", ".apps", "pods"].map(|name| kinds.resolve(&GroupResource::parse(name)));
    assert_eq!(found.map(|kind| kind.is_some()), [false, false, true]);
}

#[test]
fn kinds_are_listed_in_order_of_preference() {
    let kinds = kinds();
    let order: Vec<_> = kinds.iter().map(|kind| kind.kind.as_str()).collect();
    assert_eq!(
        order,
        ["Pod", "Namespace", "Event", "Deployment", "StorageClass", "Event", "Pond", "PodMetrics"]
    );
}

#[test]
fn names_of_groups_and_versions_print_as_in_paths() {
    let split = GroupResource { group: "k8s.io".to_owned(), resource: "events".to_owned() };
    assert_eq!(GroupResource::parse("events.k8s.io"), split);
    assert_eq!(split.to_string(), "events.k8s.io");
    let kinds = kinds();
    let described = ["namespaces", "deployments", "pods.metrics.k8s.io"].map(|name| {
        let kind = kinds.resolve(&GroupResource::parse(name)).unwrap();
        (kind.api_version(), kind.group_resource().to_string(), kind.is_namespace())
    });
    assert_eq!(
        described,
        [
            ("v1".to_owned(), "namespaces".to_owned(), true),
            ("apps/v1".to_owned(), "deployments.apps".to_owned(), false),
            ("metrics.k8s.io/v1".to_owned(), "pods.metrics.k8s.io".to_owned(), false),
        ]
    );
}
