//! `hack/bench refresh`: what it costs to take up the values of one metric of very many pods.
//!
//! A real Prometheus scrapes the pods and answers plimsoll's query once. That answer is then served
//! again and again: to plimsoll, which makes values of it, and to a process that reads and parses
//! the same bytes and makes nothing of them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http_body_util::Full;
use hyper::Response;
use hyper::body::Bytes;
use serde::de::IgnoredAny;
use tokio::process::Command;

use crate::process;
use crate::serve::{memory, processor_time};

const CONFIG: &str = r#"
rules:
- seriesQuery: 'http_requests_in_flight{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  metricsQuery: sum(<<.Series>>{<<.LabelMatchers>>}) by (<<.GroupBy>>)
"#;

/// What plimsoll's query comes to where it is for all namespaces.
const QUERY: &str = "sum(http_requests_in_flight) by (namespace, pod)";

/// What keeps the metric in demand.
const PATH: &str =
    "/apis/custom.metrics.k8s.io/v1beta2/namespaces/team-0/pods/*/http_requests_in_flight";

/// Pods of a namespace.
const IN_NAMESPACE: usize = 500;

/// How long the scrape may take.
const DEADLINE: Duration = Duration::from_mins(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many pods there are.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
    /// How long the refreshes are measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

#[derive(clap::Args)]
pub(crate) struct ParseArgs {
    url: String,
    times: u32,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let answer = recorded(dir.path(), args.pods).await?;
    let length = answer.len();
    let queries = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&queries);
    let backend = crate::http::serve(move |request| {
        if request.uri().path().ends_with("/series") {
            return Response::new(Full::from(SERIES));
        }
        count.fetch_add(1, Ordering::Relaxed);
        Response::new(Full::new(answer.clone()))
    })
    .await?;
    let (refresh, peak) = refresh(dir.path(), backend, &queries, args.seconds).await?;

    let url = format!("http://{backend}/api/v1/query");
    let output = Command::new(std::env::current_exe()?)
        .args(["parse", &url, "20"])
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("parsing: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let (parse, parse_peak): (f64, f64) = serde_json::from_slice(&output.stdout)?;
    let mib = f64::from(u32::try_from(length)?) / 1024.0 / 1024.0;
    println!("{} pods in an answer of {mib:.1} MiB\n", args.pods);
    println!("{:<28}{:>14}{:>10}{:>10}", "", "CPU s each", "of it", "peak MiB");
    println!("{:<28}{parse:>14.4}{:>10.2}{parse_peak:>10.1}", "read, parsed into nothing", 1.0);
    println!("{:<28}{refresh:>14.4}{:>10.2}{peak:>10.1}", "refresh", refresh / parse);
    Ok(())
}

/// What the backend lists.
const SERIES: &str = r#"{"status":"success","data":[
{"__name__":"http_requests_in_flight","namespace":"team-0","pod":"a"}]}"#;

/// Seconds of processor time for each refresh, and the most memory.
async fn refresh(
    dir: &Path,
    backend: SocketAddr,
    queries: &AtomicU64,
    seconds: u64,
) -> Result<(f64, f64)> {
    let config = dir.join("config.yaml");
    std::fs::write(&config, CONFIG)?;
    let arguments = [
        format!("--config={}", config.display()),
        format!("--prometheus-url=http://{backend}"),
        "--refresh-interval=500ms".to_owned(),
    ];
    let (mut child, addresses) = process::start_plimsoll(dir, &arguments).await?;
    crate::serve::ready(addresses.admin).await?;
    let ca = reqwest::Certificate::from_pem(&std::fs::read(dir.join("apiserver.crt"))?)?;
    let client = reqwest::Client::builder().tls_certs_only([ca]).timeout(DEADLINE).build()?;
    // All namespaces' values are read from the answer, whichever of them are needed.
    let answer = client.get(format!("https://{}{PATH}", addresses.secure)).send().await?;
    let status = answer.status();
    let text = answer.text().await?;
    if text.matches("pod-").count() < IN_NAMESPACE {
        bail!("plimsoll does not answer with the pods but with {status}: {text:.300}");
    }
    let process = child.id().context("plimsoll has ended")?;
    let asked = || queries.load(Ordering::Relaxed);
    let before = (asked(), processor_time(process)?);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let refreshes = f64::from(u32::try_from(asked() - before.0)?);
    let spent = processor_time(process)? - before.1;
    let peak = memory(process, "VmHWM")?;
    child.kill().await?;
    Ok((spent / refreshes, peak))
}

/// The process that parses into nothing: prints seconds of processor time for each, and the most
/// memory.
pub(crate) async fn parse(args: &ParseArgs) -> Result<()> {
    let client = reqwest::Client::builder().http1_only().build()?;
    let own = std::process::id();
    let before = processor_time(own)?;
    for _ in 0..args.times {
        let mut response = client.get(&args.url).send().await?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            body.extend_from_slice(&chunk);
        }
        let _nothing: IgnoredAny = serde_json::from_slice(&body)?;
    }
    let spent = (processor_time(own)? - before) / f64::from(args.times);
    println!("{}", serde_json::to_string(&(spent, memory(own, "VmHWM")?))?);
    Ok(())
}

/// What a Prometheus that has scraped so many pods answers.
async fn recorded(dir: &Path, pods: usize) -> Result<Bytes> {
    let mut page = String::new();
    for pod in 0..pods {
        let namespace = pod / IN_NAMESPACE;
        writeln!(
            page,
            r#"http_requests_in_flight{{namespace="team-{namespace}",pod="pod-{pod:06}-6d5f9c7b64-x2x7k"}} {}.25"#,
            pod % 1_000
        )?;
    }
    let target = crate::http::serve(move |_| {
        let mut response = Response::new(Full::from(page.clone()));
        let text = http::HeaderValue::from_static("text/plain; version=0.0.4");
        response.headers_mut().insert(http::header::CONTENT_TYPE, text);
        response
    })
    .await?;
    let config = dir.join("prometheus.yml");
    let text = serde_json::json!({
        "global": {"scrape_interval": "5s"},
        "scrape_configs": [{"job_name": "pods", "static_configs": [{"targets": [target.to_string()]}]}],
    });
    std::fs::write(&config, text.to_string())?;
    let command = [
        "prometheus".to_owned(),
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("data").display()),
        "--web.listen-address=127.0.0.1:0".to_owned(),
    ];
    let (mut child, address) = process::start(&command, &dir.join("prometheus.log"), |line| {
        let (_, rest) = line.split_once("msg=\"Listening on\" address=")?;
        rest.split_whitespace().next()?.parse::<SocketAddr>().ok()
    })
    .await?;
    let url = format!("http://{address}/api/v1/query?query={}", QUERY.replace(' ', "%20"));
    let begin = Instant::now();
    while begin.elapsed() < DEADLINE {
        if let Ok(response) = reqwest::get(&url).await {
            let body = response.bytes().await?;
            if body.windows(8).filter(|window| window == br#""metric""#).count() == pods {
                child.kill().await?;
                return Ok(body);
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    bail!("Prometheus did not scrape all pods within {DEADLINE:?}")
}
