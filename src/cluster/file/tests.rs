use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::object::{GroupResource, Scope};

const POLL: Duration = Duration::from_secs(10);

fn contents(text: &str) -> Result<Contents, String> {
    let entries = manifest::parse(text).map_err(|error| error.to_string())?;
    Contents::new(entries).map_err(|error| error.to_string())
}

/// Number of objects by kind.
fn counts(text: &str) -> BTreeMap<String, usize> {
    let contents = contents(text).unwrap();
    contents.objects.iter().map(|(kind, objects)| (kind.to_string(), objects.len())).collect()
}

fn count<const N: usize>(kinds: [(&str, usize); N]) -> BTreeMap<String, usize> {
    kinds.into_iter().map(|(kind, number)| (kind.to_owned(), number)).collect()
}

#[track_caller]
fn refuses(text: &str, message: &str) {
    assert_eq!(contents(text).unwrap_err(), message);
}

/// As `kubectl get pods,nodes -A -o yaml` prints it.
const LIST: &str = r#"apiVersion: v1
items:
- apiVersion: v1
  kind: Pod
  metadata:
    annotations:
      kubernetes.io/config.seen: "2026-11-23T00:00:00Z"
    labels:
      app: web
      version: "1"
    name: web-0
    namespace: shop
  spec:
    containers:
    - name: web
      resources: {}
  status:
    phase: Running
- apiVersion: v1
  kind: Pod
  metadata:
    labels: null
    name: web-1
    namespace: shop
- apiVersion: v1
  kind: Node
  metadata:
    name: n1
kind: List
metadata:
  resourceVersion: ""
"#;

#[test]
fn a_list_gives_its_items() {
    assert_eq!(counts(LIST), count([("nodes", 1), ("pods", 2)]));
    let contents = contents(LIST).unwrap();
    let pods = &contents.objects[&GroupResource::parse("pods")];
    assert!(pods.contains("shop", "web-0") && pods.contains("shop", "web-1"));
    let nodes = &contents.objects[&GroupResource::parse("nodes")];
    assert!(nodes.contains("", "n1"));
}

#[test]
fn labels_are_kept_sorted_and_as_text() {
    let entries = manifest::parse(
        "{apiVersion: v1, kind: Node, metadata: {name: n, labels: {b: on, c: 010, a: 'x', d: }}}",
    )
    .unwrap();
    let labels = [("a", "x"), ("b", "on"), ("c", "010"), ("d", "")];
    assert_eq!(entries[0].labels, labels.map(|(key, value)| (key.to_owned(), value.to_owned())));
}

#[test]
fn the_controller_among_the_owners_is_kept() {
    let contents = contents(
        "{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: x, ownerReferences: [
            {apiVersion: v1, kind: Node, name: n1, uid: a},
            {apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: b, controller: true}]}}",
    )
    .unwrap();
    let pod = contents.objects[&GroupResource::parse("pods")].get("x", "p").unwrap();
    let owner = pod.owner.as_ref().unwrap();
    assert_eq!((&*owner.api_version, &*owner.kind, &*owner.name), ("apps/v1", "ReplicaSet", "web"));
}

#[test]
fn several_documents_are_read_as_one() {
    let text = format!(
        "---\n{LIST}---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: shop}}\n---\n"
    );
    assert_eq!(counts(&text), count([("deployments.apps", 1), ("nodes", 1), ("pods", 2)]));
}

#[test]
fn json_is_read_too() {
    let text = r#"{
	"apiVersion": "v1",
	"items": [
		{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop",
			"annotations": {"a/b": "\ud83d\ude00 \u003c \/ \"{\\\"kind\\\":1}\""}, "labels": {"app": "web"}}},
		{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "status": {"x": [1.5e3, null, true]}}
	],
	"kind": "List"
}"#;
    assert_eq!(counts(text), count([("nodes", 1), ("pods", 1)]));
}

#[test]
fn the_items_of_a_typed_list_take_its_kind() {
    let text = "kind: PodList\napiVersion: v1\nitems:\n- metadata: {name: a, namespace: x}\n";
    assert_eq!(counts(text), count([("pods", 1)]));
}

#[test]
fn an_empty_file_and_an_empty_list_have_no_objects() {
    assert_eq!(counts(""), count([]));
    assert_eq!(counts("# nothing\n---\n"), count([]));
    assert_eq!(counts("apiVersion: v1\nkind: List\nitems: []\n"), count([]));
}

fn found(text: &str, name: &str) -> Option<Kind> {
    contents(text).unwrap().kinds.resolve(&GroupResource::parse(name)).map(|kind| (**kind).clone())
}

#[test]
fn an_unknown_kind_is_named_by_a_guess() {
    let text = "{apiVersion: example.com/v1beta1, kind: SprocketPolicy, metadata: {name: a}}\n---\n\
                {apiVersion: example.com/v1, kind: SprocketPolicy, metadata: {name: a}}\n";
    let expected = Kind {
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "SprocketPolicy".to_owned(),
        plural: "sprocketpolicies".to_owned(),
        singular: "sprocketpolicy".to_owned(),
        short_names: vec![],
        scope: Scope::Cluster,
    };
    assert_eq!(found(text, "sprocketpolicy"), Some(expected));
}

#[test]
fn an_unknown_kind_with_a_namespace_is_namespaced() {
    let text = "{apiVersion: example.com/v1, kind: Sprocket, metadata: {name: a, namespace: x}}";
    assert_eq!(found(text, "sprockets.example.com").unwrap().scope, Scope::Namespaced);
}

#[test]
fn a_custom_resource_definition_gives_exact_names() {
    let text = r"
apiVersion: v1
kind: List
items:
- apiVersion: example.com/v1
  kind: Goose
  metadata: {name: g, namespace: farm}
- apiVersion: apiextensions.k8s.io/v1
  kind: CustomResourceDefinition
  metadata: {name: geese.example.com}
  spec:
    group: example.com
    names: {kind: Goose, listKind: GooseList, plural: geese, singular: goose, shortNames: [gs]}
    scope: Namespaced
    versions:
    - {name: v1alpha1, served: true, storage: false}
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
    - {name: v2, served: false, storage: false}
";
    let expected = Kind {
        group: "example.com".to_owned(),
        version: "v1".to_owned(),
        kind: "Goose".to_owned(),
        plural: "geese".to_owned(),
        singular: "goose".to_owned(),
        short_names: vec!["gs".to_owned()],
        scope: Scope::Namespaced,
    };
    assert_eq!(found(text, "gs"), Some(expected));
    assert_eq!(
        counts(text),
        count([("customresourcedefinitions.apiextensions.k8s.io", 1), ("geese.example.com", 1)])
    );
}

#[test]
fn the_same_object_twice_is_one() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {k: v}}}";
    assert_eq!(counts(&format!("{pod}\n---\n{pod}\n")), count([("pods", 1)]));
}

#[test]
fn the_same_name_with_other_labels_is_refused() {
    refuses(
        "{apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x}}\n---\n\
         {apiVersion: v1, kind: Pod, metadata: {name: a, namespace: x, labels: {k: v}}}\n",
        "line 3, document 2: Pod x/a is on line 1 already, with other labels",
    );
}

#[test]
fn what_an_object_lacks_is_named_with_its_place() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a, namespace: x}\n---\n";
    refuses(
        &format!("{pod}apiVersion: v1\nkind: Pod\nmetadata: {{namespace: x}}\n"),
        "line 5, document 2: a Pod without metadata.name",
    );
    refuses("apiVersion: v1\nkind: Pod\n", "line 1, document 1: a Pod without metadata.name");
    refuses("kind: Pod\nmetadata: {name: a}\n", "line 1, document 1: an object without apiVersion");
    refuses(
        "apiVersion: v1\nkind: List\nitems:\n- kind: Pod\n  apiVersion: v1\n- {}\n",
        "line 4, document 1: a Pod without metadata.name",
    );
    refuses("apiVersion: v1\nitems: []\n", "line 1, document 1: an object without kind");
    refuses(
        "{apiVersion: v1, kind: Pod, metadata: {name: a}}",
        "line 1, document 1: Pod a has no metadata.namespace",
    );
    refuses(
        "{apiVersion: v1, kind: Node, metadata: {name: a, namespace: x}}",
        "line 1, document 1: Node x/a has a metadata.namespace, but nodes are cluster-scoped",
    );
}

#[test]
fn bad_yaml_is_refused_with_its_line() {
    for (text, line) in [
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: [\n", "line"),
        ("apiVersion: v1\nkind: Pod\nmetadata:\n  name: [a, b]\n", "line 4"),
        ("apiVersion: v1\nkind: Pod\nkind2: &a [*a]\nmetadata: 3\n", "line"),
        ("just text\n", "line 1"),
        ("- apiVersion: v1\n", "line 1"),
        ("a: 1\n\tb: 2\n", "line 1"),
    ] {
        let error = contents(text).unwrap_err();
        assert!(error.contains(line), "{text:?} gave {error:?}");
    }
}

#[test]
fn aliases_cannot_grow_without_bound() {
    let level = |level: usize| {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        format!("a{level}: &a{level} [{aliases}]\n")
    };
    let text = "a0: &a0 [x, x]\n".to_owned() + &(1..12).map(level).collect::<String>();
    contents(&text).unwrap_err();
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        let _outcome = contents(&text);
    }

    #[test]
    fn no_yaml_like_text_makes_the_parser_panic(
        lines in prop::collection::vec("(- |  |    )?(apiVersion|kind|items|metadata|name|spec|[a-z&*!]{1,3}): ?(v1|List|Pod|CustomResourceDefinition|\\{|\\[|\\||>|'|\"|~)?", 0..12)
    ) {
        let _outcome = contents(&lines.join("\n"));
    }
}

async fn until(mut condition: impl FnMut() -> bool) {
    // Time is paused: the wait costs nothing, and the blocking reads hold the clock.
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(POLL).await;
    }
    panic!("the condition never came true");
}

fn pods(inventory: &FileInventory) -> Option<usize> {
    let kinds = inventory.kinds();
    let pods = kinds.resolve(&GroupResource::parse("pods")).unwrap();
    inventory.current(pods).map(|objects| objects.len())
}

fn write(path: &Path, pods: usize) {
    let pod =
        |n| format!("apiVersion: v1\nkind: Pod\nmetadata: {{name: p{n}, namespace: x}}\n---\n");
    fs::write(path, (0..pods).map(pod).collect::<String>()).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_changed_file_is_taken_up_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("objects.yaml");
    write(&path, 1);
    let inventory = FileInventory::open(path.clone(), POLL).await.unwrap();
    assert_eq!(pods(&inventory), Some(1));

    write(&path, 3);
    until(|| pods(&inventory) == Some(3)).await;

    fs::write(&path, "kind: Pod\n").unwrap();
    until(|| inventory.problem().is_some()).await;
    let problem = inventory.problem().unwrap();
    assert_eq!(problem.to_string(), format!("cannot use the objects in {}", path.display()));
    assert_eq!(
        std::error::Error::source(&*problem).unwrap().to_string(),
        "line 1, document 1: an object without apiVersion"
    );
    assert_eq!(pods(&inventory), Some(3));

    fs::remove_file(&path).unwrap();
    until(|| matches!(inventory.problem().as_deref(), Some(FileError::Read { .. }))).await;
    assert_eq!(pods(&inventory), Some(3));

    write(&path, 2);
    until(|| pods(&inventory) == Some(2)).await;
    assert!(inventory.problem().is_none());
}

#[tokio::test]
async fn a_missing_or_huge_file_is_refused_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("objects.yaml");
    let error = FileInventory::open(path.clone(), POLL).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot read the objects in {}", path.display()));

    File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
    let error = FileInventory::open(path.clone(), POLL).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{} has more than 256 MiB: leave out the kinds that no metric describes",
            path.display()
        )
    );
}

#[tokio::test]
async fn a_known_kind_without_objects_is_empty_and_no_file_is_no_inventory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("objects.yaml");
    write(&path, 1);
    let file = FileInventory::open(path, POLL).await.unwrap();
    let kinds = file.kinds();
    let services = kinds.resolve(&GroupResource::parse("svc")).unwrap();
    assert_eq!(file.objects(services).await.unwrap().map(|objects| objects.len()), Some(0));

    let none = FileInventory::none();
    let kinds = none.kinds();
    let services = kinds.resolve(&GroupResource::parse("svc")).unwrap();
    assert!(none.objects(services).await.unwrap().is_none());
    assert!(none.current(services).is_none());
}
