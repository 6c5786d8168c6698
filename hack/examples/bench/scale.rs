//! `hack/bench scale`: what it costs to serve a cluster, by the number of its HPAs.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::process::Child;

use crate::asker::{Asker, Pace, count};
use crate::cluster::FakeCluster;
use crate::fleet::Fleet;
use crate::peer;
use crate::process;
use crate::samples::FakePrometheus;
use crate::serve::{memory, processor_time, ready};
use crate::workload;

/// From one time that the controller asks for an HPA to the next.
const PERIOD: Duration = Duration::from_secs(15);

/// `--refresh-interval`, as it is shipped.
pub(crate) const REFRESH: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Numbers of HPAs, each with a Deployment of its own.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 1_000, 10_000])]
    hpas: Vec<usize>,
    /// Pods of all Deployments together.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
    /// How long each size is measured, after two periods of 15 s to warm up.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Give each HPA a selector of its own for its external metric.
    #[arg(long)]
    own_selectors: bool,
}

/// A server that is asked.
struct Server {
    child: Child,
    address: SocketAddr,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    println!(
        "{} pods; 5 metrics of each HPA every {PERIOD:?}; {} s for each row; refreshed every \
         {REFRESH:?}\n",
        args.pods, args.seconds
    );
    println!(
        "{:<20}{:>7}{:>9}{:>8}{:>7}{:>7}{:>9}{:>9}{:>8}{:>9}{:>10}{:>9}{:>9}{:>9}",
        "",
        "HPAs",
        "asked/s",
        "of due",
        "lost",
        "wrong",
        "queries",
        "API req.",
        "cores",
        "RSS MiB",
        "peak MiB",
        "p50 ms",
        "p99 ms",
        "oldest s"
    );
    let (mut queries, mut failures) = (Vec::new(), 0);
    for &hpas in &args.hpas {
        let row = measure(args, Fleet { hpas, pods: args.pods }, None).await?;
        queries.push(row.queries);
        failures += row.failures;
    }
    if let Some(binary) = std::env::var_os("PROMETHEUS_ADAPTER") {
        for &hpas in &args.hpas {
            let fleet = Fleet { hpas, pods: args.pods };
            measure(args, fleet, Some(Path::new(&binary))).await?;
        }
    }
    let fewest = queries.iter().copied().fold(f64::INFINITY, f64::min);
    let most = queries.iter().copied().fold(0.0, f64::max);
    println!(
        "\nqueries and API requests are by minute; the most queries are {:.2} of the fewest \
         (aim: at most 1.10)",
        most / fewest
    );
    println!(
        "aims at 10,000 HPAs: less than 0.2 cores, less than 250 MiB, nothing lost or wrong; always: \
         API requests near 0, oldest at most {:.0} s",
        (REFRESH * 2).as_secs_f64()
    );
    if failures > 0 {
        bail!("{failures} answers of plimsoll are lost or wrong");
    }
    Ok(())
}

/// What is looked at of a row once more.
struct Row {
    /// Queries a minute.
    queries: f64,
    /// Answers that are lost or wrong.
    failures: usize,
}

/// Measures one size and prints its row.
async fn measure(args: &Args, fleet: Fleet, adapter: Option<&Path>) -> Result<Row> {
    let dir = tempfile::tempdir()?;
    let prometheus = FakePrometheus::start(fleet).await?;
    let cluster = FakeCluster::start(fleet).await?;
    let mut server = start(dir.path(), &prometheus, &cluster, adapter).await?;
    let certificate = dir.path().join("apiserver.crt");
    let asker = Arc::new(Asker::new(server.address, &certificate, &cluster.front_proxy)?);
    let seconds = Duration::from_secs(args.seconds);
    let pace = Pace {
        fleet,
        period: PERIOD,
        duration: (PERIOD * 2).min(seconds * 2),
        own_selectors: args.own_selectors,
    };
    asker.run(pace).await?;

    let process = server.child.id().context("the server has ended")?;
    let before = (prometheus.queries(), cluster.requests(), processor_time(process)?);
    let begin = std::time::Instant::now();
    let mut tally = asker.run(Pace { duration: seconds, ..pace }).await?;
    let took = begin.elapsed().as_secs_f64();
    let by_minute = |after: u64, before: u64| {
        f64::from(u32::try_from(after - before).unwrap_or(u32::MAX)) * 60.0 / took
    };
    let queries = by_minute(prometheus.queries(), before.0);
    let (p50, p99) = (tally.latency(50), tally.latency(99));
    let name = if adapter.is_some() { "prometheus-adapter" } else { "plimsoll" };
    println!(
        "{name:<20}{:>7}{:>9.0}{:>8.2}{:>7}{:>7}{queries:>9.0}{:>9.0}{:>8.3}{:>9.1}{:>10.1}{p50:>9.2}\
         {p99:>9.2}{:>9.2}",
        fleet.hpas,
        count(tally.asked) / took,
        count(tally.asked) / count(tally.due),
        tally.lost,
        tally.wrong,
        by_minute(cluster.requests(), before.1),
        (processor_time(process)? - before.2) / took,
        memory(process, "VmRSS")?,
        memory(process, "VmHWM")?,
        Duration::from_millis(tally.oldest.max(tally.oldest_promised)).as_secs_f64(),
    );
    if let Some((reason, times)) = tally.reasons.iter().max_by_key(|(_, times)| **times) {
        println!("    {times} lost to: {reason}");
    }
    server.child.kill().await?;
    Ok(Row { queries, failures: tally.lost + tally.wrong })
}

/// Starts plimsoll, or prometheus-adapter with plimsoll's certificate.
async fn start(
    dir: &Path,
    prometheus: &FakePrometheus,
    cluster: &FakeCluster,
    adapter: Option<&Path>,
) -> Result<Server> {
    let (config, kubeconfig) = (dir.join("config.yaml"), dir.join("kubeconfig"));
    std::fs::write(&config, workload::config(adapter.is_none()))?;
    std::fs::write(&kubeconfig, cluster.kubeconfig())?;
    if let Some(binary) = adapter {
        // For the certificate.
        let other = dir.join("plimsoll.yaml");
        std::fs::write(&other, workload::config(true))?;
        let mut plimsoll = start_plimsoll(dir, &other, &kubeconfig, prometheus.address).await?;
        plimsoll.0.kill().await?;
        let (child, address) =
            peer::start(binary, dir, &config, prometheus.address, &kubeconfig).await?;
        return Ok(Server { child, address });
    }
    let (child, addresses) = start_plimsoll(dir, &config, &kubeconfig, prometheus.address).await?;
    ready(addresses.admin).await?;
    Ok(Server { child, address: addresses.secure })
}

/// Starts plimsoll in the fake cluster.
pub(crate) async fn start_plimsoll(
    dir: &Path,
    config: &Path,
    kubeconfig: &Path,
    prometheus: SocketAddr,
) -> Result<(Child, process::Addresses)> {
    let arguments = [
        format!("--config={}", config.display()),
        format!("--kubeconfig={}", kubeconfig.display()),
        format!("--prometheus-url=http://{prometheus}"),
        format!("--refresh-interval={}s", REFRESH.as_secs()),
        "--bind-address=127.0.0.1".to_owned(),
        "--shutdown-delay=0s".to_owned(),
    ];
    process::serve_plimsoll(dir, &arguments).await
}
