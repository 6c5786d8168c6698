//! A fake Prometheus over real HTTP: scripted answers, and a record of what was asked.
//!
//! An answer is found by the text of `query` or `match[]`; what has none gets the default.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;
use url::{Url, form_urlencoded};

/// The fake; it stops when it is dropped.
pub(crate) struct FakePrometheus {
    address: SocketAddr,
    is_tls: bool,
    state: Arc<State>,
    _server: AbortOnDropHandle<()>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    /// From the URL, decoded.
    pub(crate) query: Vec<(String, String)>,
    /// From the body, decoded.
    pub(crate) form: Vec<(String, String)>,
    pub(crate) headers: HeaderMap,
    /// The target of the request, as it was written.
    pub(crate) target: String,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A whole answer.
    Whole { status: u16, headers: Vec<(&'static str, String)>, body: Bytes },
    /// Nothing, and the connection stays open.
    Stall,
    /// The connection is closed without a word.
    HangUp,
    /// This body, and then nothing while the connection stays open.
    StallAfter(Bytes),
    /// This body, and then the connection breaks.
    BreakAfter(Bytes),
    /// A byte of this body now and then.
    Drip(Bytes, Duration),
    /// Blanks of this many bytes, without a length in the head.
    Blanks(u64),
    /// A listing of this many series in ten metrics.
    ManySeries(u64),
}

#[derive(Default)]
struct State {
    answers: Mutex<HashMap<String, Answer>>,
    default: Mutex<Option<Answer>>,
    requests: Mutex<Vec<Request>>,
    /// Requests whose answer is neither complete nor given up by the client.
    under_way: watch::Sender<usize>,
}

impl FakePrometheus {
    pub(crate) async fn start() -> Self {
        Self::serve(None).await
    }

    pub(crate) async fn start_tls(config: ServerConfig) -> Self {
        Self::serve(Some(TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn serve(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, is_tls) = (Arc::new(State::default()), tls.is_some());
        let server = tokio::spawn(accept(listener, tls, Arc::clone(&state)));
        Self { address, is_tls, state, _server: AbortOnDropHandle::new(server) }
    }

    pub(crate) fn url(&self) -> Url {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address).parse().unwrap()
    }

    /// Answers a query or selector so from now on.
    pub(crate) fn answer(&self, query: &str, answer: Answer) {
        self.state.answers.lock().unwrap().insert(query.to_owned(), answer);
    }

    /// Answers so whatever has no answer of its own.
    pub(crate) fn answer_all(&self, answer: Answer) {
        *self.state.default.lock().unwrap() = Some(answer);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }

    /// The requests since the last call.
    pub(crate) fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.requests.lock().unwrap())
    }

    pub(crate) fn last_request(&self) -> Request {
        self.requests().pop().expect("nothing was asked")
    }

    /// Waits until so many requests are under way.
    pub(crate) async fn wait_for_under_way(&self, count: usize) {
        let mut under_way = self.state.under_way.subscribe();
        under_way.wait_for(|now| *now == count).await.unwrap();
    }
}

impl Request {
    /// A parameter, wherever it was.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let mut parameters = self.query.iter().chain(&self.form);
        parameters.find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

impl Answer {
    pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Self {
        Self::Whole { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let headers = vec![("content-type", "application/json".to_owned())];
        Self::Whole { status, headers, body: body.to_string().into() }
    }

    /// `data` of a success.
    pub(crate) fn data(data: &Value) -> Self {
        Self::json(200, &json!({"status": "success", "data": data}))
    }

    /// An instant vector of labels, time and value.
    pub(crate) fn vector(samples: &[(Value, f64, &str)]) -> Self {
        let samples = samples
            .iter()
            .map(|(metric, time, value)| json!({"metric": metric, "value": [time, value]}));
        let samples: Vec<_> = samples.collect();
        Self::data(&json!({"resultType": "vector", "result": samples}))
    }

    pub(crate) fn scalar(time: f64, value: &str) -> Self {
        Self::data(&json!({"resultType": "scalar", "result": [time, value]}))
    }

    pub(crate) fn error(status: u16, kind: &str, text: &str) -> Self {
        Self::json(status, &json!({"status": "error", "errorType": kind, "error": text}))
    }

    pub(crate) fn redirect(location: &str) -> Self {
        let headers = vec![("location", location.to_owned())];
        Self::Whole { status: 302, headers, body: Bytes::new() }
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, state: Arc<State>) {
    // Connections end with the fake.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let (tls, state) = (tls.clone(), Arc::clone(&state));
        connections.spawn(async move {
            match tls {
                None => serve::<TcpStream>(socket, state).await,
                Some(tls) => {
                    if let Ok(socket) = tls.accept(socket).await {
                        serve(socket, state).await;
                    }
                }
            }
        });
    }
}

async fn serve<S>(socket: S, state: Arc<State>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| respond(request, Arc::clone(&state)));
    // What goes wrong here is the client's to notice.
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(socket), service)
        .await
        .ok();
}

type Body = UnsyncBoxBody<Bytes, io::Error>;

async fn respond(
    request: http::Request<Incoming>,
    state: Arc<State>,
) -> Result<Response<Body>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect();
    let request = Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: pairs(head.uri.query().unwrap_or_default().as_bytes()),
        form: pairs(&body),
        headers: head.headers,
        target: head.uri.to_string(),
    };
    let key = request.parameter("query").or_else(|| request.parameter("match[]"));
    let answer = {
        let answers = state.answers.lock().unwrap();
        let own = key.and_then(|key| answers.get(key).cloned());
        own.or_else(|| state.default.lock().unwrap().clone())
    };
    state.requests.lock().unwrap().push(request);
    let under_way = UnderWay::new(Arc::clone(&state));
    match answer {
        Some(answer) => send(answer, under_way).await,
        None => send(Answer::error(404, "not_found", "the fake has no answer"), under_way).await,
    }
}

async fn send(answer: Answer, under_way: UnderWay) -> Result<Response<Body>, io::Error> {
    let ok = |body| Ok(Response::new(body));
    let first = |body| stream::once(async { Ok(Frame::data(body)) });
    match answer {
        Answer::Whole { status, headers, body } => {
            let mut response = Response::new(Full::new(body).map_err(never).boxed_unsync());
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
            Ok(response)
        }
        Answer::Stall => {
            std::future::pending::<()>().await;
            drop(under_way);
            Err(io::ErrorKind::Other.into())
        }
        Answer::HangUp => Err(io::ErrorKind::ConnectionAborted.into()),
        Answer::StallAfter(body) => {
            let held = stream::once(async move {
                let _under_way = under_way;
                std::future::pending().await
            });
            ok(BodyExt::boxed_unsync(StreamBody::new(first(body).chain(held))))
        }
        Answer::BreakAfter(body) => {
            let broken = stream::once(async {
                // While nothing more comes, hyper sends what it has.
                tokio::task::yield_now().await;
                Err(io::ErrorKind::ConnectionAborted.into())
            });
            ok(BodyExt::boxed_unsync(StreamBody::new(first(body).chain(broken))))
        }
        Answer::Drip(body, pause) => {
            let bytes = stream::iter(body).then(move |byte| async move {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(Bytes::copy_from_slice(&[byte])))
            });
            let held = bytes.map(move |byte| (byte, &under_way).0);
            ok(BodyExt::boxed_unsync(StreamBody::new(held)))
        }
        Answer::Blanks(count) => {
            let blanks = Bytes::from(vec![b' '; 1 << 16]);
            let frames = (0..count >> 16).map(move |_| blanks.clone());
            ok(frames_body(frames, under_way))
        }
        Answer::ManySeries(count) => ok(frames_body(many_series(count), under_way)),
    }
}

fn frames_body(frames: impl Iterator<Item = Bytes> + Send + 'static, under_way: UnderWay) -> Body {
    let frames = frames.map(move |data| {
        let _until_dropped = &under_way;
        Ok(Frame::data(data))
    });
    BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
}

fn many_series(count: u64) -> impl Iterator<Item = Bytes> {
    let series = (0..count).step_by(1_000).map(move |start| {
        let mut text = String::new();
        for number in start..count.min(start + 1_000) {
            let comma = if number == 0 { "" } else { "," };
            text += comma;
            text += &json!({
                "__name__": format!("metric_{}", number % 10),
                "namespace": format!("namespace-{}", number % 100),
                "pod": format!("deployment-0123456789-{number:08}"),
                "instance": "10.0.0.1:8080",
                "job": "kubernetes-pods",
                "node": "node-01.example.com",
            })
            .to_string();
        }
        Bytes::from(text)
    });
    std::iter::once(Bytes::from_static(br#"{"status":"success","data":["#))
        .chain(series)
        .chain(std::iter::once(Bytes::from_static(b"]}")))
}

fn never(error: Infallible) -> io::Error {
    match error {}
}

/// Counts a request until it is dropped.
struct UnderWay(Arc<State>);

impl UnderWay {
    fn new(state: Arc<State>) -> Self {
        state.under_way.send_modify(|count| *count += 1);
        Self(state)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.send_modify(|count| *count -= 1);
    }
}
