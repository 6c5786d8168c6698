//! The aggregated API server: `custom.metrics.k8s.io`, `external.metrics.k8s.io`,
//! `insight.plimsoll.dev` and, where there are rules for it, `metrics.k8s.io`.
//!
//! A request goes from authentication and authorization over its [path] to the engine or to a document that is
//! ready, and comes back in the form that the client takes. Every answer that is not 2xx is a
//! `metav1.Status` whose message names the cause, and none carries `Retry-After`: client-go would
//! repeat the request up to ten times inside one HPA worker.

pub mod access;
pub mod discovery;
pub mod failure;
pub mod insight;
pub mod path;
pub mod usage;
pub mod values;

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response};
use jiff::Timestamp;

use self::access::Access;
use self::discovery::Discovery;
use self::path::{DecisionsRoute, MetricRoute, Parameters, Route, UsageRoute};
use crate::engine::Engine;
use crate::engine::answer::Answer;
use crate::engine::demand::{Demand, Target};
use crate::engine::ports::{Backend, Inventory};
use crate::model::object::GroupResource;
use crate::serve::Peer;
use crate::serve::health::{self, Health, Probe};
use crate::telemetry::metrics::{ApiGroup, Metrics, Verb};
use crate::wire::metrics::Seconds;
use crate::wire::negotiate::{Endpoint, Form, negotiate};
use crate::wire::status::Status;
use crate::wire::{GroupVersion, compress, table};

/// The longest path and query that is looked at.
const MAX_TARGET: usize = 16 * 1024;

/// No request has a use for a body; one that is larger than this is refused.
const MAX_BODY: u64 = 1024;

/// Kubernetes' identifier of a request, echoed so that its audit log and ours can be joined.
const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");

/// Answers requests for the metrics APIs.
#[derive(Debug)]
pub struct ApiServer<B, I> {
    engine: Arc<Engine<B, I>>,
    access: Access,
    health: Health,
    discovery: Discovery,
    metrics: Arc<Metrics>,
}

impl<B: Backend, I: Inventory> ApiServer<B, I> {
    /// A server for the metrics of an engine.
    pub fn new(
        engine: Arc<Engine<B, I>>,
        access: Access,
        health: Health,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { engine, access, health, discovery: Discovery::default(), metrics }
    }

    /// Answers a request; never fails.
    pub async fn answer<T>(&self, request: &Request<T>, peer: &Peer) -> Response<Bytes> {
        let started = Instant::now();
        let parameters = Parameters::parse(request.uri().query().unwrap_or_default());
        let route = route(request, &parameters);
        let (verb, group) = labels(request, &route);
        let mut response = match self.respond(request, peer, route, &parameters).await {
            Ok(response) => response,
            Err(status) => {
                status.response(Form::for_errors(request.headers(), parameters.first("pretty")))
            }
        };
        finish(request, &mut response);
        self.metrics.request(verb, group, response.status(), started.elapsed());
        response
    }

    async fn respond<T>(
        &self,
        request: &Request<T>,
        peer: &Peer,
        route: Result<Route, Status>,
        parameters: &Parameters<'_>,
    ) -> Result<Response<Bytes>, Status> {
        self.access.check(request, peer).await?;
        refuse_body(request.headers())?;
        match route? {
            Route::Document(document) => {
                refuse_writing(request.method(), "documents")?;
                let catalog = self.engine.catalog();
                self.discovery.respond(&document, catalog, request.headers(), parameters)
            }
            Route::Health(probe) => {
                refuse_writing(request.method(), "health")?;
                Ok(self.health(probe, request.uri().query()))
            }
            Route::Metric(metric) => {
                refuse_writing(request.method(), "metrics")?;
                self.values(&metric, request.headers(), parameters).await
            }
            Route::Usage(usage) => {
                refuse_writing(request.method(), "metrics")?;
                self.usage(&usage, request.headers(), parameters).await
            }
            Route::Decisions(decisions) => {
                refuse_writing(request.method(), "decisions.insight.plimsoll.dev")?;
                self.decisions(&decisions, request.headers(), parameters)
            }
        }
    }

    async fn values(
        &self,
        route: &MetricRoute,
        headers: &HeaderMap,
        parameters: &Parameters<'_>,
    ) -> Result<Response<Bytes>, Status> {
        let endpoint = match route.version {
            GroupVersion::Custom(_) => Endpoint::MetricList,
            GroupVersion::External => Endpoint::ExternalMetricList,
            GroupVersion::Resource => Endpoint::Usage,
            GroupVersion::Insight => Endpoint::Decisions,
        };
        let choice = negotiate(endpoint, headers, parameters.first("pretty"))?;
        let include = table::IncludeObject::parse(parameters.first("includeObject"))?;
        let evaluation = self
            .engine
            .answer(&route.demand)
            .await
            .map_err(|error| failure::status(&error, &route.demand))?;
        let body = match (&evaluation.answer, route.version) {
            (Answer::Custom(answer), GroupVersion::Custom(version)) => evaluation
                .encoded(values::encoding(version, choice.form), || {
                    values::custom(answer, version, choice.form)
                }),
            (Answer::External(answer), GroupVersion::External) => {
                values::external(answer, namespace(&route.demand), choice, include)
            }
            _ => return Err(Status::internal("the answer is not of the kind that was asked for")),
        };
        Ok(with_content_type(body, choice.form))
    }

    async fn usage(
        &self,
        route: &UsageRoute,
        headers: &HeaderMap,
        parameters: &Parameters<'_>,
    ) -> Result<Response<Bytes>, Status> {
        let choice = negotiate(Endpoint::Usage, headers, parameters.first("pretty"))?;
        let include = table::IncludeObject::parse(parameters.first("includeObject"))?;
        let demand = Demand::Usage(route.demand.clone());
        let evaluation =
            self.engine.answer(&demand).await.map_err(|error| failure::status(&error, &demand))?;
        let Answer::Usage(answer) = &evaluation.answer else {
            return Err(Status::internal("the answer is not of the kind that was asked for"));
        };
        let now = Seconds(Timestamp::now().as_second());
        let inventory = self.engine.inventory();
        let body = usage::respond(answer, route, choice, include, now, inventory)?;
        Ok(with_content_type(body, choice.form))
    }

    fn decisions(
        &self,
        route: &DecisionsRoute,
        headers: &HeaderMap,
        parameters: &Parameters<'_>,
    ) -> Result<Response<Bytes>, Status> {
        let choice = negotiate(Endpoint::Decisions, headers, parameters.first("pretty"))?;
        let include = table::IncludeObject::parse(parameters.first("includeObject"))?;
        let now = Seconds(Timestamp::now().as_second());
        let body = insight::respond(self.engine.decisions(), route, choice, include, now)?;
        Ok(with_content_type(body, choice.form))
    }

    fn health(&self, probe: Probe, query: Option<&str>) -> Response<Bytes> {
        let (status, body) = self.health.answer(probe, query);
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(health::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, content_type);
        response
    }
}

fn with_content_type(body: Bytes, form: Form) -> Response<Bytes> {
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static(form.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn route<T>(request: &Request<T>, parameters: &Parameters<'_>) -> Result<Route, Status> {
    let uri = request.uri();
    if uri.path().len() + uri.query().map_or(0, str::len) > MAX_TARGET {
        return Err(Status::uri_too_long(format!("the URL is longer than {MAX_TARGET} bytes")));
    }
    path::check_query(uri.query().unwrap_or_default())?;
    path::parse(uri.path(), parameters)
}

/// What every answer carries, and what an answer to HEAD does not.
fn finish<T>(request: &Request<T>, response: &mut Response<Bytes>) {
    compress::apply(request.headers(), response);
    if *request.method() == Method::HEAD {
        let body = std::mem::take(response.body_mut());
        response.headers_mut().insert(CONTENT_LENGTH, body.len().into());
    }
    let headers = response.headers_mut();
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-cache, private"));
    if let Some(audit_id) = request.headers().get(AUDIT_ID) {
        headers.insert(AUDIT_ID, audit_id.clone());
    }
}

fn refuse_body(headers: &HeaderMap) -> Result<(), Status> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: u64| length > MAX_BODY) {
        return Err(Status::body_too_large("no request to this server needs a body"));
    }
    Ok(())
}

fn refuse_writing(method: &Method, resource: &str) -> Result<(), Status> {
    let action = match *method {
        Method::GET | Method::HEAD => return Ok(()),
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "this method",
    };
    Err(Status::method_not_allowed(action, &GroupResource::parse(resource)))
}

fn namespace(demand: &Demand) -> &str {
    match demand {
        Demand::Custom(demand) => demand.namespace.as_deref().unwrap_or_default(),
        Demand::External(demand) => &demand.namespace,
        Demand::Usage(_) => "",
    }
}

/// How a request is counted.
fn labels<T>(request: &Request<T>, route: &Result<Route, Status>) -> (Verb, ApiGroup) {
    let group = match request.uri().path().split('/').nth(2) {
        Some("custom.metrics.k8s.io") => ApiGroup::CustomMetrics,
        Some("external.metrics.k8s.io") => ApiGroup::ExternalMetrics,
        Some("metrics.k8s.io") => ApiGroup::ResourceMetrics,
        Some("insight.plimsoll.dev") => ApiGroup::Insight,
        _ => ApiGroup::NonResource,
    };
    let lists = match route {
        Ok(Route::Usage(usage)) => matches!(usage.target, Target::Selected(_)),
        Ok(Route::Decisions(decisions)) => decisions.name.is_none(),
        Ok(Route::Metric(MetricRoute { demand: Demand::External(_), .. })) => true,
        _ => false,
    };
    let verb = match (request.method(), lists) {
        (&Method::GET | &Method::HEAD, true) => Verb::List,
        (&Method::GET | &Method::HEAD, _) => Verb::Get,
        _ => Verb::Other,
    };
    (verb, group)
}
