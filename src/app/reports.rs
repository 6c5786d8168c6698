//! What is told in the cluster, by the holder of the Lease alone: Events on autoscalers whose
//! metrics have no value, and the status of our own objects.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::AppEngine;
use super::lease::Leadership;
use super::signals::status;
use crate::cluster::events::{self, EventKind, EventSink, EventSubject};
use crate::cluster::status::Statuses;
use crate::engine::failures::{Change, Failures, State};
use crate::signals::resolve::Resolved;
use crate::tasks;

/// How often it is looked whether something has changed.
const ROUND: Duration = Duration::from_secs(1);

/// Where it is told.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    events: EventSink,
    statuses: Statuses,
    /// Whether the Lease is ours.
    held: watch::Receiver<bool>,
}

impl Reports {
    /// Starts to write what will be told, while the Lease is held.
    pub(super) fn start(client: Client, leadership: &Leadership, stop: &CancellationToken) -> Self {
        let (events, writer) = events::events(client.clone(), leadership.identity.clone());
        let held = &leadership.held;
        tasks::spawn_until(stop.clone(), "Events", writer.run(held.clone()));
        let statuses = Statuses::default();
        let write = statuses.clone().run(client, held.clone());
        tasks::spawn_until(stop.clone(), "statuses", write);
        Self { events, statuses, held: held.clone() }
    }

    /// Begins to tell everybody.
    pub(super) fn tell(
        &self,
        engine: &Arc<AppEngine>,
        resolved: watch::Receiver<Arc<Resolved>>,
        stop: &CancellationToken,
    ) {
        self.tell_of_failures(engine, stop);
        self.tell_of_signals(engine, resolved, stop);
    }

    /// Tells the owners of signals what becomes of them.
    fn tell_of_signals(
        &self,
        engine: &Arc<AppEngine>,
        resolved: watch::Receiver<Arc<Resolved>>,
        stop: &CancellationToken,
    ) {
        let (engine, statuses) = (Arc::clone(engine), self.statuses.clone());
        let report = status::report(engine, resolved, self.held.clone(), statuses);
        tasks::spawn_until(stop.clone(), "status of signals", report);
    }

    /// Tells the autoscalers what is wrong with the answers to what they ask for.
    fn tell_of_failures(&self, engine: &Arc<AppEngine>, stop: &CancellationToken) {
        let (engine, events) = (Arc::clone(engine), self.events.clone());
        tasks::spawn_until(stop.clone(), "failures", async move {
            let mut failures = Failures::default();
            let mut rounds = tokio::time::interval(ROUND);
            rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                rounds.tick().await;
                for change in failures.look(&engine, Timestamp::now()) {
                    tell(&events, &change);
                }
            }
        });
    }
}

fn tell(events: &EventSink, Change { autoscaler, metric, state }: &Change) {
    let subject = EventSubject {
        api_version: "autoscaling/v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        namespace: autoscaler.namespace.to_string(),
        name: autoscaler.name.to_string(),
        uid: autoscaler.uid.to_string(),
    };
    let (reason, message, kind) = match state {
        State::Answered => (
            "PlimsollMetricAvailable",
            format!("{metric}: it has a value again"),
            EventKind::Normal,
        ),
        State::Outdated(error) => (
            "PlimsollMetricOutdated",
            format!("{metric}: the last known value is served: {error}"),
            EventKind::Warning,
        ),
        State::Unanswered(error) => {
            ("PlimsollMetricUnavailable", format!("{metric}: {error}"), EventKind::Warning)
        }
    };
    events.tell(&subject, reason, &message, kind);
}
