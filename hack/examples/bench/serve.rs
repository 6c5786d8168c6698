//! `hack/bench serve`: how near plimsoll comes to a server that does nothing but send the bytes.
//!
//! Servers take turns, round by round, so that a machine that is slow for a while is slow for all.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::bare::{self, Answer};
use crate::load::Load;
use crate::peer::Peer;
use crate::process;
use crate::prometheus;

const CONFIG: &str = r#"
rules:
- seriesQuery: 'http_requests_total{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  name: {matches: "^(.*)_total$", as: "${1}_per_second"}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
"#;

/// What an HPA with a Pods metric asks for.
const PATH: &str = "/apis/custom.metrics.k8s.io/v1beta1/namespaces/bench/pods/*/\
                    http_requests_per_second?labelSelector=app%3Dbench";
const PODS: usize = 20;
const CONNECTIONS: [usize; 2] = [1, 16];

/// How long to wait for a server that has been started.
const READY_DEADLINE: Duration = Duration::from_mins(2);

/// Memory is read this long after the start, when nothing is left to be done.
const IDLE: Duration = Duration::from_secs(3);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many measurements of each kind are averaged.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

/// A server under load.
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) address: SocketAddr,
    pub(crate) child: Child,
    /// The bearer token it wants.
    pub(crate) token: Option<String>,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let pods: Vec<_> = (0..PODS).map(|index| format!("bench-6d5f9c7b64-{index:05}")).collect();
    let config = dir.path().join("config.yaml");
    std::fs::write(&config, CONFIG)?;
    std::fs::write(dir.path().join("objects.yaml"), objects(&pods))?;
    let prometheus = prometheus::with_pods(pods).await?;

    let plimsoll = start_plimsoll(dir.path(), &config, prometheus).await?;
    let bare = start_bare(dir.path(), plimsoll.address).await?;
    let mut servers = vec![bare, plimsoll];
    let peer = Peer::from_env()?;
    if let Some(peer) = &peer {
        servers.push(peer.start(dir.path(), &config, prometheus).await?);
    }
    let outcome = compare_all(&servers, args, &dir.path().join("apiserver.crt")).await;
    for server in &mut servers {
        server.child.kill().await?;
    }
    if let Some(peer) = &peer {
        peer.clean_up().await?;
    }
    outcome
}

async fn compare_all(servers: &[Server], args: &Args, ca: &Path) -> Result<()> {
    let Args { seconds, rounds } = args;
    println!(
        "\n{PODS} pods, {rounds} rounds of {seconds} s in turn, all on this machine:\nGET {PATH}\n"
    );
    println!(
        "{:<20}{:>12}{:>12}{:>9}{:>9}{:>9}{:>9}{:>9}",
        "", "connections", "requests/s", "of bare", "p50 µs", "p99 µs", "of bare", "RSS MiB"
    );
    for connections in CONNECTIONS {
        compare(servers, connections, args, ca).await?;
    }
    println!("\naims: requests/s at least 0.50 of bare, p99 at most 3.00 of bare");
    Ok(())
}

/// Measures all servers with one number of connections and prints a row for each; the first is what
/// the others are compared with.
async fn compare(servers: &[Server], connections: usize, args: &Args, ca: &Path) -> Result<()> {
    let mut rounds = vec![Vec::new(); servers.len()];
    for _ in 0..args.rounds {
        for (server, loads) in servers.iter().zip(&mut rounds) {
            loads.push(measure(server, connections, args.seconds, ca).await?);
        }
    }
    let loads: Vec<Load> = rounds.iter().map(|loads| mean(loads)).collect();
    let bare = loads.first().context("there is no server")?;
    for (server, load) in servers.iter().zip(&loads) {
        let process = server.child.id().with_context(|| format!("{} has ended", server.name))?;
        println!(
            "{:<20}{connections:>12}{:>12.0}{:>9.2}{:>9.0}{:>9.0}{:>9.2}{:>9.1}",
            server.name,
            load.per_second,
            load.per_second / bare.per_second,
            load.p50,
            load.p99,
            load.p99 / bare.p99,
            memory(process, "VmRSS")?,
        );
    }
    Ok(())
}

/// One measurement, by a process of its own.
async fn measure(server: &Server, connections: usize, seconds: u64, ca: &Path) -> Result<Load> {
    let output = Command::new(std::env::current_exe()?)
        .arg("load")
        .arg(format!("--address={}", server.address))
        .arg(format!("--ca={}", ca.display()))
        .arg(format!("--path={PATH}"))
        .arg(format!("--connections={connections}"))
        .arg(format!("--seconds={seconds}"))
        .args(server.token.iter().map(|token| format!("--token={token}")))
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("{}: {}", server.name, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn mean(loads: &[Load]) -> Load {
    let count = loads.iter().map(|_| 1.0).sum::<f64>();
    let mean = |field: fn(&Load) -> f64| loads.iter().map(field).sum::<f64>() / count;
    Load {
        per_second: mean(|load| load.per_second),
        p50: mean(|load| load.p50),
        p99: mean(|load| load.p99),
    }
}

/// Starts plimsoll; prints how soon it was ready and what it takes when idle.
async fn start_plimsoll(dir: &Path, config: &Path, prometheus: SocketAddr) -> Result<Server> {
    let start = Instant::now();
    let arguments = [
        format!("--config={}", config.display()),
        format!("--objects={}", dir.join("objects.yaml").display()),
        format!("--prometheus-url=http://{prometheus}"),
    ];
    let (child, addresses) = process::start_plimsoll(dir, &arguments).await?;
    ready(addresses.admin).await?;
    println!("ready after {} ms (aim: less than 200 ms)", start.elapsed().as_millis());
    tokio::time::sleep(IDLE).await;
    let idle = memory(child.id().context("plimsoll has ended")?, "VmRSS")?;
    println!("idle memory {idle:.1} MiB (aim: less than 15 MiB)");
    Ok(Server { name: "plimsoll", address: addresses.secure, child, token: None })
}

/// Starts the bare server with the answer that plimsoll gives.
async fn start_bare(dir: &Path, plimsoll: SocketAddr) -> Result<Server> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(dir.join("apiserver.crt"))?)?;
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .http1_only()
        .timeout(READY_DEADLINE)
        .build()?;
    let response = client.get(format!("https://{plimsoll}{PATH}")).send().await?;
    let own = ["content-length", "date", "connection"];
    let headers = response.headers().iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let headers = headers
        .map(|(name, value)| Ok((name.to_string(), value.to_str()?.to_owned())))
        .collect::<Result<_>>()?;
    let status = response.status();
    let answer = Answer { headers, body: response.text().await? };
    if answer.body.matches("bench-6d5f9c7b64-").count() != PODS {
        bail!("plimsoll did not answer with {PODS} pods but with {status}: {}", answer.body);
    }
    std::fs::write(dir.join(Answer::FILE), serde_json::to_vec(&answer)?)?;

    let command = [
        std::env::current_exe()?.display().to_string(),
        "bare".to_owned(),
        dir.display().to_string(),
    ];
    let (child, address) = process::start(&command, &dir.join("bare.log"), |line| {
        line.strip_prefix(bare::SERVING)?.parse().ok()
    })
    .await?;
    Ok(Server { name: "bare hyper+rustls", address, child, token: None })
}

/// Waits for /readyz; returns how long that took.
pub(crate) async fn ready(admin: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let client = reqwest::Client::builder().timeout(READY_DEADLINE).build()?;
    let url = format!("http://{admin}/readyz");
    while start.elapsed() < READY_DEADLINE {
        if client.get(&url).send().await.is_ok_and(|response| response.status().is_success()) {
            return Ok(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bail!("{url} was not ok within {READY_DEADLINE:?}")
}

/// A field of /proc/PID/status in MiB: `VmRSS` is what a process has now, `VmHWM` the most it had.
pub(crate) fn memory(process: u32, field: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    let kib: f64 = value
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .with_context(|| format!("no {field} for process {process}"))?
        .parse()?;
    Ok(kib / 1024.0)
}

/// Seconds of processor time that a process has had, of /proc/PID/stat.
pub(crate) fn processor_time(process: u32) -> Result<f64> {
    /// Of all that Linux says there, on every architecture.
    const TICKS_PER_SECOND: f64 = 100.0;

    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("there is no name in stat")?;
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? / TICKS_PER_SECOND)
}

/// The pods, and what a cluster needs to let them in. They never run: no node has that label.
fn objects(pods: &[String]) -> String {
    let pods = pods.iter().map(|pod| {
        format!(
            "- apiVersion: v1
  kind: Pod
  metadata: {{name: {pod}, namespace: bench, labels: {{app: bench}}}}
  spec:
    nodeSelector: {{plimsoll.dev/bench: none}}
    containers: [{{name: app, image: none}}]
"
        )
    });
    format!(
        "apiVersion: v1
kind: List
items:
- {{apiVersion: v1, kind: Namespace, metadata: {{name: bench}}}}
- {{apiVersion: v1, kind: ServiceAccount, metadata: {{name: default, namespace: bench}}}}
{}",
        pods.collect::<String>()
    )
}
