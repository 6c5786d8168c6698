//! Follows the objects of one kind: list, watch, and begin again where it breaks.
//!
//! kube's watcher does the protocol (pages, bookmarks, resume, relist on 410). This adds what it
//! leaves open: a published state that readers take without a lock, the back-off, a deadline for
//! each step of the first list, and whether the state is up to date.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::{Stream, StreamExt as _};
use kube::core::{ApiResource, ObjectMeta};
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{self, RESPOND};
use super::explain;
use super::intern::{Interner, OwnerRef};
use super::metadata::Metadata;
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

/// The objects of one kind as they were seen last.
#[derive(Debug)]
pub(super) struct Follow {
    kind: Arc<Kind>,
    /// `None` until the first list is in.
    objects: ArcSwapOption<Objects>,
    progress: watch::Sender<Progress>,
    failures: AtomicU64,
    created: Instant,
    /// Milliseconds after `created` at which somebody last asked.
    last_asked: AtomicU64,
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
        Self {
            kind,
            objects: ArcSwapOption::empty(),
            progress: watch::Sender::default(),
            failures: AtomicU64::new(0),
            created: Instant::now(),
            last_asked: AtomicU64::new(0),
        }
    }

    pub(super) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// The objects as they were seen last.
    pub(super) fn current(&self) -> Option<Arc<Objects>> {
        self.objects.load_full()
    }

    /// Notes that somebody asks now.
    pub(super) fn asked(&self) {
        let after = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_asked.store(after, Ordering::Relaxed);
    }

    /// How long nobody has asked.
    pub(super) fn idle(&self) -> Duration {
        let asked = Duration::from_millis(self.last_asked.load(Ordering::Relaxed));
        self.created.elapsed().saturating_sub(asked)
    }

    /// How often a list or watch has failed.
    pub(super) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
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
        let api = Api::<Metadata>::all_with(client::with_paced_watches(client), &resource);
        let config = watcher::Config::default().page_size(PAGE);
        let mut backoff = DefaultBackoff::default();
        let mut interner = Interner::default();
        loop {
            let events = pin!(watcher::watcher(api.clone(), config.clone()));
            let view = View::new(self.current(), &mut interner);
            let reason = self.consume(events, view, &mut backoff).await;
            self.failed(&reason);
            sleep(next_delay(&mut backoff)).await;
        }
    }

    /// Takes up events until the stream is of no use any more; says why.
    async fn consume(
        &self,
        mut events: Pin<&mut impl Stream<Item = watcher::Result<Event<Metadata>>>>,
        mut view: View<'_>,
        backoff: &mut DefaultBackoff,
    ) -> String {
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
        self.failures.fetch_add(1, Ordering::Relaxed);
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
struct View<'a> {
    objects: Objects,
    /// A list that is not complete yet.
    listing: Option<Objects>,
    interner: &'a mut Interner,
    changed: bool,
    /// When the next state may be published.
    publish_at: Instant,
}

impl<'a> View<'a> {
    fn new(published: Option<Arc<Objects>>, interner: &'a mut Interner) -> Self {
        Self {
            objects: published.map(|objects| (*objects).clone()).unwrap_or_default(),
            listing: None,
            interner,
            changed: false,
            publish_at: Instant::now(),
        }
    }

    /// Takes up an event; true where it completes a list.
    fn apply(&mut self, event: Event<Metadata>) -> bool {
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(metadata) => {
                let (namespace, object) = self.object(&metadata.0);
                // What has not changed is kept once while the old state serves.
                let object = match self.objects.get(namespace, &object.name) {
                    Some(known) if **known == object => Arc::clone(known),
                    _ => Arc::new(object),
                };
                self.listing.get_or_insert_default().insert(namespace, object);
            }
            Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                return true;
            }
            Event::Apply(metadata) => {
                let (namespace, object) = self.object(&metadata.0);
                self.changed |= self.objects.insert(namespace, Arc::new(object));
            }
            Event::Delete(metadata) => {
                let namespace = metadata.namespace().unwrap_or_default();
                self.changed |= self.objects.remove(&namespace, &metadata.name_any());
            }
        }
        false
    }

    /// The namespace of an object, and what is kept of it.
    fn object<'b>(&mut self, metadata: &'b ObjectMeta) -> (&'b str, Object) {
        // The map is sorted by key already.
        let labels = metadata.labels.iter().flatten();
        let mut owners = metadata.owner_references.iter().flatten();
        let controller = owners.find(|owner| owner.controller == Some(true));
        let object = self.interner.object(
            metadata.name.as_deref().unwrap_or_default(),
            labels.map(|(key, value)| (key.as_str(), value.as_str())),
            controller.map(|owner| OwnerRef {
                api_version: &owner.api_version,
                kind: &owner.kind,
                name: &owner.name,
            }),
        );
        (metadata.namespace.as_deref().unwrap_or_default(), object)
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, app: &str, resource_version: &str) -> Metadata {
        serde_json::from_value(json!({
            "apiVersion": "meta.k8s.io/v1",
            "kind": "PartialObjectMetadata",
            "metadata": {
                "name": name, "namespace": "shop", "labels": {"app": app},
                "resourceVersion": resource_version,
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "a"},
                    {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "b",
                     "controller": true},
                ],
            },
        }))
        .unwrap()
    }

    #[test]
    fn a_change_of_status_alone_makes_no_new_state() {
        let mut interner = Interner::default();
        let mut view = View::new(None, &mut interner);
        let mut changes = |event| {
            view.changed = false;
            view.apply(event);
            view.changed
        };
        assert_eq!(
            [
                changes(Event::Apply(pod("web-0", "web", "1"))),
                changes(Event::Apply(pod("web-0", "web", "2"))),
                changes(Event::Apply(pod("web-0", "api", "3"))),
                changes(Event::Delete(pod("web-1", "web", "4"))),
                changes(Event::Delete(pod("web-0", "api", "5"))),
            ],
            [true, false, true, false, true]
        );
    }

    #[test]
    fn a_new_list_keeps_the_objects_that_are_as_they_were() {
        let mut interner = Interner::default();
        let mut view = View::new(None, &mut interner);
        let mut list = |apps: [&str; 2]| {
            view.apply(Event::Init);
            for (n, app) in apps.into_iter().enumerate() {
                view.apply(Event::InitApply(pod(&format!("web-{n}"), app, "1")));
            }
            assert!(view.apply(Event::InitDone));
            view.objects.clone()
        };
        let (before, after) = (list(["web", "web"]), list(["web", "api"]));
        let same =
            |name| Arc::ptr_eq(before.get("shop", name).unwrap(), after.get("shop", name).unwrap());
        assert_eq!([same("web-0"), same("web-1")], [true, false]);
        let owner = after.get("shop", "web-1").unwrap().owner.clone().unwrap();
        assert_eq!((&*owner.kind, &*owner.name), ("ReplicaSet", "web"));
    }
}
