use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use serde_json::Value;

use super::*;
use crate::wire::CustomVersion;

const USUAL: Groups = Groups { resource: false };
const V1BETA2: GroupVersion = GroupVersion::Custom(CustomVersion::V1Beta2);
const V1BETA1: GroupVersion = GroupVersion::Custom(CustomVersion::V1Beta1);

fn custom(resource: &str, namespaced: bool, metric: &str) -> CustomResource {
    CustomResource { resource: resource.to_owned(), namespaced, metric: metric.to_owned() }
}

fn documents(custom: &[CustomResource], external: &[&str]) -> Documents {
    let external = external.iter().map(|name| (*name).to_owned()).collect();
    Documents::new(USUAL, &Resources { custom: custom.to_vec(), external })
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn aggregated(documents: &Documents) -> String {
    text(documents.aggregated(Form::Json, &HeaderMap::new()).body())
}

/// What the aggregated document says of decisions.
const INSIGHT: &str = r#"{"metadata":{"name":"insight.plimsoll.dev","creationTimestamp":null},"versions":[{"version":"v1alpha1","freshness":"Current","resources":[{"resource":"decisions","responseKind":{"group":"insight.plimsoll.dev","version":"v1alpha1","kind":"Decision"},"scope":"Namespaced","singularResource":"decision","verbs":["get","list"]}]}]}"#;

fn names(documents: &Documents, version: GroupVersion) -> Vec<String> {
    let list: Value =
        serde_json::from_slice(&documents.resource_list(version, Form::Json).unwrap()).unwrap();
    let resources = list["resources"].as_array().unwrap();
    resources.iter().map(|resource| resource["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn groups_are_listed_with_the_preferred_version_first() {
    let documents = documents(&[], &[]);
    let custom = r#""name":"custom.metrics.k8s.io","versions":[{"groupVersion":"custom.metrics.k8s.io/v1beta2","version":"v1beta2"},{"groupVersion":"custom.metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"custom.metrics.k8s.io/v1beta2","version":"v1beta2"}"#;
    let external = r#""name":"external.metrics.k8s.io","versions":[{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}],"preferredVersion":{"groupVersion":"external.metrics.k8s.io/v1beta1","version":"v1beta1"}"#;
    let insight = r#""name":"insight.plimsoll.dev","versions":[{"groupVersion":"insight.plimsoll.dev/v1alpha1","version":"v1alpha1"}],"preferredVersion":{"groupVersion":"insight.plimsoll.dev/v1alpha1","version":"v1alpha1"}"#;

    assert_eq!(
        text(&documents.group_list(Form::Json)),
        format!(
            r#"{{"kind":"APIGroupList","apiVersion":"v1","groups":[{{{custom}}},{{{external}}},{{{insight}}}]}}"#
        ) + "\n"
    );
    let groups = [(Group::Custom, custom), (Group::External, external), (Group::Insight, insight)];
    for (group, content) in groups {
        assert_eq!(
            text(&documents.group(group, Form::Json).unwrap()),
            format!(r#"{{"kind":"APIGroup","apiVersion":"v1",{content}}}"#) + "\n"
        );
    }
}

#[test]
fn resources_are_listed_once_and_in_order() {
    let documents = documents(
        &[
            custom("pods", true, "http_requests"),
            custom("nodes", false, "load"),
            custom("deployments.apps", true, "hits"),
            custom("namespaces", false, "orders"),
            custom("pods", true, "errors"),
            custom("pods", true, "http_requests"),
        ],
        &["Queue_Depth", "queue_depth", "lag"],
    );
    let resource = |name, namespaced, kind| {
        format!(
            r#"{{"name":"{name}","singularName":"","namespaced":{namespaced},"kind":"{kind}","verbs":["get"]}}"#
        )
    };
    let resources = [
        ("deployments.apps/hits", true),
        ("namespaces/orders", false),
        ("nodes/load", false),
        ("pods/errors", true),
        ("pods/http_requests", true),
    ]
    .map(|(name, namespaced)| resource(name, namespaced, "MetricValueList"))
    .join(",");
    let external =
        ["lag", "queue_depth"].map(|name| resource(name, true, "ExternalMetricValueList"));
    let list = |version, resources| {
        format!(
            r#"{{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"{version}","resources":[{resources}]}}"#
        ) + "\n"
    };

    for version in [V1BETA2, V1BETA1] {
        assert_eq!(
            text(&documents.resource_list(version, Form::Json).unwrap()),
            list(version.api_version(), resources.clone())
        );
    }
    assert_eq!(
        text(&documents.resource_list(GroupVersion::External, Form::Json).unwrap()),
        list("external.metrics.k8s.io/v1beta1", external.join(","))
    );
    assert_eq!(documents.left_out(), LeftOut::default());
}

#[test]
fn the_aggregated_document_has_metrics_below_their_resource() {
    let documents = documents(
        &[custom("pods", true, "http_requests"), custom("nodes", false, "load")],
        &["queue_depth"],
    );
    let version = |version| {
        let parent = |resource, scope, metric| {
            format!(
                r#"{{"resource":"{resource}","responseKind":{{"group":"","version":"","kind":""}},"scope":"{scope}","singularResource":"","verbs":[],"subresources":[{{"subresource":"{metric}","responseKind":{{"group":"custom.metrics.k8s.io","version":"{version}","kind":"MetricValueList"}},"verbs":["get"]}}]}}"#
            )
        };
        format!(
            r#"{{"version":"{version}","freshness":"Current","resources":[{},{}]}}"#,
            parent("nodes", "Cluster", "load"),
            parent("pods", "Namespaced", "http_requests"),
        )
    };
    let external = r#"{"version":"v1beta1","freshness":"Current","resources":[{"resource":"queue_depth","responseKind":{"group":"external.metrics.k8s.io","version":"v1beta1","kind":"ExternalMetricValueList"},"scope":"Namespaced","singularResource":"queue_depth","verbs":["get"]}]}"#;

    assert_eq!(
        aggregated(&documents),
        format!(
            r#"{{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{{}},"items":[{{"metadata":{{"name":"custom.metrics.k8s.io","creationTimestamp":null}},"versions":[{},{}]}},{{"metadata":{{"name":"external.metrics.k8s.io","creationTimestamp":null}},"versions":[{external}]}},{INSIGHT}]}}"#,
            version("v1beta2"),
            version("v1beta1"),
        ) + "\n"
    );
}

#[test]
fn versions_without_metrics_are_current() {
    let documents = documents(&[], &[]);

    assert_eq!(
        aggregated(&documents),
        r#"{"kind":"APIGroupDiscoveryList","apiVersion":"apidiscovery.k8s.io/v2","metadata":{},"items":[{"metadata":{"name":"custom.metrics.k8s.io","creationTimestamp":null},"versions":[{"version":"v1beta2","freshness":"Current","resources":[]},{"version":"v1beta1","freshness":"Current","resources":[]}]},{"metadata":{"name":"external.metrics.k8s.io","creationTimestamp":null},"versions":[{"version":"v1beta1","freshness":"Current","resources":[]}]},"#
            .to_owned()
            + INSIGHT
            + "]}\n"
    );
    assert_eq!(names(&documents, V1BETA2), [""; 0]);
}

#[test]
fn a_group_that_is_not_served_is_nowhere() {
    let served = Groups { resource: false };
    let documents = Documents::new(served, &Resources::default());

    assert!(documents.group(Group::Resource, Form::Json).is_none());
    assert!(documents.resource_list(GroupVersion::Resource, Form::Json).is_none());
    assert!(!text(&documents.group_list(Form::Json)).contains(r#""metrics.k8s.io"#));
    assert!(!aggregated(&documents).contains(r#""metrics.k8s.io"#));
    assert!(documents.resource_list(GroupVersion::External, Form::Json).is_some());
    assert_eq!(
        text(&documents.resource_list(GroupVersion::Insight, Form::Json).unwrap()),
        r#"{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"insight.plimsoll.dev/v1alpha1","resources":[{"name":"decisions","singularName":"decision","namespaced":true,"kind":"Decision","verbs":["get","list"]}]}"#
            .to_owned()
            + "\n"
    );
}

#[test]
fn the_aggregated_answer_is_recognisable_and_conditional() {
    let documents = documents(&[custom("pods", true, "a")], &[]);
    let full = documents.aggregated(Form::Json, &HeaderMap::new());
    let etag = full.headers()[ETAG].clone();
    let ask =
        |etag| documents.aggregated(Form::Json, &HeaderMap::from_iter([(IF_NONE_MATCH, etag)]));
    let header = |name| full.headers()[name].to_str().unwrap();

    assert_eq!(full.status(), StatusCode::OK);
    assert_eq!(
        [header(CONTENT_TYPE), header(VARY), header(CACHE_CONTROL)],
        [AGGREGATED, "Accept", "public"]
    );
    let unchanged = ask(etag);
    assert_eq!((unchanged.status(), unchanged.body().len()), (StatusCode::NOT_MODIFIED, 0));
    assert_eq!(ask(HeaderValue::from_static("\"other\"")).status(), StatusCode::OK);
}

#[test]
fn replicas_agree_whatever_the_order() {
    let metrics =
        [custom("pods", true, "a"), custom("pods", true, "b"), custom("nodes", false, "a")];
    let mut reversed = metrics.clone();
    reversed.reverse();
    let tag = |documents: Documents| {
        documents.aggregated(Form::Json, &HeaderMap::new()).headers()[ETAG].clone()
    };

    assert_eq!(tag(documents(&metrics, &["x", "y"])), tag(documents(&reversed, &["y", "x"])));
    assert_ne!(tag(documents(&metrics, &["x"])), tag(documents(&metrics, &["y"])));
}

#[test]
fn a_resource_has_one_scope() {
    let mixed = documents(&[custom("pods", false, "a"), custom("pods", true, "b")], &[]);
    let agreed = documents(&[custom("pods", true, "a"), custom("pods", true, "b")], &[]);

    assert_eq!(aggregated(&mixed), aggregated(&agreed));
    assert_eq!(mixed.resource_list(V1BETA1, Form::Json), agreed.resource_list(V1BETA1, Form::Json));
}

#[test]
fn names_that_cannot_stand_in_a_list_are_left_out() {
    let documents = documents(
        &[custom("pods", true, "a/b"), custom("", true, "a"), custom("pods", true, "")],
        &["a/b", "A/B", ""],
    );

    assert_eq!(names(&documents, V1BETA2), [""; 0]);
    assert_eq!(names(&documents, GroupVersion::External), [""; 0]);
    assert_eq!(documents.left_out(), LeftOut { custom: 3, external: 2 });
}

#[test]
fn a_list_has_a_bound() {
    let metrics: Vec<_> =
        (0..10_000).rev().map(|number| custom("pods", true, &format!("m{number:05}"))).collect();
    let external: Vec<_> = metrics.iter().map(|metric| metric.metric.as_str()).collect();
    let documents = documents(&metrics, &external);

    let shown = names(&documents, V1BETA2);
    assert_eq!((shown.len(), shown[0].as_str()), (MAX_ENTRIES, "pods/m00000"));
    assert_eq!(shown.last().unwrap(), "pods/m00999");
    assert_eq!(names(&documents, GroupVersion::External).len(), MAX_ENTRIES);
    assert_eq!(documents.left_out(), LeftOut { custom: 9000, external: 9000 });
}
