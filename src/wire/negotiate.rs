//! Which form of an answer a client takes: the `Accept` header, `pretty` and the user agent.
//!
//! The rules are those of Kubernetes (k8s.io/apiserver/pkg/endpoints/handlers/negotiation): a
//! clause whose parameters ask for something that the endpoint cannot serve is skipped, unknown
//! parameters are ignored, parameter values are compared as they stand. Where Kubernetes' sort is
//! not an order (it puts a specific type before a wildcard of higher weight, or not, by chance),
//! RFC 9110 decides: weight, then the more specific type, then the order in the header; and a
//! weight of zero means no.

use std::cmp::Ordering;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, HeaderValue, USER_AGENT};
use serde::Serialize;

use super::status::Status;

/// Clauses of `Accept` or `Accept-Encoding` that are looked at; browsers send about eight.
pub(super) const MAX_CLAUSES: usize = 32;

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// JSON on one line.
    Json,
    /// JSON for people, indented by two spaces.
    PrettyJson,
    /// Protobuf in Kubernetes' envelope; for lists of values and for errors.
    Protobuf,
}

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// The object that the endpoint is named after.
    Object,
    /// `Table` of `meta.k8s.io`: columns and rows, what `kubectl get` prints.
    Table(TableVersion),
    /// `APIGroupDiscoveryList` of `apidiscovery.k8s.io/v2`: every group in one document.
    AggregatedDiscovery,
}

/// A version of `meta.k8s.io` in which a `Table` is asked for; only its name differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TableVersion {
    /// `meta.k8s.io/v1`
    V1,
    /// `meta.k8s.io/v1beta1`
    V1Beta1,
}

/// What an endpoint can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A list of custom metric values.
    MetricList,
    /// A list of external metric values; also as a `Table`.
    ExternalMetricList,
    /// What nodes or pods use, one or a list; also as a `Table`.
    Usage,
    /// Decisions, alone, in lists or as tables; there is no protobuf of them.
    Decisions,
    /// `/apis`: the list of groups, or the aggregated document where any clause asks for it.
    Groups,
    /// The `Status` of an error at any endpoint.
    Error,
    /// Everything else.
    Other,
}

/// The outcome of a negotiation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choice {
    /// How to write the answer.
    pub form: Form,
    /// What to write.
    pub shape: Shape,
}

/// Chooses what to answer. `pretty` is the value of the query parameter of that name.
///
/// Fails with 406 where no clause of `Accept` can be served.
pub fn negotiate(
    endpoint: Endpoint,
    headers: &HeaderMap,
    pretty: Option<&str>,
) -> Result<Choice, Status> {
    let Some(wanted) = accepted(endpoint, headers) else {
        return Err(Status::not_acceptable(endpoint.media_types()));
    };
    let form = match wanted.media_type {
        MediaType::Protobuf => Form::Protobuf,
        MediaType::Json if wanted.pretty => Form::PrettyJson,
        MediaType::Json => Form::of_client(headers, pretty),
    };
    Ok(Choice { form, shape: wanted.shape })
}

impl Form {
    /// The form in which this client reads errors: what it accepts, and JSON where that cannot be
    /// served, so that an error keeps its own code.
    pub fn for_errors(headers: &HeaderMap, pretty: Option<&str>) -> Self {
        negotiate(Endpoint::Error, headers, pretty)
            .map_or_else(|_| Self::of_client(headers, pretty), |choice| choice.form)
    }

    /// The media type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json | Self::PrettyJson => JSON,
            Self::Protobuf => PROTOBUF,
        }
    }

    /// Writes a value as JSON; as from Kubernetes, compact JSON ends in a newline and indented
    /// JSON does not (staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json/json.go).
    /// `capacity` is a guess of the length in bytes.
    #[expect(clippy::expect_used, reason = "a Vec takes every byte and no key is not a string")]
    pub(super) fn encode(self, value: &impl Serialize, capacity: usize) -> Bytes {
        let mut body = Vec::with_capacity(capacity);
        match self {
            Self::Json | Self::Protobuf => serde_json::to_writer(&mut body, value),
            Self::PrettyJson => serde_json::to_writer_pretty(&mut body, value),
        }
        .expect("JSON in memory");
        if self != Self::PrettyJson {
            body.push(b'\n');
        }
        body.into()
    }

    /// Indented where the request says so, or says nothing and comes from a person's tool.
    fn of_client(headers: &HeaderMap, pretty: Option<&str>) -> Self {
        let pretty = match pretty {
            Some(value) if !value.is_empty() => is_true(value),
            _ => headers.get(USER_AGENT).map(HeaderValue::as_bytes).is_some_and(|agent| {
                [&b"curl"[..], b"Wget", b"Mozilla/5.0"].iter().any(|tool| agent.starts_with(tool))
            }),
        };
        if pretty { Self::PrettyJson } else { Self::Json }
    }
}

/// Whether a query parameter says yes, in the words of Go's `strconv.ParseBool`; what is no boolean
/// is a no.
pub fn is_true(value: &str) -> bool {
    matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True")
}

impl TableVersion {
    /// The `apiVersion` of the table.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "meta.k8s.io/v1",
            Self::V1Beta1 => "meta.k8s.io/v1beta1",
        }
    }
}

impl Endpoint {
    /// The media types that it serves, in order of preference.
    const fn media_types(self) -> &'static [&'static str] {
        if self.serves_protobuf() { &[JSON, PROTOBUF] } else { &[JSON] }
    }

    const fn serves_tables(self) -> bool {
        matches!(self, Self::ExternalMetricList | Self::Usage | Self::Decisions)
    }

    /// Documents come as JSON alone: no client asks for them in protobuf without an alternative.
    const fn serves_protobuf(self) -> bool {
        match self {
            Self::MetricList | Self::ExternalMetricList | Self::Usage | Self::Error => true,
            Self::Decisions | Self::Groups | Self::Other => false,
        }
    }
}

/// What the best clause asks for.
#[derive(Clone, Copy)]
struct Wanted {
    media_type: MediaType,
    shape: Shape,
    /// Whether the clause itself says `pretty=1`.
    pretty: bool,
}

fn accepted(endpoint: Endpoint, headers: &HeaderMap) -> Option<Wanted> {
    let mut fields = headers.get_all(ACCEPT).iter().filter(|field| !field.is_empty()).peekable();
    if fields.peek().is_none() {
        let media_type = MediaType::Json;
        return Some(Wanted { media_type, shape: Shape::Object, pretty: false });
    }
    // A field that is not ASCII has no clause that could be served.
    let clauses = fields
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .take(MAX_CLAUSES)
        .filter_map(Clause::parse);
    let mut best: Option<(Clause<'_>, Shape)> = None;
    for clause in clauses {
        let Some(shape) = clause.shape_at(endpoint) else {
            continue;
        };
        let better = best.as_ref().is_none_or(|(leader, leading)| {
            // The handler of the aggregated document looks first, and leaves the rest to the
            // legacy one (aggregated/wrapper.go).
            let aggregated = |shape| shape == Shape::AggregatedDiscovery;
            aggregated(shape)
                .cmp(&aggregated(*leading))
                .then(clause.quality.total_cmp(&leader.quality))
                .then(clause.specificity.cmp(&leader.specificity))
                == Ordering::Greater
        });
        if better {
            best = Some((clause, shape));
        }
    }
    best.map(|(Clause { media_type, pretty, .. }, shape)| Wanted { media_type, shape, pretty })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    Json,
    Protobuf,
}

/// One clause of `Accept` that JSON or protobuf satisfies.
struct Clause<'a> {
    /// JSON where both would do.
    media_type: MediaType,
    /// More than 0, at most 1.
    quality: f32,
    /// `application/json` before `application/*` before `*/*`.
    specificity: u8,
    /// Kind, group and version that the answer is to be turned into, where any of them is given.
    target: Option<Target<'a>>,
    pretty: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Target<'a> {
    kind: &'a str,
    group: &'a str,
    version: &'a str,
}

impl<'a> Clause<'a> {
    /// Reads a clause; `None` where it is malformed or can never be served.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(trim);
        let (media_type, specificity) = match parts.next()? {
            // Java's URLConnection sends a lone star.
            "*" | "*/*" => (MediaType::Json, 0),
            any if any.eq_ignore_ascii_case("application/*") => (MediaType::Json, 1),
            json if json.eq_ignore_ascii_case(JSON) => (MediaType::Json, 2),
            protobuf if protobuf.eq_ignore_ascii_case(PROTOBUF) => (MediaType::Protobuf, 2),
            _ => return None,
        };
        let mut clause =
            Self { media_type, quality: 1.0, specificity, target: None, pretty: false };
        for (name, value) in parts.filter_map(parameter) {
            match name {
                "q" => clause.quality = quality(value)?,
                "as" => clause.target.get_or_insert_default().kind = value,
                "g" => clause.target.get_or_insert_default().group = value,
                "v" => clause.target.get_or_insert_default().version = value,
                "pretty" => clause.pretty = value == "1",
                // Kubernetes knows no other stream, and here is no version of a server to ask for.
                "stream" if value != "watch" => return None,
                "sv" => return None,
                _ => {}
            }
        }
        (clause.quality > 0.0).then_some(clause)
    }

    /// What an endpoint answers to this clause; `None` where it cannot.
    fn shape_at(&self, endpoint: Endpoint) -> Option<Shape> {
        if self.media_type == MediaType::Protobuf && !endpoint.serves_protobuf() {
            return None;
        }
        let Some(Target { kind, group, version }) = self.target else {
            return Some(Shape::Object);
        };
        // Tables and the aggregated document are JSON alone.
        if self.media_type == MediaType::Protobuf {
            return None;
        }
        match (endpoint, kind, group, version) {
            (endpoint, "Table", "meta.k8s.io", "v1") if endpoint.serves_tables() => {
                Some(Shape::Table(TableVersion::V1))
            }
            (endpoint, "Table", "meta.k8s.io", "v1beta1") if endpoint.serves_tables() => {
                Some(Shape::Table(TableVersion::V1Beta1))
            }
            (Endpoint::Groups, "APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => {
                Some(Shape::AggregatedDiscovery)
            }
            _ => None,
        }
    }
}

/// Name and value of a parameter; `None` where there is no value or more than one.
pub(super) fn parameter(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    (!value.is_empty() && !value.contains('=')).then(|| (trim(name), trim(value)))
}

/// A weight from 0 to 1 (RFC 9110, 12.4.2).
pub(super) fn quality(text: &str) -> Option<f32> {
    text.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))
}

pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

#[cfg(test)]
mod tests;
