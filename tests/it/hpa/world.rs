//! A whole control plane with Prometheus and our binary, registered as a person would do it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::workload::{NAMESPACE, Workload};
use crate::support::control_plane::{Authorities, ControlPlane};
use crate::support::kubectl::Kubectl;
use crate::support::pki::{Authority, Pair};
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::real_prometheus::RealPrometheus;

const CONFIG: &str = include_str!("../../data/hpa/config.yaml");
const RBAC: &str = include_str!("../../data/hpa/rbac.yaml");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The groups and versions that are served.
pub(crate) const SERVED: [(&str, &str); 4] = [
    ("custom.metrics.k8s.io", "v1beta1"),
    ("custom.metrics.k8s.io", "v1beta2"),
    ("external.metrics.k8s.io", "v1beta1"),
    ("metrics.k8s.io", "v1beta1"),
];

/// The cluster and what runs in it. The fields end in this order.
pub(crate) struct World {
    pub(crate) workload: Workload,
    pub(crate) plimsoll: Plimsoll,
    pub(crate) prometheus: RealPrometheus,
    pub(crate) kubectl: Kubectl,
    pub(crate) plane: ControlPlane,
    authority: Authority,
    token: String,
}

impl World {
    /// Starts it all and waits until the APIs are available; `None`, and a line that says so,
    /// where something is not installed.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        let (front_proxy, users) = (Authority::new(), Authority::new());
        let authorities = Authorities { front_proxy: &front_proxy, users: &users };
        let plane = ControlPlane::start_whole(test, authorities).await?;
        let kubectl = Kubectl::new(&plane.kubeconfig("lab"))?;
        let workload = Workload::start(plane.client().await).await;
        let prometheus = RealPrometheus::start_scraping(workload.address)?;
        kubectl.create(RBAC).await;
        kubectl.run(&format!("create namespace {NAMESPACE}")).await;
        let token = kubectl.run("create token plimsoll -n plimsoll").await;
        let authority = Authority::new();
        let plimsoll = start_plimsoll(&plane.kubeconfig(&token), &prometheus, &authority, 0).await;
        let world = Self { workload, plimsoll, prometheus, kubectl, plane, authority, token };
        world
            .kubectl
            .create(&registration(world.plimsoll.secure, &world.authority).to_string())
            .await;
        world.until_available().await;
        Some(world)
    }

    /// Kills our process and starts it again at the same address.
    pub(crate) async fn crash(&mut self) {
        let port = self.plimsoll.secure.port();
        self.plimsoll.kill();
        let kubeconfig = self.plane.kubeconfig(&self.token);
        self.plimsoll = start_plimsoll(&kubeconfig, &self.prometheus, &self.authority, port).await;
    }

    /// Gives our process another certificate and waits until it has taken it.
    pub(crate) async fn rotate_certificate(&mut self) {
        let pair = certificate(&self.authority);
        self.plimsoll.replace("apiserver.crt", &pair.cert);
        self.plimsoll.replace("apiserver.key", &pair.key);
        self.until("the certificate is taken up", async || {
            let log = self.plimsoll.log();
            log.iter().any(|line| line["message"] == "changed serving certificate taken up")
        })
        .await;
    }

    async fn until_available(&self) {
        for (group, version) in SERVED {
            let name = format!("apiservice/{version}.{group}");
            self.kubectl.run(&format!("wait --for=condition=Available --timeout=50s {name}")).await;
        }
    }

    /// Asks again and again until something holds, and says how long it took. Tells the state of
    /// the HPAs where it does not come true.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) -> Duration {
        let start = Instant::now();
        while !holds().await {
            if start.elapsed() > PATIENCE {
                let hpas = self.kubectl.run(&format!("describe hpa -n {NAMESPACE}")).await;
                let log = self.plane.controllers_log();
                panic!("in {PATIENCE:?} it did not come true that {what}\n{hpas}\n{log}");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        println!("{:5.1} s until {what}", start.elapsed().as_secs_f64());
        start.elapsed()
    }
}

async fn start_plimsoll(
    kubeconfig: &str,
    prometheus: &RealPrometheus,
    authority: &Authority,
    port: u16,
) -> Plimsoll {
    let port = format!("--secure-port={port}");
    let pair = certificate(authority);
    Plimsoll::start(Start {
        config: CONFIG,
        prometheus: prometheus.url().as_str(),
        kubeconfig,
        files: &[("apiserver.crt", &pair.cert), ("apiserver.key", &pair.key)],
        flags: &[
            &port,
            "--tls-cert-file={dir}/apiserver.crt",
            "--tls-private-key-file={dir}/apiserver.key",
            "--metrics-relist-interval=2s",
            "--metrics-max-age=1m",
            "--refresh-interval=1s",
            "--authorization-webhook-cache-unauthorized-ttl=100ms",
        ],
        ..Start::default()
    })
    .await
}

/// A serving certificate with its chain.
fn certificate(authority: &Authority) -> Pair {
    let pair = authority.issue_for(&["plimsoll.plimsoll.svc", "127.0.0.1"]);
    Pair { cert: pair.cert + &authority.pem, key: pair.key }
}

/// A Service that leads to a process on loopback, and the `APIServices` that lead to it. An
/// `EndpointSlice` of IPv4 addresses refuses loopback, one of names does not.
fn registration(address: SocketAddr, authority: &Authority) -> Value {
    let metadata = json!({"name": "plimsoll", "namespace": "plimsoll"});
    let port = json!({"name": "https", "port": 443, "targetPort": address.port()});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": metadata,
        "spec": {"ports": [port]}});
    let labels = json!({"kubernetes.io/service-name": "plimsoll"});
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "plimsoll-loopback", "namespace": "plimsoll", "labels": labels},
        "addressType": "FQDN", "ports": [{"name": "https", "port": address.port()}],
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
    });
    let ca_bundle = ByteString(authority.pem.clone().into_bytes());
    let api_services = SERVED.map(|(group, version)| {
        let version_priority = if version == "v1beta2" { 200 } else { 100 };
        json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
            "metadata": {"name": format!("{version}.{group}")},
            "spec": {
                "group": group, "version": version, "caBundle": ca_bundle,
                "groupPriorityMinimum": 100, "versionPriority": version_priority,
                "service": {"name": "plimsoll", "namespace": "plimsoll", "port": 443},
            },
        })
    });
    let items: Vec<_> = [service, slice].into_iter().chain(api_services).collect();
    json!({"apiVersion": "v1", "kind": "List", "items": items})
}
