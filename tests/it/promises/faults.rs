//! What Prometheus does wrong: each answer names its cause, and the other metrics go on.

use futures_util::future::join_all;
use serde_json::json;

use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::{Answer, FakePrometheus};

const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/default";

/// Name, answer, status and what its message says.
fn faults() -> Vec<(&'static str, Answer, u16, &'static str)> {
    let vector = json!({"status": "success", "data": {"resultType": "vector",
        "result": [{"metric": {}, "value": "x"}]}});
    vec![
        ("hang_up", Answer::HangUp, 503, "Prometheus cannot be reached"),
        ("stall", Answer::Stall, 504, "takes longer than 2s"),
        ("stall_half", Answer::StallAfter("{".into()), 504, "takes longer than 2s"),
        ("break_half", Answer::BreakAfter("{\"a".into()), 503, "Prometheus cannot be reached"),
        ("truncated", Answer::text(200, "{\"status\":\"success\",\"data\":{"), 500, "EOF"),
        ("wrong_type", Answer::json(200, &vector), 500, "cannot be used"),
        ("not_json", Answer::text(200, "<html>"), 500, "<html>"),
        ("broken", Answer::text(500, "out of memory"), 500, "500 Internal Server Error: out of"),
        ("error_in_200", Answer::error(200, "internal", "inside"), 500, "200 internal: inside"),
        ("refused", Answer::error(422, "execution", "too many"), 500, "422 execution: too many"),
        ("redirect", Answer::redirect("http://127.0.0.1:1/"), 500, "302 Found"),
        ("large", Answer::Blanks(100 << 20), 500, "it is larger than 33554432 bytes"),
    ]
}

#[tokio::test]
async fn a_fault_of_prometheus_is_named_and_harms_its_own_metric_alone() {
    let prometheus = FakePrometheus::start().await;
    let mut names: Vec<_> = faults().iter().map(|(name, ..)| json!({"__name__": name})).collect();
    names.push(json!({"__name__": "good"}));
    prometheus.answer("all", Answer::data(&json!(names)));
    for (name, fault, ..) in faults() {
        prometheus.answer(&format!("sum({name})"), fault);
    }
    prometheus.answer("sum(good)", super::scalar("1"));
    let config = "externalRules: [{seriesQuery: all, resources: {namespaced: false}, \
                  metricsQuery: sum(<<.Series>>)}]";
    let url = prometheus.url().to_string();
    let plimsoll = Plimsoll::start(Start { config, prometheus: &url, ..Start::default() }).await;
    let client = plimsoll.client();
    let asked = faults().into_iter().map(async |(name, _, status, cause)| {
        let answer = client.get(&format!("{EXTERNAL}/{name}")).await;
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        let message = answer.message();
        assert!(message.contains(cause), "{name}: {message}");
        // While the others stall.
        assert_eq!(client.get(&format!("{EXTERNAL}/good")).await.status, 200);
    });
    join_all(asked).await;
}

#[tokio::test]
async fn a_fault_of_a_listing_is_named_and_harms_its_own_rule_alone() {
    let prometheus = super::prometheus().await;
    for (name, fault, ..) in faults() {
        prometheus.answer(name, fault);
    }
    let rule = |query: &str| {
        format!(
            "- {{seriesQuery: {query}, resources: {{namespaced: false}}, metricsQuery: \
             sum(<<.Series>>)}}\n"
        )
    };
    // A listing has a minute; what stalls takes one of four places so long.
    let quick = faults().into_iter().filter(|(name, ..)| !name.starts_with("stall"));
    let names: Vec<_> = quick.map(|(name, ..)| name).collect();
    let rules: String = names.iter().copied().chain(["depth"]).map(rule).collect();
    let config = format!("externalRules:\n{rules}");
    let url = prometheus.url().to_string();
    let start = Start { config: &config, prometheus: &url, ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();
    assert_eq!(client.get(super::DEPTH).await.status, 200);
    let unknown = client.get(&format!("{EXTERNAL}/unknown")).await;
    assert_eq!(unknown.status, 503);
    for index in 0..names.len() {
        let rule = format!("externalRules[{index}]: ");
        assert!(unknown.message().contains(&rule), "{rule}: {}", unknown.message());
    }
}
