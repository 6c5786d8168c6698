//! `metrics.k8s.io` of the binary with a real Prometheus, asked for by kubectl.

use std::convert::Infallible;
use std::process::Command;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::support::client::Client;
use crate::support::installed::is_installed;
use crate::support::plimsoll::{Plimsoll, Start};
use crate::support::real_prometheus::RealPrometheus;

const CONFIG: &str = include_str!("../data/config/stock.yaml");
const METRICS: &str = "/apis/metrics.k8s.io/v1beta1";

const OBJECTS: &str = "
{apiVersion: v1, kind: List, items: [
  {apiVersion: v1, kind: Node, metadata: {name: n1, labels: {zone: a}}},
  {apiVersion: v1, kind: Node, metadata: {name: n2, labels: {zone: b}}},
  {apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: shop, labels: {app: web}}},
  {apiVersion: v1, kind: Pod, metadata: {name: web-1, namespace: shop, labels: {app: web}}},
  {apiVersion: v1, kind: Pod, metadata: {name: idle-0, namespace: shop, labels: {app: idle}}},
  {apiVersion: v1, kind: Pod, metadata: {name: web-0, namespace: bank, labels: {app: web}}}]}
";

/// Cores and MiB of each container, and of each node. Half a thousandth more than is shown, so that
/// errors of floating-point numbers are cut off.
const CONTAINERS: [(&str, &str, &str, f64, u64); 4] = [
    ("shop", "web-0", "main", 0.2505, 64),
    ("shop", "web-0", "side", 0.0505, 16),
    ("shop", "web-1", "main", 0.5005, 32),
    ("bank", "web-0", "main", 1.5005, 128),
];
const NODES: [(&str, f64, u64); 2] = [("n1", 2.0005, 2048), ("n2", 0.5005, 1024)];

/// A sample each 15 s, from ten minutes ago until two minutes from now.
fn data() -> String {
    let now = Timestamp::now().as_second();
    let times = || (0..48_u32).map(|n| 15 * n).map(|age| (now - 600 + i64::from(age), age));
    let containers = CONTAINERS.map(|(namespace, pod, container, cores, mebibytes)| {
        let labels =
            format!("namespace=\"{namespace}\",pod=\"{pod}\",container=\"{container}\",id=\"/x\"");
        (labels, cores, mebibytes)
    });
    let nodes = NODES.map(|(node, cores, mebibytes)| {
        (format!("instance=\"{node}\",id=\"/\""), cores, mebibytes)
    });
    let (mut cpu, mut memory) = (Vec::new(), Vec::new());
    for (labels, cores, mebibytes) in containers.iter().chain(&nodes) {
        for (time, age) in times() {
            let (seconds, bytes) = (cores * f64::from(age), mebibytes << 20);
            cpu.push(format!("container_cpu_usage_seconds_total{{{labels}}} {seconds} {time}\n"));
            memory.push(format!("container_memory_working_set_bytes{{{labels}}} {bytes} {time}\n"));
        }
    }
    let (cpu, memory) = (cpu.concat(), memory.concat());
    format!(
        "# TYPE container_cpu_usage_seconds counter\n{cpu}\
         # TYPE container_memory_working_set_bytes gauge\n{memory}# EOF\n"
    )
}

/// The metrics API beside the list of nodes, as `kubectl top nodes` finds them in a cluster.
async fn cluster(client: Client) -> (String, AbortOnDropHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let accept = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let client = client.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let client = client.clone();
                async move { Ok::<_, Infallible>(answer(&client, &request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { connection.await.ok() });
        }
    });
    (url, AbortOnDropHandle::new(accept))
}

async fn answer(client: &Client, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let target = request.uri().path_and_query().unwrap().as_str();
    let (status, content_type, body) = if request.uri().path() == "/api/v1/nodes" {
        let node = |(name, ..): (&str, f64, u64)| {
            json!({"metadata": {"name": name},
                   "status": {"allocatable": {"cpu": "4", "memory": "4Gi"}}})
        };
        let list = json!({"kind": "NodeList", "apiVersion": "v1", "items": NODES.map(node)});
        (200, "application/json".to_owned(), Bytes::from(list.to_string()))
    } else {
        let accept = request.headers()["accept"].to_str().unwrap();
        let answer = client.get_with(target, &[("accept", accept)]).await;
        (answer.status, answer.header("content-type").to_owned(), answer.body)
    };
    let response = Response::builder().status(status).header("content-type", content_type);
    response.body(Full::new(body)).unwrap()
}

/// What kubectl prints, words separated by single spaces.
async fn kubectl(server: &str, arguments: &str) -> Vec<String> {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new("kubectl");
    command
        .args(["--server", server, "--token", "any"])
        .args(arguments.split(' '))
        .env("HOME", home.path())
        .env("KUBECONFIG", "/dev/null");
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl {arguments}: {error}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

async fn start(prometheus: &RealPrometheus, config: &str) -> Plimsoll {
    let url = prometheus.url().to_string();
    let flags = &["--config-poll-interval=50ms"];
    Plimsoll::start(Start { config, objects: OBJECTS, prometheus: &url, flags, ..Start::default() })
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_top_shows_nodes_and_pods() {
    if !is_installed("kubectl", &["options"]) {
        return;
    }
    let Some(prometheus) = RealPrometheus::start(&data()) else {
        return;
    };
    let plimsoll = start(&prometheus, CONFIG).await;
    let (server, _proxy) = cluster(plimsoll.client()).await;
    assert_eq!(
        kubectl(&server, "top nodes").await,
        [
            "NAME CPU(cores) CPU(%) MEMORY(bytes) MEMORY(%)",
            "n1 2000m 50% 2048Mi 50%",
            "n2 500m 12% 1024Mi 25%",
        ]
    );
    assert_eq!(
        kubectl(&server, "top pods -n shop --containers").await,
        [
            "POD NAME CPU(cores) MEMORY(bytes)",
            "web-0 main 250m 64Mi",
            "web-0 side 50m 16Mi",
            "web-1 main 500m 32Mi",
        ]
    );
    assert_eq!(
        kubectl(&server, "top pods -A --sort-by=cpu -l app=web").await,
        [
            "NAMESPACE NAME CPU(cores) MEMORY(bytes)",
            "bank web-0 1500m 128Mi",
            "shop web-1 500m 32Mi",
            "shop web-0 300m 80Mi",
        ]
    );
    assert_eq!(kubectl(&server, "top pod web-1 -n shop --no-headers").await, ["web-1 500m 32Mi"]);
    assert_eq!(
        kubectl(&server, "get nodes.metrics.k8s.io -l zone=b").await,
        ["NAME CPU MEMORY WINDOW", "n2 500m 1Gi 5m0s"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_usage_is_told_apart_from_what_does_not_exist() {
    let Some(prometheus) = RealPrometheus::start(&data()) else {
        return;
    };
    let plimsoll = start(&prometheus, CONFIG).await;
    let client = plimsoll.client();
    let message = async |path: &str| {
        let answer = client.get(&format!("{METRICS}{path}")).await;
        assert_eq!(answer.status, 404, "{}", answer.text());
        answer.message()
    };
    assert_eq!(message("/namespaces/shop/pods/nope").await, "pods \"nope\" not found");
    assert_eq!(message("/nodes/n9").await, "nodes \"n9\" not found");
    assert_eq!(
        message("/namespaces/shop/pods/idle-0").await,
        "pods.metrics.k8s.io \"idle-0\" not found: resourceRules find no samples of both cpu and \
         memory for it"
    );
    let names = async |path: &str| -> Vec<Value> {
        let list = client.get(&format!("{METRICS}{path}")).await.json();
        list["items"].as_array().unwrap().iter().map(|it| it["metadata"]["name"].clone()).collect()
    };
    assert_eq!(names("/namespaces/empty/pods").await, [json!(null); 0]);
    assert_eq!(names("/pods?fieldSelector=metadata.namespace%3Dbank").await, ["web-0"]);
    assert_eq!(
        names("/namespaces/shop/pods?fieldSelector=metadata.name!%3Dweb-0").await,
        ["web-1"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_comes_and_goes_with_its_rules() {
    let Some(prometheus) = RealPrometheus::start(&data()) else {
        return;
    };
    let (rules, _) = CONFIG.split_once("resourceRules:").unwrap();
    let plimsoll = start(&prometheus, rules).await;
    let client = plimsoll.client();
    let paths = [
        "/apis/metrics.k8s.io".to_owned(),
        METRICS.to_owned(),
        format!("{METRICS}/nodes"),
        format!("/openapi/v3{METRICS}"),
    ];
    let statuses = async || {
        let mut statuses = Vec::new();
        for path in &paths {
            statuses.push(client.get(path).await.status);
        }
        statuses
    };
    assert_eq!(statuses().await, [404, 404, 404, 404]);
    plimsoll.replace("config.yaml", CONFIG);
    crate::support::plimsoll::wait_until("the group is served", async || {
        statuses().await == [200, 200, 200, 200]
    })
    .await;
    let resources = client.get(METRICS).await.json()["resources"].clone();
    assert_eq!(
        resources,
        json!([
            {"name": "nodes", "singularName": "", "namespaced": false, "kind": "NodeMetrics", "verbs": ["get", "list"]},
            {"name": "pods", "singularName": "", "namespaced": true, "kind": "PodMetrics", "verbs": ["get", "list"]},
        ])
    );
    plimsoll.replace("config.yaml", rules);
    crate::support::plimsoll::wait_until("the group is gone", async || {
        statuses().await == [404, 404, 404, 404]
    })
    .await;
}
