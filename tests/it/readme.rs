//! The README, taken at its word: its commands are run against hack/demo and must print what it
//! shows, its rules and HPAs must work there, and every name in it must exist. Of the commands that
//! install it in a cluster, it is checked that they build what they would send there.
//!
//! `hack/demo` and `hack/test` themselves are run by `.ci/run`.

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscaler, MetricSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use plimsoll::config;
use plimsoll::model::policy::exemption::Exemption;
use plimsoll::model::policy::{ENFORCE_LABEL, Level};
use regex::Regex;
use serde_json::Value;

use crate::support::demo::{Demo, Typed};
use crate::support::plain_api::PlainApi;

const README: &str = include_str!("../../README.md");

/// How long a metric may take to appear after the start.
const VALUE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_what_the_readme_shows() {
    let Some(demo) = Demo::start() else { return };
    let directory = tempfile::tempdir().unwrap();
    fs::copy("hack/demo.yaml", directory.path().join("config.yaml")).unwrap();
    let api = PlainApi::start(&demo.objects()).await;
    let mut started: Option<Typed> = None;

    for (command, shown) in commands() {
        let output = match command.split_whitespace().next().unwrap() {
            "hack/demo" | "hack/test" => {
                assert!(is_run_by_ci(&command), "{command}");
                continue;
            }
            "target/debug/plimsoll" if command.contains(" check ") => {
                let workload =
                    blocks("yaml").into_iter().find(|text| text.contains("kind: Deployment\n"));
                fs::write(directory.path().join("web.yaml"), workload.unwrap()).unwrap();
                let plimsoll = env!("CARGO_BIN_EXE_plimsoll");
                shell(directory.path(), &command.replace("target/debug/plimsoll", plimsoll), "")
            }
            "target/debug/plimsoll" => {
                let arguments = command.replace("http://localhost:9090", &demo.prometheus);
                let arguments = arguments.split_whitespace().skip(1);
                started = Some(Typed::start(directory.path(), arguments));
                continue;
            }
            "curl" => {
                let address = started.as_ref().expect("it has been started before").address;
                let address = format!("https://{address}");
                shell(directory.path(), &command.replace("https://localhost:6443", &address), "")
            }
            "docker" | "helm" => {
                installs(&command);
                continue;
            }
            "kubectl" if command.starts_with("kubectl apply -k ") => {
                installs(&command);
                continue;
            }
            "kubectl" if command == "kubectl get apiservices" => {
                let test = fs::read_to_string("tests/it/manifests/cluster.rs").unwrap();
                assert!(test.contains(r#"["get", "apiservices"]"#), "{command}");
                continue;
            }
            "kubectl" if command.starts_with("kubectl label namespace ") => {
                let (label, level) =
                    command.split(' ').next_back().unwrap().split_once('=').unwrap();
                assert_eq!((label, Level::parse(level)), (ENFORCE_LABEL, Some(Level::Baseline)));
                continue;
            }
            "kubectl" if command.starts_with("kubectl delete validatingwebhook") => {
                let component = "manifests/components/admission/validating.yaml";
                let component = fs::read_to_string(component).unwrap();
                let name = command.split(' ').next_back().unwrap();
                assert!(component.contains(&format!("\n  name: {name}\n")), "{command}");
                continue;
            }
            "kubectl" if command.starts_with("kubectl get --raw ") => {
                shell(directory.path(), &command, &demo.kubeconfig)
            }
            "kubectl" => {
                fs::write(directory.path().join("kubeconfig"), api.kubeconfig()).unwrap();
                shell(directory.path(), &command, "kubeconfig")
            }
            other => panic!("the README has a command that no test runs: {other}"),
        };
        if shown.is_empty() {
            assert!(output.status.success(), "{command}: {output:?}");
        } else {
            let printed = [output.stdout, output.stderr].concat();
            assert_eq!(String::from_utf8(printed).unwrap(), shown, "{command}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_picture_is_what_the_demo_prints_but_for_the_numbers() {
    let Some(demo) = Demo::start() else { return };
    let picture = blocks("text").remove(0);
    let columns = |table: &str| -> Vec<Vec<String>> {
        let rows = table.lines().take_while(|line| !line.is_empty());
        // Type, namespace, object and metric: the object of pods has two words.
        rows.map(|row| row.chars().take(65).collect::<String>())
            .map(|row| row.split_whitespace().map(str::to_owned).collect())
            .collect()
    };

    assert_eq!(columns(&picture), columns(&demo.table));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_hpa_gets_a_value_for_each_of_its_metrics() {
    let Some(demo) = Demo::start() else { return };
    let hpas = blocks("yaml").into_iter().filter(|text| text.contains("kind: Horizontal"));
    // The one on a signal has a test beside the signals.
    let hpas = hpas.filter(|text| !text.contains("checkout_pressure"));
    let hpas: Vec<HorizontalPodAutoscaler> =
        hpas.map(|text| serde_saphyr::from_str(&text).unwrap()).collect();
    assert!(!hpas.is_empty());

    for hpa in hpas {
        for metric in hpa.spec.metrics.as_ref().unwrap() {
            let path = path(&hpa, metric);
            let command = format!("kubectl get --raw '{path}'");
            let start = Instant::now();
            let items = loop {
                let output = shell(demo.directory(), &command, &demo.kubeconfig);
                let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
                let items = answer["items"].as_array().map_or(0, Vec::len);
                if items > 0 || start.elapsed() > VALUE {
                    break items;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            };
            assert!(items > 0, "no value within {VALUE:?} for {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_of_plimsoll_itself_is_exported() {
    let Some(demo) = Demo::start() else { return };
    let output = shell(demo.directory(), &format!("curl -sSf {}", demo.metrics), "");
    let exported = String::from_utf8(output.stdout).unwrap();
    let names = Regex::new("`(plimsoll_[a-z_]+)`").unwrap();
    let named: HashSet<&str> =
        names.captures_iter(README).map(|found| found.get(1).unwrap().as_str()).collect();

    let missing: Vec<_> = named.iter().filter(|name| !exported.contains(*name)).collect();
    assert!(!named.is_empty());
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn every_rule_loads_without_a_warning() {
    let is_config = |text: &String| text.lines().any(|line| line.ends_with("ules:"));
    let rules: Vec<_> = blocks("yaml").into_iter().filter(is_config).collect();
    assert!(!rules.is_empty());

    for text in rules {
        let config = config::parse("README.md", &text).unwrap();
        assert_eq!(config.warnings, Vec::<String>::new());
        assert!(!config.rules.is_empty() || !config.external_rules.is_empty());
    }
}

#[test]
fn every_exemption_can_be_used() {
    let exemptions: Vec<_> =
        blocks("yaml").into_iter().filter(|text| text.contains("kind: Exemption\n")).collect();
    assert!(!exemptions.is_empty());

    for text in exemptions {
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let spec = serde_json::from_value(object["spec"].clone()).unwrap();
        Exemption::compile("README".to_owned(), spec).unwrap();
    }
}

#[test]
fn every_compat_key_is_one() {
    let keys = Regex::new(r"\| `([a-zA-Z]+: (?:true|false))` \|").unwrap();
    let keys: Vec<_> =
        keys.captures_iter(README).map(|found| found.get(1).unwrap().as_str()).collect();
    assert!(!keys.is_empty());

    let rule = blocks("yaml").into_iter().find(|text| text.contains("rules:")).unwrap();
    for key in keys {
        let with_key = rule.replacen("- series", &format!("- compat: {{{key}}}\n  series"), 1);
        config::parse("README.md", &with_key).unwrap_or_else(|error| panic!("{key}: {error}"));
    }
}

#[test]
fn every_flag_is_in_the_help() {
    let help = |command: &[&str]| {
        let help =
            Command::new(env!("CARGO_BIN_EXE_plimsoll")).args(command).arg("--help").output();
        String::from_utf8(help.unwrap().stdout).unwrap()
    };
    let help = help(&[]) + &help(&["check"]);
    let flags = Regex::new("`(--?[a-z-]+)").unwrap();
    let flags: HashSet<&str> =
        flags.captures_iter(README).map(|found| found.get(1).unwrap().as_str()).collect();

    let missing: Vec<_> = flags.iter().filter(|flag| !help.contains(**flag)).collect();
    assert!(!flags.is_empty());
    assert_eq!(missing, Vec::<&&str>::new());
}

#[test]
fn every_link_into_the_repository_leads_somewhere() {
    let links = Regex::new(r"\]\(([^)#:]+)\)").unwrap();
    let links = links.captures_iter(README).map(|found| found.get(1).unwrap().as_str());

    let broken: Vec<_> = links.filter(|link| !Path::new(link).exists()).collect();
    assert_eq!(broken, Vec::<&str>::new());
}

/// The request of the HPA controller for a metric, from its pkg/controller/podautoscaler/metrics.
/// `Pods` take the target's selector, which for the demo's deployments is their name.
fn path(hpa: &HorizontalPodAutoscaler, metric: &MetricSpec) -> String {
    let namespace = hpa.metadata.namespace.as_ref().unwrap();
    let custom = format!("/apis/custom.metrics.k8s.io/v1beta2/namespaces/{namespace}");
    match metric.type_.as_str() {
        "Pods" => {
            let app = &hpa.spec.scale_target_ref.name;
            let name = &metric.pods.as_ref().unwrap().metric.name;
            format!("{custom}/pods/*/{name}?labelSelector=app%3D{app}")
        }
        "Object" => {
            let object = metric.object.as_ref().unwrap();
            let described = &object.described_object;
            let resource = format!("{}s", described.kind.to_lowercase());
            format!("{custom}/{resource}/{}/{}", described.name, object.metric.name)
        }
        "External" => {
            let metric = &metric.external.as_ref().unwrap().metric;
            let selector = labels(metric.selector.as_ref());
            format!(
                "/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/{}?labelSelector={selector}",
                metric.name
            )
        }
        other => panic!("no request is known for a metric of type {other}"),
    }
}

fn labels(selector: Option<&LabelSelector>) -> String {
    let labels = selector.and_then(|selector| selector.match_labels.clone()).unwrap_or_default();
    let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}%3D{value}")).collect();
    labels.join("%2C")
}

fn is_run_by_ci(command: &str) -> bool {
    let read = |path| fs::read_to_string(path).unwrap();
    match command {
        "hack/test" => read(".ci/run").contains("hack/test"),
        "hack/demo" => read("hack/test").contains("hack/demo --once"),
        _ => false,
    }
}

/// What can be checked of a command that installs without a cluster: what it would send there is
/// built, from the repository as it is.
fn installs(command: &str) {
    let program = command.split_whitespace().next().unwrap();
    let dry = match program {
        // The image that the manifests run; its file is checked with them.
        "docker" => {
            let version = env!("CARGO_PKG_VERSION");
            let expected = format!("docker build -f hack/Dockerfile -t plimsoll:{version} .");
            assert_eq!(command, expected);
            return;
        }
        "helm" => command
            .replace("helm install", "helm template --kube-version 1.36.2")
            .replace(" prometheus-adapter-", " manifests/chart/ci/prometheus-adapter-"),
        _ => command.replace("kubectl apply -k", "kubectl kustomize"),
    };
    assert_ne!(dry, command);
    if Command::new(program).arg("version").output().is_err() {
        println!("skipped: {command:?} needs {program}");
        return;
    }
    let output = shell(Path::new("."), &dry, "");
    let manifests = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success() && manifests.contains("kind: APIService"),
        "{dry}: {manifests}"
    );
}

fn shell(directory: &Path, command: &str, kubeconfig: &str) -> Output {
    Command::new("sh")
        .args(["-c", command])
        .current_dir(directory)
        .env("KUBECONFIG", kubeconfig)
        // kubectl keeps what it has discovered under HOME, by port, and ports come again.
        .env("HOME", directory)
        .output()
        .unwrap()
}

/// The fenced blocks in a language.
fn blocks(language: &str) -> Vec<String> {
    let fence = format!("```{language}");
    let mut lines = README.lines();
    let mut blocks = Vec::new();
    while lines.by_ref().any(|line| line == fence) {
        let block: Vec<_> = lines.by_ref().take_while(|line| *line != "```").collect();
        blocks.push(block.join("\n"));
    }
    blocks
}

/// The commands with the output that is shown below them.
fn commands() -> Vec<(String, String)> {
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in blocks("console").iter().flat_map(|block| block.lines()) {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => output.extend([line, "\n"]),
            (None, None) => panic!("output before a command: {line}"),
        }
    }
    commands
}
