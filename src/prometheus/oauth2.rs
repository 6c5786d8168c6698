//! Tokens of the client credentials grant (RFC 6749, section 4.4): fetched when one is needed, one
//! fetch at a time, and kept until shortly before they expire.

use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::form_urlencoded;

use crate::engine::ports::Fault;
use crate::model::backend::OAuth2;
use crate::prometheus::fault::{self, one_line};

/// A token is used no longer than this much before its end, or a tenth of its life.
const MARGIN: Duration = Duration::from_secs(30);

/// The life of a token whose server does not say it.
const UNKNOWN_LIFE: Duration = Duration::from_mins(5);

/// The longest life that is believed.
const MAX_LIFE: Duration = Duration::from_hours(24);

/// For how long nothing is fetched after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// The longest answer of a token server.
const MAX_ANSWER: usize = 64 << 10;

/// How much of a server's own reason is passed on.
const REASON: usize = 300;

/// The tokens of one client.
pub(super) struct Tokens {
    settings: OAuth2,
    current: Mutex<Option<Fetched>>,
}

/// What the last fetch gave.
struct Fetched {
    token: Result<HeaderValue, String>,
    until: Instant,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Tokens {
    pub(super) fn new(settings: OAuth2) -> Self {
        Self { settings, current: Mutex::default() }
    }

    /// `Bearer …`, from memory or from the server.
    pub(super) async fn authorization(&self, http: &reqwest::Client) -> Result<HeaderValue, Fault> {
        // Held during the fetch: whoever comes meanwhile shares its outcome.
        let mut current = self.current.lock().await;
        let fetched = match current.take() {
            Some(fetched) if Instant::now() < fetched.until => fetched,
            _ => match self.fetch(http).await {
                Ok((token, life)) => {
                    let margin = MARGIN.min(life / 10);
                    Fetched { token: Ok(token), until: Instant::now() + life - margin }
                }
                Err(text) => Fetched { token: Err(text), until: Instant::now() + PAUSE },
            },
        };
        let Fetched { token, .. } = current.insert(fetched);
        token.clone().map_err(|text| {
            let host = self.settings.token_url.host_str().unwrap_or_default();
            Fault::NotAsked(format!("{host} gave no OAuth2 token for it: {text}"))
        })
    }

    /// The backend does not take the token: the next one is new.
    pub(super) async fn refused(&self) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|fetched| fetched.token.is_ok()) {
            *current = None;
        }
    }

    async fn fetch(&self, http: &reqwest::Client) -> Result<(HeaderValue, Duration), String> {
        let OAuth2 { client_id, client_secret_file, token_url, scopes } = &self.settings;
        let secret = tokio::fs::read_to_string(client_secret_file)
            .await
            .map_err(|error| format!("cannot read {}: {error}", client_secret_file.display()))?;
        let mut form = vec![("grant_type", "client_credentials".to_owned())];
        if !scopes.is_empty() {
            form.push(("scope", scopes.join(" ")));
        }
        // Section 2.3.1: encoded as a form before they are encoded for basic authentication.
        let [id, secret] = [client_id, secret.trim()].map(encoded);
        let request = http.post(token_url.clone()).basic_auth(id, Some(secret)).form(&form);
        let unreachable = |error: &reqwest::Error| fault::unreachable(error).to_string();
        let mut response = request.send().await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(data) = response.chunk().await.map_err(|error| unreachable(&error))? {
            body.extend_from_slice(&data);
            if body.len() > MAX_ANSWER {
                return Err(format!("its answer has more than {MAX_ANSWER} bytes"));
            }
        }
        let Ok(answer) = serde_json::from_slice::<Answer>(&body) else {
            return Err(format!("it answered {status} without a token"));
        };
        let token = answer.access_token.filter(|token| status.is_success() && !token.is_empty());
        let Some(token) = token else {
            let reason = [answer.error, answer.error_description];
            let reason = reason.into_iter().flatten().collect::<Vec<_>>().join(": ");
            return Err(format!("it answered {status} {}", one_line(&reason, REASON)));
        };
        let life = answer.expires_in.map_or(Ok(UNKNOWN_LIFE), Duration::try_from_secs_f64);
        let life = life.unwrap_or(UNKNOWN_LIFE).min(MAX_LIFE);
        let mut header = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the token holds characters that no header may hold".to_owned())?;
        header.set_sensitive(true);
        Ok((header, life))
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
