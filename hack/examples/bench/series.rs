//! `hack/bench series`: discovery over a great many series must cost memory by metric and label
//! name, not by series.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::prometheus;
use crate::serve::memory;

const CONFIG: &str = r#"
rules:
- seriesQuery: '{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
"#;

/// How long the listing may take.
const DEADLINE: Duration = Duration::from_mins(2);

/// What /metrics says of the rule once it has been discovered, before the number of its metrics.
const FOUND: &str = r#"plimsoll_discovery_metrics{rule="rules[0]"} "#;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many series Prometheus lists.
    #[arg(long, default_value_t = 1_000_000)]
    series: usize,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let prometheus = prometheus::with_series(args.series).await?;
    let config = dir.path().join("config.yaml");
    std::fs::write(&config, CONFIG)?;

    let arguments =
        [format!("--config={}", config.display()), format!("--prometheus-url=http://{prometheus}")];
    let (mut child, addresses) = process::start_plimsoll(dir.path(), &arguments).await?;
    let (metrics, took) = listed(addresses.admin).await?;
    let peak = memory(child.id().context("plimsoll has ended")?, "VmHWM")?;
    child.kill().await?;

    let seconds = took.as_secs_f64();
    println!("{} series of {metrics} metrics listed in {seconds:.1} s", args.series);
    println!("memory at its peak {peak:.1} MiB (aim: less than 64 MiB)");
    Ok(())
}

/// Waits until the series have been listed, which readiness does not wait for; returns how many
/// metrics were found and how long that took.
async fn listed(admin: SocketAddr) -> Result<(String, Duration)> {
    let start = Instant::now();
    let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
    while start.elapsed() < DEADLINE {
        let metrics = client.get(format!("http://{admin}/metrics")).send().await?.text().await?;
        if let Some(found) = metrics.lines().find_map(|line| line.strip_prefix(FOUND)) {
            return Ok((found.to_owned(), start.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the series were not listed within {DEADLINE:?}")
}
