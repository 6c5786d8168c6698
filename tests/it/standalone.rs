//! The binary without a Kubernetes API, against a real Prometheus where there is one.

use std::ffi::OsString;
use std::time::Duration;

use plimsoll::cli::{self, Program};
use plimsoll::{app, tasks};

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

/// Nothing from outside can make a task panic, so this runs what `main` runs, whose errors are the
/// exit code 1 (below). The crash is the process's; nothing else here runs the whole program in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_panics_ends_the_program_with_an_error_that_names_it() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.yaml");
    std::fs::write(&config, "rules: []").unwrap();
    let flag = |name: &str, path: &std::path::Path| format!("--{name}={}", path.display());
    let flags = [flag("config", &config), flag("cert-dir", directory.path())];
    let flags = flags.iter().map(String::as_str).chain([
        "--standalone",
        "--secure-port=0",
        "--admin-port=0",
        "--admission-port=0",
        "--prometheus-url=http://127.0.0.1:9",
    ]);
    let line = ["plimsoll", "serve"].into_iter().chain(flags).map(OsString::from);
    let Program::Serve(invocation) = cli::parse(line).unwrap() else { panic!("no serve") };
    let running = tokio::spawn(app::run(*invocation));
    tasks::spawn("doomed", async { panic!("as the test wants it") });
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await;
    let error = ended.expect("it ends").unwrap().unwrap_err();
    assert_eq!(error.to_string(), "the task \"doomed\" panicked");
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
