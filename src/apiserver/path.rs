//! From a URL to what is asked for. Pure: every question of syntax is settled here.
//!
//! The path is split at `/` while it is still encoded, and each segment decoded by itself, so that
//! an encoded slash never reaches another route. The query string is form-encoded, and the first
//! of several values of one parameter counts, as in the API server
//! (`staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go`).

use std::borrow::Cow;

use percent_encoding::percent_decode_str;

use crate::engine::demand::{CustomDemand, Demand, ExternalDemand, Target, UsageDemand};
use crate::model::access::asks_for_watch;
use crate::model::object::GroupResource;
use crate::model::selector::Selector;
use crate::serve::health::Probe;
use crate::wire::GroupVersion;
use crate::wire::negotiate::is_true;
use crate::wire::status::Status;

/// What a path stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// A document that says what is served.
    Document(Document),
    /// A health endpoint.
    Health(Probe),
    /// A value or values.
    Metric(MetricRoute),
    /// What nodes or pods use.
    Usage(UsageRoute),
    /// What was decided.
    Decisions(DecisionsRoute),
}

/// A document that says what is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// `/apis/GROUP`
    Group(String),
    /// `/apis`
    Groups,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiV3,
    /// `/openapi/v3/apis/GROUP/VERSION`
    OpenApiV3Group(String, String),
    /// `/apis/GROUP/VERSION`
    Resources(String, String),
    /// `/version`
    Version,
}

/// A request for values, and the version to answer in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricRoute {
    /// The group and version that the path names.
    pub version: GroupVersion,
    /// What is asked for.
    pub demand: Demand,
}

/// A request for what objects use, and which of those that the demand has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageRoute {
    /// What is asked for.
    pub demand: UsageDemand,
    /// Which objects of it.
    pub target: Target,
    /// `fieldSelector`, for lists.
    pub fields: FieldSelector,
}

/// A request for decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionsRoute {
    /// Of one namespace; `None` for those of all.
    pub namespace: Option<String>,
    /// The one of this name; `None` for a list.
    pub name: Option<String>,
    /// `fieldSelector`, for lists.
    pub fields: FieldSelector,
}

/// Parses a request's target.
pub fn parse(path: &str, parameters: &Parameters<'_>) -> Result<Route, Status> {
    let segments = segments(path)?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    let document = match segments.as_slice() {
        ["apis"] => Document::Groups,
        ["apis", group] => Document::Group((*group).to_owned()),
        ["apis", group, version] => Document::Resources((*group).to_owned(), (*version).to_owned()),
        ["apis", group, version, rest @ ..] => return metric(group, version, rest, parameters),
        ["openapi", "v2"] => Document::OpenApiV2,
        ["openapi", "v3"] => Document::OpenApiV3,
        ["openapi", "v3", "apis", group, version] => {
            Document::OpenApiV3Group((*group).to_owned(), (*version).to_owned())
        }
        ["version"] => Document::Version,
        _ => return Probe::of(path).map(Route::Health).ok_or_else(Status::path_not_found),
    };
    Ok(Route::Document(document))
}

fn metric(
    group: &str,
    version: &str,
    rest: &[&str],
    parameters: &Parameters<'_>,
) -> Result<Route, Status> {
    let version = GroupVersion::parse(group, version).ok_or_else(Status::path_not_found)?;
    if is_authorized_as_something_else(rest) {
        return Err(Status::path_not_found());
    }
    let demand = match version {
        GroupVersion::Custom(_) => custom(rest, parameters).map(Demand::Custom),
        GroupVersion::External => external(rest, parameters).map(Demand::External),
        GroupVersion::Resource => return usage(rest, parameters).map(Route::Usage),
        GroupVersion::Insight => return decisions(rest, parameters).map(Route::Decisions),
    }?;
    Ok(Route::Metric(MetricRoute { version, demand }))
}

/// Whether Kubernetes reads a path in another way than as that of a metric: whoever may set the
/// status of namespaces, say, is not thereby allowed to read an external metric named `status`
/// ([`crate::model::access::Attributes`]).
fn is_authorized_as_something_else(segments: &[&str]) -> bool {
    matches!(segments, ["proxy" | "watch", ..] | ["namespaces", _, "finalize" | "status", ..])
}

/// The decoded segments of a path; a slash at the end of a discovery path means nothing.
fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Status> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    path.split('/').map(decode).collect()
}

fn decode(segment: &str) -> Result<Cow<'_, str>, Status> {
    let bad = |what| Status::bad_request(format!("the path segment {segment:?} {what}"));
    if !is_encoded(segment) {
        return Err(bad("has an incomplete percent-encoding"));
    }
    let decoded =
        percent_decode_str(segment).decode_utf8().map_err(|_| bad("is not UTF-8 when decoded"))?;
    if decoded == "." || decoded == ".." || decoded.contains(['/', '\0']) {
        return Err(bad("cannot be a name"));
    }
    Ok(decoded)
}

/// Whether each percent sign begins an encoded byte.
fn is_encoded(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Refuses a query string with an encoding that is none: a parameter that is not understood must
/// not be taken for one that was not given.
pub fn check_query(query: &str) -> Result<(), Status> {
    if is_encoded(query) {
        return Ok(());
    }
    Err(Status::bad_request("the query string has an incomplete percent-encoding"))
}

fn custom(segments: &[&str], parameters: &Parameters<'_>) -> Result<CustomDemand, Status> {
    let (resource, namespace, name, metric) = match segments {
        ["namespaces", namespace, "metrics", metric] => ("namespaces", None, *namespace, *metric),
        ["namespaces", namespace, resource, name, metric] => {
            (*resource, Some(*namespace), *name, *metric)
        }
        ["namespaces", ..] if segments.len() < 5 => {
            return Err(Status::bad_request("invalid request path"));
        }
        [resource, name, metric] => (*resource, None, *name, *metric),
        [] | [_] | [_, _] => return Err(Status::bad_request("invalid request path")),
        _ => return Err(Status::path_not_found()),
    };
    if [resource, namespace.unwrap_or(name), name, metric].contains(&"") {
        return Err(Status::path_not_found());
    }
    parameters.refuse_watch(is_true)?;
    parameters.check_field_selector(name)?;
    let target = if name == "*" {
        Target::Selected(parameters.selector("labelSelector")?)
    } else {
        // A named request means that object whatever its labels, but a selector that cannot be
        // parsed is an error all the same.
        parameters.selector("labelSelector")?;
        Target::Named(name.to_owned())
    };
    Ok(CustomDemand {
        resource: GroupResource::parse(&resource.to_lowercase()),
        namespace: namespace.map(str::to_owned),
        target,
        metric: metric.to_owned(),
        metric_selector: parameters.selector("metricLabelSelector")?,
    })
}

fn external(segments: &[&str], parameters: &Parameters<'_>) -> Result<ExternalDemand, Status> {
    let (namespace, metric) = match segments {
        ["namespaces", namespace, metric] => (*namespace, *metric),
        [] | [_] | ["namespaces", _] => return Err(Status::bad_request("invalid request path")),
        _ => return Err(Status::path_not_found()),
    };
    if namespace.is_empty() || metric.is_empty() {
        return Err(Status::path_not_found());
    }
    parameters.refuse_watch(asks_for_watch)?;
    parameters.check_field_selector("")?;
    Ok(ExternalDemand {
        namespace: namespace.to_owned(),
        metric: metric.to_lowercase(),
        selector: parameters.selector("labelSelector")?,
    })
}

fn usage(segments: &[&str], parameters: &Parameters<'_>) -> Result<UsageRoute, Status> {
    let pods = |namespace: &str| UsageDemand::Pods { namespace: Some(namespace.to_owned()) };
    let (demand, name) = match segments {
        ["nodes"] => (UsageDemand::Nodes, None),
        ["nodes", name] => (UsageDemand::Nodes, Some(*name)),
        ["pods"] => (UsageDemand::Pods { namespace: None }, None),
        ["namespaces", namespace, "pods"] => (pods(namespace), None),
        ["namespaces", namespace, "pods", name] => (pods(namespace), Some(*name)),
        _ => return Err(Status::path_not_found()),
    };
    if name == Some("") || segments.get(1) == Some(&"") {
        return Err(Status::path_not_found());
    }
    if let Some(name) = name {
        let target = Target::Named(name.to_owned());
        return Ok(UsageRoute { demand, target, fields: FieldSelector::default() });
    }
    parameters.refuse_watch(asks_for_watch)?;
    let target = Target::Selected(parameters.selector("labelSelector")?);
    let fields = FieldSelector::parse(parameters.first("fieldSelector").unwrap_or_default())?;
    Ok(UsageRoute { demand, target, fields })
}

/// Decisions carry no labels, so that a selector of labels is a mistake.
fn decisions(segments: &[&str], parameters: &Parameters<'_>) -> Result<DecisionsRoute, Status> {
    let (namespace, name) = match segments {
        ["decisions"] => (None, None),
        ["namespaces", namespace, "decisions"] => (Some(*namespace), None),
        ["namespaces", namespace, "decisions", name] => (Some(*namespace), Some(*name)),
        _ => return Err(Status::path_not_found()),
    };
    if namespace == Some("") || name == Some("") {
        return Err(Status::path_not_found());
    }
    let mut fields = FieldSelector::default();
    if name.is_none() {
        if parameters.first("watch").is_some_and(asks_for_watch) {
            let resource = GroupResource::parse("decisions.insight.plimsoll.dev");
            return Err(Status::method_not_allowed("watch", &resource));
        }
        if !parameters.selector("labelSelector")?.is_empty() {
            return Err(Status::bad_request(
                "decisions have no labels: select by metadata.name or metadata.namespace",
            ));
        }
        fields = FieldSelector::parse(parameters.first("fieldSelector").unwrap_or_default())?;
    }
    let (namespace, name) = (namespace.map(str::to_owned), name.map(str::to_owned));
    Ok(DecisionsRoute { namespace, name, fields })
}

/// A field selector over the two fields that every object has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector(Vec<FieldTerm>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct FieldTerm {
    field: Field,
    value: String,
    equal: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
}

impl FieldSelector {
    /// Whether an object is selected.
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        self.0.iter().all(|FieldTerm { field, value, equal }| {
            let found = match field {
                Field::Name => name,
                Field::Namespace => namespace,
            };
            (found == value) == *equal
        })
    }

    fn parse(text: &str) -> Result<Self, Status> {
        let terms = text.split(',').map(str::trim).filter(|term| !term.is_empty());
        terms.map(FieldTerm::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FieldTerm {
    fn parse(term: &str) -> Result<Self, Status> {
        let parts = term.split_once("!=").map(|(field, value)| (field, value, false));
        let parts =
            parts.or_else(|| term.split_once("==").map(|(field, value)| (field, value, true)));
        let parts =
            parts.or_else(|| term.split_once('=').map(|(field, value)| (field, value, true)));
        let (field, value, equal) = parts.ok_or_else(|| invalid_field_selector(term))?;
        let field = match field.trim() {
            "metadata.name" => Field::Name,
            "metadata.namespace" => Field::Namespace,
            other => {
                return Err(Status::bad_request(format!(
                    "{other:?} is not a known field selector: only \"metadata.name\", \
                     \"metadata.namespace\""
                )));
            }
        };
        Ok(Self { field, value: value.trim().to_owned(), equal })
    }
}

fn invalid_field_selector(term: &str) -> Status {
    Status::bad_request(format!("invalid field selector {term:?}: use metadata.name=NAME"))
}

/// The parameters of the query string, decoded. List options that mean nothing for metrics are
/// ignored.
#[derive(Debug)]
pub struct Parameters<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Parameters<'a> {
    /// Decodes a query string, which is never an error: what is no encoding is taken as it stands.
    pub fn parse(query: &'a str) -> Self {
        Self(url::form_urlencoded::parse(query.as_bytes()).collect())
    }

    /// The first value of a parameter.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_ref())
    }

    fn selector(&self, name: &str) -> Result<Selector, Status> {
        match self.first(name) {
            None => Ok(Selector::default()),
            Some(text) => {
                Selector::parse(text).map_err(|error| Status::bad_request(error.to_string()))
            }
        }
    }

    /// What is authorized as a watch must not be answered as a list, so a list takes for a watch
    /// what Kubernetes does ([`asks_for_watch`]); a value is no list, whatever its parameter says.
    fn refuse_watch(&self, is_watch: fn(&str) -> bool) -> Result<(), Status> {
        if self.first("watch").is_some_and(is_watch) {
            return Err(Status::method_not_allowed("watch", &GroupResource::parse("metrics")));
        }
        Ok(())
    }

    /// A field selector can only repeat the name that the path has already.
    fn check_field_selector(&self, name: &str) -> Result<(), Status> {
        for term in self.first("fieldSelector").unwrap_or_default().split(',') {
            let Some((field, value)) = term.split_once('=') else {
                if term.trim().is_empty() {
                    continue;
                }
                return Err(invalid_field_selector(term));
            };
            let (field, value) = (field.trim(), value.trim_start_matches('=').trim());
            if field != "metadata.name" {
                return Err(Status::bad_request(format!(
                    "{field:?} is not a known field selector: only \"metadata.name\""
                )));
            }
            if !name.is_empty() && value != name {
                return Err(Status::bad_request(
                    "fieldSelector metadata.name doesn't match requested name",
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
