//! As much of a Kubernetes API server as an old `kubectl get` needs: plain discovery of pods,
//! services and deployments, and lists of them.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

/// The server; it ends when it is dropped.
pub(crate) struct PlainApi {
    address: SocketAddr,
    _accept: AbortOnDropHandle<()>,
}

impl PlainApi {
    /// Serves these objects.
    pub(crate) async fn start(objects: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let objects: Arc<[Value]> = objects.into();
        let accept = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let objects = Arc::clone(&objects);
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = response(answer(request.uri().path(), &objects));
                    async move { Ok::<_, Infallible>(response) }
                });
                // A connection that the client drops is nothing to tell of.
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                tokio::spawn(async move { connection.await.ok() });
            }
        });
        Self { address, _accept: AbortOnDropHandle::new(accept) }
    }

    /// A kubeconfig that names this server.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "plain",
            "clusters": [{"name": "plain", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "plain", "context": {"cluster": "plain", "user": ""}}],
        })
        .to_string()
    }
}

fn answer(path: &str, objects: &[Value]) -> Option<Value> {
    let resource = |name: &str, kind: &str| json!({"name": name, "singularName": "", "namespaced": true, "kind": kind, "verbs": ["get", "list"]});
    let list = |kind: &str| {
        let items: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).collect();
        let version = items.first()?["apiVersion"].clone();
        Some(
            json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {}, "items": items}),
        )
    };
    match path {
        "/api" => Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => {
            let version = json!({"groupVersion": "apps/v1", "version": "v1"});
            let apps = json!({"name": "apps", "versions": [version], "preferredVersion": version});
            Some(json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": [apps]}))
        }
        "/api/v1" => Some(json!({
            "kind": "APIResourceList", "groupVersion": "v1",
            "resources": [resource("pods", "Pod"), resource("services", "Service")],
        })),
        "/apis/apps/v1" => Some(json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "apps/v1",
            "resources": [resource("deployments", "Deployment")],
        })),
        "/api/v1/pods" => list("Pod"),
        "/api/v1/services" => list("Service"),
        "/apis/apps/v1/deployments" => list("Deployment"),
        _ => None,
    }
}

fn response(answer: Option<Value>) -> Response<Full<Bytes>> {
    let status = if answer.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(answer.unwrap_or_default().to_string()))
        .unwrap()
}
