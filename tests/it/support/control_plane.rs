//! A real etcd and kube-apiserver on loopback, as envtest starts them.
//!
//! The binaries come from `$KUBEBUILDER_ASSETS` or `/usr/local/kubebuilder/bin`; without them
//! there is none. The one user may do everything, service accounts what RBAC allows them.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Client;
use plimsoll::cluster::client::{Settings, connect};
use serde_json::json;
use tempfile::TempDir;

/// The control plane; it ends when it is dropped.
pub(crate) struct ControlPlane {
    assets: PathBuf,
    dir: TempDir,
    etcd_port: u16,
    api_port: u16,
    etcd: Child,
    api: Child,
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        end(&mut self.api);
        end(&mut self.etcd);
    }
}

impl ControlPlane {
    /// Starts one and waits until it is ready; `None`, and a line that says so, where there are
    /// no binaries.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")
            .map_or_else(|| "/usr/local/kubebuilder/bin".into(), PathBuf::from);
        if !assets.join("kube-apiserver").exists() || !assets.join("etcd").exists() {
            println!("skipped: {test} needs etcd and kube-apiserver in $KUBEBUILDER_ASSETS");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        write_credentials(dir.path());
        let [etcd_port, peer_port, api_port] = free_ports();
        let etcd = start_etcd(&assets, dir.path(), etcd_port, peer_port);
        let api = start_api(&assets, dir.path(), etcd_port, api_port);
        let plane = Self { assets, dir, etcd_port, api_port, etcd, api };
        plane.ready().await;
        Some(plane)
    }

    /// A client of an account that may do everything.
    pub(crate) async fn client(&self) -> Client {
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": format!("https://127.0.0.1:{}", self.api_port),
                "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "lab", "user": {"token": "lab"}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        });
        let path = self.kubeconfig();
        std::fs::write(&path, kubeconfig.to_string()).unwrap();
        connect(&Settings { kubeconfig: Some(path) }).await.unwrap()
    }

    /// Where the kubeconfig of that account is, once there was a client.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.path().join("kubeconfig")
    }

    /// Kills the API server.
    pub(crate) fn stop_api(&mut self) {
        end(&mut self.api);
    }

    /// Starts the API server again on the same port.
    pub(crate) async fn start_api(&mut self) {
        self.api = start_api(&self.assets, self.dir.path(), self.etcd_port, self.api_port);
        self.ready().await;
    }

    async fn ready(&self) {
        let client = self.client().await;
        let ready = async {
            loop {
                let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
                match client.request_text(request).await {
                    Ok(_) => return,
                    Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let waited = tokio::time::timeout(Duration::from_mins(1), ready).await;
        let log = || std::fs::read_to_string(self.dir.path().join("apiserver.log")).unwrap();
        assert!(waited.is_ok(), "kube-apiserver did not become ready: {}", log());
    }
}

/// A key for service accounts and the token of the one user.
fn write_credentials(dir: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("sa.key"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("sa.pub"), key.public_key_pem()).unwrap();
    std::fs::write(dir.join("tokens.csv"), "lab,lab,lab,system:masters\n").unwrap();
}

fn start_etcd(assets: &Path, dir: &Path, port: u16, peer_port: u16) -> Child {
    let url = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new(assets.join("etcd"));
    command
        .args(["--data-dir", dir.join("etcd").to_str().unwrap()])
        .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("default={peer}"), "--unsafe-no-fsync"]);
    spawn(command, dir, "etcd.log")
}

fn start_api(assets: &Path, dir: &Path, etcd_port: u16, port: u16) -> Child {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut command = Command::new(assets.join("kube-apiserver"));
    command
        .args(["--etcd-servers", &format!("http://127.0.0.1:{etcd_port}")])
        .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
        .args(["--secure-port", &port.to_string(), "--cert-dir", &file("certs")])
        .args(["--token-auth-file", &file("tokens.csv"), "--authorization-mode", "RBAC"])
        .args(["--service-account-key-file", &file("sa.pub")])
        .args(["--service-account-signing-key-file", &file("sa.key")])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--service-cluster-ip-range", "10.0.0.0/24", "--endpoint-reconciler-type", "none"])
        .args(["--disable-admission-plugins", "ServiceAccount"]);
    spawn(command, dir, "apiserver.log")
}

fn spawn(mut command: Command, dir: &Path, log: &str) -> Child {
    let log = File::create(dir.join(log)).unwrap();
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    command.spawn().unwrap()
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    child.kill().ok();
    child.wait().ok();
}

/// Ports that were free a moment ago; kube-apiserver cannot choose one itself.
fn free_ports<const N: usize>() -> [u16; N] {
    let listeners = [(); N].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}
