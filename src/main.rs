//! The `plimsoll` binary: parse, start telemetry, hand over to the app.

use std::io::{self, Write as _};
use std::process::ExitCode;

use plimsoll::app;
use plimsoll::cli::{self, Program, certs, check, crds, rules, scan};
use plimsoll::config::ConfigError;
use plimsoll::telemetry::{self, chain};

/// The exit code for a command line that cannot be used, as Go's `flag` and clap have it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let program = match cli::parse(std::env::args_os()) {
        Ok(program) => program,
        Err(error) => {
            let usage = error.use_stderr();
            // Nobody is left to tell if this cannot be written.
            let _unwritten = error.print();
            return if usage { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    let ended = match program {
        Program::Serve(invocation) => {
            serve(*invocation).map(|()| ExitCode::SUCCESS).inspect_err(log_why_not)
        }
        Program::Certs(args) => look_after(args).inspect_err(print_why_not),
        Program::Check(args) => judge(check::run(&args)),
        Program::Scan(args) => look_over(*args),
        Program::Rules(args) => export(*args).inspect_err(print_why_not),
        Program::Crds => print_definitions().inspect_err(print_why_not),
    };
    ended.unwrap_or(ExitCode::FAILURE)
}

/// One line, or one for each mistake of the configuration.
fn log_why_not(error: &anyhow::Error) {
    let Some(invalid) = error.downcast_ref::<ConfigError>() else {
        tracing::error!(error = chain(error.as_ref()), "cannot serve");
        return;
    };
    for error in invalid.problems() {
        tracing::error!(error, "cannot use the configuration");
    }
}

fn print_why_not(error: &anyhow::Error) {
    // Nobody is left to tell if this cannot be written.
    let _unwritten = writeln!(io::stderr(), "error: {}", chain(error.as_ref()));
}

fn print_definitions() -> anyhow::Result<ExitCode> {
    io::stdout().write_all(crds::print()?.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn look_after(args: certs::CertsArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(certs::run(args))?;
    io::stdout().write_all(report.text.as_bytes())?;
    Ok(if report.good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn export(args: rules::RulesArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(rules::run(args))?;
    io::stdout().write_all(report.text.as_bytes())?;
    io::stderr().write_all(report.warnings.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// What cannot be read is told apart from what was found.
fn judge<E: std::error::Error + 'static>(
    judged: Result<check::Report, E>,
) -> anyhow::Result<ExitCode> {
    let report = match judged {
        Ok(report) => report,
        Err(error) => {
            writeln!(io::stderr(), "error: {}", chain(&error))?;
            return Ok(ExitCode::from(USAGE));
        }
    };
    io::stdout().write_all(report.text.as_bytes())?;
    Ok(if report.found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn look_over(args: scan::ScanArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    judge(runtime.block_on(scan::run(args)))
}

fn serve(invocation: cli::Invocation) -> anyhow::Result<()> {
    let logging = &invocation.serve.logging;
    telemetry::start(logging.log_format, logging.verbosity)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(invocation))
}
