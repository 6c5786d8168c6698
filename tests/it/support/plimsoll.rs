//! The real binary, started on free ports and ended with the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::client::Client;

/// How long the process may take for what a test waits for.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running `plimsoll serve`, killed when this is dropped.
pub(crate) struct Plimsoll {
    child: Child,
    directory: TempDir,
    log: Arc<Mutex<Vec<Value>>>,
    /// Where the metrics APIs are served.
    pub(crate) secure: SocketAddr,
    /// Where the admission webhooks are served.
    pub(crate) admission: SocketAddr,
    /// Where the admin endpoints are served.
    pub(crate) admin: SocketAddr,
}

/// What it is started with.
#[derive(Default)]
pub(crate) struct Start<'a> {
    /// The text of the configuration file.
    pub(crate) config: &'a str,
    /// The text of `--objects`; no inventory where it is empty.
    pub(crate) objects: &'a str,
    /// `--prometheus-url`
    pub(crate) prometheus: &'a str,
    /// The text of `--kubeconfig`; standalone where it is empty.
    pub(crate) kubeconfig: &'a str,
    /// Names and texts of further files in its directory.
    pub(crate) files: &'a [(&'a str, &'a str)],
    /// Further flags; `{dir}` stands for the directory with `config.yaml`, `objects.yaml` and the
    /// serving certificate.
    pub(crate) flags: &'a [&'a str],
}

impl Plimsoll {
    /// Starts the binary and waits until it is ready.
    pub(crate) async fn start(start: Start<'_>) -> Self {
        let plimsoll = Self::start_unready(&start);
        let client = plimsoll.client();
        wait_until("it is ready", async || client.get("/readyz").await.status == 200).await;
        plimsoll
    }

    /// Starts the binary and waits until it listens.
    pub(crate) fn start_unready(start: &Start<'_>) -> Self {
        Self::try_start(start)
            .unwrap_or_else(|(status, log)| panic!("it does not serve: {status}: {log:?}"))
    }

    /// Starts the binary and waits until it listens; exit status and log where it does not.
    pub(crate) fn try_start(start: &Start<'_>) -> Result<Self, (ExitStatus, Vec<Value>)> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = command(start, directory.path());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let addresses = follow(&mut child, Arc::clone(&log));
        match listening(&addresses) {
            Ok([secure, admission, admin]) => {
                Ok(Self { child, directory, log, secure, admission, admin })
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err((child.wait().unwrap(), log.lock().unwrap().clone()))
            }
            Err(RecvTimeoutError::Timeout) => {
                panic!("it does not serve: {:?}", log.lock().unwrap())
            }
        }
    }

    /// Runs the binary to its end, for starts that fail: exit status and log.
    pub(crate) fn run_to_the_end(start: &Start<'_>) -> (ExitStatus, String) {
        let directory = tempfile::tempdir().unwrap();
        let mut child = command(start, directory.path()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let (ended, log) = channel();
        std::thread::spawn(move || ended.send(std::io::read_to_string(stderr).unwrap()));
        let log = log.recv_timeout(PATIENCE).unwrap_or_else(|_| {
            child.kill().unwrap();
            panic!("it does not end in {PATIENCE:?}")
        });
        (child.wait().unwrap(), log)
    }

    /// A client that trusts its certificate and speaks HTTP/1.1.
    pub(crate) fn client(&self) -> Client {
        let certificate = fs::read_to_string(self.path("apiserver.crt")).unwrap();
        Client::new(self.secure, &certificate)
    }

    /// A client of the admission port.
    pub(crate) fn admission_client(&self) -> Client {
        let certificate = fs::read_to_string(self.path("apiserver.crt")).unwrap();
        Client::new(self.admission, &certificate)
    }

    /// A path in its directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// Replaces a file in its directory at once, as a volume does.
    pub(crate) fn replace(&self, name: &str, text: &str) {
        fs::write(self.path("new"), text).unwrap();
        fs::rename(self.path("new"), self.path(name)).unwrap();
    }

    /// What it has logged so far, one value a line.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    /// The process's number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM.
    pub(crate) fn terminate(&self) {
        let status = Command::new("kill").arg(self.pid().to_string()).status().unwrap();
        assert!(status.success());
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits for its end.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:?}", self.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Plimsoll {
    fn drop(&mut self) {
        let _already_gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// Asks again and again until something holds.
pub(crate) async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < deadline, "in {PATIENCE:?} it did not come true that {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn command(start: &Start<'_>, directory: &Path) -> Command {
    let inside = |flag: &str| flag.replace("{dir}", directory.to_str().unwrap());
    fs::write(directory.join("config.yaml"), start.config).unwrap();
    for (name, text) in start.files {
        fs::write(directory.join(name), text).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command
        .args([
            "serve",
            "--log-format=json",
            "--secure-port=0",
            "--admin-port=0",
            "--admission-port=0",
        ])
        .args(["--config={dir}/config.yaml", "--cert-dir={dir}"].map(inside))
        .args(["--prometheus-url", start.prometheus]);
    if start.kubeconfig.is_empty() {
        command.arg("--standalone");
    } else {
        fs::write(directory.join("kubeconfig"), start.kubeconfig).unwrap();
        command
            .arg(inside("--kubeconfig={dir}/kubeconfig"))
            .args(["--bind-address=127.0.0.1", "--shutdown-delay=0s"]);
    }
    if !start.objects.is_empty() {
        fs::write(directory.join("objects.yaml"), start.objects).unwrap();
        command.arg(inside("--objects={dir}/objects.yaml"));
    }
    command.args(start.flags.iter().copied().map(inside)).stderr(Stdio::piped());
    command
}

/// What it says before it serves.
const SERVING: [&str; 3] = ["serving the metrics APIs", "serving admission", "serving admin"];

/// The addresses of all that it serves, in the order of [`SERVING`].
fn listening(addresses: &Receiver<SocketAddr>) -> Result<[SocketAddr; 3], RecvTimeoutError> {
    let next = || addresses.recv_timeout(PATIENCE);
    Ok([next()?, next()?, next()?])
}

/// Collects the log, and sends each address that it says is being served.
fn follow(child: &mut Child, log: Arc<Mutex<Vec<Value>>>) -> Receiver<SocketAddr> {
    let lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let (found, addresses) = channel();
    std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let entry = serde_json::from_str(&line).unwrap_or(Value::String(line));
            let message = entry["message"].as_str().unwrap_or_default();
            if SERVING.contains(&message) {
                let address = entry["address"].as_str().unwrap().parse().unwrap();
                let _nobody_waits = found.send(address);
            }
            log.lock().unwrap().push(entry);
        }
    });
    addresses
}
