//! `hack/bench series`: discovery over a great many series must cost memory by metric and label
//! name, not by series.

use anyhow::{Context as _, Result};

use crate::process;
use crate::prometheus;
use crate::serve::{memory, ready};

const CONFIG: &str = r#"
rules:
- seriesQuery: '{namespace!="",pod!=""}'
  resources: {overrides: {namespace: {resource: namespace}, pod: {resource: pod}}}
  metricsQuery: sum(rate(<<.Series>>{<<.LabelMatchers>>}[2m])) by (<<.GroupBy>>)
"#;

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
    let took = ready(addresses.admin).await?;
    let peak = memory(child.id().context("plimsoll has ended")?, "VmHWM")?;
    child.kill().await?;

    println!("{} series listed in {:.1} s", args.series, took.as_secs_f64());
    println!("memory at its peak {peak:.1} MiB (aim: less than 64 MiB)");
    Ok(())
}
