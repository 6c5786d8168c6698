//! A real etcd and kube-apiserver on loopback, as envtest starts them.
//!
//! The binaries come from `$KUBEBUILDER_ASSETS` or `/usr/local/kubebuilder/bin`; without them
//! there is none. Everyone may do everything, unless it is started with authorities: then it
//! trusts these and authorizes with RBAC. A whole one has the aggregation layer, too, and
//! kube-controller-manager; there is never a scheduler or a kubelet.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use kube::Client;
use plimsoll::cluster::client::{Settings, connect};
use serde_json::json;
use tempfile::TempDir;

use crate::support::pki::Authority;

/// Whose certificates the API server trusts and publishes.
pub(crate) struct Authorities<'a> {
    pub(crate) front_proxy: &'a Authority,
    pub(crate) users: &'a Authority,
}

/// How a whole control plane works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    /// Whether the aggregator chooses an endpoint for each request, rather than leave the address
    /// of a Service to kube-proxy, which chooses one for each connection.
    pub(crate) routes_to_endpoints: bool,
    /// What kube-controller-manager asks for, where it is asked for less than its default.
    pub(crate) content_type: &'static str,
    /// How often an HPA is looked at.
    pub(crate) sync_period: Duration,
}

/// The control plane; it ends when it is dropped.
pub(crate) struct ControlPlane {
    assets: PathBuf,
    dir: TempDir,
    etcd_port: u16,
    api_port: u16,
    security: Vec<String>,
    etcd: Child,
    api: Child,
    controllers: Option<Child>,
}

impl Default for Ways {
    fn default() -> Self {
        Self {
            routes_to_endpoints: true,
            content_type: "application/vnd.kubernetes.protobuf",
            sync_period: Duration::from_secs(2),
        }
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Some(controllers) = &mut self.controllers {
            end(controllers);
        }
        end(&mut self.api);
        end(&mut self.etcd);
    }
}

impl ControlPlane {
    /// Starts one and waits until it is ready; `None`, and a line that says so, where there are
    /// no binaries.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_with(test, &[], |_| vec!["--authorization-mode=AlwaysAllow".to_owned()]).await
    }

    /// The same with RBAC and front proxies.
    pub(crate) async fn start_secured(test: &str, authorities: Authorities<'_>) -> Option<Self> {
        Self::start_with(test, &[], |dir| secured(dir, &authorities)).await
    }

    /// The same with the aggregation layer and kube-controller-manager, whose HPA controller is
    /// fast.
    pub(crate) async fn start_whole(
        test: &str,
        authorities: Authorities<'_>,
        ways: Ways,
    ) -> Option<Self> {
        let mut plane = Self::start_with(test, &["kube-controller-manager"], |dir| {
            let proxy = authorities.front_proxy.client("front-proxy-client", "", |_| ());
            let mut flags = secured(dir, &authorities);
            flags.extend([
                file_flag(dir, "--proxy-client-cert-file", "front-proxy.crt", &proxy.cert),
                file_flag(dir, "--proxy-client-key-file", "front-proxy.key", &proxy.key),
                format!("--enable-aggregator-routing={}", ways.routes_to_endpoints),
            ]);
            flags
        })
        .await?;
        plane.controllers = Some(plane.start_controllers(ways));
        Some(plane)
    }

    async fn start_with(
        test: &str,
        also: &[&str],
        security: impl FnOnce(&Path) -> Vec<String>,
    ) -> Option<Self> {
        let assets = std::env::var_os("KUBEBUILDER_ASSETS")
            .map_or_else(|| "/usr/local/kubebuilder/bin".into(), PathBuf::from);
        let missing = ["etcd", "kube-apiserver"].iter().chain(also);
        if let Some(missing) = missing.into_iter().find(|name| !assets.join(name).exists()) {
            println!(
                "skipped: {test} needs {missing} in $KUBEBUILDER_ASSETS: etcd and kube-apiserver \
                 come with `setup-envtest use`, kube-controller-manager with a node image of kind"
            );
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        write_credentials(dir.path());
        let [etcd_port, peer_port, api_port] = free_ports();
        let etcd = start_etcd(&assets, dir.path(), etcd_port, peer_port);
        let security = security(dir.path());
        let api = start_api(&assets, dir.path(), etcd_port, api_port, &security);
        let plane =
            Self { assets, dir, etcd_port, api_port, security, etcd, api, controllers: None };
        plane.ready().await;
        Some(plane)
    }

    /// A client of an account that may do everything.
    pub(crate) async fn client(&self) -> Client {
        let path = self.dir.path().join("kubeconfig");
        std::fs::write(&path, self.kubeconfig("lab")).unwrap();
        connect(&Settings { kubeconfig: Some(path) }).await.unwrap()
    }

    /// Where the API server is.
    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// A kubeconfig of the account that a token is of.
    pub(crate) fn kubeconfig(&self, token: &str) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "lab",
            "clusters": [{"name": "lab", "cluster": {
                "server": self.url(),
                "insecure-skip-tls-verify": true,
            }}],
            "users": [{"name": "lab", "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
        })
        .to_string()
    }

    /// Kills the API server.
    pub(crate) fn stop_api(&mut self) {
        end(&mut self.api);
    }

    /// Starts the API server again on the same port.
    pub(crate) async fn start_api(&mut self) {
        let Self { assets, dir, etcd_port, api_port, security, .. } = &*self;
        self.api = start_api(assets, dir.path(), *etcd_port, *api_port, security);
        self.ready().await;
    }

    fn start_controllers(&self, ways: Ways) -> Child {
        let dir = self.dir.path();
        let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
        std::fs::write(dir.join("controllers"), self.kubeconfig("controllers")).unwrap();
        let mut command = Command::new(self.assets.join("kube-controller-manager"));
        command
            .args(["--kubeconfig", &file("controllers"), "--secure-port=0", "--leader-elect=false"])
            .args(["--use-service-account-credentials"])
            .args(["--service-account-private-key-file", &file("sa.key")])
            .args(["--kube-api-content-type", ways.content_type])
            .arg(format!("--horizontal-pod-autoscaler-sync-period={:?}", ways.sync_period))
            .arg("--horizontal-pod-autoscaler-downscale-stabilization=5s")
            .arg("--horizontal-pod-autoscaler-initial-readiness-delay=1s")
            .arg("--horizontal-pod-autoscaler-cpu-initialization-period=1s");
        spawn(command, dir, "controllers.log")
    }

    /// The last lines that kube-controller-manager has logged.
    pub(crate) fn controllers_log(&self) -> String {
        let log = std::fs::read_to_string(self.dir.path().join("controllers.log")).unwrap();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// What kube-apiserver has complained of so far about the APIs of metrics.
    pub(crate) fn errors_of_the_aggregator(&self) -> Vec<String> {
        let log = std::fs::read_to_string(self.dir.path().join("apiserver.log")).unwrap();
        let errors =
            log.lines().filter(|line| line.starts_with('E') && line.contains("metrics.k8s.io"));
        errors.map(str::to_owned).collect()
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

/// The flags of an API server with RBAC and front proxies.
fn secured(dir: &Path, authorities: &Authorities<'_>) -> Vec<String> {
    let Authorities { front_proxy, users } = authorities;
    vec![
        "--authorization-mode=RBAC".to_owned(),
        file_flag(dir, "--client-ca-file", "users.pem", &users.pem),
        file_flag(dir, "--requestheader-client-ca-file", "front-proxy.pem", &front_proxy.pem),
        "--requestheader-allowed-names=front-proxy-client".to_owned(),
        "--requestheader-username-headers=X-Remote-User".to_owned(),
        "--requestheader-group-headers=X-Remote-Group".to_owned(),
        "--requestheader-extra-headers-prefix=X-Remote-Extra-".to_owned(),
    ]
}

fn file_flag(dir: &Path, flag: &str, name: &str, text: &str) -> String {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    format!("{flag}={}", path.display())
}

/// A key for service accounts, and the tokens of an administrator and of the controllers.
fn write_credentials(dir: &Path) {
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(dir.join("sa.key"), key.serialize_pem()).unwrap();
    std::fs::write(dir.join("sa.pub"), key.public_key_pem()).unwrap();
    let tokens = "lab,lab,lab,system:masters\n\
        controllers,system:kube-controller-manager,controllers\n";
    std::fs::write(dir.join("tokens.csv"), tokens).unwrap();
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

fn start_api(assets: &Path, dir: &Path, etcd_port: u16, port: u16, security: &[String]) -> Child {
    let file = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let mut command = Command::new(assets.join("kube-apiserver"));
    command
        .args(["--etcd-servers", &format!("http://127.0.0.1:{etcd_port}")])
        .args(["--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1"])
        .args(["--secure-port", &port.to_string(), "--cert-dir", &file("certs")])
        .args(["--token-auth-file", &file("tokens.csv")])
        .args(["--service-account-key-file", &file("sa.pub")])
        .args(["--service-account-signing-key-file", &file("sa.key")])
        .args(["--service-account-issuer", "https://kubernetes.default.svc"])
        .args(["--service-cluster-ip-range", "10.0.0.0/24", "--endpoint-reconciler-type", "none"])
        .args(["--disable-admission-plugins", "ServiceAccount"])
        // It reaches a Service by its EndpointSlice, without a kube-proxy.
        .arg("--enable-aggregator-routing=true")
        .args(security);
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
