//! What a subject may do: the API server says so in a `SubjectAccessReview`.
//!
//! Follows the API server's delegated authorization
//! (staging/src/k8s.io/apiserver/pkg/server/options/authorization.go): some paths are open,
//! `system:masters` may do everything, and the verdict on everything else is asked for and kept
//! for a short time. While the API server is away, verdicts serve out their time, and then there
//! is none: neither yes nor no.
//!
//! The HPA controller asks about every namespace and object that there is. Of a subject that asks
//! about many, it is found out first whether it may do the same everywhere; that is one question
//! for all of them.

mod paths;
mod spec;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
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

/// Whoever asks about more places than this may be allowed everywhere: people and applications ask
/// about their own few.
const FEW: u32 = 16;

/// How long it is remembered that somebody has asked about many.
const MEMORY: Duration = Duration::from_mins(10);

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
    /// How many questions that differ in their place alone have been put to the API server.
    places: Cache<Arc<AtomicU32>>,
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
        let places = Cache::new(VERDICTS, |_: &Arc<AtomicU32>| MEMORY);
        let reviews = Reviews::new(client, Review::Access, Arc::clone(&metrics));
        Self { open_paths, verdicts, places, reviews, metrics }
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
        let Some(everywhere) = spec::everywhere(&spec) else {
            return self.ask(spec, None).await;
        };
        let places = self.places(&everywhere).await?;
        if places.load(Ordering::Relaxed) > FEW {
            // What is not allowed everywhere, or not known to be, may be allowed here.
            let verdict = self.ask(everywhere, None).await;
            if let Ok(verdict) = verdict
                && *verdict == Decision::Allowed
            {
                return Ok(verdict);
            }
        }
        self.ask(spec, Some(&places)).await
    }

    /// The counter of the places that a question is asked about.
    async fn places(
        &self,
        everywhere: &SubjectAccessReviewSpec,
    ) -> Result<Arc<AtomicU32>, AuthorizationError> {
        let counter = async { Ok::<_, ReviewError>(Arc::default()) };
        self.places.get(key(everywhere)?, counter).await.map_err(AuthorizationError::Review)
    }

    /// The verdict that is known, or that of the API server, which is then counted.
    async fn ask(
        &self,
        spec: SubjectAccessReviewSpec,
        count: Option<&AtomicU32>,
    ) -> Result<Arc<Decision>, AuthorizationError> {
        let key = key(&spec)?;
        let question = async {
            if let Some(count) = count {
                count.fetch_add(1, Ordering::Relaxed);
            }
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
