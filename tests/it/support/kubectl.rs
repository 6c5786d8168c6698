//! kubectl, where it is installed.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// How long a command may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// kubectl with a kubeconfig.
pub(crate) struct Kubectl {
    home: TempDir,
}

/// What kubectl has printed.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) success: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Kubectl {
    /// `None`, with a line that says so, where it is not installed.
    pub(crate) fn new(kubeconfig: &str) -> Option<Self> {
        if std::process::Command::new("kubectl").arg("options").output().is_err() {
            println!("skipped: kubectl is not installed");
            return None;
        }
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("kubeconfig"), kubeconfig).unwrap();
        Some(Self { home })
    }

    /// What it prints; its complaint where it fails.
    pub(crate) async fn attempt(&self, arguments: &str, input: &str) -> Result<String, String> {
        let Said { success, output, errors } = self.say(arguments, input).await;
        if success { Ok(output) } else { Err(errors) }
    }

    /// All that it prints, warnings among it.
    pub(crate) async fn say(&self, arguments: &str, input: &str) -> Said {
        let mut child = Command::new("kubectl")
            .args(arguments.split_whitespace())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .env("HOME", self.home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
        let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await;
        let output = output.unwrap_or_else(|_| panic!("kubectl {arguments} does not end")).unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap().trim().to_owned();
        let success = output.status.success();
        Said { success, output: text(output.stdout), errors: text(output.stderr) }
    }

    /// What it prints.
    pub(crate) async fn run(&self, arguments: &str) -> String {
        let output = self.attempt(arguments, "").await;
        output.unwrap_or_else(|error| panic!("kubectl {arguments}: {error}"))
    }

    /// What it prints as JSON.
    pub(crate) async fn json(&self, arguments: &str) -> Value {
        serde_json::from_str(&self.run(arguments).await).unwrap()
    }

    /// Creates objects, a YAML text or a JSON one.
    pub(crate) async fn create(&self, objects: &str) {
        let created = self.attempt("create --validate=false -f -", objects).await;
        created.unwrap_or_else(|error| panic!("cannot create {objects}: {error}"));
    }
}
