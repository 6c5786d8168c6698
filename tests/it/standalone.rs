//! The binary without a Kubernetes API, against a real Prometheus where there is one.

use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::prometheus::FakePrometheus;

#[tokio::test]
async fn it_is_ready_and_lists_its_groups_while_prometheus_knows_nothing() {
    let prometheus = FakePrometheus::start().await;
    let config = "rules: [{seriesQuery: up, resources: {template: <<.Resource>>}, \
                  metricsQuery: sum(<<.Series>>) by (<<.GroupBy>>)}]";
    let url = prometheus.url().to_string();
    let plimsoll = Plimsoll::start(Start { config, prometheus: &url, ..Start::default() }).await;
    let groups = plimsoll.client().get("/apis").await;
    assert_eq!(groups.status, 200);
    assert_eq!(groups.json()["groups"][1]["name"], "external.metrics.k8s.io");
}

#[test]
fn every_mistake_of_the_configuration_has_its_line_in_the_log() {
    let rule = "seriesQuery: up, resources: {template: <<.Resource>>}";
    let config =
        format!("rules:\n- {{{rule}, metricsQuery: <<.A>>}}\n- {{{rule}, metricsQuery: <<.B>>}}\n");
    let start = Start { config: &config, prometheus: "http://127.0.0.1:9", ..Start::default() };
    let Err((status, log)) = Plimsoll::try_start(&start) else { panic!("it starts") };
    let places: Vec<_> = log
        .iter()
        .filter(|line| line["level"] == "ERROR")
        .map(|line| line["error"].as_str().unwrap().split_once("/config.yaml").unwrap().1)
        .map(|error| error.split(": ").take(2).collect::<Vec<_>>().join(": "))
        .collect();
    assert_eq!(
        (status.code(), places),
        (
            Some(1),
            vec![":2: rules[0].metricsQuery".to_owned(), ":3: rules[1].metricsQuery".to_owned()]
        )
    );
}
