//! Configuration files: every mistake names the file, and every rule that loads answers whatever
//! it is asked without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::config;
use plimsoll::model::object::{Kind, Kinds, Scope};
use plimsoll::model::selector::Selector;

const FILE: &str = "config.yaml";

fuzz_target!(|text: &str| {
    let config = match config::parse(FILE, text) {
        Ok(config) => config,
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(error.problems().iter().all(|line| line.starts_with(FILE)), "{error}");
            return;
        }
    };
    assert!(config.warnings.iter().all(|line| line.starts_with(FILE)), "{:?}", config.warnings);
    let pods = kind("pods", "pod", Scope::Namespaced);
    let kinds = Kinds::new([pods.clone(), kind("namespaces", "namespace", Scope::Cluster)]);
    let selector = Selector::parse("app in (a,b),tier!=web").expect("a selector");
    for rule in config.rules.iter().chain(&config.external_rules) {
        let series = "http_requests_total";
        let labels = ["namespace", "pod", "kube_pod", ""];
        let _name = rule.metric_name(series);
        let _kinds = rule.described_kinds(labels.into_iter(), &kinds);
        let names = ["web-0", "web-1"];
        let _query = rule.custom_query(series, &pods, Some("shop"), &names, &selector, &kinds);
        let _query = rule.external_query(series, "shop", &selector, &kinds);
    }
});

fn kind(plural: &str, singular: &str, scope: Scope) -> Kind {
    Kind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: singular.to_owned(),
        plural: plural.to_owned(),
        singular: singular.to_owned(),
        short_names: Vec::new(),
        scope,
    }
}
