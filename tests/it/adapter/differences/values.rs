//! Differences in the values and in what is said where there are none.

use plimsoll::model::quantity::{Milli, Quantity};
use serde_json::Value;

use super::{Body, Difference, EXTERNAL, is_custom, is_metric, parts};
use crate::adapter::recording::Row;

pub(super) fn objects() -> Vec<Difference> {
    vec![
        Difference {
            reason: "short names of resources work, as in kubectl",
            is_switch: false,
            applies: |row| short_name(row).is_some(),
            ours: |row, expected| {
                let Some((_, promql, value)) = short_name(row) else { return };
                expected.answer(promql, vec![("/items/0/value", value.into())]);
            },
        },
        Difference {
            reason: "`*` of a resource that does not exist, or not in a namespace, is 404 as it is \
                     with a name; prometheus-adapter fails to list it and says 500",
            is_switch: false,
            applies: |row| row.message().ends_with("unable to list matching resources"),
            ours: |_, expected| {
                expected.refuse(404, "NotFound", "the server could not find the metric");
            },
        },
        Difference {
            reason: "metrics of cluster-scoped custom resources are asked for without a namespace",
            is_switch: false,
            applies: |row| {
                row.path().contains("/fleets") && row.answer.status != 500 && is_metric(row)
            },
            ours: |row, expected| {
                let parts = parts(row.path());
                let [.., _, name, metric] = parts.as_slice() else { return };
                if parts.first() == Some(&"namespaces") {
                    expected.refuse_at_once(
                        404,
                        "NotFound",
                        "the server could not find the metric",
                    );
                    return;
                }
                let name = if *name == "*" { r#"=~"north|south""# } else { r#"="north""# };
                let promql = match row.config {
                    "kube" => format!("{metric}{{fleet{name}}}"),
                    _ => format!("sum({metric}{{fleet{name}}}) by (fleet)"),
                };
                expected.answer(
                    &promql,
                    vec![
                        ("/items/0/describedObject/name", "north".into()),
                        ("/items/0/value", "7".into()),
                    ],
                );
            },
        },
        Difference {
            reason: "names of external metrics are found in any case: the HPA controller asks in \
                     lower case whatever the HPA says",
            is_switch: false,
            applies: |row| row.path().ends_with("/EXT_QUEUE_MESSAGES"),
            ours: |_, expected| {
                let name = "ext_queue_messages".into();
                let promql = r#"ext_queue_messages{namespace="default"}"#;
                expected.answer(promql, vec![("/items/0/metricName", name)]);
            },
        },
        Difference {
            reason: "the message on a missing external metric says that it is external: \
                     prometheus-adapter's speaks of namespaces, or of nothing",
            is_switch: false,
            applies: |row| {
                let message = row.message();
                row.path().starts_with(EXTERNAL)
                    && message.starts_with("the server could not find the metric ")
                    && !row.path().ends_with("/EXT_QUEUE_MESSAGES")
            },
            ours: |_, expected| {
                let message = "the server could not find the external metric ";
                expected.refuse(404, "NotFound", message);
            },
        },
    ]
}

pub(super) fn numbers() -> Vec<Difference> {
    vec![
        Difference {
            reason: "NaN of external metrics, infinities and numbers that the HPA controller \
                     cannot hold are missing data: prometheus-adapter serves the smallest number",
            is_switch: false,
            applies: |row| {
                row.answer.status == 200 && row.answer.body.to_string().contains(GARBAGE)
            },
            ours: |row, expected| {
                let Some(items) = expected.items() else { return };
                items.retain(|item| item["value"] != GARBAGE);
                if let ([.., "pods", name, metric], true) =
                    (parts(row.path()).as_slice(), items.is_empty())
                {
                    let message = format!(
                        "the server could not find the metric {metric} for pods {name}: rules[2] \
                         computes "
                    );
                    expected.refuse(404, "NotFound", message);
                }
            },
        },
        Difference {
            reason: "the span of time that a rate looks at is told as the window",
            is_switch: false,
            applies: |row| row.answer.status == 200 && (row.asks("[2m]") || row.asks("[5m]")),
            ours: |row, expected| {
                let key = if row.path().contains("v1beta2") { "windowSeconds" } else { "window" };
                let seconds = if row.asks("[2m]") { 120 } else { 300 };
                for item in expected.items().into_iter().flatten() {
                    item[key] = seconds.into();
                }
            },
        },
    ]
}

pub(super) fn failures() -> Vec<Difference> {
    vec![
        Difference {
            reason: "a rule whose query cannot be rendered is a fault of the rule, 500, and not a \
                     missing metric",
            is_switch: false,
            applies: |row| {
                let metrics =
                    ["is_empty", "no_query", "index_out", "no_such_field", "queue_without_ns"];
                row.answer.status == 404 && metrics.iter().any(|it| row.path().contains(it))
            },
            ours: |_, expected| {
                expected.refuse(500, "InternalError", "Internal error occurred: rules[");
            },
        },
        Difference {
            reason: "a failed query is told with the rule, the query and what Prometheus said, \
                     where prometheus-adapter says \"unable to fetch metrics\" and logs the rest",
            is_switch: false,
            applies: |row| row.message() == "Internal error occurred: unable to fetch metrics",
            ours: |row, expected| {
                if expected.status != 500 {
                    return;
                }
                let list = if is_custom(row) { "rules[" } else { "externalRules[" };
                let mut contains = vec![list.to_owned()];
                contains.extend(row.promql.iter().cloned());
                let said = row.prometheus.values().map(|it| &it["body"]["error"]);
                contains.extend(said.filter_map(|it| Some(it.as_str()?.to_owned())));
                expected.body = Body::Status {
                    reason: "InternalError",
                    begins: "Internal error occurred: ".to_owned(),
                    contains,
                };
            },
        },
        Difference {
            reason: "a result of another type is told with the query, and is a Status with a reason",
            is_switch: false,
            applies: |row| row.message() == "encountered an unexpected query result type",
            ours: |_, expected| {
                expected.refuse(500, "InternalError", "Internal error occurred: backend default (");
                if let Body::Status { contains, .. } = &mut expected.body {
                    contains.push("the answer of Prometheus cannot be used".into());
                }
            },
        },
    ]
}

/// What `compat` takes back.
pub(super) fn switches() -> Vec<Difference> {
    vec![
        Difference {
            reason: "core objects are of v1 (`coreApiVersionSlash`): prometheus-adapter writes /v1",
            is_switch: true,
            applies: |row| row.answer.status == 200 && is_custom(row),
            ours: |_, expected| {
                if let Body::Exactly(Value::String(text)) = &mut expected.body {
                    *text = text.replace("\"/v1\"", "\"v1\"");
                }
                for item in expected.items().into_iter().flatten() {
                    let version = &mut item["describedObject"]["apiVersion"];
                    if version == "/v1" {
                        *version = "v1".into();
                    }
                }
            },
        },
        Difference {
            reason: "several samples for one object are an error (`lastSampleWins`): \
                     prometheus-adapter takes whichever comes last",
            is_switch: true,
            applies: |row| row.answer.status == 200 && has_two_samples_for_one_pod(row),
            ours: |_, expected| {
                expected.refuse(500, "InternalError", "Internal error occurred: rules[3] found 2");
            },
        },
        Difference {
            reason: "external values below zero are missing data (`negativeExternal`): with an \
                     averageValue target the HPA controller scales to the maximum on them",
            is_switch: true,
            applies: |row| row.answer.status == 200 && row.path().starts_with(EXTERNAL),
            ours: |_, expected| {
                if let Some(items) = expected.items() {
                    items.retain(|item| !item["value"].as_str().unwrap().starts_with('-'));
                }
            },
        },
        Difference {
            reason: "the values of one external metric together stay in the range of the sum that \
                     the HPA controller makes of them, which would wrap",
            is_switch: false,
            applies: |row| row.path().ends_with("/num_value") && row.answer.status == 200,
            ours: |_, expected| {
                let milli = |item: &Value| {
                    Quantity::parse(item["value"].as_str().unwrap()).unwrap().milli_value()
                };
                let mut items: Vec<_> = expected.items().into_iter().flatten().collect();
                let sum: i128 = items.iter().map(|item| i128::from(milli(item)).abs()).sum();
                let share = Milli::MAX.0 / i64::try_from(items.len().max(1)).unwrap();
                for item in items.iter_mut().filter(|_| sum > i128::from(Milli::MAX.0)) {
                    if milli(item) > share {
                        item["value"] = Milli(share).to_string().into();
                    }
                }
            },
        },
    ]
}

/// What NaN, infinities and large numbers are in prometheus-adapter on amd64.
const GARBAGE: &str = "-9223372036854775808m";

/// Resource, query and value of the requests by a short name.
fn short_name(row: &Row) -> Option<(&'static str, &'static str, &'static str)> {
    let names = [
        ("/svc/", r#"sum(service_backlog{namespace="default",service="web"}) by (service)"#, "11"),
        (
            "/deploy/",
            r#"sum(deploy_lag_seconds{namespace="default",deployment="web"}) by (deployment)"#,
            "11",
        ),
        ("/po/", r#"sum(queue_length{namespace="default",pod="web-0"}) by (pod)"#, "100m"),
        ("/pv/", r#"sum(pv_used_bytes{persistentvolume="pv-a"}) by (persistentvolume)"#, "1048576"),
    ];
    names.into_iter().find(|(resource, ..)| row.path().contains(resource))
}

fn has_two_samples_for_one_pod(row: &Row) -> bool {
    row.path().contains("/pods/")
        && row.prometheus.values().any(|answer| {
            let samples = answer["data"]["result"].as_array().into_iter().flatten();
            let pods = samples.filter_map(|sample| sample["metric"]["pod"].as_str());
            let mut pods: Vec<_> = pods.collect();
            let count = pods.len();
            pods.sort_unstable();
            pods.dedup();
            pods.len() < count
        })
}
