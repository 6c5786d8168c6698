//! The `plimsoll` binary: parse, start telemetry, hand over to the app.

use std::process::ExitCode;

use plimsoll::{app, cli, telemetry};

/// The exit code for a command line that cannot be used, as Go's `flag` and clap have it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let invocation = match cli::parse(std::env::args_os()) {
        Ok(invocation) => invocation,
        Err(error) => {
            let usage = error.use_stderr();
            // Nobody is left to tell if this cannot be written.
            let _unwritten = error.print();
            return if usage { ExitCode::from(USAGE) } else { ExitCode::SUCCESS };
        }
    };
    match start(invocation) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(error = telemetry::chain(error.as_ref()), "cannot serve");
            ExitCode::FAILURE
        }
    }
}

fn start(invocation: cli::Invocation) -> anyhow::Result<()> {
    let logging = &invocation.serve.logging;
    telemetry::start(logging.log_format, logging.verbosity)?;
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(app::run(invocation))
}
