//! The replicas of ours, side by side as a Deployment has them, and what leads to those that are
//! ready: an `EndpointSlice`, as Kubernetes' controller writes it, or a balancer of connections in the
//! place of kube-proxy.
//!
//! Each replica is at an address of loopback of its own, and all at the same port, which the
//! endpoints of a slice share.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use kube::Client;
use serde_json::{Value, json};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use crate::support::plimsoll::{Plimsoll, Start, wait_until};

const CONFIG: &str = include_str!("../../data/hpa/config.yaml");

/// How often the replicas are asked whether they are ready. The kubelet asks each 5 s, and the
/// delay of a shutdown is 15 s there.
const PERIOD: Duration = Duration::from_millis(300);

const SERVICES: &str = "/api/v1/namespaces/plimsoll/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/plimsoll/endpointslices";
const SLICE: &str = "plimsoll-loopback";

const SHUTDOWN_DELAY: &str = "--shutdown-delay=2s";

/// What each replica is started with.
pub(crate) struct Setup {
    pub(crate) kubeconfig: String,
    pub(crate) prometheus: String,
}

/// The replicas; they end when this is dropped.
pub(crate) struct Replicas {
    setup: Setup,
    running: Vec<Plimsoll>,
    /// How many there have been so far.
    started: u8,
    port: u16,
    /// Where each replica serves and where it says whether it is ready.
    places: Arc<Mutex<Vec<Place>>>,
    client: Client,
    /// How many the balancer has led to a replica.
    connections: Arc<AtomicUsize>,
    tasks: Vec<AbortOnDropHandle<()>>,
}

/// Who leads to the replicas.
enum Front {
    Slice(Client),
    Balancer(Arc<Mutex<Vec<Place>>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    secure: SocketAddr,
    admin: SocketAddr,
}

impl Replicas {
    /// Starts two.
    pub(crate) async fn start(setup: Setup, client: Client) -> Self {
        let mut replicas = Self {
            setup,
            running: Vec::new(),
            started: 0,
            port: 0,
            places: Arc::default(),
            client,
            connections: Arc::default(),
            tasks: Vec::new(),
        };
        replicas.add().await;
        replicas.add().await;
        replicas
    }

    /// Starts one more and waits until it is ready.
    pub(crate) async fn add(&mut self) {
        self.started += 1;
        let address = format!("--bind-address={}", Ipv4Addr::new(127, 0, 0, self.started));
        let port = format!("--secure-port={}", self.port);
        let replica = Plimsoll::start_unready(&Start {
            config: CONFIG,
            prometheus: &self.setup.prometheus,
            kubeconfig: &self.setup.kubeconfig,
            flags: &[
                &address,
                &port,
                SHUTDOWN_DELAY,
                "--certificate-secret=plimsoll/plimsoll-certificates",
                "--metrics-relist-interval=2s",
                "--metrics-max-age=1m",
                "--refresh-interval=1s",
                "--authorization-webhook-cache-unauthorized-ttl=100ms",
            ],
            ..Start::default()
        });
        self.port = replica.secure.port();
        let place = Place { secure: replica.secure, admin: replica.admin };
        wait_until("the replica is ready", async || is_ready(place.admin).await).await;
        self.running.push(replica);
        self.places.lock().unwrap().push(place);
    }

    /// Those that run, the oldest first.
    pub(crate) fn running(&self) -> &[Plimsoll] {
        &self.running
    }

    /// Ends the oldest as Kubernetes does, and waits for its end.
    pub(crate) async fn terminate_oldest(&mut self) {
        let mut oldest = self.running.remove(0);
        oldest.terminate();
        assert!(oldest.end().await.success(), "{:?}", oldest.log());
        self.forget(&oldest);
    }

    /// Kills the oldest.
    pub(crate) fn kill_oldest(&mut self) {
        let mut oldest = self.running.remove(0);
        oldest.kill();
        self.forget(&oldest);
    }

    fn forget(&self, replica: &Plimsoll) {
        self.places.lock().unwrap().retain(|place| place.secure != replica.secure);
    }

    /// Keeps a Service with an `EndpointSlice` of the ready ones. A slice of IPv4 addresses refuses
    /// loopback, one of names does not.
    pub(crate) async fn follow_in_a_slice(&mut self) {
        let ports = json!([{"name": "https", "port": 443, "targetPort": self.port}]);
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "plimsoll"}, "spec": {"ports": ports}});
        post(&self.client, SERVICES, &service).await;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": SLICE, "labels": {"kubernetes.io/service-name": "plimsoll"}},
            "addressType": "FQDN", "ports": [{"name": "https", "port": self.port}],
            "endpoints": endpoints(&self.places.lock().unwrap()),
        });
        post(&self.client, SLICES, &slice).await;
        self.follow_in(Front::Slice(self.client.clone()));
    }

    /// Makes the Service lead to a balancer, whose port it gives.
    pub(crate) async fn follow_in_a_balancer(&mut self) -> u16 {
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "plimsoll"},
            "spec": {"type": "ExternalName", "externalName": "127.0.0.1"}});
        post(&self.client, SERVICES, &service).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let ready = Arc::<Mutex<Vec<Place>>>::default();
        self.spawn(balance(listener, Arc::clone(&ready), Arc::clone(&self.connections)));
        self.follow_in(Front::Balancer(ready));
        port
    }

    /// How many connections have been opened through the balancer.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    fn follow_in(&mut self, front: Front) {
        let places = Arc::clone(&self.places);
        self.spawn(follow(places, front));
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(AbortOnDropHandle::new(tokio::spawn(task)));
    }
}

/// Tells whoever leads to the replicas when others are ready than before.
async fn follow(places: Arc<Mutex<Vec<Place>>>, front: Front) {
    let mut told = None;
    loop {
        let known = places.lock().unwrap().clone();
        let mut ready = Vec::new();
        for place in known {
            if is_ready(place.admin).await {
                ready.push(place);
            }
        }
        if told.as_ref() != Some(&ready) && front.tell(&ready).await {
            told = Some(ready);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

impl Front {
    /// Whether it has understood.
    async fn tell(&self, ready: &[Place]) -> bool {
        match self {
            Self::Slice(client) => {
                let change = json!({"endpoints": endpoints(ready)});
                let request = Request::patch(format!("{SLICES}/{SLICE}"))
                    .header("content-type", "application/merge-patch+json")
                    .body(change.to_string().into_bytes())
                    .unwrap();
                client.request::<Value>(request).await.is_ok()
            }
            Self::Balancer(chosen_from) => {
                *chosen_from.lock().unwrap() = ready.to_vec();
                true
            }
        }
    }
}

fn endpoints(ready: &[Place]) -> Value {
    let endpoint =
        |place: &Place| json!({"addresses": [place.secure.ip()], "conditions": {"ready": true}});
    ready.iter().map(endpoint).collect()
}

/// Leads each connection to the next of those that are ready; connections stay where they are.
async fn balance(
    listener: TcpListener,
    chosen_from: Arc<Mutex<Vec<Place>>>,
    connections: Arc<AtomicUsize>,
) {
    let mut turn = 0;
    loop {
        let (mut client, _) = listener.accept().await.unwrap();
        turn += 1;
        let chosen = {
            let places = chosen_from.lock().unwrap();
            places.get(turn % places.len().max(1)).copied()
        };
        // Without an endpoint the connection is closed, as kube-proxy refuses it.
        if let Some(Place { secure, .. }) = chosen {
            connections.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(secure).await {
                    copy_bidirectional(&mut client, &mut server).await.ok();
                }
            });
        }
    }
}

/// What the kubelet asks.
async fn is_ready(admin: SocketAddr) -> bool {
    let answer = reqwest::get(format!("http://{admin}/readyz")).await;
    answer.is_ok_and(|answer| answer.status().is_success())
}

async fn post(client: &Client, path: &str, object: &Value) {
    let request = Request::post(path).body(object.to_string().into_bytes()).unwrap();
    client.request::<Value>(request).await.unwrap();
}
