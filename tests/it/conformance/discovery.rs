//! Cases 1 to 22: probes and discovery.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{AGGREGATED, C1, C2, E, INSIGHT, Lab, Setup, status};
use crate::support::client::Answer;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{self, FakePrometheus};

#[tokio::test]
async fn case_01_a_probe_without_accept_is_answered_within_a_second() {
    let lab = Lab::start().await;
    let began = Instant::now();
    assert_eq!(lab.get(C2, "").await.status, 200);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_02_five_probes_at_once_a_thousand_times_are_all_answered_fast() {
    let lab = Lab::start().await;
    let session = lab.client.open_http2().await;
    let mut times = Vec::new();
    for round in 0..1_000 {
        let version = [C1, E][round % 2];
        times.extend(
            join_all((0..5).map(|_| async {
                let began = Instant::now();
                assert_eq!(session.get(version).await.status, 200);
                began.elapsed()
            }))
            .await,
        );
    }
    times.sort_unstable();
    let p99 = times[times.len() * 99 / 100];
    assert!(p99 < Duration::from_millis(100), "{p99:?}");
}

#[tokio::test]
async fn case_03_a_probe_is_answered_while_the_metric_backend_is_down() {
    let lab = Lab::start().await;
    let before = lab.get(C2, "").await.json();
    drop(lab.prometheus);
    let answer = lab.client.get(C2).await;
    assert_eq!((answer.status, answer.json()), (200, before));
}

#[tokio::test]
async fn case_04_a_probe_before_the_first_collection_cycle_is_answered() {
    let prometheus = FakePrometheus::start().await;
    prometheus.answer_all(prometheus::Answer::Stall);
    let url = prometheus.url().to_string();
    let config = super::CONFIG;
    let start = Start { config, prometheus: &url, ..Start::default() };
    let plimsoll = Plimsoll::start_unready(&start);
    let client = plimsoll.client();
    let empty = json!({"kind": "APIResourceList", "apiVersion": "v1",
        "groupVersion": "custom.metrics.k8s.io/v1beta2", "resources": []});
    let at_once = client.get(C2).await;
    assert_eq!((at_once.status, at_once.json()), (200, empty.clone()));
    // Readiness does not wait for a backend for ever.
    wait_until("it is ready", async || client.get("/readyz").await.status == 200).await;
    let ready = client.get(C2).await;
    assert_eq!((ready.status, ready.json()), (200, empty));
}

#[tokio::test]
async fn case_05_discovery_is_answered_to_accept_json() {
    let lab = Lab::start().await;
    assert_eq!(lab.get_with(C2, ("accept", "application/json")).await.status, 200);
}

#[tokio::test]
async fn case_06_the_etag_of_apis_makes_no_304_of_a_version() {
    let lab = Lab::start().await;
    let etag = lab.get_with("/apis", ("accept", AGGREGATED)).await.header("etag").to_owned();
    assert!(!etag.is_empty());
    for version in [C1, C2, E] {
        assert_eq!(lab.get_with(version, ("if-none-match", &etag)).await.status, 200);
    }
}

#[tokio::test]
async fn case_07_a_resource_list_has_every_field_of_every_resource() {
    let lab = Lab::start().await;
    for version in [C1, C2, E] {
        let list = lab.get(version, "").await.json();
        assert_eq!(list["kind"], "APIResourceList");
        assert_eq!(list["groupVersion"], version.strip_prefix("/apis/").unwrap());
        let resources = list["resources"].as_array().unwrap();
        assert!(!resources.is_empty());
        for resource in resources {
            assert!(resource["name"].is_string() && resource["singularName"].is_string());
            assert!(resource["namespaced"].is_boolean() && resource["verbs"].is_array());
            let kind = if version == E { "ExternalMetricValueList" } else { "MetricValueList" };
            assert_eq!(resource["kind"], kind);
        }
    }
}

#[tokio::test]
async fn case_08_a_trailing_slash_changes_nothing() {
    let lab = Lab::start().await;
    for version in [C1, C2, E, "/apis", "/apis/custom.metrics.k8s.io"] {
        let (plain, slash) = (lab.get(version, "").await, lab.get(version, "/").await);
        assert_eq!((slash.status, slash.body), (200, plain.body), "{version}/");
    }
}

#[tokio::test]
async fn case_09_without_metrics_the_resources_are_an_empty_list() {
    let lab = Lab::with(Setup { config: "rules: []", ..Setup::default() }).await;
    for version in [C1, C2, E] {
        let answer = lab.get(version, "").await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains(r#""resources":[]"#), "{}", answer.text());
    }
}

#[tokio::test]
async fn case_10_apis_is_the_aggregated_document_for_the_aggregator() {
    let lab = Lab::start().await;
    let answer = lab.get_with("/apis", ("accept", AGGREGATED)).await;
    assert_eq!(answer.status, 200);
    let content_type = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    assert_eq!(answer.header("content-type"), content_type);
    let etag = answer.header("etag");
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert!(answer.header("vary").contains("Accept"));
    let document = answer.json();
    assert_eq!(document["kind"], "APIGroupDiscoveryList");
    assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
    let resources = &document["items"][0]["versions"][0]["resources"];
    let pods = resources.as_array().unwrap().iter().find(|it| it["resource"] == "pods").unwrap();
    assert_eq!(pods["scope"], "Namespaced");
    let requests = json!({"subresource": "http_requests", "verbs": ["get"], "responseKind":
        {"group": "custom.metrics.k8s.io", "version": "v1beta2", "kind": "MetricValueList"}});
    assert!(pods["subresources"].as_array().unwrap().contains(&requests), "{pods}");
}

#[tokio::test]
async fn case_11_the_same_etag_again_is_304_without_a_body() {
    let lab = Lab::start().await;
    let etag = lab.get_with("/apis", ("accept", AGGREGATED)).await.header("etag").to_owned();
    let headers = [("accept", AGGREGATED), ("if-none-match", &etag)];
    let answer = lab.client.get_with("/apis", &headers).await;
    assert_eq!((answer.status, answer.body.len()), (304, 0));
}

#[tokio::test]
async fn case_12_another_etag_is_answered_with_the_document() {
    let lab = Lab::start().await;
    let headers = [("accept", AGGREGATED), ("if-none-match", "\"0123456789ABCDEF\"")];
    let answer = lab.client.get_with("/apis", &headers).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["kind"], "APIGroupDiscoveryList");
}

#[tokio::test]
async fn case_13_two_replicas_have_the_same_etag_and_body() {
    let (one, other) = tokio::join!(Lab::start(), Lab::start());
    let ask = async |lab: &Lab| lab.get_with("/apis", ("accept", AGGREGATED)).await;
    let (one, other) = (ask(&one).await, ask(&other).await);
    assert_eq!((one.header("etag"), &one.body), (other.header("etag"), &other.body));
}

#[tokio::test]
async fn case_14_apis_lists_every_group_with_its_versions_in_order_of_preference() {
    let lab = Lab::start().await;
    let answer = lab.get_with("/apis", ("accept", "application/json")).await;
    let version = |version: &str| {
        let (_, name) = version.split_once('/').unwrap();
        json!({"groupVersion": version, "version": name})
    };
    let custom = ["custom.metrics.k8s.io/v1beta2", "custom.metrics.k8s.io/v1beta1"].map(version);
    let external = version("external.metrics.k8s.io/v1beta1");
    let insight = version("insight.plimsoll.dev/v1alpha1");
    let expected = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [
        {"name": "custom.metrics.k8s.io", "versions": custom, "preferredVersion": custom[0]},
        {"name": "external.metrics.k8s.io", "versions": [external], "preferredVersion": external},
        {"name": "insight.plimsoll.dev", "versions": [insight], "preferredVersion": insight},
    ]});
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn case_15_v2beta1_alone_is_not_acceptable_and_with_json_the_legacy_list() {
    let lab = Lab::start().await;
    let beta = "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList";
    status(&lab.get_with("/apis", ("accept", beta)).await, 406, "NotAcceptable");
    let legacy = lab.get_with("/apis", ("accept", &format!("{beta},application/json"))).await;
    assert_eq!(legacy.json()["kind"], "APIGroupList");
    assert_eq!(legacy.header("content-type"), "application/json");
}

#[tokio::test]
async fn case_16_an_unknown_parameter_leaves_the_aggregated_document() {
    let lab = Lab::start().await;
    let accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList;\
        profile=nopeer,application/json";
    let answer = lab.get_with("/apis", ("accept", accept)).await;
    assert_eq!(answer.json()["kind"], "APIGroupDiscoveryList");
}

#[tokio::test]
async fn case_17_a_group_is_an_api_group_and_an_unknown_one_is_not_found() {
    let lab = Lab::start().await;
    let group = lab.client.get("/apis/custom.metrics.k8s.io").await.json();
    assert_eq!((&group["kind"], &group["name"]), (&json!("APIGroup"), &json!(GROUP)));
    assert_eq!(group["preferredVersion"]["version"], "v1beta2");
    for unknown in ["/apis/unknown.io", "/apis/unknown.io/v1", "/apis/custom.metrics.k8s.io/v9"] {
        status(&lab.client.get(unknown).await, 404, "NotFound");
    }
}

const GROUP: &str = "custom.metrics.k8s.io";

#[tokio::test]
async fn case_18_every_version_is_listed_as_current_also_without_metrics() {
    for config in [super::CONFIG, "rules: []"] {
        let lab = Lab::with(Setup { config, ..Setup::default() }).await;
        let document = lab.get_with("/apis", ("accept", AGGREGATED)).await.json();
        let mut versions = Vec::new();
        for group in document["items"].as_array().unwrap() {
            for version in group["versions"].as_array().unwrap() {
                assert_eq!(version["freshness"], "Current");
                let (group, version) = (&group["metadata"]["name"], &version["version"]);
                versions.push(format!("{}/{}", group.as_str().unwrap(), version.as_str().unwrap()));
            }
        }
        let expected = [C2, C1, E, INSIGHT].map(|version| version.strip_prefix("/apis/").unwrap());
        assert_eq!(versions, expected);
    }
}

/// A Prometheus with so many metrics of pods and as many external ones.
async fn crowded(metrics: usize) -> FakePrometheus {
    let prometheus = FakePrometheus::start().await;
    let names = |kind: &str| {
        let series: Vec<_> = (0..metrics)
            .map(|n| json!({"__name__": format!("{kind}_{n:05}"), "pod": "x", "namespace": "x"}))
            .collect();
        prometheus::Answer::data(&json!(series))
    };
    prometheus.answer("many", names("custom"));
    prometheus.answer("queues", names("external"));
    prometheus
}

const CROWDED: &str = "
rules:
- {seriesQuery: many, resources: {overrides: {pod: {resource: pod}, namespace: {resource: \
    namespace}}}, metricsQuery: 'sum(<<.Series>>) by (<<.GroupBy>>)'}
externalRules: [{seriesQuery: queues, metricsQuery: sum(<<.Series>>)}]
";

#[tokio::test]
async fn case_19_ten_thousand_metrics_are_cut_to_the_cap_which_is_logged() {
    let prometheus = crowded(10_000).await;
    let lab = Lab::on(prometheus, Setup { config: CROWDED, ..Setup::default() }).await;
    let began = Instant::now();
    let answer = lab.get_with("/apis", ("accept", AGGREGATED)).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(answer.status, 200);
    for version in [C1, C2, E] {
        let list = lab.get(version, "").await.json();
        assert_eq!(list["resources"].as_array().unwrap().len(), 1_000, "{version}");
    }
    let cut = |entry: &Value| {
        entry["message"].as_str().is_some_and(|text| text.contains("does not list every metric"))
    };
    wait_until("the cut is logged", async || lab.plimsoll.log().iter().any(cut)).await;
    // What is not listed is served all the same.
    let pod = "/namespaces/default/pods/p/custom_09999";
    let message = lab.get(C2, pod).await.message();
    assert!(message.contains("the fake has no answer"), "{message}");
}

#[tokio::test]
async fn case_20_names_in_discovery_are_there_once_with_one_scope_and_one_slash() {
    let config = r"
rules:
- {seriesQuery: one, name: {as: same}, resources: {template: <<.Resource>>}, metricsQuery: one}
- {seriesQuery: two, name: {as: same}, resources: {template: <<.Resource>>}, metricsQuery: two}
- {seriesQuery: two, name: {as: a/b}, resources: {template: <<.Resource>>}, metricsQuery: two}
externalRules:
- {seriesQuery: one, name: {as: Same}, metricsQuery: one}
- {seriesQuery: two, name: {as: same}, metricsQuery: two}
- {seriesQuery: two, name: {as: c/d}, metricsQuery: two}
";
    let prometheus = FakePrometheus::start().await;
    let series = json!([{"__name__": "x", "namespace": "n", "pod": "p", "node": "o"}]);
    prometheus.answer_all(prometheus::Answer::data(&series));
    let lab = Lab::on(prometheus, Setup { config, ..Setup::default() }).await;
    let names = |answer: &Answer| -> Vec<String> {
        let list = answer.json();
        let resources = list["resources"].as_array().unwrap().iter();
        resources
            .map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["namespaced"]))
            .collect()
    };
    let custom = ["namespaces/same false", "nodes/same false", "pods/same true"];
    assert_eq!(names(&lab.get(C2, "").await), custom);
    assert_eq!(names(&lab.get(C1, "").await), custom);
    assert_eq!(names(&lab.get(E, "").await), ["same true"]);

    let document = lab.get_with("/apis", ("accept", AGGREGATED)).await.json();
    for group in document["items"].as_array().unwrap() {
        for version in group["versions"].as_array().unwrap() {
            let resources = version["resources"].as_array().unwrap();
            let names: BTreeSet<_> =
                resources.iter().map(|it| it["resource"].as_str().unwrap()).collect();
            assert_eq!(names.len(), resources.len(), "{version}");
            for resource in resources {
                let metrics = resource["subresources"].as_array();
                assert!(metrics.is_none_or(|metrics| metrics.len() == 1), "{resource}");
            }
        }
    }
}

#[tokio::test]
async fn case_21_the_verb_of_every_metric_is_get_alone() {
    let lab = Lab::start().await;
    for version in [C1, C2, E] {
        let list = lab.get(version, "").await.json();
        for resource in list["resources"].as_array().unwrap() {
            assert_eq!(resource["verbs"], json!(["get"]), "{resource}");
        }
    }
}

#[tokio::test]
async fn case_22_head_has_status_and_headers_of_get_and_no_body() {
    let lab = Lab::start().await;
    for target in ["/apis", C2, E, "/apis/unknown.io"] {
        let get = lab.client.get(target).await;
        let head = lab.client.send("HEAD", target, &[]).await;
        assert_eq!(head.body.len(), 0);
        let essential = |answer: &Answer| {
            let headers = ["content-type", "content-length", "cache-control", "etag", "vary"];
            (answer.status, headers.map(|name| answer.header(name).to_owned()))
        };
        assert_eq!(essential(&head), essential(&get), "{target}");
    }
}
