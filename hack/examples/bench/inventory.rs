//! `hack/bench inventory`: the names, labels and controllers of a large cluster's pods in memory.
//!
//! The API server is this program; the one that follows the pods is a process of its own, and uses
//! the library as `plimsoll serve` does. Pods carry what real ones do, managed fields as well.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use plimsoll::cluster::client::{self, Settings};
use plimsoll::cluster::watch::WatchInventory;
use plimsoll::engine::ports::Inventory as _;
use plimsoll::model::object::GroupResource;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::http as server;
use crate::serve::memory;

/// How long the list may take.
const DEADLINE: Duration = Duration::from_mins(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many pods there are.
    #[arg(long, default_value_t = 100_000)]
    pods: usize,
    /// How many labels each of them has.
    #[arg(long, default_value_t = 8)]
    labels: usize,
    /// How many pods of a workload have the same labels.
    #[arg(long, default_value_t = 20)]
    replicas: usize,
}

#[derive(clap::Args)]
pub(crate) struct FollowArgs {
    kubeconfig: PathBuf,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let &Args { pods, labels, replicas } = args;
    let address = server::serve(move |request| answer(&request, pods, labels, replicas)).await?;
    let directory = tempfile::tempdir()?;
    let kubeconfig = directory.path().join("kubeconfig");
    let text = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": format!("http://{address}")}}],
        "users": [{"name": "bench", "user": {}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
    });
    std::fs::write(&kubeconfig, text.to_string())?;
    let mut follower = Command::new(std::env::current_exe()?);
    follower.arg("follow").arg(&kubeconfig).kill_on_drop(true);
    println!("{pods} pods with {labels} labels, {replicas} of them with the same");
    if !follower.status().await?.success() {
        bail!("the pods were not followed");
    }
    Ok(())
}

/// The process that is measured.
pub(crate) async fn follow(args: &FollowArgs) -> Result<()> {
    let settings = Settings { kubeconfig: Some(args.kubeconfig.clone()) };
    let inventory = WatchInventory::start(client::connect(&settings).await?).await?;
    let kinds = inventory.kinds();
    let pods = kinds.resolve(&GroupResource::parse("pods")).context("there are no pods")?;
    let own = |field| memory(std::process::id(), field);
    let before = own("VmRSS")?;
    let start = Instant::now();
    let objects = loop {
        match inventory.objects(pods).await {
            Ok(objects) => break objects.context("there is no inventory")?.len(),
            Err(error) if start.elapsed() > DEADLINE => return Err(error.into()),
            Err(_) => {}
        }
    };
    let (seconds, after, peak) = (start.elapsed().as_secs_f64(), own("VmRSS")?, own("VmHWM")?);
    println!("{objects} listed in {seconds:.1} s");
    println!(
        "memory {before:.1} MiB before, {after:.1} MiB after, {peak:.1} MiB at its peak (aim: less \
         than 120 MiB)"
    );
    Ok(())
}

type Answer = Response<BoxBody<Bytes, Infallible>>;

fn answer(request: &Request<Incoming>, pods: usize, labels: usize, replicas: usize) -> Answer {
    let query = request.uri().query().unwrap_or_default();
    let parameter = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse::<usize>().ok())
    };
    let body = match request.uri().path() {
        "/api/v1/pods" if query.contains("watch=true") => {
            // Nothing happens, until the client goes.
            let silence = futures_util::stream::pending::<Result<Frame<Bytes>, _>>();
            return json_response(BoxBody::new(StreamBody::new(silence)));
        }
        "/api/v1/pods" => {
            let first = parameter("continue").unwrap_or(0);
            let end = pods.min(first + parameter("limit").unwrap_or(pods));
            let next = if end < pods { end.to_string() } else { String::new() };
            let items: Vec<_> = (first..end).map(|n| pod(n, labels, replicas)).collect();
            json!({
                "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                "metadata": {"resourceVersion": "1", "continue": next}, "items": items,
            })
        }
        path => discovery(path),
    };
    json_response(BoxBody::new(Full::from(body.to_string())))
}

fn json_response(body: BoxBody<Bytes, Infallible>) -> Answer {
    let mut response = Response::new(body);
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn discovery(path: &str) -> Value {
    let pods = json!({
        "resource": "pods", "responseKind": {"group": "", "version": "", "kind": "Pod"},
        "scope": "Namespaced", "singularResource": "pod", "verbs": ["get", "list", "watch"],
    });
    let version = json!({"version": "v1", "freshness": "Current", "resources": [pods]});
    let core = json!({"metadata": {"name": ""}, "versions": [version]});
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": if path == "/api" { vec![core] } else { Vec::new() },
    })
}

/// In the order of a list: 50 workloads in each namespace.
fn pod(n: usize, labels: usize, replicas: usize) -> Value {
    let workload = n / replicas;
    let owner = format!("workload-{workload}-6d4cf56db6");
    let labels: serde_json::Map<_, _> = (0..labels)
        .map(|label| {
            // Half of the labels say something of the workload, half of the company.
            let value = if label % 2 == 0 { workload } else { label };
            (format!("label.example.com/part-{label}"), json!(format!("value-{value}")))
        })
        .collect();
    let fields: serde_json::Map<_, _> =
        labels.keys().map(|key| (format!("f:{key}"), json!({}))).collect();
    let managed = |manager: &str| {
        json!({
            "manager": manager, "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1",
            "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:metadata": {"f:labels": fields}},
        })
    };
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
        "metadata": {
            "name": format!("{owner}-{n:06}"),
            "namespace": format!("namespace-{:04}", workload / 50),
            "uid": format!("00000000-0000-0000-0000-{n:012}"),
            "resourceVersion": "1",
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": labels,
            "annotations": {"example.com/checksum": "0123456789abcdef0123456789abcdef"},
            "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "controller": true,
                "uid": format!("00000000-0000-0000-0000-{workload:012}"),
            }],
            "managedFields": [managed("kube-controller-manager"), managed("kubelet")],
        },
    })
}
