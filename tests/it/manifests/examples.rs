//! The examples fit each other, the base's configuration and what we ask of workloads.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use plimsoll::config::Config;

use super::deployment::restricted;
use super::files::{document, name, resources, text, the};

const HPAS: [&str; 3] = ["hpa-pods.yaml", "hpa-object.yaml", "hpa-external.yaml"];

/// The names of the metrics that the rules make of the series they ask for.
fn metrics(config: &Config) -> [BTreeSet<String>; 2] {
    [&config.rules, &config.external_rules].map(|rules| {
        let series = |query: &str| query.split('{').next().unwrap().to_owned();
        rules.iter().filter_map(|rule| rule.metric_name(&series(&rule.series_query))).collect()
    })
}

#[test]
fn every_example_scales_on_a_metric_of_the_base_and_says_how_to_see_it() {
    let config =
        plimsoll::config::parse("config.yaml", &text("manifests/base/config.yaml")).unwrap();
    let [custom, external] = metrics(&config);
    let mut types = BTreeSet::new();
    for file in HPAS {
        let path = format!("manifests/examples/{file}");
        let hpa = document(&path);
        for metric in hpa["spec"]["metrics"].as_array().unwrap() {
            let kind = metric["type"].as_str().unwrap();
            let source = &metric[kind.to_lowercase()];
            let metric = source["metric"]["name"].as_str().unwrap();
            let known = if kind == "External" { &external } else { &custom };
            assert!(known.contains(metric), "{file}: {metric} is none of {known:?}");
            types.insert(kind.to_owned());
        }
        let raw = text(&path);
        let line = raw.lines().find_map(|line| line.strip_prefix("#   kubectl get --raw '/apis/"));
        let metric = &hpa["spec"]["metrics"][0];
        let kind = metric["type"].as_str().unwrap().to_lowercase();
        let metric = metric[kind]["metric"]["name"].as_str().unwrap();
        assert!(line.is_some_and(|line| line.contains(metric)), "{file} shows another metric");
    }
    assert_eq!(types, ["External", "Object", "Pods"].map(str::to_owned).into());
}

#[test]
fn an_hpa_with_a_value_for_all_pods_waits_before_it_multiplies_again() {
    let mut checked = 0;
    for file in HPAS {
        let hpa = document(&format!("manifests/examples/{file}"));
        let metrics = hpa["spec"]["metrics"].as_array().unwrap();
        if metrics.iter().any(|metric| metric["object"]["target"]["type"] == "Value") {
            let window = &hpa["spec"]["behavior"]["scaleUp"]["stabilizationWindowSeconds"];
            assert!(window.as_u64().is_some_and(|seconds| seconds >= 120), "{file}: {window}");
            checked += 1;
        }
    }
    assert_eq!(checked, 1);
}

#[test]
fn the_parts_of_the_web_service_name_each_other() {
    let objects = resources("manifests/examples");
    let deployment = the(&objects, "Deployment");
    let pod = &deployment["spec"]["template"];
    let labels = &pod["metadata"]["labels"];
    let selectors = [
        &deployment["spec"]["selector"]["matchLabels"],
        &the(&objects, "Service")["spec"]["selector"],
        &the(&objects, "NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        &the(&objects, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
    ];
    assert_eq!(selectors, [labels; 4]);
    let names = |list: &Value, key: &str| -> Vec<Value> {
        list.as_array().unwrap().iter().map(|port| port[key].clone()).collect()
    };
    let container = &pod["spec"]["containers"][0];
    let ports = names(&container["ports"], "name");
    assert_eq!(names(&the(&objects, "Service")["spec"]["ports"], "targetPort"), ports);
    let ingress = the(&objects, "NetworkPolicy")["spec"]["ingress"].as_array().unwrap();
    let open: Vec<_> = ingress.iter().map(|rule| rule["ports"][0]["port"].clone()).collect();
    assert_eq!(open, ports);
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http", "{probe}");
    }
    restricted(&pod["spec"]);
    // The HPA's.
    assert!(deployment["spec"].get("replicas").is_none());
    for file in HPAS {
        let hpa = document(&format!("manifests/examples/{file}"));
        let target =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name(deployment)});
        assert_eq!(hpa["spec"]["scaleTargetRef"], target, "{file}");
        for metric in hpa["spec"]["metrics"].as_array().unwrap() {
            if let Some(object) = metric.pointer("/object/describedObject") {
                assert_eq!(object["name"], name(the(&objects, "Service")), "{file}");
            }
        }
    }
}
