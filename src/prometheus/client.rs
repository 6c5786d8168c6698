//! The client itself: a slot, a request, an answer, all within one deadline.

mod request;

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use jiff::Timestamp;
use reqwest::{Response, StatusCode};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio::task::{self, JoinError};
use tokio::time::{Instant, timeout_at};
use tracing::warn;
use url::Url;

use crate::engine::ports::{Fault, Range};
use crate::model::rows::{ObjectLabels, Rows};
use crate::model::value::{QueryResult, Series, SeriesNames};
use crate::prometheus::answer::{self, Answer, Notes, Wrong};
use crate::prometheus::credentials::CredentialsError;
use crate::prometheus::listing::{self, Chunk};
use crate::prometheus::oauth2::Tokens;
use crate::prometheus::session::Sessions;
use crate::prometheus::warnings::Warnings;
use crate::prometheus::{Settings, fault};
use crate::telemetry::metrics::{BackendMetrics, Operation, QueryOutcome};

/// A GET past it is sent as a form, since many proxies refuse a request line past 8 KiB. What is
/// measured lacks the path below the base URL, the time and the timeout.
const MAX_URL: usize = (8 << 10) - 128;

/// Listings under way at once; each may fill buffers of some 1 MiB.
const LISTINGS: usize = 4;

/// Where a listing is given up. One of 1,000,000 series has 150 to 300 MB.
const MAX_LISTING: u64 = 4 << 30;

/// What is read of a refusal.
const MAX_REFUSAL: usize = 64 << 10;

/// Larger answers are parsed beside the runtime, since it takes milliseconds.
const MAX_INLINE: usize = 256 << 10;

/// What is kept of the begin of a listing, to show what it is if it is none.
const HEAD: usize = 300;

/// A client that cannot be built from its settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Neither `http` nor `https`.
    #[error("the URL of a backend begins with http:// or https://, not with {0}:")]
    Scheme(String),
    /// A backend without a place.
    #[error("a backend needs a URL")]
    NoUrl,
    /// A header that cannot be sent. The value may be a secret.
    #[error("the header {0:?} or its value holds characters that HTTP does not allow there")]
    Header(String),
    /// CA, client certificate or token.
    #[error("the credentials for Prometheus cannot be used")]
    Credentials(#[from] CredentialsError),
    /// The HTTP client refused its configuration.
    #[error("cannot build the HTTP client for Prometheus")]
    Build(#[source] Box<dyn Error + Send + Sync>),
}

/// A client of one URL. Dropping the future of a request ends the request, uncounted.
pub struct Client {
    settings: Arc<Settings>,
    /// Host and port, for messages.
    peer: Arc<str>,
    headers: HeaderMap,
    sessions: Sessions,
    /// Of OAuth 2.0, where that says who we are.
    tokens: Option<Tokens>,
    queries: Slots,
    listings: Slots,
    warnings: Warnings,
    metrics: BackendMetrics,
}

/// For whom a request is, and what will do as its answer.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// A header that names the tenant.
    pub tenant: Option<(HeaderName, HeaderValue)>,
    /// Whether a partial answer will do.
    pub accept_partial: bool,
}

/// An answer and what the backend notes on it.
type Noted<T> = Result<(T, Notes), Fault>;

impl Client {
    /// Builds a client. Reads the credential files, sends nothing.
    pub fn new(mut settings: Settings, metrics: BackendMetrics) -> Result<Self, SettingsError> {
        normalize(&mut settings.url)?;
        let headers = header_map(&settings.headers)?;
        if settings.ca_file.is_some() && (settings.auth_config.is_some() || settings.in_cluster) {
            warn!("with a CA file for Prometheus the kubeconfig or service account is not used");
        }
        let settings = Arc::new(settings);
        let url = &settings.url;
        let port = url.port_or_known_default().unwrap_or_default();
        Ok(Self {
            peer: format!("{}:{port}", url.host_str().unwrap_or_default()).into(),
            headers,
            sessions: Sessions::new(Arc::clone(&settings))?,
            tokens: settings.oauth2.clone().map(Tokens::new),
            queries: Slots::new(settings.concurrency.max(1)),
            listings: Slots::new(LISTINGS),
            warnings: Warnings::default(),
            metrics,
            settings,
        })
    }

    /// Host and port, for messages.
    pub fn peer(&self) -> &Arc<str> {
        &self.peer
    }

    /// Evaluates an instant query at a time.
    pub async fn query(
        &self,
        promql: &str,
        at: Timestamp,
        terms: &Terms,
    ) -> Result<QueryResult, Fault> {
        let (started, deadline) = Deadline::after(self.settings.deadline);
        let parameters = [("query", promql.to_owned()), ("time", seconds(at))];
        let asked = self.ask("query", parameters.into(), answer::query, terms, deadline).await;
        let result = asked.and_then(|(result, notes)| {
            let series = if let QueryResult::Vector(samples) = &result { samples.len() } else { 1 };
            self.check(series, series).map(|()| (result, notes))
        });
        self.finish(Operation::Query, started, result, terms.accept_partial)
    }

    /// Evaluates an instant query of which only the values of objects are wanted; none where its
    /// result is a scalar.
    pub async fn query_objects(
        &self,
        promql: &str,
        labels: &ObjectLabels,
        describe: bool,
        at: Timestamp,
        terms: &Terms,
    ) -> Result<Option<Rows>, Fault> {
        let (started, deadline) = Deadline::after(self.settings.deadline);
        let parameters = [("query", promql.to_owned()), ("time", seconds(at))];
        let labels = labels.clone();
        let read = move |body: &[u8]| answer::rows(body, &labels, describe);
        let asked = self.ask("query", parameters.into(), read, terms, deadline).await;
        let result = asked.and_then(|(rows, notes)| {
            let series = rows.as_ref().map_or(1, Rows::samples);
            self.check(series, series).map(|()| (rows, notes))
        });
        self.finish(Operation::Query, started, result, terms.accept_partial)
    }

    /// Evaluates a query at every step of a range.
    pub async fn query_range(
        &self,
        promql: &str,
        range: &Range,
        terms: &Terms,
    ) -> Result<Vec<Series>, Fault> {
        let (started, deadline) = Deadline::after(self.settings.deadline);
        let parameters = [
            ("query", promql.to_owned()),
            ("start", seconds(range.start)),
            ("end", seconds(range.end)),
            ("step", range.step.as_secs_f64().to_string()),
        ];
        let asked =
            self.ask("query_range", parameters.into(), answer::range, terms, deadline).await;
        let result = asked.and_then(|(series, notes)| {
            let points = series.iter().map(|series| series.points.len()).sum();
            self.check(series.len(), points).map(|()| (series, notes))
        });
        self.finish(Operation::QueryRange, started, result, terms.accept_partial)
    }

    /// Lists the metrics and label names of the series that a selector matches and that had
    /// samples since a time.
    pub async fn series(
        &self,
        selector: &str,
        since: Timestamp,
        terms: &Terms,
    ) -> Result<SeriesNames, Fault> {
        let (started, deadline) = Deadline::after(self.settings.series_deadline);
        let result = self.list(selector, since, terms, deadline).await;
        self.finish(Operation::Series, started, result, terms.accept_partial)
    }

    async fn ask<T: Send + 'static>(
        &self,
        path: &str,
        mut parameters: Vec<(&str, String)>,
        read: impl FnOnce(&[u8]) -> Result<Answer<T>, Wrong> + Send + 'static,
        terms: &Terms,
        deadline: Deadline,
    ) -> Noted<T> {
        let _slot = self.queries.take(deadline).await?;
        let left = deadline.at.saturating_duration_since(Instant::now()).as_millis().max(1);
        parameters.push(("timeout", format!("{left}ms")));
        let sent = timeout_at(deadline.at, self.send(path, parameters, terms));
        let response = sent.await.map_err(|_| deadline.missed())??;
        let response = self.accept(response, deadline).await?;
        let status = response.status();
        let limit = self.settings.max_response_bytes;
        if response.content_length().is_some_and(|length| length > limit as u64) {
            return Err(too_large(limit as u64));
        }
        let (body, complete) = self.body(response, limit, deadline).await;
        complete?;
        let length = body.len();
        let parse = move || {
            read(&body).map_err(|wrong| match wrong {
                Wrong::Malformed(text) => fault::malformed(&text, &body),
                Wrong::Unusable(text) => Fault::Unusable(text),
            })
        };
        let answer = if length > MAX_INLINE {
            task::spawn_blocking(parse).await.map_err(|error| stopped(&error))?
        } else {
            parse()
        };
        success(answer?, status)
    }

    fn check(&self, series: usize, points: usize) -> Result<(), Fault> {
        let Settings { max_series, max_samples, .. } = *self.settings;
        if series > max_series {
            let what = format!("it has {series} series, and maxSeries is {max_series}");
            return Err(Fault::TooLarge(what));
        }
        if points > max_samples {
            let what = format!("it has {points} samples, and maxSamples is {max_samples}");
            return Err(Fault::TooLarge(what));
        }
        Ok(())
    }

    async fn list(
        &self,
        selector: &str,
        since: Timestamp,
        terms: &Terms,
        deadline: Deadline,
    ) -> Noted<SeriesNames> {
        let _slot = self.listings.take(deadline).await?;
        let parameters = vec![("match[]", selector.to_owned()), ("start", seconds(since))];
        let sent = timeout_at(deadline.at, self.send("series", parameters, terms));
        let response = sent.await.map_err(|_| deadline.missed())??;
        let response = self.accept(response, deadline).await?;
        let status = response.status();
        let (sender, chunks) = listing::channel();
        // It ends when `sender` is gone, so also when this future is dropped.
        let fold = task::spawn_blocking(move || listing::fold(chunks));
        let head = self.feed(response, sender, deadline).await?;
        let folded = fold.await.map_err(|error| stopped(&error))?;
        success(folded.map_err(|text| fault::malformed(&text, &head))?, status)
    }

    /// Passes the body on until it ends or the other side has seen enough; returns its begin.
    async fn feed(
        &self,
        mut response: Response,
        sender: mpsc::Sender<Chunk>,
        deadline: Deadline,
    ) -> Result<Bytes, Fault> {
        let (mut received, mut head) = (0, Bytes::new());
        let feed = async {
            while let Some(data) = self.chunk(&mut response, received).await? {
                if received == 0 {
                    head = data.slice(..data.len().min(HEAD));
                }
                received += data.len() as u64;
                if received > MAX_LISTING {
                    return Err(too_large(MAX_LISTING));
                }
                if sender.send(Chunk::Data(data)).await.is_err() {
                    return Ok(());
                }
            }
            // Whoever does not wait for the end has an error to tell.
            sender.send(Chunk::End).await.ok();
            Ok(())
        };
        match timeout_at(deadline.at, feed).await {
            Ok(fed) => fed.map(|()| head),
            Err(_) => Err(deadline.incomplete(received)),
        }
    }

    /// An answer with a status of 2xx; others become errors that say what their body says.
    async fn accept(&self, response: Response, deadline: Deadline) -> Result<Response, Fault> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if let (Some(tokens), StatusCode::UNAUTHORIZED) = (&self.tokens, status) {
            tokens.refused().await;
        }
        let headers = response.headers().clone();
        let (body, complete) = self.body(response, MAX_REFUSAL, deadline).await;
        // The status says enough; what does not come of its body is not missed.
        complete.ok();
        Err(fault::refused(&self.settings.url, status, &headers, &body))
    }

    /// What comes of the body up to the limit, and whether that is all of it.
    async fn body(
        &self,
        mut response: Response,
        limit: usize,
        deadline: Deadline,
    ) -> (Vec<u8>, Result<(), Fault>) {
        let mut body = Vec::new();
        let read = async {
            while let Some(data) = self.chunk(&mut response, body.len() as u64).await? {
                let room = limit.saturating_sub(body.len());
                body.extend_from_slice(data.get(..room).unwrap_or(&data));
                if data.len() > room {
                    return Err(too_large(limit as u64));
                }
            }
            Ok(())
        };
        let read = timeout_at(deadline.at, read).await;
        let complete = read.unwrap_or_else(|_| Err(deadline.incomplete(body.len() as u64)));
        (body, complete)
    }

    async fn chunk(&self, response: &mut Response, received: u64) -> Result<Option<Bytes>, Fault> {
        response.chunk().await.map_err(|error| fault::broken(received, &error))
    }

    fn finish<T>(
        &self,
        operation: Operation,
        started: Instant,
        result: Noted<T>,
        accept_partial: bool,
    ) -> Result<T, Fault> {
        let result = result.and_then(|(data, notes)| {
            self.warnings.log(&notes.texts, operation.as_str());
            self.metrics.warned(notes.texts.len() as u64);
            match notes.partial {
                Some(text) if !accept_partial => Err(fault::partial(&text)),
                _ => Ok(data),
            }
        });
        let outcome = result.as_ref().err().map_or(QueryOutcome::Success, outcome);
        self.metrics.asked(operation, outcome, started.elapsed());
        result
    }
}

/// When a request has to be done, and how long that was from its begin.
#[derive(Clone, Copy)]
struct Deadline {
    at: Instant,
    given: Duration,
}

impl Deadline {
    /// Now, and what is that much later.
    fn after(given: Duration) -> (Instant, Self) {
        let started = Instant::now();
        (started, Self { at: started + given, given })
    }

    fn missed(self) -> Fault {
        Fault::Deadline(self.given)
    }

    fn incomplete(self, received: u64) -> Fault {
        Fault::Incomplete { deadline: self.given, received }
    }
}

/// How many requests may be under way at once.
struct Slots {
    count: usize,
    free: Semaphore,
}

impl Slots {
    fn new(count: usize) -> Self {
        Self { count, free: Semaphore::new(count.min(Semaphore::MAX_PERMITS)) }
    }

    async fn take(&self, deadline: Deadline) -> Result<SemaphorePermit<'_>, Fault> {
        match timeout_at(deadline.at, self.free.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            // Nobody closes the semaphore.
            Ok(Err(_)) | Err(_) => Err(Fault::Busy { slots: self.count, deadline: deadline.given }),
        }
    }
}

fn success<T>(answer: Answer<T>, status: StatusCode) -> Noted<T> {
    match answer {
        Answer::Success { data, notes } => Ok((data, notes)),
        Answer::Error { kind, message } => Err(fault::said(status, &kind, &message)),
    }
}

fn outcome(error: &Fault) -> QueryOutcome {
    match error {
        Fault::Busy { .. } => QueryOutcome::Busy,
        Fault::Deadline(_) => QueryOutcome::Deadline,
        Fault::Incomplete { .. } => QueryOutcome::Incomplete,
        Fault::Malformed(_) | Fault::Unusable(_) | Fault::TooLarge(_) => QueryOutcome::Malformed,
        Fault::Partial(_) => QueryOutcome::Partial,
        Fault::Suspended { .. } | Fault::NotAsked(_) => QueryOutcome::Suspended,
        Fault::Refused { .. } => QueryOutcome::Refused,
        Fault::Throttled { .. } => QueryOutcome::Throttled,
        Fault::Unreachable(_) => QueryOutcome::Unreachable,
    }
}

fn too_large(limit: u64) -> Fault {
    Fault::TooLarge(format!("it is larger than {limit} bytes"))
}

fn stopped(error: &JoinError) -> Fault {
    Fault::Malformed(format!("reading it was given up: {error}"))
}

/// Makes a URL one that the paths of the API can be put behind.
fn normalize(url: &mut Url) -> Result<(), SettingsError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(SettingsError::Scheme(url.scheme().to_owned()));
    }
    url.set_fragment(None);
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&path);
    Ok(())
}

fn header_map(headers: &[(String, String)]) -> Result<HeaderMap, SettingsError> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let invalid = || SettingsError::Header(name.clone());
        let mut value = HeaderValue::try_from(value).map_err(|_| invalid())?;
        value.set_sensitive(true);
        map.append(HeaderName::try_from(name).map_err(|_| invalid())?, value);
    }
    Ok(map)
}

/// A time as prometheus-adapter writes it: seconds with up to three decimals.
fn seconds(time: Timestamp) -> String {
    let millis = time.as_millisecond();
    let (sign, millis) = (if millis < 0 { "-" } else { "" }, millis.unsigned_abs());
    let text = format!("{sign}{}.{:03}", millis / 1_000, millis % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::Metrics;

    #[test]
    fn times_have_up_to_three_decimals() {
        let cases = [
            (1_700_000_000_000, "1700000000"),
            (1_700_000_000_120, "1700000000.12"),
            (1_700_000_000_001, "1700000000.001"),
            (10_000, "10"),
            (0, "0"),
            (-1_500, "-1.5"),
        ];
        for (millis, expected) in cases {
            assert_eq!(seconds(Timestamp::from_millisecond(millis).unwrap()), expected);
        }
    }

    #[test]
    fn settings_that_cannot_work_are_refused_without_their_secrets() {
        let build = |url: &str, header: &str| {
            let mut settings = Settings::new(Url::parse(url).unwrap());
            settings.headers = vec![(header.to_owned(), "secret".to_owned())];
            let metrics = Metrics::new().backend("b");
            Client::new(settings, metrics).err().map(|error| error.to_string())
        };
        assert_eq!(build("http://user:secret@prometheus", "x-scope-orgid"), None);
        assert_eq!(
            [build("ftp://user:secret@prometheus", "x"), build("http://prometheus", "a b")],
            [
                Some("the URL of a backend begins with http:// or https://, not with ftp:".into()),
                Some(
                    "the header \"a b\" or its value holds characters that HTTP does not allow \
                     there"
                        .into()
                ),
            ]
        );
    }
}
