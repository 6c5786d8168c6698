//! Cases 23 to 45: custom metrics.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{C1, C2, Lab, PODS, Setup, answer, items, pairs, rate, script, status, vector};
use crate::support::plimsoll::wait_until;
use crate::support::prometheus::FakePrometheus;

#[tokio::test]
async fn case_23_a_wildcard_answers_every_matching_pod() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, PODS).await;
    assert_eq!(answer.header("content-type"), "application/json");
    let mut list = answer.json();
    for item in list["items"].as_array_mut().unwrap() {
        item["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
        item["timestamp"] = json!("NOW");
    }
    let item = |name: &str, value: &str| {
        json!({
            "describedObject":
                {"kind": "Pod", "namespace": "default", "name": name, "apiVersion": "v1"},
            "metric": {"name": "http_requests", "selector": null},
            "timestamp": "NOW", "windowSeconds": 60, "value": value,
        })
    };
    let expected = json!({
        "kind": "MetricValueList", "apiVersion": "custom.metrics.k8s.io/v1beta2", "metadata": {},
        "items": [item("web-0", "1500m"), item("web-1", "7")],
    });
    assert_eq!(list, expected);
}

#[tokio::test]
async fn case_24_a_literal_star_is_the_same() {
    let lab = Lab::start().await;
    let encoded = lab.get(C2, PODS).await;
    let literal = lab.get(C2, &PODS.replace("%2A", "*")).await;
    assert_eq!((literal.status, literal.body), (200, encoded.body));
}

#[tokio::test]
async fn case_25_v1beta1_has_metric_name_and_window_and_no_metric() {
    let lab = Lab::start().await;
    let list = lab.get(C1, PODS).await.json();
    assert_eq!(list["apiVersion"], "custom.metrics.k8s.io/v1beta1");
    let item = list["items"][0].as_object().unwrap();
    assert_eq!((&item["metricName"], &item["window"]), (&json!("http_requests"), &json!(60)));
    assert_eq!(item.get("selector"), Some(&Value::Null));
    assert!(!item.contains_key("metric") && !item.contains_key("windowSeconds"));
}

#[tokio::test]
async fn case_26_v1beta2_has_metric_selector_and_window_seconds_and_no_window() {
    let lab = Lab::start().await;
    let list = lab.get(C2, PODS).await.json();
    let item = list["items"][0].as_object().unwrap();
    assert_eq!(item["metric"], json!({"name": "http_requests", "selector": null}));
    assert_eq!(item["windowSeconds"], 60);
    assert!(!item.contains_key("window") && !item.contains_key("metricName"));
    // The window of a query without a range is not known.
    let service = lab.get(C2, "/namespaces/default/services/web/hits").await.json();
    assert!(!service["items"][0].as_object().unwrap().contains_key("windowSeconds"));
}

#[tokio::test]
async fn case_27_a_named_pod_is_exactly_one_item() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, "/namespaces/default/pods/web-0/http_requests").await;
    assert_eq!(items(&answer), pairs(&[("web-0", "1500m")]));
}

#[tokio::test]
async fn case_28_an_absent_pod_is_not_found() {
    let lab = Lab::start().await;
    answer(&lab.prometheus, &rate(r#"namespace="default",pod="absent""#), &[]);
    let answer = lab.get(C2, "/namespaces/default/pods/absent/http_requests").await;
    assert_eq!(
        status(&answer, 404, "NotFound"),
        "the server could not find the metric http_requests for pods absent: rules[0] has no \
         sample that names pod absent"
    );
}

#[tokio::test]
async fn case_29_an_unknown_metric_is_not_found_and_named() {
    let lab = Lab::start().await;
    for name in ["*", "web-0"] {
        let path = format!("/namespaces/default/pods/{name}/http_request");
        let message = status(&lab.get(C2, &path).await, 404, "NotFound");
        assert!(message.contains("the metric http_request for pods"), "{message}");
        assert!(message.ends_with("the nearest names are http_requests"), "{message}");
    }
}

#[tokio::test]
async fn case_30_a_selector_that_matches_no_pod_is_never_answered_with_others() {
    let lab = Lab::start().await;
    let path = "/namespaces/default/pods/*/http_requests?labelSelector=app%3Dabsent";
    assert_eq!(
        status(&lab.get(C2, path).await, 404, "NotFound"),
        "the server could not find the metric http_requests for pods: no pods match the selector \
         app=absent in namespace default"
    );
}

#[tokio::test]
async fn case_31_a_pod_deleted_since_the_last_scrape_is_not_in_the_list() {
    let lab = Lab::start().await;
    assert_eq!(items(&lab.get(C2, PODS).await).len(), 2);
    let asked = lab.prometheus.requests().len();
    let left: Vec<_> = super::OBJECTS.lines().filter(|line| !line.contains("web-0")).collect();
    lab.plimsoll.replace("objects.yaml", &left.join("\n"));
    wait_until("the pod is gone", async || {
        items(&lab.get(C2, PODS).await) == pairs(&[("web-1", "7")])
    })
    .await;
    let queries = lab.prometheus.requests();
    let queries: Vec<_> = queries[asked..].iter().filter_map(|it| it.parameter("query")).collect();
    // The samples of the deleted pod are still there to be had.
    assert!(!queries.contains(&rate(r#"namespace="default",pod="web-1""#).as_str()));
}

#[tokio::test]
async fn case_32_a_sample_older_than_the_staleness_limit_is_not_in_the_list() {
    let prometheus = FakePrometheus::start().await;
    script(&prometheus);
    let stale = vector(&[(json!({"node": "n1"}), "0.5")], 302);
    prometheus.answer(r#"load{node=~"n1|n2"}"#, stale.clone());
    prometheus.answer(r#"load{node="n1"}"#, stale);
    let lab = Lab::on(prometheus, Setup::default()).await;
    assert_eq!(items(&lab.get(C2, "/nodes/*/load").await), []);
    assert_eq!(
        status(&lab.get(C2, "/nodes/n1/load").await, 404, "NotFound"),
        "the server could not find the metric load for nodes n1: the sample that rules[1] has for \
         node n1 is older than 5 minutes"
    );
}

#[tokio::test]
async fn case_33_a_service_is_one_item_of_its_kind() {
    let lab = Lab::start().await;
    let list = lab.get(C2, "/namespaces/default/services/web/hits").await.json();
    let service =
        json!({"kind": "Service", "namespace": "default", "name": "web", "apiVersion": "v1"});
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["describedObject"], service);
}

#[tokio::test]
async fn case_34_a_deployment_is_one_item_with_its_group() {
    let lab = Lab::start().await;
    let list = lab.get(C2, "/namespaces/default/deployments.apps/web/hits").await.json();
    let deployment = json!({"kind": "Deployment", "namespace": "default", "name": "web",
        "apiVersion": "apps/v1"});
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["describedObject"], deployment);
}

#[tokio::test]
async fn case_35_the_group_begins_at_the_first_dot() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, "/namespaces/default/deployments.apps.example.com/web/hits").await;
    let message = status(&answer, 404, "NotFound");
    assert!(message.ends_with("no resource deployments.apps.example.com in this cluster"));
}

#[tokio::test]
async fn case_36_a_namespace_is_one_item_of_its_kind() {
    let lab = Lab::start().await;
    let list = lab.get(C2, "/namespaces/default/metrics/orders").await.json();
    let namespace = json!({"kind": "Namespace", "name": "default", "apiVersion": "v1"});
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    assert_eq!(list["items"][0]["describedObject"], namespace);
    assert_eq!(list["items"][0]["value"], "30");
}

#[tokio::test]
async fn case_37_nodes_are_at_the_cluster_scope_without_namespace() {
    let lab = Lab::start().await;
    let node = |name| json!({"kind": "Node", "name": name, "apiVersion": "v1"});
    let one = lab.get(C2, "/nodes/n1/load").await;
    assert_eq!(items(&one), pairs(&[("n1", "500m")]));
    assert_eq!(one.json()["items"][0]["describedObject"], node("n1"));
    let all = lab.get(C2, "/nodes/%2A/load").await;
    assert_eq!(items(&all), pairs(&[("n1", "500m"), ("n2", "2")]));
    assert_eq!(all.json()["items"][1]["describedObject"], node("n2"));
}

#[tokio::test]
async fn case_38_the_metric_selector_filters_the_series_and_is_echoed() {
    let lab = Lab::start().await;
    let matchers = r#"code=~"200|201",verb="GET",namespace="default",pod=~"web-0|web-1""#;
    answer(&lab.prometheus, &rate(matchers), &[(json!({"pod": "web-1"}), "3")]);
    let selector = "&metricLabelSelector=code+in+%28200%2C201%29%2Cverb%3DGET";
    let filtered = lab.get(C2, &format!("{PODS}{selector}")).await;
    assert_eq!(items(&filtered), pairs(&[("web-1", "3")]));
    let echo = json!({
        "matchLabels": {"verb": "GET"},
        "matchExpressions": [{"key": "code", "operator": "In", "values": ["200", "201"]}],
    });
    assert_eq!(filtered.json()["items"][0]["metric"]["selector"], echo);
    let filtered = lab.get(C1, &format!("{PODS}{selector}")).await;
    assert_eq!(filtered.json()["items"][0]["selector"], echo);
}

#[tokio::test]
async fn case_39_metric_names_are_decoded_and_found() {
    let lab = Lab::start().await;
    for (path, name) in [("ns:rate.5m-total", "ns:rate.5m-total"), ("a%20b", "a b")] {
        let answer = lab.get(C2, &format!("/namespaces/default/pods/web-0/{path}")).await;
        assert_eq!(items(&answer), pairs(&[("web-0", "1500m")]));
        assert_eq!(answer.json()["items"][0]["metric"]["name"], name);
    }
}

#[tokio::test]
async fn case_40_a_custom_metric_in_another_case_is_not_found() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, "/namespaces/default/pods/web-0/HTTP_requests").await;
    status(&answer, 404, "NotFound");
}

#[tokio::test]
async fn case_41_too_few_segments_are_400_and_too_many_404() {
    let lab = Lab::start().await;
    let few = [
        "/namespaces",
        "/namespaces/default",
        "/namespaces/default/pods",
        "/namespaces/default/pods/web-0",
        "/nodes",
        "/nodes/n1",
    ];
    for path in few {
        assert_eq!(status(&lab.get(C2, path).await, 400, "BadRequest"), "invalid request path");
    }
    for path in ["/namespaces/default/pods/web-0/http_requests/x", "/nodes/n1/load/x", "/a/b/c/d"] {
        status(&lab.get(C2, path).await, 404, "NotFound");
    }
}

#[tokio::test]
async fn case_42_segments_that_are_no_names_reach_no_other_route() {
    let lab = Lab::start().await;
    let bad = ["%2e%2e", "..", "web%2F0", "%00", "%zz", "%", "%a", "%ff%fe", "%c3%28"];
    for segment in bad {
        let path = format!("/namespaces/default/pods/{segment}/http_requests");
        let message = status(&lab.get(C2, &path).await, 400, "BadRequest");
        assert!(message.contains(segment), "{segment}: {message}");
    }
    status(&lab.get(C2, "/..%2f..%2fversion").await, 400, "BadRequest");
    status(&lab.client.get(&format!("{C2}/../../../version")).await, 400, "BadRequest");

    // Bytes that no URL may have: whoever sends them gets an answer of 400 or none.
    for bytes in [&b"\xff\xfe"[..], b"\x01", b"\"<>`"] {
        let mut stream = lab.client.connect(&[b"http/1.1"]).await;
        let mut request = format!("GET {C2}/namespaces/default/pods/").into_bytes();
        request.extend_from_slice(bytes);
        request
            .extend_from_slice(b"/http_requests HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        let _without_close_notify = stream.read_to_end(&mut answer).await;
        let head = String::from_utf8_lossy(&answer);
        let expected = ["HTTP/1.1 400", "HTTP/1.1 404"].iter().any(|line| head.starts_with(line));
        assert!(expected, "{bytes:?}: {head}");
    }
    assert_eq!(items(&lab.get(C2, PODS).await).len(), 2);
}

#[tokio::test]
async fn case_43_of_a_parameter_given_twice_the_first_counts() {
    let lab = Lab::start().await;
    let twice = lab.get(C2, &format!("{PODS}&labelSelector=app%3Dabsent")).await;
    assert_eq!(items(&twice).len(), 2);
}

#[tokio::test]
async fn case_44_list_options_and_unknown_parameters_are_ignored() {
    let lab = Lab::start().await;
    let options = "&limit=500&resourceVersion=0&timeout=32s&continue=x&allowWatchBookmarks=1&x=y&=";
    assert_eq!(items(&lab.get(C2, &format!("{PODS}{options}")).await).len(), 2);
    assert_eq!(items(&lab.get(C2, &format!("{PODS}&watch=false")).await).len(), 2);
}

#[tokio::test]
async fn case_45_a_watch_is_not_allowed() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, &format!("{PODS}&watch=true")).await;
    let message = status(&answer, 405, "MethodNotAllowed");
    assert!(message.starts_with("watch is not supported"), "{message}");
}
