//! Events that tell people about an object, `kubectl describe hpa` among them.
//!
//! What is told goes into a bounded queue; the holder of the Lease alone writes it. The same about
//! the same object is written once, however many replicas tell it: its name is made of what it
//! says, and what is there already is counted up in its series.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

use super::explain;

/// How many Events wait to be written; those beyond are dropped.
const QUEUE: usize = 1_024;
/// How many are kept while another replica holds the Lease, and for how long: it may have died
/// before it wrote them, which shows within 40 seconds.
const KEPT: usize = 1_024;
const KEPT_FOR: Duration = Duration::from_mins(1);
/// How many objects are remembered.
const OBJECTS: usize = 20_000;
/// The same is not told again within this time.
const REPEAT: Duration = Duration::from_mins(5);
/// How many Events an object may have at once, and how often another.
const BURST: u32 = 10;
const REFILL: Duration = Duration::from_mins(1);
/// The API server refuses longer notes.
const NOTE: usize = 1_024;
/// How long a write may take, how often it is tried, and the pause after the first failure.
const DEADLINE: Duration = Duration::from_secs(10);
const ATTEMPTS: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// Who reports.
const CONTROLLER: &str = "plimsoll.dev/plimsoll";

/// The object that an Event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSubject {
    /// Group and version: `autoscaling/v2`.
    pub api_version: String,
    /// `HorizontalPodAutoscaler`
    pub kind: String,
    /// `metadata.namespace`; empty where the kind is cluster-scoped.
    pub namespace: String,
    /// `metadata.name`
    pub name: String,
    /// `metadata.uid`
    pub uid: String,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// For information.
    Normal,
    /// Somebody should look.
    Warning,
}

/// Where Events are told. Cloning shares the queue.
#[derive(Clone, Debug)]
pub struct EventSink(mpsc::Sender<Told>);

/// What writes them.
pub struct EventWriter {
    queue: mpsc::Receiver<Told>,
    client: Client,
    /// The process, as in the Lease.
    instance: String,
    kept: VecDeque<Told>,
    recent: HashMap<String, Recent>,
    /// The last failure that was logged.
    logged: Option<String>,
}

#[derive(Clone, Debug)]
struct Told {
    subject: EventSubject,
    reason: &'static str,
    message: String,
    kind: EventKind,
    at: Instant,
}

/// What was written about an object lately.
#[derive(Debug)]
struct Recent {
    /// What was said last for each reason, how often, and when.
    said: HashMap<&'static str, (String, i32, Instant)>,
    allowance: u32,
    refilled: Instant,
}

/// A queue and what empties it. Nothing is sent yet.
pub fn events(client: Client, instance: String) -> (EventSink, EventWriter) {
    let (sink, queue) = mpsc::channel(QUEUE);
    let (kept, recent) = (VecDeque::new(), HashMap::new());
    (EventSink(sink), EventWriter { queue, client, instance, kept, recent, logged: None })
}

impl EventSink {
    /// Tells something about an object, once per change. Never waits: what does not fit into the
    /// queue is dropped.
    pub fn tell(
        &self,
        subject: &EventSubject,
        reason: &'static str,
        message: &str,
        kind: EventKind,
    ) {
        let message = shortened(message);
        let told = Told { subject: subject.clone(), reason, message, kind, at: Instant::now() };
        if self.0.try_send(told).is_err() {
            tracing::debug!(object = subject.name, reason, "too many Events: one was dropped");
        }
    }
}

impl EventWriter {
    /// Writes while the Lease is `held`, until nobody is left who tells.
    pub async fn run(mut self, mut held: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                told = self.queue.recv() => {
                    let Some(told) = told else { return };
                    let holds = *held.borrow();
                    self.take(told, holds).await;
                }
                Ok(()) = held.changed() => {
                    if *held.borrow_and_update() {
                        while let Some(told) = self.kept.pop_front() {
                            if told.at.elapsed() < KEPT_FOR {
                                self.write(told, true).await;
                            }
                        }
                    }
                }
            }
        }
    }

    async fn take(&mut self, told: Told, holds: bool) {
        if holds {
            self.write(told, false).await;
            return;
        }
        self.kept.push_back(told);
        while self.kept.len() > KEPT
            || self.kept.front().is_some_and(|told| told.at.elapsed() > KEPT_FOR)
        {
            self.kept.pop_front();
        }
    }

    /// Writes one. Of those that are `left` over by another holder, one that is there is done.
    async fn write(&mut self, told: Told, left: bool) {
        let Some(count) = self.admit(&told) else { return };
        for attempt in 0..ATTEMPTS {
            let outcome = match timeout(DEADLINE, self.send(&told, count, left)).await {
                Ok(Ok(())) => {
                    self.logged = None;
                    return;
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    self.log(format!("the API server did not answer within {DEADLINE:?}"));
                    continue;
                }
            };
            let refused = matches!(&outcome, kube::Error::Api(status)
                if (400..500).contains(&status.code) && status.code != 429);
            self.log(explain::client(&outcome));
            if refused {
                return;
            }
            sleep(PAUSE * 2_u32.pow(attempt)).await;
        }
    }

    /// How often the same was said, this time included; `None` where it is not to be said now.
    fn admit(&mut self, told: &Told) -> Option<i32> {
        let now = Instant::now();
        if self.recent.len() >= OBJECTS && !self.recent.contains_key(&told.subject.uid) {
            self.recent.retain(|_, recent| recent.refilled.elapsed() < REPEAT);
            if self.recent.len() >= OBJECTS {
                return None;
            }
        }
        let recent = self.recent.entry(told.subject.uid.clone()).or_insert_with(|| Recent {
            said: HashMap::new(),
            allowance: BURST,
            refilled: now,
        });
        while recent.allowance < BURST && now - recent.refilled >= REFILL {
            recent.allowance += 1;
            recent.refilled += REFILL;
        }
        if recent.allowance == BURST {
            recent.refilled = now;
        }
        let count = match recent.said.get(told.reason) {
            Some((message, _, at)) if *message == told.message && at.elapsed() < REPEAT => {
                return None;
            }
            Some((message, count, _)) if *message == told.message => count.saturating_add(1),
            _ => 1,
        };
        recent.allowance = recent.allowance.checked_sub(1)?;
        recent.said.insert(told.reason, (told.message.clone(), count, now));
        Some(count)
    }

    async fn send(&self, told: &Told, count: i32, left: bool) -> kube::Result<()> {
        let event = self.event(told);
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let name = event.metadata.name.clone().unwrap_or_default();
        let api = Api::<Event>::namespaced(self.client.clone(), &namespace);
        match api.create(&PostParams::default(), &event).await {
            // It was said before, by us or by another holder.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                if left {
                    return Ok(());
                }
                let series = json!({"series": {
                    "count": count.max(2),
                    "lastObservedTime": MicroTime(Timestamp::now()),
                }});
                api.patch(&name, &PatchParams::default(), &Patch::Merge(series)).await.map(|_| ())
            }
            outcome => outcome.map(|_| ()),
        }
    }

    fn event(&self, told: &Told) -> Event {
        let Told { subject, reason, message, kind, .. } = told;
        // Events of cluster-scoped objects are in `default`, as Kubernetes has them.
        let namespace = if subject.namespace.is_empty() { "default" } else { &subject.namespace };
        let digest = Sha256::new()
            .chain_update(&subject.uid)
            .chain_update([0])
            .chain_update(reason)
            .chain_update([0])
            .chain_update(message)
            .finalize();
        let digest = digest.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let name: String = subject.name.chars().take(200).collect();
        Event {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(format!("{}.{digest:016x}", name.trim_end_matches(['.', '-']))),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(Timestamp::now())),
            reporting_controller: Some(CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.chars().take(128).collect()),
            action: Some("Observe".to_owned()),
            reason: Some((*reason).to_owned()),
            note: Some(message.clone()),
            type_: Some(format!("{kind:?}")),
            regarding: Some(ObjectReference {
                api_version: Some(subject.api_version.clone()),
                kind: Some(subject.kind.clone()),
                namespace: Some(subject.namespace.clone()).filter(|name| !name.is_empty()),
                name: Some(subject.name.clone()),
                uid: Some(subject.uid.clone()),
                ..ObjectReference::default()
            }),
            ..Event::default()
        }
    }

    fn log(&mut self, reason: String) {
        if self.logged.as_ref() != Some(&reason) {
            tracing::warn!(
                reason,
                "an Event was not written; the account needs the verbs create and patch on events.events.k8s.io"
            );
            self.logged = Some(reason);
        }
    }
}

impl fmt::Debug for EventWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventWriter").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// As much of a message as a note can have.
fn shortened(message: &str) -> String {
    let end = message.floor_char_boundary(NOTE);
    message.get(..end).unwrap_or_default().to_owned()
}
