//! hack/demo, and plimsoll started with a command line as a person types it.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::support::installed::is_installed;

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(90);

/// The demo with its table complete; it is stopped when this is dropped.
pub(crate) struct Demo {
    process: Child,
    /// The kubeconfig that it tells people to use.
    pub(crate) kubeconfig: String,
    /// The first complete table.
    pub(crate) table: String,
    /// Where plimsoll's own metrics are.
    pub(crate) metrics: String,
    /// Where Prometheus is.
    pub(crate) prometheus: String,
}

impl Demo {
    /// Starts it. `None`, with a line that says so, where it lacks what it needs.
    pub(crate) fn start() -> Option<Self> {
        if !is_installed("prometheus", &["--version"]) || !is_installed("kubectl", &["options"]) {
            return None;
        }
        let binary = Path::new(env!("CARGO_BIN_EXE_plimsoll"));
        let demo = binary.with_file_name("examples").join("demo");
        let mut process = Command::new(demo)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the demo is built: cargo build --examples");
        let (sender, receiver) = mpsc::channel();
        let screens = BufReader::new(process.stdout.take().unwrap());
        // Goes on to the end, as the process would block on a full pipe.
        thread::spawn(move || {
            let mut screen = String::new();
            for line in screens.lines().map_while(Result::ok) {
                screen += &line;
                screen.push('\n');
                if line.contains("Ctrl-C") {
                    sender.send(std::mem::take(&mut screen)).ok();
                }
            }
        });
        // From here on the process ends with this value, also where the start fails.
        let mut demo = Self {
            process,
            kubeconfig: String::new(),
            table: String::new(),
            metrics: String::new(),
            prometheus: String::new(),
        };
        loop {
            let screen = receiver.recv_timeout(START).expect("the demo prints its table");
            let screen = screen.trim_start();
            let after = |prefix: &str, end: char| {
                let (_, rest) = screen.split_once(prefix).unwrap();
                rest.split(end).next().unwrap().to_owned()
            };
            if screen.contains(" -  ") {
                continue;
            }
            demo.kubeconfig = after("KUBECONFIG=", '\n');
            demo.metrics = format!("http{}", after("  curl http", '\n'));
            demo.prometheus = after("Prometheus itself is at ", ';');
            screen.clone_into(&mut demo.table);
            return Some(demo);
        }
    }

    /// The directory of its files.
    pub(crate) fn directory(&self) -> &Path {
        Path::new(&self.kubeconfig).parent().unwrap()
    }

    /// The objects that its plimsoll knows.
    pub(crate) fn objects(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory().join("objects.yaml")).unwrap();
        let list: Value = serde_saphyr::from_str(&text).unwrap();
        list["items"].as_array().unwrap().clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its own end takes its children and its files along.
        Command::new("kill").arg(self.process.id().to_string()).status().ok();
        self.process.wait().ok();
    }
}

/// A plimsoll started as typed, but on free ports; it is killed when this is dropped.
pub(crate) struct Typed {
    process: Child,
    /// Where the metrics APIs are.
    pub(crate) address: SocketAddr,
}

impl Typed {
    /// Starts it in a directory and waits until it listens.
    pub(crate) fn start<'a>(directory: &Path, arguments: impl Iterator<Item = &'a str>) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(arguments)
            .args(["--secure-port=0", "--admission-port=0", "--admin-port=0", "--log-format=json"])
            .current_dir(directory)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap());
        let mut seen = String::new();
        let address = loop {
            let mut line = String::new();
            let length = log.read_line(&mut line).unwrap();
            assert!(length > 0, "plimsoll ended before it listened:\n{seen}");
            seen += &line;
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "serving the metrics APIs" {
                break line["address"].as_str().unwrap().parse().unwrap();
            }
        };
        // Goes on to the end, as the process would block on a full pipe.
        thread::spawn(move || log.read_to_end(&mut Vec::new()));
        Self { process, address }
    }
}

impl Drop for Typed {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
