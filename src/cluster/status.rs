//! The `status` of our own kinds: conditions at once, values now and then, by the holder of the
//! Lease alone.
//!
//! What is reported last of an object is what will be written; what it says already is not written
//! again. Server-side apply of the subresource `status` owns its fields and leaves all others to
//! others.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};

use super::explain;
use crate::model::custom::{CustomKind, GROUP, VERSION};

/// How many objects may have a status.
const OBJECTS: usize = 40_000;
/// How often the values of an object are written, where its conditions do not change.
const VALUES: Duration = Duration::from_mins(1);
/// How often it is looked whether something is due, and how much is written each time.
const ROUND: Duration = Duration::from_secs(1);
const WRITES: usize = 20;
/// How long a write may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause after the first failure, which doubles with each, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(5);
const FIELD_MANAGER: &str = "plimsoll-status";

/// The object whose status it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StatusSubject {
    /// Its kind.
    pub kind: CustomKind,
    /// `metadata.namespace`; empty where it is cluster-scoped.
    pub namespace: Arc<str>,
    /// `metadata.name`
    pub name: Arc<str>,
    /// `metadata.uid`: another object of that name gets nothing of it.
    pub uid: Arc<str>,
}

/// What there is to say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The generation that was looked at: `observedGeneration`.
    pub generation: i64,
    /// `conditions`, each type once.
    pub conditions: Vec<Condition>,
    /// Further fields, such as the value now.
    pub values: Map<String, Value>,
}

/// A `metav1.Condition`, whose times are filled in when it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// `Ready`
    pub type_: &'static str,
    /// `True`, `False`, or `Unknown` where it is `None`.
    pub status: Option<bool>,
    /// One word in upper camel case.
    pub reason: &'static str,
    /// For people.
    pub message: String,
}

/// What is to be written, and what was. Cloning shares it.
#[derive(Clone, Debug, Default)]
pub struct Statuses(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    entries: Mutex<HashMap<StatusSubject, Entry>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Entry {
    wanted: Status,
    /// What the object says as far as is known here.
    written: Option<Status>,
    wrote: Option<Instant>,
    failures: u32,
    not_before: Option<Instant>,
}

impl Entry {
    /// Whether something is to be written now; `Some(true)` where it is more than values.
    fn due(&self, now: Instant) -> Option<bool> {
        if self.not_before.is_some_and(|time| now < time) {
            return None;
        }
        let Some(written) = &self.written else { return Some(true) };
        if (written.generation, &written.conditions)
            != (self.wanted.generation, &self.wanted.conditions)
        {
            return Some(true);
        }
        let rested = self.wrote.is_none_or(|wrote| now - wrote >= VALUES);
        (written.values != self.wanted.values && rested).then_some(false)
    }
}

impl Statuses {
    /// Says what the status of an object is to be. Never waits; past the bound on objects those
    /// that are new are left out.
    pub fn report(&self, subject: &StatusSubject, status: Status) {
        let mut entries = self.entries();
        if entries.len() >= OBJECTS && !entries.contains_key(subject) {
            tracing::debug!(name = &*subject.name, "too many objects: one has no status");
            return;
        }
        entries.entry(subject.clone()).or_default().wanted = status;
        self.0.changed.notify_one();
    }

    /// The object is gone.
    pub fn forget(&self, subject: &StatusSubject) {
        self.entries().remove(subject);
    }

    /// Writes while the Lease is `held`, until nobody is left to say so.
    pub async fn run(self, client: Client, mut held: watch::Receiver<bool>) {
        let mut lost = held.clone();
        while held.wait_for(|held| *held).await.is_ok() {
            // Another may have written since.
            for entry in self.entries().values_mut() {
                (entry.written, entry.not_before) = (None, None);
            }
            tokio::select! {
                () = self.rounds(&client) => {}
                lost = lost.wait_for(|held| !held) => if lost.is_err() { return },
            }
        }
    }

    async fn rounds(&self, client: &Client) {
        let mut logged = None;
        loop {
            for (subject, wanted) in self.due() {
                let write = write(client, &subject, &wanted);
                let outcome = if let Ok(outcome) = timeout(DEADLINE, write).await {
                    outcome.map_err(|error| (is_gone(&error), explain::client(&error)))
                } else {
                    Err((false, format!("the API server did not answer within {DEADLINE:?}")))
                };
                if let Err((false, reason)) = &outcome
                    && logged.as_ref() != Some(reason)
                {
                    let (kind, name) = (subject.kind.kind(), &*subject.name);
                    tracing::warn!(kind, name, reason, "a status was not written");
                    logged = Some(reason.clone());
                }
                self.settle(&subject, wanted, outcome.map_err(|(gone, _)| gone));
            }
            sleep(ROUND).await;
            if self.entries().is_empty() {
                self.0.changed.notified().await;
            }
        }
    }

    /// What is due, conditions first.
    fn due(&self) -> Vec<(StatusSubject, Status)> {
        let now = Instant::now();
        let entries = self.entries();
        let mut due: Vec<_> = entries
            .iter()
            .filter_map(|(subject, entry)| Some((entry.due(now)?, subject, entry)))
            .collect();
        due.sort_by_key(|(urgent, _, entry)| (!urgent, entry.wrote));
        let copied = due
            .into_iter()
            .take(WRITES)
            .map(|(_, subject, entry)| (subject.clone(), entry.wanted.clone()));
        copied.collect()
    }

    fn settle(&self, subject: &StatusSubject, wrote: Status, outcome: Result<(), bool>) {
        let mut entries = self.entries();
        let Some(entry) = entries.get_mut(subject) else { return };
        let now = Instant::now();
        match outcome {
            Ok(()) => {
                (entry.written, entry.wrote) = (Some(wrote), Some(now));
                (entry.failures, entry.not_before) = (0, None);
            }
            Err(true) => drop(entries.remove(subject)),
            Err(false) => {
                let pause = PAUSE.saturating_mul(2_u32.saturating_pow(entry.failures));
                entry.failures = entry.failures.saturating_add(1);
                entry.not_before = Some(now + pause.min(LONGEST_PAUSE));
            }
        }
    }

    fn entries(&self) -> MutexGuard<'_, HashMap<StatusSubject, Entry>> {
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it was refused because there is no such object any more.
fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if [404, 409, 410].contains(&status.code))
}

/// Writes a status unless the object says the same already. What it says is read first, so
/// that a condition keeps the time of its last transition.
async fn write(client: &Client, subject: &StatusSubject, wanted: &Status) -> kube::Result<()> {
    let StatusSubject { kind, namespace, name, uid } = subject;
    let resource = ApiResource {
        group: GROUP.to_owned(),
        version: VERSION.to_owned(),
        api_version: format!("{GROUP}/{VERSION}"),
        kind: kind.kind().to_owned(),
        plural: kind.plural().to_owned(),
    };
    let api = if namespace.is_empty() {
        Api::<DynamicObject>::all_with(client.clone(), &resource)
    } else {
        Api::namespaced_with(client.clone(), namespace, &resource)
    };
    let found = api.get(name).await?;
    if found.uid().as_deref() != Some(&**uid) {
        // The one that was looked at is gone, and its successor will be looked at.
        return Err(kube::Error::Api(Box::new(
            kube::core::Status::failure("the object is another one", "Gone").with_code(410),
        )));
    }
    let before = found.data.get("status").cloned().unwrap_or_default();
    let now = Timestamp::now();
    let status = document(wanted, &before, now);
    if before == status {
        return Ok(());
    }
    let apply = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"name": &**name, "uid": &**uid},
        "status": status,
    });
    let parameters = PatchParams::apply(FIELD_MANAGER).force();
    api.patch_status(name, &parameters, &Patch::Apply(&apply)).await.map(|_| ())
}

/// The status as it is written: conditions that stay as they are keep their time.
fn document(wanted: &Status, before: &Value, now: Timestamp) -> Value {
    let mut status = wanted.values.clone();
    let known = before.get("conditions").and_then(Value::as_array);
    let conditions = wanted.conditions.iter().map(|condition| {
        let Condition { type_, status, reason, message } = condition;
        let word = match status {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        let known = known.into_iter().flatten().find(|known| known["type"] == *type_);
        let since = known
            .filter(|known| known["status"] == word)
            .and_then(|known| known.get("lastTransitionTime").cloned())
            .unwrap_or_else(|| json!(now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()));
        json!({
            "type": type_, "status": word, "reason": reason, "message": message,
            "lastTransitionTime": since, "observedGeneration": wanted.generation,
        })
    });
    status.insert("conditions".to_owned(), conditions.collect());
    status.insert("observedGeneration".to_owned(), wanted.generation.into());
    Value::Object(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(ready: bool, value: i64) -> Status {
        let condition = Condition {
            type_: "Ready",
            status: Some(ready),
            reason: "Evaluated",
            message: String::new(),
        };
        let values = Map::from_iter([("value".to_owned(), value.into())]);
        Status { generation: 1, conditions: vec![condition], values }
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let (early, late) = (Timestamp::UNIX_EPOCH, "2026-11-24T00:00:00Z".parse().unwrap());
        let time = |document: &Value| document["conditions"][0]["lastTransitionTime"].clone();
        let first = document(&status(true, 1), &Value::Null, early);
        let same = document(&status(true, 2), &first, late);
        let turned = document(&status(false, 2), &same, late);
        assert_eq!(
            [time(&first), time(&same), time(&turned)],
            ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-11-24T00:00:00Z"]
        );
        assert_eq!(same["value"], 2);
    }

    #[tokio::test(start_paused = true)]
    async fn conditions_are_due_at_once_and_values_after_a_while() {
        let mut entry = Entry { wanted: status(true, 1), ..Entry::default() };
        assert_eq!(entry.due(Instant::now()), Some(true));
        (entry.written, entry.wrote) = (Some(status(true, 1)), Some(Instant::now()));
        assert_eq!(entry.due(Instant::now()), None);
        entry.wanted = status(true, 2);
        assert_eq!(entry.due(Instant::now()), None);
        assert_eq!(entry.due(Instant::now() + VALUES), Some(false));
        entry.wanted = status(false, 2);
        assert_eq!(entry.due(Instant::now()), Some(true));
    }
}
