//! What an HPA would see, live: a demo service with traffic, a real Prometheus that scrapes it and
//! `plimsoll serve --standalone` in front, on free loopback ports. Started by hack/demo.
//!
//! `--once` prints one table as soon as every row has a value, once the commands to try have been
//! tried. Ctrl-C, a hangup or the end of the shell that started it stop the children and remove the
//! files.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command for a terminal")]

mod objects;
mod service;
mod table;

#[path = "../shared/http.rs"]
mod http;
#[path = "../shared/process.rs"]
mod process;

use std::io::{IsTerminal as _, stdout};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, interval};

use crate::process::Addresses;
use crate::table::Table;

/// How often the table is refreshed.
const REFRESH: Duration = Duration::from_secs(1);

/// How long `--once` waits for values.
const DEADLINE: Duration = Duration::from_secs(90);

/// Shows what an HPA would see: a demo service, a real Prometheus and plimsoll, all on loopback.
#[derive(Parser)]
#[command(name = "hack/demo")]
struct Args {
    /// Print one table as soon as every row has a value, and stop.
    #[arg(long)]
    once: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut children = Vec::new();
    let outcome = match tempfile::Builder::new().prefix("plimsoll-demo-").tempdir() {
        Ok(dir) => tokio::select! {
            outcome = run(&args, dir.path(), &mut children) => outcome,
            stopped = stop() => stopped,
        }
        .and(Ok(dir)),
        Err(error) => Err(error.into()),
    };
    for child in &mut children {
        if let Err(error) = child.kill().await {
            eprintln!("cannot stop a child: {error}");
        }
    }
    // The directory goes after those who write into it.
    match outcome.and_then(|dir| dir.close().context("cannot remove the demo's files")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hack/demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: &Args, dir: &Path, children: &mut Vec<Child>) -> Result<()> {
    let service = service::run().await?;
    let prometheus = start_prometheus(dir, service, children).await?;
    let plimsoll = start_plimsoll(dir, prometheus, children).await?;
    let kubeconfig = dir.join("kubeconfig");
    tokio::fs::write(&kubeconfig, objects::kubeconfig(plimsoll.secure)).await?;

    let mut table = Table::new(plimsoll, dir)?;
    let (start, mut ticks) = (Instant::now(), interval(REFRESH));
    loop {
        ticks.tick().await;
        for child in children.iter_mut() {
            if let Some(status) = child.try_wait()? {
                bail!("a child ended by itself with {status}; its log was in {}", dir.display());
            }
        }
        table.refresh().await;
        if args.once && table.is_complete() {
            table.try_commands().await?;
            print!("{table}");
            return Ok(());
        } else if args.once && start.elapsed() > DEADLINE {
            bail!("no complete table within {DEADLINE:?}:\n{}", table.missing());
        } else if !args.once {
            show(&table, prometheus);
        }
    }
}

fn show(table: &Table, prometheus: SocketAddr) {
    let commands = table.commands().replace('\n', "\n  ");
    let screen = format!(
        "{table}\nIn another terminal:\n\n  {commands}\n\n\
         Prometheus itself is at http://{prometheus}; Ctrl-C ends it all.\n"
    );
    if stdout().is_terminal() {
        // Home, then each line over the old one: clearing first would flicker.
        print!("\x1b[H{}\x1b[J", screen.replace('\n', "\x1b[K\n"));
    } else {
        println!("{screen}");
    }
}

async fn start_prometheus(
    dir: &Path,
    service: SocketAddr,
    children: &mut Vec<Child>,
) -> Result<SocketAddr> {
    let config = dir.join("prometheus.yml");
    let text = serde_json::to_vec_pretty(&objects::prometheus_config(service))?;
    tokio::fs::write(&config, text).await?;
    let command = [
        "prometheus".to_owned(),
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", dir.join("tsdb").display()),
        "--web.listen-address=127.0.0.1:0".to_owned(),
    ];
    let (child, address) = process::start(&command, &dir.join("prometheus.log"), |line| {
        let (_, address) = line.split_once("msg=\"Listening on\" address=")?;
        address.split_whitespace().next()?.parse().ok()
    })
    .await?;
    children.push(child);
    Ok(address)
}

async fn start_plimsoll(
    dir: &Path,
    prometheus: SocketAddr,
    children: &mut Vec<Child>,
) -> Result<Addresses> {
    let objects = dir.join("objects.yaml");
    tokio::fs::write(&objects, objects::list()).await?;
    let args = [
        format!("--config={}/hack/demo.yaml", env!("CARGO_MANIFEST_DIR")),
        format!("--objects={}", objects.display()),
        format!("--prometheus-url=http://{prometheus}"),
        "--metrics-relist-interval=2s".to_owned(),
        "--metrics-max-age=1m".to_owned(),
        "--refresh-interval=1s".to_owned(),
    ];
    let (child, addresses) = process::start_plimsoll(dir, &args).await?;
    children.push(child);
    Ok(addresses)
}

/// Returns when somebody wants us to stop, or nobody is left who could.
async fn stop() -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let (parent, mut ticks) = (std::os::unix::process::parent_id(), interval(REFRESH));
    loop {
        tokio::select! {
            _ = interrupt.recv() => return Ok(()),
            _ = terminate.recv() => return Ok(()),
            _ = hangup.recv() => return Ok(()),
            _ = ticks.tick() => if std::os::unix::process::parent_id() != parent {
                return Ok(());
            },
        }
    }
}
