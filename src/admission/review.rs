//! `AdmissionReview` of `admission.k8s.io/v1`: what the API server asks and what it takes for an
//! answer.
//!
//! The objects inside stay text until somebody looks at them, so that a review whose object makes
//! no sense is still one that can be answered. Facts about the form come from
//! staging/src/k8s.io/api/admission/v1/types.go, those about what the API server does with an
//! answer from staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go
//! in Kubernetes 1.36.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use super::report::Cause;

#[cfg(test)]
mod tests;

/// The only version that is spoken; `v1beta1` is gone since Kubernetes 1.22.
const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";

/// Longest uid that is echoed; the API server's have 36 characters.
const MAX_UID: usize = 256;

/// What the API server asks. As in Go, null is the same as nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Request<'a> {
    /// New for each call; never empty after [`parse`].
    #[serde(borrow, deserialize_with = "text")]
    pub uid: Cow<'a, str>,
    /// The kind of the object as it is here, after conversion to what the webhook asked for.
    #[serde(borrow)]
    pub kind: Option<GroupVersionKind<'a>>,
    /// The resource that the kind belongs to.
    #[serde(borrow)]
    pub resource: Option<GroupVersionResource<'a>>,
    /// `status`, `scale`, `resize`, …; empty for the object itself.
    #[serde(borrow, deserialize_with = "text")]
    pub sub_resource: Cow<'a, str>,
    /// Empty where `metadata.generateName` makes it later.
    #[serde(borrow, deserialize_with = "text")]
    pub name: Cow<'a, str>,
    /// Where the object will be, whatever its own metadata says; empty for cluster-scoped ones.
    #[serde(borrow, deserialize_with = "text")]
    pub namespace: Cow<'a, str>,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[serde(borrow, deserialize_with = "text")]
    pub operation: Cow<'a, str>,
    /// Who asks.
    #[serde(borrow)]
    pub user_info: Option<UserInfo<'a>>,
    /// Null for `DELETE`; the options for `CONNECT`.
    #[serde(borrow)]
    pub object: Option<&'a RawValue>,
    /// Null for `CREATE` and `CONNECT`.
    #[serde(borrow)]
    pub old_object: Option<&'a RawValue>,
}

/// A kind with its API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupVersionKind<'a> {
    /// `apps`; empty for the core group.
    #[serde(borrow, deserialize_with = "text")]
    pub group: Cow<'a, str>,
    /// `v1`
    #[serde(borrow, deserialize_with = "text")]
    pub version: Cow<'a, str>,
    /// `Deployment`
    #[serde(borrow, deserialize_with = "text")]
    pub kind: Cow<'a, str>,
}

/// A resource with its API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct GroupVersionResource<'a> {
    /// `apps`; empty for the core group.
    #[serde(borrow, deserialize_with = "text")]
    pub group: Cow<'a, str>,
    /// `v1`
    #[serde(borrow, deserialize_with = "text")]
    pub version: Cow<'a, str>,
    /// `deployments`
    #[serde(borrow, deserialize_with = "text")]
    pub resource: Cow<'a, str>,
}

/// Who asks, as far as anybody looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct UserInfo<'a> {
    /// `system:node:worker-1`
    #[serde(borrow, deserialize_with = "text")]
    pub username: Cow<'a, str>,
}

/// A text that stays where it is unless it has escapes; null is the empty one.
fn text<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Cow<'a, str>, D::Error> {
    struct Text;

    impl<'de> Visitor<'de> for Text {
        type Value = Cow<'de, str>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a string")
        }

        fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(text))
        }

        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Cow::Owned(text.to_owned()))
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Cow::Borrowed(""))
        }
    }

    deserializer.deserialize_any(Text)
}

/// Why a body is not a review that can be judged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReviewError {
    /// Nothing in it says which question to answer.
    #[error("{0}")]
    Unreadable(String),
    /// It can be answered, because its uid is known, but not judged.
    #[error("{what}")]
    Malformed {
        /// What the answer has to carry.
        uid: String,
        /// What is wrong, and where.
        what: String,
    },
}

/// Reads a body.
pub fn parse(body: &[u8]) -> Result<Request<'_>, ReviewError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Review<'a> {
        #[serde(borrow)]
        api_version: Option<Cow<'a, str>>,
        #[serde(borrow)]
        kind: Option<Cow<'a, str>>,
        #[serde(borrow)]
        request: Option<Request<'a>>,
    }

    let review: Review<'_> = serde_json::from_slice(body).map_err(|error| why_not(body, &error))?;
    check_type(review.api_version.as_deref(), review.kind.as_deref())?;
    let Some(request) = review.request else {
        return Err(ReviewError::Unreadable("the review has no request".to_owned()));
    };
    check_uid(&request.uid)?;
    Ok(request)
}

/// Looks for no more than what an answer needs.
fn why_not(body: &[u8], error: &serde_json::Error) -> ReviewError {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Bare {
        api_version: Option<String>,
        kind: Option<String>,
        request: Option<BareRequest>,
    }

    #[derive(Deserialize)]
    struct BareRequest {
        uid: String,
    }

    let unreadable = || ReviewError::Unreadable(format!("this is no {KIND}: {error}"));
    let Ok(Bare { api_version, kind, request: Some(BareRequest { uid }) }) =
        serde_json::from_slice(body)
    else {
        return unreadable();
    };
    if let Err(other) =
        check_type(api_version.as_deref(), kind.as_deref()).and_then(|()| check_uid(&uid))
    {
        return other;
    }
    ReviewError::Malformed { uid, what: error.to_string() }
}

fn check_type(api_version: Option<&str>, kind: Option<&str>) -> Result<(), ReviewError> {
    let (api_version, kind) = (api_version.unwrap_or_default(), kind.unwrap_or_default());
    if (api_version, kind) == (API_VERSION, KIND) {
        return Ok(());
    }
    Err(ReviewError::Unreadable(format!(
        "only {KIND} of {API_VERSION} is answered here, not {kind:?} of {api_version:?}"
    )))
}

fn check_uid(uid: &str) -> Result<(), ReviewError> {
    if uid.is_empty() || uid.len() > MAX_UID {
        let what = format!("request.uid must have 1 to {MAX_UID} bytes");
        return Err(ReviewError::Unreadable(what));
    }
    Ok(())
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// What stands in the way; the request is allowed where there is nothing.
    pub denial: Option<Denial>,
    /// Each is one line that kubectl prints; at most 256 characters each and 4096 together are
    /// shown (staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go).
    pub warnings: Vec<String>,
    /// For the audit log, under the webhook's name.
    pub audit_annotations: BTreeMap<String, String>,
    /// A JSON patch (RFC 6902) with at least one operation; only for what is allowed by `/mutate`.
    pub patch: Option<Vec<u8>>,
}

/// Why something is not allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Denial {
    /// What kubectl prints.
    pub message: String,
    /// The fields that are at fault.
    pub causes: Vec<Cause>,
}

impl Answer {
    /// Allowed, with one warning.
    pub fn allowed_with(warning: String) -> Self {
        Self { warnings: vec![warning], ..Self::default() }
    }

    /// The body of the response.
    ///
    /// A denial is 403 `Forbidden`: some clients give up for good at 422, and a webhook's answer
    /// without a code becomes a 400 (staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/errors/statuserror.go).
    pub fn encode(&self, uid: &str, subject: &Subject<'_>) -> Vec<u8> {
        let status = self.denial.as_ref().map(|denial| Status {
            outcome: "Failure",
            message: &denial.message,
            reason: "Forbidden",
            details: Details {
                name: subject.name,
                group: subject.group,
                kind: subject.resource,
                causes: &denial.causes,
            },
            code: 403,
        });
        let patch = self.patch.as_ref().filter(|_| self.denial.is_none());
        let review = Answered {
            api_version: API_VERSION,
            kind: KIND,
            response: Response {
                uid,
                allowed: self.denial.is_none(),
                status,
                patch: patch.map(|patch| ByteString(patch.clone())),
                patch_type: patch.map(|_| "JSONPatch"),
                warnings: &self.warnings,
                audit_annotations: &self.audit_annotations,
            },
        };
        // Texts alone cannot fail to be written, and a body that does not parse fails open.
        serde_json::to_vec(&review).unwrap_or_default()
    }
}

/// What a denial is about, for `status.details`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The object's name; empty where it has none yet.
    pub name: &'a str,
    /// `apps`
    pub group: &'a str,
    /// `deployments`, which the API server's own errors call the kind.
    pub resource: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answered<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch: Option<ByteString>,
    #[serde(skip_serializing_if = "Option::is_none")]
    patch_type: Option<&'static str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(rename = "status")]
    outcome: &'static str,
    message: &'a str,
    reason: &'static str,
    details: Details<'a>,
    code: u16,
}

#[derive(Serialize)]
struct Details<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    kind: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    causes: &'a [Cause],
}
