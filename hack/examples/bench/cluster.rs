//! As much of an API server as a metrics server asks for, of a made-up [`Fleet`]: discovery, lists
//! in pages, watches on which nothing happens, reviews that allow everything, and the ConfigMap
//! that says which front proxy to trust. It counts what it is asked.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::StreamBody;
use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Frame, Incoming};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::fleet::{self, Fleet};
use crate::gate::{self, Answer};
use crate::workload;

const AUTHENTICATION: &str = "extension-apiserver-authentication";

/// The front proxy's certificate, by which it may say who asks.
pub(crate) struct FrontProxy {
    ca: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// The API server.
pub(crate) struct FakeCluster {
    pub(crate) address: SocketAddr,
    pub(crate) is_open: watch::Sender<bool>,
    pub(crate) front_proxy: FrontProxy,
    requests: Arc<AtomicU64>,
}

impl FakeCluster {
    pub(crate) async fn start(fleet: Fleet) -> Result<Self> {
        let front_proxy = FrontProxy::new()?;
        let requests = Arc::new(AtomicU64::new(0));
        let (count, ca) = (Arc::clone(&requests), front_proxy.ca.clone());
        let gate = gate::serve(move |request: Request<Incoming>| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = answer(fleet, &ca, &request);
            async move { answer }
        })
        .await?;
        Ok(Self { address: gate.address, is_open: gate.is_open, front_proxy, requests })
    }

    /// How many requests there have been.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// A kubeconfig that names it.
    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bench",
            "clusters": [{
                "name": "bench", "cluster": {"server": format!("http://{}", self.address)},
            }],
            "users": [{"name": "bench", "user": {}}],
            "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        })
        .to_string()
    }
}

impl FrontProxy {
    fn new() -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "front-proxy-client");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = params.signed_by(&key, &issuer)?.pem();
        Ok(Self { ca, certificate, key: key.serialize_pem() })
    }
}

fn answer(fleet: Fleet, ca: &str, request: &Request<Incoming>) -> Answer {
    let (path, query) = (request.uri().path(), request.uri().query().unwrap_or_default());
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_partial = accept.unwrap_or_default().contains("as=PartialObjectMetadata");
    if query.contains("watch=true") || query.contains("watch=1") {
        return silence();
    }
    match path {
        "/api" => discovery(&core()),
        "/apis" => discovery(&groups()),
        _ if path.ends_with("/subjectaccessreviews") => created(&json!({
            "kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1",
            "metadata": {}, "spec": {}, "status": {"allowed": true},
        })),
        _ if path.ends_with("/configmaps") => success(&json!({
            "kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"},
            "items": [authentication(ca)],
        })),
        _ if path.ends_with(AUTHENTICATION) => success(&authentication(ca)),
        _ => list(fleet, path, query, is_partial),
    }
}

/// A watch on which nothing happens until the client goes.
fn silence() -> Answer {
    let silence = futures_util::stream::pending::<Result<Frame<Bytes>, io::Error>>();
    let mut response = Response::new(BoxBody::new(StreamBody::new(silence)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn success(body: &Value) -> Answer {
    gate::json(StatusCode::OK, body.to_string())
}

fn created(body: &Value) -> Answer {
    gate::json(StatusCode::CREATED, body.to_string())
}

fn authentication(ca: &str) -> Value {
    let data = json!({
        "requestheader-client-ca-file": ca,
        "requestheader-allowed-names": r#"["front-proxy-client"]"#,
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    });
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": data,
        "metadata": {
            "name": AUTHENTICATION, "namespace": "kube-system", "resourceVersion": "1",
        },
    })
}

fn discovery(groups: &Value) -> Answer {
    let mut response = success(&json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": groups,
    }));
    let form = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form));
    response
}

fn core() -> Value {
    json!([group(
        "",
        "v1",
        &[
            resource("namespaces", "Namespace", "Cluster"),
            resource("nodes", "Node", "Cluster"),
            resource("pods", "Pod", "Namespaced"),
            resource("services", "Service", "Namespaced"),
        ]
    )])
}

fn groups() -> Value {
    let deployments = resource("deployments", "Deployment", "Namespaced");
    let replica_sets = resource("replicasets", "ReplicaSet", "Namespaced");
    let hpas = resource("horizontalpodautoscalers", "HorizontalPodAutoscaler", "Namespaced");
    json!([group("apps", "v1", &[deployments, replica_sets]), group("autoscaling", "v2", &[hpas])])
}

fn group(name: &str, version: &str, resources: &[Value]) -> Value {
    let version = json!({"version": version, "freshness": "Current", "resources": resources});
    json!({"metadata": {"name": name}, "versions": [version]})
}

fn resource(plural: &str, kind: &str, scope: &str) -> Value {
    json!({
        "resource": plural, "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": scope, "singularResource": kind.to_lowercase(), "verbs": ["get", "list", "watch"],
    })
}

/// A page of a list; the continue token is the number of objects before it.
fn list(fleet: Fleet, path: &str, query: &str, is_partial: bool) -> Answer {
    let parameter = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let numeric = |name| parameter(name).and_then(|value| value.parse::<usize>().ok());
    let plural = path.rsplit('/').next().unwrap_or_default();
    // prometheus-adapter lists the pods of each request.
    let selected = parameter("labelSelector").as_deref().and_then(fleet::number);
    let all = match (plural, selected) {
        ("pods", Some(deployment)) => fleet.pods_of(deployment),
        ("pods", None) => 0..fleet.replicas() * fleet.hpas,
        ("namespaces", _) => 0..fleet.namespaces(),
        ("deployments" | "replicasets" | "horizontalpodautoscalers", _) => 0..fleet.hpas,
        _ => 0..0,
    };
    let first = all.start + numeric("continue").unwrap_or(0);
    let end = all.end.min(first + numeric("limit").unwrap_or(usize::MAX - first));
    let next = if end < all.end { (end - all.start).to_string() } else { String::new() };
    let items: Vec<_> = (first..end).map(|number| object(fleet, plural, number)).collect();
    let (kind, version) =
        if is_partial { ("PartialObjectMetadataList", "meta.k8s.io/v1") } else { ("List", "v1") };
    success(&json!({
        "kind": kind, "apiVersion": version, "items": items,
        "metadata": {"resourceVersion": "1", "continue": next},
    }))
}

fn object(fleet: Fleet, plural: &str, number: usize) -> Value {
    let place = |deployment| fleet::namespace(Fleet::namespace_of(deployment));
    match plural {
        "namespaces" => {
            let name = fleet::namespace(number);
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata(&name, "", number)})
        }
        "pods" => {
            let deployment = number / fleet.replicas();
            let mut metadata = metadata(&fleet.pod(number), &place(deployment), number);
            metadata["labels"] = json!({
                "app": fleet::deployment(deployment), "pod-template-hash": "6d5f9c7b64",
                "team": place(deployment), "tier": "web",
            });
            metadata["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "ReplicaSet", "controller": true,
                "name": fleet::replica_set(deployment), "uid": uid(deployment),
            }]);
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata})
        }
        "replicasets" => {
            let mut metadata = metadata(&fleet::replica_set(number), &place(number), number);
            metadata["ownerReferences"] = json!([{
                "apiVersion": "apps/v1", "kind": "Deployment", "controller": true,
                "name": fleet::deployment(number), "uid": uid(number),
            }]);
            json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata})
        }
        "deployments" => {
            let metadata = metadata(&fleet::deployment(number), &place(number), number);
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata})
        }
        _ => json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": metadata(&fleet::deployment(number), &place(number), number),
            "spec": workload::spec(number),
        }),
    }
}

fn metadata(name: &str, namespace: &str, number: usize) -> Value {
    let mut metadata = json!({
        "name": name, "uid": uid(number), "resourceVersion": "1",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "managedFields": [{
            "manager": "kube-controller-manager", "operation": "Update", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "time": "2026-01-02T03:04:05Z",
            "fieldsV1": {"f:metadata": {"f:labels": {"f:app": {}, "f:tier": {}}}},
        }],
    });
    if !namespace.is_empty() {
        metadata["namespace"] = json!(namespace);
    }
    metadata
}

fn uid(number: usize) -> String {
    format!("00000000-0000-0000-0000-{number:012}")
}
