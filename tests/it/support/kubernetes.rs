//! A Kubernetes API server that does what a test says.
//!
//! It speaks HTTP on loopback: aggregated discovery, paged lists and watches of metadata with
//! resource versions, bookmarks and 410, the ConfigMap about authentication, reviews of tokens and
//! access, and it records every request. It does not authenticate.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::stream;
use http::{Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Where the API server publishes what is trusted.
const CONFIG_MAPS: &str = "/api/v1/namespaces/kube-system/configmaps";
const AUTHENTICATION: &str = "extension-apiserver-authentication";
/// Where tokens are reviewed.
pub(crate) const TOKEN_REVIEWS: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
/// Where access is reviewed.
pub(crate) const ACCESS_REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

type Verdict = dyn Fn(&Value) -> Value + Send + Sync;
type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// The server; it ends when it is dropped.
pub(crate) struct FakeKubernetes {
    address: SocketAddr,
    state: Arc<State>,
    accept: JoinHandle<()>,
}

impl Drop for FakeKubernetes {
    fn drop(&mut self) {
        self.accept.abort();
        self.cut();
    }
}

struct State {
    inner: Mutex<Inner>,
    /// Changes with every change of `inner`, so that watches look again.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    /// Resource version of the last change.
    version: u64,
    core: Vec<Value>,
    groups: Vec<Value>,
    /// By the path of the collection, `/api/v1/pods`.
    collections: HashMap<String, Collection>,
    /// The collections of whole objects.
    whole: HashSet<String>,
    forbidden: HashSet<String>,
    stalled: HashSet<String>,
    failing: Option<StatusCode>,
    failing_paths: HashMap<String, StatusCode>,
    /// The user of each token that is good.
    tokens: HashMap<String, Value>,
    /// The status of a review of access, from its spec; yes where there is none.
    verdict: Option<Arc<Verdict>>,
    /// Path and spec of each review.
    reviews: Vec<(String, Value)>,
    /// Watches end before they say anything.
    ends_watches: bool,
    /// Watches of an earlier generation are cut.
    generation: u64,
    requests: Vec<String>,
}

#[derive(Default)]
struct Collection {
    objects: BTreeMap<(String, String), Value>,
    events: Vec<(u64, Value)>,
    /// Events up to this version are forgotten.
    compacted: u64,
}

impl FakeKubernetes {
    /// Starts with the kinds pods, nodes and deployments, and no objects.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State { inner: Mutex::default(), changed: watch::Sender::default() });
        let shared = Arc::clone(&state);
        let accept = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                tokio::spawn(async move {
                    let service = service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(state.answer(request).await) }
                    });
                    // A connection that the client drops is nothing to tell of.
                    http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await
                        .ok();
                });
            }
        });
        let fake = Self { address, state, accept };
        fake.add_kind("", "v1", &resource("nodes", "Node", &["no"], "Cluster"));
        fake.add_kind("", "v1", &resource("pods", "Pod", &["po"], "Namespaced"));
        fake.add_kind(
            "apps",
            "v1",
            &resource("deployments", "Deployment", &["deploy"], "Namespaced"),
        );
        fake
    }

    /// A kubeconfig that names this server.
    pub(crate) fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": server}}],
            "users": [{"name": "fake", "user": {}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
        })
        .to_string()
    }

    /// Adds a resource to discovery, in the form of `APIResourceDiscovery`.
    pub(crate) fn add_kind(&self, group: &str, version: &str, resource: &Value) {
        self.change(|inner| {
            let groups = if group.is_empty() { &mut inner.core } else { &mut inner.groups };
            let index = groups.iter().position(|known| known["metadata"]["name"] == group);
            let index = index.unwrap_or_else(|| {
                groups.push(json!({"metadata": {"name": group}, "versions": []}));
                groups.len() - 1
            });
            let versions = groups[index]["versions"].as_array_mut().unwrap();
            let known = versions.iter().position(|known| known["version"] == version);
            let known = known.unwrap_or_else(|| {
                versions.push(json!({"version": version, "freshness": "Current", "resources": []}));
                versions.len() - 1
            });
            versions[known]["resources"].as_array_mut().unwrap().push(resource.clone());
        });
    }

    /// Takes a group out of discovery.
    pub(crate) fn remove_group(&self, group: &str) {
        self.change(|inner| {
            inner.groups.retain(|known| known["metadata"]["name"] != group);
        });
    }

    /// Creates or changes an object of the collection at a path.
    pub(crate) fn put(&self, path: &str, namespace: &str, name: &str, labels: &[(&str, &str)]) {
        self.change(|inner| {
            let version = inner.version;
            let labels: BTreeMap<_, _> = labels.iter().copied().collect();
            let mut metadata = json!({
                "name": name,
                "labels": labels,
                "resourceVersion": version.to_string(),
                "managedFields": [{"manager": "test", "fieldsV1": {"f:metadata": {}}}],
            });
            if !namespace.is_empty() {
                metadata["namespace"] = json!(namespace);
            }
            let object = json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": metadata,
            });
            let collection = inner.collections.entry(path.to_owned()).or_default();
            let key = (namespace.to_owned(), name.to_owned());
            let event = match collection.objects.insert(key, object.clone()) {
                Some(_) => "MODIFIED",
                None => "ADDED",
            };
            collection.events.push((version, json!({"type": event, "object": object})));
        });
    }

    /// Creates or changes a whole object, of a collection that can be asked for whole ones from
    /// then on.
    pub(crate) fn put_whole(&self, path: &str, mut object: Value) {
        self.change(|inner| {
            inner.whole.insert(path.to_owned());
            let version = inner.version;
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let metadata = &object["metadata"];
            let key = (text(&metadata["namespace"]), text(&metadata["name"]));
            let collection = inner.collections.entry(path.to_owned()).or_default();
            let event = match collection.objects.insert(key, object.clone()) {
                Some(_) => "MODIFIED",
                None => "ADDED",
            };
            collection.events.push((version, json!({"type": event, "object": object})));
        });
    }

    /// Creates or changes the ConfigMap about authentication.
    pub(crate) fn publish_authentication(&self, data: &[(&str, &str)]) {
        let data: BTreeMap<_, _> = data.iter().copied().collect();
        self.change(|inner| {
            let version = inner.version;
            let object = json!({
                "apiVersion": "v1", "kind": "ConfigMap", "data": data,
                "metadata": {
                    "name": AUTHENTICATION, "namespace": "kube-system",
                    "resourceVersion": version.to_string(),
                },
            });
            let collection = inner.collections.entry(CONFIG_MAPS.to_owned()).or_default();
            let key = ("kube-system".to_owned(), AUTHENTICATION.to_owned());
            let event = match collection.objects.insert(key, object.clone()) {
                Some(_) => "MODIFIED",
                None => "ADDED",
            };
            collection.events.push((version, json!({"type": event, "object": object})));
        });
    }

    /// Forbids to read the ConfigMap about authentication, or no longer.
    pub(crate) fn forbid_authentication(&self, forbidden: bool) {
        self.forbid(CONFIG_MAPS, forbidden);
        self.forbid(&format!("{CONFIG_MAPS}/{AUTHENTICATION}"), forbidden);
    }

    /// Makes a token good, for the user of a `TokenReview`.
    pub(crate) fn add_token(&self, token: &str, user: Value) {
        self.change(|inner| {
            inner.tokens.insert(token.to_owned(), user);
        });
    }

    /// Decides about access: from the spec of a review to its status.
    pub(crate) fn decide(&self, verdict: impl Fn(&Value) -> Value + Send + Sync + 'static) {
        self.change(|inner| inner.verdict = Some(Arc::new(verdict)));
    }

    /// Answers requests for a path with a status, or no longer.
    pub(crate) fn fail_path(&self, path: &str, status: Option<StatusCode>) {
        self.change(|inner| match status {
            Some(status) => drop(inner.failing_paths.insert(path.to_owned(), status)),
            None => drop(inner.failing_paths.remove(path)),
        });
    }

    /// The specs of the reviews at a path, in their order.
    pub(crate) fn reviews(&self, path: &str) -> Vec<Value> {
        let inner = self.state.lock();
        let at_path = inner.reviews.iter().filter(|(reviewed, _)| reviewed == path);
        at_path.map(|(_, spec)| spec.clone()).collect()
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, path: &str, namespace: &str, name: &str) {
        self.change(|inner| {
            let version = inner.version;
            let collection = inner.collections.get_mut(path).unwrap();
            let key = (namespace.to_owned(), name.to_owned());
            let mut object = collection.objects.remove(&key).unwrap();
            object["metadata"]["resourceVersion"] = json!(version.to_string());
            collection.events.push((version, json!({"type": "DELETED", "object": object})));
        });
    }

    /// Changes a collection without telling the watches, and forgets its events: whoever resumes
    /// gets 410.
    pub(crate) fn delete_behind_the_back(&self, path: &str, namespace: &str, name: &str) {
        self.change(|inner| {
            let version = inner.version;
            let collection = inner.collections.get_mut(path).unwrap();
            collection.objects.remove(&(namespace.to_owned(), name.to_owned())).unwrap();
            collection.events.clear();
            collection.compacted = version;
        });
    }

    /// Sends a bookmark to the watches of a collection.
    pub(crate) fn bookmark(&self, path: &str) {
        self.change(|inner| {
            let version = inner.version;
            let object = json!({
                "apiVersion": "meta.k8s.io/v1",
                "kind": "PartialObjectMetadata",
                "metadata": {"resourceVersion": version.to_string()},
            });
            let collection = inner.collections.entry(path.to_owned()).or_default();
            collection.events.push((version, json!({"type": "BOOKMARK", "object": object})));
        });
    }

    /// Cuts all watches in the middle of their answer.
    pub(crate) fn cut(&self) {
        self.change(|inner| inner.generation += 1);
    }

    /// Answers requests for a collection with 403, or no longer.
    pub(crate) fn forbid(&self, path: &str, forbidden: bool) {
        self.change(|inner| {
            if forbidden {
                inner.forbidden.insert(path.to_owned());
            } else {
                inner.forbidden.remove(path);
            }
        });
    }

    /// Leaves requests for a path without an answer, or no longer.
    pub(crate) fn stall(&self, path: &str, stalled: bool) {
        self.change(|inner| {
            if stalled {
                inner.stalled.insert(path.to_owned());
            } else {
                inner.stalled.remove(path);
            }
        });
    }

    /// Ends each watch as soon as it has begun.
    pub(crate) fn end_watches(&self) {
        self.change(|inner| {
            inner.ends_watches = true;
            inner.generation += 1;
        });
    }

    /// Answers every request with a status, or no longer.
    pub(crate) fn fail(&self, status: Option<StatusCode>) {
        self.change(|inner| inner.failing = status);
    }

    /// Method and target of each request whose target contains a text.
    pub(crate) fn requests(&self, containing: &str) -> Vec<String> {
        let inner = self.state.lock();
        inner.requests.iter().filter(|request| request.contains(containing)).cloned().collect()
    }

    fn change(&self, change: impl FnOnce(&mut Inner)) {
        let mut inner = self.state.lock();
        inner.version += 1;
        change(&mut inner);
        self.state.changed.send_replace(inner.version);
    }
}

/// A resource as aggregated discovery describes it, with all verbs.
pub(crate) fn resource(plural: &str, kind: &str, short_names: &[&str], scope: &str) -> Value {
    json!({
        "resource": plural,
        "responseKind": {"group": "", "version": "", "kind": kind},
        "scope": scope,
        "singularResource": kind.to_lowercase(),
        "shortNames": short_names,
        "verbs": ["create", "delete", "get", "list", "watch"],
    })
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let path = request.uri().path().to_owned();
        let target = request.uri().path_and_query().unwrap().as_str();
        self.lock().requests.push(format!("{} {target}", request.method()));
        let mut changed = self.changed.subscribe();
        while self.lock().stalled.contains(&path) {
            changed.changed().await.unwrap();
        }
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let accept = request.headers().get(header::ACCEPT).cloned();
        let is_partial = accept
            .is_some_and(|accept| accept.to_str().unwrap().contains("as=PartialObjectMetadata"));
        let review = match path.as_str() {
            TOKEN_REVIEWS | ACCESS_REVIEWS => {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                Some(serde_json::from_slice::<Value>(&body).unwrap())
            }
            _ => None,
        };
        let mut inner = self.lock();
        let failing = inner.failing.or_else(|| inner.failing_paths.get(&path).copied());
        if let (Some(review), None) = (&review, failing) {
            return inner.review(&path, review);
        }
        if let Some(code) = failing {
            return status(code, "the server is currently unable to handle the request");
        }
        match path.as_str() {
            "/api" => discovery(&inner.core),
            "/apis" => discovery(&inner.groups),
            _ if inner.forbidden.contains(&path) => {
                let resource = path.rsplit('/').next().unwrap();
                let message = format!(
                    "{resource} is forbidden: User \"system:serviceaccount:monitoring:plimsoll\" \
                     cannot list resource \"{resource}\" in API group \"\" at the cluster scope"
                );
                status(StatusCode::FORBIDDEN, &message)
            }
            _ if path.strip_prefix(CONFIG_MAPS) == Some(&format!("/{AUTHENTICATION}")) => {
                let key = ("kube-system".to_owned(), AUTHENTICATION.to_owned());
                match inner.collections.get(CONFIG_MAPS).and_then(|known| known.objects.get(&key)) {
                    Some(object) => json_answer(StatusCode::OK, object),
                    None => status(StatusCode::NOT_FOUND, "configmaps not found"),
                }
            }
            _ if !is_partial && path != CONFIG_MAPS && !inner.whole.contains(&path) => {
                status(StatusCode::NOT_ACCEPTABLE, "this server has metadata only")
            }
            _ if query.contains_key("watch") => {
                if inner.ends_watches {
                    return json_answer(StatusCode::OK, &Value::Null).map(|_| BoxBody::default());
                }
                let from = query["resourceVersion"].parse().unwrap();
                let generation = inner.generation;
                drop(inner);
                Arc::clone(&self).watch(path, from, generation)
            }
            _ => list(&inner, &path, &query),
        }
    }

    fn watch(self: Arc<Self>, path: String, from: u64, generation: u64) -> Answer {
        let changed = self.changed.subscribe();
        let events = stream::unfold(
            (self, changed, from, false),
            move |(state, mut changed, sent, over)| {
                let path = path.clone();
                async move {
                    loop {
                        if over {
                            return None;
                        }
                        changed.borrow_and_update();
                        match state.next_event(&path, sent, generation) {
                            Next::Event(version, event) => {
                                let frame = Frame::data(Bytes::from(format!("{event}\n")));
                                return Some((Ok(frame), (state, changed, version, false)));
                            }
                            Next::Gone(event) => {
                                let frame = Frame::data(Bytes::from(format!("{event}\n")));
                                return Some((Ok(frame), (state, changed, sent, true)));
                            }
                            Next::Cut => {
                                let error = std::io::Error::other("cut");
                                return Some((Err(error), (state, changed, sent, true)));
                            }
                            Next::Nothing => changed.changed().await.ok()?,
                        }
                    }
                }
            },
        );
        let body = BoxBody::new(StreamBody::new(events));
        Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
    }

    fn next_event(&self, path: &str, sent: u64, generation: u64) -> Next {
        let inner = self.lock();
        if inner.generation != generation {
            return Next::Cut;
        }
        let Some(collection) = inner.collections.get(path) else {
            return Next::Nothing;
        };
        if sent < collection.compacted {
            let status = status_json(StatusCode::GONE, "too old resource version");
            return Next::Gone(json!({"type": "ERROR", "object": status}));
        }
        match collection.events.iter().find(|(version, _)| *version > sent) {
            Some((version, event)) => Next::Event(*version, event.clone()),
            None => Next::Nothing,
        }
    }
}

impl Inner {
    fn review(&mut self, path: &str, review: &Value) -> Answer {
        let spec = &review["spec"];
        self.reviews.push((path.to_owned(), spec.clone()));
        let status = if path == TOKEN_REVIEWS {
            match self.tokens.get(spec["token"].as_str().unwrap()) {
                Some(user) => json!({"authenticated": true, "user": user}),
                None => json!({"authenticated": false}),
            }
        } else {
            self.verdict.as_ref().map_or_else(|| json!({"allowed": true}), |verdict| verdict(spec))
        };
        let mut answer = review.clone();
        answer["status"] = status;
        json_answer(StatusCode::CREATED, &answer)
    }
}

enum Next {
    Event(u64, Value),
    Gone(Value),
    Cut,
    Nothing,
}

fn discovery(groups: &[Value]) -> Answer {
    json_answer(
        StatusCode::OK,
        &json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2",
                "metadata": {}, "items": groups}),
    )
}

/// A page of a list; the continue token is the number of objects before it.
fn list(inner: &Inner, path: &str, query: &HashMap<String, String>) -> Answer {
    let empty = BTreeMap::new();
    let objects = inner.collections.get(path).map_or(&empty, |collection| &collection.objects);
    let skip: usize = query.get("continue").map_or(0, |token| token.parse().unwrap());
    let limit: usize = query.get("limit").map_or(usize::MAX, |limit| limit.parse().unwrap());
    let items: Vec<_> = objects.values().skip(skip).take(limit).collect();
    let mut metadata = json!({"resourceVersion": inner.version.to_string()});
    if objects.len() > skip + items.len() {
        metadata["continue"] = json!((skip + items.len()).to_string());
    }
    json_answer(
        StatusCode::OK,
        &if path == CONFIG_MAPS {
            json!({"kind": "ConfigMapList", "apiVersion": "v1", "metadata": metadata,
                   "items": items})
        } else {
            json!({"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                   "metadata": metadata, "items": items})
        },
    )
}

fn status(code: StatusCode, message: &str) -> Answer {
    json_answer(code, &status_json(code, message))
}

fn status_json(code: StatusCode, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message,
        "reason": code.canonical_reason().unwrap_or_default().replace(' ', ""),
        "code": code.as_u16(),
    })
}

fn json_answer(code: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(BoxBody::new(body))
        .unwrap()
}
