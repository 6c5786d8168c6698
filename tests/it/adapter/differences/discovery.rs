//! Differences in the documents that say what is served, and in their forms.

use serde_json::{Value, json};

use super::{Body, Difference, EXTERNAL, Expected, group_and_version};
use crate::adapter::recording::Row;

pub(super) fn discovery() -> Vec<Difference> {
    vec![
        Difference {
            reason: "both groups are always served, with an empty list where nothing is configured: \
                     an APIService whose group is missing blocks the deletion of namespaces",
            is_switch: false,
            applies: |row| row.answer.status == 404 && group_and_version(row.path()).is_some(),
            ours: |row, expected| {
                let Some((group, version)) = group_and_version(row.path()) else { return };
                expected.status = 200;
                expected.body = Body::Exactly(match version {
                    "" => group_document(group),
                    version => json!({
                        "kind": "APIResourceList", "apiVersion": "v1",
                        "groupVersion": format!("{group}/{version}"), "resources": [],
                    }),
                });
            },
        },
        Difference {
            reason: "the documents of the groups name both versions of custom.metrics.k8s.io and \
                     prefer v1beta2, as the client of the HPA controller does",
            is_switch: false,
            applies: |row| row.answer.status == 200 && is_custom_group(row),
            ours: |_, expected| {
                let group = group_document("custom.metrics.k8s.io");
                expected.body = match &expected.body {
                    Body::Exactly(Value::String(_)) => Body::Exactly(pretty_group().into()),
                    _ => Body::Exactly(group),
                };
            },
        },
        Difference {
            reason: "/apis lists the groups of custom and external metrics and of decisions always, \
                     and as an object of v1",
            is_switch: false,
            applies: |row| is_groups(row) && !row.accept().contains("APIGroupDiscoveryList"),
            ours: |row, expected| {
                let recorded = row.answer.body["groups"].as_array().into_iter().flatten();
                let resources = recorded.clone().any(|group| group["name"] == "metrics.k8s.io");
                let mut names = vec!["custom.metrics.k8s.io", "external.metrics.k8s.io"];
                names.push("insight.plimsoll.dev");
                names.extend(resources.then_some("metrics.k8s.io"));
                let mut groups: Vec<_> = names.into_iter().map(group_document).collect();
                for group in &mut groups {
                    let fields = group.as_object_mut().unwrap();
                    fields.retain(|key, _| key != "kind" && key != "apiVersion");
                }
                expected.body = Body::Exactly(
                    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}),
                );
            },
        },
        Difference {
            reason: "aggregated discovery lists the groups: prometheus-adapter's is empty, so that \
                     kubectl api-resources never shows a metric",
            is_switch: false,
            applies: |row| is_groups(row) && row.accept().contains("v=v2;as=APIGroupDiscoveryList"),
            ours: |_, expected| {
                expected.body = Body::With(vec![
                    ("/kind", "APIGroupDiscoveryList".into()),
                    ("/items/0/metadata/name", "custom.metrics.k8s.io".into()),
                    ("/items/1/metadata/name", "external.metrics.k8s.io".into()),
                ]);
            },
        },
    ]
}

pub(super) fn resources() -> Vec<Difference> {
    vec![
        Difference {
            reason: "metrics that cannot be asked for are not listed: those with an empty name or \
                     a slash in it",
            is_switch: false,
            applies: |row| row.config == "naming" && is_resources(row),
            ours: |_, expected| {
                retain_resources(expected, |name| {
                    !name.ends_with('/') && name.matches('/').count() == 1
                });
            },
        },
        Difference {
            reason: "whether a kind is namespaced is its own matter: prometheus-adapter takes \
                     cluster-scoped kinds other than nodes, namespaces and volumes for namespaced",
            is_switch: false,
            applies: is_resources,
            ours: |_, expected| {
                if let Body::Exactly(body) = &mut expected.body {
                    for resource in body["resources"].as_array_mut().unwrap() {
                        if resource["name"].as_str().unwrap().starts_with("fleets.") {
                            resource["namespaced"] = false.into();
                        }
                    }
                }
            },
        },
    ]
}

pub(super) fn negotiation() -> Vec<Difference> {
    vec![
        Difference {
            reason: "406 names the types that there are, and no query is spent on it",
            is_switch: false,
            applies: |row| row.answer.status == 406,
            ours: |_, expected| expected.refuse_at_once(406, "NotAcceptable", NOT_ACCEPTABLE),
        },
        Difference {
            reason: "YAML is not written: no client of these APIs asks for it alone",
            is_switch: false,
            applies: |row| row.accept().contains("application/yaml") && is_written_as_yaml(row),
            ours: |row, expected| {
                if ["*/*", "application/json;q"].iter().any(|it| row.accept().contains(it)) {
                    let promql = row.promql.join("");
                    expected.answer(&promql, vec![("/items/0/value", "100m".into())]);
                } else {
                    expected.refuse_at_once(406, "NotAcceptable", NOT_ACCEPTABLE);
                }
            },
        },
        Difference {
            reason: "a weight of zero excludes a type, and one that is no number makes none (RFC \
                     9110); prometheus-adapter ignores both",
            is_switch: false,
            applies: |row| row.accept().ends_with("q=0") || row.accept().ends_with("q=abc"),
            ours: |_, expected| expected.refuse_at_once(406, "NotAcceptable", NOT_ACCEPTABLE),
        },
        Difference {
            reason: "application/* and upper case mean what RFC 9110 says",
            is_switch: false,
            applies: |row| ["application/*", "APPLICATION/JSON"].contains(&row.accept()),
            ours: |_, expected| {
                let promql = r#"sum(queue_length{namespace="default",pod="web-0"}) by (pod)"#;
                expected.answer(promql, vec![("/items/0/value", "100m".into())]);
            },
        },
        Difference {
            reason: "external metrics are also written as a Table, which kubectl get prints",
            is_switch: false,
            applies: |row| row.path().starts_with(EXTERNAL) && row.accept().contains("as=Table"),
            ours: |_, expected| {
                let promql = r#"sort(ext_worker_level{namespace="default"})"#;
                expected.answer(promql, vec![("/kind", "Table".into())]);
            },
        },
        Difference {
            reason: "the metadata of a value alone is no answer: prometheus-adapter fails with 500",
            is_switch: false,
            applies: |row| {
                row.answer.status == 500 && row.accept().contains("PartialObjectMetadataList")
            },
            ours: |_, expected| expected.refuse_at_once(406, "NotAcceptable", NOT_ACCEPTABLE),
        },
    ]
}

const NOT_ACCEPTABLE: &str = "only the following media types are accepted: application/json";

fn group_document(group: &str) -> Value {
    let version =
        |version: &str| json!({"groupVersion": format!("{group}/{version}"), "version": version});
    let versions = match group {
        "custom.metrics.k8s.io" => vec![version("v1beta2"), version("v1beta1")],
        "insight.plimsoll.dev" => vec![version("v1alpha1")],
        _ => vec![version("v1beta1")],
    };
    json!({
        "kind": "APIGroup", "apiVersion": "v1", "name": group,
        "preferredVersion": versions[0], "versions": versions,
    })
}

fn pretty_group() -> &'static str {
    r#"{
  "kind": "APIGroup",
  "apiVersion": "v1",
  "name": "custom.metrics.k8s.io",
  "versions": [
    {
      "groupVersion": "custom.metrics.k8s.io/v1beta2",
      "version": "v1beta2"
    },
    {
      "groupVersion": "custom.metrics.k8s.io/v1beta1",
      "version": "v1beta1"
    }
  ],
  "preferredVersion": {
    "groupVersion": "custom.metrics.k8s.io/v1beta2",
    "version": "v1beta2"
  }
}"#
}

fn retain_resources(expected: &mut Expected, keep: impl Fn(&str) -> bool) {
    if let Body::Exactly(body) = &mut expected.body {
        let resources = body["resources"].as_array_mut().unwrap();
        resources.retain(|resource| keep(resource["name"].as_str().unwrap()));
    }
}

fn is_written_as_yaml(row: &Row) -> bool {
    row.outcome().content_type == "application/yaml"
}

fn is_groups(row: &Row) -> bool {
    let is_get = row.request.method == "GET" && row.answer.status == 200;
    is_get && ["/apis", "/apis/"].contains(&row.path())
}

fn is_custom_group(row: &Row) -> bool {
    let path = row.path().split('?').next().unwrap_or_default();
    path == "/apis/custom.metrics.k8s.io"
}

fn is_resources(row: &Row) -> bool {
    row.answer.body["kind"] == "APIResourceList" && !row.path().contains("/metrics.k8s.io")
}
