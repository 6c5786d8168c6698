//! Flags of prometheus-adapter and its base library that have no meaning here, accepted so that a
//! Deployment that gives them still starts. Those given are named once in the log.
//!
//! The list is of prometheus-adapter 0.12 (custom-metrics-apiserver 1.30 and component-base).

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

/// Flags that stand alone or take `=true` and `=false`.
const SWITCHES: &[&str] = &[
    "add-dir-header",
    "alsologtostderr",
    "audit-log-batch-throttle-enable",
    "audit-log-compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "audit-webhook-truncate-enabled",
    "contention-profiling",
    "enable-priority-and-fairness",
    "log-json-split-stream",
    "log-text-split-stream",
    "logtostderr",
    "one-output",
    "permit-address-sharing",
    "permit-port-sharing",
    "profiling",
    "skip-headers",
    "skip-log-headers",
];

/// Flags that take a value.
const SETTINGS: &[&str] = &[
    "audit-log-batch-buffer-size",
    "audit-log-batch-max-size",
    "audit-log-batch-max-wait",
    "audit-log-batch-throttle-burst",
    "audit-log-batch-throttle-qps",
    "audit-log-format",
    "audit-log-maxage",
    "audit-log-maxbackup",
    "audit-log-maxsize",
    "audit-log-mode",
    "audit-log-path",
    "audit-log-truncate-max-batch-size",
    "audit-log-truncate-max-event-size",
    "audit-log-version",
    "audit-policy-file",
    "audit-webhook-batch-buffer-size",
    "audit-webhook-batch-initial-backoff",
    "audit-webhook-batch-max-size",
    "audit-webhook-batch-max-wait",
    "audit-webhook-batch-throttle-burst",
    "audit-webhook-batch-throttle-qps",
    "audit-webhook-config-file",
    "audit-webhook-initial-backoff",
    "audit-webhook-mode",
    "audit-webhook-truncate-max-batch-size",
    "audit-webhook-truncate-max-event-size",
    "audit-webhook-version",
    "client-burst",
    "client-qps",
    "debug-socket-path",
    "discovery-interval",
    "feature-gates",
    "log-backtrace-at",
    "log-dir",
    "log-file",
    "log-file-max-size",
    "log-flush-frequency",
    "log-json-info-buffer-size",
    "log-text-info-buffer-size",
    "stderrthreshold",
    "tls-cipher-suites",
    "tls-sni-cert-key",
    "vmodule",
];

/// Adds the flags to a command, out of sight of its help.
pub(super) fn declare(command: Command) -> Command {
    let switches = SWITCHES.iter().map(|name| {
        Arg::new(*name)
            .long(*name)
            .hide(true)
            .action(ArgAction::Append)
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true")
    });
    let settings = SETTINGS.iter().map(|name| {
        Arg::new(*name)
            .long(*name)
            .hide(true)
            .action(ArgAction::Append)
            .num_args(1)
            .allow_hyphen_values(true)
    });
    command.args(switches).args(settings)
}

/// The flags of these that were given.
pub(super) fn given(matches: &ArgMatches) -> Vec<String> {
    SWITCHES
        .iter()
        .chain(SETTINGS)
        .filter(|name| matches.value_source(name) == Some(ValueSource::CommandLine))
        .map(|name| format!("--{name}"))
        .collect()
}
