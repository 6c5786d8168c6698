//! Files that have to load, and what is said of those that do not.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::object::Kinds;
use crate::model::selector::Selector;
use crate::promql::fixtures::{kind, kinds};

fn problems(text: &str) -> Vec<String> {
    parse("c.yaml", text).unwrap_err().problems().to_vec()
}

fn paths(rules: &[Arc<Rule>]) -> Vec<&str> {
    rules.iter().map(|rule| rule.path.as_str()).collect()
}

#[test]
fn the_stock_file_of_prometheus_adapter_loads() {
    let config = parse("c.yaml", include_str!("../../tests/data/config/stock.yaml")).unwrap();
    let seen: Vec<_> = config
        .rules
        .iter()
        .map(|rule| (rule.index, rule.window, rule.namespaced, rule.compat.nan_as_zero))
        .collect();
    let rate = Some(Duration::from_mins(5));
    let windows = [rate, rate, None, None, rate, rate];
    let expected: Vec<_> =
        windows.into_iter().enumerate().map(|(index, it)| (index, it, true, true)).collect();
    assert_eq!(seen, expected);
    assert_eq!(config.warnings, [""; 0]);
    let query = config.rules[0].custom_query(
        "container_cpu_seconds_total",
        &kind("pods"),
        Some("shop"),
        &["web-1"],
        &Selector::default(),
        &kinds(),
    );
    assert_eq!(
        query.unwrap().promql,
        "sum(rate(container_cpu_seconds_total{namespace=\"shop\",pod=\"web-1\",\
         container!=\"POD\"}[5m])) by (pod)"
    );
}

#[test]
fn the_config_map_of_prometheus_adapter_loads() {
    let config = parse("c.yaml", include_str!("../../tests/data/config/configmap.yaml")).unwrap();
    assert!(config.rules.is_empty() && config.external_rules.is_empty());
    assert_eq!(config.warnings, [""; 0]);
    let rules = config.resource_rules.unwrap();
    assert_eq!(rules.window, Duration::from_mins(5));
    assert_eq!(
        [&rules.cpu, &rules.memory].map(|rule| (rule.path.as_str(), rule.container_label.as_str())),
        [("resourceRules.cpu", "container"), ("resourceRules.memory", "container")]
    );
}

#[test]
fn the_rules_in_the_documents_of_prometheus_adapter_load() {
    let config = parse("c.yaml", include_str!("../../tests/data/config/docs.yaml")).unwrap();
    assert_eq!(paths(&config.rules), ["rules[0]", "rules[1]", "rules[2]", "rules[3]"]);
    assert_eq!(
        paths(&config.external_rules),
        ["externalRules[0]", "externalRules[1]", "externalRules[2]"]
    );
    let names = ["foo_total", "http_requests_total", "hits_total", "cheddar"];
    let named: Vec<_> = config
        .rules
        .iter()
        .zip(names)
        .map(|(rule, name)| rule.metric_name(name).unwrap())
        .collect();
    assert_eq!(named, ["foo", "http_requests_per_second", "hits", "cheesy_goodness"]);
    let namespaced: Vec<_> = config.external_rules.iter().map(|rule| rule.namespaced).collect();
    assert_eq!(namespaced, [true, false, true]);
    assert_eq!(
        config.warnings,
        ["c.yaml:40: externalRules[0].resources: no label stands for the namespace, so that \
             every query fails: override a label with `{resource: namespace}`, or write \
             `namespaced: false`"]
    );
}

#[test]
fn the_sample_of_prometheus_adapter_is_no_yaml() {
    assert_eq!(
        problems(include_str!("../../tests/data/config/sample.yaml")),
        ["c.yaml:11: rules[0]: invalid trailing content after double-quoted scalar"]
    );
}

#[test]
fn what_prometheus_adapter_takes_without_a_word_loads() {
    let config = parse("c.yaml", include_str!("../../tests/data/config/tolerated.yaml")).unwrap();
    let (first, second) = (&config.rules[0], &config.rules[1]);
    assert_eq!(
        (first.metric_name("b7"), second.metric_name("b7")),
        (Some("b7".into()), Some("true".into()))
    );
    assert_eq!(
        (paths(&config.rules), config.external_rules.len()),
        (vec!["rules[0]", "rules[1]"], 0)
    );
    assert_eq!(
        config.warnings,
        ["c.yaml:16: everything from here on is ignored: it is another document"]
    );
}

#[test]
fn an_empty_file_has_no_rules() {
    for text in ["", "# nothing\n", "---\n", "~", "rules:\n", "{}", "\u{feff}rules: []"] {
        let config = parse("c.yaml", text).unwrap();
        assert_eq!((config.rules.len(), config.warnings.len()), (0, 0), "{text:?}");
    }
}

#[test]
fn overrides_keep_the_order_of_the_file() {
    let text = "rules:\n- seriesQuery: a\n  metricsQuery: b\n  resources:\n    overrides:\n      \
                z: {resource: pod}\n      a: {resource: pods}\n";
    let config = parse("c.yaml", text).unwrap();
    let label = config.rules[0].resources.label_for(&kind("pods"), &kinds());
    assert_eq!(label.as_deref(), Ok("z"));
    assert_eq!(config.rules[0].resources.problems(&Kinds::default()).len(), 2);
}

#[test]
fn compat_switches_are_read_by_name() {
    let text = "externalRules:\n- seriesQuery: a\n  metricsQuery: b\n  resources: {namespaced: \
                off}\n  compat: {nanAsZero: false, roundUp: true, coreApiVersionSlash: yes}\n";
    let compat = parse("c.yaml", text).unwrap().external_rules[0].compat;
    let mut expected = crate::promql::compat::Compat::default();
    (expected.nan_as_zero, expected.round_up, expected.core_api_version_slash) =
        (false, true, true);
    assert_eq!(compat, expected);
}

#[test]
fn all_mistakes_of_a_file_are_told_at_once() {
    let text = r#"rules:
- {}
- seriesQuery: a
  seriesFilters:
  - {is: a, isNot: b}
  - isNot: "(a"
  -
  name: {matches: "(a)(b)"}
  resources:
    template: "kube_<<.Group>>"
    overrides:
      pod: {group: apps}
  metricsQuery: |
    sum(<<.Series>>)
    by (<<.Group>>)
- seriesQuery: b
  metricsQuery: "<<range .Series>>"
externalRules:
- seriesQuery: c
  resources: {namespaced: false}
  name: {as: Status}
  metricsQuery: d
resourceRules:
  cpu: {containerQuery: "<<.", resources: {template: x}}
  window: soon
"#;
    let expected = [
        "c.yaml:2: rules[0].seriesQuery: it is missing: write the selector of the series that the \
         rule is about",
        "c.yaml:5: rules[1].seriesFilters[0]: a filter has either `is` or `isNot`",
        "c.yaml:6: rules[1].seriesFilters[1].isNot: `(a` is no regular expression: unclosed group",
        "c.yaml:7: rules[1].seriesFilters[2]: a filter has either `is` or `isNot`",
        "c.yaml:12: rules[1].resources.overrides.pod: `resource` is missing: write `{resource: \
         pod}`",
        "c.yaml:10: rules[1].resources.template: the template has to contain <<.Resource>> as it \
         is, so that it recognises labels",
        "c.yaml:8: rules[1].name.as: `matches` has 2 groups, so `as` has to say which of them make \
         the name",
        "c.yaml:14: rules[1].metricsQuery: line 2, column 7 of the template: .Group is no field: \
         there are .Series, .LabelMatchers, .LabelValuesByName, .GroupBy and .GroupBySlice",
        "c.yaml:17: rules[2].metricsQuery: line 1, column 9 of the template: range does not go \
         over a string",
        "c.yaml:21: externalRules[0].name.as: an external metric cannot be called \"Status\": \
         Kubernetes takes its path for a subresource of the namespace",
        "c.yaml:24: resourceRules.cpu.resources.template: the template has to contain \
         <<.Resource>> as it is, so that it recognises labels",
        "c.yaml:24: resourceRules.cpu.containerQuery: line 1, column 1 of the template: this \
         action has no end: write >>",
        &format!(
            "c.yaml:25: resourceRules.window: {}",
            crate::model::duration::parse("soon").unwrap_err()
        ),
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn incomplete_resource_rules_load_with_a_warning() {
    let config = parse("c.yaml", "resourceRules:\n  cpu: {nodeQuery: x}\n").unwrap();
    let fails = "it is missing, so that every request for it fails";
    let nameless = "it is missing, so that containers have no names";
    assert_eq!(
        config.warnings,
        [
            format!("c.yaml:2: resourceRules.cpu.containerQuery: {fails}"),
            format!("c.yaml:2: resourceRules.cpu.containerLabel: {nameless}"),
            format!("c.yaml:2: resourceRules.memory.containerQuery: {fails}"),
            format!("c.yaml:2: resourceRules.memory.nodeQuery: {fails}"),
            format!("c.yaml:2: resourceRules.memory.containerLabel: {nameless}"),
        ]
    );
    assert_eq!(config.resource_rules.unwrap().window, Duration::ZERO);
    assert!(parse("c.yaml", "resourceRules:\n").unwrap().resource_rules.is_none());
}

#[test]
fn a_file_of_another_shape_is_refused_with_line_and_path() {
    let cases = [
        (
            "signal: []",
            "c.yaml:1: signal: unknown field `signal`, expected one of rules, \
          externalRules, resourceRules, presets, signals, admission, backends",
        ),
        ("rules: []\nrules: []", "c.yaml:2: the key `rules` stands twice"),
        (
            "rules:\n- name: {foo: 1}",
            "c.yaml:2: rules[0].name.foo: unknown field `foo`, expected \
          one of matches, as",
        ),
        ("rules:\n- seriesQuery: {a: b}", "c.yaml:2: rules[0].seriesQuery: expected string scalar"),
        (
            "rules:\n- resources:\n    overrides:\n      value: {resourc: a}",
            "c.yaml:4: \
          rules[0].resources.overrides.value.resourc: unknown field `resourc`, expected one of \
          group, resource",
        ),
        (
            "rules:\n- resources:\n    overrides:\n      pod: ~\n      pod: ~",
            "c.yaml:5: \
          rules[0].resources.overrides: the key `pod` stands twice",
        ),
        (
            "rules:\n- seriesFilters:\n  - is: [a]",
            "c.yaml:3: rules[0].seriesFilters[0].is: \
          expected string scalar",
        ),
        (
            "rules:\n- compat: {nan: true}",
            "c.yaml:2: rules[0].compat.nan: unknown field `nan`, \
          expected one of coreApiVersionSlash, lastSampleWins, negativeExternal, nanAsZero, \
          nowTimestamps, roundUp",
        ),
        (
            "rules:\n- resources: {namespaced: maybe}",
            "c.yaml:2: rules[0].resources.namespaced: \
          invalid boolean",
        ),
        ("rules: {}", "c.yaml:1: rules: expected sequence start"),
        ("text", "c.yaml:1: expected mapping start"),
        ("rules:\n\t- a", "c.yaml:2: tabs disallowed within this context (block indentation)"),
    ];
    for (text, expected) in cases {
        assert_eq!(problems(text), [expected], "{text}");
    }
    let long = "#".repeat(MAX_FILE + 1);
    assert_eq!(problems(&long), ["c.yaml: the file is longer than 4194304 bytes"]);
}

#[test]
fn what_loads_but_does_not_work_is_warned_about() {
    let text = "rules:\n- seriesQuery: a\n  name: {matches: ^(.*)_total$, as: \
                $1_per_second}\n  resources: {namespaced: false}\n- seriesQuery: b\n  \
                metricsQuery: '{{range .X}}'\n  resources: {overrides: {a.b: {resource: pod}}}\n";
    assert_eq!(
        parse("c.yaml", text).unwrap().warnings,
        [
            "c.yaml:4: rules[0].resources.namespaced: it has no effect here, only in externalRules",
            "c.yaml:2: rules[0].resources: without a template or overrides no label names an \
             object, so that the rule has no metrics",
            "c.yaml:3: rules[0].name.as: `matches` has no group \"1_per_second\", so that \
             $1_per_second is empty: where a name goes on after a group, write braces as in \
             ${1}_per_second",
            "c.yaml:2: rules[0].metricsQuery: it is missing, so that every query fails",
            "c.yaml:7: rules[1].resources.overrides.a.b: this is no label name of Prometheus, so \
             that queries with it fail",
            "c.yaml:6: rules[1].metricsQuery: {{ goes to Prometheus as it is: actions stand \
             between << and >>",
        ]
    );
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let lines = problems(&format!("rules:\n{}", "- {}\n".repeat(80)));
    assert_eq!((lines.len(), lines[50].as_str()), (51, "c.yaml: and 30 more"));
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(
        text in "((rules|externalRules|resourceRules|seriesQuery|name|as|matches|resources|\
                 overrides|template|seriesFilters|is|metricsQuery|compat|window|cpu)?\
                 (: |:\n|\n- |\n  |, |\\{|\\}|\\[|\\]|\"|'|&a |\\*a|<<|>>|~|\\||>|!!|---\n|#|\
                 <<.Series>>|\\PC)){0,40}",
    ) {
        let _parsed = parse("c.yaml", &text);
    }

    #[test]
    fn no_field_makes_a_rule_panic(
        query in any::<String>(), matches in any::<String>(), named in any::<String>(),
        template in any::<String>(), label in any::<String>(),
    ) {
        let rule = serde_json::json!({
            "seriesQuery": query,
            "metricsQuery": query,
            "name": {"matches": matches, "as": named},
            "resources": {"template": template, "overrides": {label: {"resource": matches}}},
        });
        let _parsed = parse("c.yaml", &serde_json::json!({ "rules": [rule] }).to_string());
    }
}

#[test]
fn a_preset_alone_has_the_golden_signals_of_every_kind() {
    let config = parse("c.yaml", "presets: [istio]\n").unwrap();
    let seen: BTreeSet<_> =
        config.signals.iter().map(|it| format!("{}/{}", it.on, it.metric)).collect();
    let kinds = [
        "pods",
        "services",
        "deployments.apps",
        "statefulsets.apps",
        "daemonsets.apps",
        "replicasets.apps",
        "jobs.batch",
        "namespaces",
    ];
    let metrics = [
        "requests_per_second",
        "error_ratio",
        "latency_p50_seconds",
        "latency_p95_seconds",
        "latency_p99_seconds",
    ];
    let expected =
        kinds.iter().flat_map(|kind| metrics.iter().map(move |it| format!("{kind}/{it}")));
    assert_eq!((seen, config.warnings.len()), (expected.collect(), 0));
}

#[test]
fn the_composite_of_the_readme_loads() {
    let text = "\
signals:
- metric: checkout_pressure
  on: deployments.apps
  composite:
    inputs:
      rps:    {requestRate:     {preset: istio, window: 1m}}
      errors: {errorRatio:      {preset: istio, window: 2m, minimumRate: 1}}
      p95:    {latencyQuantile: {preset: istio, quantile: 0.95, window: 2m}, noData: {policy: constant, value: 0}}
    expression: \"errors > 0.5 ? rps / 100.0 : max(rps / 100.0, p95 / 0.3)\"
  noData: {policy: lastKnown, maxAge: 2m}
- metric: doubled
  on: deployments.apps
  composite:
    inputs: {pressure: {metric: checkout_pressure}}
    expression: pressure * 2.0
";
    let config = parse("c.yaml", text).unwrap();
    let seen: Vec<_> = config
        .signals
        .iter()
        .map(|it| (it.metric.as_str(), it.origin.as_str(), it.window(), it.needs_pods()))
        .collect();
    let window = Some(Duration::from_mins(2));
    assert_eq!(
        seen,
        [
            ("checkout_pressure", "signals[0]", window, false),
            ("doubled", "signals[1]", window, false)
        ]
    );
}

#[test]
fn a_signal_that_cannot_be_is_told_with_its_line_and_the_others_as_well() {
    let text = include_str!("../../tests/data/config/bad-signals.yaml");
    let expected = include_str!("../../tests/data/config/bad-signals.txt");
    let found = problems(text);
    assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{}", found.join("\n"));
}
