//! Real sockets on the loopback, with hyper's own client.

use std::collections::BTreeMap;
use std::future::pending;

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{Method, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertifiedKey, KeyPair};
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::tls::{MinimumVersion, Protocols};
use super::*;

/// Longer than anything here takes; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);
const H2: &[&[u8]] = &[b"h2"];
const HTTP1: &[&[u8]] = &[b"http/1.1"];

struct Server {
    address: SocketAddr,
    tls: Arc<ArcSwap<ServerConfig>>,
    certificate: CertificateDer<'static>,
    metrics: Arc<Metrics>,
    shutdown: Shutdown,
    task: JoinHandle<usize>,
}

impl Server {
    async fn start(limits: Limits, handler: impl Handler) -> Self {
        Self::start_with(limits, MinimumVersion::Tls12, handler).await
    }

    async fn start_with(limits: Limits, minimum: MinimumVersion, handler: impl Handler) -> Self {
        let (config, certificate) = identity(minimum);
        let tls = Arc::new(ArcSwap::from_pointee(config));
        let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr();
        let (shutdown, metrics) = (Shutdown::new(), Arc::new(Metrics::new()));
        let context = Context { limits, shutdown: shutdown.clone(), metrics: Arc::clone(&metrics) };
        let task = tokio::spawn(listener.serve(Arc::clone(&tls), context, handler));
        Self { address, tls, certificate, metrics, shutdown, task }
    }

    async fn connect(&self, alpn: &[&[u8]]) -> io::Result<TlsStream<TcpStream>> {
        self.connect_with(client(&self.certificate, rustls::ALL_VERSIONS, alpn)).await
    }

    async fn connect_with(&self, config: ClientConfig) -> io::Result<TlsStream<TcpStream>> {
        let socket = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        within(TlsConnector::from(Arc::new(config)).connect(name, socket)).await
    }

    async fn http1(&self) -> http1::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect(HTTP1).await.unwrap());
        let (requests, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        requests
    }

    async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect(H2).await.unwrap());
        let builder = http2::Builder::new(TokioExecutor::new());
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        tokio::spawn(connection);
        requests
    }

    async fn stop(self) -> usize {
        self.shutdown.stop();
        within(self.task).await.unwrap()
    }

    fn metric(&self, series: &str) -> String {
        let text = self.metrics.encode();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
        value.unwrap_or_else(|| panic!("{series} in {text}")).to_owned()
    }
}

fn identity(minimum: MinimumVersion) -> (ServerConfig, CertificateDer<'static>) {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let certified =
        rustls::sign::CertifiedKey::from_der(vec![cert.der().clone()], key, &tls::provider());
    let protocols = Protocols { minimum, ..Protocols::default() };
    (tls::server_config(certified.unwrap(), protocols).unwrap(), cert.der().clone())
}

fn client(
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&[u8]],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it takes too long")
}

async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Full::default()).unwrap()
}

async fn body(response: Response<Incoming>) -> (u16, String) {
    let status = response.status().as_u16();
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    (status, String::from_utf8(bytes.to_vec()).unwrap())
}

fn text(text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::new(Full::new(text.into()))
}

async fn echo(request: Request<Incoming>, peer: Arc<Peer>) -> Response<Full<Bytes>> {
    let certificates = peer.certificates.len();
    let headers = request.headers().len();
    text(format!("{} {certificates} {headers}", request.uri().path()))
}

async fn panics_on_demand(request: Request<Incoming>, _: Arc<Peer>) -> Response<Full<Bytes>> {
    assert_ne!(request.uri().path(), "/panic", "on demand");
    text("fine")
}

#[tokio::test]
async fn both_protocols_are_negotiated_and_answered() {
    let server = Server::start(Limits::default(), echo).await;
    let first = within(server.http1().await.send_request(get("/one"))).await.unwrap();
    let second = within(server.http2().await.send_request(get("/two"))).await.unwrap();
    assert_eq!((first.version(), second.version()), (Version::HTTP_11, Version::HTTP_2));
    assert_eq!(body(first).await, (200, "/one 0 0".to_owned()));
    assert_eq!(body(second).await, (200, "/two 0 0".to_owned()));
    let both = server.connect(&[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(both.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let none = server.connect(&[]).await.unwrap();
    assert_eq!(none.get_ref().1.alpn_protocol(), None);
}

/// Presents a certificate with whatever key, as only a thief would.
#[derive(Debug)]
struct Presents(Arc<rustls::sign::CertifiedKey>);

impl ResolvesClientCert for Presents {
    fn resolve(
        &self,
        _: &[&[u8]],
        _: &[SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn presents(
    mut config: ClientConfig,
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
) -> ClientConfig {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let key = tls::provider().key_provider.load_private_key(key).unwrap();
    let presented = rustls::sign::CertifiedKey::new(vec![certificate.clone()], key);
    config.client_auth_cert_resolver = Arc::new(Presents(Arc::new(presented)));
    config
}

#[tokio::test]
async fn a_client_certificate_reaches_the_handler_if_its_key_is_held() {
    let server = Server::start(Limits::default(), echo).await;
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["somebody".to_owned()]).unwrap();
    let stolen = KeyPair::generate().unwrap();
    for versions in [&[&rustls::version::TLS12], &[&rustls::version::TLS13]] {
        let config = client(&server.certificate, versions, HTTP1);
        let stream = server.connect_with(presents(config.clone(), cert.der(), &signing_key)).await;
        let (mut requests, connection) =
            http1::handshake(TokioIo::new(stream.unwrap())).await.unwrap();
        tokio::spawn(connection);
        let answer = within(requests.send_request(get("/"))).await.unwrap();
        assert_eq!(body(answer).await, (200, "/ 1 0".to_owned()));

        // In TLS 1.3 the client is done before the server has judged it.
        let thief = async {
            let mut stream = server.connect_with(presents(config, cert.der(), &stolen)).await?;
            stream.read_u8().await
        };
        let refused = within(thief).await.unwrap_err();
        assert!(refused.to_string().contains("DecryptError"), "{refused}");
    }
}

#[tokio::test]
async fn a_new_certificate_serves_new_connections_and_old_ones_go_on() {
    let server = Server::start(Limits::default(), echo).await;
    let mut old = server.http1().await;
    assert_eq!(within(old.send_request(get("/"))).await.unwrap().status(), StatusCode::OK);
    let (config, certificate) = identity(MinimumVersion::Tls12);
    server.tls.store(Arc::new(config));
    let refused = server.connect(HTTP1).await.unwrap_err();
    assert!(refused.to_string().contains("invalid peer certificate"), "{refused}");
    let trusting = client(&certificate, rustls::ALL_VERSIONS, HTTP1);
    assert!(server.connect_with(trusting).await.is_ok());
    old.ready().await.unwrap();
    let answer = within(old.send_request(get("/still"))).await.unwrap();
    assert_eq!(body(answer).await, (200, "/still 0 0".to_owned()));
}

#[tokio::test]
async fn a_stalled_handshake_ends_at_its_deadline_and_blocks_nobody() {
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let server = Server::start(limits, echo).await;
    let mut stalled = TcpStream::connect(server.address).await.unwrap();
    stalled.write_all(&[22, 3, 1]).await.unwrap();
    let answer = within(server.http2().await.send_request(get("/"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(within(stalled.read(&mut [0; 16])).await.unwrap(), 0);
    assert_eq!(server.metric("plimsoll_tls_handshake_failures_total"), "1");
}

#[tokio::test]
async fn garbage_instead_of_a_hello_ends_only_its_connection() {
    let server = Server::start(Limits::default(), echo).await;
    let mut good = server.http1().await;
    let hellos: [&[u8]; 4] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 64], &[255; 2_000], b""];
    for hello in hellos {
        let mut bad = TcpStream::connect(server.address).await.unwrap();
        bad.write_all(hello).await.unwrap();
        bad.shutdown().await.unwrap();
        // Either an end or a reset, after an alert or without.
        drop(within(bad.read_to_end(&mut Vec::new())).await);
    }
    let answer = within(good.send_request(get("/"))).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    until(|| server.metric("plimsoll_tls_handshake_failures_total") == "4").await;
    assert_eq!(server.metric("plimsoll_connections"), "1");
}

#[tokio::test]
async fn tls_1_1_is_refused_with_an_alert() {
    let server = Server::start(Limits::default(), echo).await;
    // A hello with version 3.2 (TLS 1.1), and otherwise what TLS 1.2 needs: no session, one cipher
    // suite, no compression, and the extensions signature_algorithms and supported_groups.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
    hello.extend([0, 16, 0, 13, 0, 4, 0, 2, 4, 3, 0, 10, 0, 4, 0, 2, 0, 0x17]);
    let length = u8::try_from(hello.len()).unwrap();
    let mut record = vec![22, 3, 1, 0, length + 4, 1, 0, 0, length];
    record.append(&mut hello);
    let mut socket = TcpStream::connect(server.address).await.unwrap();
    socket.write_all(&record).await.unwrap();
    let mut answer = [0; 7];
    within(socket.read_exact(&mut answer)).await.unwrap();
    // A fatal (2) alert (21): protocol_version (70).
    assert_eq!((answer[0], answer[5], answer[6]), (21, 2, 70));
}

#[tokio::test]
async fn the_minimum_version_is_honoured() {
    let mut accepted = BTreeMap::new();
    for minimum in [MinimumVersion::Tls12, MinimumVersion::Tls13] {
        let server = Server::start_with(Limits::default(), minimum, echo).await;
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let config = client(&server.certificate, &[version], H2);
            let connected = server.connect_with(config).await.is_ok();
            accepted.insert(format!("{minimum:?} {:?}", version.version), connected);
        }
    }
    let expected = [
        ("Tls12 TLSv1_2", true),
        ("Tls12 TLSv1_3", true),
        ("Tls13 TLSv1_2", false),
        ("Tls13 TLSv1_3", true),
    ];
    assert_eq!(accepted, expected.map(|(name, good)| (name.to_owned(), good)).into());
}

#[tokio::test]
async fn a_panic_ends_only_its_request() {
    let server = Server::start(Limits::default(), panics_on_demand).await;
    let (mut http1, mut http2) = (server.http1().await, server.http2().await);
    let first = within(http1.send_request(get("/panic"))).await.unwrap();
    let second = within(http2.send_request(get("/panic"))).await.unwrap();
    for answer in [first, second] {
        assert_eq!(answer.headers()["content-type"], "application/json");
        let (status, body) = body(answer).await;
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["kind"], &body["code"]), (500, &"Status".into(), &500.into()));
    }
    http1.ready().await.unwrap();
    let first = within(http1.send_request(get("/"))).await.unwrap();
    let second = within(http2.send_request(get("/"))).await.unwrap();
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    assert_eq!(server.metric("plimsoll_panics_total"), "2");
}

/// A handler that says when a request is there, and answers when it is told to.
fn held() -> (impl Handler, mpsc::UnboundedReceiver<()>, Arc<Notify>) {
    let (arrived, arrivals) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let waits = Arc::clone(&release);
    let handler = move |_: Request<Incoming>, _: Arc<Peer>| {
        let (arrived, waits) = (arrived.clone(), Arc::clone(&waits));
        async move {
            arrived.send(()).unwrap();
            waits.notified().await;
            text("finished")
        }
    };
    (handler, arrivals, release)
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_refuses_what_is_new() {
    let (handler, mut arrivals, release) = held();
    let server = Server::start(Limits::default(), handler).await;
    let (mut http1, mut http2) = (server.http1().await, server.http2().await);
    let mut idle = server.connect(HTTP1).await.unwrap();
    let first = tokio::spawn(http1.send_request(get("/")));
    let second = tokio::spawn(http2.send_request(get("/")));
    within(arrivals.recv()).await.unwrap();
    within(arrivals.recv()).await.unwrap();

    server.shutdown.stop();
    // The idle connection ends, and then the listener is surely gone.
    assert_eq!(within(idle.read(&mut [0; 1])).await.unwrap(), 0);
    let refused = TcpStream::connect(server.address).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

    release.notify_waiters();
    let (first, second) = (first.await.unwrap().unwrap(), second.await.unwrap().unwrap());
    assert_eq!(first.headers()[CONNECTION], "close");
    let finished = (200, "finished".to_owned());
    assert_eq!((body(first).await, body(second).await), (finished.clone(), finished));
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_drain_cuts_what_does_not_finish() {
    let (handler, mut arrivals, _release) = held();
    let limits = Limits { drain: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start(limits, handler).await;
    let mut requests = server.http2().await;
    let cut = tokio::spawn(requests.send_request(get("/")));
    within(arrivals.recv()).await.unwrap();
    let metrics = Arc::clone(&server.metrics);
    assert_eq!(server.stop().await, 1);
    assert!(cut.await.unwrap().is_err());
    assert!(metrics.encode().contains("plimsoll_connections 0\n"));
}

#[tokio::test]
async fn an_abort_does_not_wait_for_the_drain() {
    let (handler, mut arrivals, _release) = held();
    let limits = Limits { drain: PATIENCE * 10, ..Limits::default() };
    let server = Server::start(limits, handler).await;
    let mut requests = server.http1().await;
    let cut = tokio::spawn(requests.send_request(get("/")));
    within(arrivals.recv()).await.unwrap();
    server.shutdown.abort();
    within(server.task).await.unwrap();
    assert!(cut.await.unwrap().is_err());
}

#[tokio::test]
async fn a_full_server_takes_the_next_when_one_leaves_and_still_sees_the_stop() {
    let limits = Limits { connections: 1, ..Limits::default() };
    let server = Server::start(limits, echo).await;
    let first = server.connect(HTTP1).await.unwrap();
    let mut second = Box::pin(server.connect(HTTP1));
    let early = tokio::time::timeout(Duration::from_millis(100), &mut second).await;
    assert!(early.is_err(), "the second connection is not accepted while the first is open");
    drop(first);
    let second = second.await.unwrap();
    assert_eq!(server.metric("plimsoll_connections"), "1");
    // Full again, with the accept loop waiting for a permit.
    assert_eq!(server.stop().await, 0);
    drop(second);
}

#[tokio::test]
async fn connections_without_a_request_are_closed() {
    let short = Duration::from_millis(100);
    let limits = Limits { first_request: short, idle: short, ..Limits::default() };
    let server = Server::start(limits, echo).await;
    let mut used = server.http1().await;
    within(used.send_request(get("/"))).await.unwrap();
    let mut silent = server.connect(HTTP1).await.unwrap();
    let mut slow = server.connect(HTTP1).await.unwrap();
    slow.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    assert_eq!(within(silent.read(&mut [0; 1])).await.unwrap(), 0);
    until(|| used.is_closed()).await;
    // A head that is half there gets some time to end before it is cut.
    until(|| server.metric("plimsoll_connections") == "1").await;
    drop(slow);
    until(|| server.metric("plimsoll_connections") == "0").await;
}

/// What an API server does: one connection for everything, and the next when it is told to go.
async fn ask_on_and_on(server: &Server, until: impl Fn(usize) -> bool) -> (usize, usize) {
    let (mut connections, mut answers) = (0, 0);
    while !until(connections) {
        let mut requests = server.http2().await;
        connections += 1;
        loop {
            match within(requests.try_send_request(get("/"))).await {
                Ok(response) => assert_eq!(response.status(), 200),
                Err(mut error) => match error.take_message() {
                    // It was never sent.
                    Some(_) => break,
                    None => panic!("{:?}", error.into_error()),
                },
            }
            answers += 1;
        }
    }
    (connections, answers)
}

#[tokio::test]
async fn old_connections_are_told_to_go_and_lose_no_request() {
    let limits = Limits { age: Duration::from_millis(50), ..Limits::default() };
    let server = Server::start(limits, echo).await;
    let mut one = server.http1().await;
    let (connections, answers) = ask_on_and_on(&server, |connections| connections >= 5).await;
    assert!(answers > connections, "{answers} answers on {connections} connections");
    until(|| server.metric("plimsoll_connections") == "1").await;
    assert_eq!(within(one.send_request(get("/"))).await.unwrap().status(), 200);
}

#[tokio::test]
async fn many_requests_go_over_one_connection_at_once() {
    let server = Server::start(Limits::default(), echo).await;
    let requests = server.http2().await;
    let answers = (0..450).map(|number| {
        let mut requests = requests.clone();
        async move { body(requests.send_request(get(&format!("/{number}"))).await.unwrap()).await }
    });
    let answers = within(futures_util::future::join_all(answers)).await;
    let expected: Vec<_> = (0..450).map(|number| (200, format!("/{number} 0 0"))).collect();
    assert_eq!(answers, expected);
}

#[tokio::test]
async fn users_of_many_groups_are_let_in_and_endless_headers_are_not() {
    let server = Server::start(Limits::default(), echo).await;
    let with_groups = |count: usize| {
        let mut request = get("/");
        for number in 0..count {
            let group = format!("oidc:some-team-{number}").parse().unwrap();
            request.headers_mut().append("x-remote-group", group);
        }
        request
    };
    let many = within(server.http2().await.send_request(with_groups(600))).await.unwrap();
    assert_eq!(body(many).await, (200, "/ 0 600".to_owned()));
    let many = within(server.http1().await.send_request(with_groups(600))).await.unwrap();
    assert_eq!(body(many).await, (200, "/ 0 600".to_owned()));
    let endless = within(server.http2().await.send_request(with_groups(5_000))).await.unwrap();
    assert_eq!(endless.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let endless = within(server.http1().await.send_request(with_groups(5_000))).await;
    assert!(endless.map_or(true, |answer| answer.status().is_client_error()));
}

#[tokio::test]
async fn the_plain_listener_serves_without_tls() {
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let address = listener.local_addr();
    let shutdown = Shutdown::new();
    let metrics = Arc::new(Metrics::new());
    let context = Context { limits: Limits::default(), shutdown: shutdown.clone(), metrics };
    let task = tokio::spawn(listener.serve_plain(context, echo));
    let stream = TokioIo::new(TcpStream::connect(address).await.unwrap());
    let (mut requests, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request =
        Request::builder().method(Method::HEAD).uri("/x").body(Full::<Bytes>::default()).unwrap();
    let answer = within(requests.send_request(request)).await.unwrap();
    assert_eq!(answer.headers()[CONTENT_LENGTH], "6");
    assert_eq!(body(answer).await, (200, String::new()));
    shutdown.stop();
    assert_eq!(within(task).await.unwrap(), 0);
}

#[tokio::test]
async fn a_taken_address_is_named() {
    let first = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = Listener::bind(first.local_addr()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("cannot listen on {}", first.local_addr()));
}

#[tokio::test]
async fn requests_of_clients_that_went_away_are_dropped() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    // The sender lives as long as the request does.
    let handler = move |_: Request<Incoming>, _: Arc<Peer>| {
        let (ended, end) = mpsc::channel::<()>(1);
        arrived.send(end).unwrap();
        async move {
            let _ended = ended;
            pending().await
        }
    };
    let server = Server::start(Limits::default(), handler).await;
    let mut requests = server.http2().await;
    let request = tokio::spawn(requests.send_request(get("/")));
    let mut end = within(arrivals.recv()).await.unwrap();
    request.abort();
    assert_eq!(within(end.recv()).await, None);
}
