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
