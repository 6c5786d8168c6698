//! A Prometheus that is as quick as can be, with samples of all of a [`Fleet`], which it counts the
//! questions for; and one that fails in every way there is.
//!
//! A value says when it was made and whose it is, so that whoever gets it can tell how old an
//! answer is and whether it is right.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Result;
use futures_util::stream;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use tokio::sync::watch;

use crate::fleet::{self, Fleet};
use crate::gate::{self, Answer};
use crate::workload::{Metric, Of};

/// Values are numbers below it and times in multiples of it.
const NUMBERS: u64 = 1_000_000;

/// A second, in thousandths.
const FLAP: u128 = 1_000;

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What is wrong with the backend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Failure {
    #[default]
    None,
    /// It hangs up on everybody.
    Down,
    /// It never answers.
    Stalls,
    /// It is there every other second.
    Flaps,
    /// It answers with all that is no data.
    WrongData,
    /// It breaks off in the middle of an answer.
    HalfAnswers,
    /// It has too much to do.
    TooManyRequests,
}

/// The backend.
pub(crate) struct FakePrometheus {
    pub(crate) address: SocketAddr,
    pub(crate) failure: watch::Sender<Failure>,
    queries: Arc<AtomicU64>,
    is_open: watch::Sender<bool>,
}

impl FakePrometheus {
    pub(crate) async fn start(fleet: Fleet) -> Result<Self> {
        let queries = Arc::new(AtomicU64::new(0));
        let (failure, state) = watch::channel(Failure::None);
        let count = Arc::clone(&queries);
        let gate =
            gate::serve(move |request| answer(fleet, request, Arc::clone(&count), state.clone()))
                .await?;
        Ok(Self { address: gate.address, failure, queries, is_open: gate.is_open })
    }

    /// How many queries there have been, listings apart.
    pub(crate) fn queries(&self) -> u64 {
        self.queries.load(Ordering::Relaxed)
    }

    /// Fails so from now on.
    pub(crate) fn fail(&self, failure: Failure) {
        self.failure.send_replace(failure);
        self.is_open.send_replace(failure != Failure::Down);
    }
}

/// Milliseconds since this program began to count.
pub(crate) fn now() -> u64 {
    u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// When a value was made, and the number of whom it is.
pub(crate) fn read(value: u64) -> (u64, usize) {
    (value / NUMBERS, usize::try_from(value % NUMBERS).unwrap_or(usize::MAX))
}

async fn answer(
    fleet: Fleet,
    request: Request<Incoming>,
    queries: Arc<AtomicU64>,
    failure: watch::Receiver<Failure>,
) -> Answer {
    let path = request.uri().path().to_owned();
    let mut text = request.uri().query().unwrap_or_default().to_owned();
    if let Ok(body) = request.into_body().collect().await {
        text.push('&');
        text.push_str(&String::from_utf8_lossy(&body.to_bytes()));
    }
    let wanted = if path.ends_with("/series") { "match[]" } else { "query" };
    let mut pairs = url::form_urlencoded::parse(text.as_bytes());
    let query = pairs.find(|(key, _)| key == wanted).map(|(_, value)| value.into_owned());
    let query = query.unwrap_or_default();
    let Some(metric) = Metric::ALL.into_iter().find(|it| query.contains(it.series())) else {
        return success("[]");
    };
    if path.ends_with("/series") {
        return series(fleet, metric);
    }
    let asked = queries.fetch_add(1, Ordering::Relaxed);
    let failure = *failure.borrow();
    match failure {
        Failure::Flaps if BEGIN.elapsed().as_millis() / FLAP % 2 == 1 => {
            gate::json(StatusCode::BAD_GATEWAY, "<html>no upstream</html>")
        }
        Failure::None | Failure::Down | Failure::Flaps => {
            success(&vector(&samples(fleet, metric, &query, age(0))))
        }
        Failure::Stalls => std::future::pending().await,
        Failure::WrongData => wrong(fleet, metric, &query, asked),
        Failure::HalfAnswers => half(&vector(&samples(fleet, metric, &query, age(0)))),
        Failure::TooManyRequests => {
            let body = r#"{"status":"error","errorType":"too_many","error":"slow down"}"#;
            let mut response = gate::json(StatusCode::TOO_MANY_REQUESTS, body);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    }
}

/// Seconds since the Unix epoch, so many ago.
fn age(seconds: u64) -> f64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_secs(seconds)).as_secs_f64()
}

/// Samples of what a query asks for, as PromQL would choose them by namespace and object.
fn samples(fleet: Fleet, metric: Metric, query: &str, time: f64) -> String {
    let mut text = String::new();
    let made = now();
    let mut add = |labels: &[(&str, &str)], number: usize| {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(comma);
        text.push_str(r#"{"metric":{"#);
        for (index, (name, value)) in labels.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            // Nothing can fail that writes into a `String`.
            write!(text, r#"{comma}"{name}":"{value}""#).ok();
        }
        let value = made * NUMBERS + number as u64;
        write!(text, r#"}},"value":[{time:.3},"{value}"]}}"#).ok();
    };
    let namespaces = named(query, "namespace");
    let namespaces = namespaces.unwrap_or_else(|| (0..fleet.namespaces()).collect());
    let own = if metric.of() == Of::Pods { "pod" } else { "deployment" };
    let objects = named(query, own);
    for number in namespaces {
        let namespace = fleet::namespace(number);
        let deployments = fleet.deployments_in(number);
        match (metric.of(), &objects) {
            (Of::Pods, Some(pods)) => {
                for pod in pods {
                    add(&[("namespace", &namespace), ("pod", &fleet.pod(*pod))], *pod);
                }
            }
            (Of::Pods, None) => {
                for pod in deployments.flat_map(|deployment| fleet.pods_of(deployment)) {
                    add(&[("namespace", &namespace), ("pod", &fleet.pod(pod))], pod);
                }
            }
            (Of::Deployment, objects) => {
                for number in objects.clone().unwrap_or_else(|| deployments.collect()) {
                    let deployment = fleet::deployment(number);
                    add(&[("deployment", &deployment), ("namespace", &namespace)], number);
                }
            }
            (Of::Namespace, _) => add(&[("namespace", &namespace)], number),
        }
    }
    text
}

/// The numbers of those that a matcher names, `label="…"` or `label=~"…|…"`.
fn named(query: &str, label: &str) -> Option<Vec<usize>> {
    let begin = [format!(r#"{label}=""#), format!(r#"{label}=~""#)];
    let rest = begin.iter().find_map(|begin| Some(query.split_once(begin.as_str())?.1))?;
    let names = rest.split('"').next()?.trim_matches(['^', '$', '(', ')']);
    Some(names.split('|').filter_map(fleet::number).collect())
}

fn series(fleet: Fleet, metric: Metric) -> Answer {
    let (name, namespaces) = (metric.series(), 0..fleet.namespaces());
    let rows: Vec<_> = namespaces
        .map(|number| {
            let namespace = fleet::namespace(number);
            let object = match metric.of() {
                Of::Pods => r#","pod":"a""#,
                Of::Deployment => r#","deployment":"a""#,
                Of::Namespace => "",
            };
            format!(r#"{{"__name__":"{name}","namespace":"{namespace}"{object}}}"#)
        })
        .collect();
    success(&format!("[{}]", rows.join(",")))
}

fn vector(samples: &str) -> String {
    format!(r#"{{"resultType":"vector","result":[{samples}]}}"#)
}

fn success(data: &str) -> Answer {
    gate::json(StatusCode::OK, format!(r#"{{"status":"success","data":{data}}}"#))
}

/// What must never become a value.
fn wrong(fleet: Fleet, metric: Metric, query: &str, asked: u64) -> Answer {
    let good = || samples(fleet, metric, query, age(0));
    match asked % 8 {
        0 => gate::json(StatusCode::OK, "<html>Please sign in</html>"),
        1 => success(&vector(&good().replace(r#","value":["#, r#","histogram":["#))),
        2 => success(&vector(&good()).replace("vector", "matrix")),
        // Every sample twice, with another value each.
        3 => success(&vector(&format!(
            "{0},{1}",
            good(),
            good().replace(r#","value""#, r#","value" "#).replace(r#""]"#, r#"1"]"#)
        ))),
        // Older than Prometheus looks back.
        4 => success(&vector(&samples(fleet, metric, query, age(3_600)))),
        5 => success(&vector(&good().replace(r#""]"#, r#"e400"]"#))),
        6 => success(&vector(&good().replace(r#""]"#, r#" or so"]"#))),
        _ => {
            gate::json(StatusCode::OK, r#"{"status":"error","errorType":"execution","error":"x"}"#)
        }
    }
}

/// The first half of a body that was to be longer.
fn half(data: &str) -> Answer {
    let text = format!(r#"{{"status":"success","data":{data}}}"#);
    let half = Bytes::from(text.into_bytes()).split_to(data.len() / 2);
    let frames = [Ok(Frame::data(half)), Err(io::Error::other("broken off"))];
    Response::new(BoxBody::new(StreamBody::new(stream::iter(frames))))
}
