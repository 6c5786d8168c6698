//! Follows the objects of one kind: list, watch, and begin again where it breaks.
//!
//! kube's watcher does the protocol (pages, bookmarks, resume, relist on 410). This adds what it
//! leaves open: a published state that readers take without a lock, the back-off, a deadline for
//! each step of the first list, and whether the state is up to date.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::{Stream, StreamExt as _};
use kube::core::{ApiResource, DynamicObject, ObjectMeta, PartialObjectMeta};
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::RESPOND;
use super::explain;
use crate::model::inventory::{Object, Objects};
use crate::model::object::Kind;

/// At most ten states a second: each copies the list of the namespaces that changed.
const PUBLISH: Duration = Duration::from_millis(100);
/// Large enough for 100,000 objects in 100 requests, small enough to hold a page twice.
const PAGE: u32 = 1_000;
/// How long one page of the first list may take before the list begins again: the answer has to
/// begin within [`RESPOND`].
const STALL: Duration = RESPOND.saturating_add(RESPOND);
/// After this time without an error a request was answered.
const ANSWERED: Duration = RESPOND.saturating_add(Duration::from_secs(1));

type Metadata = PartialObjectMeta<DynamicObject>;

/// The objects of one kind as they were seen last.
#[derive(Debug)]
pub(super) struct Follow {
    kind: Arc<Kind>,
    /// `None` until the first list is in.
    objects: ArcSwapOption<Objects>,
    progress: watch::Sender<Progress>,
}

#[derive(Clone, Debug, Default)]
struct Progress {
    listed: bool,
    failure: Option<Failure>,
}

/// Why the state is not up to date.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// When the first of an unbroken series of failures was seen.
    pub(super) since: Instant,
    /// What the API server said last.
    pub(super) reason: Arc<str>,
}

impl Follow {
    pub(super) fn new(kind: Arc<Kind>) -> Self {
        Self { kind, objects: ArcSwapOption::empty(), progress: watch::Sender::default() }
    }

    pub(super) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// The objects as they were seen last.
    pub(super) fn current(&self) -> Option<Arc<Objects>> {
        self.objects.load_full()
    }

    /// Why they are not up to date.
    pub(super) fn failure(&self) -> Option<Failure> {
        self.progress.borrow().failure.clone()
    }

    /// Waits until the first list is in or an attempt at it has failed.
    pub(super) async fn first(&self) -> Result<Arc<Objects>, Arc<str>> {
        let mut progress = self.progress.subscribe();
        let failure = match progress.wait_for(|now| now.listed || now.failure.is_some()).await {
            Ok(now) => now.failure.clone(),
            // The sender lives in `self`.
            Err(_) => None,
        };
        self.current().ok_or_else(|| {
            failure.map_or_else(|| "it is not followed any more".into(), |failure| failure.reason)
        })
    }

    /// Follows for ever.
    pub(super) async fn run(self: Arc<Self>, client: Client) {
        let resource = ApiResource {
            group: self.kind.group.clone(),
            version: self.kind.version.clone(),
            api_version: self.kind.api_version(),
            kind: self.kind.kind.clone(),
            plural: self.kind.plural.clone(),
        };
        let api = Api::<Metadata>::all_with(client, &resource);
        let config = watcher::Config::default().page_size(PAGE);
        let mut backoff = DefaultBackoff::default();
        loop {
            let events = pin!(watcher::watcher(api.clone(), config.clone()));
            let reason = self.consume(events, &mut backoff).await;
            self.failed(&reason);
            sleep(next_delay(&mut backoff)).await;
        }
    }

    /// Takes up events until the stream is of no use any more; says why.
    async fn consume(
        &self,
        mut events: Pin<&mut impl Stream<Item = watcher::Result<Event<Metadata>>>>,
        backoff: &mut DefaultBackoff,
    ) -> String {
        let mut view = View::new(self.current());
        // When the last attempt after a failure began.
        let mut retried = Instant::now();
        let mut heard = Instant::now();
        loop {
            let failing = self.progress.borrow().failure.is_some();
            let step = tokio::select! {
                biased;
                () = sleep_until(view.publish_at), if view.changed => Step::Publish,
                // A watch that resumes says nothing before an object changes. Had it not been
                // answered, the deadline of the request would have said so by now.
                () = sleep_until(retried + ANSWERED), if failing && view.listing.is_none() => {
                    Step::Resumed
                }
                event = events.next() => Step::Event(event),
                () = sleep_until(heard + STALL), if view.listing.is_some() => {
                    return format!("the API server stopped for {STALL:?} within a list");
                }
            };
            heard = Instant::now();
            match step {
                Step::Publish => view.publish(&self.objects),
                Step::Resumed => self.recovered(),
                Step::Event(Some(Ok(event))) => {
                    if view.apply(event) {
                        view.publish(&self.objects);
                        self.listed();
                    }
                    if failing && view.listing.is_none() {
                        self.recovered();
                    }
                }
                Step::Event(Some(Err(error))) => {
                    view.publish_if_changed(&self.objects);
                    view.listing = None;
                    self.interrupted(&error);
                    sleep(next_delay(backoff)).await;
                    retried = Instant::now();
                }
                Step::Event(None) => return "the watch ended".to_owned(),
            }
        }
    }

    fn listed(&self) {
        let first = !self.progress.borrow().listed;
        self.progress.send_modify(|progress| progress.listed = true);
        let objects = self.current().map_or(0, |objects| objects.len());
        if first {
            tracing::info!(kind = %self.kind.group_resource(), objects, "following the objects");
        } else {
            tracing::debug!(kind = %self.kind.group_resource(), objects, "listed the objects anew");
        }
    }

    fn recovered(&self) {
        self.progress.send_if_modified(|progress| {
            let Some(failure) = progress.failure.take() else {
                return false;
            };
            let kind = self.kind.group_resource();
            let after = failure.since.elapsed();
            tracing::info!(%kind, ?after, "following the objects again");
            true
        });
    }

    fn interrupted(&self, error: &watcher::Error) {
        let kind = self.kind.group_resource();
        if explain::expired(error) {
            tracing::debug!(%kind, %error, "the watch fell behind and begins with a new list");
        } else {
            self.failed(&explain::watch(error, &kind));
        }
    }

    fn failed(&self, reason: &str) {
        self.progress.send_modify(|progress| {
            let kind = self.kind.group_resource();
            let since = if let Some(failure) = &progress.failure {
                tracing::debug!(%kind, reason, "still cannot follow the objects");
                failure.since
            } else {
                tracing::warn!(%kind, reason, "cannot follow the objects; the last state serves");
                Instant::now()
            };
            progress.failure = Some(Failure { since, reason: reason.into() });
        });
    }
}

fn next_delay(backoff: &mut DefaultBackoff) -> Duration {
    // The iterator has no end; should it get one, this is its largest step.
    backoff.next().unwrap_or(Duration::from_secs(30))
}

#[expect(clippy::large_enum_variant, reason = "one lives on the stack for one step")]
enum Step {
    Publish,
    Resumed,
    Event(Option<watcher::Result<Event<Metadata>>>),
}

/// The state as events make it, ahead of the published one.
struct View {
    objects: Objects,
    /// A list that is not complete yet.
    listing: Option<Objects>,
    changed: bool,
    /// When the next state may be published.
    publish_at: Instant,
}

impl View {
    fn new(published: Option<Arc<Objects>>) -> Self {
        Self {
            objects: published.map(|objects| (*objects).clone()).unwrap_or_default(),
            listing: None,
            changed: false,
            publish_at: Instant::now(),
        }
    }

    /// Takes up an event; true where it completes a list.
    fn apply(&mut self, event: Event<Metadata>) -> bool {
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(metadata) => {
                insert(self.listing.get_or_insert_default(), metadata);
            }
            Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                return true;
            }
            Event::Apply(metadata) => {
                insert(&mut self.objects, metadata);
                self.changed = true;
            }
            Event::Delete(metadata) => {
                let namespace = metadata.namespace().unwrap_or_default();
                self.objects.remove(&namespace, &metadata.name_any());
                self.changed = true;
            }
        }
        false
    }

    fn publish_if_changed(&mut self, published: &ArcSwapOption<Objects>) {
        if self.changed {
            self.publish(published);
        }
    }

    fn publish(&mut self, published: &ArcSwapOption<Objects>) {
        published.store(Some(Arc::new(self.objects.clone())));
        self.changed = false;
        self.publish_at = Instant::now() + PUBLISH;
    }
}

fn insert(objects: &mut Objects, metadata: Metadata) {
    let ObjectMeta { name, namespace, labels, .. } = metadata.metadata;
    // The map is sorted by key already.
    let labels = labels.unwrap_or_default().into_iter();
    let object = Object {
        name: name.unwrap_or_default().into(),
        labels: labels.map(|(key, value)| (key.into(), value.into())).collect(),
    };
    objects.insert(&namespace.unwrap_or_default(), object);
}
