//! An HTTPS client that sends a request exactly as a test writes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server that does not answer in this time fails the test.
const PATIENCE: Duration = Duration::from_secs(20);

/// Opens a connection for each request.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: ClientConfig,
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
        let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { address, tls }
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
        let stream = self.connect(&[b"http/1.1"]).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let answer = sender.send_request(request(method, target, self.address, headers));
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

    /// A TLS connection, with the application protocols on offer.
    pub(crate) async fn connect(&self, protocols: &[&[u8]]) -> TlsStream<TcpStream> {
        let mut tls = self.tls.clone();
        tls.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::IpAddress(self.address.ip().into());
        TlsConnector::from(Arc::new(tls)).connect(name, stream).await.unwrap()
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
