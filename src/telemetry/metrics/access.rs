//! Who was let in and who was not.

use std::error::Error;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::{Metrics, OutcomeLabel, register};
use crate::telemetry::chain;

/// How a request was authenticated. The discriminant is the index in `ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authentication {
    /// It has no credentials.
    Anonymous,
    /// By a certificate of the cluster's client CA.
    Certificate,
    /// By the word of the front proxy.
    FrontProxy,
    /// Its credentials are of no use.
    Refused,
    /// By a bearer token.
    Token,
}

impl Authentication {
    const ALL: [Self; 5] =
        [Self::Anonymous, Self::Certificate, Self::FrontProxy, Self::Refused, Self::Token];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Certificate => "certificate",
            Self::FrontProxy => "front_proxy",
            Self::Refused => "refused",
            Self::Token => "token",
        }
    }
}

/// How a request was authorized. The discriminant is the index in `ALL`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// It may.
    Allowed,
    /// It may not.
    Denied,
    /// The API server gave no verdict.
    Error,
}

impl Authorization {
    const ALL: [Self; 3] = [Self::Allowed, Self::Denied, Self::Error];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::Error => "error",
        }
    }
}

/// What the API server was asked to review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Review {
    /// What a subject may do: `SubjectAccessReview`.
    Access,
    /// Whose a token is: `TokenReview`.
    Token,
}

impl Review {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Token => "token",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct MethodLabel {
    method: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    review: &'static str,
    outcome: &'static str,
}

/// The families, and the counters that every request touches.
#[derive(Debug)]
pub(super) struct Access {
    authentications: [Counter; Authentication::ALL.len()],
    authorizations: [Counter; Authorization::ALL.len()],
    reviews: Family<ReviewLabels, Counter>,
    authorities_reloads: Family<OutcomeLabel, Counter>,
    authorities_last_reload_successful: Gauge,
}

impl Access {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let authentications: Family<MethodLabel, Counter> = register(
            registry,
            "plimsoll_authentications",
            "Requests by how it was found out who sent them",
        );
        let authorizations: Family<OutcomeLabel, Counter> =
            register(registry, "plimsoll_authorizations", "Requests by whether their sender may");
        let this = Self {
            authentications: Authentication::ALL.map(|method| {
                authentications.get_or_create_owned(&MethodLabel { method: method.as_str() })
            }),
            authorizations: Authorization::ALL.map(|outcome| {
                authorizations.get_or_create_owned(&OutcomeLabel { outcome: outcome.as_str() })
            }),
            reviews: register(
                registry,
                "plimsoll_reviews",
                "Reviews that the API server was asked for, by whether it gave a verdict",
            ),
            authorities_reloads: register(
                registry,
                "plimsoll_authorities_reloads",
                "Times that what client certificates are trusted for changed, by whether the \
                 change was taken up",
            ),
            authorities_last_reload_successful: register(
                registry,
                "plimsoll_authorities_last_reload_successful",
                "Whether what client certificates are trusted for as it is now is in force",
            ),
        };
        this.authorities_last_reload_successful.set(1);
        this
    }
}

impl Metrics {
    /// It was found out who sent a request, or not.
    pub fn authenticated(&self, method: Authentication) {
        self.access.authentications[method as usize].inc();
    }

    /// It was found out whether the sender of a request may.
    pub fn authorized(&self, outcome: Authorization) {
        self.access.authorizations[outcome as usize].inc();
    }

    /// The API server was asked for a review, and gave a verdict or not.
    pub fn reviewed(&self, review: Review, verdict: bool) {
        let outcome = if verdict { OutcomeLabel::SUCCESS } else { OutcomeLabel::FAILURE }.outcome;
        self.access.reviews.get_or_create(&ReviewLabels { review: review.as_str(), outcome }).inc();
    }

    /// What client certificates are trusted for changed, and the change is in force; so is all
    /// else that is known of them, or something is still bad.
    pub fn authorities_reloaded(&self, all_good: bool) {
        self.access.authorities_reloads.get_or_create(&OutcomeLabel::SUCCESS).inc();
        self.access.authorities_last_reload_successful.set(all_good.into());
        tracing::info!("changed authorities of client certificates in force");
    }

    /// What client certificates are to be trusted for cannot be used; the last good state stays.
    pub fn authorities_rejected(&self, error: &(dyn Error + 'static)) {
        self.access.authorities_reloads.get_or_create(&OutcomeLabel::FAILURE).inc();
        self.access.authorities_last_reload_successful.set(0);
        let error = chain(error);
        tracing::error!(
            error,
            "the authorities of client certificates cannot be used, the last good ones stay"
        );
    }
}
