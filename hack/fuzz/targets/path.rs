//! URLs: what a request for values asks for can be written as a URL again, which asks for the
//! same; everything else gets an error of the client.

#![no_main]

use libfuzzer_sys::fuzz_target;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use plimsoll::apiserver::path::{self, MetricRoute, Parameters, Route};
use plimsoll::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};

fuzz_target!(|target: &str| {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path::parse(path, &Parameters::parse(query)) {
        Ok(Route::Metric(route)) => {
            let (path, query) = url(&route);
            let again = path::parse(&path, &Parameters::parse(&query));
            assert_eq!(again.ok(), Some(Route::Metric(route)), "{path}?{query}");
        }
        Ok(Route::Document(_) | Route::Health(_) | Route::Usage(_) | Route::Decisions(_)) => {}
        Err(status) => assert!(status.code.is_client_error(), "{status:?}"),
    }
});

fn url(route: &MetricRoute) -> (String, String) {
    let base = format!("/apis/{}", route.version.api_version());
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    match &route.demand {
        Demand::Custom(CustomDemand { resource, namespace, target, metric, metric_selector }) => {
            let (name, selector) = match target {
                Target::Named(name) => (encoded(name), String::new()),
                Target::Selected(selector) => ("*".to_owned(), encoded(&selector.to_string())),
            };
            let metric = encoded(metric);
            let resource = resource.to_string();
            let path = match namespace {
                Some(namespace) => format!(
                    "{base}/namespaces/{}/{}/{name}/{metric}",
                    encoded(namespace),
                    encoded(&resource),
                ),
                None if resource == "namespaces" => {
                    format!("{base}/namespaces/{name}/metrics/{metric}")
                }
                None => format!("{base}/{}/{name}/{metric}", encoded(&resource)),
            };
            let metric_selector = encoded(&metric_selector.to_string());
            (path, format!("labelSelector={selector}&metricLabelSelector={metric_selector}"))
        }
        Demand::External(ExternalDemand { namespace, metric, selector }) => (
            format!("{base}/namespaces/{}/{}", encoded(namespace), encoded(metric)),
            format!("labelSelector={}", encoded(&selector.to_string())),
        ),
        Demand::Usage(usage) => panic!("a metric's route asks for {usage:?}"),
    }
}
