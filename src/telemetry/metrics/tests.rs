use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn busy() -> Metrics {
    let metrics = Metrics::new();
    let error = std::io::Error::other("broken \"pipe\"\n");
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let took = Duration::from_micros(150);
    metrics.request(Verb::List, ApiGroup::CustomMetrics, StatusCode::OK, took);
    metrics.request(Verb::List, ApiGroup::CustomMetrics, StatusCode::OK, took);
    metrics.request(Verb::Get, ApiGroup::NonResource, StatusCode::IM_A_TEAPOT, Duration::MAX);
    metrics.request_panicked(&Method::GET, "/apis", "index out of bounds");
    metrics.admission_found("memoryLimit", "deny", "Deployment");
    metrics.handshake_failed(([127, 0, 0, 1], 1).into(), &error);
    metrics.certificate_loaded(now);
    metrics.certificate_reloaded(now);
    metrics.certificate_rejected(&error);
    metrics.config_reloaded();
    metrics.config_rejected();
    let backend = metrics.backend("a \"quoted\"\nname\\");
    backend.asked(Operation::Query, QueryOutcome::Success, took);
    backend.warned(2);
    backend.failed_over();
    let replica = metrics.replica("b", "127.0.0.1:9090");
    replica.breaker_open(true);
    replica.stale(false);
    metrics.discovery_succeeded("rules[0]", 3, 3, now);
    metrics.discovery_succeeded("rules[1]", 0, 0, now);
    metrics.discovery_failed("rules[2]");
    metrics.discovery_expired("rules[2]", 4, 0);
    metrics.evaluated(EvaluationOutcome::Partial);
    metrics.authenticated(Authentication::Token);
    metrics.authorized(Authorization::Denied);
    metrics.reviewed(Review::Token, true);
    metrics.authorities_reloaded(true);
    metrics.authorities_rejected(&error);
    metrics.observe_snapshot(|| SnapshotState { age: Some(took_seconds(7)), demands: 2 });
    let watch = |resource: &str, objects, failures| WatchState {
        resource: resource.to_owned(),
        age: took_seconds(failures),
        objects,
        failures,
    };
    metrics.observe_watches(move || vec![watch("nodes", None, 2), watch("pods", Some(5), 0)]);
    metrics
}

fn took_seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[track_caller]
fn sample(text: &str, series: &str) -> String {
    let start = format!("{series} ");
    let found: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(&start)).collect();
    assert_eq!(found.len(), 1, "{series} in {text}");
    found[0].to_owned()
}

#[test]
fn the_exposition_is_strict_openmetrics() {
    for metrics in [Metrics::new(), busy()] {
        let text = metrics.encode();
        check_openmetrics(&text);
    }
}

#[test]
fn every_family_has_its_name_and_type() {
    let text = busy().encode();
    let types: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let expected = BTreeSet::from([
        "plimsoll_admission_findings counter",
        "plimsoll_admission_review_duration_seconds histogram",
        "plimsoll_admission_reviews counter",
        "plimsoll_authentications counter",
        "plimsoll_authorities_last_reload_successful gauge",
        "plimsoll_authorities_reloads counter",
        "plimsoll_authorizations counter",
        "plimsoll_backend_breaker_open gauge",
        "plimsoll_backend_failovers counter",
        "plimsoll_backend_queries counter",
        "plimsoll_backend_query_duration_seconds histogram",
        "plimsoll_backend_replica_stale gauge",
        "plimsoll_backend_warnings counter",
        "plimsoll_build info",
        "plimsoll_certificate_expiry_timestamp_seconds gauge",
        "plimsoll_certificate_reloads counter",
        "plimsoll_config_last_reload_successful gauge",
        "plimsoll_config_reloads counter",
        "plimsoll_connections gauge",
        "plimsoll_demands gauge",
        "plimsoll_discovery_last_success_timestamp_seconds gauge",
        "plimsoll_evaluations counter",
        "plimsoll_slow_metrics gauge",
        "plimsoll_discovery_metrics gauge",
        "plimsoll_discovery_outcomes counter",
        "plimsoll_panics counter",
        "plimsoll_request_duration_seconds histogram",
        "plimsoll_requests counter",
        "plimsoll_reviews counter",
        "plimsoll_snapshot_age_seconds gauge",
        "plimsoll_tls_handshake_failures counter",
        "plimsoll_watch_age_seconds gauge",
        "plimsoll_watch_failures counter",
        "plimsoll_watch_objects gauge",
        "process_cpu_seconds counter",
        "process_open_fds gauge",
        "process_resident_memory_bytes gauge",
        "process_start_time_seconds gauge",
    ]);
    assert_eq!(types, expected);
}

#[test]
fn events_are_counted_under_their_labels() {
    let text = busy().encode();
    let list = "verb=\"list\",group=\"custom.metrics.k8s.io\"";
    let expected = [
        (format!("plimsoll_requests_total{{{list},code=\"200\"}}"), "2"),
        ("plimsoll_requests_total{verb=\"get\",group=\"\",code=\"other\"}".to_owned(), "1"),
        (format!("plimsoll_request_duration_seconds_bucket{{le=\"0.0001\",{list}}}"), "0"),
        (format!("plimsoll_request_duration_seconds_bucket{{le=\"0.00025\",{list}}}"), "2"),
        (format!("plimsoll_request_duration_seconds_bucket{{le=\"+Inf\",{list}}}"), "2"),
        (format!("plimsoll_request_duration_seconds_count{{{list}}}"), "2"),
        (format!("plimsoll_request_duration_seconds_sum{{{list}}}"), "0.0003"),
        ("plimsoll_panics_total".to_owned(), "1"),
        ("plimsoll_tls_handshake_failures_total".to_owned(), "1"),
        ("plimsoll_certificate_expiry_timestamp_seconds".to_owned(), "1767323045"),
        ("plimsoll_certificate_reloads_total{outcome=\"failure\"}".to_owned(), "1"),
        ("plimsoll_config_last_reload_successful".to_owned(), "0"),
        ("plimsoll_discovery_metrics{rule=\"rules[0]\"}".to_owned(), "3"),
        ("plimsoll_discovery_outcomes_total{rule=\"rules[1]\",outcome=\"empty\"}".to_owned(), "1"),
        ("plimsoll_snapshot_age_seconds".to_owned(), "7.0"),
        (r#"plimsoll_watch_age_seconds{resource="nodes"}"#.to_owned(), "2.0"),
        (r#"plimsoll_watch_failures_total{resource="nodes"}"#.to_owned(), "2"),
        (r#"plimsoll_watch_objects{resource="pods"}"#.to_owned(), "5"),
        ("plimsoll_demands".to_owned(), "2"),
    ];
    for (series, value) in expected {
        assert_eq!(sample(&text, &series), value, "{series}");
    }
}

#[test]
fn a_forgotten_rule_leaves_no_series() {
    let metrics = busy();
    for rule in ["rules[0]", "rules[1]", "rules[2]"] {
        metrics.discovery_forgotten(rule);
    }
    assert!(!metrics.encode().contains("rules["));
}

#[test]
fn a_connection_counts_while_its_guard_lives() {
    let metrics = Metrics::new();
    let open = metrics.connection();
    let during = sample(&metrics.encode(), "plimsoll_connections");
    drop(open);
    assert_eq!((during.as_str(), &*sample(&metrics.encode(), "plimsoll_connections")), ("1", "0"));
}

/// The rules of the `OpenMetrics` text format that a scraper depends on.
#[track_caller]
fn check_openmetrics(text: &str) {
    let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
    let mut helps = BTreeSet::new();
    let mut types = BTreeMap::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in body.lines() {
        assert!(!line.is_empty() && line != "# EOF", "blank line or early end");
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect(line);
            assert!(help.ends_with('.') && !help.ends_with(".."), "{line}");
            assert!(helps.insert(name.to_owned()), "second HELP: {line}");
            name.clone_into(&mut current);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect(line);
            assert_eq!(name, current, "TYPE follows its HELP");
            assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "second TYPE");
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            value.parse::<f64>().expect(line);
            assert!(seen.insert(series), "the same series twice: {line}");
            let name = series.split('{').next().unwrap();
            let suffixes: &[&str] = match types[&current].as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "histogram" => &["_bucket", "_count", "_sum"],
                "info" => &["_info"],
                other => panic!("unexpected type {other}"),
            };
            let suffix = name.strip_prefix(current.as_str()).expect("samples follow their family");
            assert!(suffixes.contains(&suffix), "{line}");
        }
    }
    assert!(types.keys().eq(helps.iter()), "each family has HELP and TYPE");
}
