//! Cases 46 to 52 and 122: external metrics.

use jiff::Timestamp;
use serde_json::json;

use super::{E, Lab, Setup, answer, items, pairs, status};
use crate::support::plimsoll::{Plimsoll, Start};

const QUEUE: &str = "/namespaces/default/queue_depth";

#[tokio::test]
async fn case_46_an_external_metric_is_an_item_for_each_series() {
    let lab = Lab::start().await;
    let mut list = lab.get(E, QUEUE).await.json();
    for item in list["items"].as_array_mut().unwrap() {
        item["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
        item["timestamp"] = json!("NOW");
    }
    let item = |a: &str, value: &str| {
        json!({"metricName": "queue_depth", "metricLabels": {"a": a}, "timestamp": "NOW",
            "value": value})
    };
    let expected = json!({
        "kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1",
        "metadata": {}, "items": [item("1", "40"), item("2", "2")],
    });
    assert_eq!(list, expected);
    let ranged = lab.get(E, "/namespaces/default/queue_length").await.json();
    assert_eq!(ranged["items"][0]["window"], 120);
}

#[tokio::test]
async fn case_47_an_external_metric_is_found_in_any_case() {
    let lab = Lab::start().await;
    let lower = lab.get(E, QUEUE).await;
    let upper = lab.get(E, "/namespaces/default/QUEUE_DEPTH").await;
    assert_eq!(items(&upper), items(&lower));
}

#[tokio::test]
async fn case_48_a_name_configured_in_mixed_case_is_found_in_lower_case() {
    let lab = Lab::start().await;
    let answer = lab.get(E, "/namespaces/default/queue_length").await;
    assert_eq!(items(&answer), pairs(&[("a=1", "40"), ("a=2", "2")]));
}

#[tokio::test]
async fn case_49_a_label_selector_chooses_series() {
    let lab = Lab::start().await;
    let answer = lab.get(E, &format!("{QUEUE}?labelSelector=a%3D1")).await;
    assert_eq!(items(&answer), pairs(&[("a=1", "40")]));
}

#[tokio::test]
async fn case_50_a_label_selector_without_a_match_is_an_empty_list() {
    let lab = Lab::start().await;
    let answer = lab.get(E, &format!("{QUEUE}?labelSelector=a%3D3")).await;
    assert_eq!((answer.status, &answer.json()["items"]), (200, &json!([])));
}

#[tokio::test]
async fn case_51_a_negative_value_is_left_out_unless_the_rule_wants_it() {
    let samples = [(json!({"a": "1"}), "-3"), (json!({"a": "2"}), "2")];
    let lab = Lab::start().await;
    answer(&lab.prometheus, "debts{}", &samples);
    let answered = lab.get(E, "/namespaces/default/debts").await;
    assert_eq!(items(&answered), pairs(&[("a=2", "2")]));

    let config = super::CONFIG
        .replace("namespaced: false}", "namespaced: false}\n  compat: {negativeExternal: true}");
    let lab = Lab::with(Setup { config: &config, ..Setup::default() }).await;
    answer(&lab.prometheus, "debts{}", &samples);
    let answered = lab.get(E, "/namespaces/default/debts").await;
    assert_eq!(items(&answered), pairs(&[("a=1", "-3"), ("a=2", "2")]));
}

#[test]
fn case_52_the_names_status_and_finalize_are_refused_at_configuration_time() {
    for name in ["status", "finalize", "Status"] {
        let config = format!(
            "externalRules:\n- seriesQuery: x\n  name: {{as: {name}}}\n  metricsQuery: sum(x)\n"
        );
        let start = Start { config: &config, prometheus: "http://127.0.0.1:1", ..Start::default() };
        let (exit, log) = Plimsoll::run_to_the_end(&start);
        assert!(!exit.success());
        assert!(log.contains("externalRules[0].name.as"), "{log}");
    }
}

#[tokio::test]
async fn case_52_the_names_that_series_give_themselves_are_not_served() {
    let lab = Lab::start().await;
    for name in ["status", "finalize"] {
        status(&lab.get(E, &format!("/namespaces/default/{name}")).await, 404, "NotFound");
    }
}

/// What kubectl 1.36 accepts where it prints a table.
const KUBECTL: &str = "application/json;as=Table;v=v1;g=meta.k8s.io,\
    application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";

#[tokio::test]
async fn case_122_kubectl_get_of_an_external_metric_is_a_table() {
    let lab = Lab::start().await;
    let target = format!("{E}{QUEUE}?limit=500");
    let table = lab.get_with(&target, ("accept", KUBECTL)).await.json();
    assert_eq!((&table["kind"], &table["apiVersion"]), (&json!("Table"), &json!("meta.k8s.io/v1")));
    let columns = table["columnDefinitions"].as_array().unwrap();
    let rows = table["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        assert_eq!(row["cells"].as_array().unwrap().len(), columns.len());
    }
}
