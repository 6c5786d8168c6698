//! prometheus-adapter's own tables, carried over as data under the Apache License 2.0:
//! `pkg/naming/metrics_query_test.go` and `pkg/custom-provider/series_registry_test.go`.

use super::*;
use crate::promql::fixtures::{kind, kinds};
use crate::promql::template::Fields;
use crate::promql::window;

fn rule(matches: &str, filters: &[Filter], resources: Resources, query: &str) -> Rule {
    Rule {
        index: 0,
        path: "rules[0]".to_owned(),
        backend: DEFAULT_BACKEND.into(),
        accept_partial: false,
        series_query: String::new(),
        filters: filters.to_vec(),
        namer: Namer::compile(matches, "").unwrap(),
        resources,
        query: Template::compile(query, Fields::Query).unwrap(),
        window: window::range_of(query),
        namespaced: true,
        no_data: NoData::default(),
        enforced_label: None,
        compat: Compat::default(),
    }
}

fn templated(template: &str, query: &str) -> Rule {
    rule("", &[], Resources::compile(template, Vec::new()).unwrap(), query)
}

/// The stock rules with the prefix `kube_` and a range of one minute, as the table needs them.
fn stock_rules() -> Vec<Rule> {
    let is_not = |pattern| [Filter::compile("", pattern).unwrap()];
    let overrides =
        ["namespace", "pod"].map(|label| (label.to_owned(), GroupResource::parse(label)));
    let container = Resources::compile("", overrides.into()).unwrap();
    let others = Resources::compile("kube_<<.Resource>>", Vec::new()).unwrap();
    let rate =
        r#"sum(rate(<<.Series>>{<<.LabelMatchers>>,container!="POD"}[1m])) by (<<.GroupBy>>)"#;
    let sum = r#"sum(<<.Series>>{<<.LabelMatchers>>,container!="POD"}) by (<<.GroupBy>>)"#;
    let other_rate = "sum(rate(<<.Series>>{<<.LabelMatchers>>}[1m])) by (<<.GroupBy>>)";
    let other_sum = "sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)";
    vec![
        rule("^container_(.*)_seconds_total$", &[], container.clone(), rate),
        rule(
            "^container_(.*)_total$",
            &is_not("^container_.*_seconds_total$"),
            container.clone(),
            rate,
        ),
        rule("^container_(.*)$", &is_not("^container_.*_total$"), container, sum),
        rule("", &is_not(".*_total$"), others.clone(), other_sum),
        rule("^(.*)_total$", &is_not(".*_seconds_total"), others.clone(), other_rate),
        rule("^(.*)_seconds_total$", &[], others, other_rate),
    ]
}

/// Which series each stock rule finds, and their labels.
const SERIES: [(usize, &str, &[&str]); 9] = [
    (0, "container_some_time_seconds_total", &["pod", "namespace", "container"]),
    (1, "container_some_count_total", &["pod", "namespace", "container"]),
    (2, "container_some_usage", &["pod", "namespace", "container"]),
    (3, "node_gigawatts", &["kube_node"]),
    (3, "service_proxy_packets", &["kube_service", "kube_namespace"]),
    (4, "ingress_hits_total", &["kube_ingress", "kube_service", "kube_pod", "kube_namespace"]),
    (4, "volume_claims_total", &["kube_persistentvolume"]),
    (5, "work_queue_wait_seconds_total", &["kube_deployment", "kube_namespace"]),
    (5, "node_fan_seconds_total", &["kube_node"]),
];

#[test]
fn the_stock_rules_list_the_metrics_of_prometheus_adapter() {
    let (rules, kinds) = (stock_rules(), kinds());
    let mut listed: Vec<String> = Vec::new();
    for (index, series, labels) in SERIES {
        let metric = rules[index].metric_name(series).unwrap();
        for kind in rules[index].described_kinds(labels.iter().copied(), &kinds) {
            listed.push(format!("{}/{metric} {:?}", kind.group_resource(), kind.scope));
        }
    }
    listed.sort();
    let expected = [
        "deployments.extensions/work_queue_wait Namespaced",
        "ingresses.extensions/ingress_hits Namespaced",
        "namespaces/ingress_hits Cluster",
        "namespaces/service_proxy_packets Cluster",
        "namespaces/some_count Cluster",
        "namespaces/some_time Cluster",
        "namespaces/some_usage Cluster",
        "namespaces/work_queue_wait Cluster",
        "nodes/node_fan Cluster",
        "nodes/node_gigawatts Cluster",
        "persistentvolumes/volume_claims Cluster",
        "pods/ingress_hits Namespaced",
        "pods/some_count Namespaced",
        "pods/some_time Namespaced",
        "pods/some_usage Namespaced",
        "services/ingress_hits Namespaced",
        "services/service_proxy_packets Namespaced",
    ];
    assert_eq!(listed, expected);
}

#[test]
fn the_stock_rules_make_the_queries_of_prometheus_adapter() {
    let (rules, kinds) = (stock_rules(), kinds());
    let cases: Vec<(usize, String, String, Vec<String>, String, String)> =
        serde_json::from_str(include_str!("../../../tests/data/promql/series_registry.json"))
            .unwrap();
    assert_eq!(cases.len(), 12);
    for (index, series, plural, names, selector, expected) in cases {
        let selector = Selector::parse(&selector).unwrap();
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        let query = rules[index]
            .custom_query(&series, &kind(&plural), Some("somens"), &names, &selector, &kinds)
            .unwrap();
        assert_eq!(query.promql, expected);
    }
}

/// The mock of `metrics_query_test.go` takes the plural as the label; a template cannot, so that
/// `resource` is `pod` here and `namespaces` is `namespace`.
#[test]
fn a_query_template_gets_the_arguments_of_prometheus_adapter() {
    type Case<'a> = (&'a str, &'a [&'a str], Option<&'a str>, &'a str, &'a str);
    let cases: [Case<'_>; 8] = [
        ("series <<.Series>>", &[], None, "", "series foo"),
        ("<<.LabelMatchers>>", &["bar", "baz"], None, "", r#"pod=~"bar|baz""#),
        ("<<.LabelMatchers>>", &["bar"], None, "", r#"pod="bar""#),
        ("<<.LabelMatchers>>", &["bar"], None, "metric1=value1", r#"metric1="value1",pod="bar""#),
        (r#"<<index .LabelValuesByName "pod">>"#, &["bar", "baz"], None, "", "bar|baz"),
        (
            r#"<<index .LabelValuesByName "namespace">> <<index .LabelValuesByName "pod">>"#,
            &["bar", "baz"],
            Some("default"),
            "",
            "default bar|baz",
        ),
        ("<<.GroupBy>>", &[], None, "", "pod"),
        ("<<.GroupBySlice>>", &[], None, "", "[pod]"),
    ];
    for (template, names, namespace, selector, expected) in cases {
        let selector = Selector::parse(selector).unwrap();
        let query = templated("<<.Resource>>", template)
            .custom_query("foo", &kind("pods"), namespace, names, &selector, &kinds())
            .unwrap();
        let expected = Query { promql: expected.to_owned(), object_label: "pod".to_owned() };
        assert_eq!(query, expected, "{template}");
    }
}

#[test]
fn an_external_template_gets_the_arguments_of_prometheus_adapter() {
    let by_namespace = r#"<<index .LabelValuesByName "namespace">> <<.GroupBySlice>>"#;
    let cases = [
        ("series <<.Series>>", true, "", "", "series foo"),
        ("by (<<.GroupBy>>)", true, "", "", "by ()"),
        (by_namespace, true, "default", "", "default []"),
        (by_namespace, false, "default", "", " []"),
        ("<<.LabelMatchers>>", true, "", "foo=bar", r#"foo="bar""#),
        ("<<.LabelMatchers>>", true, "default", "foo=bar", r#"foo="bar",namespace="default""#),
        ("<<.LabelMatchers>>", true, "", "foo=bar,qux in (bar,baz)", r#"foo="bar",qux=~"bar|baz""#),
        ("<<.LabelValuesByName>>", true, "", "foo=bar", "map[foo:bar]"),
        ("<<.LabelValuesByName>>", true, "", "foo in (bar,baz)", "map[foo:bar|baz]"),
    ];
    for (template, namespaced, namespace, selector, expected) in cases {
        let rule = Rule { namespaced, ..templated("<<.Resource>>", template) };
        let selector = Selector::parse(selector).unwrap();
        let query = rule.external_query("foo", namespace, &selector, &kinds());
        assert_eq!(query.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn cluster_scoped_kinds_and_namespaces_are_not_limited_to_a_namespace() {
    let rule = templated("<<.Resource>>", "<<.LabelMatchers>>");
    let promql = |plural, name| {
        rule.custom_query("m", &kind(plural), Some("shop"), &[name], &Selector::default(), &kinds())
            .unwrap()
            .promql
    };
    assert_eq!(promql("namespaces", "shop"), r#"namespace="shop""#);
    assert_eq!(promql("widgets", "w"), r#"widget="w""#);
}

#[test]
fn a_query_that_cannot_be_made_says_why() {
    let overrides = vec![("pod".to_owned(), GroupResource::parse("pods"))];
    let resources = Resources::compile("", overrides).unwrap();
    let asked = |query: &str, namespace, selector: &str| {
        let selector = Selector::parse(selector).unwrap();
        rule("", &[], resources.clone(), query)
            .custom_query("m", &kind("pods"), namespace, &["a"], &selector, &kinds())
            .unwrap_err()
    };
    let path = || "rules[0]".to_owned();
    assert_eq!(asked("<</* */>>", None, ""), QueryError::Empty("rules[0].metricsQuery".to_owned()));
    assert_eq!(
        asked("x", Some("shop"), ""),
        QueryError::Resource {
            rule: path(),
            source: ResourceError::NoLabel("namespaces".to_owned())
        }
    );
    assert!(matches!(asked("x", None, "a.b=c"), QueryError::Matcher(_)));
    assert!(matches!(asked("<<index .GroupBySlice 1>>", None, ""), QueryError::Template { .. }));
}

#[test]
fn the_names_of_namespace_subresources_are_refused() {
    let refused = ["status", "finalize", "Status", "queue"].map(refused_external_name);
    assert_eq!(refused, [true, true, false, false]);
}

#[test]
fn an_isolated_rule_asks_for_the_namespace_that_asks_alone() {
    let query = r#"sum(x{<<.LabelMatchers>>}) by (<<.GroupBy>>) + on () sum(y{ns="other"})"#;
    let rule = Rule { enforced_label: Some("ns".to_owned()), ..templated("<<.Resource>>", query) };
    let ask = |resource: &str, namespace, names: &[&str]| {
        let selector = Selector::default();
        rule.custom_query("x", &kind(resource), namespace, names, &selector, &kinds())
            .map(|query| query.promql)
    };
    assert_eq!(
        ask("pods", Some("shop"), &["a"]).as_deref(),
        Ok(r#"sum by (pod) (x{namespace="shop",ns="shop",pod="a"}) + on () sum(y{ns="shop"})"#)
    );
    assert_eq!(
        ask("namespaces", None, &["shop"]).as_deref(),
        Ok(r#"sum by (namespace) (x{namespace="shop",ns="shop"}) + on () sum(y{ns="shop"})"#)
    );
    for (resource, names) in [("nodes", ["a"].as_slice()), ("namespaces", &["a", "b"])] {
        assert!(matches!(ask(resource, None, names), Err(QueryError::Isolation { .. })));
    }
    let external = rule.external_query("x", "shop", &Selector::default(), &kinds());
    assert!(external.unwrap().contains(r#"y{ns="shop"}"#));
}
