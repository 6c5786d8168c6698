//! Whose a bearer token is: the API server says so in a `TokenReview`.
//!
//! Tokens are never kept, logged or shown: the cache knows them by a digest that is keyed with a
//! random number, so that not even a dump of the memory says which token it was.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use kube::Client;
use rustls::crypto::aws_lc_rs;
use sha2::{Digest as _, Sha256};

use crate::cluster::cache::{Cache, Key};
use crate::cluster::reviews::{ReviewError, Reviews};
use crate::model::access::Subject;
use crate::telemetry::metrics::{Metrics, Review};

/// How many verdicts are kept.
const VERDICTS: u64 = 4096;

/// Reviews tokens.
pub(super) struct Tokens {
    verdicts: Cache<Option<Arc<Subject>>>,
    key: Key,
    reviews: Reviews,
}

impl Tokens {
    /// Keeps each verdict, good or bad, for this time.
    pub(super) fn new(client: Client, ttl: Duration, metrics: Arc<Metrics>) -> Self {
        let mut key = Key::default();
        if aws_lc_rs::default_provider().secure_random.fill(&mut key).is_err() {
            tracing::warn!("no random numbers: digests of tokens can be told from their dump");
        }
        let verdicts = Cache::new(VERDICTS, move |_| ttl);
        Self { verdicts, key, reviews: Reviews::new(client, Review::Token, metrics) }
    }

    /// The subject whose token it is; `None` where it is nobody's.
    pub(super) async fn review(
        &self,
        token: &[u8],
    ) -> Result<Option<Arc<Subject>>, Arc<ReviewError>> {
        // The key has the length of a digest, and the digest never leaves: this is as good as an
        // HMAC here.
        let key = Sha256::new().chain_update(self.key).chain_update(token).finalize().into();
        let question = async {
            let Ok(token) = std::str::from_utf8(token) else {
                return Ok(None);
            };
            let spec = TokenReviewSpec { token: token.to_owned(), audiences: None };
            let review = TokenReview { spec, ..TokenReview::default() };
            let status = self.reviews.post(&review).await?.status.unwrap_or_default();
            match (status.authenticated.unwrap_or_default(), status.error, status.user) {
                (true, _, Some(user)) => subject(user).map(|subject| Some(Arc::new(subject))),
                (true, _, None) => Err(ReviewError::no_user()),
                // The API server could not tell, so it is asked again.
                (false, Some(error), _) if !error.is_empty() => Err(ReviewError::failed(error)),
                (false, ..) => Ok(None),
            }
        };
        self.verdicts.get(key, question).await
    }
}

fn subject(user: UserInfo) -> Result<Subject, ReviewError> {
    let UserInfo { username, uid, groups, extra } = user;
    let user = username.filter(|name| !name.is_empty()).ok_or_else(ReviewError::no_user)?;
    Ok(Subject {
        user,
        uid: uid.unwrap_or_default(),
        groups: groups.unwrap_or_default(),
        extra: extra.unwrap_or_default(),
    })
}

impl fmt::Debug for Tokens {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("verdicts", &self.verdicts).finish_non_exhaustive()
    }
}
