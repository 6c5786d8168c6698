//! What keeps the answers ready in the background: discovery, the signals, what the autoscalers will
//! ask for, and the refresh.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{AppEngine, signals};
use crate::cluster::AnyInventory;
use crate::config::Config;
use crate::engine::discovery::{Discovery, Schedule};
use crate::engine::refresh;
use crate::prometheus::Backends;
use crate::serve::health::{Health, Pending};
use crate::signals::resolve::Resolved;
use crate::tasks;
use crate::telemetry::metrics::Metrics;

/// How long readiness waits for the first listing of the series. Past it the server is ready
/// without: a backend that is down must not take discovery and its answers away from the cluster.
const FIRST_LISTING_DEADLINE: Duration = Duration::from_secs(5);

/// How long it then waits for what the autoscalers will ask for, which may take a slow backend
/// longer.
const WARM_UP_DEADLINE: Duration = Duration::from_secs(5);

/// Starts all of it; what became of the signals of custom resources.
pub(super) fn start(
    engine: &Arc<AppEngine>,
    config: watch::Receiver<Arc<Config>>,
    schedule: Schedule,
    health: &Health,
    metrics: &Arc<Metrics>,
    stop: &CancellationToken,
) -> watch::Receiver<Arc<Resolved>> {
    let ready = [health.register("discovery"), health.register("autoscalers")];
    let (refreshed, counted) = (Arc::clone(engine), Arc::clone(metrics));
    let refresh = move || refresh::run(Arc::clone(&refreshed), Arc::clone(&counted));
    tasks::keep(stop.clone(), "refresh", refresh);
    let watched = Arc::clone(engine);
    let replicas = async move { watched.backend().watch().await };
    tasks::spawn_until(stop.clone(), "replicas", replicas);
    let signals::Declarations { signals, resolved, in_force } =
        signals::start(engine, config.clone(), stop);
    let listings =
        Discovery::new(Arc::clone(engine), config, signals, schedule, Arc::clone(metrics));
    let discovery = discover(Arc::clone(engine), listings, in_force, ready);
    tasks::spawn_until(stop.clone(), "discovery", discovery);
    tasks::spawn_until(stop.clone(), "autoscalers", foresee(Arc::clone(engine)));
    resolved
}

/// Lists for ever, and says when what is listed first is in force and the answers to what the
/// autoscalers ask for are there.
async fn discover(
    engine: Arc<AppEngine>,
    listings: Discovery<Backends, AnyInventory>,
    declared: oneshot::Receiver<()>,
    [discovered, warm]: [Pending; 2],
) {
    // Where the task that says so is gone, the process ends.
    let _gone = declared.await;
    let (listed, first_listing) = oneshot::channel();
    let ready = async {
        if timeout(FIRST_LISTING_DEADLINE, first_listing).await.is_err() {
            warn!("the series are not listed yet; serving without");
        }
        discovered.done();
        let deadline = Instant::now() + WARM_UP_DEADLINE;
        if !engine.warm(engine.inventory().autoscalers(), deadline).await {
            warn!("not all that the autoscalers ask for is evaluated yet; serving without");
        }
        warm.done();
    };
    tokio::join!(listings.run(listed), ready);
}

/// Follows what the autoscalers will ask for.
async fn foresee(engine: Arc<AppEngine>) {
    engine.follow(engine.inventory().autoscalers()).await;
}
