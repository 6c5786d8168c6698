//! The words for who asks for what: credentials, subject, attributes, decision.
//!
//! [`Attributes`] are derived from a request as the API server derives them
//! (staging/src/k8s.io/apiserver/pkg/endpoints/request/requestinfo.go), because the API server has
//! authorized the same request under the same attributes before it was passed on to us, and
//! because people write their RBAC rules in these terms.

mod field_selector;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use rustls::pki_types::CertificateDer;

use crate::model::selector::{self, Selector};

/// Who everybody is that gives no credentials.
pub const ANONYMOUS: &str = "system:anonymous";
/// The group of those.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The group of everybody else.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group that may do everything.
pub const MASTERS: &str = "system:masters";

/// What a request says about who sent it. Nothing of it has been verified, except that the client
/// holds the key of its first certificate.
#[derive(Clone, Copy, Debug)]
pub struct Credentials<'a> {
    /// The client's certificate and its intermediates; empty where it has shown none.
    pub certificates: &'a [CertificateDer<'static>],
    /// What these have been found to prove, kept with the connection.
    pub proven: &'a ArcSwapOption<Proven>,
    /// The request's headers.
    pub headers: &'a HeaderMap,
}

/// What a chain of certificates proves while the same authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Which state of the trusted authorities this was found under.
    pub generation: u64,
    /// When a certificate begins or ceases to be valid and this has to be found anew, since the
    /// Unix epoch.
    pub until: Duration,
    /// Whether the client is the front proxy, whose word on the user is taken.
    pub front_proxy: Opinion<()>,
    /// Whom the certificate names as the user.
    pub user: Opinion<Subject>,
}

/// What one way to authenticate has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Opinion<T> {
    /// It does not apply.
    None,
    /// It applies, and fails for this reason.
    Refused(String),
    /// It applies and succeeds.
    Accepted(T),
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The name of the user.
    pub user: String,
    /// Tells apart users that had one name at different times; often empty.
    pub uid: String,
    /// The groups, in the order they came in.
    pub groups: Vec<String>,
    /// Whatever else the authenticator knows; keys are lower case by convention.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Subject {
    /// Who gave no credentials.
    pub fn anonymous() -> Self {
        let groups = vec![UNAUTHENTICATED.to_owned()];
        Self { user: ANONYMOUS.to_owned(), groups, ..Self::default() }
    }

    /// Adds the group of everybody who has been authenticated. The front proxy may say of a user
    /// that he was not; some of its own requests come without any group.
    #[must_use]
    pub fn authenticated(mut self) -> Self {
        if self.user != ANONYMOUS && !self.is_in(AUTHENTICATED) && !self.is_in(UNAUTHENTICATED) {
            self.groups.push(AUTHENTICATED.to_owned());
        }
        self
    }

    /// Whether the subject is in a group.
    pub fn is_in(&self, group: &str) -> bool {
        self.groups.iter().any(|known| known == group)
    }
}

/// Whether the subject may.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not, for a reason that may be empty.
    Denied(String),
}

/// What somebody wants to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attributes {
    /// With a path that stands for no resource: `/apis`, `/version`.
    NonResource {
        /// The decoded path.
        path: String,
        /// The method in lower case.
        verb: String,
    },
    /// With a resource.
    Resource(ResourceAttributes),
}

/// What somebody wants to do with a resource. What does not apply is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of SubjectAccessReview")]
pub struct ResourceAttributes {
    pub verb: String,
    pub group: String,
    pub version: String,
    pub namespace: String,
    pub resource: String,
    pub subresource: String,
    pub name: String,
    /// What the objects' labels have to meet, as far as it can be said in a review.
    pub label_selector: Vec<SelectorRequirement>,
    /// What the objects' fields have to meet.
    pub field_selector: Vec<SelectorRequirement>,
}

/// One condition on one label or field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectorRequirement {
    /// The label or field.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values; empty for the existence operators.
    pub values: Vec<String>,
}

impl Attributes {
    /// Derives them from a method, a path that is still encoded, and a query string.
    pub fn of(method: &Method, path: &str, query: &str) -> Self {
        let decoded: Vec<String> = path
            .trim_matches('/')
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = decoded.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["apis", group, version, rest @ ..] if !rest.is_empty() => {
                Self::Resource(resource(method, query, group, version, rest))
            }
            ["api", version, rest @ ..] if !rest.is_empty() => {
                Self::Resource(resource(method, query, "", version, rest))
            }
            _ => Self::NonResource {
                path: percent_decode_str(path).decode_utf8_lossy().into_owned(),
                verb: method.as_str().to_ascii_lowercase(),
            },
        }
    }
}

/// Whether a value of the parameter `watch` asks for a watch: everything does but these two
/// (`Convert_Slice_string_To_bool` of apimachinery).
pub fn asks_for_watch(value: &str) -> bool {
    value != "0" && !value.eq_ignore_ascii_case("false")
}

fn resource(
    method: &Method,
    query: &str,
    group: &str,
    version: &str,
    segments: &[&str],
) -> ResourceAttributes {
    let (prefix, segments) = match segments {
        [verb @ ("proxy" | "watch"), rest @ ..] if !rest.is_empty() => (Some(*verb), rest),
        _ => (None, segments),
    };
    let verb = prefix.unwrap_or_else(|| verb(method));
    let (namespace, segments) = match segments {
        // What a namespace has itself is not in the namespace, but of it.
        ["namespaces", namespace, "finalize" | "status", ..] | ["namespaces", namespace] => {
            (*namespace, segments)
        }
        ["namespaces", namespace, rest @ ..] => (*namespace, rest),
        _ => ("", segments),
    };
    let part = |index: usize| segments.get(index).copied().unwrap_or_default().to_owned();
    let mut attributes = ResourceAttributes {
        verb: verb.to_owned(),
        group: group.to_owned(),
        version: version.to_owned(),
        namespace: namespace.to_owned(),
        resource: part(0),
        subresource: if verb == "proxy" { String::new() } else { part(2) },
        name: part(1),
        ..ResourceAttributes::default()
    };
    attributes.become_collection(query, prefix.is_some());
    attributes
}

fn verb(method: &Method) -> &'static str {
    match *method {
        Method::GET | Method::HEAD => "get",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

impl ResourceAttributes {
    /// Without a name, `get` and `delete` are about a collection, which selectors narrow.
    fn become_collection(&mut self, query: &str, verb_is_in_path: bool) {
        let first = |name: &str| {
            let mut parameters = url::form_urlencoded::parse(query.as_bytes());
            parameters.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        let fields = first("fieldSelector")
            .and_then(|text| field_selector::parse(&text))
            .unwrap_or_default();
        if self.name.is_empty() && self.verb == "get" {
            let watch = first("watch").is_some_and(|value| asks_for_watch(&value));
            if watch { "watch" } else { "list" }.clone_into(&mut self.verb);
            field_selector::exact_name(&fields).unwrap_or_default().clone_into(&mut self.name);
        }
        if self.name.is_empty() && self.verb == "delete" {
            "deletecollection".clone_into(&mut self.verb);
        }
        if matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") && !verb_is_in_path {
            self.field_selector = fields;
            // What cannot be parsed narrows nothing, and is refused once it is allowed.
            let labels = first("labelSelector").and_then(|text| Selector::parse(&text).ok());
            self.label_selector = labels.as_ref().map(label_requirements).unwrap_or_default();
        }
    }
}

/// The requirements that a review can carry. Leaving one out only widens what is asked for.
fn label_requirements(selector: &Selector) -> Vec<SelectorRequirement> {
    let requirement = |requirement: &selector::Requirement| {
        use selector::Operator;
        let operator = match requirement.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => "In",
            Operator::NotEquals | Operator::NotIn => "NotIn",
            Operator::Exists => "Exists",
            Operator::DoesNotExist => "DoesNotExist",
            Operator::GreaterThan | Operator::LessThan => return None,
        };
        let (key, values) = (requirement.key.clone(), requirement.values.clone());
        Some(SelectorRequirement { key, operator, values })
    };
    selector.requirements().iter().filter_map(requirement).collect()
}
