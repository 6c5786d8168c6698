//! prometheus-adapter, for comparison, where there is one: it needs its binary, and a cluster that
//! the pods are created in (namespace `bench`, deleted afterwards).

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use tokio::process::{Child, Command};

use crate::process;
use crate::serve::Server;

/// Lets the account that is used for the load read custom metrics in its namespace.
const ACCESS: &str = r"
apiVersion: v1
kind: List
items:
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: bench, namespace: bench}
  rules: [{apiGroups: [custom.metrics.k8s.io], resources: ['*'], verbs: [get]}]
- apiVersion: rbac.authorization.k8s.io/v1
  kind: RoleBinding
  metadata: {name: bench, namespace: bench}
  roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bench}
  subjects: [{kind: ServiceAccount, name: default, namespace: bench}]
";

pub(crate) struct Peer {
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl Peer {
    /// `PROMETHEUS_ADAPTER` and `KUBECONFIG`; none where the first is not set.
    pub(crate) fn from_env() -> Result<Option<Self>> {
        let Some(binary) = std::env::var_os("PROMETHEUS_ADAPTER") else {
            return Ok(None);
        };
        let kubeconfig = std::env::var_os("KUBECONFIG")
            .context("PROMETHEUS_ADAPTER needs a cluster: set KUBECONFIG too")?;
        Ok(Some(Self { binary: binary.into(), kubeconfig: kubeconfig.into() }))
    }

    /// Starts it as shipped, with the certificate of plimsoll in `dir`.
    pub(crate) async fn start(
        &self,
        dir: &Path,
        config: &Path,
        prometheus: SocketAddr,
    ) -> Result<Server> {
        let access = dir.join("access.yaml");
        std::fs::write(&access, ACCESS)?;
        for file in [dir.join("objects.yaml"), access] {
            let file = file.display().to_string();
            self.kubectl(&["apply", "--validate=false", "-f", &file]).await?;
        }
        let token = self.kubectl(&["create", "token", "default", "--namespace=bench"]).await?;

        let (child, address) =
            start(&self.binary, dir, config, prometheus, &self.kubeconfig).await?;
        Ok(Server { name: "prometheus-adapter", address, child, token: Some(token) })
    }

    /// Deletes what was created in the cluster.
    pub(crate) async fn clean_up(&self) -> Result<()> {
        self.kubectl(&["delete", "namespace", "bench", "--wait=false"]).await?;
        Ok(())
    }

    async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = Command::new("kubectl")
            .arg("--kubeconfig")
            .arg(&self.kubeconfig)
            .args(args)
            .kill_on_drop(true)
            .output()
            .await
            .context("cannot run kubectl")?;
        if !output.status.success() {
            bail!("kubectl {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}

/// Starts a prometheus-adapter with the certificate of plimsoll in `dir`.
pub(crate) async fn start(
    binary: &Path,
    dir: &Path,
    config: &Path,
    prometheus: SocketAddr,
    kubeconfig: &Path,
) -> Result<(Child, SocketAddr)> {
    // It takes port 0 for "do not serve".
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let kubeconfig = kubeconfig.display();
    let command = [
        binary.display().to_string(),
        format!("--config={}", config.display()),
        format!("--prometheus-url=http://{prometheus}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        format!("--tls-cert-file={}", dir.join("apiserver.crt").display()),
        format!("--tls-private-key-file={}", dir.join("apiserver.key").display()),
        format!("--lister-kubeconfig={kubeconfig}"),
        format!("--authentication-kubeconfig={kubeconfig}"),
        format!("--authorization-kubeconfig={kubeconfig}"),
        "--metrics-relist-interval=5s".to_owned(),
    ];
    let (child, ()) = process::start(&command, &dir.join("peer.log"), |line| {
        line.contains("Serving securely on").then_some(())
    })
    .await?;
    Ok((child, SocketAddr::from((Ipv4Addr::LOCALHOST, port))))
}
