//! What the process tells about itself: structured logs on stderr here, metrics in [`metrics`].
//!
//! Logs are data: a sentence and fields. Nothing is logged per request at the default level.

use std::error::Error;
use std::io::IsTerminal;
use std::panic::PanicHookInfo;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

use self::lines::Lines;

mod lines;
pub mod metrics;

/// The variables that override `-v`, in order of preference.
const FILTER_VARIABLES: [&str; 2] = ["PLIMSOLL_LOG", "RUST_LOG"];

/// Starts logging to stderr and reports panics there too. To be called once, before anything
/// that logs; a second call is an error.
pub fn start(format: LogFormat, verbosity: u8) -> Result<(), TelemetryError> {
    let directives = FILTER_VARIABLES.into_iter().find_map(|variable| {
        let value = std::env::var(variable).ok().filter(|value| !value.is_empty())?;
        Some((variable, value))
    });
    let filter = filter(verbosity, directives)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match format {
        LogFormat::Json => builder.json().flatten_event(true).map_event_format(Lines).try_init(),
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).try_init(),
    };
    started.map_err(TelemetryError::Started)?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people; coloured on a terminal.
    #[default]
    Text,
}

impl std::str::FromStr for LogFormat {
    type Err = TelemetryError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            _ => Err(TelemetryError::Format(text.to_owned())),
        }
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TelemetryError {
    /// An environment variable holds no filter.
    #[error("{variable}={value:?} is no log filter; write for example `plimsoll=debug,info`")]
    Filter {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
        /// Where it is wrong.
        #[source]
        source: ParseError,
    },
    /// `--log-format` holds something else.
    #[error("--log-format={0:?} is neither `text` nor `json`")]
    Format(String),
    /// A subscriber is installed already.
    #[error("logging was started before")]
    Started(#[source] Box<dyn Error + Send + Sync>),
}

/// An error with its causes in one line: `cannot read x: permission denied`. A cause that the
/// text before it already ends with is left out, because not every crate keeps the two apart.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

/// klog's levels (`-v`), where 4 is "debug level verbosity" and 6 and more is trace (Kubernetes'
/// logging conventions). Other crates stay one step quieter than this one.
fn filter(
    verbosity: u8,
    directives: Option<(&'static str, String)>,
) -> Result<EnvFilter, TelemetryError> {
    if let Some((variable, value)) = directives {
        return EnvFilter::try_new(&value).map_err(|source| TelemetryError::Filter {
            variable,
            value,
            source,
        });
    }
    Ok(EnvFilter::new(match verbosity {
        0..=3 => "info",
        4..=5 => "plimsoll=debug,info",
        6.. => "plimsoll=trace,debug",
    }))
}

fn log_panic(info: &PanicHookInfo<'_>) {
    let message = info.payload_as_str().unwrap_or("no text");
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    tracing::error!(message, location, thread, "a task panicked, which is a bug; please report it");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_follows_klog() {
        let levels =
            [0, 2, 3, 4, 5, 6, 10].map(|verbosity| filter(verbosity, None).unwrap().to_string());
        assert_eq!(
            levels,
            [
                "info",
                "info",
                "info",
                "plimsoll=debug,info",
                "plimsoll=debug,info",
                "plimsoll=trace,debug",
                "plimsoll=trace,debug",
            ]
        );
    }

    #[test]
    fn a_variable_overrides_verbosity() {
        let filter = filter(10, Some(("RUST_LOG", "warn".to_owned()))).unwrap();
        assert_eq!(filter.to_string(), "warn");
    }

    #[test]
    fn a_bad_filter_names_its_variable_and_cause() {
        let error = filter(0, Some(("PLIMSOLL_LOG", "a=b=c".to_owned()))).unwrap_err();
        assert_eq!(
            chain(&error),
            "PLIMSOLL_LOG=\"a=b=c\" is no log filter; write for example `plimsoll=debug,info`: \
             error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \
             \"debug\", \"trace\", or a number 0-5"
        );
    }

    #[test]
    fn formats_are_read_from_their_flag() {
        let read = ["text", "json", "JSON"].map(|text| text.parse::<LogFormat>().ok());
        assert_eq!(read, [Some(LogFormat::Text), Some(LogFormat::Json), None]);
    }
}
