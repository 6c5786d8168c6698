//! The table: what an HPA would get for each of the metrics it could name, asked for over the API as
//! an HPA asks.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use plimsoll::model::quantity::Quantity;
use reqwest::{Certificate, Client};
use serde_json::Value;
use tokio::process::Command;

use crate::process::Addresses;

/// For a request, and for all commands together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Seconds that a trend covers, one column for every `SECONDS_PER_BAR`.
const TREND: usize = 60;
const SECONDS_PER_BAR: usize = 4;

/// Width of the last column, which holds reasons too.
const MAX_TREND: usize = 60;

const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces";

/// Rows that know their last values.
pub(crate) struct Table {
    client: Client,
    plimsoll: Addresses,
    dir: PathBuf,
    rows: Vec<Row>,
}

/// One metric of an HPA.
struct Row {
    /// `type` in the HPA's list of metrics.
    kind: &'static str,
    namespace: &'static str,
    object: &'static str,
    metric: &'static str,
    path: String,
    /// The last answer, or why there is none.
    values: Result<Vec<f64>>,
    /// What the HPA compares with its target, a value a second.
    trend: VecDeque<Option<f64>>,
}

impl Table {
    pub(crate) fn new(plimsoll: Addresses, dir: &Path) -> Result<Self> {
        let certificate =
            std::fs::read(dir.join("apiserver.crt")).context("cannot read the certificate")?;
        let client = Client::builder()
            .tls_certs_only([Certificate::from_pem(&certificate)?])
            .timeout(TIMEOUT)
            .build()?;
        Ok(Self { client, plimsoll, dir: dir.to_owned(), rows: rows() })
    }

    /// Asks for every metric, one after the other.
    pub(crate) async fn refresh(&mut self) {
        for row in &mut self.rows {
            let url = format!("https://{}{}", self.plimsoll.secure, row.path);
            row.values = ask(&self.client, &url).await;
            row.trend.push_back(row.value());
            if row.trend.len() > TREND {
                row.trend.pop_front();
            }
        }
    }

    /// What there is to try: one request of each kind, with kubectl and with curl.
    pub(crate) fn commands(&self) -> String {
        let Self { plimsoll, dir, rows, .. } = self;
        let dir = dir.display();
        let paths = || rows.iter().filter(|row| row.is_shown()).map(|row| &row.path);
        let mut commands = vec![format!("export KUBECONFIG={dir}/kubeconfig")];
        commands.extend(paths().map(|path| format!("kubectl get --raw '{path}'")));
        commands.extend(paths().take(1).map(|path| {
            format!("curl --cacert {dir}/apiserver.crt 'https://{}{path}'", plimsoll.secure)
        }));
        commands.push(format!("curl http://{}/metrics", plimsoll.admin));
        commands.join("\n")
    }

    /// Tries the commands in a shell; an error is the first that failed.
    pub(crate) async fn try_commands(&self) -> Result<()> {
        let script = format!("set -e\n{}", self.commands().replace("curl ", "curl -sSf "));
        let tried = Command::new("sh").arg("-c").arg(script).kill_on_drop(true).output();
        let output = tokio::time::timeout(TIMEOUT, tried).await.context("no answer in time")??;
        if !output.status.success() {
            bail!("a command failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.rows.iter().all(|row| row.value().is_some())
    }

    /// The rows without a value, each with its reason.
    pub(crate) fn missing(&self) -> String {
        let missing = self
            .rows
            .iter()
            .filter(|row| row.value().is_none())
            .map(|row| format!("  {}: {}", row.path, row.cells().join(" ")));
        missing.collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rows, .. } = self;
        writeln!(
            f,
            "{:<9} {:<10} {:<19} {:<25} {:<18} LAST MINUTE",
            "TYPE", "NAMESPACE", "OBJECT", "METRIC", "VALUE",
        )?;
        for row in rows {
            let Row { kind, namespace, object, metric, .. } = row;
            let [value, trend] = row.cells();
            // A line that wraps would push the others around.
            let trend: String = trend.chars().take(MAX_TREND).collect();
            writeln!(f, "{kind:<9} {namespace:<10} {object:<19} {metric:<25} {value:<18} {trend}")?;
        }
        Ok(())
    }
}

impl Row {
    /// What an HPA compares with its target: the average over pods, else the sum.
    fn value(&self) -> Option<f64> {
        let values = self.values.as_ref().ok().filter(|values| !values.is_empty())?;
        let sum: f64 = values.iter().sum();
        let count = f64::from(u32::try_from(values.len()).ok()?);
        Some(if self.kind == "Pods" { sum / count } else { sum })
    }

    /// The columns VALUE and LAST MINUTE, or the reason why there is no value.
    fn cells(&self) -> [String; 2] {
        let Some(value) = self.value() else {
            let reason = match &self.values {
                Ok(_) => "no items".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            return ["-".to_owned(), reason];
        };
        let values = self.values.as_deref().unwrap_or_default();
        let text = if self.kind == "Pods" {
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            format!("{} ({}-{})", number(value), number(least), number(most))
        } else {
            number(value)
        };
        [text, sparkline(&self.trend)]
    }

    /// Whether its command is worth a line: one of each type.
    fn is_shown(&self) -> bool {
        self.namespace == "shop"
            && matches!(self.metric, "http_requests_per_second" | "queue_messages_ready")
    }
}

fn rows() -> Vec<Row> {
    let custom = |kind, namespace, object, metric, path: &str| Row {
        kind,
        namespace,
        object,
        metric,
        path: format!("{CUSTOM}/{namespace}/{path}"),
        values: Err(anyhow!("not asked yet")),
        trend: VecDeque::new(),
    };
    let pods = |namespace, object, app, metric| {
        let path = format!("pods/*/{metric}?labelSelector=app%3D{app}");
        custom("Pods", namespace, object, metric, &path)
    };
    let service = |namespace, object, name, metric| {
        custom("Object", namespace, object, metric, &format!("services/{name}/{metric}"))
    };
    let mut rows = vec![
        pods("shop", "pods app=checkout", "checkout", "http_requests_per_second"),
        pods("shop", "pods app=checkout", "checkout", "http_requests_in_flight"),
        pods("payments", "pods app=ledger", "ledger", "http_requests_per_second"),
    ];
    for (namespace, object, name) in
        [("shop", "service/checkout", "checkout"), ("payments", "service/ledger", "ledger")]
    {
        for metric in ["http_requests_per_second", "http_error_ratio", "http_latency_p95_seconds"] {
            rows.push(service(namespace, object, name, metric));
        }
    }
    let mut queue = custom("External", "shop", "queue=orders", "queue_messages_ready", "");
    queue.path = format!("{EXTERNAL}/shop/queue_messages_ready?labelSelector=queue%3Dorders");
    rows.push(queue);
    rows
}

/// The values of a `MetricValueList` or an `ExternalMetricValueList`; else the message of the
/// `Status` that came instead.
async fn ask(client: &Client, url: &str) -> Result<Vec<f64>> {
    let response =
        client.get(url).send().await.map_err(reqwest::Error::without_url).context("no answer")?;
    let status = response.status();
    let answer: Value = response.json().await.context("an answer that is no JSON")?;
    if !status.is_success() {
        let message = answer.get("message").and_then(Value::as_str).unwrap_or("no message");
        return Err(anyhow!("{status}: {message}"));
    }
    let items = answer.get("items").and_then(Value::as_array).context("a list without items")?;
    let value = |item: &Value| {
        let text = item.get("value").and_then(Value::as_str).context("an item without value")?;
        Ok(Quantity::parse(text)?.as_f64())
    };
    items.iter().map(value).collect()
}

/// Two digits or so: as many as tell one refresh from the next.
fn number(value: f64) -> String {
    match value.abs() {
        10.0.. => format!("{value:.0}"),
        1.0.. => format!("{value:.1}"),
        0.1.. => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

/// A bar for each few seconds, from the least to the greatest value of the last minute.
fn sparkline(trend: &VecDeque<Option<f64>>) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || trend.iter().flatten().copied();
    let least = known().fold(f64::INFINITY, f64::min);
    let most = known().fold(f64::NEG_INFINITY, f64::max);
    let thresholds =
        |value: f64| (1..8).filter(move |n| value > least + (most - least) * f64::from(*n) / 8.0);
    let bar = |value: Option<f64>| {
        value.map_or(' ', |value| BARS.get(thresholds(value).count()).copied().unwrap_or(' '))
    };
    let newest_first = trend.iter().rev().step_by(SECONDS_PER_BAR).map(|value| bar(*value));
    let bars: String = newest_first.collect::<Vec<_>>().into_iter().rev().collect();
    bars.trim_start().to_owned()
}
