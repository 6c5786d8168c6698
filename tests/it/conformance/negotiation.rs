//! Cases 60 to 69: content negotiation and protobuf.

// The messages that the unit tests read protobuf with, declared apart from the encoder.
#[path = "../../../src/wire/protobuf/tests/messages.rs"]
mod messages;

use std::fmt::Write as _;

use jiff::Timestamp;

use self::messages::{ExternalList, JsonList, ListV1Beta1, ListV1Beta2, StatusMessage, open};
use super::{C1, C2, E, Lab, PODS, Setup, answer, pairs, rate, status};
use crate::support::client::Answer;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What the HPA controller accepts.
const CONTROLLER: (&str, &str) = ("accept", "application/vnd.kubernetes.protobuf, */*");

const QUEUE: &str = "/namespaces/default/queue_depth";

fn is_protobuf(answer: &Answer) -> bool {
    let is = answer.body.starts_with(&[0x6b, 0x38, 0x73, 0x00]);
    assert_eq!(answer.header("content-type") == PROTOBUF, is, "the type is that of the body");
    is
}

#[tokio::test]
async fn case_60_the_hpa_controller_is_answered_in_protobuf() {
    let lab = Lab::start().await;
    for target in [format!("{C2}{PODS}"), format!("{C1}{PODS}"), format!("{E}{QUEUE}")] {
        let answer = lab.get_with(&target, CONTROLLER).await;
        assert_eq!(answer.status, 200);
        assert!(is_protobuf(&answer), "{target}");
    }
}

/// The vectors of Annex A that an answer can be equal to. They were written by the Go types of
/// Kubernetes, of a sample at 2026-01-02T03:04:05Z; a served one is of now. The others are compared
/// in src/wire/protobuf/tests.rs.
#[tokio::test]
async fn case_61_answers_are_the_golden_vectors_byte_for_byte() {
    const LIST: &str = "6b3873000a300a1d637573746f6d2e6d6574726963732e6b38732e696f2f763162657461\
        31120f4d657472696356616c75654c69737412750a060a0012001a00126b0a200a03506f641207646566617\
        56c741a057765622d3022002a032f763132003a00120d687474705f72657175657374731a0808a5ebdcca06\
        1000203c2a070a05313530306d32230a0b0a0476657262120347455412140a04636f64651202496e1a03323\
        0301a033230311a002200";
    const TIME: &str = "08a5ebdcca061000";
    const EMPTY: &str = "6b3873000a300a1d637573746f6d2e6d6574726963732e6b38732e696f2f76316265746\
        132120f4d657472696356616c75654c69737412080a060a0012001a001a002200";
    let slash = "  compat: {coreApiVersionSlash: true}\n  metricsQuery";
    let config = super::CONFIG.replacen("  metricsQuery", slash, 1);
    let lab = Lab::with(Setup { config: &config, ..Setup::default() }).await;
    let matchers = r#"code=~"200|201",verb="GET",namespace="default",pod="web-0""#;
    let sample = (serde_json::json!({"pod": "web-0"}), "1.5");
    answer(&lab.prometheus, &rate(matchers), &[sample]);
    let selector = "metricLabelSelector=verb%3DGET,code+in+(200,201)";
    let target = format!("{C1}/namespaces/default/pods/web-0/http_requests?{selector}");

    let (json, protobuf) = tokio::join!(lab.client.get(&target), lab.get_with(&target, CONTROLLER));
    let time = json.json()["items"][0]["timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap();
    let mut seconds = Vec::new();
    prost::encoding::encode_varint(time.as_second().try_into().unwrap(), &mut seconds);
    let time = format!("08{}1000", hex(&seconds));
    assert_eq!(hex(&protobuf.body), LIST.replace(TIME, &time));

    answer(&lab.prometheus, &rate(r#"namespace="default",pod="idle-0""#), &[]);
    let idle = format!("{C2}/namespaces/default/pods/*/http_requests?labelSelector=app%3Didle");
    assert_eq!(hex(&lab.get_with(&idle, CONTROLLER).await.body), EMPTY);
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    text
}

#[tokio::test]
async fn case_62_protobuf_and_json_decode_to_equal_objects() {
    let lab = Lab::start().await;
    let both = async |target: String| {
        let (json, protobuf) = (lab.client.get(&target).await, lab.get_with(&target, CONTROLLER));
        (json.body, protobuf.await.body)
    };
    let (json, protobuf) = both(format!("{C2}{PODS}")).await;
    let (meta, list) = open::<ListV1Beta2>(&protobuf);
    assert_eq!(list.items.len(), 2);
    assert_eq!(JsonList::new(meta, list.items), JsonList::parse(&json));
    let (json, protobuf) = both(format!("{C1}{PODS}")).await;
    let (meta, list) = open::<ListV1Beta1>(&protobuf);
    assert_eq!(list.items.len(), 2);
    assert_eq!(JsonList::new(meta, list.items), JsonList::parse(&json));
    let (json, protobuf) = both(format!("{E}/namespaces/default/queue_length")).await;
    let (meta, list) = open::<ExternalList>(&protobuf);
    assert_eq!(list.items.len(), 2);
    assert_eq!(JsonList::new(meta, list.items), JsonList::parse(&json));
}

#[tokio::test]
async fn case_63_an_empty_list_in_protobuf_decodes_to_no_items() {
    let lab = Lab::start().await;
    let target = format!("{E}{QUEUE}?labelSelector=a%3D3");
    let answer = lab.get_with(&target, CONTROLLER).await;
    let (meta, list) = open::<ExternalList>(&answer.body);
    assert_eq!(meta.kind, "ExternalMetricValueList");
    assert_eq!(list.items, []);
}

#[tokio::test]
async fn case_64_an_error_to_protobuf_is_a_protobuf_status() {
    let lab = Lab::start().await;
    let target = format!("{C2}/namespaces/default/pods/*/absent");
    let answer = lab.get_with(&target, CONTROLLER).await;
    assert!(is_protobuf(&answer));
    let (meta, error) = open::<StatusMessage>(&answer.body);
    assert_eq!((meta.kind.as_str(), answer.status), ("Status", 404));
    let json = lab.client.get(&target).await;
    status(&json, 404, "NotFound");
    assert_eq!(serde_json::from_slice::<StatusMessage>(&json.body).unwrap(), error);
}

#[tokio::test]
async fn case_65_wildcards_and_no_accept_are_json() {
    let lab = Lab::start().await;
    let target = format!("{C2}{PODS}");
    assert!(!is_protobuf(&lab.client.get(&target).await));
    for accept in ["", "*/*", "application/*", "application/json"] {
        let answer = lab.get_with(&target, ("accept", accept)).await;
        assert_eq!(answer.status, 200, "{accept}");
        assert!(!is_protobuf(&answer), "{accept}");
        assert_eq!(super::items(&answer), pairs(&[("web-0", "1500m"), ("web-1", "7")]));
    }
}

#[tokio::test]
async fn case_66_the_higher_weight_wins() {
    let lab = Lab::start().await;
    let target = format!("{C2}{PODS}");
    let accept = "application/json;q=0.1, application/vnd.kubernetes.protobuf;q=0.9";
    assert!(is_protobuf(&lab.get_with(&target, ("accept", accept)).await));
    let accept = "application/vnd.kubernetes.protobuf;q=0.1, application/json;q=0.9";
    assert!(!is_protobuf(&lab.get_with(&target, ("accept", accept)).await));
}

#[tokio::test]
async fn case_67_cbor_alone_is_not_acceptable_and_with_json_is_json() {
    let lab = Lab::start().await;
    let target = format!("{C2}{PODS}");
    assert_eq!(
        status(&lab.get_with(&target, ("accept", "application/cbor")).await, 406, "NotAcceptable"),
        "only the following media types are accepted: application/json, \
         application/vnd.kubernetes.protobuf"
    );
    let answer = lab.get_with(&target, ("accept", "application/cbor, application/json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
}

#[tokio::test]
async fn case_68_people_get_indented_json_unless_they_say_no() {
    let lab = Lab::start().await;
    let ask = async |query: &str, agent: &str| {
        let target = format!("{C2}/namespaces/default/pods/web-0/http_requests{query}");
        let answer = lab.get_with(&target, ("user-agent", agent)).await;
        assert_eq!(answer.status, 200);
        answer.text().contains("\n  \"kind\"")
    };
    assert!(ask("", "curl/8").await);
    assert!(ask("?pretty=true", "curl/8").await);
    assert!(ask("?pretty=true", "kube-controller-manager").await);
    assert!(!ask("?pretty=false", "curl/8").await);
    assert!(!ask("", "kube-controller-manager").await);
}

#[tokio::test]
async fn case_69_every_answer_has_the_content_type_of_its_body() {
    let lab = Lab::start().await;
    let metrics = [format!("{C2}{PODS}"), format!("{C1}{PODS}"), format!("{E}{QUEUE}")];
    let documents = ["/apis", C1, C2, E, "/openapi/v2", "/openapi/v3", "/version"];
    let targets = metrics.iter().map(String::as_str).chain(documents);
    for target in targets {
        for accept in ["*/*", "application/json", CONTROLLER.1] {
            let answer = lab.get_with(target, ("accept", accept)).await;
            assert_eq!(answer.status, 200, "{target}");
            if !is_protobuf(&answer) {
                assert_eq!(answer.header("content-type"), "application/json", "{target}");
                assert!(answer.json().is_object());
            }
        }
    }
    let health = lab.client.get("/healthz").await;
    assert_eq!((health.header("content-type"), health.text()), ("text/plain; charset=utf-8", "ok"));
}
