//! The signals there are: those of the file and those of custom resources, followed and joined.

pub(super) mod status;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::AppEngine;
use crate::cluster::Snapshots;
use crate::config::Config;
use crate::engine::discovery::Signals;
use crate::model::custom::{CustomKind, CustomObject};
use crate::signals::resolve::{Declared, Resolved, Resolver};
use crate::tasks;

/// How long the start waits for the first list of the resources, so that what they declare is served
/// from the first moment on.
const FIRST_LIST_DEADLINE: Duration = Duration::from_secs(2);

/// Changes that come together are taken up together.
const SETTLING_TIME: Duration = Duration::from_millis(100);

/// What is declared, as it changes.
pub(super) struct Declarations {
    /// The signals in the order of precedence.
    pub(super) signals: watch::Receiver<Signals>,
    /// What became of each resource.
    pub(super) resolved: watch::Receiver<Arc<Resolved>>,
    /// Comes when the resources that there are at the start are taken up, within bounds.
    pub(super) in_force: oneshot::Receiver<()>,
}

/// Begins to follow everything that declares signals.
pub(super) fn start(
    engine: &Arc<AppEngine>,
    config: watch::Receiver<Arc<Config>>,
    stop: &CancellationToken,
) -> Declarations {
    let inventory = engine.inventory();
    let (publish_signals, signals) = watch::channel(Arc::new(config.borrow().signals.clone()));
    let (publish_resolved, resolved) = watch::channel(Arc::default());
    let (first, in_force) = oneshot::channel();
    let follower = Follower {
        config,
        cluster: inventory.custom(CustomKind::ClusterSignal),
        namespaced: inventory.custom(CustomKind::Signal),
        signals: publish_signals,
        resolved: publish_resolved,
        told: HashSet::new(),
    };
    tasks::spawn_until(stop.clone(), "signals", follower.run(first));
    Declarations { signals, resolved, in_force }
}

struct Follower {
    config: watch::Receiver<Arc<Config>>,
    cluster: Snapshots<CustomObject>,
    namespaced: Snapshots<CustomObject>,
    signals: watch::Sender<Signals>,
    resolved: watch::Sender<Arc<Resolved>>,
    /// What the log has been told of what is so now.
    told: HashSet<String>,
}

impl Follower {
    /// Publishes for as long as somebody can change something.
    async fn run(mut self, first: oneshot::Sender<()>) {
        let deadline = Instant::now() + FIRST_LIST_DEADLINE;
        for resources in [&mut self.cluster, &mut self.namespaced] {
            // What is not known by then is taken up when it is.
            let _late = timeout_at(deadline, resources.wait_for(Option::is_some)).await;
        }
        let mut resolver = Resolver::default();
        let mut first = Some(first);
        loop {
            let declared = self.declared();
            let resolve = move || (resolver.resolve(&declared), resolver);
            let resolved;
            (resolved, resolver) = match tokio::task::spawn_blocking(resolve).await {
                Ok(resolved) => resolved,
                Err(stopped) => match stopped.try_into_panic() {
                    Ok(panic) => std::panic::resume_unwind(panic),
                    // The runtime ends.
                    Err(_) => return,
                },
            };
            self.publish(resolved);
            if let Some(first) = first.take() {
                // Nobody waits where the end has come.
                let _nobody = first.send(());
            }
            let changed = tokio::select! {
                changed = self.config.changed() => changed,
                changed = self.cluster.changed() => changed,
                changed = self.namespaced.changed() => changed,
            };
            if changed.is_err() {
                return;
            }
            sleep(SETTLING_TIME).await;
        }
    }

    fn declared(&mut self) -> Declared {
        let config = self.config.borrow_and_update();
        let objects = |resources: &mut Snapshots<CustomObject>| {
            resources.borrow_and_update().clone().unwrap_or_default()
        };
        Declared {
            file: config.signals.clone(),
            presets: Arc::clone(&config.presets),
            cluster: objects(&mut self.cluster),
            namespaced: objects(&mut self.namespaced),
        }
    }

    fn publish(&mut self, resolved: Resolved) {
        for lost in &resolved.lost {
            if self.told.insert(lost.clone()) {
                warn!("{lost}");
            }
        }
        self.told.retain(|told| resolved.lost.contains(told));
        self.signals.send_if_modified(|signals| {
            let is_same = signals.len() == resolved.signals.len()
                && signals
                    .iter()
                    .zip(&resolved.signals)
                    .all(|(one, other)| Arc::ptr_eq(one, other));
            if !is_same {
                *signals = Arc::new(resolved.signals.clone());
            }
            !is_same
        });
        self.resolved.send_replace(Arc::new(resolved));
    }
}
