use super::*;
use crate::model::object::Scope;

fn kind(group: &str, kind: &str, plural: &str) -> Kind {
    Kind {
        group: group.to_owned(),
        version: "v1".to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        scope: Scope::Namespaced,
    }
}

fn owner(api_version: &str, kind: &str, name: &str) -> Arc<Owner> {
    let (api_version, kind) = (api_version.into(), kind.into());
    Arc::new(Owner { api_version, kind, name: name.into() })
}

fn labels(pairs: &[(&str, &str)]) -> crate::model::inventory::LabelSet {
    pairs.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
}

struct World {
    pods: Objects,
    replica_sets: Objects,
    jobs: Objects,
    services: Objects<Service>,
}

/// Two revisions of a Deployment, a `StatefulSet`, a Job of a `CronJob`, a bare pod, and the same
/// names in another namespace.
fn world() -> World {
    let mut pods = Objects::default();
    let mut pod = |namespace: &str, name: &str, tier: &str, owner: Option<Arc<Owner>>| {
        let labels = labels(&[("app", "web"), ("tier", tier)]);
        pods.insert(namespace, Arc::new(Object { name: name.into(), labels, owner }));
    };
    let set = |name| Some(owner("apps/v1", "ReplicaSet", name));
    pod("shop", "web-b-2", "front", set("web-b"));
    pod("shop", "web-a-1", "front", set("web-a"));
    pod("shop", "web-b-1", "front", set("web-b"));
    pod("shop", "db-0", "back", Some(owner("apps/v1", "StatefulSet", "db")));
    pod("shop", "tidy-1", "batch", Some(owner("batch/v1", "Job", "tidy-7")));
    pod("shop", "bare", "front", None);
    pod("shop", "lost-1", "front", set("lost"));
    pod("bank", "web-a-1", "front", set("web-a"));
    let mut replica_sets = Objects::default();
    let between = |objects: &mut Objects, namespace: &str, name: &str, owner| {
        let labels = labels(&[]);
        objects.insert(namespace, Arc::new(Object { name: name.into(), labels, owner }));
    };
    let web = Some(owner("apps/v1", "Deployment", "web"));
    between(&mut replica_sets, "shop", "web-a", web.clone());
    between(&mut replica_sets, "shop", "web-b", web);
    between(&mut replica_sets, "bank", "web-a", None);
    let mut jobs = Objects::default();
    let tidy = Some(owner("batch/v1", "CronJob", "tidy"));
    between(&mut jobs, "shop", "tidy-7", tidy);
    let mut services = Objects::default();
    for (name, selector) in [
        ("all", &[("app", "web")][..]),
        ("front", &[("app", "web"), ("tier", "front")]),
        ("none", &[("app", "web"), ("tier", "nowhere")]),
        ("alias", &[]),
    ] {
        let selector = labels(selector);
        services.insert("shop", Arc::new(Service { name: name.into(), selector }));
    }
    World { pods, replica_sets, jobs, services }
}

/// `namespace/name: pods` of each object.
fn members(of: &Kind) -> Vec<String> {
    let world = world();
    let (sets, jobs) = (kind("apps", "ReplicaSet", "replicasets"), kind("batch", "Job", "jobs"));
    let between = [(&sets, &world.replica_sets), (&jobs, &world.jobs)];
    let sources = Sources { pods: &world.pods, between: &between, services: &world.services };
    let membership = Membership::of(of, sources);
    for (namespace, name, pods) in membership.iter() {
        assert_eq!(membership.pods(namespace, name), pods);
    }
    assert_eq!(membership.pods("shop", "nobody"), [""; 0]);
    let line = |(namespace, name, pods): (&str, &str, &[&str])| {
        format!("{namespace}/{name}: {}", pods.join(" "))
    };
    membership.iter().map(line).collect()
}

#[test]
fn workloads_have_the_pods_that_they_control_at_whatever_remove() {
    assert_eq!(
        members(&kind("apps", "Deployment", "deployments")),
        ["shop/web: web-a-1 web-b-1 web-b-2"]
    );
    assert_eq!(
        members(&kind("apps", "ReplicaSet", "replicasets")),
        [
            "bank/web-a: web-a-1",
            "shop/lost: lost-1",
            "shop/web-a: web-a-1",
            "shop/web-b: web-b-1 web-b-2",
        ]
    );
    assert_eq!(members(&kind("apps", "StatefulSet", "statefulsets")), ["shop/db: db-0"]);
    assert_eq!(members(&kind("batch", "Job", "jobs")), ["shop/tidy-7: tidy-1"]);
    assert_eq!(members(&kind("batch", "CronJob", "cronjobs")), ["shop/tidy: tidy-1"]);
    // The same kind of another group is another kind.
    assert_eq!(members(&kind("example.com", "StatefulSet", "statefulsets")), [""; 0]);
}

#[test]
fn services_have_the_pods_that_they_select_and_without_a_selector_none() {
    assert_eq!(
        members(&kind("", "Service", "services")),
        [
            "shop/all: bare db-0 lost-1 tidy-1 web-a-1 web-b-1 web-b-2",
            "shop/front: bare lost-1 web-a-1 web-b-1 web-b-2",
        ]
    );
}

#[test]
fn namespaces_have_the_pods_that_are_in_them() {
    assert_eq!(
        members(&kind("", "Namespace", "namespaces")),
        ["/bank: web-a-1", "/shop: bare db-0 lost-1 tidy-1 web-a-1 web-b-1 web-b-2"]
    );
}

#[test]
fn controllers_in_a_circle_are_nobodys() {
    let sets = kind("apps", "ReplicaSet", "replicasets");
    let mut replica_sets = Objects::default();
    let itself = Some(owner("apps/v1", "ReplicaSet", "ring"));
    let ring = |owner| Arc::new(Object { name: "ring".into(), labels: labels(&[]), owner });
    replica_sets.insert("shop", ring(itself));
    let (between, services) = ([(&sets, &replica_sets)], Objects::default());
    let sources = Sources { pods: &replica_sets, between: &between, services: &services };
    assert_eq!(Membership::of(&kind("apps", "Deployment", "d"), sources).iter().count(), 0);
}

/// 100,000 pods of 10,000 Deployments and Services in 100 namespaces, each pod with labels of its
/// own: printed with `--no-capture`; `cargo nextest run --release` for figures that count.
#[test]
fn a_hundred_thousand_pods_are_grouped_in_one_pass() {
    let (mut pods, mut replica_sets, mut services) =
        (Objects::default(), Objects::default(), Objects::default());
    for app in 0..10_000 {
        let namespace = format!("team-{}", app % 100);
        let (name, set) = (format!("app-{app}"), format!("app-{app}-5d9c"));
        let web = Some(owner("apps/v1", "Deployment", &name));
        let object =
            |name: &str, labels, owner| Arc::new(Object { name: name.into(), labels, owner });
        replica_sets.insert(&namespace, object(&set, labels(&[]), web));
        let selector = labels(&[("app", &name), ("part-of", "all")]);
        services.insert(&namespace, Arc::new(Service { name: name.as_str().into(), selector }));
        let controller = owner("apps/v1", "ReplicaSet", &set);
        for pod in 0..10 {
            let pod = format!("{set}-{pod}");
            let labels = labels(&[("app", &name), ("part-of", "all"), ("pod", &pod)]);
            pods.insert(&namespace, object(&pod, labels, Some(Arc::clone(&controller))));
        }
    }
    let sets = kind("apps", "ReplicaSet", "replicasets");
    let between = [(&sets, &replica_sets)];
    let sources = Sources { pods: &pods, between: &between, services: &services };
    for kind in [kind("apps", "Deployment", "deployments"), kind("", "Service", "services")] {
        let began = std::time::Instant::now();
        let membership = Membership::of(&kind, sources);
        println!("{}: {:?}", kind.plural, began.elapsed());
        assert_eq!((membership.groups.len(), membership.pods.len()), (10_000, 100_000));
        assert!(membership.iter().all(|(_, _, pods)| pods.len() == 10));
    }
}
