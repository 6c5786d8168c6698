//! Who of several replicas does what must be done once: the holder of a Lease.
//!
//! The protocol is client-go's (tools/leaderelection/leaderelection.go): whoever holds the Lease
//! renews it, and whoever sees it unrenewed for its whole duration, by a clock of its own, takes
//! it. Writes are conditional on the resource version, so two that take it at once are one that
//! does and one that is refused. A holder that was cut off stops before others may begin, as far
//! as clocks run alike; what it does must be conditional on what it has read, too.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease as LeaseObject, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::explain;

/// How a Lease is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where the Lease is.
    pub namespace: String,
    /// What it is called.
    pub name: String,
    /// Who we are; no two processes may have the same.
    pub identity: String,
    /// How long it has to be unrenewed before others take it.
    pub duration: Duration,
    /// How often it is renewed, or looked at.
    pub retry: Duration,
}

impl Settings {
    /// A Lease that is taken over within 40 seconds after its holder has died.
    pub fn new(namespace: String, name: String, identity: String) -> Self {
        let (duration, retry) = (Duration::from_secs(30), Duration::from_secs(10));
        Self { namespace, name, identity, duration, retry }
    }

    /// When a holder that could not renew it gives up: two thirds of the duration, as client-go
    /// does by default.
    fn deadline(&self) -> Duration {
        self.duration * 2 / 3
    }
}

/// A Lease that we hold or want to.
#[derive(Debug)]
pub struct Lease {
    api: Api<LeaseObject>,
    settings: Settings,
    /// What was seen last, and since when it has been so.
    seen: Option<(LeaseObject, Instant)>,
    /// When the last renewal that succeeded began.
    renewed: Option<Instant>,
    /// The last failure that was told.
    told: Option<String>,
}

impl Lease {
    /// Nothing is sent yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        let api = Api::namespaced(client, &settings.namespace);
        Self { api, settings, seen: None, renewed: None, told: None }
    }

    /// Tries to hold it until `stop`, says in `held` whether we do, and gives it back.
    pub async fn run(mut self, held: watch::Sender<bool>, stop: CancellationToken) {
        loop {
            let began = Instant::now();
            if stop.run_until_cancelled(self.attempt()).await.is_none() {
                break;
            }
            let holds = self.holds();
            if held.send_if_modified(|held| std::mem::replace(held, holds) != holds) {
                let lease = format!("{}/{}", self.settings.namespace, self.settings.name);
                tracing::info!(lease, held = holds, "the Lease changed hands");
            }
            let pause = self.settings.retry.saturating_sub(began.elapsed());
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
        held.send_replace(false);
        if self.holds() {
            self.release().await;
        }
    }

    fn holds(&self) -> bool {
        self.renewed.is_some_and(|renewed| renewed.elapsed() < self.settings.deadline())
    }

    /// One look, and one write where it is ours or free. It has to be over before we give up.
    async fn attempt(&mut self) {
        let deadline = self.settings.retry;
        let outcome = match timeout(deadline, self.take_or_renew()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(explain::client(&error)),
            Err(_) => Some(format!("the API server did not answer within {deadline:?}")),
        };
        if outcome != self.told {
            if let Some(reason) = &outcome {
                let Settings { namespace, name, .. } = &self.settings;
                tracing::warn!(
                    lease = format!("{namespace}/{name}"),
                    reason,
                    "the Lease cannot be held; the account needs the verbs get, create and update on it"
                );
            }
            self.told = outcome;
        }
    }

    async fn take_or_renew(&mut self) -> kube::Result<()> {
        let began = Instant::now();
        let found = self.api.get_opt(&self.settings.name).await?;
        let version = |lease: &LeaseObject| lease.resource_version();
        match (&found, &self.seen) {
            (Some(found), Some((seen, _))) if version(found) == version(seen) => {}
            (Some(found), _) => self.seen = Some((found.clone(), began)),
            (None, _) => self.seen = None,
        }
        let spec = found.as_ref().and_then(|lease| lease.spec.as_ref());
        let ours =
            spec.is_some_and(|spec| spec.holder_identity.as_ref() == Some(&self.settings.identity));
        if !ours && !self.is_free(spec) {
            self.renewed = None;
            return Ok(());
        }
        let next = self.next(found, ours);
        // An update of what is not there creates it, which a role can allow for this name alone:
        // AllowCreateOnUpdate in pkg/registry/coordination/lease/strategy.go.
        match self.api.replace(&self.settings.name, &PostParams::default(), &next).await {
            Ok(written) => {
                (self.seen, self.renewed) = (Some((written, began)), Some(began));
                Ok(())
            }
            // Somebody else was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.renewed = None;
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn is_free(&self, spec: Option<&LeaseSpec>) -> bool {
        let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
        if holder.is_none_or(str::is_empty) {
            return true;
        }
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds).unwrap_or_default();
        let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        self.seen.as_ref().is_some_and(|(_, since)| since.elapsed() >= duration)
    }

    fn next(&self, found: Option<LeaseObject>, ours: bool) -> LeaseObject {
        let mut lease = found.unwrap_or_else(|| LeaseObject {
            metadata: ObjectMeta { name: Some(self.settings.name.clone()), ..Default::default() },
            spec: None,
        });
        lease.metadata.managed_fields = None;
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        let before = spec.holder_identity.replace(self.settings.identity.clone());
        if !ours {
            let other = before.is_some();
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0) + i32::from(other));
            spec.acquire_time = Some(now.clone());
        }
        spec.renew_time = Some(now);
        let seconds = i32::try_from(self.settings.duration.as_secs()).unwrap_or(i32::MAX);
        spec.lease_duration_seconds = Some(seconds.max(1));
        lease
    }

    /// Gives it back, so that another need not wait. Whether that works is not important.
    async fn release(&mut self) {
        let Some((mut lease, _)) = self.seen.take() else {
            return;
        };
        lease.metadata.managed_fields = None;
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
            spec.renew_time = Some(MicroTime(Timestamp::now()));
        }
        let parameters = PostParams::default();
        let release = self.api.replace(&self.settings.name, &parameters, &lease);
        match timeout(Duration::from_secs(2), release).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::debug!(reason = explain::client(&error), "not given back"),
            Err(_) => tracing::debug!("the Lease could not be given back in time"),
        }
    }
}
