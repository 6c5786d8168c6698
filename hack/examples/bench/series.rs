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

/// What /metrics says once the rule has been discovered.
const LISTED: &str = r#"plimsoll_discovery_outcomes_total{rule="rules[0]",outcome="success"}"#;

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
    let took = listed(addresses.admin).await?;
    let peak = memory(child.id().context("plimsoll has ended")?, "VmHWM")?;
    child.kill().await?;

    println!("{} series listed in {:.1} s", args.series, took.as_secs_f64());
    println!("memory at its peak {peak:.1} MiB (aim: less than 64 MiB)");
    Ok(())
}

/// Waits until the series have been listed, which readiness does not wait for; returns how long
/// that took.
async fn listed(admin: SocketAddr) -> Result<Duration> {
    let start = Instant::now();
    let client = reqwest::Client::builder().timeout(DEADLINE).build()?;
    while start.elapsed() < DEADLINE {
        let metrics = client.get(format!("http://{admin}/metrics")).send().await?.text().await?;
        if metrics.contains(LISTED) {
            return Ok(start.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("the series were not listed within {DEADLINE:?}")
}
