//! Child processes that end with us: started in their own process group so that a Ctrl-C at the
//! terminal reaches us alone, killed by the kernel where we are killed, and awaited where we are not.
//!
//! Linux only, as `setpriv` (util-linux) is what ties a child to our life without unsafe code.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::fs::File;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

/// How long a child may take to say that it listens.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Lines of a failed child's log that are worth repeating.
const LAST_LINES: usize = 8;

/// Where a `plimsoll serve` listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    /// The metrics APIs, over TLS.
    pub(crate) secure: SocketAddr,
    /// The webhooks, over TLS.
    /// The webhooks, over TLS.
    #[allow(dead_code, reason = "the demo has no use for it")]
    pub(crate) admission: SocketAddr,
    /// Health and /metrics, in plain HTTP.
    pub(crate) admin: SocketAddr,
}

/// The `plimsoll` that was built together with this example.
pub(crate) fn plimsoll_binary() -> Result<PathBuf> {
    let example = std::env::current_exe().context("cannot find this program's own file")?;
    let profile =
        example.ancestors().nth(2).context("this program is not in a target directory")?;
    let binary = profile.join("plimsoll");
    if !binary.exists() {
        bail!("{} is missing: build it with `cargo build`", binary.display());
    }
    Ok(binary)
}

/// Starts `plimsoll serve --standalone` on free ports, with its certificate in `dir` and its log in
/// `dir`/plimsoll.log.
pub(crate) async fn start_plimsoll(dir: &Path, args: &[String]) -> Result<(Child, Addresses)> {
    let mut standalone = vec!["--standalone".to_owned()];
    standalone.extend_from_slice(args);
    serve_plimsoll(dir, &standalone).await
}

/// Starts `plimsoll serve` so, in whichever cluster the flags name.
pub(crate) async fn serve_plimsoll(dir: &Path, args: &[String]) -> Result<(Child, Addresses)> {
    let mut command = vec![plimsoll_binary()?.display().to_string()];
    command.extend(
        ["serve", "--secure-port=0", "--admission-port=0", "--admin-port=0", "--log-format=json"]
            .map(str::to_owned),
    );
    command.push(format!("--cert-dir={}", dir.display()));
    command.extend_from_slice(args);

    let (mut secure, mut admission, mut admin) = (None, None, None);
    start(&command, &dir.join("plimsoll.log"), |line| {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let field = |name| line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str();
        let address = field("address").and_then(|address| address.parse().ok());
        match field("message")? {
            "serving the metrics APIs" => secure = address,
            "serving admission" => admission = address,
            "serving admin" => admin = address,
            _ => {}
        }
        Some(Addresses { secure: secure?, admission: admission?, admin: admin? })
    })
    .await
}

/// Starts a program whose log, on stderr, says when it is ready; the log goes on into a file.
pub(crate) async fn start<T>(
    command: &[String],
    log: &Path,
    mut ready: impl FnMut(&str) -> Option<T>,
) -> Result<(Child, T)> {
    let program = command.first().map_or("", String::as_str);
    let mut child = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(command)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {program} through setpriv"))?;
    let stderr = child.stderr.take().context("the child has no stderr")?;
    let mut lines = BufReader::new(stderr).lines();
    let mut log = File::create(log).await.context("cannot create the log file")?;

    let mut last = VecDeque::new();
    let started = tokio::time::timeout(START_DEADLINE, async {
        while let Some(line) = lines.next_line().await? {
            log.write_all(line.as_bytes()).await?;
            log.write_all(b"\n").await?;
            if let Some(answer) = ready(&line) {
                return anyhow::Ok(Some(answer));
            }
            last.push_back(line);
            if last.len() > LAST_LINES {
                last.pop_front();
            }
        }
        Ok(None)
    })
    .await;
    let last = last.make_contiguous().join("\n");
    match started {
        Ok(Ok(Some(answer))) => {
            tokio::spawn(copy(lines, log));
            Ok((child, answer))
        }
        Ok(Ok(None)) => bail!("{program} ended before it listened:\n{last}"),
        Ok(Err(error)) => Err(error.context(format!("cannot read the log of {program}"))),
        Err(_) => bail!("{program} did not listen within {START_DEADLINE:?}:\n{last}"),
    }
}

/// Keeps the pipe empty so that the child never blocks on its own log.
async fn copy(mut lines: Lines<BufReader<ChildStderr>>, mut log: File) {
    while let Ok(Some(line)) = lines.next_line().await {
        let written = async {
            log.write_all(line.as_bytes()).await?;
            log.write_all(b"\n").await?;
            log.flush().await
        };
        if written.await.is_err() {
            return;
        }
    }
}
