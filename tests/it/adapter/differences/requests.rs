//! Differences in what a request may be: its path, method and parameters.

use serde_json::json;

use super::{Body, Difference, group_and_version, is_custom, is_metric, parts};
use crate::adapter::recording::Row;

pub(super) fn paths() -> Vec<Difference> {
    vec![
        Difference {
            reason: "every error is a Status, also on a path that nothing serves, where \
                     prometheus-adapter lists its paths",
            is_switch: false,
            applies: |row| {
                row.answer.status == 404
                    && row.answer.body.get("paths").is_some()
                    && group_and_version(row.path()).is_none()
            },
            ours: |_, expected| expected.refuse(404, "NotFound", "the server could not find the "),
        },
        Difference {
            reason: "a path with too few parts is 400 throughout; prometheus-adapter says 404 for \
                     some",
            is_switch: false,
            applies: |row| {
                let parts = parts(row.path());
                let is_short = match parts.as_slice() {
                    ["namespaces", _, "metrics", _] => false,
                    ["namespaces", rest @ ..] if is_custom(row) => rest.len() < 4,
                    ["namespaces", rest @ ..] => rest.len() < 2,
                    parts => parts.len() < 3,
                };
                row.answer.status == 404 && is_metric(row) && is_short
            },
            ours: |_, expected| expected.refuse(400, "BadRequest", "invalid request path"),
        },
        Difference {
            reason: "an empty part is no name: prometheus-adapter answers pods//M with every pod, \
                     and an external metric of namespaces// with those of all namespaces",
            is_switch: false,
            applies: |row| is_metric(row) && parts(row.path()).contains(&""),
            ours: |_, expected| {
                expected.refuse_at_once(
                    404,
                    "NotFound",
                    "the server could not find the requested resource",
                );
            },
        },
        Difference {
            reason: "nothing may follow a metric of a namespace; prometheus-adapter ignores it",
            is_switch: false,
            applies: |row| row.path().ends_with("/metrics/ns_quota_used/more"),
            ours: |_, expected| {
                expected.refuse_at_once(404, "NotFound", "the server could not find the metric");
            },
        },
        Difference {
            reason: "an encoded slash and dots are no names, which is said as 400",
            is_switch: false,
            applies: |row| {
                let path = row.path();
                row.answer.status == 404
                    && ["%2F", "/./", "/../"].iter().any(|part| path.contains(part))
            },
            ours: |_, expected| expected.refuse(400, "BadRequest", "the path segment"),
        },
    ]
}

pub(super) fn methods() -> Vec<Difference> {
    vec![
        Difference {
            reason: "HEAD is answered like GET, without the body (RFC 9110)",
            is_switch: false,
            applies: |row| row.request.method == "HEAD" && row.answer.status == 405,
            ours: |row, expected| {
                expected.status = 200;
                expected.promql = match row.path().rsplit('/').next() {
                    Some("queue_length") => {
                        vec![
                            r#"sum(queue_length{namespace="default",pod="web-0"}) by (pod)"#.into(),
                        ]
                    }
                    Some("queue_sum") => {
                        vec![r#"sum(ext_queue_messages{namespace="default"}) by ()"#.into()]
                    }
                    _ => Vec::new(),
                };
            },
        },
        Difference {
            reason: "405 names the method",
            is_switch: false,
            applies: |row| row.answer.status == 405 && row.request.method != "HEAD",
            ours: |_, expected| {
                expected.refuse(405, "MethodNotAllowed", "");
                if let Body::Status { contains, .. } = &mut expected.body {
                    contains.push(" is not supported on resources of kind ".to_owned());
                }
            },
        },
        Difference {
            reason: "health endpoints only answer GET and HEAD, and the parts of a check have no \
                     paths of their own: ?verbose lists them",
            is_switch: false,
            applies: |row| {
                row.answer.status == 200 && is_health(row) && row.request.method != "HEAD"
            },
            ours: |row, expected| {
                if row.request.method == "POST" {
                    expected.refuse(405, "MethodNotAllowed", "");
                } else if row.path().ends_with("/ping") {
                    expected.refuse(404, "NotFound", "the server could not find the");
                }
            },
        },
    ]
}

pub(super) fn selectors() -> Vec<Difference> {
    vec![
        Difference {
            reason: "`!=` and `notin` of a metricLabelSelector work: prometheus-adapter cannot \
                     write `!=` into its answer and fails with 500",
            is_switch: false,
            applies: |row| row.message() == r#""!=" is not a valid label selector operator"#,
            ours: |row, expected| {
                let promql = row.promql.join("");
                let pointer = if row.path().contains("v1beta2") {
                    "/items/0/metric/selector"
                } else {
                    "/items/0/selector"
                };
                let term = json!({"key": "method", "operator": "NotIn", "values": ["GET"]});
                expected.answer(&promql, vec![(pointer, json!({"matchExpressions": [term]}))]);
            },
        },
        Difference {
            reason: "a metricLabelSelector that cannot be parsed is the client's fault: 400",
            is_switch: false,
            applies: |row| row.path().contains("metricLabelSelector=") && is_parse_error(row),
            ours: |row, expected| expected.refuse(400, "BadRequest", row.message()),
        },
        Difference {
            reason: "< and > have no equivalent in PromQL, which is said as 400",
            is_switch: false,
            applies: |row| {
                [404, 500].contains(&row.answer.status)
                    && is_metric_selector(row)
                    && ["%3E", "%3C"].iter().any(|sign| row.path().contains(sign))
            },
            ours: |_, expected| expected.refuse(400, "BadRequest", "Prometheus has no matcher for"),
        },
        Difference {
            reason: "a key that cannot be a label's name is refused before Prometheus is asked \
                     something it cannot parse",
            is_switch: false,
            applies: |row| {
                row.answer.status == 500
                    && is_metric_selector(row)
                    && ["app.kubernetes.io%2F", "x-y%3D"].iter().any(|key| row.path().contains(key))
            },
            ours: |_, expected| expected.refuse_at_once(400, "BadRequest", "the selector's key"),
        },
        Difference {
            reason: "a parameter that is not encoded properly is an error, where \
                     prometheus-adapter drops it and with it the selector",
            is_switch: false,
            applies: |row| row.path().contains("=%zz"),
            ours: |_, expected| {
                expected.refuse_at_once(400, "BadRequest", "the query string has an incomplete");
            },
        },
        Difference {
            reason: "a semicolon is a part of a parameter's value, where prometheus-adapter drops \
                     the parameter and with it the selector",
            is_switch: false,
            applies: |row| row.path().contains(";limit"),
            ours: |_, expected| {
                expected.refuse_at_once(400, "BadRequest", "unable to parse requirement: ");
            },
        },
    ]
}

pub(super) fn options() -> Vec<Difference> {
    vec![
        Difference {
            reason: "a watch of custom metrics is refused as that of external ones is: \
                     prometheus-adapter answers with a list, on which clients hang",
            is_switch: false,
            applies: |row| {
                let path = row.path();
                is_custom(row) && ["watch=true", "watch=1"].iter().any(|it| path.contains(it))
            },
            ours: |_, expected| {
                expected.refuse_at_once(405, "MethodNotAllowed", "watch is not supported");
            },
        },
        Difference {
            reason: "list options that mean nothing for metrics are ignored, whatever they say",
            is_switch: false,
            applies: |row| {
                let options = ["limit=x", "Seconds=x", "timeout=", "Match=", "Initial"];
                row.answer.status != 200 && options.iter().any(|it| row.path().contains(it))
            },
            ours: |row, expected| {
                let pods = "api-v1-0|api.v1-0|api.v1-1|db-0|quiet-0|web-0|web-1|web-2";
                if is_custom(row) {
                    expected.answer(
                        &format!(
                            r#"sum(queue_length{{namespace="default",pod=~"{pods}"}}) by (pod)"#
                        ),
                        vec![("/kind", "MetricValueList".into()), ("/items/0/value", "9".into())],
                    );
                } else {
                    expected.answer(
                        r#"sum(ext_queue_messages{namespace="default"}) by ()"#,
                        vec![("/items/0/value", "50500m".into())],
                    );
                }
            },
        },
        Difference {
            reason: "a fieldSelector can only repeat the object's name",
            is_switch: false,
            applies: |row| {
                let fields = ["!%3D", "%21%3D", "metadata.namespace", "spec.", "=bad"];
                row.path().split_once("fieldSelector=").is_some_and(|(_, selector)| {
                    fields
                        .iter()
                        .any(|it| selector.contains(it) || *it == "=bad" && selector == "bad")
                })
            },
            ours: |_, expected| {
                expected.refuse_at_once(400, "BadRequest", "");
                if let Body::Status { contains, .. } = &mut expected.body {
                    contains.push("field selector".to_owned());
                }
            },
        },
    ]
}

fn is_health(row: &Row) -> bool {
    ["/healthz", "/livez", "/readyz"].iter().any(|path| row.path().starts_with(path))
}

/// Whether the path has a selector of series.
fn is_metric_selector(row: &Row) -> bool {
    let parameter = if is_custom(row) { "metricLabelSelector=" } else { "labelSelector=" };
    row.path().contains(parameter)
}

fn is_parse_error(row: &Row) -> bool {
    let message = row.message();
    row.answer.status == 500
        && (message.starts_with("found '") || message.starts_with("unable to parse"))
}
