//! `plimsoll rules export`: writes rules as Prometheus recording rules, and the configuration that
//! reads what they record.
//!
//! Both are YAML whose values are written as JSON, with comments for what could not be exported.

mod ordered;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use self::ordered::Ordered;
use super::backends::definitions;
use super::serve::PrometheusArgs;
use crate::cluster::file::FileInventory;
use crate::config;
use crate::engine::ports::{Backend as _, Inventory as _, Route};
use crate::prometheus::Backends;
use crate::promql::export::{self, Export, Recorded};
use crate::telemetry::metrics::Metrics;

/// How far back series are looked for where no flag says.
const MAX_AGE: Duration = Duration::from_mins(10);

/// `plimsoll rules` as typed.
#[derive(Args, Clone, Debug)]
pub struct RulesArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Print the rules of custom metrics that can be as recording rules. Which metrics there are is
    /// asked of Prometheus; kinds beyond the standard ones stay in the configuration.
    Export(Box<ExportArgs>),
}

#[derive(Args, Clone, Debug)]
struct ExportArgs {
    /// The configuration to export.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A file of recording rules, or an object of the Prometheus operator.
    #[arg(long, value_enum, default_value = "file")]
    format: Format,
    /// Where to write the configuration that reads the recorded series.
    #[arg(long, value_name = "FILE")]
    config_out: Option<PathBuf>,
    #[command(flatten)]
    prometheus: PrometheusArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// As `rule_files` names it.
    File,
    /// `PrometheusRule` of monitoring.coreos.com/v1.
    Prometheusrule,
}

/// What is to be printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The rules, for standard output.
    pub text: String,
    /// What was not exported and why, for standard error.
    pub warnings: String,
}

/// Does what was typed.
pub async fn run(args: RulesArgs) -> anyhow::Result<Report> {
    let Command::Export(args) = args.command;
    let name = args.config.display().to_string();
    let text = fs::read_to_string(&args.config).with_context(|| format!("cannot read {name}"))?;
    let config = config::parse(&name, &text)?;
    let directory = args.config.parent().unwrap_or_else(|| Path::new("."));
    let definitions = definitions(&args.prometheus, &config.backends, directory)
        .context("--prometheus-url is not a URL")?;
    let backends = Backends::new(definitions, &Metrics::new())?;
    let kinds = FileInventory::none().kinds();
    let max_age = Some(args.prometheus.metrics_max_age).filter(|age| !age.is_zero());
    let since = Timestamp::now() - max_age.unwrap_or(MAX_AGE);
    let mut exports = Vec::new();
    for rule in &config.rules {
        let route = Route {
            backend: Arc::clone(&rule.backend),
            namespace: None,
            accept_partial: rule.accept_partial,
        };
        let found = backends.series(&route, &rule.series_query, since).await;
        let found = found.with_context(|| format!("cannot list the series of {}", rule.path))?;
        exports.push(export::export(rule, &found, &kinds));
    }
    drop_hidden(&mut exports);
    if let Some(path) = &args.config_out {
        let written = configuration(&text, &exports)?;
        fs::write(path, written).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let warnings = exports.iter().enumerate().fold(String::new(), |mut text, (index, export)| {
        for kept in &export.kept {
            let _infallible =
                writeln!(text, "warning: rules[{index}]: kept for {}: {}", kept.what, kept.why);
        }
        text
    });
    Ok(Report { text: recording_rules(args.format, &exports), warnings })
}

/// Of two rules for one metric of one kind the later serves it.
fn drop_hidden(exports: &mut [Export]) {
    let mut seen = BTreeSet::new();
    for export in exports.iter_mut().rev() {
        export.recorded.retain(|recorded| seen.insert(recorded.series.clone()));
    }
}

fn recording_rules(format: Format, exports: &[Export]) -> String {
    let (head, indent) = match format {
        Format::File => ("", ""),
        Format::Prometheusrule => (
            "apiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: \
             plimsoll}\nspec:\n",
            "  ",
        ),
    };
    let recorded: Vec<String> = exports
        .iter()
        .flat_map(|export| &export.recorded)
        .map(|Recorded { series, promql, .. }| json!({"record": series, "expr": promql}))
        .map(|rule| format!("{indent}  - {rule}\n"))
        .collect();
    let rules =
        if recorded.is_empty() { " []\n".to_owned() } else { format!("\n{}", recorded.concat()) };
    format!("{head}{indent}groups:\n{indent}- name: plimsoll\n{indent}  rules:{rules}")
}

/// The configuration with recorded series in the place of what was exported.
fn configuration(text: &str, exports: &[Export]) -> anyhow::Result<String> {
    let file: Ordered = serde_saphyr::from_str(text)?;
    let rules = match file.get("rules") {
        Some(Ordered::List(rules)) => rules.as_slice(),
        _ => &[],
    };
    let mut lines = vec![
        "# Reads recorded series: a metric selector in a request finds none of the labels that"
            .to_owned(),
        "# they lost.".to_owned(),
        if exports.is_empty() { "rules: []" } else { "rules:" }.to_owned(),
    ];
    for (index, export) in exports.iter().enumerate() {
        let rule = rules.get(index).unwrap_or(&Ordered::Leaf(Value::Null));
        lines.extend(export.kept.iter().map(|kept| {
            let why = kept.why.replace(['\n', '\r'], " ");
            format!("# Not recorded: {}: {why}", kept.what.escape_debug())
        }));
        // What has not been seen might come, so a rule goes only if all of it is recorded.
        if export.recorded.is_empty() || !export.kept.is_empty() {
            lines.push(format!("- {rule}"));
        }
        let reading = |recorded| format!("- {}", reading_rule(recorded, rule));
        lines.extend(export.recorded.iter().map(reading));
    }
    if let Ordered::Map(entries) = &file {
        let others = entries.iter().filter(|(key, _)| key != "rules");
        lines.extend(others.map(|(key, value)| format!("{}: {value}", json!(key))));
    }
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// What becomes of values, such as NaN, stays as the rule has it.
fn reading_rule(recorded: &Recorded, rule: &Ordered) -> String {
    let resource = |(label, group, resource): &(String, String, String)| {
        (label.clone(), json!({"group": group, "resource": resource}))
    };
    let overrides: Map<String, Value> = recorded.overrides.iter().map(resource).collect();
    // What becomes of missing and partial data, and whom to ask, is as it was.
    let kept = ["compat", "noData", "partialResults", "backend"].into_iter().filter_map(|key| {
        let value = rule.get(key)?;
        Some(format!(", \"{key}\": {value}"))
    });
    format!(
        "{{\"seriesQuery\": {}, \"name\": {}, \"resources\": {}, \"metricsQuery\": {}{}}}",
        json!(recorded.series),
        json!({"matches": "^.*$", "as": recorded.metric.replace('$', "$$")}),
        json!({"overrides": overrides}),
        json!("<<.Series>>{<<.LabelMatchers>>}"),
        kept.collect::<String>()
    )
}
