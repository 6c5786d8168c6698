//! A real Prometheus with given data or a target to scrape, where one is installed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use url::Url;

use crate::support::installed::is_installed;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(30);

/// A running Prometheus; it is killed when this is dropped.
pub(crate) struct RealPrometheus {
    process: Child,
    url: Url,
    directory: TempDir,
}

impl RealPrometheus {
    /// Starts one on data in the `OpenMetrics` text form, with timestamps, and waits until it
    /// answers. `None`, with a line that says so, where `prometheus` is not installed.
    pub(crate) fn start(openmetrics: &str) -> Option<Self> {
        Self::start_with(openmetrics, "global: {}\n", "")
    }

    /// The same with a file of rules, which it evaluates each second.
    pub(crate) fn start_recording(openmetrics: &str, rules: &str) -> Option<Self> {
        let config = "global: {evaluation_interval: 1s}\nrule_files: [rules.yml]\n";
        Self::start_with(openmetrics, config, rules)
    }

    fn start_with(openmetrics: &str, config: &str, rules: &str) -> Option<Self> {
        if !is_installed("prometheus", &["--version"]) {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("prometheus.yml"), config).unwrap();
        fs::write(path("rules.yml"), rules).unwrap();
        fs::write(path("data.om"), openmetrics).unwrap();
        let loaded = Command::new("promtool")
            .args(["tsdb", "create-blocks-from", "openmetrics"])
            .args([path("data.om"), path("data")])
            .output()
            .unwrap();
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
        Some(Self::spawn(directory).unwrap())
    }

    /// Starts one that scrapes a target each second, and waits until it answers. `None`, with a
    /// line that says so, where `prometheus` is not installed.
    pub(crate) fn start_scraping(target: SocketAddr) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let job = json!({"job_name": "test", "honor_labels": true,
            "static_configs": [{"targets": [target.to_string()]}]});
        let config = json!({"scrape_configs": [job],
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"}});
        fs::write(directory.path().join("prometheus.yml"), config.to_string()).unwrap();
        Self::spawn(directory)
    }

    fn spawn(directory: TempDir) -> Option<Self> {
        let Ok(process) = command(directory.path(), 0).spawn() else {
            eprintln!("skipped: prometheus is not installed");
            return None;
        };
        // From here on the process ends with this value, also where the start fails.
        let mut started = Self { process, url: Url::parse("http://127.0.0.1").unwrap(), directory };
        started.wait();
        Some(started)
    }

    /// Starts it again, with its data and at its address.
    pub(crate) fn start_again(&mut self) {
        self.process = command(self.directory.path(), self.url.port().unwrap()).spawn().unwrap();
        self.wait();
    }

    fn wait(&mut self) {
        let port = wait_until_ready(BufReader::new(self.process.stderr.take().unwrap()));
        self.url.set_port(Some(port)).unwrap();
    }

    /// Kills it.
    pub(crate) fn stop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }

    pub(crate) fn url(&self) -> Url {
        self.url.clone()
    }
}

impl Drop for RealPrometheus {
    fn drop(&mut self) {
        self.stop();
    }
}

fn command(directory: &Path, port: u16) -> Command {
    let path = |name: &str| directory.join(name);
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", path("prometheus.yml").display()))
        .arg(format!("--storage.tsdb.path={}", path("data").display()))
        // The data of tests is older than the 15 days that are kept by default.
        .arg("--storage.tsdb.retention.time=100y")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

/// Reads the log until it says that the server is ready; returns its port.
fn wait_until_ready(log: impl BufRead + Send + 'static) -> u16 {
    let (sender, receiver) = mpsc::channel();
    // Goes on to the end, as the process would block on a full pipe.
    thread::spawn(move || {
        let (mut port, mut is_ready, mut seen) = (None, false, String::new());
        for line in log.lines().map_while(Result::ok) {
            // The two lines come in any order.
            if line.contains("Listening on") {
                port = line.rsplit(':').next().and_then(|port| port.parse().ok());
            }
            is_ready |= line.contains("Server is ready");
            if let (Some(port), true) = (port, is_ready) {
                sender.send(Ok(port)).ok();
            }
            seen += &line;
            seen.push('\n');
        }
        sender.send(Err(seen)).ok();
    });
    match receiver.recv_timeout(START) {
        Ok(Ok(port)) => port,
        Ok(Err(log)) => panic!("prometheus did not start:\n{log}"),
        Err(error) => panic!("prometheus was not ready within {START:?}: {error}"),
    }
}
