//! One connection from its acceptance to its end.

use std::convert::Infallible;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::{Handler, Limits, Peer};
use crate::telemetry::metrics::Metrics;

/// Longest head of a request: a user with many groups makes many `X-Remote-Group` headers. Of
/// HTTP/1.1 heads only those of twice this are sure to be refused, because hyper fills its buffer
/// before it looks at how much is in it, and hyper-util does not pass on its `max_header_size`.
const MAX_HEADER_SIZE: u32 = 64 * 1024;
/// hyper would stop at 100 for HTTP/1.1; HTTP/2 counts bytes alone.
const MAX_HTTP1_HEADERS: usize = 1024;
const STREAM_WINDOW: u32 = 64 * 1024;
/// Dead peers are found so: the API server's own connections do the same.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE: Duration = Duration::from_secs(30);
/// How long an idle connection may take to end once it was told to.
const CLOSING: Duration = Duration::from_secs(5);

/// The answer to a request whose handler panicked. Kept here as text because every answer of the
/// API is a `Status`, and nothing that may have panicked should have to make this one.
const PANICKED: &str = concat!(
    r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":""#,
    "this request caused a panic, which is a bug; its cause is in the log of the server",
    r#"","reason":"InternalError","code":500}"#,
);

/// What a connection needs beside its socket.
pub(super) struct Connection {
    pub(super) peer: SocketAddr,
    /// Its place under the connection limit.
    pub(super) permit: OwnedSemaphorePermit,
    pub(super) limits: Limits,
    /// Finish the requests in flight, take no more.
    pub(super) stopped: CancellationToken,
    /// End at once.
    pub(super) killed: CancellationToken,
    pub(super) metrics: Arc<Metrics>,
}

impl Connection {
    pub(super) async fn run<H: Handler>(
        self,
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        handler: Arc<H>,
    ) {
        let killed = self.killed.clone();
        let _open = self.metrics.connection();
        if let Err(error) = configure(&stream) {
            tracing::debug!(peer = %self.peer, %error, "the socket cannot be configured");
        }
        // Boxed because it is tens of kilobytes large and would be moved several times.
        let served = Box::pin(self.serve(stream, tls, handler));
        killed.run_until_cancelled_owned(served).await;
    }

    async fn serve<H: Handler>(
        self,
        stream: TcpStream,
        tls: Option<Arc<ServerConfig>>,
        handler: Arc<H>,
    ) {
        let Some(config) = tls else {
            return self.speak_http(stream, Protocol::Http1, Vec::new(), handler).await;
        };
        match self.handshake(stream, config).await {
            Ok(stream) => {
                let session = stream.get_ref().1;
                let protocol = Protocol::negotiated(session.alpn_protocol());
                let certificates =
                    session.peer_certificates().map(<[_]>::to_vec).unwrap_or_default();
                self.speak_http(stream, protocol, certificates, handler).await;
            }
            Err(error) => self.metrics.handshake_failed(self.peer, &error),
        }
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        config: Arc<ServerConfig>,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let handshake = TlsAcceptor::from(config).accept(stream);
        match timeout(self.limits.handshake, handshake).await {
            Ok(finished) => finished.map_err(HandshakeError::Failed),
            Err(_) => Err(HandshakeError::Deadline(self.limits.handshake)),
        }
    }

    async fn speak_http<H: Handler>(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        protocol: Protocol,
        certificates: Vec<CertificateDer<'static>>,
        handler: Arc<H>,
    ) {
        let Self { peer, permit: _permit, limits, stopped, killed: _, metrics } = self;
        let requests = Arc::new(Requests {
            handler,
            peer: Arc::new(Peer {
                address: peer,
                certificates,
                proven: ArcSwapOption::empty(),
                unwelcome: CancellationToken::new(),
            }),
            metrics,
            begun: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        });
        let service = {
            let requests = Arc::clone(&requests);
            service_fn(move |request| Arc::clone(&requests).answer(request))
        };
        let builder = http_builder(protocol, limits.streams);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let patience = tokio::select! {
            // Most wake-ups are the connection's own.
            biased;
            ended = connection.as_mut() => return log_end(peer, ended),
            // The listener says when it has been long enough.
            () = stopped.cancelled() => None,
            () = requests.peer.unwelcome.cancelled() => Some(limits.drain),
            () = requests.idle(limits) => Some(CLOSING),
            () = grown_old(protocol, limits.age) => Some(limits.drain),
        };
        connection.as_mut().graceful_shutdown();
        if let Some(patience) = patience {
            let cut = || tracing::debug!(%peer, "a connection did not close and is cut");
            let ended = timeout(patience, connection).await;
            ended.map_or_else(|_| cut(), |ended| log_end(peer, ended));
        } else {
            log_end(peer, connection.await);
        }
    }
}

/// What a connection speaks. ALPN has said it, so nothing waits for bytes to guess it from.
#[derive(Clone, Copy)]
enum Protocol {
    Http1,
    Http2,
}

impl Protocol {
    fn negotiated(alpn: Option<&[u8]>) -> Self {
        if alpn == Some(b"h2") { Self::Http2 } else { Self::Http1 }
    }
}

fn http_builder(protocol: Protocol, streams: u32) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper's deadline for a head also runs while a connection is idle, and makes a timer for
        // each request; `Requests::idle` covers both with one timer for the connection.
        .header_read_timeout(None)
        .max_headers(MAX_HTTP1_HEADERS)
        .max_buf_size(MAX_HEADER_SIZE as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .max_header_list_size(MAX_HEADER_SIZE)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT);
    match protocol {
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_only(),
    }
}

/// Waits until an HTTP/2 connection has been open for long enough. HTTP/1.1 could lose a request
/// that is on its way.
async fn grown_old(protocol: Protocol, age: Duration) {
    match protocol {
        Protocol::Http1 => std::future::pending().await,
        Protocol::Http2 => sleep(with_jitter(age)).await,
    }
}

/// Up to a fifth longer, so that those who came together do not come back together.
fn with_jitter(age: Duration) -> Duration {
    let random = RandomState::new().hash_one(());
    let thousandths = u32::try_from(random % 1_000).unwrap_or_default();
    age + age / 5 * thousandths / 1_000
}

/// The requests of one connection.
struct Requests<H> {
    handler: Arc<H>,
    peer: Arc<Peer>,
    metrics: Arc<Metrics>,
    begun: AtomicUsize,
    ended: AtomicUsize,
}

impl<H: Handler> Requests<H> {
    /// Answers a request; a panic of the handler ends here.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        // Counts the end also where the client went away and this future is dropped.
        let _ended = CountWhenDropped(&self.ended);
        let (method, uri) = (request.method().clone(), request.uri().clone());
        let peer = Arc::clone(&self.peer);
        let answer = async { (self.handler)(request, peer).await };
        let answer = AssertUnwindSafe(answer).catch_unwind().await;
        Ok(answer.unwrap_or_else(|payload| {
            let cause = payload.downcast_ref::<&str>().copied();
            let cause = cause.or_else(|| payload.downcast_ref().map(String::as_str));
            self.metrics.request_panicked(&method, uri.path(), cause.unwrap_or("no text"));
            let mut response = Response::new(Full::from(PANICKED));
            *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }))
    }

    /// Waits until the connection has been without a request for too long: port scanners, slow
    /// heads and the forgotten must not use up the connection limit.
    async fn idle(&self, limits: Limits) {
        sleep(limits.first_request).await;
        let mut seen = (0, 0);
        loop {
            let now = (self.begun.load(Ordering::Relaxed), self.ended.load(Ordering::Relaxed));
            if now == seen && now.0 == now.1 {
                return;
            }
            seen = now;
            sleep(limits.idle).await;
        }
    }
}

struct CountWhenDropped<'a>(&'a AtomicUsize);

impl Drop for CountWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why TLS was not set up.
#[derive(Debug, thiserror::Error)]
enum HandshakeError {
    #[error("the client did not finish the handshake within {0:?}")]
    Deadline(Duration),
    #[error(transparent)]
    Failed(io::Error),
}

fn configure(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}

/// What a client did wrong is for whoever looks for it.
fn log_end(peer: SocketAddr, ended: Result<(), Box<dyn std::error::Error + Send + Sync>>) {
    if let Err(error) = ended {
        let error = crate::telemetry::chain(&*error);
        tracing::debug!(%peer, error, "the connection ended with an error");
    }
}
