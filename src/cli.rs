//! The command line: what can be typed, and what it means.
//!
//! `plimsoll` without a subcommand is `plimsoll serve`, and every flag of prometheus-adapter is
//! accepted there, so that changing the image is a migration.

pub mod access;
pub mod backends;
pub mod certs;
pub mod check;
pub mod crds;
pub mod ignored;
pub mod rules;
pub mod scan;
pub mod serve;

use std::ffi::OsString;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::certs::CertsArgs;
use self::check::CheckArgs;
use self::rules::RulesArgs;
use self::scan::ScanArgs;
use self::serve::ServeArgs;

/// The program that prometheus-adapter's chart names as the first argument. It is left out, so that
/// a changed image is all that the chart needs.
const ADAPTER: &str = "/adapter";

/// Metrics for the native HorizontalPodAutoscaler, computed from Prometheus.
#[derive(Debug, Parser)]
// Of a flag that is given twice the last counts, as in prometheus-adapter: charts append flags.
#[command(
    name = "plimsoll",
    version,
    about,
    args_conflicts_with_subcommands = true,
    args_override_self = true
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the metrics APIs (what `plimsoll` does without a subcommand).
    Serve(Box<ServeArgs>),
    /// Print, check or issue certificates.
    Certs(CertsArgs),
    /// Turn the rules of a configuration into something else.
    Rules(Box<RulesArgs>),
    /// Print the definitions of the custom resources, for `kubectl apply -f -`.
    Crds,
    /// Judge manifests as the webhook would: exit code 1 with findings, 2 if one cannot be read.
    Check(CheckArgs),
    /// List what of a live cluster the webhook would refuse: exit codes as of check.
    Scan(Box<ScanArgs>),
}

/// Which program was asked for.
#[derive(Debug)]
pub enum Program {
    /// `plimsoll serve`, or no subcommand.
    Serve(Box<Invocation>),
    /// `plimsoll certs`
    Certs(CertsArgs),
    /// `plimsoll rules`
    Rules(Box<RulesArgs>),
    /// `plimsoll crds`
    Crds,
    /// `plimsoll check`
    Check(CheckArgs),
    /// `plimsoll scan`
    Scan(Box<ScanArgs>),
}

/// What was typed for `serve`, checked as far as one flag by itself can be.
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
) -> Result<Program, clap::Error> {
    let mut command = ignored::declare(Cli::command()).mut_subcommand("serve", ignored::declare);
    let arguments = arguments.into_iter().map(Into::<OsString>::into).enumerate();
    let arguments = arguments.filter(|(index, argument)| *index != 1 || argument != ADAPTER);
    let matches = command.try_get_matches_from_mut(arguments.map(|(_, argument)| argument))?;
    let cli = Cli::from_arg_matches(&matches)?;
    let serve = match cli.command {
        Some(Command::Certs(certs)) => return Ok(Program::Certs(certs)),
        Some(Command::Rules(rules)) => return Ok(Program::Rules(rules)),
        Some(Command::Crds) => return Ok(Program::Crds),
        Some(Command::Check(check)) => return Ok(Program::Check(check)),
        Some(Command::Scan(scan)) => return Ok(Program::Scan(scan)),
        Some(Command::Serve(serve)) => *serve,
        None => cli.serve,
    };
    let ignored = match matches.subcommand() {
        Some((_, matches)) => ignored::given(matches),
        None => ignored::given(&matches),
    };
    Ok(Program::Serve(Box::new(Invocation { serve, ignored })))
}

#[cfg(test)]
mod tests;
