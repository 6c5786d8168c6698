//! How a request is written: verb, parameters, headers, and who we are.

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderValue};
use reqwest::Response;

use super::{Client, MAX_URL, Terms};
use crate::engine::ports::Fault;
use crate::prometheus::session::Session;
use crate::prometheus::{Verb, fault};

impl Client {
    /// Sends a request and waits for the head of its answer.
    pub(super) async fn send(
        &self,
        path: &str,
        mut parameters: Vec<(&str, String)>,
        terms: &Terms,
    ) -> Result<Response, Fault> {
        let own = &self.settings.parameters;
        parameters.extend(own.iter().map(|(name, value)| (name.as_str(), value.clone())));
        let session = self.sessions.current().await;
        let headers = self.request_headers(&session, terms).await?;
        let mut url = self.settings.url.clone();
        url.set_path(&format!("{}/api/v1/{path}", url.path().trim_end_matches('/')));
        if let Some(name) = &self.settings.server_name {
            // The session's resolver knows where that is.
            url.set_host(Some(name)).map_err(|error| Fault::NotAsked(error.to_string()))?;
        }
        let request = match self.verb(&parameters) {
            Verb::Get => {
                url.query_pairs_mut().extend_pairs(&parameters);
                session.http.get(url)
            }
            Verb::Post => session.http.post(url).form(&parameters),
        };
        request.headers(headers).send().await.map_err(|error| fault::unreachable(&error))
    }

    fn verb(&self, parameters: &[(&str, String)]) -> Verb {
        let mut url = self.settings.url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        if url.as_str().len() > MAX_URL { Verb::Post } else { self.settings.verb }
    }

    async fn request_headers(&self, session: &Session, terms: &Terms) -> Result<HeaderMap, Fault> {
        let mut headers = self.headers.clone();
        let url = &self.settings.url;
        let is_in_url = !url.username().is_empty() || url.password().is_some();
        // The order of Go's client and client-go: a header wins over the URL, and that over a
        // token.
        if !is_in_url && !headers.contains_key(AUTHORIZATION) {
            let authorization = match &self.tokens {
                Some(tokens) => Some(tokens.authorization(&session.http).await?),
                None => session.authorization.clone(),
            };
            headers.extend(authorization.map(|value| (AUTHORIZATION, value)));
        }
        if self.settings.server_name.is_some() && !headers.contains_key(HOST) {
            let host = url.host_str().unwrap_or_default();
            let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
            headers.extend(HeaderValue::try_from(host).ok().map(|host| (HOST, host)));
        }
        if let Some((name, value)) = &terms.tenant {
            headers.insert(name.clone(), value.clone());
        }
        Ok(headers)
    }
}
