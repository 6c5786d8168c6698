//! The demo's workloads: two deployments of pods whose traffic comes in waves of a minute, and a
//! queue that fills at the crest and drains in the trough. Each pod has a page of its own, as if it
//! were a pod: `/NAMESPACE/POD`.
//!
//! Load rises and falls by seven tenths; latency and errors follow it, as they do in life. Nothing
//! is random, so two runs look the same.

use std::collections::HashMap;
use std::f64::consts::TAU;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use http_body_util::Full;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use tokio::time::{Instant, interval};

use crate::http as server;

/// The period of the wave.
const WAVE: f64 = 60.0;
const TICK: Duration = Duration::from_millis(100);
const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// A deployment with a service of the same name in front of its pods.
pub(crate) struct Workload {
    pub(crate) namespace: &'static str,
    /// The name of the deployment, of the service and of the label `app`.
    pub(crate) name: &'static str,
    pub(crate) pods: &'static [&'static str],
    /// Requests per second and pod, averaged over the wave.
    rate: f64,
    /// Seconds a request takes, at average load.
    latency: f64,
    /// Where in the wave it begins.
    phase: f64,
}

/// What there is to scale.
pub(crate) const WORKLOADS: [Workload; 2] = [
    Workload {
        namespace: "shop",
        name: "checkout",
        pods: &[
            "checkout-6d5f9c7b64-2xk9w",
            "checkout-6d5f9c7b64-5hqtz",
            "checkout-6d5f9c7b64-8vmrd",
            "checkout-6d5f9c7b64-c4j7p",
            "checkout-6d5f9c7b64-fzn2s",
            "checkout-6d5f9c7b64-lw6gb",
            "checkout-6d5f9c7b64-qt9x4",
            "checkout-6d5f9c7b64-zd5kh",
        ],
        rate: 42.0,
        latency: 0.080,
        phase: 0.0,
    },
    Workload {
        namespace: "payments",
        name: "ledger",
        pods: &[
            "ledger-7c8d6b5f49-4bwqn",
            "ledger-7c8d6b5f49-h7m2t",
            "ledger-7c8d6b5f49-pxr8c",
            "ledger-7c8d6b5f49-v6s5j",
        ],
        rate: 18.0,
        latency: 0.150,
        phase: 0.35,
    },
];

/// The queue behind checkout, which no pod owns.
pub(crate) const QUEUE: &str = "orders";

/// Starts the pods and their traffic; returns where their pages are.
pub(crate) async fn run() -> Result<SocketAddr> {
    let mut queue = Queue::new();
    let mut pods: Vec<Pod> =
        WORKLOADS.iter().flat_map(|w| (0..w.pods.len()).map(|index| Pod::new(w, index))).collect();

    let mut pages: HashMap<String, Arc<Registry>> =
        pods.iter().map(|pod| (pod.path.clone(), Arc::clone(&pod.registry))).collect();
    pages.insert(format!("/shop/{QUEUE}"), Arc::clone(&queue.registry));
    let address = server::serve(move |request| page(&pages, request.uri().path())).await?;

    tokio::spawn(async move {
        let (start, mut ticks) = (Instant::now(), interval(TICK));
        loop {
            ticks.tick().await;
            let now = start.elapsed().as_secs_f64();
            let ordered = pods.iter_mut().filter(|pod| pod.workload.name == "checkout");
            let ordered: f64 = ordered.map(|pod| pod.tick(now)).sum();
            queue.tick(ordered);
            for pod in pods.iter_mut().filter(|pod| pod.workload.name != "checkout") {
                pod.tick(now);
            }
        }
    });
    Ok(address)
}

fn page(pages: &HashMap<String, Arc<Registry>>, path: &str) -> Response<Full<Bytes>> {
    let mut body = String::new();
    let status = match pages.get(path).map(|registry| text::encode(&mut body, registry)) {
        Some(Ok(())) => StatusCode::OK,
        Some(Err(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        None => StatusCode::NOT_FOUND,
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static(
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    );
    response
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Code {
    code: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueName {
    queue: &'static str,
}

struct Pod {
    workload: &'static Workload,
    path: String,
    registry: Arc<Registry>,
    succeeded: Counter,
    failed: Counter,
    seconds: Histogram,
    in_flight: Gauge<f64, AtomicU64>,
    /// Its part of the traffic: no balancer is perfect.
    share: f64,
    /// Requests and failures that are not whole yet.
    due: (f64, f64),
    /// How many requests there were; the place in the sequence that latencies are drawn from.
    drawn: u32,
}

impl Pod {
    fn new(workload: &'static Workload, index: usize) -> Self {
        let name = workload.pods.get(index).copied().unwrap_or_default();
        let spread = f64::from(u8::try_from(index * 5 % 7).unwrap_or_default()) / 6.0;
        let requests = Family::<Code, Counter>::default();
        let seconds = Histogram::new(BUCKETS);
        let in_flight = Gauge::<f64, AtomicU64>::default();
        let mut registry = Registry::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        registry.register("http_request_duration_seconds", "Latency", seconds.clone());
        registry.register("http_requests_in_flight", "Requests being served", in_flight.clone());
        Self {
            workload,
            path: format!("/{}/{name}", workload.namespace),
            registry: Arc::new(registry),
            succeeded: requests.get_or_create_owned(&Code { code: 200 }),
            failed: requests.get_or_create_owned(&Code { code: 500 }),
            seconds,
            in_flight,
            share: 0.9 + 0.2 * spread,
            due: (0.0, 0.0),
            drawn: 0,
        }
    }

    /// Serves the requests of one tick; returns how many they were, fractions included.
    fn tick(&mut self, now: f64) -> f64 {
        let load = 1.0 + 0.7 * (TAU * (now / WAVE + self.workload.phase)).sin();
        let latency = self.workload.latency * (0.5 + 0.5 * load * load);
        let errors = 0.004 + 0.03 * (load - 1.0).max(0.0);
        let rate = self.workload.rate * self.share * load;
        let arrived = rate * TICK.as_secs_f64();

        self.in_flight.set((rate * latency * 10.0).round() / 10.0);
        self.due.0 += arrived;
        while self.due.0 >= 1.0 {
            self.due.0 -= 1.0;
            self.due.1 += errors;
            self.drawn += 1;
            self.seconds.observe(-latency * (1.0 - evenly_spread(self.drawn)).ln());
            if self.due.1 >= 1.0 {
                self.due.1 -= 1.0;
                self.failed.inc();
            } else {
                self.succeeded.inc();
            }
        }
        arrived
    }
}

struct Queue {
    registry: Arc<Registry>,
    ready: Gauge<f64, AtomicU64>,
    depth: f64,
}

impl Queue {
    fn new() -> Self {
        let ready = Family::<QueueName, Gauge<f64, AtomicU64>>::default();
        let mut registry = Registry::default();
        registry.register("queue_messages_ready", "Messages nobody has taken yet", ready.clone());
        Self {
            registry: Arc::new(registry),
            ready: ready.get_or_create_owned(&QueueName { queue: QUEUE }),
            depth: 120.0,
        }
    }

    /// One request in ten is an order; the workers behind the queue keep just ahead of the average.
    fn tick(&mut self, requests: f64) {
        let [checkout, _] = &WORKLOADS;
        let pods = checkout.pods.iter().map(|_| 1.0).sum::<f64>();
        let average = checkout.rate * pods * TICK.as_secs_f64();
        self.depth += (requests - 1.05 * average) / 10.0;
        self.depth = self.depth.max(0.0);
        self.ready.set(self.depth.round());
    }
}

/// The golden-ratio sequence: numbers in 0..1 that fill the interval without clumps.
fn evenly_spread(index: u32) -> f64 {
    (f64::from(index) * 0.618_033_988_749_895).fract()
}
