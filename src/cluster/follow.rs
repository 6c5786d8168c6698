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
use kube::core::ApiResource;
use kube::runtime::watcher::{self, DefaultBackoff, Event};
use kube::{Api, Client};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::client::{self, RESPOND};
use super::explain;
use super::intern::Interner;
use super::partial::{Keep, Partial};
use super::watch::WatchState;
use crate::model::inventory::{Object, Objects};
use crate::model::object::{Kind, Kinds};

/// At most ten states a second: each copies the list of the namespaces that changed.
const PUBLISH: Duration = Duration::from_millis(100);
/// How long one page of the first list may take before the list begins again: the answer has to
/// begin within [`RESPOND`].
const STALL: Duration = RESPOND.saturating_add(RESPOND);
/// After this time without an error a request was answered.
const ANSWERED: Duration = RESPOND.saturating_add(Duration::from_secs(1));

/// The objects of one kind as they were seen last.
#[derive(Debug)]
pub(super) struct Follow<T = Object> {
    kind: Arc<Kind>,
    /// The field selector of those that are followed; empty for all.
    fields: &'static str,
    /// `None` until the first list is in.
    objects: ArcSwapOption<Objects<T>>,
    /// The same for those who wait for the next.
    states: watch::Sender<Option<Arc<Objects<T>>>>,
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

impl<T: Keep> Follow<T> {
    pub(super) fn new(kind: Arc<Kind>) -> Self {
        Self::selected(kind, "")
    }

    /// Those alone that a field selector chooses.
    pub(super) fn selected(kind: Arc<Kind>, fields: &'static str) -> Self {
        Self {
            kind,
            fields,
            objects: ArcSwapOption::empty(),
            states: watch::Sender::default(),
            progress: watch::Sender::default(),
            failures: AtomicU64::new(0),
            created: Instant::now(),
            last_asked: AtomicU64::new(0),
        }
    }

    /// The objects as they were seen last.
    pub(super) fn current(&self) -> Option<Arc<Objects<T>>> {
        self.objects.load_full()
    }

    /// The objects as they are seen from now on; `None` until the first list is in.
    pub(super) fn subscribe(&self) -> watch::Receiver<Option<Arc<Objects<T>>>> {
        self.states.subscribe()
    }

    /// There is no such kind, and hence no objects of it.
    pub(super) fn clear(&self) {
        self.publish(Arc::default());
        self.progress.send_modify(|progress| progress.failure = None);
    }

    fn publish(&self, objects: Arc<Objects<T>>) {
        self.objects.store(Some(Arc::clone(&objects)));
        self.states.send_replace(Some(objects));
    }

    /// How well they are followed, for metrics.
    pub(super) fn state(&self) -> WatchState {
        let failure = self.failure();
        WatchState {
            resource: self.kind.group_resource(),
            objects: self.current().map(|objects| objects.len()),
            age: failure.as_ref().map_or(Duration::ZERO, |failure| failure.since.elapsed()),
            failure: failure.map(|failure| failure.reason),
            failures: self.failures.load(Ordering::Relaxed),
        }
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

    /// Why they are not up to date.
    fn failure(&self) -> Option<Failure> {
        self.progress.borrow().failure.clone()
    }

    /// Waits until the first list is in or an attempt at it has failed.
    pub(super) async fn first(&self) -> Result<Arc<Objects<T>>, Arc<str>> {
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

    /// Follows while there is such a kind, for ever.
    pub(super) async fn run_while_there(
        self: Arc<Self>,
        client: Client,
        mut kinds: watch::Receiver<Arc<Kinds>>,
    ) {
        let resource = self.kind.group_resource();
        let is_there = |kinds: &Arc<Kinds>| {
            kinds.resolve(&resource).is_some_and(|kind| {
                kind.group == resource.group && kind.plural == resource.resource
            })
        };
        loop {
            if !is_there(&kinds.borrow_and_update()) {
                self.clear();
            }
            if kinds.wait_for(is_there).await.is_err() {
                return;
            }
            let run = Arc::clone(&self).run(client.clone());
            tokio::select! {
                () = run => {}
                _ = kinds.wait_for(|kinds| !is_there(kinds)) => {
                    tracing::info!(kind = %resource, "not followed any more: the kind is gone");
                }
            }
        }
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
        let api = Api::<Partial<T>>::all_with(client::with_paced_watches(client), &resource);
        let mut config = watcher::Config::default().page_size(T::PAGE);
        if !self.fields.is_empty() {
            config = config.fields(self.fields);
        }
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
        mut events: Pin<&mut impl Stream<Item = watcher::Result<Event<Partial<T>>>>>,
        mut view: View<'_, T>,
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
                Step::Publish => self.publish(view.publish()),
                Step::Resumed => self.recovered(),
                Step::Event(Some(Ok(event))) => {
                    if view.apply(event) {
                        self.publish(view.publish());
                        self.listed();
                    }
                    if failing && view.listing.is_none() {
                        self.recovered();
                    }
                }
                Step::Event(Some(Err(error))) => {
                    if view.changed {
                        self.publish(view.publish());
                    }
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
enum Step<T: Keep> {
    Publish,
    Resumed,
    Event(Option<watcher::Result<Event<Partial<T>>>>),
}

/// The state as events make it, ahead of the published one.
struct View<'a, T> {
    objects: Objects<T>,
    /// A list that is not complete yet.
    listing: Option<Objects<T>>,
    interner: &'a mut Interner,
    changed: bool,
    /// Some objects were left out, and that was told.
    full: bool,
    /// When the next state may be published.
    publish_at: Instant,
}

impl<'a, T: Keep> View<'a, T> {
    fn new(published: Option<Arc<Objects<T>>>, interner: &'a mut Interner) -> Self {
        Self {
            objects: published.map(|objects| (*objects).clone()).unwrap_or_default(),
            listing: None,
            interner,
            changed: false,
            full: false,
            publish_at: Instant::now(),
        }
    }

    /// Takes up an event; true where it completes a list.
    fn apply(&mut self, event: Event<Partial<T>>) -> bool {
        match event {
            Event::Init => self.listing = Some(Objects::default()),
            Event::InitApply(Partial { metadata, spec }) => {
                let object = T::keep(&metadata, spec, self.interner);
                let namespace = metadata.namespace.as_deref().unwrap_or_default();
                // What has not changed is kept once while the old state serves.
                let object = match self.objects.get(namespace, object.name()) {
                    Some(known) if **known == object => Arc::clone(known),
                    _ => Arc::new(object),
                };
                let listing = self.listing.get_or_insert_default();
                if insert(listing, namespace, object).is_none() {
                    self.overflow();
                }
            }
            Event::InitDone => {
                self.objects = self.listing.take().unwrap_or_default();
                return true;
            }
            Event::Apply(Partial { metadata, spec }) => {
                let object = T::keep(&metadata, spec, self.interner);
                let namespace = metadata.namespace.as_deref().unwrap_or_default();
                match insert(&mut self.objects, namespace, Arc::new(object)) {
                    Some(changed) => self.changed |= changed,
                    None => self.overflow(),
                }
            }
            Event::Delete(Partial { metadata, .. }) => {
                let namespace = metadata.namespace.as_deref().unwrap_or_default();
                let name = metadata.name.as_deref().unwrap_or_default();
                self.changed |= self.objects.remove(namespace, name);
            }
        }
        false
    }

    fn overflow(&mut self) {
        if !std::mem::replace(&mut self.full, true) {
            let kept = T::MOST;
            tracing::error!(kept, "there are more objects than can be kept: the last are left out");
        }
    }

    /// The state to be published.
    fn publish(&mut self) -> Arc<Objects<T>> {
        self.changed = false;
        self.publish_at = Instant::now() + PUBLISH;
        Arc::new(self.objects.clone())
    }
}

/// Adds an object or changes it, and says whether that made a difference; `None` where there is no
/// room for another.
fn insert<T: Keep>(objects: &mut Objects<T>, namespace: &str, object: Arc<T>) -> Option<bool> {
    let room = objects.len() < T::MOST || objects.contains(namespace, object.name());
    room.then(|| objects.insert(namespace, object))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(name: &str, app: &str, resource_version: &str) -> Partial<Object> {
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
