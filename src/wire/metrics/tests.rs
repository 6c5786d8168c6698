//! The golden texts come from Kubernetes' own types (k8s.io/metrics/pkg/apis, JSON serializer).

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::model::selector::LabelSelectorRequirement;

const TIME: Seconds = Seconds(1_767_323_045);
const ECHO: &str = r#"{"matchLabels":{"verb":"GET"},"matchExpressions":[{"key":"code","operator":"In","values":["200","201"]}]}"#;

fn selector() -> LabelSelector {
    LabelSelector {
        match_labels: BTreeMap::from([("verb".to_owned(), "GET".to_owned())]),
        match_expressions: vec![LabelSelectorRequirement {
            key: "code".to_owned(),
            operator: "In",
            values: vec!["200".to_owned(), "201".to_owned()],
        }],
    }
}

fn pod<'a>(
    name: &'a str,
    selector: Option<&'a LabelSelector>,
    window: Option<u32>,
    value: i64,
) -> MetricValue<'a> {
    let object = ObjectReference { kind: "Pod", namespace: "default", name, api_version: "/v1" };
    let value = Milli(value);
    MetricValue { object, metric: "http_requests", selector, timestamp: TIME, window, value }
}

fn text(bytes: &Bytes) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_second_custom_version_is_as_kubernetes_writes_it() {
    let selector = selector();
    let values = [pod("web-0", Some(&selector), Some(60), 1500), pod("web-1", None, None, 7000)];

    assert_eq!(
        text(&custom(Form::Json, CustomVersion::V1Beta2, &values)),
        format!(
            r#"{{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{{}},"items":[{{"describedObject":{{"kind":"Pod","namespace":"default","name":"web-0","apiVersion":"/v1"}},"metric":{{"name":"http_requests","selector":{ECHO}}},"timestamp":"2026-01-02T03:04:05Z","windowSeconds":60,"value":"1500m"}},{{"describedObject":{{"kind":"Pod","namespace":"default","name":"web-1","apiVersion":"/v1"}},"metric":{{"name":"http_requests","selector":null}},"timestamp":"2026-01-02T03:04:05Z","value":"7"}}]}}"#
        ) + "\n"
    );
}

#[test]
fn the_first_custom_version_is_as_kubernetes_writes_it() {
    let selector = selector();
    let item = |name, selector, window| {
        format!(
            r#"{{"describedObject":{{"kind":"Pod","namespace":"default","name":"{name}","apiVersion":"/v1"}},"metricName":"http_requests","timestamp":"2026-01-02T03:04:05Z",{window}"value":"1500m","selector":{selector}}}"#
        )
    };
    let values = [pod("web-0", Some(&selector), Some(60), 1500), pod("web-1", None, None, 1500)];

    assert_eq!(
        text(&custom(Form::Json, CustomVersion::V1Beta1, &values)),
        format!(
            r#"{{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{{}},"items":[{},{}]}}"#,
            item("web-0", ECHO, r#""window":60,"#),
            item("web-1", "null", ""),
        ) + "\n"
    );
}

#[test]
fn external_values_are_as_kubernetes_writes_them_but_for_no_labels() {
    let labels = Labels::from_iter([("b", "2"), ("a", "1")]);
    let none = Labels::default();
    let value = |labels, window, value| ExternalMetricValue {
        metric: "queue_depth",
        labels,
        timestamp: TIME,
        window,
        value: Milli(value),
    };

    assert_eq!(
        text(&external(Form::Json, &[value(&labels, Some(60), 42_000), value(&none, None, 0)])),
        r#"{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[{"metricName":"queue_depth","metricLabels":{"a":"1","b":"2"},"timestamp":"2026-01-02T03:04:05Z","window":60,"value":"42"},{"metricName":"queue_depth","metricLabels":{},"timestamp":"2026-01-02T03:04:05Z","value":"0"}]}"#
            .to_owned()
            + "\n"
    );
}

#[test]
fn objects_of_the_cluster_have_no_namespace() {
    let mut value = pod("n1", None, None, 1);
    value.object = ObjectReference { kind: "Node", namespace: "", name: "n1", api_version: "v1" };

    assert_eq!(
        text(&custom(Form::Json, CustomVersion::V1Beta2, &[value])),
        r#"{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta2","metadata":{},"items":[{"describedObject":{"kind":"Node","name":"n1","apiVersion":"v1"},"metric":{"name":"http_requests","selector":null},"timestamp":"2026-01-02T03:04:05Z","value":"1m"}]}"#
            .to_owned()
            + "\n"
    );
}

#[test]
fn a_list_without_values_is_an_array() {
    let head = |version, kind| {
        format!(r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{}},"items":[]}}"#) + "\n"
    };

    assert_eq!(
        text(&custom(Form::Json, CustomVersion::V1Beta2, &[])),
        head("custom.metrics.k8s.io/v1beta2", "MetricValueList")
    );
    assert_eq!(
        text(&custom(Form::Json, CustomVersion::V1Beta1, &[])),
        head("custom.metrics.k8s.io/v1beta1", "MetricValueList")
    );
    assert_eq!(
        text(&external(Form::Json, &[])),
        head("external.metrics.k8s.io/v1beta1", "ExternalMetricValueList")
    );
    assert_eq!(
        text(&custom(Form::PrettyJson, CustomVersion::V1Beta2, &[])),
        "{\n  \"kind\": \"MetricValueList\",\n  \"apiVersion\": \"custom.metrics.k8s.io/v1beta2\",\n  \
         \"metadata\": {},\n  \"items\": []\n}\n"
    );
}

#[test]
fn times_that_cannot_be_written_become_the_nearest_that_can() {
    let times = [
        (0, "1970-01-01T00:00:00Z"),
        (951_782_400, "2000-02-29T00:00:00Z"),
        (-62_167_219_200, "0000-01-01T00:00:00Z"),
        (-62_167_219_201, "0000-01-01T00:00:00Z"),
        (i64::MIN, "0000-01-01T00:00:00Z"),
        (253_402_207_200, "9999-12-30T22:00:00Z"),
        (i64::MAX, "9999-12-30T22:00:00Z"),
    ];
    for (seconds, expected) in times {
        assert_eq!(Seconds(seconds).to_string(), expected);
    }
}

proptest! {
    #[test]
    fn any_name_and_time_is_readable_json(name in ".*", seconds: i64, value: i64) {
        let mut item = pod(&name, None, None, value);
        item.timestamp = Seconds(seconds);
        let body = custom(Form::Json, CustomVersion::V1Beta2, &[item]);
        let read: serde_json::Value = serde_json::from_slice(&body).unwrap();

        let object = &read["items"][0]["describedObject"];
        prop_assert_eq!(object["name"].as_str().unwrap_or_default(), name);
        let time = read["items"][0]["timestamp"].as_str().unwrap();
        prop_assert!(time.len() == 20 && time.parse::<Timestamp>().is_ok(), "{}", time);
    }
}
