//! Cases 123 to 131: HTTP, TLS and the life of the process.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, SupportedProtocolVersion};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{C1, C2, E, Lab, PODS, Setup, items};
use crate::support::client::Client;
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn case_123_http2_and_http1_are_offered() {
    let lab = Lab::start().await;
    let negotiated = async |offered: &[&[u8]]| {
        let stream = lab.client.connect(offered).await;
        stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec)
    };
    assert_eq!(negotiated(&[b"h2", b"http/1.1"]).await.as_deref(), Some(&b"h2"[..]));
    assert_eq!(negotiated(&[b"http/1.1"]).await.as_deref(), Some(&b"http/1.1"[..]));
    assert_eq!(negotiated(&[]).await, None);
    let target = format!("{C2}{PODS}");
    let (one, two) = (lab.client.get(&target).await, lab.client.get_http2(&target).await);
    assert_eq!((one.version, two.version), (http::Version::HTTP_11, http::Version::HTTP_2));
    assert_eq!((one.status, &one.body), (200, &two.body));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_124_450_requests_at_once_on_five_connections_are_all_answered() {
    let lab = Lab::start().await;
    let mut raw = RawHttp2::connect(&lab.client).await;
    let streams = raw.maximum_of_streams().await;
    assert!(streams >= 100, "{streams}");
    let sessions = join_all((0..5).map(|_| lab.client.open_http2())).await;
    let target = format!("{C2}{PODS}");
    let requests = sessions.iter().flat_map(|session| (0..90).map(|_| session.get(&target)));
    let answers = join_all(requests).await;
    assert_eq!(answers.len(), 450);
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn case_125_a_ping_is_answered_within_a_second_under_load() {
    let lab = Lab::start().await;
    let sessions = join_all((0..3).map(|_| lab.client.open_http2())).await;
    let load = sessions.into_iter().map(|session| {
        tokio::spawn(async move {
            let target = format!("{C2}{PODS}");
            loop {
                join_all((0..50).map(|_| session.get(&target))).await;
            }
        })
    });
    let load: Vec<_> = load.map(tokio_util::task::AbortOnDropHandle::new).collect();
    let mut raw = RawHttp2::connect(&lab.client).await;
    for _ in 0..20 {
        let took = raw.ping().await;
        assert!(took < Duration::from_secs(1), "{took:?}");
    }
    drop(load);
}

/// A connection that speaks HTTP/2 frame by frame.
struct RawHttp2(TlsStream<TcpStream>);

struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;

impl RawHttp2 {
    async fn connect(client: &Client) -> Self {
        let mut stream = client.connect(&[b"h2"]).await;
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
        stream.write_all(&[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0]).await.unwrap();
        Self(stream)
    }

    /// The next frame; none where the connection has ended.
    async fn next(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        timeout(PATIENCE, self.0.read_exact(&mut head)).await.expect("a frame or the end").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        timeout(PATIENCE, self.0.read_exact(&mut payload)).await.expect("a payload").ok()?;
        Some(Frame { kind: head[3], flags: head[4], payload })
    }

    /// `SETTINGS_MAX_CONCURRENT_STREAMS`.
    async fn maximum_of_streams(&mut self) -> u32 {
        loop {
            let frame = self.next().await.expect("settings");
            let mut settings = frame.payload.chunks_exact(6);
            let found = settings.find(|setting| frame.kind == SETTINGS && setting[..2] == [0, 3]);
            if let Some(setting) = found {
                return u32::from_be_bytes(setting[2..].try_into().unwrap());
            }
        }
    }

    async fn ping(&mut self) -> Duration {
        let began = Instant::now();
        let mut frame = vec![0, 0, 8, PING, 0, 0, 0, 0, 0];
        frame.extend(b"plimsoll");
        self.0.write_all(&frame).await.unwrap();
        loop {
            let frame = self.next().await.expect("an answer to a PING");
            if (frame.kind, frame.flags, &*frame.payload) == (PING, 1, b"plimsoll") {
                return began.elapsed();
            }
        }
    }
}

/// A serving certificate of a service in a cluster, and its authority.
fn serving_certificate() -> (Authority, tempfile::TempDir) {
    let (authority, directory) = (Authority::new(), tempfile::tempdir().unwrap());
    write_certificate(&authority, &directory);
    (authority, directory)
}

fn write_certificate(authority: &Authority, directory: &tempfile::TempDir) {
    let pair = authority.issue_for(&["127.0.0.1", "metrics.wirespec.svc"]);
    for (name, text) in [("tls.crt", pair.cert), ("tls.key", pair.key)] {
        fs::write(directory.path().join("new"), text).unwrap();
        fs::rename(directory.path().join("new"), directory.path().join(name)).unwrap();
    }
}

/// Without `{dir}` the files are those of another directory.
fn certificate_flags(directory: &tempfile::TempDir) -> [String; 2] {
    let path = |name: &str| directory.path().join(name).display().to_string();
    [
        format!("--tls-cert-file={}", path("tls.crt")),
        format!("--tls-private-key-file={}", path("tls.key")),
    ]
}

async fn handshake(
    lab: &Lab,
    authority: &Authority,
    name: &str,
    versions: &[&'static SupportedProtocolVersion],
) -> TlsStream<TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).unwrap()).unwrap();
    let config = ClientConfig::builder_with_protocol_versions(versions)
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(lab.client.address()).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}

/// A lab that serves with a certificate from files.
async fn lab_with_certificate(directory: &tempfile::TempDir) -> Lab {
    let prometheus = FakePrometheus::start().await;
    super::script(&prometheus);
    let url = prometheus.url().to_string();
    let flags = certificate_flags(directory);
    let flags = flags.each_ref().map(String::as_str);
    let (config, objects) = (super::CONFIG, super::OBJECTS);
    let plimsoll = Plimsoll::start_unready(&Start {
        config,
        objects,
        prometheus: &url,
        flags: &flags,
        ..Start::default()
    });
    let certificate = fs::read_to_string(directory.path().join("tls.crt")).unwrap();
    let client = Client::new(plimsoll.secure, &certificate);
    Lab { prometheus, plimsoll, client }
}

#[tokio::test]
async fn case_126_tls_1_2_and_1_3_are_accepted_with_any_name_and_1_1_is_refused() {
    let (authority, directory) = serving_certificate();
    let lab = lab_with_certificate(&directory).await;
    let versions = [
        (&rustls::version::TLS12, ProtocolVersion::TLSv1_2),
        (&rustls::version::TLS13, ProtocolVersion::TLSv1_3),
    ];
    for (offered, expected) in versions {
        // A name is sent as SNI, an address is not.
        for name in ["metrics.wirespec.svc", "127.0.0.1"] {
            let mut stream = handshake(&lab, &authority, name, &[offered]).await;
            assert_eq!(stream.get_ref().1.protocol_version(), Some(expected));
            // The authority is an address as the aggregator writes it, whatever the SNI.
            let request = format!("GET {C2} HTTP/1.1\r\nhost: 10.0.0.1:443\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut line = [0; 12];
            stream.read_exact(&mut line).await.unwrap();
            assert_eq!(&line, b"HTTP/1.1 200");
        }
    }

    let mut stream = TcpStream::connect(lab.client.address()).await.unwrap();
    stream.write_all(&hello_of_tls_1_1()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    // An alert: fatal, protocol_version.
    assert_eq!((answer[0], &answer[5..]), (21, &[2, 70][..]), "{answer:?}");
}

/// A `ClientHello` whose highest version is TLS 1.1.
fn hello_of_tls_1_1() -> Vec<u8> {
    let mut body = vec![3, 2];
    body.extend([7; 32]);
    body.push(0);
    body.extend([0, 6, 0xc0, 0x2b, 0xc0, 0x2f, 0xc0, 0x13]);
    body.extend([1, 0]);
    // Whatever else a server needs: signatures, groups and point formats.
    body.extend([0, 24, 0, 13, 0, 6, 0, 4, 4, 3, 8, 4, 0, 10, 0, 4, 0, 2, 0, 29]);
    body.extend([0, 11, 0, 2, 1, 0]);
    let length = |length: usize| u8::try_from(length).unwrap();
    let mut hello = vec![22, 3, 1, 0, length(body.len() + 4), 1, 0, 0, length(body.len())];
    hello.extend(body);
    hello
}

#[tokio::test]
async fn case_127_a_replaced_certificate_serves_new_handshakes_and_open_connections_go_on() {
    let (authority, directory) = serving_certificate();
    let lab = lab_with_certificate(&directory).await;
    let both = &[&rustls::version::TLS12, &rustls::version::TLS13];
    let mut open = handshake(&lab, &authority, "127.0.0.1", both).await;
    let of = |stream: &TlsStream<TcpStream>| {
        stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
    };
    let before = of(&open);
    write_certificate(&authority, &directory);
    wait_until("the new certificate is served", async || {
        of(&handshake(&lab, &authority, "127.0.0.1", both).await) != before
    })
    .await;
    open.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut line = [0; 12];
    open.read_exact(&mut line).await.unwrap();
    assert_eq!(&line, b"HTTP/1.1 200");
}

#[tokio::test]
async fn case_128_no_route_redirects() {
    let lab = Lab::start().await;
    let session = lab.client.open_http2().await;
    let metric = "/namespaces/default/services/web/hits";
    let routes = [
        "",
        "/api",
        "/apis",
        "/apis/custom.metrics.k8s.io",
        C1,
        C2,
        E,
        "/healthz",
        "/livez",
        "/readyz",
        "/version",
        "/openapi",
        "/openapi/v2",
        "/openapi/v3",
        "/openapi/v3/apis",
        "/metrics",
        "/nowhere",
    ];
    let metrics = [C1, C2].map(|version| format!("{version}{metric}"));
    let openapi = [C1, C2, E].map(|version| format!("/openapi/v3{version}"));
    for route in routes.into_iter().chain(metrics.iter().chain(&openapi).map(String::as_str)) {
        for slashes in ["", "/", "//", "/?x=y"] {
            let target = format!("{route}{slashes}");
            let target = if target.is_empty() { "/" } else { &target };
            let status = session.get(target).await.status;
            assert!([200, 400, 404].contains(&status), "{target}: {status}");
        }
    }
}

const SLOW: &str = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;

#[tokio::test]
async fn case_129_sigterm_unreadies_then_drains_and_the_exit_is_clean() {
    let flags = ["--shutdown-delay=2s", "--refresh-interval=0"];
    let mut lab = Lab::with(Setup { flags: &flags, ..Setup::default() }).await;
    // Takes four seconds to come, so that the delay ends meanwhile.
    let slow = format!("{}{}", SLOW, " ".repeat(80 - SLOW.len()));
    lab.prometheus.answer("queue_depth{}", Answer::Drip(slow.into(), Duration::from_millis(50)));
    let mut raw = RawHttp2::connect(&lab.client).await;
    let session = lab.client.open_http2().await;
    assert_eq!(session.get("/readyz").await.status, 200);

    lab.plimsoll.terminate();
    wait_until("it is unready", async || session.get("/readyz").await.status == 500).await;
    let unready = session.get("/readyz?verbose").await;
    assert!(unready.text().contains("[-]shutdown failed: reason withheld\n"), "{}", unready.text());
    for target in [C2, "/apis", "/healthz", "/livez", &format!("{C2}{PODS}")] {
        assert_eq!(lab.client.get(target).await.status, 200, "{target}, during the delay");
    }
    let target = format!("{E}/namespaces/default/queue_depth");
    let in_flight = tokio::spawn(async move { session.get(&target).await });

    let mut went_away = false;
    while let Some(frame) = raw.next().await {
        went_away |= frame.kind == GO_AWAY;
    }
    assert!(went_away, "the connection ended without GOAWAY");
    wait_until("new connections are refused", async || {
        TcpStream::connect(lab.client.address()).await.is_err()
    })
    .await;
    let finished = in_flight.await.unwrap();
    assert_eq!((finished.status, &finished.json()["items"]), (200, &json!([])));
    assert_eq!(lab.plimsoll.end().await.code(), Some(0));
}

#[tokio::test]
async fn case_131_readyz_lists_its_checks_and_a_failing_one_is_500() {
    let lab = Lab::start().await;
    let answer = lab.client.get("/readyz?verbose").await;
    let good = "[+]ping ok\n[+]certificate ok\n[+]discovery ok\n[+]autoscalers ok\n\
        [+]shutdown ok\nreadyz check passed\n";
    assert_eq!((answer.status, answer.text()), (200, good));

    let prometheus = FakePrometheus::start().await;
    prometheus.answer_all(Answer::Stall);
    let url = prometheus.url().to_string();
    let start = Start { config: super::CONFIG, prometheus: &url, ..Start::default() };
    let plimsoll = Plimsoll::start_unready(&start);
    let bad = "[+]ping ok\n[+]certificate ok\n[-]discovery failed: reason withheld\n\
        [-]autoscalers failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n";
    wait_until("only the discovery is missing", async || {
        let answer = plimsoll.client().get("/readyz").await;
        assert_eq!(answer.status, 500);
        answer.text() == bad
    })
    .await;
    assert_eq!(plimsoll.client().get("/livez").await.status, 200);
    assert_eq!(items(&lab.get(C2, PODS).await).len(), 2);
}

/// Flags of prometheus-adapter's base library that have their meaning here.
#[tokio::test]
async fn http2_is_not_offered_where_it_is_disabled() {
    let prometheus = FakePrometheus::start().await;
    let url = prometheus.url().to_string();
    for (flag, chosen) in [("--disable-http2", &b"http/1.1"[..]), ("--disable-http2=false", b"h2")]
    {
        let plimsoll = Plimsoll::start(Start {
            config: "rules: []",
            prometheus: &url,
            flags: &[flag],
            ..Start::default()
        })
        .await;
        let stream = plimsoll.client().connect(&[b"h2", b"http/1.1"]).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(chosen), "{flag}");
    }
}
