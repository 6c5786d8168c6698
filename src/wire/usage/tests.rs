use prost::Message;

use super::*;
use crate::wire::negotiate::TableVersion;
use crate::wire::table::{self, IncludeObject};

const SAMPLED: i64 = 1_795_472_308;

fn context(kind: UsageKind) -> Context {
    Context { kind, window: Duration::from_mins(5), created: Seconds(SAMPLED) }
}

fn usage(namespace: &str, name: &str, containers: &[(&str, i64, i64)]) -> ObjectUsage {
    let containers = containers.iter().map(|(name, cpu, memory)| ContainerUsage {
        name: (*name).into(),
        cpu: Milli(*cpu),
        memory: Milli(*memory),
    });
    ObjectUsage {
        namespace: namespace.into(),
        name: name.into(),
        timestamp: SAMPLED,
        containers: containers.collect(),
    }
}

fn node() -> ObjectUsage {
    usage("", "n1", &[("", 1500, 1_073_741_824_500)])
}

fn pod() -> ObjectUsage {
    usage("default", "web-0", &[("main", 50, 1_048_577_000), ("side", 100, 1_048_575_000)])
}

fn labels() -> [(Arc<str>, Arc<str>); 1] {
    [("zone".into(), "a".into())]
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const NODE: &str = r#""metadata":{"name":"n1","creationTimestamp":"2026-11-23T22:18:28Z","labels":{"zone":"a"}},"timestamp":"2026-11-23T22:18:28Z","window":"5m0s","usage":{"cpu":"1500m","memory":"1073741824500m"}"#;

/// Recorded from prometheus-adapter 0.12.
#[test]
fn nodes_are_written_as_prometheus_adapter_does() {
    let (node, labels) = (node(), labels());
    let item = UsageItem { usage: &node, labels: &labels };
    let context = context(UsageKind::Node);
    assert_eq!(
        text(&object(Form::Json, &context, &item)),
        format!(r#"{{"kind":"NodeMetrics","apiVersion":"metrics.k8s.io/v1beta1",{NODE}}}"#) + "\n"
    );
    assert_eq!(
        text(&list(Form::Json, &context, &[item])),
        format!(
            r#"{{"kind":"NodeMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{{}},"items":[{{{NODE}}}]}}"#
        ) + "\n"
    );
}

#[test]
fn pods_are_written_with_their_containers() {
    let pod = pod();
    let item = UsageItem { usage: &pod, labels: &[] };
    let context = context(UsageKind::Pod);
    assert_eq!(
        text(&object(Form::Json, &context, &item)),
        r#"{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1","metadata":{"name":"web-0","namespace":"default","creationTimestamp":"2026-11-23T22:18:28Z"},"timestamp":"2026-11-23T22:18:28Z","window":"5m0s","containers":[{"name":"main","usage":{"cpu":"50m","memory":"1048577"}},{"name":"side","usage":{"cpu":"100m","memory":"1048575"}}]}"#.to_owned() + "\n"
    );
    assert_eq!(
        text(&list(Form::Json, &context, &[])),
        r#"{"kind":"PodMetricsList","apiVersion":"metrics.k8s.io/v1beta1","metadata":{},"items":[]}"#
            .to_owned()
            + "\n"
    );
}

/// Columns as recorded from metrics-server's code within prometheus-adapter.
#[test]
fn a_table_has_the_sums_of_the_containers() {
    let pod = pod();
    let item = UsageItem { usage: &pod, labels: &[] };
    let column = |name: &str, format: &str, description: &str| {
        format!(
            r#"{{"name":"{name}","type":"string","format":"{format}","description":"{description}","priority":0}}"#
        )
    };
    let columns = [
        column("Name", "name", "Name of the resource"),
        column("cpu", "quantity", ""),
        column("memory", "quantity", ""),
        column("Window", "duration", ""),
    ]
    .join(",");
    let table = |include, object: &str| {
        let table =
            table::usage(Form::Json, TableVersion::V1, include, &context(UsageKind::Pod), &[item]);
        let expected = format!(
            r#"{{"kind":"Table","apiVersion":"meta.k8s.io/v1","metadata":{{}},"columnDefinitions":[{columns}],"rows":[{{"cells":["web-0","150m","2Mi","5m0s"]{object}}}]}}"#
        );
        assert_eq!(text(&table), expected + "\n");
    };
    let metadata = r#""metadata":{"name":"web-0","namespace":"default","creationTimestamp":"2026-11-23T22:18:28Z"}"#;
    table(IncludeObject::None, "");
    table(
        IncludeObject::Metadata,
        &format!(
            r#","object":{{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1",{metadata}}}"#
        ),
    );
    table(
        IncludeObject::Object,
        &format!(
            r#","object":{{"kind":"PodMetrics","apiVersion":"metrics.k8s.io/v1beta1",{metadata},"timestamp":"2026-11-23T22:18:28Z","window":"5m0s","containers":[{{"name":"main","usage":{{"cpu":"50m","memory":"1048577"}}}},{{"name":"side","usage":{{"cpu":"100m","memory":"1048575"}}}}]}}"#
        ),
    );
}

/// The messages as their generated.proto has them.
#[derive(Clone, PartialEq, Message)]
struct Unknown {
    #[prost(message, required, tag = "1")]
    type_meta: Pair,
    #[prost(bytes = "vec", required, tag = "2")]
    raw: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Pair {
    #[prost(string, required, tag = "1")]
    first: String,
    #[prost(string, required, tag = "2")]
    second: String,
}

#[derive(Clone, PartialEq, Message)]
struct Meta {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(string, required, tag = "3")]
    namespace: String,
    #[prost(int64, required, tag = "7")]
    generation: i64,
    #[prost(message, required, tag = "8")]
    created: Number,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: std::collections::BTreeMap<String, String>,
}

/// `Time`, of which the nanoseconds are always zero, and `Duration`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(int64, required, tag = "1")]
    number: i64,
}

#[derive(Clone, PartialEq, Message)]
struct Quantity {
    #[prost(string, required, tag = "1")]
    text: String,
}

type Amounts = std::collections::BTreeMap<String, Quantity>;

#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(message, required, tag = "1")]
    metadata: Meta,
    #[prost(message, required, tag = "2")]
    timestamp: Number,
    #[prost(message, required, tag = "3")]
    window: Number,
    #[prost(btree_map = "string, message", tag = "4")]
    usage: Amounts,
}

#[derive(Clone, PartialEq, Message)]
struct PodList {
    #[prost(message, repeated, tag = "2")]
    items: Vec<PodMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct PodMessage {
    #[prost(message, required, tag = "1")]
    metadata: Meta,
    #[prost(message, required, tag = "2")]
    timestamp: Number,
    #[prost(message, required, tag = "3")]
    window: Number,
    #[prost(message, repeated, tag = "4")]
    containers: Vec<ContainerMessage>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerMessage {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(btree_map = "string, message", tag = "2")]
    usage: Amounts,
}

fn open<M: Message + Default>(body: &[u8]) -> (String, M) {
    let unknown = Unknown::decode(body.strip_prefix(b"k8s\0").unwrap()).unwrap();
    assert_eq!(unknown.type_meta.first, "metrics.k8s.io/v1beta1");
    (unknown.type_meta.second, M::decode(&*unknown.raw).unwrap())
}

fn amounts(cpu: &str, memory: &str) -> Amounts {
    let quantity = |text: &str| Quantity { text: text.to_owned() };
    [("cpu".to_owned(), quantity(cpu)), ("memory".to_owned(), quantity(memory))].into()
}

#[test]
fn protobuf_says_the_same_as_json() {
    let (node, pod, labels) = (node(), pod(), labels());
    let meta = |name: &str, namespace: &str, labels: &[(&str, &str)]| Meta {
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        generation: 0,
        created: Number { number: SAMPLED },
        labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    };
    let (timestamp, window) = (Number { number: SAMPLED }, Number { number: 300_000_000_000 });

    let item = UsageItem { usage: &node, labels: &labels };
    let one = object(Form::Protobuf, &context(UsageKind::Node), &item);
    let expected = NodeMessage {
        metadata: meta("n1", "", &[("zone", "a")]),
        timestamp,
        window,
        usage: amounts("1500m", "1073741824500m"),
    };
    assert_eq!(open(&one), ("NodeMetrics".to_owned(), expected));

    let item = UsageItem { usage: &pod, labels: &[] };
    let many = list(Form::Protobuf, &context(UsageKind::Pod), &[item]);
    let container = |name: &str, cpu, memory| ContainerMessage {
        name: name.to_owned(),
        usage: amounts(cpu, memory),
    };
    let items = vec![PodMessage {
        metadata: meta("web-0", "default", &[]),
        timestamp,
        window,
        containers: vec![container("main", "50m", "1048577"), container("side", "100m", "1048575")],
    }];
    assert_eq!(open(&many), ("PodMetricsList".to_owned(), PodList { items }));
}
