//! The webhook's HTTP: from a request on a socket to a verdict within the time that is given.
//!
//! Every review that can be read is answered with 200 and a verdict, whatever happens on the way:
//! a judge that panics or takes too long lets the request through, with a warning. What cannot be
//! read is refused with a code and a line of text, which the API server takes as a failure of the
//! webhook. Nothing waits for anything but the body: beyond the bounds the answer is 429 at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue,
};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Body;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use url::form_urlencoded;

use super::report;
use super::review::{self, Answer, ReviewError, Subject};
use crate::model::duration;
use crate::serve::health::{self, Health, Probe};
use crate::telemetry::metrics::{AdmissionOutcome, Metrics, Webhook};

/// Longest body. The API server takes objects of 3 MiB, and an update carries two of them.
pub const MAX_BODY: usize = 8 << 20;
/// Reviews at one time. One takes well under a millisecond, so that more than a few mean clients
/// that do not send what they announced.
const MAX_REVIEWS: usize = 256;
/// Bytes of bodies at one time.
const MAX_BUFFERED: usize = 64 << 20;
/// From this size on a review is judged off the runtime's threads, where it holds up nobody and
/// can be given up.
const LARGE: usize = 256 << 10;

/// What the API server waits where a registration says nothing
/// (staging/src/k8s.io/api/admissionregistration/v1/types.go), and at most.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_TIMEOUT: Duration = Duration::from_secs(30);
/// This part of the time is left for the way back.
const MARGIN: u32 = 10;

/// Longest name of an object (staging/src/k8s.io/apimachinery/pkg/util/validation/validation.go).
const MAX_NAME: usize = 253;
/// What kubectl is sure to show of a warning (staging/src/k8s.io/api/admission/v1/types.go).
const MAX_WARNING: usize = 120;

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

/// What a judge makes of a review.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// What is answered.
    pub answer: Answer,
    /// What is counted.
    pub outcome: AdmissionOutcome,
}

/// Judges a review that could be read. Anything may happen inside; nothing there waits.
pub trait Judge: Fn(&review::Request<'_>, Webhook) -> Verdict + Send + Sync + 'static {}

impl<J> Judge for J where J: Fn(&review::Request<'_>, Webhook) -> Verdict + Send + Sync + 'static {}

/// Answers the requests of the admission port.
#[derive(Debug)]
pub struct Server<J> {
    judge: Arc<J>,
    health: Health,
    metrics: Arc<Metrics>,
    reviews: Semaphore,
    buffered: Semaphore,
}

impl<J: Judge> Server<J> {
    /// `health` is that of this half of the process alone.
    pub fn new(judge: J, health: Health, metrics: Arc<Metrics>) -> Self {
        Self {
            judge: Arc::new(judge),
            health,
            metrics,
            reviews: Semaphore::new(MAX_REVIEWS),
            buffered: Semaphore::new(MAX_BUFFERED),
        }
    }

    /// Answers a request; never fails.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let path = request.uri().path();
        if let Some(probe) = Probe::of(path) {
            let (status, body) = self.health.answer(probe, request.uri().query());
            return respond(status, health::CONTENT_TYPE, body);
        }
        let Some(webhook) = Webhook::of(path) else {
            let text = "there are /validate and /mutate for reviews, and /healthz, /livez and \
                /readyz\n";
            return respond(StatusCode::NOT_FOUND, TEXT, text);
        };
        let began = Instant::now();
        let (outcome, response) = match self.review(request, webhook, began).await {
            Ok((outcome, body)) => (outcome, respond(StatusCode::OK, JSON, body)),
            Err(refusal) => (AdmissionOutcome::Refused, refusal.response()),
        };
        self.metrics.admission_reviewed(webhook, outcome, began.elapsed());
        response
    }

    async fn review<B>(
        &self,
        request: Request<B>,
        webhook: Webhook,
        began: Instant,
    ) -> Result<(AdmissionOutcome, Vec<u8>), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        check_head(&head.method, &head.headers)?;
        let deadline = began + time_to_answer(head.uri.query().unwrap_or_default());
        let _place = self.reviews.try_acquire().map_err(|_| Refusal::Busy)?;
        let (body, _share) =
            timeout_at(deadline, self.read(body)).await.map_err(|_| Refusal::Slow)??;
        if body.len() < LARGE {
            return Ok(encode(&self.metrics, self.judge.as_ref(), &body, webhook)?);
        }
        self.review_large(body, webhook, deadline).await
    }

    /// The body, and its share of what may be buffered.
    async fn read<B>(&self, mut body: B) -> Result<(Bytes, SemaphorePermit<'_>), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut share = self.buffered.try_acquire_many(0).map_err(|_| Refusal::Busy)?;
        let mut whole = Bytes::new();
        let mut parts = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Refusal::Incomplete)?.into_data() else {
                continue;
            };
            let size = whole.len() + parts.len() + data.len();
            if size > MAX_BODY {
                return Err(Refusal::TooLarge);
            }
            let more = u32::try_from(data.len()).map_err(|_| Refusal::TooLarge)?;
            share.merge(self.buffered.try_acquire_many(more).map_err(|_| Refusal::Busy)?);
            // Most bodies come in one piece, which is not copied.
            if whole.is_empty() && parts.is_empty() {
                whole = data;
                continue;
            }
            parts.extend_from_slice(&std::mem::take(&mut whole));
            parts.extend_from_slice(&data);
        }
        Ok((if parts.is_empty() { whole } else { parts.freeze() }, share))
    }

    /// Judges where it holds up nobody, and gives up when the time is over.
    async fn review_large(
        &self,
        body: Bytes,
        webhook: Webhook,
        deadline: Instant,
    ) -> Result<(AdmissionOutcome, Vec<u8>), Refusal> {
        let (judge, metrics) = (Arc::clone(&self.judge), Arc::clone(&self.metrics));
        let text = body.clone();
        let judged =
            tokio::task::spawn_blocking(move || encode(&metrics, judge.as_ref(), &text, webhook));
        match timeout_at(deadline, judged).await {
            Ok(Ok(answer)) => Ok(answer?),
            // The uid alone is little work, and without it there is nothing to say.
            late => {
                let request = review::parse(&body)?;
                let why = if late.is_err() { "there was no time left" } else { "it ended early" };
                Ok(let_through(&request.uid, &format!("not judged: {why}")))
            }
        }
    }
}

/// The answer to a body that may be a review.
fn encode(
    metrics: &Metrics,
    judge: &impl Judge,
    body: &[u8],
    webhook: Webhook,
) -> Result<(AdmissionOutcome, Vec<u8>), ReviewError> {
    let request = match review::parse(body) {
        Ok(request) => request,
        Err(ReviewError::Malformed { uid, what }) => {
            return Ok(let_through(&uid, &format!("not judged: the review is malformed: {what}")));
        }
        Err(error) => return Err(error),
    };
    let judged = catch_unwind(AssertUnwindSafe(|| {
        let Verdict { answer, outcome } = judge(&request, webhook);
        let resource = request.resource.as_ref();
        let name = report::clean(&request.name, MAX_NAME);
        let subject = Subject {
            name: &name,
            group: resource.map_or("", |resource| &resource.group),
            resource: resource.map_or("", |resource| &resource.resource),
        };
        (outcome, answer.encode(&request.uid, &subject))
    }));
    Ok(judged.unwrap_or_else(|payload| {
        let cause = payload.downcast_ref::<&str>().copied();
        let cause = cause.or_else(|| payload.downcast_ref().map(String::as_str));
        metrics.review_panicked(webhook, cause.unwrap_or("no text"));
        let_through(&request.uid, "not judged: a bug, which the log of the webhook tells of")
    }))
}

/// What is allowed because it could not be judged.
fn let_through(uid: &str, why: &str) -> (AdmissionOutcome, Vec<u8>) {
    // What is in it may come from the review: it ends up on a terminal.
    let printable = why.chars().map(|c| if c.is_control() { ' ' } else { c });
    let warning = "plimsoll: ".chars().chain(printable).take(MAX_WARNING).collect();
    let answer = Answer::allowed_with(warning);
    (AdmissionOutcome::Failed, answer.encode(uid, &Subject::default()))
}

/// How long an answer may take. The API server says what it has left, rounded up to seconds.
fn time_to_answer(query: &str) -> Duration {
    let given = form_urlencoded::parse(query.as_bytes())
        .find(|(name, _)| name == "timeout")
        .and_then(|(_, value)| duration::parse_go(&value).ok())
        .filter(|given| !given.is_zero());
    let whole = given.unwrap_or(DEFAULT_TIMEOUT).min(MAX_TIMEOUT);
    whole.saturating_sub(whole / MARGIN)
}

fn check_head(method: &Method, headers: &HeaderMap) -> Result<(), Refusal> {
    if method != Method::POST {
        return Err(Refusal::Method);
    }
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.and_then(|value| value.split(';').next()).map(str::trim);
    if !media_type.is_some_and(|media_type| media_type.eq_ignore_ascii_case(JSON)) {
        return Err(Refusal::MediaType);
    }
    let encoding = headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes);
    if encoding.is_some_and(|encoding| !encoding.eq_ignore_ascii_case(b"identity")) {
        return Err(Refusal::Encoding);
    }
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_BODY as u64) {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Why there is no verdict.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("reviews are sent with POST")]
    Method,
    #[error("a review is application/json")]
    MediaType,
    #[error("a review is not compressed")]
    Encoding,
    #[error("a review has at most {} MiB", MAX_BODY >> 20)]
    TooLarge,
    #[error("the review did not arrive in time")]
    Slow,
    #[error("the review ended early")]
    Incomplete,
    #[error("too many reviews at one time")]
    Busy,
    #[error(transparent)]
    Review(#[from] ReviewError),
}

impl Refusal {
    fn response(&self) -> Response<Full<Bytes>> {
        let status = match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::MediaType | Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Slow => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Incomplete | Self::Review(_) => StatusCode::BAD_REQUEST,
        };
        let mut response = respond(status, TEXT, format!("{self}\n"));
        if matches!(self, Self::Method) {
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        }
        response
    }
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests;
