//! Who sent a request.
//!
//! Follows the API server's delegated authentication
//! (staging/src/k8s.io/apiserver/pkg/authentication/authenticatorfactory/delegating.go): the word
//! of a front proxy that proves itself with a certificate, then the certificate itself, then a
//! bearer token. The first that succeeds wins. Where one was given and none succeeds, the request
//! is refused; where none was given, its sender is `system:anonymous`.
//!
//! A header that names a user is read in one place, after the chain of the client's certificate
//! was verified against the front proxy's CA and its name was found on the list.

mod certificate;
mod front_proxy;
mod keep;
mod token;
mod trust;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use kube::Client;
use rustls::pki_types::UnixTime;
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::front_proxy::HeaderNames;
pub use self::keep::{FrontProxyFile, Lookup, LookupError, TrustSettings};
use self::token::Tokens;
use self::trust::Trust;
pub use self::trust::TrustError;
use crate::model::access::{Credentials, Opinion, Proven, Subject};
use crate::telemetry::metrics::{Authentication, Metrics};

/// What may be set about authentication.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What client certificates are trusted for.
    pub trust: TrustSettings,
    /// How long the verdict on a token is kept.
    pub token_ttl: Duration,
}

/// Finds out who sent requests.
#[derive(Debug)]
pub struct Authenticator {
    trust: Arc<ArcSwap<Trust>>,
    tokens: Tokens,
    metrics: Arc<Metrics>,
    /// Ends the task that keeps `trust` up to date.
    _stop_on_drop: DropGuard,
}

/// The credentials of a request are of no use. The client learns no more than that.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", reasons.join("; "))]
pub struct Refusal {
    /// What was wrong with each.
    pub reasons: Vec<String>,
    /// Whether the front proxy's connection brought them, which others use too.
    pub through_front_proxy: bool,
}

impl Authenticator {
    /// Learns what to trust, and follows its changes from then on. Must be called on a Tokio
    /// runtime.
    pub async fn start(
        client: Client,
        settings: Settings,
        metrics: Arc<Metrics>,
    ) -> Result<Self, LookupError> {
        let Settings { trust, token_ttl } = settings;
        let tokens = Tokens::new(client.clone(), token_ttl, Arc::clone(&metrics));
        let stop = CancellationToken::new();
        let trust = keep::start(client, trust, Arc::clone(&metrics), stop.clone()).await?;
        Ok(Self { trust, tokens, metrics, _stop_on_drop: stop.drop_guard() })
    }

    /// Finds out who sent a request.
    pub async fn authenticate(&self, credentials: Credentials<'_>) -> Result<Subject, Refusal> {
        let found = self.find(credentials).await;
        match &found {
            Ok((method, _)) => self.metrics.authenticated(*method),
            Err(refusal) => {
                self.metrics.authenticated(Authentication::Refused);
                // What a client did wrong is for whoever looks for it.
                tracing::debug!(reason = %refusal, "the credentials are of no use");
            }
        }
        found.map(|(_, subject)| subject.authenticated())
    }

    async fn find(
        &self,
        credentials: Credentials<'_>,
    ) -> Result<(Authentication, Subject), Refusal> {
        let trust = self.trust.load_full();
        let mut reasons = Vec::new();
        let mut through_front_proxy = false;
        if let Some(proven) = proven(&trust, &credentials) {
            through_front_proxy = proven.front_proxy == Opinion::Accepted(());
            match trust.word_of_front_proxy(&proven.front_proxy, credentials.headers) {
                Opinion::Accepted(subject) => return Ok((Authentication::FrontProxy, subject)),
                Opinion::Refused(reason) => reasons.push(reason),
                Opinion::None => {}
            }
            match &proven.user {
                Opinion::Accepted(subject) => {
                    return Ok((Authentication::Certificate, subject.clone()));
                }
                Opinion::Refused(reason) => reasons.push(reason.clone()),
                Opinion::None => {}
            }
        }
        if let Some(token) = bearer(credentials.headers) {
            match self.tokens.review(token).await {
                Ok(Some(subject)) => return Ok((Authentication::Token, (*subject).clone())),
                Ok(None) => reasons.push("the bearer token is invalid".to_owned()),
                Err(error) => reasons.push(error.to_string()),
            }
        }
        if reasons.is_empty() {
            return Ok((Authentication::Anonymous, Subject::anonymous()));
        }
        Err(Refusal { reasons, through_front_proxy })
    }
}

/// What the client's certificates prove: found once for a connection, and anew where what is
/// trusted has changed or a certificate has begun or ceased to be valid.
fn proven(trust: &Trust, credentials: &Credentials<'_>) -> Option<Arc<Proven>> {
    if credentials.certificates.is_empty() {
        return None;
    }
    let now = UnixTime::now();
    let fresh = |proven: &Arc<Proven>| {
        proven.generation == trust.generation() && now.as_secs() < proven.until.as_secs()
    };
    if let Some(proven) = credentials.proven.load_full().filter(fresh) {
        return Some(proven);
    }
    let proven = Arc::new(trust.prove(credentials.certificates, now));
    credentials.proven.store(Some(Arc::clone(&proven)));
    Some(proven)
}

/// The token of a request: of the first header, and between single spaces
/// (staging/src/k8s.io/apiserver/pkg/authentication/request/bearertoken/bearertoken.go).
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(AUTHORIZATION)?.as_bytes().trim_ascii();
    let mut parts = value.split(|byte| *byte == b' ');
    let scheme = parts.next()?;
    let token = parts.next()?;
    (scheme.eq_ignore_ascii_case(b"bearer") && !token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_between_single_spaces_after_its_scheme() {
        let cases = [
            ("Bearer t", Some("t")),
            ("  bearer t  ", Some("t")),
            ("BEARER t rest", Some("t")),
            ("Bearer  t", None),
            ("Bearer", None),
            ("Bearer ", None),
            ("Basic t", None),
            ("Bearert", None),
            ("", None),
        ];
        for (value, token) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            headers.append(AUTHORIZATION, "Bearer second".parse().unwrap());
            assert_eq!(bearer(&headers), token.map(str::as_bytes), "{value:?}");
        }
    }
}
