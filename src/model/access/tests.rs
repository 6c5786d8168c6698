use proptest::prelude::*;

use super::*;

const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

fn of(method: &Method, target: &str) -> Attributes {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Attributes::of(method, path, query)
}

/// Verb, namespace, resource, name and subresource of a GET, `-` for what is empty.
fn short(method: &Method, target: &str) -> String {
    match of(method, target) {
        Attributes::NonResource { path, verb } => format!("{verb} {path}"),
        Attributes::Resource(it) => {
            [it.verb, it.namespace, it.resource, it.name, it.subresource].map(or_dash).join(" ")
        }
    }
}

fn or_dash(text: String) -> String {
    if text.is_empty() { "-".to_owned() } else { text }
}

fn requirement(key: &str, operator: &'static str, values: &[&str]) -> SelectorRequirement {
    let values = values.iter().map(|&value| value.to_owned()).collect();
    SelectorRequirement { key: key.to_owned(), operator, values }
}

fn selectors(target: &str) -> (Vec<SelectorRequirement>, Vec<SelectorRequirement>) {
    match of(&Method::GET, target) {
        Attributes::Resource(it) => (it.label_selector, it.field_selector),
        other @ Attributes::NonResource { .. } => panic!("{other:?}"),
    }
}

/// The rules are those of `requestinfo_test.go` of the API server.
#[test]
fn a_request_has_the_attributes_that_the_api_server_derives() {
    let get = Method::GET;
    let cases = [
        (&get, format!("{CUSTOM}/namespaces/default/pods/*/hits"), "get default pods * hits"),
        (&get, format!("{CUSTOM}/namespaces/default/pods/%2A/hits"), "get default pods * hits"),
        (
            &get,
            format!("{CUSTOM}/namespaces/default/deployments.apps/web/hits"),
            "get default deployments.apps web hits",
        ),
        (&get, format!("{CUSTOM}/namespaces/default/metrics/x"), "get default metrics x -"),
        (&get, format!("{CUSTOM}/nodes/n1/load"), "get - nodes n1 load"),
        (&get, format!("{EXTERNAL}/namespaces/default/q"), "list default q - -"),
        (&get, format!("{EXTERNAL}/namespaces/default/q/"), "list default q - -"),
        (&get, format!("{EXTERNAL}/namespaces/default/q?watch=true"), "watch default q - -"),
        (&get, format!("{EXTERNAL}/namespaces/default/q?watch"), "watch default q - -"),
        (&get, format!("{EXTERNAL}/namespaces/default/q?watch=False"), "list default q - -"),
        (&get, format!("{EXTERNAL}/namespaces/a/q?watch=0&watch=1"), "list a q - -"),
        (
            &get,
            format!("{EXTERNAL}/namespaces/a/q?fieldSelector=metadata.name%3Dz"),
            "list a q z -",
        ),
        (
            &get,
            format!("{EXTERNAL}/namespaces/a/q?fieldSelector=metadata.name%3D.."),
            "list a q - -",
        ),
        (
            &get,
            format!("{EXTERNAL}/namespaces/default/status"),
            "get default namespaces default status",
        ),
        (&get, format!("{EXTERNAL}/namespaces/default"), "get default namespaces default -"),
        (&get, format!("{EXTERNAL}/namespaces"), "list - namespaces - -"),
        (&get, format!("{EXTERNAL}/watch/namespaces/a/q"), "watch a q - -"),
        (&get, format!("{EXTERNAL}/proxy/namespaces/a/q/b/c"), "proxy a q b -"),
        (&get, format!("{EXTERNAL}/watch"), "list - watch - -"),
        (&Method::HEAD, format!("{CUSTOM}/nodes/n1/load"), "get - nodes n1 load"),
        (&Method::HEAD, "/apis".to_owned(), "head /apis"),
        (&Method::POST, format!("{EXTERNAL}/namespaces/a/q"), "create a q - -"),
        (&Method::PUT, format!("{CUSTOM}/nodes/n1/load"), "update - nodes n1 load"),
        (&Method::PATCH, format!("{CUSTOM}/nodes/n1/load"), "patch - nodes n1 load"),
        (&Method::DELETE, format!("{CUSTOM}/nodes/n1/load"), "delete - nodes n1 load"),
        (&Method::DELETE, format!("{EXTERNAL}/namespaces/a/q"), "deletecollection a q - -"),
        (&Method::OPTIONS, format!("{CUSTOM}/nodes/n1/load"), "- - nodes n1 load"),
        (&Method::OPTIONS, "/apis".to_owned(), "options /apis"),
        (&get, "/api/v1/namespaces/a/pods".to_owned(), "list a pods - -"),
        (&get, "/".to_owned(), "get /"),
        (&get, "/apis/".to_owned(), "get /apis/"),
        (&get, CUSTOM.to_owned(), "get /apis/custom.metrics.k8s.io/v1beta2"),
        (&get, "/openapi/v3/apis/g/v1".to_owned(), "get /openapi/v3/apis/g/v1"),
        (&get, "/%68ealthz".to_owned(), "get /healthz"),
    ];
    for (method, target, attributes) in cases {
        assert_eq!(short(method, &target), attributes, "{method} {target}");
    }
}

#[test]
fn selectors_narrow_what_is_asked_of_a_collection() {
    let labels = "labelSelector=b%21%3D1,a%3D2,c+in+%28y,x%29,d,%21e,f%3E1";
    let fields = "fieldSelector=spec.x%21%3Da%5C,b,metadata.name%3D%3Dz";
    let (by_label, by_field) = selectors(&format!("{EXTERNAL}/namespaces/a/q?{labels}&{fields}"));
    assert_eq!(
        by_label,
        [
            requirement("a", "In", &["2"]),
            requirement("b", "NotIn", &["1"]),
            requirement("c", "In", &["x", "y"]),
            requirement("d", "Exists", &[]),
            requirement("e", "DoesNotExist", &[]),
        ]
    );
    assert_eq!(
        by_field,
        [requirement("metadata.name", "In", &["z"]), requirement("spec.x", "NotIn", &["a,b"])]
    );
}

#[test]
fn selectors_that_cannot_be_read_or_do_not_apply_narrow_nothing() {
    let nothing = (Vec::new(), Vec::new());
    let queries = [
        format!("{EXTERNAL}/namespaces/a/q?labelSelector=a%20b&fieldSelector=x"),
        format!("{EXTERNAL}/namespaces/a/q?fieldSelector=a%3Db%5Cx"),
        format!("{EXTERNAL}/watch/namespaces/a/q?labelSelector=a&fieldSelector=a%3Db"),
        format!("{CUSTOM}/namespaces/a/pods/b/hits?labelSelector=a"),
    ];
    for query in queries {
        assert_eq!(selectors(&query), nothing, "{query}");
    }
}

#[test]
fn everybody_who_is_authenticated_is_in_the_group_of_those_once() {
    let subject = |user: &str, groups: &[&str]| Subject {
        user: user.to_owned(),
        groups: groups.iter().map(|&group| group.to_owned()).collect(),
        ..Subject::default()
    };
    let cases = [
        (subject("u", &[]), subject("u", &[AUTHENTICATED])),
        (subject("u", &["g"]), subject("u", &["g", AUTHENTICATED])),
        (subject("u", &[AUTHENTICATED, "g"]), subject("u", &[AUTHENTICATED, "g"])),
        (subject("u", &[UNAUTHENTICATED]), subject("u", &[UNAUTHENTICATED])),
        (Subject::anonymous(), subject(ANONYMOUS, &[UNAUTHENTICATED])),
        (subject(ANONYMOUS, &[]), subject(ANONYMOUS, &[])),
    ];
    for (before, after) in cases {
        assert_eq!(before.authenticated(), after);
    }
}

proptest! {
    #[test]
    fn no_target_makes_the_derivation_panic(path in "(/[ -~]{0,12}){0,8}", query in "[ -~]{0,60}") {
        let _attributes = Attributes::of(&Method::GET, &path, &query);
    }
}
