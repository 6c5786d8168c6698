//! Asks the API server for a review: of a token, or of what a subject may do.
//!
//! Deadlines and repetitions are those of the API server's own webhooks
//! (staging/src/k8s.io/apiserver/pkg/util/webhook/webhook.go, pkg/server/options/authentication.go).

use std::fmt::{self, Debug};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::ClusterResourceScope;
use kube::api::{Api, PostParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::explain;
use crate::telemetry::metrics::{Metrics, Review};

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(10);
/// How long all of them may take.
const TOTAL: Duration = Duration::from_secs(30);
/// How often it is attempted.
const ATTEMPTS: u32 = 5;
/// The pause after the first attempt; each of the following is half as long again.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// A way to one kind of review.
#[derive(Clone)]
pub(super) struct Reviews {
    client: Client,
    kind: Review,
    /// So that an API server that is away is told of once.
    failing: Arc<AtomicBool>,
    metrics: Arc<Metrics>,
}

/// The API server gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no verdict of a {kind}: {reason}")]
pub struct ReviewError {
    kind: &'static str,
    reason: String,
}

impl ReviewError {
    /// Both yes and no.
    pub(super) fn contradiction() -> Self {
        Self { kind: "SubjectAccessReview", reason: "it both allows and denies".to_owned() }
    }

    /// The API server could not tell.
    pub(super) fn failed(reason: String) -> Self {
        Self { kind: "TokenReview", reason }
    }

    /// A good token of nobody.
    pub(super) fn no_user() -> Self {
        Self { kind: "TokenReview", reason: "it names no user".to_owned() }
    }
}

impl Reviews {
    pub(super) fn new(client: Client, kind: Review, metrics: Arc<Metrics>) -> Self {
        Self { client, kind, failing: Arc::default(), metrics }
    }

    /// Posts a review and returns it with its status.
    pub(super) async fn post<R>(&self, review: &R) -> Result<R, ReviewError>
    where
        R: Resource<DynamicType = ()> + k8s_openapi::Resource<Scope = ClusterResourceScope>,
        R: Clone + Debug + Serialize + DeserializeOwned,
    {
        let api = Api::<R>::all(self.client.clone());
        let late = |limit| format!("the API server did not answer within {limit:?}");
        let verdict = timeout(TOTAL, self.attempts(&api, review)).await;
        let verdict = verdict.unwrap_or_else(|_| Err(late(TOTAL)));
        self.metrics.reviewed(self.kind, verdict.is_ok());
        match verdict {
            Ok(answer) => {
                if self.failing.swap(false, Ordering::Relaxed) {
                    tracing::info!(review = R::KIND, "the API server reviews again");
                }
                Ok(answer)
            }
            Err(reason) => {
                // Whoever can connect can cause this, so it must not be able to fill the log.
                if self.failing.swap(true, Ordering::Relaxed) {
                    tracing::debug!(review = R::KIND, reason, "still no verdict");
                } else {
                    tracing::warn!(review = R::KIND, reason, "no verdict");
                }
                Err(ReviewError { kind: R::KIND, reason })
            }
        }
    }

    async fn attempts<R>(&self, api: &Api<R>, review: &R) -> Result<R, String>
    where
        R: Clone + Debug + Serialize + DeserializeOwned,
    {
        let mut pause = FIRST_PAUSE;
        for attempt in 1.. {
            let reason = match timeout(ATTEMPT, api.create(&PostParams::default(), review)).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(error)) if !is_passing(&error) || attempt == ATTEMPTS => {
                    return Err(reason(&error));
                }
                Ok(Err(error)) => reason(&error),
                Err(_) => return Err(format!("the API server did not answer within {ATTEMPT:?}")),
            };
            tracing::debug!(attempt, reason, "the API server is asked again");
            sleep(with_jitter(pause)).await;
            pause = pause.mul_f64(1.5);
        }
        Err("it was not attempted".to_owned())
    }
}

/// Whether it may succeed the next time: the API server is overloaded, or hung up.
fn is_passing(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => matches!(status.code, 429 | 500 | 504),
        kube::Error::Service(_) | kube::Error::HyperError(_) => explain::is_reset(error),
        _ => false,
    }
}

fn reason(error: &kube::Error) -> String {
    let text = explain::client(error);
    match error {
        kube::Error::Api(status) if matches!(status.code, 401 | 403) => {
            format!("{text}; bind the account to the ClusterRole system:auth-delegator")
        }
        _ => text,
    }
}

/// Up to a fifth longer, so that those who failed together do not come back together.
fn with_jitter(pause: Duration) -> Duration {
    let random = RandomState::new().hash_one(());
    let fifths = u32::try_from(random % 1_000).unwrap_or_default();
    pause + pause / 5 * fifths / 1_000
}

impl Debug for Reviews {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reviews").field("kind", &self.kind).finish_non_exhaustive()
    }
}
