//! The messages as their generated.proto has them, and as JSON has them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prost::Message;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// Opens the envelope: what the object is said to be, and the object.
pub(super) fn open<M: Message + Default>(body: &[u8]) -> (TypeMeta, M) {
    let unknown = Unknown::decode(body.strip_prefix(b"k8s\0").unwrap()).unwrap();
    assert_eq!((unknown.content_encoding.as_str(), unknown.content_type.as_str()), ("", ""));
    (unknown.type_meta, M::decode(&*unknown.raw).unwrap())
}

#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, required, tag = "1")]
    type_meta: TypeMeta,
    #[prost(bytes = "vec", required, tag = "2")]
    raw: Vec<u8>,
    #[prost(string, required, tag = "3")]
    content_encoding: String,
    #[prost(string, required, tag = "4")]
    content_type: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TypeMeta {
    #[prost(string, required, tag = "1")]
    pub(super) api_version: String,
    #[prost(string, required, tag = "2")]
    pub(super) kind: String,
}

/// A list of either form.
#[derive(PartialEq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JsonList<T> {
    kind: String,
    api_version: String,
    metadata: ListMeta,
    items: Vec<T>,
}

impl<T: DeserializeOwned> JsonList<T> {
    pub(super) fn new(type_meta: TypeMeta, items: Vec<T>) -> Self {
        let TypeMeta { api_version, kind } = type_meta;
        Self { kind, api_version, metadata: ListMeta::default(), items }
    }

    pub(super) fn parse(json: &[u8]) -> Self {
        serde_json::from_slice(json).unwrap()
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListV1Beta2 {
    #[prost(message, required, tag = "1")]
    metadata: ListMeta,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<ValueV1Beta2>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListV1Beta1 {
    #[prost(message, required, tag = "1")]
    metadata: ListMeta,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<ValueV1Beta1>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ExternalList {
    #[prost(message, required, tag = "1")]
    metadata: ListMeta,
    #[prost(message, repeated, tag = "2")]
    pub(super) items: Vec<ExternalValue>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ValueV1Beta2 {
    #[prost(message, required, tag = "1")]
    described_object: ObjectReference,
    #[prost(message, required, tag = "2")]
    metric: MetricIdentifier,
    #[prost(message, required, tag = "3")]
    timestamp: Time,
    #[prost(int64, optional, tag = "4")]
    window_seconds: Option<i64>,
    #[prost(message, required, tag = "5")]
    value: Quantity,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ValueV1Beta1 {
    #[prost(message, required, tag = "1")]
    described_object: ObjectReference,
    #[prost(string, required, tag = "2")]
    metric_name: String,
    #[prost(message, required, tag = "3")]
    timestamp: Time,
    #[prost(int64, optional, tag = "4")]
    window: Option<i64>,
    #[prost(message, required, tag = "5")]
    value: Quantity,
    #[prost(message, optional, tag = "6")]
    selector: Option<LabelSelector>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ExternalValue {
    #[prost(string, required, tag = "1")]
    metric_name: String,
    #[prost(btree_map = "string, string", tag = "2")]
    metric_labels: BTreeMap<String, String>,
    #[prost(message, required, tag = "3")]
    timestamp: Time,
    #[prost(int64, optional, tag = "4")]
    window: Option<i64>,
    #[prost(message, required, tag = "5")]
    value: Quantity,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricIdentifier {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(message, optional, tag = "2")]
    selector: Option<LabelSelector>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ObjectReference {
    #[prost(string, required, tag = "1")]
    kind: String,
    #[prost(string, required, tag = "2")]
    namespace: String,
    #[prost(string, required, tag = "3")]
    name: String,
    #[prost(string, required, tag = "4")]
    uid: String,
    #[prost(string, required, tag = "5")]
    api_version: String,
    #[prost(string, required, tag = "6")]
    resource_version: String,
    #[prost(string, required, tag = "7")]
    field_path: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct LabelSelector {
    #[prost(btree_map = "string, string", tag = "1")]
    match_labels: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "2")]
    match_expressions: Vec<LabelSelectorRequirement>,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelSelectorRequirement {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, required, tag = "2")]
    operator: String,
    #[serde(default)]
    #[prost(string, repeated, tag = "3")]
    values: Vec<String>,
}

/// Empty where there is no time.
#[derive(Clone, PartialEq, Message)]
struct Time {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
    #[prost(int32, optional, tag = "2")]
    nanos: Option<i32>,
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seconds = Option::<Timestamp>::deserialize(deserializer)?.map(Timestamp::as_second);
        Ok(Self { seconds, nanos: seconds.map(|_| 0) })
    }
}

#[derive(Clone, PartialEq, Message)]
struct Quantity {
    #[prost(string, required, tag = "1")]
    string: String,
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self { string: String::deserialize(deserializer)? })
    }
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct ListMeta {
    #[prost(string, required, tag = "1")]
    self_link: String,
    #[prost(string, required, tag = "2")]
    resource_version: String,
    #[prost(string, required, tag = "3")]
    r#continue: String,
}

/// In JSON with `kind` and `apiVersion`, which protobuf has in the envelope.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default)]
pub(super) struct StatusMessage {
    #[prost(message, required, tag = "1")]
    metadata: ListMeta,
    #[prost(string, required, tag = "2")]
    status: String,
    #[prost(string, required, tag = "3")]
    message: String,
    #[prost(string, required, tag = "4")]
    reason: String,
    #[prost(message, optional, tag = "5")]
    details: Option<StatusDetails>,
    #[prost(int32, required, tag = "6")]
    code: i32,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
struct StatusDetails {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(string, required, tag = "2")]
    group: String,
    #[prost(string, required, tag = "3")]
    kind: String,
    #[prost(message, repeated, tag = "4")]
    causes: Vec<StatusCause>,
    #[prost(int32, required, tag = "5")]
    retry_after_seconds: i32,
    #[prost(string, required, tag = "6")]
    uid: String,
}

#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct StatusCause {
    #[prost(string, required, tag = "1")]
    reason: String,
    #[prost(string, required, tag = "2")]
    message: String,
    #[prost(string, required, tag = "3")]
    field: String,
}
