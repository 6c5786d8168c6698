//! A whole control plane with Prometheus and our binary, registered as a person would do it.

use std::time::{Duration, Instant};

use super::replicas::{Replicas, Setup};
use super::workload::{NAMESPACE, Workload};
use crate::support::control_plane::{Authorities, ControlPlane, Ways};
use crate::support::kubectl::Kubectl;
use crate::support::pki::Authority;
use crate::support::plimsoll::Plimsoll;
use crate::support::real_prometheus::RealPrometheus;

/// What we ship, and metrics-server's part.
const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/hpa");

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// The groups and versions that are served.
pub(crate) const SERVED: [(&str, &str); 5] = [
    ("custom.metrics.k8s.io", "v1beta1"),
    ("custom.metrics.k8s.io", "v1beta2"),
    ("external.metrics.k8s.io", "v1beta1"),
    ("metrics.k8s.io", "v1beta1"),
    ("insight.plimsoll.dev", "v1alpha1"),
];

const TAKEN_UP: &str = "changed serving certificate taken up";

/// What `kubectl top nodes` is about.
const NODE: &str = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "worker-0"},
    "status": {"allocatable": {"cpu": "4", "memory": "8Gi"}}}"#;

/// The cluster and what runs in it. The fields end in this order.
pub(crate) struct World {
    pub(crate) workload: Workload,
    pub(crate) replicas: Replicas,
    pub(crate) prometheus: RealPrometheus,
    pub(crate) kubectl: Kubectl,
    pub(crate) plane: ControlPlane,
}

impl World {
    /// Starts it all with two replicas of ours and waits until the APIs are available; `None`, and
    /// a line that says so, where something is not installed.
    pub(crate) async fn start(test: &str, ways: Ways) -> Option<Self> {
        Self::start_with(test, ways, "").await
    }

    /// The same with an object in the namespace of ours that is there before we are.
    pub(crate) async fn start_with(test: &str, ways: Ways, before: &str) -> Option<Self> {
        let (front_proxy, users) = (Authority::new(), Authority::new());
        let authorities = Authorities { front_proxy: &front_proxy, users: &users };
        let plane = ControlPlane::start_whole(test, authorities, ways).await?;
        let kubectl = Kubectl::new(&plane.kubeconfig("lab"))?;
        let workload = Workload::start(plane.client().await).await;
        let prometheus = RealPrometheus::start_scraping(workload.address)?;
        kubectl.run(&format!("create --validate=false -k {MANIFESTS}")).await;
        kubectl.run(&format!("create namespace {NAMESPACE}")).await;
        kubectl.create(NODE).await;
        if !before.is_empty() {
            kubectl.create(before).await;
        }
        let token = kubectl.run("create token plimsoll -n plimsoll").await;
        let setup = Setup {
            kubeconfig: plane.kubeconfig(&token),
            prometheus: prometheus.url().to_string(),
        };
        let mut replicas = Replicas::start(setup, plane.client().await).await;
        if ways.routes_to_endpoints {
            replicas.follow_in_a_slice().await;
        } else {
            let port = replicas.follow_in_a_balancer().await;
            let service = serde_json::json!({"spec": {"service": {"port": port}}});
            for (group, version) in SERVED {
                let name = format!("apiservice/{version}.{group}");
                kubectl.run(&format!("patch {name} -p {service}")).await;
            }
        }
        let world = Self { workload, replicas, prometheus, kubectl, plane };
        let ready = Instant::now();
        world.until_available().await;
        assert!(ready.elapsed() < Duration::from_secs(30), "case 135: {:?}", ready.elapsed());
        Some(world)
    }

    /// Takes the certificate away, so that there has to be another, and waits until all replicas
    /// have taken it up.
    pub(crate) async fn rotate(&self) {
        let taken_up = |replica: &Plimsoll| {
            let log = replica.log();
            log.iter().filter(|line| line["message"] == TAKEN_UP).count()
        };
        let before: Vec<_> = self.replicas.running().iter().map(taken_up).collect();
        let remove = r#"[{"op":"remove","path":"/data/tls.crt"}]"#;
        let secret = "secret/plimsoll-certificates -n plimsoll";
        self.kubectl.run(&format!("patch {secret} --type=json -p {remove}")).await;
        self.until("the certificate is taken up", async || {
            let replicas = self.replicas.running().iter().zip(&before);
            replicas.clone().all(|(replica, before)| taken_up(replica) > *before)
        })
        .await;
    }

    pub(crate) async fn until_available(&self) {
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
