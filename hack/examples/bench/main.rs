//! Measures a release build of plimsoll on this machine; hack/bench says what and how.
//!
//! The load generator and the bare server are this same program in processes of their own, so that
//! nobody measures himself. Absolute numbers are the machine's; the ratios are what counts.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "it is a command for a terminal")]

mod admission;
mod asker;
mod bare;
mod cluster;
mod faults;
mod fleet;
mod gate;
mod inventory;
mod load;
mod peer;
mod prometheus;
mod refresh;
mod samples;
mod scale;
mod series;
mod serve;
mod workload;

#[path = "../shared/http.rs"]
mod http;
#[path = "../shared/process.rs"]
mod process;

use std::process::ExitCode;

use clap::Parser;

/// Measures plimsoll on this machine.
#[derive(Parser)]
#[command(name = "hack/bench")]
enum Command {
    /// Requests per second, latency, memory and time to ready.
    Serve(serve::Args),
    /// Memory while Prometheus lists its series.
    Series(series::Args),
    /// Memory while a large cluster's pods are followed.
    Inventory(inventory::Args),
    /// Reviews per second, latency and memory of the webhook.
    Admission(admission::Args),
    /// What it costs to serve a cluster, by the number of its HPAs.
    Scale(scale::Args),
    /// Processor time and memory to take up the values of one metric of very many pods.
    Refresh(refresh::Args),
    /// What is lost while something breaks, and how soon all is well again.
    Faults(faults::Args),
    #[command(hide = true)]
    Parse(refresh::ParseArgs),
    #[command(hide = true)]
    Bare(bare::Args),
    #[command(hide = true)]
    Follow(inventory::FollowArgs),
    #[command(hide = true)]
    Load(load::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Command::parse() {
        Command::Serve(args) => serve::run(&args).await,
        Command::Series(args) => series::run(&args).await,
        Command::Inventory(args) => inventory::run(&args).await,
        Command::Admission(args) => admission::run(&args).await,
        Command::Scale(args) => scale::run(&args).await,
        Command::Refresh(args) => refresh::run(&args).await,
        Command::Faults(args) => faults::run(&args).await,
        Command::Parse(args) => refresh::parse(&args).await,
        Command::Follow(args) => inventory::follow(&args).await,
        Command::Bare(args) => bare::run(&args).await,
        Command::Load(args) => load::run(&args).await,
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hack/bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
