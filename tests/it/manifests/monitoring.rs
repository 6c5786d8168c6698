//! Alerts and dashboard name metrics that the program has.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use regex::Regex;
use serde_json::{Value, json};

use plimsoll::telemetry::metrics::{
    ApiGroup, Metrics, Operation, QueryOutcome, SnapshotState, Verb,
};

use super::files::{document, run, text};

/// Metrics of others: of Prometheus itself and of the API server.
const FOREIGN: [&str; 2] = ["up", "aggregator_unavailable_apiservice"];

/// The names of all samples, after one of everything has happened.
fn samples() -> BTreeSet<String> {
    let metrics = Metrics::new();
    let error = io::Error::other("for the test");
    let now = Timestamp::UNIX_EPOCH;
    metrics.request(Verb::Get, ApiGroup::CustomMetrics, StatusCode::OK, Duration::ZERO);
    metrics.request_panicked(&Method::GET, "/", "for the test");
    metrics.handshake_failed(([127, 0, 0, 1], 0).into(), &error);
    metrics.certificate_loaded(now);
    metrics.certificate_rejected(&error);
    metrics.config_rejected();
    metrics.discovery_succeeded("rules[0]", 1, 1, now);
    metrics.discovery_failed("rules[0]");
    metrics.observe_snapshot(|| SnapshotState { age: Some(Duration::ZERO), demands: 1 });
    let backend = metrics.backend("default");
    backend.asked(Operation::Query, QueryOutcome::Success, Duration::ZERO);
    backend.warned(1);
    backend.failed_over();
    let replica = metrics.replica("default", "localhost:9090");
    replica.breaker_open(false);
    replica.stale(false);
    let encoded = metrics.encode();
    let lines = encoded.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned).collect()
}

/// The metrics of a query: names that a selector, a range, a comparison or the end follows.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let strings = Regex::new(r#""[^"]*""#).unwrap();
    let labels = Regex::new(r"\b(by|unless|and|on)\s*\([^)]*\)|\{[^}]*\}").unwrap();
    let names = Regex::new(r"[a-z_:][a-z0-9_:]*\b\s*(\(?)").unwrap();
    let query = strings.replace_all(query, "");
    let query = labels.replace_all(&query, " ");
    let query = Regex::new(r"\[[^\]]*\]|\$\w+|\b\d+\w*").unwrap().replace_all(&query, " ");
    let words = ["by", "unless", "and", "or", "on"];
    names
        .captures_iter(&query)
        .filter(|found| found[1].is_empty())
        .map(|found| found[0].trim().to_owned())
        .filter(|name| !words.contains(&name.as_str()))
        .collect()
}

#[track_caller]
fn all_exist<'a>(queries: impl Iterator<Item = &'a str>) {
    let samples = samples();
    for query in queries {
        let metrics = metrics_of(query);
        assert!(!metrics.is_empty(), "no metric in {query}");
        for metric in metrics {
            let exists = samples.contains(&metric) || FOREIGN.contains(&metric.as_str());
            assert!(exists, "there is no {metric}, which {query} asks for: {samples:?}");
        }
    }
}

fn alerts() -> Vec<Value> {
    let rule = document("manifests/components/monitoring/prometheusrule.yaml");
    rule["spec"]["groups"][0]["rules"].as_array().unwrap().clone()
}

fn panels() -> Vec<Value> {
    let dashboard: Value =
        serde_json::from_str(&text("manifests/components/monitoring/dashboard.json")).unwrap();
    dashboard["panels"].as_array().unwrap().clone()
}

#[test]
fn the_metrics_of_a_query_are_found_among_its_other_words() {
    let query = r#"sum by (le) (rate(a_total{code=~"5.."}[5m])) / b > 3 unless on (x) c - time()"#;
    assert_eq!(metrics_of(query), ["a_total", "b", "c"].map(str::to_owned).into());
}

#[test]
fn every_alert_asks_for_metrics_that_there_are() {
    let alerts = alerts();
    all_exist(alerts.iter().map(|alert| alert["expr"].as_str().unwrap()));
    for alert in &alerts {
        let severity = &alert["labels"]["severity"];
        assert!(["critical", "warning"].iter().any(|known| severity == known), "{alert}");
        for annotation in ["summary", "description"] {
            assert!(alert["annotations"][annotation].is_string(), "{alert}");
        }
    }
}

#[test]
fn every_panel_asks_for_metrics_that_there_are() {
    let panels = panels();
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    let queries: Vec<_> = targets.map(|target| target["expr"].as_str().unwrap()).collect();
    assert!(queries.len() > 15, "{queries:?}");
    all_exist(queries.into_iter());
}

#[test]
fn prometheus_takes_the_alerts_and_raises_those_of_a_bad_day() {
    let test = "checking the alerts";
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let rule = document("manifests/components/monitoring/prometheusrule.yaml");
    std::fs::write(path("rules.yaml"), rule["spec"].to_string()).unwrap();
    let series = |metric: &str, values: &str| json!({"series": metric, "values": values});
    let job = r#"job="plimsoll",instance="a""#;
    let rules = |outcome: &str| {
        format!(r#"plimsoll_discovery_outcomes_total{{{job},rule="rules[0]",outcome="{outcome}"}}"#)
    };
    let replica = |what: &str| format!(r#"plimsoll_backend_{what}{{{job},backend="b",peer="p"}}"#);
    let raised = |name: &str, labels: Value| {
        let alerts = alerts();
        let alert = alerts.iter().find(|alert| alert["alert"] == name).unwrap();
        let mut all = labels;
        all["severity"] = alert["labels"]["severity"].clone();
        json!({"eval_time": "110m", "alertname": name, "exp_alerts": [{"exp_labels": all}]})
    };
    let quiet = |name: &str| json!({"eval_time": "50m", "alertname": name});
    let instance = || json!({"instance": "a"});
    let tests = json!({"rule_files": ["bare.yaml"], "evaluation_interval": "1m", "tests": [{
        "interval": "1m",
        "input_series": [
            series(&format!("up{{{job}}}"), "1+0x60 0+0x60"),
            series(&rules("success"), "1+1x60 61+0x60"),
            series(&rules("failure"), "0+0x60 1+1x60"),
            series(&rules("expired"), "0+0x100 1+0x20"),
            series(&replica("breaker_open"), "0+0x60 1+0x60"),
            series(&replica("replica_stale"), "0+0x60 1+0x60"),
            series(&format!("plimsoll_snapshot_age_seconds{{{job}}}"), "5+0x60 5+60x60"),
            series(&format!("plimsoll_config_last_reload_successful{{{job}}}"), "1+0x60 0+0x60"),
            series(
                &format!("plimsoll_certificate_expiry_timestamp_seconds{{{job}}}"),
                "260000+0x120",
            ),
        ],
        "alert_rule_test": [
            quiet("PlimsollDown"),
            quiet("PlimsollDiscoveryFailing"),
            quiet("PlimsollDiscoveryExpired"),
            quiet("PlimsollConfigReloadFailed"),
            quiet("PlimsollSnapshotStale"),
            quiet("PlimsollBackendLeftAlone"),
            quiet("PlimsollBackendReplicaStale"),
            quiet("PlimsollCertificateExpiring"),
            raised("PlimsollDown", json!({})),
            raised("PlimsollDiscoveryFailing", json!({"rule": "rules[0]"})),
            raised("PlimsollDiscoveryExpired", json!({"rule": "rules[0]"})),
            raised("PlimsollConfigReloadFailed", instance()),
            raised("PlimsollSnapshotStale", instance()),
            raised("PlimsollBackendLeftAlone", json!({"backend": "b", "peer": "p"})),
            raised("PlimsollBackendReplicaStale", json!({"backend": "b", "peer": "p"})),
            raised("PlimsollCertificateExpiring", instance()),
        ],
    }]});
    // Annotations would have to be repeated word for word, so the rules are tested without.
    let mut bare = rule["spec"].clone();
    for alert in bare["groups"][0]["rules"].as_array_mut().unwrap() {
        alert.as_object_mut().unwrap().remove("annotations");
    }
    std::fs::write(path("bare.yaml"), bare.to_string()).unwrap();
    std::fs::write(path("tests.yaml"), tests.to_string()).unwrap();
    for arguments in [["check", "rules", "rules.yaml"], ["test", "rules", "tests.yaml"]] {
        let mut promtool = Command::new("promtool");
        promtool.args(arguments).current_dir(directory.path());
        if run(&mut promtool, test).is_none() {
            return;
        }
    }
}
