//! The command line: what can be typed, and what it means.
//!
//! `plimsoll` without a subcommand is `plimsoll serve`, and every flag of prometheus-adapter is
//! accepted there, so that changing the image is a migration.

pub mod ignored;
pub mod serve;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::serve::ServeArgs;

/// Metrics for the native HorizontalPodAutoscaler, computed from Prometheus.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the metrics APIs (what `plimsoll` does without a subcommand).
    Serve(ServeArgs),
}

/// What was typed, checked as far as one flag by itself can be.
#[derive(Debug)]
pub struct Invocation {
    /// The flags of `serve`.
    pub serve: ServeArgs,
    /// Flags of prometheus-adapter that were given and have no meaning here, with their dashes.
    pub ignored: Vec<String>,
}

/// Parses a command line, program name first. The error prints itself, help and version included.
pub fn parse(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation, clap::Error> {
    let mut command = ignored::declare(Cli::command()).mut_subcommand("serve", ignored::declare);
    let matches = command.try_get_matches_from_mut(arguments)?;
    let ignored = match matches.subcommand() {
        Some((_, matches)) => ignored::given(matches),
        None => ignored::given(&matches),
    };
    let cli = Cli::from_arg_matches(&matches)?;
    let serve = match cli.command {
        Some(Command::Serve(serve)) => serve,
        None => cli.serve,
    };
    Ok(Invocation { serve, ignored })
}

#[cfg(test)]
mod tests;
