//! The admission half: a listener, limits and a readiness of its own, and what it knows of the
//! cluster.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::AppEngine;
use crate::admission::decide::{Surroundings, decide};
use crate::admission::review;
use crate::admission::server::Server;
use crate::engine::ports::Inventory as _;
use crate::model::autoscaler::Autoscaler;
use crate::model::inventory::{LabelSet, Objects};
use crate::model::limit_range::LimitRange;
use crate::model::object::Kind;
use crate::model::policy::Policy;
use crate::serve::health::Health;
use crate::serve::{Context, Limits, Listener, Peer};
use crate::tasks;
use crate::telemetry::metrics::Webhook;

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

/// The kinds that are looked up. Owners of pods are nearly always of the last three.
const FOLLOWED: [(&str, &str); 6] = [
    ("", "Namespace"),
    ("", "LimitRange"),
    ("autoscaling", "HorizontalPodAutoscaler"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("batch", "Job"),
];

/// Serves until the context's shutdown: how many connections had to be cut.
pub(super) async fn serve(
    listener: Listener,
    tls: Arc<ArcSwap<ServerConfig>>,
    context: Context,
    health: Health,
    cluster: Cluster,
) -> usize {
    let limits = Limits { connections: MAX_CONNECTIONS, ..context.limits };
    let metrics = Arc::clone(&context.metrics);
    let judge = move |request: &review::Request<'_>, webhook: Webhook| {
        decide(request, webhook, &cluster, Timestamp::now(), |finding, kind| {
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

/// What is known of the cluster, from memory alone.
pub(super) struct Cluster {
    engine: Arc<AppEngine>,
    policy: watch::Receiver<Arc<Policy>>,
    own_namespace: String,
}

impl Cluster {
    pub(super) fn new(
        engine: Arc<AppEngine>,
        policy: watch::Receiver<Arc<Policy>>,
        own_namespace: Option<String>,
    ) -> Self {
        Self { engine, policy, own_namespace: own_namespace.unwrap_or_default() }
    }

    /// Begins to follow the kinds that are looked up, which then go on by themselves.
    pub(super) fn warm_up(&self, stop: CancellationToken) {
        let follow = follow(Arc::clone(&self.engine));
        tasks::spawn("objects of admission", async move {
            // What is not known when the end comes is known to nobody.
            let _known = stop.run_until_cancelled(follow).await;
        });
    }

    /// The empty list where there is no object of a kind in a namespace. Of those that there are the
    /// inventory keeps no more than the names, so that what they say is not known.
    fn none_of<T>(&self, group: &str, kind: &str, namespace: &str) -> Option<Vec<T>> {
        let objects = self.objects(|other| other.group == group && other.kind == kind)?;
        objects.in_namespace(namespace).is_empty().then(Vec::new)
    }

    fn objects(&self, is_it: impl Fn(&Kind) -> bool) -> Option<Arc<Objects>> {
        let inventory = self.engine.inventory();
        let kinds = inventory.kinds();
        let kind = kinds.iter().find(|kind| is_it(kind))?;
        inventory.current(kind)
    }
}

async fn follow(engine: Arc<AppEngine>) {
    let kinds = engine.inventory().kinds();
    for (group, kind) in FOLLOWED {
        if let Some(found) = kinds.iter().find(|found| found.group == group && found.kind == kind) {
            // What cannot be read is not known, and is asked for again by whoever needs it.
            let _unknown = engine.inventory().objects(found).await;
        }
    }
}

impl Surroundings for Cluster {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    fn namespace(&self, namespace: &str) -> Option<LabelSet> {
        let namespaces = self.objects(Kind::is_namespace)?;
        namespaces.get("", namespace).map(|found| Arc::clone(&found.labels))
    }

    fn limit_ranges(&self, namespace: &str) -> Option<Vec<Arc<LimitRange>>> {
        self.none_of("", "LimitRange", namespace)
    }

    fn autoscalers(&self, namespace: &str) -> Option<Vec<Arc<Autoscaler>>> {
        self.none_of("autoscaling", "HorizontalPodAutoscaler", namespace)
    }

    fn exists(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<bool> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let objects = self.objects(|other| other.group == group && other.kind == kind)?;
        Some(objects.contains(namespace, name))
    }

    fn own_namespace(&self) -> &str {
        &self.own_namespace
    }
}
