//! What a subject may do: the API server says so in a `SubjectAccessReview`.
//!
//! Follows the API server's delegated authorization
//! (staging/src/k8s.io/apiserver/pkg/server/options/authorization.go): some paths are open,
//! `system:masters` may do everything, and the verdict on everything else is asked for and kept
//! for a short time. While the API server is away, verdicts serve out their time, and then there
//! is none: neither yes nor no.
//!
//! The HPA controller asks about every namespace and object that there is. Of its account, and of no
//! other, it is found out first whether it may do the same everywhere; that is one question for all
//! of them. The API server has reviewed each of its requests by itself before it passes it on, so
//! that an authorizer which knows more than roles is heard.

mod paths;
mod spec;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{
    SubjectAccessReview, SubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use kube::Client;
use sha2::{Digest as _, Sha256};

pub use self::paths::{OpenPaths, PathError};
use super::cache::{Cache, Key};
use super::reviews::{ReviewError, Reviews};
use crate::model::access::{Attributes, Decision, MASTERS, Subject};
use crate::telemetry::metrics::{Authorization, Metrics, Review};

/// How many verdicts are kept.
const VERDICTS: u64 = 8192;

/// The account of the HPA controller (pkg/controller/podautoscaler runs as it by
/// `--use-service-account-credentials`, which kubeadm sets).
const AUTOSCALER: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

/// What may be set about authorization.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What everyone may ask without being asked who they are.
    pub open_paths: OpenPaths,
    /// How long a yes is kept.
    pub authorized_ttl: Duration,
    /// How long a no is kept.
    pub unauthorized_ttl: Duration,
}

/// Decides what subjects may do.
#[derive(Debug)]
pub struct Authorizer {
    open_paths: OpenPaths,
    verdicts: Cache<Arc<Decision>>,
    reviews: Reviews,
    metrics: Arc<Metrics>,
}

impl Authorizer {
    /// Asks the API server of a client, whose account has to be bound to `system:auth-delegator`.
    pub fn new(client: Client, settings: Settings, metrics: Arc<Metrics>) -> Self {
        let Settings { open_paths, authorized_ttl, unauthorized_ttl } = settings;
        let lifetime = move |verdict: &Arc<Decision>| match **verdict {
            Decision::Allowed => authorized_ttl,
            Decision::Denied(_) => unauthorized_ttl,
        };
        let verdicts = Cache::new(VERDICTS, lifetime);
        let reviews = Reviews::new(client, Review::Access, Arc::clone(&metrics));
        Self { open_paths, verdicts, reviews, metrics }
    }

    /// Whether everyone may, so that nobody needs to be asked who they are. Probes of health must
    /// not depend on the API server.
    pub fn is_open(&self, attributes: &Attributes) -> bool {
        match attributes {
            Attributes::NonResource { path, .. } => self.open_paths.contain(path),
            Attributes::Resource(_) => false,
        }
    }

    /// Decides whether a subject may.
    pub async fn authorize(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<Arc<Decision>, AuthorizationError> {
        let verdict = if subject.is_in(MASTERS) || self.is_open(attributes) {
            Ok(Arc::new(Decision::Allowed))
        } else {
            self.review(subject, attributes).await
        };
        self.metrics.authorized(match verdict.as_deref() {
            Ok(Decision::Allowed) => Authorization::Allowed,
            Ok(Decision::Denied(_)) => Authorization::Denied,
            Err(_) => Authorization::Error,
        });
        verdict
    }

    async fn review(
        &self,
        subject: &Subject,
        attributes: &Attributes,
    ) -> Result<Arc<Decision>, AuthorizationError> {
        let spec = spec::of(subject, attributes);
        if subject.user == AUTOSCALER
            && let Some(everywhere) = spec::everywhere(&spec)
            && !self.verdicts.has(&key(&spec)?)
        {
            // What is not allowed everywhere, or not known to be, may be allowed here.
            let verdict = self.ask(everywhere).await;
            if let Ok(verdict) = verdict
                && *verdict == Decision::Allowed
            {
                return Ok(verdict);
            }
        }
        self.ask(spec).await
    }

    /// The verdict that is known, or that of the API server.
    async fn ask(
        &self,
        spec: SubjectAccessReviewSpec,
    ) -> Result<Arc<Decision>, AuthorizationError> {
        let key = key(&spec)?;
        let question = async {
            let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
            let status = self.reviews.post(&review).await?.status.unwrap_or_default();
            decision(status).map(Arc::new)
        };
        self.verdicts.get(key, question).await.map_err(AuthorizationError::Review)
    }
}

fn key(spec: &SubjectAccessReviewSpec) -> Result<Key, AuthorizationError> {
    let canonical = serde_json::to_vec(spec).map_err(AuthorizationError::Encode)?;
    Ok(Sha256::digest(&canonical).into())
}

/// A refusal wins over silence, and both at once is no verdict.
fn decision(status: SubjectAccessReviewStatus) -> Result<Decision, ReviewError> {
    let reason = status.reason.unwrap_or_default();
    match (status.allowed, status.denied.unwrap_or_default()) {
        (true, true) => Err(ReviewError::contradiction()),
        (true, false) => Ok(Decision::Allowed),
        (false, _) => Ok(Decision::Denied(reason)),
    }
}

/// There is no verdict.
#[derive(Debug, thiserror::Error)]
pub enum AuthorizationError {
    /// The question cannot be written down.
    #[error("cannot encode the review")]
    Encode(#[source] serde_json::Error),
    /// The API server gave none.
    #[error(transparent)]
    Review(Arc<ReviewError>),
}
