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

/// How late a timer may be.
const TIMER: Duration = Duration::from_millis(2);

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
    #[arg(long)]
    token: Option<String>,
    /// JSON that is posted; without it, GET.
    #[arg(long)]
    body: Option<PathBuf>,
    /// Requests a second on all connections together; without it, as fast as it goes.
    #[arg(long)]
    rate: Option<f64>,
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
    let token = args.token.iter().map(|token| format!("authorization: Bearer {token}\r\n"));
    let (method, body) = match &args.body {
        Some(file) => ("POST", std::fs::read_to_string(file)?),
        None => ("GET", String::new()),
    };
    let content = match body.len() {
        0 => String::new(),
        length => format!("content-type: application/json\r\ncontent-length: {length}\r\n"),
    };
    let request = format!(
        "{method} {} HTTP/1.1\r\nhost: {}\r\n{}{content}\r\n{body}",
        args.path,
        args.address,
        token.collect::<String>()
    );
    let count = u32::try_from(args.connections)?;
    let every = args.rate.map(|rate| Duration::from_secs_f64(f64::from(count) / rate));

    let mut connections = JoinSet::new();
    for _ in 0..args.connections {
        let stream = connect(&connector, args.address).await?;
        let duration = Duration::from_secs(args.seconds);
        connections.spawn(ask_for(duration, every, stream, request.clone()));
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

/// Asks again and again; returns how long each answer took, without those of the warm-up. At a
/// rate, the time counts from when a request was due: one that waits for the one before it is late.
async fn ask_for(
    duration: Duration,
    every: Option<Duration>,
    mut stream: TlsStream<TcpStream>,
    request: String,
) -> Result<Vec<Duration>> {
    let mut answer = Vec::new();
    let warm = Instant::now() + WARM_UP;
    while Instant::now() < warm {
        ask(&mut stream, &request, &mut answer).await?;
    }
    let mut latencies = Vec::new();
    let mut due = Instant::now();
    while warm.elapsed() < duration {
        let asked = match every {
            Some(every) => {
                due += every;
                tokio::time::sleep_until(due.into()).await;
                // That a timer is a little late is not the server's fault.
                if due.elapsed() < TIMER { Instant::now() } else { due }
            }
            None => Instant::now(),
        };
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
    let mut end = None;
    loop {
        match end {
            Some(End::At(length)) if answer.len() >= length => return Ok(()),
            Some(End::LastChunk) if answer.ends_with(b"\r\n0\r\n\r\n") => return Ok(()),
            _ => {}
        }
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(answer)).await?;
        if read? == 0 {
            bail!("the connection was closed in the middle of an answer");
        }
        if end.is_none() {
            end = find_end(answer)?;
        }
    }
}

/// Where an answer ends.
enum End {
    At(usize),
    /// With the last chunk, which is empty.
    LastChunk,
}

/// The end of an answer, once its head is there.
fn find_end(answer: &[u8]) -> Result<Option<End>> {
    let Some(body) = answer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = String::from_utf8_lossy(answer.get(..body).unwrap_or_default()).to_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        bail!("not the answer that was asked for: {}", String::from_utf8_lossy(answer));
    }
    if head.contains("\r\ntransfer-encoding: chunked") {
        return Ok(Some(End::LastChunk));
    }
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.context("an answer without content-length")?.parse()?;
    Ok(Some(End::At(body + 4 + length)))
}

fn summarize(mut latencies: Vec<Duration>, seconds: u64) -> Option<Load> {
    latencies.sort_unstable();
    let at =
        |percent: usize| Some(latencies.get(latencies.len() * percent / 100)?.as_secs_f64() * 1e6);
    let count = f64::from(u32::try_from(latencies.len()).ok()?);
    let per_second = count / Duration::from_secs(seconds).as_secs_f64();
    Some(Load { per_second, p50: at(50)?, p99: at(99)? })
}
