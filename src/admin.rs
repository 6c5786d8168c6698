//! The plain port for probes and scrapers: health, the process's own metrics, the version.
//!
//! It has no authentication, so it shows nothing about the cluster and changes nothing.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;

use crate::serve::health::{self, Health, Probe};
use crate::telemetry::metrics::{self, Metrics};

/// What `/` says.
const INDEX: &str = "\
plimsoll admin port

/healthz
/livez
/metrics
/readyz
/version
";

const JSON: &str = "application/json";
const TEXT: &str = health::CONTENT_TYPE;

/// Answers the requests of the admin port.
#[derive(Clone, Debug)]
pub struct Admin {
    health: Health,
    metrics: Arc<Metrics>,
    version: Bytes,
}

impl Admin {
    /// `version` is the JSON that `/version` answers, the same as the API's.
    pub fn new(health: Health, metrics: Arc<Metrics>, version: Bytes) -> Self {
        Self { health, metrics, version }
    }

    /// The answer to a request; its body is not looked at.
    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        if request.method() != Method::GET && request.method() != Method::HEAD {
            let status = StatusCode::METHOD_NOT_ALLOWED;
            let mut response = respond(status, TEXT, "only GET and HEAD are allowed\n");
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        let path = request.uri().path();
        if let Some(probe) = Probe::of(path) {
            let (status, body) = self.health.answer(probe, request.uri().query());
            return respond(status, TEXT, body);
        }
        match path {
            "/" => respond(StatusCode::OK, TEXT, INDEX),
            "/metrics" => respond(StatusCode::OK, metrics::CONTENT_TYPE, self.metrics.encode()),
            "/version" => respond(StatusCode::OK, JSON, self.version.clone()),
            _ => respond(StatusCode::NOT_FOUND, TEXT, "404 page not found\n"),
        }
    }
}

fn respond(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = [
        (CACHE_CONTROL, "no-cache, private"),
        (CONTENT_TYPE, content_type),
        (HeaderName::from_static("x-content-type-options"), "nosniff"),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn admin() -> Admin {
        let version = Bytes::from_static(b"{\"major\":\"0\"}");
        Admin::new(Health::new(), Arc::new(Metrics::new()), version)
    }

    async fn ask(admin: &Admin, method: Method, path: &str) -> (u16, String, String) {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        let response = admin.answer(&request);
        let status = response.status().as_u16();
        let content_type = response.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        (status, content_type, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn every_path_of_the_index_answers() {
        let admin = admin();
        let paths: Vec<&str> = INDEX.lines().filter(|line| line.starts_with('/')).collect();
        assert_eq!(paths, ["/healthz", "/livez", "/metrics", "/readyz", "/version"]);
        for path in paths {
            assert_eq!(ask(&admin, Method::GET, path).await.0, 200, "{path}");
        }
    }

    #[tokio::test]
    async fn probes_follow_the_health_of_the_process() {
        let admin = admin();
        let pending = admin.health.register("config");
        let unready = ask(&admin, Method::GET, "/readyz?exclude=ping").await;
        let text = "text/plain; charset=utf-8".to_owned();
        let body = "[+]ping excluded: ok\n[-]config failed: reason withheld\n[+]shutdown ok\n\
            readyz check failed\n";
        assert_eq!(unready, (500, text.clone(), body.to_owned()));
        pending.done();
        assert_eq!(ask(&admin, Method::GET, "/readyz").await, (200, text, "ok".to_owned()));
    }

    #[tokio::test]
    async fn metrics_have_their_own_content_type() {
        let (status, content_type, body) = ask(&admin(), Method::GET, "/metrics").await;
        assert_eq!((status, content_type.as_str()), (200, metrics::CONTENT_TYPE));
        assert!(body.ends_with("# EOF\n"));
    }

    #[tokio::test]
    async fn nothing_else_is_there() {
        let admin = admin();
        let refused = [
            ask(&admin, Method::GET, "/metrics/").await.0,
            ask(&admin, Method::GET, "/apis").await.0,
            ask(&admin, Method::POST, "/metrics").await.0,
            ask(&admin, Method::HEAD, "/version").await.0,
        ];
        assert_eq!(refused, [404, 404, 405, 200]);
    }
}
