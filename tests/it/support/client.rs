//! An HTTPS client that sends a request exactly as a test writes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::pki::Pair;

/// A server that does not answer in this time fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a connection for each request.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    name: ServerName<'static>,
    roots: RootCertStore,
    tls: ClientConfig,
}

/// One connection.
pub(crate) struct Connection {
    address: SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
    ended: JoinHandle<()>,
}

impl Connection {
    /// `GET` with headers.
    pub(crate) async fn get_with(&mut self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let target = format!("https://{}{target}", self.address);
        let answer = self.sender.send_request(request("GET", &target, self.address, headers));
        collect(tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()).await
    }

    /// Waits until the server has closed it.
    pub(crate) async fn closed(self) {
        let Self { sender, ended, .. } = self;
        tokio::time::timeout(PATIENCE, ended).await.expect("it stays open").unwrap();
        drop(sender);
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Client {
    /// A client of one server, whose certificate is signed by one of these.
    pub(crate) fn new(address: SocketAddr, authorities: &str) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities.as_bytes()) {
            // A leaf that stands before its authority is no authority.
            let _leaf = roots.add(authority.unwrap());
        }
        let tls =
            ClientConfig::builder().with_root_certificates(roots.clone()).with_no_client_auth();
        Self { address, name: ServerName::IpAddress(address.ip().into()), roots, tls }
    }

    /// The same client, which expects a certificate for this name.
    pub(crate) fn with_name(self, name: &str) -> Self {
        Self { name: ServerName::try_from(name.to_owned()).unwrap(), ..self }
    }

    /// The same client with a certificate, whoever signed it.
    pub(crate) fn with_certificate(&self, pair: &Pair) -> Self {
        let chain = CertificateDer::pem_slice_iter(pair.cert.as_bytes());
        let chain = chain.collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let tls = ClientConfig::builder()
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(chain, key)
            .unwrap();
        Self { tls, ..self.clone() }
    }

    /// Opens one connection for several requests over HTTP/2.
    pub(crate) async fn open(&self) -> Connection {
        let stream = self.connect(&[b"h2"]).await;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        let ended = tokio::spawn(async move { drop(connection.await) });
        Connection { address: self.address, sender, ended }
    }

    /// `GET` over HTTP/1.1 without headers but the host.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send("GET", target, &[]).await
    }

    /// `GET` with headers.
    pub(crate) async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        self.send("GET", target, headers).await
    }

    /// Any method over HTTP/1.1.
    pub(crate) async fn send(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Answer {
        self.send_body(method, target, headers, Bytes::new()).await
    }

    /// Any method with a body over HTTP/1.1.
    pub(crate) async fn send_body(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let stream = self.connect(&[b"http/1.1"]).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request =
            request(method, target, self.address, headers).map(|_| Full::<Bytes>::from(body));
        let answer = sender.send_request(request);
        collect(tokio::time::timeout(PATIENCE, answer).await.expect(target).expect(target)).await
    }

    /// `GET` over HTTP/2.
    pub(crate) async fn get_http2(&self, target: &str) -> Answer {
        let stream = self.connect(&[b"h2"]).await;
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let target = format!("https://{}{target}", self.address);
        let answer = sender.send_request(request("GET", &target, self.address, &[]));
        collect(tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()).await
    }

    /// An HTTP/2 connection that stays open, for many requests at once.
    pub(crate) async fn open_http2(&self) -> Session {
        let stream = self.connect(&[b"h2"]).await;
        let mut builder = http2::Builder::new(TokioExecutor::new());
        // A server that does not answer a PING within a second, however busy it is, loses the
        // connection, and with it the test.
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(Duration::from_millis(100))
            .keep_alive_timeout(Duration::from_secs(1));
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Session { address: self.address, sender }
    }

    /// Where the server is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A TLS connection, with the application protocols on offer.
    pub(crate) async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        TlsConnector::from(Arc::new(tls)).connect(self.name.clone(), stream).await.unwrap()
    }
}

/// An open HTTP/2 connection; clones share it.
#[derive(Clone)]
pub(crate) struct Session {
    address: SocketAddr,
    sender: http2::SendRequest<Full<Bytes>>,
}

impl Session {
    /// `GET` on this connection.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        let mut sender = self.sender.clone();
        sender.ready().await.unwrap();
        let target = format!("https://{}{target}", self.address);
        let answer = sender.send_request(request("GET", &target, self.address, &[]));
        collect(tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap()).await
    }
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The message of a `Status`.
    pub(crate) fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or_default().to_owned()
    }
}

fn request(
    method: &str,
    target: &str,
    host: SocketAddr,
    headers: &[(&str, &str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::builder().method(method).uri(target);
    if target.starts_with('/') {
        request = request.header("host", host.to_string());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::default()).unwrap()
}

async fn collect(response: http::Response<hyper::body::Incoming>) -> Answer {
    let (head, body) = response.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await.unwrap().unwrap().to_bytes();
    Answer { status: head.status.as_u16(), version: head.version, headers: head.headers, body }
}
