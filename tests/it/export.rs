//! `plimsoll rules export` against a real Prometheus: what its rules record answers as the rules
//! themselves did.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::support::client::Client;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::real_prometheus::RealPrometheus;

const CONFIG: &str = r#"
rules:
- seriesQuery: '{__name__=~"^http_.*"}'
  name: {matches: "^http_(.*)$", as: "${1}_now"}
  resources: {template: <<.Resource>>}
  metricsQuery: sum(max_over_time(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)
- seriesQuery: queue_length
  resources: {template: <<.Resource>>}
  metricsQuery: topk(1, <<.Series>>{<<.LabelMatchers>>})
"#;

/// Gauges that have not changed for five minutes.
fn data() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 5;
    let mut text = String::new();
    for (metric, factor) in [("http_busy", 2), ("http_waiting", 3), ("queue_length", 5)] {
        writeln!(text, "# TYPE {metric} gauge").unwrap();
        for (namespace, pod) in [("shop", 1), ("shop", 2), ("bank", 1)] {
            let value = factor * (pod + namespace.len());
            for container in ["a", "b"] {
                for step in 0..=20 {
                    let at = now - 300 + step * 15;
                    writeln!(
                        text,
                        "{metric}{{namespace=\"{namespace}\",pod=\"p{pod}\",c=\"{container}\"}} \
                         {value} {at}"
                    )
                    .unwrap();
                }
            }
        }
    }
    text + "# EOF\n"
}

/// What the API says of each metric, without timestamps.
async fn answers(client: &Client) -> Vec<String> {
    let mut answers = Vec::new();
    let base = "/apis/custom.metrics.k8s.io/v1beta1/namespaces";
    for path in [
        "shop/pods/*/busy_now",
        "shop/pods/p2/waiting_now",
        "bank/pods/*/waiting_now",
        "shop/metrics/busy_now",
        "shop/pods/p1/queue_length",
    ] {
        let answer = client.get(&format!("{base}/{path}")).await;
        let json = answer.json();
        let mut items: Vec<_> = json["items"].as_array().into_iter().flatten().collect();
        items.sort_by_key(|item| item["describedObject"]["name"].to_string());
        let items = items.iter().map(|it| format!("{}={}", it["describedObject"], it["value"]));
        answers.push(format!("{path} {} {}", answer.status, items.collect::<String>()));
    }
    answers
}

#[tokio::test]
async fn recorded_series_answer_as_the_rules_did() {
    let data = data();
    let Some(original) = RealPrometheus::start(&data) else { return };
    let url = original.url().to_string();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("config.yaml"), CONFIG).unwrap();
    let exported = |format: &str| {
        Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["rules", "export", "--config", &path("config.yaml"), "--prometheus-url", &url])
            .args(["--config-out", &path("out.yaml"), "--format", format])
            .output()
            .unwrap()
    };
    let output = exported("file");
    let (rules, warnings) =
        (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{warnings}");
    assert_eq!(rules.matches("\"record\"").count(), 4, "{rules}");
    assert_eq!(warnings.matches("aggregates over the label").count(), 2, "{warnings}");
    fs::write(path("rules.yml"), &rules).unwrap();
    let checked = Command::new("promtool").args(["check", "rules", &path("rules.yml")]).output();
    let checked = checked.unwrap();
    assert!(checked.status.success(), "{rules}\n{}", String::from_utf8_lossy(&checked.stderr));

    // The operator's object holds the same groups.
    let object = String::from_utf8(exported("prometheusrule").stdout).unwrap();
    let groups = object.split_once("spec:\n").unwrap().1;
    assert_eq!(
        groups.lines().map(|line| line.get(2..).unwrap()).collect::<Vec<_>>(),
        rules.lines().collect::<Vec<_>>()
    );

    let start = |config, prometheus| Start { config, prometheus, ..Start::default() };
    let before = Plimsoll::start(start(CONFIG, &url)).await;
    let wanted = answers(&before.client()).await;
    assert!(wanted.iter().all(|answer| answer.contains(" 200 {")), "{wanted:?}");
    let Some(recording) = RealPrometheus::start_recording(&data, &rules) else { return };
    let recording_url = recording.url();
    wait_until("all is recorded", async || {
        let mut url = recording_url.join("api/v1/query").unwrap();
        url.query_pairs_mut().append_pair("query", "{__name__=~\"plimsoll:.*\"}");
        let answer = reqwest::get(url).await.unwrap().text().await.unwrap();
        answer.matches("__name__").count() == 10
    })
    .await;
    let config = fs::read_to_string(path("out.yaml")).unwrap();
    let after = Plimsoll::start(start(&config, recording_url.as_str())).await;
    assert_eq!(answers(&after.client()).await, wanted, "{config}");
}
