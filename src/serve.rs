//! Listeners: accept, speak TLS and HTTP/1.1 or HTTP/2, hand requests to a handler, drain.
//!
//! One loop serves the API with TLS and the admin port without. Whatever one client does (a stall,
//! garbage, a flood, a request that makes the handler panic) ends at its own connection: every
//! phase has a deadline and every connection counts against a bound. Deadlines and limits of
//! requests and of their bodies are the handler's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connection::Connection;
use self::shutdown::Shutdown;
use crate::model::access::Proven;
use crate::telemetry::metrics::Metrics;

pub mod certificate;
mod connection;
pub mod health;
pub mod shutdown;
#[cfg(test)]
mod tests;
pub mod tls;

/// Go's `net/http` waits so long after a failed accept, too: from 5 ms, doubling, to 1 s.
const FIRST_BACKOFF: Duration = Duration::from_millis(5);
const LAST_BACKOFF: Duration = Duration::from_secs(1);

/// A bound address that accepts nothing yet: the kernel already queues connections.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Binds the address; port 0 takes any free one.
    pub async fn bind(address: SocketAddr) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address })
    }

    /// The bound address, with its port.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves with TLS until the context's shutdown, and then finishes the requests in flight.
    /// Each accepted connection gets the configuration that `tls` holds at that moment. Returns
    /// how many connections had to be cut because they did not end within the drain limit.
    ///
    /// The handler gets every request and answers each: it has no error of its own.
    pub async fn serve<H: Handler>(
        self,
        tls: Arc<ArcSwap<ServerConfig>>,
        context: Context,
        handler: H,
    ) -> usize {
        self.accept_until_stopped(Some(tls), context, handler).await
    }

    /// Like [`Listener::serve`], without TLS.
    pub async fn serve_plain<H: Handler>(self, context: Context, handler: H) -> usize {
        self.accept_until_stopped(None, context, handler).await
    }

    async fn accept_until_stopped<H: Handler>(
        self,
        tls: Option<Arc<ArcSwap<ServerConfig>>>,
        context: Context,
        handler: H,
    ) -> usize {
        let Self { socket, address } = self;
        let Context { limits, shutdown, metrics } = context;
        let (handler, stopped) = (Arc::new(handler), shutdown.stopped());
        let permits = Arc::new(Semaphore::new(limits.connections));
        // Ends what is left when the drain limit has passed.
        let (tasks, killed) = (TaskTracker::new(), shutdown.aborted());
        let mut backoff = FIRST_BACKOFF;
        // A full server waits for a permit here, inside, so that it sees the stop.
        while let Some(accepted) = stopped.run_until_cancelled(accept(&socket, &permits)).await {
            match accepted {
                Ok((stream, peer, permit)) => {
                    backoff = FIRST_BACKOFF;
                    let connection = Connection {
                        peer,
                        permit,
                        limits,
                        stopped: shutdown.stopped(),
                        killed: killed.child_token(),
                        metrics: Arc::clone(&metrics),
                    };
                    let tls = tls.as_ref().map(|tls| tls.load_full());
                    tasks.spawn(connection.run(stream, tls, Arc::clone(&handler)));
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    tracing::error!(%address, %error, ?backoff, "cannot accept a connection");
                    stopped.run_until_cancelled(tokio::time::sleep(backoff)).await;
                    backoff = LAST_BACKOFF.min(backoff * 2);
                }
            }
        }
        drop(socket);
        tasks.close();
        let drain = tokio::time::timeout(limits.drain, tasks.wait());
        if let Some(Ok(())) = killed.run_until_cancelled(drain).await {
            return 0;
        }
        let cut = tasks.len();
        tracing::warn!(%address, cut, "connections did not end in time and are cut");
        killed.cancel();
        tasks.wait().await;
        cut
    }
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

/// What listeners of one process share.
#[derive(Clone, Debug)]
pub struct Context {
    /// Bounds of this listener.
    pub limits: Limits,
    /// When to end.
    pub shutdown: Shutdown,
    /// Where connections, failures and panics are counted.
    pub metrics: Arc<Metrics>,
}

/// Bounds of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time; more wait in the kernel's queue.
    pub connections: usize,
    /// Requests at one time on one HTTP/2 connection (`--http2-max-streams-per-connection`).
    pub streams: u32,
    /// How long a TLS handshake may take.
    pub handshake: Duration,
    /// How long a connection may take to its first request.
    pub first_request: Duration,
    /// A connection without a request for so long is closed, at the latest after twice as long.
    pub idle: Duration,
    /// How old an HTTP/2 connection becomes, and up to a fifth more, before its client is told to
    /// open another.
    pub age: Duration,
    /// How long requests in flight may take after the stop.
    pub drain: Duration,
}

impl Default for Limits {
    /// The API server closes its connections to us after 90 s and gives a handshake 10 s
    /// (staging/src/k8s.io/client-go/transport/cache.go): who opened a connection is to close it,
    /// because a server that does so may cut a request that is on its way. HTTP/2 can say which
    /// requests it still takes, so there a server may: an API server has one connection to us for
    /// all it asks, which would stay with one replica for ever.
    fn default() -> Self {
        Self {
            connections: 1024,
            streams: 250,
            handshake: Duration::from_secs(10),
            first_request: Duration::from_secs(32),
            idle: Duration::from_secs(100),
            age: Duration::from_mins(10),
            drain: Duration::from_secs(15),
        }
    }
}

/// Who sent a request.
#[derive(Debug)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// The client's certificate and its intermediates. The client holds the key; nothing else
    /// about them is verified. Empty where it has shown none.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What they have been found to prove; for the handler to keep.
    pub proven: ArcSwapOption<Proven>,
    unwelcome: CancellationToken,
}

impl Peer {
    /// Ends the connection once the requests that are under way are answered. HTTP/2 makes it
    /// cheap to ask much at once, so who has no business here is to have no connection for it
    /// (CVE-2023-44487).
    pub fn hang_up(&self) {
        self.unwelcome.cancel();
    }
}

/// An async function from a request and its peer to the answer. Dropped when the client goes away.
pub trait Handler:
    Fn(Request<Incoming>, Arc<Peer>) -> <Self as Handler>::Answer + Send + Sync + 'static
{
    /// The future of the answer.
    type Answer: Future<Output = Response<Full<Bytes>>> + Send + 'static;
}

impl<H, F> Handler for H
where
    H: Fn(Request<Incoming>, Arc<Peer>) -> F + Send + Sync + 'static,
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    type Answer = F;
}

async fn accept(
    socket: &TcpListener,
    permits: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = socket.accept().await?;
    Ok((stream, peer, permit))
}

/// accept(2) also reports what became of a connection while it was queued; the next may be fine.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
