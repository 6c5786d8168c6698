use http::Method;
use proptest::prelude::*;

use super::*;
use crate::model::access::Attributes;
use crate::wire::CustomVersion;

const C2: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const USAGE: &str = "/apis/metrics.k8s.io/v1beta1";
const INSIGHT: &str = "/apis/insight.plimsoll.dev/v1alpha1";
const E: &str = "/apis/external.metrics.k8s.io/v1beta1";

fn parse_text(target: &str) -> Result<Route, (u16, String)> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    parse(path, &Parameters::parse(query)).map_err(|status| (status.code.as_u16(), status.message))
}

fn custom_demand(namespace: Option<&str>, resource: &str, target: Target, metric: &str) -> Route {
    Route::Metric(MetricRoute {
        version: GroupVersion::Custom(CustomVersion::V1Beta2),
        demand: Demand::Custom(CustomDemand {
            resource: GroupResource::parse(resource),
            namespace: namespace.map(str::to_owned),
            target,
            metric: metric.to_owned(),
            metric_selector: Selector::default(),
        }),
    })
}

fn external_demand(namespace: &str, metric: &str, selector: &str) -> Route {
    Route::Metric(MetricRoute {
        version: GroupVersion::External,
        demand: Demand::External(ExternalDemand {
            namespace: namespace.to_owned(),
            metric: metric.to_owned(),
            selector: Selector::parse(selector).unwrap(),
        }),
    })
}

fn named(name: &str) -> Target {
    Target::Named(name.to_owned())
}

fn selected(selector: &str) -> Target {
    Target::Selected(Selector::parse(selector).unwrap())
}

#[test]
fn paths_that_are_not_metrics_have_their_routes() {
    let custom = || "custom.metrics.k8s.io".to_owned();
    let documents = [
        ("/apis", Document::Groups),
        ("/apis/", Document::Groups),
        ("/apis/custom.metrics.k8s.io", Document::Group(custom())),
        (C2, Document::Resources(custom(), "v1beta2".into())),
        ("/apis/custom.metrics.k8s.io/v1beta2/", Document::Resources(custom(), "v1beta2".into())),
        ("/openapi/v2", Document::OpenApiV2),
        ("/openapi/v3", Document::OpenApiV3),
        (
            "/openapi/v3/apis/custom.metrics.k8s.io/v1beta1?hash=1",
            Document::OpenApiV3Group(custom(), "v1beta1".into()),
        ),
        ("/version", Document::Version),
    ];
    for (path, document) in documents {
        assert_eq!(parse_text(path), Ok(Route::Document(document)), "{path}");
    }
    let probes = [
        ("/healthz", Probe::Healthz),
        ("/livez", Probe::Livez),
        ("/readyz?verbose", Probe::Readyz),
    ];
    for (path, probe) in probes {
        assert_eq!(parse_text(path), Ok(Route::Health(probe)), "{path}");
    }
}

#[test]
fn each_shape_of_metric_request_is_understood() {
    let routes = [
        (
            format!("{C2}/namespaces/default/pods/%2A/hits?labelSelector=app%3Dweb"),
            custom_demand(Some("default"), "pods", selected("app=web"), "hits"),
        ),
        (
            format!("{C2}/namespaces/default/pods/*/hits"),
            custom_demand(Some("default"), "pods", selected(""), "hits"),
        ),
        (
            format!("{C2}/namespaces/default/deployments.apps/web/hits"),
            custom_demand(Some("default"), "deployments.apps", named("web"), "hits"),
        ),
        (
            format!("{C2}/namespaces/default/Things.apps.example.com/web/hits"),
            custom_demand(Some("default"), "things.apps.example.com", named("web"), "hits"),
        ),
        (
            format!("{C2}/namespaces/default/metrics/orders"),
            custom_demand(None, "namespaces", named("default"), "orders"),
        ),
        (format!("{C2}/nodes/n1/load"), custom_demand(None, "nodes", named("n1"), "load")),
        (format!("{C2}/nodes/%2A/load"), custom_demand(None, "nodes", selected(""), "load")),
        (
            format!("{C2}/namespaces/default/pods/web-0/ns:rate.5m-total"),
            custom_demand(Some("default"), "pods", named("web-0"), "ns:rate.5m-total"),
        ),
        (
            format!("{C2}/namespaces/default/pods/web-0/a%20b"),
            custom_demand(Some("default"), "pods", named("web-0"), "a b"),
        ),
        (
            format!("{C2}/nodes/n1/load?fieldSelector=metadata.name%3Dn1&limit=500&timeout=32s"),
            custom_demand(None, "nodes", named("n1"), "load"),
        ),
        (
            format!("{E}/namespaces/default/QUEUE_depth?labelSelector=a+in+%28c%2Cb%29"),
            external_demand("default", "queue_depth", "a in (b,c)"),
        ),
        (
            format!("{E}/namespaces/default/q?labelSelector=a%3D1&labelSelector=a%3D2"),
            external_demand("default", "q", "a=1"),
        ),
    ];
    for (path, route) in routes {
        assert_eq!(parse_text(&path), Ok(route), "{path}");
    }
}

#[test]
fn what_is_no_request_is_refused_with_the_reason() {
    let refusals = [
        ("/".to_owned(), 404),
        ("/nothing".to_owned(), 404),
        ("//apis".to_owned(), 404),
        ("/apis/unknown.io/v1/namespaces/a/pods/b/c".to_owned(), 404),
        (format!("{C2}/namespaces"), 400),
        (format!("{C2}/namespaces/default"), 400),
        (format!("{C2}/namespaces/default/pods"), 400),
        (format!("{C2}/namespaces/default/pods/web-0"), 400),
        (format!("{C2}/namespaces/default/pods/web-0/hits/more"), 404),
        (format!("{C2}/namespaces/default/pods//hits"), 404),
        (format!("{C2}/nodes/n1"), 400),
        (format!("{C2}/nodes/n1/load/more"), 404),
        (format!("{C2}/nodes/n1/%zz"), 400),
        (format!("{C2}/nodes/n1/%2"), 400),
        (format!("{C2}/nodes/%ff/load"), 400),
        (format!("{C2}/nodes/%00/load"), 400),
        (format!("{C2}/nodes/%2e%2e/load"), 400),
        (format!("{C2}/nodes/../load"), 400),
        (format!("{C2}/nodes/a%2Fb/load"), 400),
        (format!("{C2}/nodes/n1/load?labelSelector=a%20b"), 400),
        (format!("{C2}/nodes/n1/load?metricLabelSelector=a%20b"), 400),
        (format!("{C2}/nodes/n1/load?fieldSelector=metadata.name%3Dn2"), 400),
        (format!("{C2}/nodes/n1/load?fieldSelector=spec.x%3Dn2"), 400),
        (format!("{C2}/nodes/n1/load?watch=true"), 405),
        (format!("{E}/namespaces/default"), 400),
        (format!("{E}/namespaces/default/q/more"), 404),
        (format!("{E}/namespaces/default/q?watch=1"), 405),
        (format!("{E}/namespaces/default/q?labelSelector=a%20b"), 400),
    ];
    for (path, code) in refusals {
        let refusal = parse_text(&path).expect_err(&path);
        assert_eq!(refusal.0, code, "{path}: {}", refusal.1);
        assert!(!refusal.1.is_empty(), "{path}");
    }
}

/// What the API server read out of a path and what is served must be the same thing.
fn is_authorized_as_itself(path: &str) -> bool {
    let parameters = Parameters::parse("");
    let demand = match parse(path, &parameters) {
        Ok(Route::Metric(route)) => route.demand,
        Ok(Route::Usage(route)) => {
            return is_usage_authorized_as_itself(&route, &Attributes::of(&Method::GET, path, ""));
        }
        Ok(Route::Decisions(route)) => {
            return is_decision_authorized_as_itself(
                &route,
                &Attributes::of(&Method::GET, path, ""),
            );
        }
        Ok(Route::Document(_) | Route::Health(_)) | Err(_) => return true,
    };
    let Attributes::Resource(it) = Attributes::of(&Method::GET, path, "") else {
        return false;
    };
    let served = match demand {
        Demand::Custom(it) => {
            let name = match it.target {
                Target::Named(name) => name,
                Target::Selected(_) => "*".to_owned(),
            };
            let resource = it.resource.to_string();
            match (it.namespace, resource.as_str()) {
                (None, "namespaces") => [name, "metrics".to_owned(), it.metric, String::new()],
                (namespace, _) => [namespace.unwrap_or_default(), resource, name, it.metric],
            }
        }
        Demand::External(it) => [it.namespace, it.metric, String::new(), String::new()],
        Demand::Usage(_) => return false,
    };
    let authorized = [it.namespace, it.resource, it.name, it.subresource];
    // Names of resources and external metrics are found whatever their case.
    authorized.map(|text| text.to_lowercase()) == served.map(|text| text.to_lowercase())
}

fn is_usage_authorized_as_itself(route: &UsageRoute, attributes: &Attributes) -> bool {
    let (namespace, resource) = match &route.demand {
        UsageDemand::Nodes => ("", "nodes"),
        UsageDemand::Pods { namespace } => (namespace.as_deref().unwrap_or_default(), "pods"),
    };
    let (verb, name) = match &route.target {
        Target::Named(name) => ("get", name.as_str()),
        Target::Selected(_) => ("list", ""),
    };
    let Attributes::Resource(it) = attributes else {
        return false;
    };
    let authorized = [&it.verb, &it.namespace, &it.resource, &it.name, &it.subresource];
    authorized == [verb, namespace, resource, name, ""]
}

fn is_decision_authorized_as_itself(route: &DecisionsRoute, attributes: &Attributes) -> bool {
    let namespace = route.namespace.as_deref().unwrap_or_default();
    let verb = if route.name.is_some() { "get" } else { "list" };
    let Attributes::Resource(it) = attributes else {
        return false;
    };
    let authorized = [&it.verb, &it.namespace, &it.resource, &it.name, &it.subresource];
    authorized == [verb, namespace, "decisions", route.name.as_deref().unwrap_or_default(), ""]
}

proptest! {
    #[test]
    fn what_is_served_is_what_was_authorized(
        group in prop::sample::select(vec![C2, E, USAGE, INSIGHT]),
        segments in prop::collection::vec(
            prop::sample::select(vec![
                "namespaces", "metrics", "status", "finalize", "watch", "proxy", "pods", "nodes", "decisions",
                "default", "%2A", "*", "x", "X.y", "", "a%20b", "%6eamespaces", "%73tatus", "a%2Fb",
            ]),
            0..7,
        ),
    ) {
        let path = format!("{group}/{}", segments.join("/"));
        prop_assert!(is_authorized_as_itself(&path), "{}", path);
    }

    #[test]
    fn no_target_makes_the_parser_panic(path in "(/[ -~]{0,12}){0,8}", query in "[ -~]{0,40}") {
        let _route = parse(&path, &Parameters::parse(&query));
    }

    #[test]
    fn a_metric_of_any_name_is_found_under_its_encoding(name in "[^/\0]{1,20}") {
        prop_assume!(name != "." && name != "..");
        let encoded =
            percent_encoding::utf8_percent_encode(&name, percent_encoding::NON_ALPHANUMERIC);
        let route = parse_text(&format!("{C2}/nodes/n1/{encoded}"));
        prop_assert_eq!(route, Ok(custom_demand(None, "nodes", named("n1"), &name)));
    }
}

#[test]
fn usage_is_asked_for_by_namespace_or_node() {
    let usage = |target: &str| match parse_text(&format!("/apis/metrics.k8s.io/v1beta1{target}")) {
        Ok(Route::Usage(route)) => Ok((route.demand, route.target)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error),
    };
    let pods =
        |namespace: Option<&str>| UsageDemand::Pods { namespace: namespace.map(str::to_owned) };
    let cases = [
        ("/nodes", UsageDemand::Nodes, selected("")),
        ("/nodes?labelSelector=zone%3Da", UsageDemand::Nodes, selected("zone=a")),
        ("/nodes/n1", UsageDemand::Nodes, named("n1")),
        ("/pods", pods(None), selected("")),
        ("/namespaces/shop/pods?watch=0", pods(Some("shop")), selected("")),
        ("/namespaces/shop/pods/web-0", pods(Some("shop")), named("web-0")),
    ];
    for (target, demand, objects) in cases {
        assert_eq!(usage(target), Ok((demand, objects)), "{target}");
    }
    let missing = [
        "/pods/web-0",
        "/namespaces/shop",
        "/namespaces/shop/nodes",
        "/namespaces//pods",
        "/nodes/n1/x",
        "/services",
    ];
    for target in missing {
        assert_eq!(usage(target).unwrap_err().0, 404, "{target}");
    }
    let refused = [
        ("/pods?watch=true", 405),
        ("/nodes?labelSelector=a%3D%3D%3Db", 400),
        ("/pods?fieldSelector=x%3Dy", 400),
    ];
    for (target, code) in refused {
        assert_eq!(usage(target).unwrap_err().0, code, "{target}");
    }
}

#[test]
fn fields_select_by_name_and_namespace() {
    let matches = |text: &str| {
        let selector = FieldSelector::parse(text).map_err(|status| status.message)?;
        Ok::<_, String>(
            [("shop", "a"), ("shop", "b"), ("bank", "a")]
                .map(|(namespace, name)| selector.matches(namespace, name)),
        )
    };
    assert_eq!(matches(""), Ok([true, true, true]));
    assert_eq!(matches("metadata.name=a"), Ok([true, false, true]));
    assert_eq!(matches("metadata.name==a, metadata.namespace!=bank"), Ok([true, false, false]));
    assert_eq!(
        matches("status.phase=Running"),
        Err("\"status.phase\" is not a known field selector: only \"metadata.name\", \
             \"metadata.namespace\""
            .to_owned())
    );
    assert_eq!(
        matches("name"),
        Err("invalid field selector \"name\": use metadata.name=NAME".to_owned())
    );
}

#[test]
fn decisions_are_asked_for_by_namespace_and_name() {
    let decisions = |target: &str| match parse_text(&format!("{INSIGHT}{target}")) {
        Ok(Route::Decisions(route)) => Ok((route.namespace, route.name)),
        Ok(other) => panic!("{other:?}"),
        Err(error) => Err(error.0),
    };
    let found = |namespace: Option<&str>, name: Option<&str>| {
        Ok((namespace.map(str::to_owned), name.map(str::to_owned)))
    };
    let cases = [
        ("/decisions", found(None, None)),
        ("/namespaces/shop/decisions", found(Some("shop"), None)),
        ("/namespaces/shop/decisions?fieldSelector=metadata.name%3Da", found(Some("shop"), None)),
        ("/namespaces/shop/decisions/a.b", found(Some("shop"), Some("a.b"))),
        ("/decisions/a.b", Err(404)),
        ("/namespaces//decisions", Err(404)),
        ("/namespaces/shop/decisions/a/status", Err(404)),
        ("/decisions?watch=1", Err(405)),
        ("/decisions?labelSelector=a", Err(400)),
    ];
    for (target, expected) in cases {
        assert_eq!(decisions(target), expected, "{target}");
    }
}
