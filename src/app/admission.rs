//! The admission half: a listener, limits and a readiness of its own.

mod surroundings;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

use super::AppEngine;
use crate::admission::decide::{Surroundings as _, decide};
use crate::admission::recorder::Recorder;
use crate::admission::review;
use crate::admission::server::Server;
use crate::engine::ports::Route;
use crate::model::policy::Policy;
use crate::promql::rule::DEFAULT_BACKEND;
use crate::serve::health::Health;
use crate::serve::{Context, Limits, Listener, Peer};
use crate::tasks;
use crate::telemetry::metrics::Webhook;

pub(super) use surroundings::Cluster;

/// Connections at one time: each API server has a few.
const MAX_CONNECTIONS: usize = 512;

/// The kinds that are named in the metrics; others are `other`, so that the label is bounded.
const KINDS: [&str; 9] = [
    "CronJob",
    "DaemonSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "Job",
    "Pod",
    "ReplicaSet",
    "ReplicationController",
    "StatefulSet",
];

/// Begins to gather what is known of the cluster, and goes on until `stop`.
pub(super) fn gather(
    engine: &Arc<AppEngine>,
    policy: watch::Receiver<Arc<Policy>>,
    own_namespace: Option<String>,
    stop: &CancellationToken,
) -> Arc<Cluster> {
    let route = Route { backend: DEFAULT_BACKEND.into(), namespace: None, accept_partial: true };
    let (recorder, histories) = Recorder::new(Arc::clone(engine), route);
    let (cluster, wishes) = Cluster::new(Arc::clone(engine), policy, histories, own_namespace);
    let cluster = Arc::new(cluster);
    let (following, wishes) = (Arc::clone(&cluster), Arc::new(Mutex::new(wishes)));
    tasks::keep(stop.clone(), "objects of admission", move || {
        let (cluster, wishes) = (Arc::clone(&following), Arc::clone(&wishes));
        async move { cluster.follow(&mut *wishes.lock().await).await }
    });
    let (asked, recorder) = (Arc::clone(&cluster), Arc::new(Mutex::new(recorder)));
    tasks::keep(stop.clone(), "histories", move || {
        let (asked, recorder) = (Arc::clone(&asked), Arc::clone(&recorder));
        async move { recorder.lock().await.run(|| asked.policy().history).await }
    });
    cluster
}

/// Serves until the context's shutdown: how many connections had to be cut.
pub(super) async fn serve(
    listener: Listener,
    tls: Arc<ArcSwap<ServerConfig>>,
    context: Context,
    health: Health,
    cluster: Arc<Cluster>,
) -> usize {
    let limits = Limits { connections: MAX_CONNECTIONS, ..context.limits };
    let metrics = Arc::clone(&context.metrics);
    let judge = move |request: &review::Request<'_>, webhook: Webhook| {
        cluster.engage();
        decide(request, webhook, &*cluster, Timestamp::now(), |finding, kind| {
            let kind = KINDS.into_iter().find(|known| *known == kind).unwrap_or("other");
            metrics.admission_found(finding.rule.name(), finding.mode.name(), kind);
        })
    };
    let server = Arc::new(Server::new(judge, health, Arc::clone(&context.metrics)));
    let handler = move |request: Request<Incoming>, _peer: Arc<Peer>| {
        let server = Arc::clone(&server);
        async move { server.answer(request).await }
    };
    listener.serve(tls, Context { limits, ..context }, handler).await
}
