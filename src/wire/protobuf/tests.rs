//! The golden bytes come from Kubernetes' own types (k8s.io/metrics/pkg/apis, protobuf serializer);
//! the messages that read them are declared apart from the encoder.

mod messages;

use http::StatusCode;
use proptest::prelude::*;

use self::messages::{ExternalList, JsonList, ListV1Beta1, ListV1Beta2, StatusMessage, open};
use super::*;
use crate::model::object::GroupResource;
use crate::model::selector::LabelSelectorRequirement;
use crate::model::value::Labels;
use crate::wire::fixtures::{TIME, pod, selector};
use crate::wire::metrics;
use crate::wire::negotiate::Form;
use crate::wire::status::Reason;

const V1BETA2: &str = "\
    6b3873000a300a1d637573746f6d2e6d6574726963732e6b38732e696f2f76316265746132120f4d6574\
    72696356616c75654c69737412bb010a060a0012001a00126d0a200a03506f64120764656661756c741a\
    057765622d3022002a032f763132003a0012340a0d687474705f726571756573747312230a0b0a047665\
    7262120347455412140a04636f64651202496e1a033230301a033230311a0808a5ebdcca061000203c2a\
    070a05313530306d12420a200a03506f64120764656661756c741a057765622d3122002a032f76313200\
    3a00120f0a0d687474705f72657175657374731a0808a5ebdcca0610002a030a01371a002200";
const V1BETA1: &str = "\
    6b3873000a300a1d637573746f6d2e6d6574726963732e6b38732e696f2f76316265746131120f4d6574\
    72696356616c75654c69737412750a060a0012001a00126b0a200a03506f64120764656661756c741a05\
    7765622d3022002a032f763132003a00120d687474705f72657175657374731a0808a5ebdcca06100020\
    3c2a070a05313530306d32230a0b0a0476657262120347455412140a04636f64651202496e1a03323030\
    1a033230311a002200";
const EXTERNAL: &str = "\
    6b3873000a3a0a1f65787465726e616c2e6d6574726963732e6b38732e696f2f76316265746131121745\
    787465726e616c4d657472696356616c75654c69737412570a060a0012001a00122f0a0b71756575655f\
    646570746812060a016112013112060a01621201321a0808a5ebdcca061000203c2a040a023432121c0a\
    0b71756575655f64657074681a0808a5ebdcca0610002a030a01301a002200";
const EMPTY: &str = "\
    6b3873000a300a1d637573746f6d2e6d6574726963732e6b38732e696f2f76316265746132120f4d6574\
    72696356616c75654c69737412080a060a0012001a001a002200";
const NO_TIME: &str = "\
    6b3873000a3a0a1f65787465726e616c2e6d6574726963732e6b38732e696f2f76316265746131121745\
    787465726e616c4d657472696356616c75654c69737412140a060a0012001a00120a0a016d1a002a030a\
    01311a002200";
const NOT_FOUND: &str = "\
    6b3873000a0c0a0276311206537461747573124f0a060a0012001a0012074661696c7572651a2f746865\
    2073657276657220636f756c64206e6f742066696e6420746865206d6574726963207820666f7220706f\
    647322084e6f74466f756e643094031a002200";
const TOO_MANY: &str = "\
    6b3873000a0c0a0276311206537461747573124e0a060a0012001a0012074661696c7572651a016d220f\
    546f6f4d616e7952657175657374732a240a012a1215637573746f6d2e6d6574726963732e6b38732e69\
    6f1a04706f64732802320030ad031a002200";

fn series<'a>(
    metric: &'a str,
    labels: &'a Labels,
    timestamp: Seconds,
    window: Option<u32>,
    value: i64,
) -> ExternalMetricValue<'a> {
    ExternalMetricValue { metric, labels, timestamp, window, value: Milli(value) }
}

#[test]
fn custom_lists_have_the_bytes_of_kubernetes() {
    use CustomVersion::{V1Beta1, V1Beta2};

    let selector = selector();
    let first = pod("web-0", Some(&selector), Some(60), 1500);
    let second = pod("web-1", None, None, 7000);

    assert_eq!(format!("{:x}", custom(V1Beta2, &[first, second])), V1BETA2);
    assert_eq!(format!("{:x}", custom(V1Beta1, &[first])), V1BETA1);
    assert_eq!(format!("{:x}", custom(V1Beta2, &[])), EMPTY);
}

#[test]
fn external_lists_have_the_bytes_of_kubernetes() {
    let labels = Labels::from_iter([("b", "2"), ("a", "1")]);
    let none = Labels::default();
    let list = [
        series("queue_depth", &labels, TIME, Some(60), 42_000),
        series("queue_depth", &none, TIME, None, 0),
    ];
    let go_zero_time = Seconds(-62_135_596_800);

    assert_eq!(format!("{:x}", external(&list)), EXTERNAL);
    assert_eq!(format!("{:x}", external(&[series("m", &none, go_zero_time, None, 1000)])), NO_TIME);
}

#[test]
fn errors_have_the_bytes_of_kubernetes() {
    let message = "the server could not find the metric x for pods";
    let not_found = Status::metric_not_found("x", &GroupResource::parse("pods"));
    let too_many = Status {
        code: StatusCode::TOO_MANY_REQUESTS,
        reason: Reason::TooManyRequests,
        message: "m".to_owned(),
        details: Some(Box::new(Details {
            name: "*".to_owned(),
            group: "custom.metrics.k8s.io".to_owned(),
            kind: "pods".to_owned(),
            causes: Vec::new(),
        })),
    };

    assert_eq!(not_found.to_string(), message);
    assert_eq!(format!("{:x}", status(&not_found)), NOT_FOUND);
    // Theirs says that the client is to come back after two seconds, ours never says when.
    assert_eq!(format!("{:x}", status(&too_many)), TOO_MANY.replace("2802", "2800"));
}

#[test]
fn a_list_without_values_is_read_as_one() {
    for version in [CustomVersion::V1Beta2, CustomVersion::V1Beta1] {
        let (_, list) = open::<ListV1Beta2>(&custom(version, &[]));
        assert_eq!(list.items, []);
    }
    assert_eq!(open::<ExternalList>(&external(&[])).1.items, []);
}

#[test]
fn every_error_reads_the_same_in_both_forms() {
    let pods = GroupResource::parse("pods.custom.metrics.k8s.io");
    let cause = Cause {
        reason: "FieldValueForbidden".to_owned(),
        message: "Forbidden: not with watch".to_owned(),
        field: "watch".to_owned(),
    };
    for error in [
        Status::unauthorized(),
        Status::object_not_found(&pods, "web-0"),
        Status::method_not_allowed("create", &pods),
        Status::invalid(&pods, "", cause),
        Status::internal("x".repeat(20_000)),
        Status::uri_too_long("é"),
    ] {
        assert_same_error(&error);
    }
}

#[test]
fn the_content_type_is_that_of_the_body() {
    let value = [pod("web-0", None, None, 1)];
    for form in [Form::Json, Form::PrettyJson, Form::Protobuf] {
        let bodies = [
            metrics::custom(form, CustomVersion::V1Beta2, &value),
            metrics::custom(form, CustomVersion::V1Beta1, &value),
            metrics::external(form, &[]),
            Status::unauthorized().body(form),
        ];
        for body in bodies {
            let found = match &body[..4] {
                b"k8s\0" => "application/vnd.kubernetes.protobuf",
                _ if serde_json::from_slice::<serde_json::Value>(&body).is_ok() => {
                    "application/json"
                }
                _ => "application/octet-stream",
            };
            assert_eq!(form.content_type(), found);
        }
    }
}

fn assert_same_error(error: &Status) {
    let (type_meta, message) = open::<StatusMessage>(&error.body(Form::Protobuf));
    let json: StatusMessage = serde_json::from_slice(&error.body(Form::Json)).unwrap();

    assert_eq!((type_meta.api_version.as_str(), type_meta.kind.as_str()), ("v1", "Status"));
    assert_eq!(message, json);
}

fn selectors() -> impl Strategy<Value = Option<LabelSelector>> {
    let requirement = (".{0,5}", prop_oneof![Just("In"), Just("Exists")], texts())
        .prop_map(|(key, operator, values)| LabelSelectorRequirement { key, operator, values });
    let selector = (
        proptest::collection::btree_map(".{0,5}", ".{0,5}", 0..3),
        proptest::collection::vec(requirement, 0..3),
    );
    proptest::option::of(selector.prop_map(|(match_labels, match_expressions)| LabelSelector {
        match_labels,
        match_expressions,
    }))
}

fn texts() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(".{0,200}", 0..3)
}

proptest! {
    #[test]
    fn a_custom_list_reads_the_same_in_both_forms(
        names in texts(),
        namespace in ".{0,70}",
        metric in ".{0,9}",
        selector in selectors(),
        second: i64,
        window: Option<u32>,
        value: i64,
    ) {
        let values: Vec<_> = names
            .iter()
            .map(|name| MetricValue {
                object: ObjectReference { namespace: &namespace, ..pod(name, None, None, 0).object },
                metric: &metric,
                timestamp: Seconds(second),
                ..pod("", selector.as_ref(), window, value)
            })
            .collect();
        let bodies = |version| {
            [Form::Json, Form::Protobuf].map(|form| metrics::custom(form, version, &values))
        };

        let [json, protobuf] = bodies(CustomVersion::V1Beta2);
        let (type_meta, list) = open::<ListV1Beta2>(&protobuf);
        prop_assert_eq!(JsonList::new(type_meta, list.items), JsonList::parse(&json));
        let [json, protobuf] = bodies(CustomVersion::V1Beta1);
        let (type_meta, list) = open::<ListV1Beta1>(&protobuf);
        prop_assert_eq!(JsonList::new(type_meta, list.items), JsonList::parse(&json));
    }

    #[test]
    fn an_external_list_reads_the_same_in_both_forms(
        metric in ".{0,9}",
        labels in proptest::collection::vec(
            proptest::collection::btree_map(".{0,9}", ".{0,200}", 0..4),
            0..3,
        ),
        second in -100_000_000_000_i64..300_000_000_000,
        window: Option<u32>,
        value: i64,
    ) {
        let labels: Vec<_> = labels.into_iter().map(Labels::from_iter).collect();
        let values: Vec<_> = labels
            .iter()
            .map(|labels| series(&metric, labels, Seconds(second), window, value))
            .collect();

        let (type_meta, list) = open::<ExternalList>(&external(&values));
        let json = metrics::external(Form::Json, &values);
        prop_assert_eq!(JsonList::new(type_meta, list.items), JsonList::parse(&json));
    }
}
