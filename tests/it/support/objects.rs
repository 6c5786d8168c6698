//! An API server for single objects: reads, conditional updates, server-side apply, lists and
//! watches of whole objects. It knows any resource and no discovery.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// The server; it ends when it is dropped.
pub(crate) struct FakeObjects {
    address: SocketAddr,
    state: Arc<State>,
    _accept: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    /// Changes with every change of `inner`, so that watches look again.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    version: u64,
    /// By path.
    objects: BTreeMap<String, Value>,
    /// What each manager applied last, by path and manager.
    applied: HashMap<(String, String), Value>,
    /// Version, path of the collection, event.
    events: Vec<(u64, String, Value)>,
    /// Statuses for requests, by the beginning of `METHOD path`.
    refusals: HashMap<String, StatusCode>,
    requests: Vec<String>,
}

impl FakeObjects {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accept = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let state = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let state = Arc::clone(&state);
                    async move { Ok::<_, Infallible>(state.answer(request).await) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                // A connection that the client drops is nothing to tell of.
                tokio::spawn(async move { connection.await.ok() });
            }
        });
        Self { address, state, _accept: AbortOnDropHandle::new(accept) }
    }

    /// A kubeconfig that names this server.
    pub(crate) fn kubeconfig(&self) -> String {
        let server = format!("http://{}", self.address);
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{"name": "fake", "cluster": {"server": server}}],
            "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": ""}}],
        })
        .to_string()
    }

    /// The object at a path.
    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// Creates or replaces the object at a path.
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.state.change(|inner| inner.store(path, object));
    }

    /// Deletes the object at a path.
    pub(crate) fn delete(&self, path: &str) {
        self.state.change(|inner| {
            let object = inner.objects.remove(path).unwrap();
            inner.applied.retain(|(applied, _), _| applied != path);
            inner.event(path, "DELETED", &object);
        });
    }

    /// Refuses requests that begin so, `GET /api`, or no longer.
    pub(crate) fn refuse(&self, request: &str, status: Option<StatusCode>) {
        self.state.change(|inner| {
            match status {
                Some(status) => inner.refusals.insert(request.to_owned(), status),
                None => inner.refusals.remove(request),
            };
        });
    }

    /// Method and target of each request whose text contains a text.
    pub(crate) fn requests(&self, containing: &str) -> Vec<String> {
        let inner = self.state.lock();
        inner.requests.iter().filter(|request| request.contains(containing)).cloned().collect()
    }
}

impl Inner {
    fn store(&mut self, path: &str, mut object: Value) {
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        object["metadata"]["name"] = json!(path.rsplit('/').next());
        let event = match self.objects.insert(path.to_owned(), object.clone()) {
            Some(_) => "MODIFIED",
            None => "ADDED",
        };
        self.event(path, event, &object);
    }

    fn event(&mut self, path: &str, event: &str, object: &Value) {
        let collection = path.rsplit_once('/').unwrap().0.to_owned();
        self.events.push((self.version, collection, json!({"type": event, "object": object})));
    }

    /// Whether a write may go on: with a version it must be that of what is there.
    fn conflict(&self, path: &str, sent: &Value) -> Option<Answer> {
        let version = &sent["metadata"]["resourceVersion"];
        let stored = self.objects.get(path).map(|object| &object["metadata"]["resourceVersion"]);
        let fits = version.is_null() || stored == Some(version);
        (!fits).then(|| status(StatusCode::CONFLICT, "the object has been modified"))
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    fn change<T>(&self, change: impl FnOnce(&mut Inner) -> T) -> T {
        let mut inner = self.lock();
        inner.version += 1;
        let result = change(&mut inner);
        self.changed.send_replace(inner.version);
        result
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = head.uri.path().to_owned();
        let query: HashMap<String, String> =
            url::form_urlencoded::parse(head.uri.query().unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let text = format!("{} {}", head.method, head.uri.path_and_query().unwrap());
        let refusal = {
            let mut inner = self.lock();
            inner.requests.push(text.clone());
            let refusal = inner.refusals.iter().find(|(begin, _)| text.starts_with(*begin));
            refusal.map(|(_, code)| *code)
        };
        if let Some(code) = refusal {
            return status(code, "refused by the test");
        }
        let collection = ["secrets", "leases", "apiservices"];
        if collection.iter().any(|name| path.rsplit('/').next() == Some(name)) {
            return if query.contains_key("watch") {
                let from = query["resourceVersion"].parse().unwrap();
                self.watch(path, &query["fieldSelector"], from)
            } else {
                self.list(&path, &query["fieldSelector"])
            };
        }
        match head.method {
            Method::GET => self.lock().objects.get(&path).map_or_else(
                || status(StatusCode::NOT_FOUND, "not found"),
                |object| json_answer(StatusCode::OK, object),
            ),
            Method::PUT => self.write(&path, &body, |_, _, sent| sent),
            Method::PATCH => {
                assert_eq!(head.headers[header::CONTENT_TYPE], "application/apply-patch+yaml");
                let manager = query["fieldManager"].clone();
                self.write(&path, &body, |inner, path, sent| inner.apply(path, manager, &sent))
            }
            method => panic!("{method} {path}"),
        }
    }

    fn write(
        &self,
        path: &str,
        body: &[u8],
        merge: impl FnOnce(&mut Inner, &str, Value) -> Value,
    ) -> Answer {
        let sent: Value = serde_json::from_slice(body).unwrap();
        self.change(|inner| {
            if let Some(conflict) = inner.conflict(path, &sent) {
                return conflict;
            }
            let merged = merge(inner, path, sent);
            inner.store(path, merged);
            json_answer(StatusCode::OK, &inner.objects[path])
        })
    }

    fn list(&self, path: &str, selector: &str) -> Answer {
        let inner = self.lock();
        let name = selector.strip_prefix("metadata.name=").unwrap();
        let items: Vec<_> = inner.objects.get(&format!("{path}/{name}")).into_iter().collect();
        let metadata = json!({"resourceVersion": inner.version.to_string()});
        let list =
            json!({"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items});
        json_answer(StatusCode::OK, &list)
    }

    fn watch(self: Arc<Self>, path: String, selector: &str, from: u64) -> Answer {
        let name = selector.strip_prefix("metadata.name=").unwrap().to_owned();
        let changed = self.changed.subscribe();
        let events = stream::unfold((self, changed, from), move |(state, mut changed, sent)| {
            let (path, name) = (path.clone(), name.clone());
            async move {
                loop {
                    changed.borrow_and_update();
                    let next = {
                        let inner = state.lock();
                        let mut events = inner.events.iter();
                        let next = events.find(|(version, collection, event)| {
                            *version > sent
                                && *collection == path
                                && event["object"]["metadata"]["name"] == name
                        });
                        next.map(|(version, _, event)| (*version, event.to_string()))
                    };
                    if let Some((version, event)) = next {
                        let frame = Frame::data(Bytes::from(event + "\n"));
                        return Some((Ok(frame), (state, changed, version)));
                    }
                    changed.changed().await.ok()?;
                }
            }
        });
        let body = BoxBody::new(StreamBody::new(events));
        Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
    }
}

impl Inner {
    /// What the manager had and no longer sends goes away, what it sends is set.
    fn apply(&mut self, path: &str, manager: String, sent: &Value) -> Value {
        let mut object = self.objects.get(path).cloned().unwrap_or_else(|| json!({}));
        if let Some(before) = self.applied.insert((path.to_owned(), manager), sent.clone()) {
            take_away(&mut object, &before, sent);
        }
        set(&mut object, sent);
        object
    }
}

fn take_away(object: &mut Value, before: &Value, now: &Value) {
    let (Some(object), Some(before)) = (object.as_object_mut(), before.as_object()) else {
        return;
    };
    for (key, before) in before {
        match (now.get(key), object.get_mut(key)) {
            (None, _) => drop(object.remove(key)),
            (Some(now), Some(object)) => take_away(object, before, now),
            (Some(_), None) => {}
        }
    }
}

fn set(object: &mut Value, sent: &Value) {
    match sent.as_object() {
        Some(sent) => {
            if !object.is_object() {
                *object = json!({});
            }
            for (key, value) in sent {
                set(&mut object[key], value);
            }
        }
        None => object.clone_from(sent),
    }
}

fn status(code: StatusCode, message: &str) -> Answer {
    let reason = code.canonical_reason().unwrap_or_default().replace(' ', "");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    });
    json_answer(code, &status)
}

fn json_answer(code: StatusCode, body: &Value) -> Answer {
    let body = Full::new(Bytes::from(body.to_string())).map_err(|never| match never {});
    Response::builder()
        .status(code)
        .header(header::CONTENT_TYPE, "application/json")
        .body(BoxBody::new(body))
        .unwrap()
}
