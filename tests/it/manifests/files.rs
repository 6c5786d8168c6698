//! Reading manifests, and that every file is one.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

/// A path in the repository.
pub(super) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub(super) fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The documents of a YAML text.
pub(super) fn documents(name: &str, text: &str) -> Vec<Value> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{name}: {error}"));
    documents.into_iter().filter(|document| !document.is_null()).collect()
}

/// The one document of a file.
pub(super) fn document(path: &str) -> Value {
    let mut documents = documents(path, &text(path));
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

/// The objects that a kustomization lists as its resources.
pub(super) fn resources(directory: &str) -> Vec<Value> {
    let kustomization = document(&format!("{directory}/kustomization.yaml"));
    strings(&kustomization["resources"])
        .iter()
        .flat_map(|file| {
            let path = format!("{directory}/{file}");
            documents(&path, &text(&path))
        })
        .collect()
}

pub(super) fn kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The one object of a kind.
pub(super) fn the<'a>(objects: &'a [Value], wanted: &str) -> &'a Value {
    let found = kind(objects, wanted);
    assert_eq!(found.len(), 1, "{wanted}");
    found[0]
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_else(|| panic!("no name: {object}"))
}

pub(super) fn strings(list: &Value) -> Vec<&str> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What a program printed; `None`, with a line that says so, where it is not installed.
pub(super) fn run(command: &mut Command, test: &str) -> Option<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let Ok(output) = command.output() else {
        println!("skipped: {test} needs {program}");
        return None;
    };
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Files below a directory, relative to it; links are files.
fn walk(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    entries
        .flat_map(|entry| {
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

#[test]
fn every_file_is_yaml_or_json_and_every_object_has_a_kind_and_a_name() {
    // Not objects of Kubernetes, or templates of them.
    let others = ["Chart.yaml", "values.yaml", "config.yaml", "default-rules.yaml"];
    let mut objects = 0;
    for path in walk(&repository("manifests")) {
        let shown = path.to_string_lossy();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if shown.contains("/templates/") || !matches!(extension, Some("yaml" | "json")) {
            continue;
        }
        let documents = documents(&shown, &fs::read_to_string(&path).unwrap());
        assert!(!documents.is_empty(), "{shown} is empty");
        let file = path.file_name().unwrap().to_str().unwrap();
        if others.contains(&file) || shown.contains("/ci/") || extension == Some("json") {
            continue;
        }
        for object in documents {
            assert!(object["apiVersion"].is_string() && object["kind"].is_string(), "{shown}");
            if file != "kustomization.yaml" {
                assert!(!name(&object).is_empty(), "{shown}");
            }
            objects += 1;
        }
    }
    assert!(objects > 40, "only {objects} objects: are these the manifests?");
}

#[test]
fn every_file_of_a_kustomization_is_listed_in_it() {
    for kustomization in walk(&repository("manifests")) {
        if !kustomization.ends_with("kustomization.yaml") {
            continue;
        }
        let text = fs::read_to_string(&kustomization).unwrap();
        for file in walk(kustomization.parent().unwrap()) {
            let file = file.file_name().unwrap().to_str().unwrap();
            assert!(
                file == "kustomization.yaml" || text.contains(file),
                "{file} is not in {}",
                kustomization.display()
            );
        }
    }
}

#[test]
fn kustomize_builds_the_base_with_each_component_and_with_all() {
    let test = "building the kustomizations";
    let components =
        ["resource-metrics", "monitoring", "without-external-metrics", "admission", "mutation"];
    let all = [components.as_slice(), &["cert-manager"]].concat();
    for components in components.map(|one| vec![one]).into_iter().chain([vec!["cert-manager"], all])
    {
        let Some(objects) = build(&components, test) else { return };
        let has = |wanted: &str| objects.iter().any(|object| name(object) == wanted);
        let external = "v1beta1.external.metrics.k8s.io";
        assert_eq!(has(external), !components.contains(&"without-external-metrics"));
        assert_eq!(has("v1beta1.metrics.k8s.io"), components.contains(&"resource-metrics"));
        assert_eq!(has("plimsoll-dashboard"), components.contains(&"monitoring"));
        assert_eq!(has("plimsoll-certificates"), !components.contains(&"cert-manager"));
        super::rights::agree(&objects);
        super::deployment::agree(&objects);
    }
}

/// The base with components, as kustomize puts them together.
fn build(components: &[&str], test: &str) -> Option<Vec<Value>> {
    // Kustomize takes relative paths alone, and both must lead through no link.
    let directory = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let up = "../".repeat(directory.path().components().count() - 1);
    let manifests = format!("{up}{}", repository("manifests").display()).replace("//", "/");
    let paths: Vec<_> =
        components.iter().map(|component| format!("{manifests}/components/{component}")).collect();
    let text = json!({"resources": [format!("{manifests}/base")], "components": paths});
    fs::write(directory.path().join("kustomization.yaml"), text.to_string()).unwrap();
    let mut kubectl = Command::new("kubectl");
    kubectl.arg("kustomize").arg(directory.path());
    if !understands_components(test) {
        return None;
    }
    Some(documents(&format!("{components:?}"), &run(&mut kubectl, test)?))
}

/// Whether there is a kubectl of 1.21 or later: older ones know no components.
fn understands_components(test: &str) -> bool {
    let mut kubectl = Command::new("kubectl");
    kubectl.args(["version", "--client", "--output=json"]);
    let Some(version) = run(&mut kubectl, test) else { return false };
    let version: Value = serde_json::from_str(&version).unwrap();
    let minor = version["clientVersion"]["minor"].as_str().unwrap();
    let minor: u32 = minor.trim_end_matches('+').parse().unwrap();
    if minor < 21 {
        println!("skipped: {test} needs kubectl 1.21, and this is 1.{minor}");
    }
    minor >= 21
}

#[test]
fn the_versions_of_image_chart_and_program_are_one() {
    let version = env!("CARGO_PKG_VERSION");
    let objects = resources("manifests/base");
    let container = &the(&objects, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let chart = document("manifests/chart/Chart.yaml");
    let versions = [&chart["version"], &chart["appVersion"]].map(|value| value.as_str().unwrap());
    assert_eq!(versions, [version; 2]);
    assert_eq!(container["image"], format!("plimsoll:{version}"));
}

#[test]
fn the_image_runs_as_the_user_of_the_pod_and_has_what_cargo_needs() {
    let dockerfile = text("hack/Dockerfile");
    let objects = resources("manifests/base");
    let user = &the(&objects, "Deployment")["spec"]["template"]["spec"]["securityContext"];
    let line = format!("USER {}:{}", user["runAsUser"], user["runAsGroup"]);
    assert!(dockerfile.lines().any(|found| found == line), "no {line:?}");
    let copied: BTreeSet<_> = dockerfile
        .lines()
        .filter_map(|line| line.strip_prefix("COPY "))
        .filter(|line| !line.starts_with("--"))
        .flat_map(|line| line.split(' ').filter(|word| !word.starts_with('.')))
        .map(str::to_owned)
        .collect();
    let sent: BTreeSet<_> = text("hack/Dockerfile.dockerignore")
        .lines()
        .filter_map(|line| line.strip_prefix('!'))
        .map(str::to_owned)
        .collect();
    assert_eq!(copied, sent, "what is copied is not what reaches the engine");
    for path in &copied {
        assert!(repository(path).exists(), "{path}");
    }
    // A target that Cargo.toml names must be there, though it is not built.
    for line in text("Cargo.toml").lines().filter_map(|line| line.strip_prefix("path = ")) {
        let first = line.trim_matches('"').split('/').next().unwrap();
        assert!(copied.contains(first), "{line} is not copied");
    }
}
