//! `hack/bench admission`: reviews of a Deployment as an API server sends them, over HTTP/1.1.
//!
//! The bare server reads the same bodies and sends the verdict that plimsoll gave, so that what is
//! between the two is reading the review, judging it and writing the answer.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::bare::{self, Answer};
use crate::load::Load;
use crate::process;
use crate::serve::{memory, ready};

/// What the API server calls, with the deadline that it tells.
const PATH: &str = "/validate?timeout=2s";
const CONNECTIONS: [usize; 2] = [1, 16];

/// A namespace that enforces, so that every rule is asked.
const OBJECTS: &str = "
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {plimsoll.dev/enforce: strict}}
";

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each measurement takes.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
}

struct Server {
    name: &'static str,
    address: SocketAddr,
    child: Child,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let body = dir.path().join("review.json");
    let review = serde_json::to_vec(&review())?;
    println!("\nPOST {PATH}, a review of {} bytes, all on this machine\n", review.len());
    std::fs::write(&body, review)?;
    let plimsoll = start_plimsoll(dir.path()).await?;
    let bare = start_bare(dir.path(), &body, plimsoll.address).await?;
    let mut servers = [bare, plimsoll];
    let outcome = compare(&servers, args, dir.path(), &body).await;
    for server in &mut servers {
        server.child.kill().await?;
    }
    outcome
}

async fn compare(servers: &[Server; 2], args: &Args, dir: &Path, body: &Path) -> Result<()> {
    println!(
        "{:<20}{:>12}{:>12}{:>9}{:>9}{:>9}{:>9}",
        "", "connections", "reviews/s", "of bare", "p50 µs", "p99 µs", "RSS MiB"
    );
    for connections in CONNECTIONS {
        let mut bare = None;
        let mut at_most = 0.0;
        for server in servers {
            let load = measure(server, connections, args.seconds, None, dir, body).await?;
            let of_bare = load.per_second / *bare.get_or_insert(load.per_second);
            print(server, &format!("{connections}"), &load, of_bare)?;
            at_most = load.per_second;
        }
        for server in servers {
            let half = Some(at_most / 2.0);
            let load = measure(server, connections, args.seconds, half, dir, body).await?;
            print(server, &format!("{connections}, half"), &load, f64::NAN)?;
        }
    }
    println!(
        "\naims: reviews/s at least 0.40 of bare, p99 at half load less than 1000 µs on an idle \
         machine, memory less than 40 MiB"
    );
    Ok(())
}

fn print(server: &Server, connections: &str, load: &Load, of_bare: f64) -> Result<()> {
    let process = server.child.id().with_context(|| format!("{} has ended", server.name))?;
    let of_bare = if of_bare.is_nan() { String::new() } else { format!("{of_bare:.2}") };
    println!(
        "{:<20}{connections:>12}{:>12.0}{of_bare:>9}{:>9.0}{:>9.0}{:>9.1}",
        server.name,
        load.per_second,
        load.p50,
        load.p99,
        memory(process, "VmRSS")?,
    );
    Ok(())
}

/// One measurement, by a process of its own.
async fn measure(
    server: &Server,
    connections: usize,
    seconds: u64,
    rate: Option<f64>,
    dir: &Path,
    body: &Path,
) -> Result<Load> {
    let output = Command::new(std::env::current_exe()?)
        .arg("load")
        .arg(format!("--address={}", server.address))
        .arg(format!("--ca={}", dir.join("apiserver.crt").display()))
        .arg(format!("--path={PATH}"))
        .arg(format!("--body={}", body.display()))
        .arg(format!("--connections={connections}"))
        .arg(format!("--seconds={seconds}"))
        .args(rate.iter().map(|rate| format!("--rate={rate}")))
        .kill_on_drop(true)
        .output()
        .await?;
    if !output.status.success() {
        bail!("{}: {}", server.name, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn start_plimsoll(dir: &Path) -> Result<Server> {
    let write = |name: &str, text: &str| -> Result<PathBuf> {
        let path = dir.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let config = write("config.yaml", "admission: {}\n")?;
    let objects = write("objects.yaml", OBJECTS)?;
    let arguments = [
        format!("--config={}", config.display()),
        format!("--objects={}", objects.display()),
        // Nobody is asked.
        "--prometheus-url=http://127.0.0.1:9".to_owned(),
    ];
    let (child, addresses) = process::start_plimsoll(dir, &arguments).await?;
    ready(addresses.admin).await?;
    Ok(Server { name: "plimsoll", address: addresses.admission, child })
}

/// Starts the bare server with the answer that plimsoll gives.
async fn start_bare(dir: &Path, body: &Path, plimsoll: SocketAddr) -> Result<Server> {
    let ca = reqwest::Certificate::from_pem(&std::fs::read(dir.join("apiserver.crt"))?)?;
    let client = reqwest::Client::builder()
        .tls_certs_only([ca])
        .http1_only()
        .timeout(Duration::from_secs(10))
        .build()?;
    let request = client.post(format!("https://{plimsoll}{PATH}"));
    let request = request.header("content-type", "application/json").body(std::fs::read(body)?);
    let response = request.send().await?;
    let status = response.status();
    let text = response.text().await?;
    let verdict: Value = serde_json::from_str(&text).unwrap_or_default();
    if verdict.pointer("/response/allowed") != Some(&json!(true)) {
        bail!("plimsoll did not let the Deployment in but answered {status}: {text}");
    }
    let headers = [("content-type".to_owned(), "application/json".to_owned())].into();
    let answer = Answer { headers, body: text };
    std::fs::write(dir.join(Answer::FILE), serde_json::to_vec(&answer)?)?;
    let command = [
        std::env::current_exe()?.display().to_string(),
        "bare".to_owned(),
        dir.display().to_string(),
    ];
    let (child, address) = process::start(&command, &dir.join("bare.log"), |line| {
        line.strip_prefix(bare::SERVING)?.parse().ok()
    })
    .await?;
    Ok(Server { name: "bare hyper+rustls", address, child })
}

/// The creation of a Deployment with two containers, some 6 KiB, with nothing wrong with it: then
/// every rule looks at all of it.
fn review() -> Value {
    let container = |name: &str, port: u16| {
        let probe = |path: &str, threshold: u32| {
            json!({
                "httpGet": {"path": path, "port": "http", "scheme": "HTTP"},
                "initialDelaySeconds": 5, "timeoutSeconds": 2, "periodSeconds": 10,
                "successThreshold": 1, "failureThreshold": threshold,
            })
        };
        let env: Vec<_> = (0..16)
            .map(|index| json!({"name": format!("SETTING_{index}"), "value": format!("value of {name} {index}")}))
            .collect();
        json!({
            "name": name,
            "image": format!("registry.example/shop/{name}:2026.11.1"),
            "ports": [{"name": "http", "containerPort": port, "protocol": "TCP"}],
            "env": env,
            "resources": {
                "requests": {"cpu": "250m", "memory": "256Mi"},
                "limits": {"memory": "512Mi"},
            },
            "readinessProbe": probe("/ready", 3),
            "livenessProbe": probe("/live", 6),
            "startupProbe": probe("/live", 30),
            "volumeMounts": [{"name": "config", "mountPath": "/etc/app"}],
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
            "securityContext": {"runAsNonRoot": true, "allowPrivilegeEscalation": false},
        })
    };
    let object = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": "checkout", "namespace": "shop", "labels": {"app": "checkout"},
            "annotations": {"example.org/description": "x".repeat(1024)},
        },
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "checkout"}},
            "strategy": {"type": "RollingUpdate"},
            "template": {
                "metadata": {"labels": {"app": "checkout"}},
                "spec": {
                    "containers": [container("checkout", 8080), container("cache", 6380)],
                    "volumes": [{"name": "config", "configMap": {"name": "checkout"}}],
                    "terminationGracePeriodSeconds": 30,
                    "restartPolicy": "Always",
                    "dnsPolicy": "ClusterFirst",
                },
            },
        },
    });
    json!({
        "kind": "AdmissionReview",
        "apiVersion": "admission.k8s.io/v1",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "checkout",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "jane", "groups": ["developers", "system:authenticated"]},
            "object": object,
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}
