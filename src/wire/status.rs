//! `metav1.Status`: every error of the API, with the codes, reasons and words of Kubernetes
//! (k8s.io/apimachinery/pkg/api/errors) and of custom-metrics-apiserver (pkg/provider/errors.go).
//!
//! The message is all that an HPA's condition and kubectl show, so it names the cause. There is no
//! way to say `Retry-After`: client-go would then repeat the request up to ten times inside one of
//! the HPA controller's five workers (`rest/with_retry.go` of client-go).

use std::fmt;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use http::{Response, StatusCode};
use serde::Serialize;

use super::negotiate::Form;
use super::{Empty, protobuf};
use crate::model::object::GroupResource;

/// Longest message in bytes; what a backend says can be as long as it likes.
const MAX_MESSAGE: usize = 4096;

/// The `status` of every error.
pub(super) const FAILURE: &str = "Failure";

/// An error as the API answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The HTTP status, also the `code` in the body.
    pub code: StatusCode,
    /// The machine-readable reason.
    pub reason: Reason,
    /// What people see; at most 4 KiB.
    pub message: String,
    /// What it is about, where that is one object.
    pub details: Option<Box<Details>>,
}

/// `metav1.StatusReason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Reason {
    BadRequest,
    Expired,
    Forbidden,
    InternalError,
    Invalid,
    MethodNotAllowed,
    NotAcceptable,
    NotFound,
    RequestEntityTooLarge,
    ServiceUnavailable,
    Timeout,
    TooManyRequests,
    Unauthorized,
    /// Kubernetes has no word for it; empty in the body.
    Unknown,
}

/// `metav1.StatusDetails`, except `uid` and `retryAfterSeconds`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Details {
    /// The object's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The API group.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// The resource, or the kind.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// What led to it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Cause>,
}

/// `metav1.StatusCause`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Machine-readable, `FieldValueInvalid` and the like.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// For people.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// The field or parameter at fault.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
}

/// What somebody wanted to do with a resource and may not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// `get`, `list`, …
    pub verb: &'a str,
    /// The API group.
    pub group: &'a str,
    /// The resource: `pods`.
    pub resource: &'a str,
    /// The metric; empty where there is none.
    pub subresource: &'a str,
    /// Empty at the cluster scope.
    pub namespace: &'a str,
    /// Empty where no object is named.
    pub name: &'a str,
}

impl Status {
    /// 404: nobody serves that metric, or it has no value for anything.
    pub fn metric_not_found(metric: &str, resource: &GroupResource) -> Self {
        Self::not_found(format!("the server could not find the metric {metric} for {resource}"))
    }

    /// 404: the metric has no value for that object.
    pub fn metric_not_found_for(metric: &str, resource: &GroupResource, name: &str) -> Self {
        Self::not_found(format!(
            "the server could not find the metric {metric} for {resource} {name}"
        ))
    }

    /// 404: nobody serves that external metric. The reference names the resource `namespaces` or
    /// none here, which tells nobody anything.
    pub fn external_metric_not_found(metric: &str) -> Self {
        Self::not_found(format!("the server could not find the external metric {metric}"))
    }

    /// 404: there is no such object.
    pub fn object_not_found(resource: &GroupResource, name: &str) -> Self {
        Self::not_found(format!("{resource} {name:?} not found")).about(resource, name)
    }

    /// 404: there is no such path.
    pub fn path_not_found() -> Self {
        Self::not_found("the server could not find the requested resource".to_owned())
    }

    /// 400: a path, parameter or selector that cannot be read; the parser's own words.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Reason::BadRequest, message)
    }

    /// 401: nobody knows who is asking.
    pub fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, Reason::Unauthorized, "Unauthorized")
    }

    /// 403: the user may not do that. `reason` is the authorizer's, or empty.
    pub fn forbidden(user: &str, attempt: &Attempt<'_>, reason: &str) -> Self {
        let Attempt { verb, group, resource, subresource, namespace, name } = *attempt;
        let slash = if subresource.is_empty() { "" } else { "/" };
        let mut denial = without_markup(&format!(
            "User {user:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group \
             {group:?}"
        ));
        denial += &if namespace.is_empty() {
            " at the cluster scope".to_owned()
        } else {
            without_markup(&format!(" in the namespace {namespace:?}"))
        };
        let resource = GroupResource { group: group.to_owned(), resource: resource.to_owned() };
        let subject = if name.is_empty() { String::new() } else { format!(" {name:?}") };
        let message = format!("{resource}{subject} is forbidden: {denial}");
        Self::new(StatusCode::FORBIDDEN, Reason::Forbidden, with_reason(message, reason))
            .about(&resource, name)
    }

    /// 403: the user may not ask for that path. `reason` is the authorizer's, or empty.
    pub fn forbidden_path(user: &str, verb: &str, path: &str, reason: &str) -> Self {
        let denial = without_markup(&format!("User {user:?} cannot {verb} path {path:?}"));
        let message = with_reason(format!("forbidden: {denial}"), reason);
        Self::new(StatusCode::FORBIDDEN, Reason::Forbidden, message)
    }

    /// 405: nothing here can be changed or watched. `action` is Kubernetes' verb: `create`.
    pub fn method_not_allowed(action: &str, resource: &GroupResource) -> Self {
        let message = format!("{action} is not supported on resources of kind \"{resource}\"");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Reason::MethodNotAllowed, message)
            .about(resource, "")
    }

    /// 406: the client takes none of the media types that are served.
    pub fn not_acceptable(served: &[&str]) -> Self {
        let served = served.join(", ");
        let message = format!("only the following media types are accepted: {served}");
        Self::new(StatusCode::NOT_ACCEPTABLE, Reason::NotAcceptable, message)
    }

    /// 410: a watch or list from a version that is gone.
    pub fn expired() -> Self {
        let message = "The resourceVersion for the provided watch is too old.";
        Self::new(StatusCode::GONE, Reason::Expired, message)
    }

    /// 413: the body is longer than anything that could make sense.
    pub fn body_too_large(message: &str) -> Self {
        let message = format!("Request entity too large: {message}");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, Reason::RequestEntityTooLarge, message)
    }

    /// 414: the path and query are longer than anything that could make sense.
    pub fn uri_too_long(message: impl Into<String>) -> Self {
        Self::new(StatusCode::URI_TOO_LONG, Reason::Unknown, message)
    }

    /// 422: options that can be read and contradict each other, or an object that cannot be.
    /// `kind` is the kind with its group: `ListOptions.meta.k8s.io`.
    pub fn invalid(kind: &GroupResource, name: &str, cause: Cause) -> Self {
        let Cause { field, message, .. } = &cause;
        let message = format!("{kind} {name:?} is invalid: {field}: {message}");
        let mut status =
            Self::new(StatusCode::UNPROCESSABLE_ENTITY, Reason::Invalid, message).about(kind, name);
        status.details.get_or_insert_default().causes.push(cause);
        status
    }

    /// 500: our fault, or that of the cluster's authorizer.
    pub fn internal(cause: impl fmt::Display) -> Self {
        let cause = cause.to_string();
        let message = format!("Internal error occurred: {cause}");
        let mut status =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, Reason::InternalError, message);
        let cause = Cause { message: bounded(cause), ..Cause::default() };
        status.details.get_or_insert_default().causes.push(cause);
        status
    }

    /// 503: the backend cannot be reached or refuses; say which one, what it said, since when.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, Reason::ServiceUnavailable, message)
    }

    /// 504: the backend needs longer than a client may be kept waiting.
    pub fn timeout(message: &str) -> Self {
        Self::new(StatusCode::GATEWAY_TIMEOUT, Reason::Timeout, format!("Timeout: {message}"))
    }

    /// Says why: `…for pods` becomes `…for pods: no rule serves it`.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.message = bounded(format!("{}: {cause}", self.message));
        self
    }

    /// The body.
    pub fn body(&self, form: Form) -> Bytes {
        match form {
            Form::Json | Form::PrettyJson => {
                form.encode(&StatusObject::from(self), 256 + self.message.len())
            }
            Form::Protobuf => protobuf::status(self),
        }
    }

    /// The whole answer: code, headers and body agree.
    pub fn response(&self, form: Form) -> Response<Bytes> {
        let mut response = Response::new(self.body(form));
        *response.status_mut() = self.code;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if self.code == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    fn new(code: StatusCode, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: bounded(message.into()), details: None }
    }

    fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, Reason::NotFound, message)
    }

    fn about(mut self, resource: &GroupResource, name: &str) -> Self {
        let details = self.details.get_or_insert_default();
        name.clone_into(&mut details.name);
        details.group.clone_from(&resource.group);
        details.kind.clone_from(&resource.resource);
        self
    }
}

impl Reason {
    /// Kubernetes' word; empty where it has none.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Expired => "Expired",
            Self::Forbidden => "Forbidden",
            Self::InternalError => "InternalError",
            Self::Invalid => "Invalid",
            Self::MethodNotAllowed => "MethodNotAllowed",
            Self::NotAcceptable => "NotAcceptable",
            Self::NotFound => "NotFound",
            Self::RequestEntityTooLarge => "RequestEntityTooLarge",
            Self::ServiceUnavailable => "ServiceUnavailable",
            Self::Timeout => "Timeout",
            Self::TooManyRequests => "TooManyRequests",
            Self::Unauthorized => "Unauthorized",
            Self::Unknown => "",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Status {}

/// The fields in Go's order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusObject<'a> {
    kind: &'static str,
    api_version: &'static str,
    metadata: Empty,
    status: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a Details>,
    code: u16,
}

impl<'a> From<&'a Status> for StatusObject<'a> {
    fn from(status: &'a Status) -> Self {
        Self {
            kind: "Status",
            api_version: "v1",
            metadata: Empty {},
            status: FAILURE,
            message: &status.message,
            reason: status.reason.as_str(),
            details: status.details.as_deref(),
            code: status.code.as_u16(),
        }
    }
}

fn with_reason(message: String, reason: &str) -> String {
    if reason.is_empty() { message } else { format!("{message}: {reason}") }
}

/// Kubernetes keeps these texts from looking like HTML (responsewriters/errors.go).
fn without_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn bounded(mut message: String) -> String {
    if message.len() > MAX_MESSAGE {
        message.truncate(message.floor_char_boundary(MAX_MESSAGE - '…'.len_utf8()));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests;
