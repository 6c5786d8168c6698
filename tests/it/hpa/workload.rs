//! What runs in the cluster of the test: the pods that Kubernetes' controllers make are marked
//! Ready, as a kubelet would, and share the load of their application evenly.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The namespace of the applications.
pub(crate) const NAMESPACE: &str = "shop";

/// How often the pods are looked at.
const PERIOD: Duration = Duration::from_millis(200);

/// The applications; they stop when this is dropped.
pub(crate) struct Workload {
    state: Arc<Mutex<State>>,
    /// Where their metrics are scraped.
    pub(crate) address: SocketAddr,
    _tasks: [AbortOnDropHandle<()>; 2],
}

struct State {
    started: Instant,
    /// Up to when requests have been counted.
    counted: Instant,
    /// Requests per second.
    loads: BTreeMap<String, f64>,
    /// Applications, and pods, without metrics.
    silent: BTreeSet<String>,
    /// The requests that each Ready pod has served, by application and name.
    served: BTreeMap<(String, String), f64>,
    /// The most pods that an application has had at once.
    most: BTreeMap<String, usize>,
}

impl Workload {
    pub(crate) async fn start(client: Client) -> Self {
        let state = Arc::new(Mutex::new(State {
            started: Instant::now(),
            counted: Instant::now(),
            loads: BTreeMap::new(),
            silent: BTreeSet::new(),
            served: BTreeMap::new(),
            most: BTreeMap::new(),
        }));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let pages = tokio::spawn(serve(listener, Arc::clone(&state)));
        let pods = tokio::spawn(follow_pods(client, Arc::clone(&state)));
        Self { state, address, _tasks: [pages, pods].map(AbortOnDropHandle::new) }
    }

    /// Gives an application so many requests per second.
    pub(crate) fn load(&self, app: &str, load: f64) {
        let mut state = self.state.lock().unwrap();
        state.serve_until(Instant::now());
        state.loads.insert(app.to_owned(), load);
    }

    /// Takes away the metrics of an application, or of a pod.
    pub(crate) fn silence(&self, app_or_pod: &str) {
        self.state.lock().unwrap().silent.insert(app_or_pod.to_owned());
    }

    /// Gives them back.
    pub(crate) fn unsilence(&self, app_or_pod: &str) {
        self.state.lock().unwrap().silent.remove(app_or_pod);
    }

    /// A Ready pod of an application.
    pub(crate) fn any_pod(&self, app: &str) -> String {
        let state = self.state.lock().unwrap();
        let (_, pod) = state.served.keys().find(|(of, _)| of == app).unwrap();
        pod.clone()
    }

    /// How many Ready pods an application has.
    pub(crate) fn pods(&self, app: &str) -> usize {
        self.state.lock().unwrap().pods(app)
    }

    /// The most Ready pods that it has had at once.
    pub(crate) fn most(&self, app: &str) -> usize {
        self.state.lock().unwrap().most[app]
    }
}

impl State {
    fn pods(&self, app: &str) -> usize {
        self.served.keys().filter(|(of, _)| of == app).count()
    }

    fn serve_until(&mut self, now: Instant) {
        let seconds = now.duration_since(self.counted).as_secs_f64();
        self.counted = now;
        for (app, load) in &self.loads {
            let pods = u32::try_from(self.pods(app)).unwrap();
            for (_, served) in self.served.iter_mut().filter(|((of, _), _)| of == app) {
                *served += load * seconds / f64::from(pods);
            }
        }
    }

    fn set_ready(&mut self, pods: BTreeSet<(String, String)>) {
        self.serve_until(Instant::now());
        self.served.retain(|pod, _| pods.contains(pod));
        for pod in pods {
            self.served.entry(pod).or_default();
        }
        for app in self.loads.keys() {
            let most = self.most.entry(app.clone()).or_default();
            *most = self.served.keys().filter(|(of, _)| of == app).count().max(*most);
        }
    }

    fn page(&self) -> String {
        let node = self.counted.duration_since(self.started).as_secs_f64() / 2.0;
        let labels = "id=\"/\",node=\"worker-0\"";
        let mut page = String::new();
        writeln!(page, "container_cpu_usage_seconds_total{{{labels}}} {node}").unwrap();
        writeln!(page, "container_memory_working_set_bytes{{{labels}}} 2147483648").unwrap();
        for ((app, pod), served) in &self.served {
            if self.silent.contains(app) || self.silent.contains(pod) {
                continue;
            }
            let labels = format!("namespace=\"{NAMESPACE}\",pod=\"{pod}\"");
            let cpu = served / 100.0;
            writeln!(page, "http_requests_total{{{labels},service=\"{app}\"}} {served}").unwrap();
            for bound in ["0.1", "+Inf"] {
                let name = "http_request_duration_seconds_bucket";
                writeln!(page, "{name}{{{labels},le=\"{bound}\"}} {served}").unwrap();
            }
            for (resource, request) in [("cpu", 0.2), ("memory", 134_217_728.0)] {
                let name = "kube_pod_container_resource_requests";
                let labels = format!("{labels},container=\"web\",resource=\"{resource}\"");
                writeln!(page, "{name}{{{labels}}} {request}").unwrap();
            }
            let labels = format!("{labels},container=\"web\"");
            writeln!(page, "container_cpu_usage_seconds_total{{{labels}}} {cpu}").unwrap();
            writeln!(page, "container_memory_working_set_bytes{{{labels}}} 33554432").unwrap();
        }
        for (app, load) in &self.loads {
            let labels = format!("namespace=\"{NAMESPACE}\",queue=\"{app}\"");
            writeln!(page, "queue_messages_ready{{{labels}}} {load}").unwrap();
            let labels = format!("namespace=\"{NAMESPACE}\",deployment=\"{app}\"");
            writeln!(page, "orders{{{labels}}} {load}").unwrap();
        }
        if let Some(load) = self.loads.get("by-namespace") {
            writeln!(page, "sales{{namespace=\"{NAMESPACE}\"}} {load}").unwrap();
        }
        page
    }
}

async fn follow_pods(client: Client, state: Arc<Mutex<State>>) {
    let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
    let mut last_ip = 0_u32;
    loop {
        let list = Request::get(&path).body(Vec::new()).unwrap();
        // The API server may be away for a while.
        if let Ok(list) = client.request::<Value>(list).await {
            let pods = list["items"].as_array().unwrap();
            let pods = pods.iter().filter(|pod| pod["metadata"]["deletionTimestamp"].is_null());
            let mut ready = BTreeSet::new();
            for pod in pods {
                let name = pod["metadata"]["name"].as_str().unwrap();
                if pod["status"]["phase"] == "Pending" {
                    last_ip += 1;
                    let ip = format!("10.1.{}.{}", last_ip / 250, last_ip % 250 + 1);
                    // It may be gone again.
                    client.request::<Value>(mark_ready(&path, name, &ip)).await.ok();
                } else {
                    let app = pod["metadata"]["labels"]["app"].as_str().unwrap();
                    ready.insert((app.to_owned(), name.to_owned()));
                }
            }
            state.lock().unwrap().set_ready(ready);
        }
        tokio::time::sleep(PERIOD).await;
    }
}

fn mark_ready(path: &str, pod: &str, ip: &str) -> Request<Vec<u8>> {
    let now = jiff::Timestamp::now().to_string();
    let status = json!({"status": {
        "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now,
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now}],
    }});
    Request::patch(format!("{path}/{pod}/status"))
        .header("content-type", "application/strategic-merge-patch+json")
        .body(status.to_string().into_bytes())
        .unwrap()
}

async fn serve(listener: TcpListener, state: Arc<Mutex<State>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        let service = service_fn(move |_: Request<Incoming>| {
            let mut state = state.lock().unwrap();
            state.serve_until(Instant::now());
            let page = Response::builder()
                .header("content-type", "text/plain; version=0.0.4")
                .body(Full::<Bytes>::from(state.page()))
                .unwrap();
            async move { Ok::<_, Infallible>(page) }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move { connection.await.ok() });
    }
}
