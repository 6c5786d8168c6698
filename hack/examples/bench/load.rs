//! The load generator: keep-alive connections over TLS, each asking the same thing again as soon as
//! it is answered. It reads no more of an answer than it must, to leave the processors to the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Long enough for connections, caches and clock speeds to settle.
const WARM_UP: Duration = Duration::from_secs(1);

/// An answer slower than this ends the measurement.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    address: SocketAddr,
    #[arg(long)]
    ca: PathBuf,
    #[arg(long)]
    path: String,
    #[arg(long)]
    connections: usize,
    #[arg(long)]
    seconds: u64,
}

/// What one measurement found.
#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
pub(crate) struct Load {
    pub(crate) per_second: f64,
    /// Microseconds.
    pub(crate) p50: f64,
    /// Microseconds.
    pub(crate) p99: f64,
}

/// Measures and prints a [`Load`] as JSON.
pub(crate) async fn run(args: &Args) -> Result<()> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&args.ca)? {
        roots.add(certificate?)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(config));
    let request = format!("GET {} HTTP/1.1\r\nhost: {}\r\n\r\n", args.path, args.address);

    let mut connections = JoinSet::new();
    for _ in 0..args.connections {
        let stream = connect(&connector, args.address).await?;
        connections.spawn(ask_for(Duration::from_secs(args.seconds), stream, request.clone()));
    }
    let mut latencies = Vec::new();
    while let Some(connection) = connections.join_next().await {
        latencies.append(&mut connection??);
    }
    let load = summarize(latencies, args.seconds).context("not one answer in time")?;
    println!("{}", serde_json::to_string(&load)?);
    Ok(())
}

async fn connect(connector: &TlsConnector, address: SocketAddr) -> Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    connector.connect(ServerName::from(address.ip()), stream).await.context("no TLS session")
}

/// Asks again and again; returns how long each answer took, without those of the warm-up.
async fn ask_for(
    duration: Duration,
    mut stream: TlsStream<TcpStream>,
    request: String,
) -> Result<Vec<Duration>> {
    let mut answer = Vec::new();
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        ask(&mut stream, &request, &mut answer).await?;
    }
    let mut latencies = Vec::new();
    while warm.elapsed() < duration {
        let asked = Instant::now();
        ask(&mut stream, &request, &mut answer).await?;
        latencies.push(asked.elapsed());
    }
    Ok(latencies)
}

/// One request, and its answer read to the end.
async fn ask(stream: &mut TlsStream<TcpStream>, request: &str, answer: &mut Vec<u8>) -> Result<()> {
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    answer.clear();
    let mut whole = None;
    while whole.is_none_or(|length| answer.len() < length) {
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(answer)).await?;
        if read? == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        if whole.is_none() {
            whole = length(answer)?;
        }
    }
    Ok(())
}

/// The length of the whole answer, once its head is there.
fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(answer.get(..end).unwrap_or_default()).to_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        bail!("not the answer that was asked for: {}", String::from_utf8_lossy(answer));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("an answer without content-length")?.parse()?;
    Ok(Some(end + 4 + length))
}

fn summarize(mut latencies: Vec<Duration>, seconds: u64) -> Option<Load> {
    latencies.sort_unstable();
    let at =
        |percent: usize| Some(latencies.get(latencies.len() * percent / 100)?.as_secs_f64() * 1e6);
    let count = f64::from(u32::try_from(latencies.len()).ok()?);
    let per_second = count / Duration::from_secs(seconds).as_secs_f64();
    Some(Load { per_second, p50: at(50)?, p99: at(99)? })
}
