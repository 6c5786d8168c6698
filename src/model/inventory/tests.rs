use super::*;

fn object(name: &str, labels: &[(&str, &str)]) -> Arc<Object> {
    Arc::new(Object {
        name: name.into(),
        labels: labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        owner: None,
    })
}

/// Inserted out of order, in two namespaces and in none.
fn objects() -> Objects {
    let mut objects = Objects::default();
    objects.insert("shop", object("web-10", &[("app", "web"), ("tier", "front")]));
    objects.insert("shop", object("db-0", &[("app", "db")]));
    objects.insert("shop", object("web-1", &[("app", "web")]));
    objects.insert("bank", object("web-1", &[]));
    objects.insert("", object("node-a", &[("zone", "a")]));
    objects
}

fn selected(objects: &Objects, namespace: &str, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    objects.select(namespace, &selector).map(str::to_owned).collect()
}

#[test]
fn objects_are_selected_by_namespace_and_labels_in_the_order_of_their_names() {
    let objects = objects();
    let names = |namespace, selector| selected(&objects, namespace, selector);
    assert_eq!(names("shop", ""), ["db-0", "web-1", "web-10"]);
    assert_eq!(names("shop", "app=web"), ["web-1", "web-10"]);
    assert_eq!(names("shop", "app=web,!tier"), ["web-1"]);
    assert_eq!(names("shop", "tier"), ["web-10"]);
    assert_eq!(names("shop", "app=cache"), [""; 0]);
    assert_eq!(names("bank", ""), ["web-1"]);
    assert_eq!(names("", "zone in (a,b)"), ["node-a"]);
    assert_eq!(names("elsewhere", ""), [""; 0]);
    assert_eq!((objects.len(), objects.is_empty()), (5, false));
}

#[test]
fn an_object_of_the_same_name_is_replaced() {
    let mut objects = objects();
    objects.insert("shop", object("web-1", &[("app", "cache")]));
    assert_eq!(selected(&objects, "shop", "app=cache"), ["web-1"]);
    assert_eq!(selected(&objects, "shop", "app=web"), ["web-10"]);
    assert_eq!(selected(&objects, "bank", ""), ["web-1"]);
    assert_eq!(objects.len(), 5);
}

#[test]
fn what_is_removed_is_gone_and_nothing_else() {
    let mut objects = objects();
    objects.remove("shop", "web-1");
    objects.remove("shop", "web-2");
    objects.remove("elsewhere", "web-1");
    assert_eq!(selected(&objects, "shop", ""), ["db-0", "web-10"]);
    let there = [("shop", "web-1"), ("shop", "db-0"), ("bank", "web-1"), ("elsewhere", "db-0")];
    assert_eq!(
        there.map(|(namespace, name)| objects.contains(namespace, name)),
        [false, true, true, false]
    );
    for (namespace, name) in [("shop", "web-10"), ("shop", "db-0"), ("bank", "web-1")] {
        objects.remove(namespace, name);
    }
    assert_eq!((objects.len(), objects.is_empty()), (1, false));
    objects.remove("", "node-a");
    assert_eq!((objects.len(), objects.is_empty()), (0, true));
}

#[test]
fn a_change_copies_its_namespace_alone_and_leaves_clones_as_they_were() {
    let before = objects();
    let mut after = before.clone();
    after.insert("shop", object("web-2", &[("app", "web")]));
    after.remove("shop", "db-0");
    assert_eq!(selected(&before, "shop", ""), ["db-0", "web-1", "web-10"]);
    assert_eq!(selected(&after, "shop", ""), ["web-1", "web-10", "web-2"]);
    let shared =
        |namespace| Arc::ptr_eq(&before.namespaces[namespace], &after.namespaces[namespace]);
    assert_eq!(["", "bank", "shop"].map(shared), [true, true, false]);
    assert!(Arc::ptr_eq(&before.namespaces["shop"][1], &after.namespaces["shop"][0]));
}

#[test]
fn what_changes_nothing_says_so_and_copies_nothing() {
    let before = objects();
    let mut after = before.clone();
    assert_eq!(
        [
            after.remove("shop", "absent"),
            after.remove("elsewhere", "absent"),
            after.insert("shop", object("web-1", &[("app", "web")])),
        ],
        [false, false, false]
    );
    assert!(Arc::ptr_eq(&before.namespaces["shop"], &after.namespaces["shop"]));

    let owner = Owner { api_version: "apps/v1".into(), kind: "X".into(), name: "x".into() };
    let mut owned = Object::clone(&object("web-1", &[("app", "web")]));
    owned.owner = Some(Arc::new(owner));
    assert_eq!(
        [
            after.insert("shop", Arc::new(owned)),
            after.insert("shop", object("web-1", &[("app", "api")])),
            after.insert("shop", object("web-3", &[])),
            after.remove("shop", "web-3"),
        ],
        [true, true, true, true]
    );
}
