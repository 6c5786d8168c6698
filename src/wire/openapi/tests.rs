use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};

use super::*;
use crate::wire::Group;

const USUAL: Groups = Groups { resource: false };
const V1BETA2: GroupVersion = GroupVersion::Custom(CustomVersion::V1Beta2);

fn json(response: &Response<Bytes>) -> Value {
    serde_json::from_slice(response.body()).unwrap()
}

fn plain() -> HeaderMap {
    HeaderMap::new()
}

fn header(response: &Response<Bytes>, name: http::header::HeaderName) -> Option<&str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

fn hash_of(documents: &Documents, version: GroupVersion) -> String {
    let root = json(&documents.root(Form::Json, &plain()));
    let path = &root["paths"][format!("apis/{}", version.api_version())]["serverRelativeURL"];
    let prefix = format!("/openapi/v3/apis/{}?hash=", version.api_version());
    path.as_str().unwrap().strip_prefix(&prefix).unwrap().to_owned()
}

#[test]
fn the_root_lists_our_versions_alone_with_the_hash_of_their_content() {
    let documents = Documents::new(USUAL);
    let root = json(&documents.root(Form::Json, &plain()));
    let expected: BTreeMap<_, _> = USUAL
        .iter()
        .flat_map(Group::versions)
        .map(|version| {
            let path = format!("apis/{}", version.api_version());
            let document = documents.version(*version, None, Form::Json, &plain()).unwrap();
            let hash = header(&document, ETAG).unwrap().trim_matches('"').to_owned();
            let url = format!("/openapi/v3/{path}?hash={hash}");
            (path, json!({ "serverRelativeURL": url }))
        })
        .collect();

    assert_eq!(root, json!({ "paths": expected }));
    assert_eq!(expected.len(), 4);
    assert!(documents.version(GroupVersion::Resource, None, Form::Json, &plain()).is_none());
    let all = Documents::new(Groups { resource: true });
    let paths = json(&all.root(Form::Json, &plain()));
    assert_eq!(paths["paths"].as_object().unwrap().len(), 5);
}

#[test]
fn every_answer_is_a_document_or_304_and_never_a_redirect() {
    let documents = Documents::new(USUAL);
    let hash = hash_of(&documents, V1BETA2);
    let tag = HeaderMap::from_iter([(
        IF_NONE_MATCH,
        HeaderValue::try_from(format!("\"{hash}\"")).unwrap(),
    )]);
    let (kept, current) = ("public, immutable", "no-cache, private");
    let answers = [
        (Some(hash.as_str()), plain(), StatusCode::OK, kept),
        (Some("OLD"), plain(), StatusCode::OK, current),
        (None, plain(), StatusCode::OK, current),
        (Some(hash.as_str()), tag.clone(), StatusCode::NOT_MODIFIED, kept),
        (Some("OLD"), tag.clone(), StatusCode::NOT_MODIFIED, current),
        (None, tag, StatusCode::NOT_MODIFIED, current),
    ];
    for (asked, request, status, cache_control) in answers {
        let answer = documents.version(V1BETA2, asked, Form::Json, &request).unwrap();

        assert_eq!(answer.status(), status, "{asked:?}");
        assert_eq!(answer.body().is_empty(), status == StatusCode::NOT_MODIFIED);
        assert_eq!(header(&answer, ETAG), Some(format!("\"{hash}\"").as_str()));
        assert_eq!(header(&answer, VARY), Some("Accept"));
        assert_eq!(header(&answer, CACHE_CONTROL), Some(cache_control), "{asked:?}");
        assert_eq!(header(&answer, EXPIRES).is_some(), cache_control == kept);
    }
}

#[test]
fn a_version_describes_its_lists() {
    let documents = Documents::new(USUAL);
    let properties = |version: GroupVersion, schema: &str| -> Vec<String> {
        let document = json(&documents.version(version, None, Form::Json, &plain()).unwrap());
        assert_eq!((&document["openapi"], &document["paths"]), (&json!("3.0.0"), &json!({})));
        let list = &document["components"]["schemas"][version.list_kind()];
        assert_eq!(
            list["x-kubernetes-group-version-kind"],
            json!([{
                "group": version.group().as_str(),
                "version": version.version(),
                "kind": version.list_kind(),
            }])
        );
        assert_eq!(
            list["properties"]["items"]["items"],
            json!({ "$ref": format!("#/components/schemas/{schema}") })
        );
        let item = &document["components"]["schemas"][schema]["properties"];
        item.as_object().unwrap().keys().cloned().collect()
    };

    assert_eq!(
        properties(V1BETA2, "MetricValue"),
        ["describedObject", "metric", "timestamp", "value", "windowSeconds"]
    );
    assert_eq!(
        properties(GroupVersion::Custom(CustomVersion::V1Beta1), "MetricValue"),
        ["describedObject", "metricName", "selector", "timestamp", "value", "window"]
    );
    assert_eq!(
        properties(GroupVersion::External, "ExternalMetricValue"),
        ["metricLabels", "metricName", "timestamp", "value", "window"]
    );
}

#[test]
fn the_second_version_of_openapi_is_there_and_empty() {
    let documents = Documents::new(USUAL);
    let answer = documents.v2(Form::Json, &plain());
    let tag = HeaderMap::from_iter([(IF_NONE_MATCH, answer.headers()[ETAG].clone())]);

    assert_eq!(
        json(&answer),
        json!({
            "swagger": "2.0",
            "info": { "title": "plimsoll", "version": "unversioned" },
            "paths": {},
        })
    );
    assert_eq!(header(&answer, CONTENT_TYPE), Some("application/json"));
    assert_eq!(documents.v2(Form::Json, &tag).status(), StatusCode::NOT_MODIFIED);
}

/// `kubectl explain` finds a resource by its path, and its fields by the kind that is there.
#[test]
fn nodes_and_pods_have_the_paths_of_what_they_use() {
    let documents = Documents::new(Groups { resource: true });
    let version = GroupVersion::Resource;
    let document = json(&documents.version(version, None, Form::Json, &plain()).unwrap());
    let kinds = document["paths"].as_object().unwrap().iter().map(|(path, operations)| {
        let kind = &operations["get"]["x-kubernetes-group-version-kind"]["kind"];
        (path.strip_prefix("/apis/metrics.k8s.io/v1beta1/").unwrap(), kind.as_str().unwrap())
    });
    assert_eq!(
        kinds.collect::<BTreeMap<_, _>>(),
        BTreeMap::from([
            ("namespaces/{namespace}/pods", "PodMetrics"),
            ("namespaces/{namespace}/pods/{name}", "PodMetrics"),
            ("nodes", "NodeMetrics"),
            ("nodes/{name}", "NodeMetrics"),
            ("pods", "PodMetrics"),
        ])
    );
    let kinds = document["components"]["schemas"].as_object().unwrap().values();
    let described = kinds.map(|it| it["x-kubernetes-group-version-kind"][0]["kind"].clone());
    let described: Vec<_> = described.collect();
    assert!(["NodeMetrics", "PodMetrics"].iter().all(|kind| described.contains(&json!(kind))));
}
