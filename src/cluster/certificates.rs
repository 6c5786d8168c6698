//! The self-managed certificate: made and renewed in a Secret by one replica, used by all.
//!
//! What is to be done next is decided by [`Contents::next`], which is pure; here is the doing.
//! Every write is conditional on what was read before it, so that a replica that has lost the
//! Lease without knowing it changes nothing. Secrets and APIServices are written by server-side
//! apply, which creates with a right that a role can give for one name: the API server asks for
//! `create` with the name (staging/src/k8s.io/apiserver/pkg/endpoints/handlers/patch.go).

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event};
use kube::{Api, Client, ResourceExt as _};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use self::apiservices::ApiServices;
use self::webhooks::Webhooks;
use super::client::with_paced_watches;
use super::explain;
use super::name::NamespacedName;
use crate::model::object::GroupResource;
use crate::pki::authority::IssueError;
use crate::pki::rotation::{Contents, Schedule, Situation, keys};
use crate::pki::{Provided, Provision};

mod apiservices;
mod webhooks;

/// Who owns the fields that are applied here.
const FIELD_MANAGER: &str = "plimsoll-certificates";

/// How long one round may take: it has a handful of requests.
const ROUND: Duration = Duration::from_secs(30);

/// What is kept where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The Secret that holds everything.
    pub secret: NamespacedName,
    /// Our Service: the certificate is for its names, and the APIServices and webhooks that point
    /// to it get the bundle.
    pub service: NamespacedName,
    /// How long everything lasts.
    pub schedule: Schedule,
    /// How often the holder looks whether Secret and APIServices are as they should be.
    pub interval: Duration,
}

impl Settings {
    /// The usual times.
    pub fn new(secret: NamespacedName, service: NamespacedName) -> Self {
        let interval = Duration::from_secs(5);
        Self { secret, service, schedule: Schedule::default(), interval }
    }

    /// What the certificate is good for. The API server verifies the first
    /// (staging/src/k8s.io/kube-aggregator/pkg/apiserver/handler_proxy.go); the others are for
    /// people.
    fn names(&self) -> Vec<String> {
        let NamespacedName { namespace, name } = &self.service;
        let service = format!("{name}.{namespace}.svc");
        vec![service.clone(), format!("{service}.cluster.local"), "localhost".to_owned()]
    }
}

/// Provides the pair that the Secret holds, for ever. The last good one stays when the Secret goes
/// away, and the API server may.
pub async fn follow(client: Client, secret: NamespacedName, provide: watch::Sender<Provision>) {
    let client = with_paced_watches(client);
    let api = Api::<Secret>::namespaced(client, &secret.namespace);
    let config = watcher::Config::default().fields(&format!("metadata.name={}", secret.name));
    let mut events = pin!(watcher::watcher(api, config).default_backoff());
    let mut told = None;
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::InitApply(found) | Event::Apply(found)) => {
                if let Some(pair) = pair(&secret, found) {
                    provide.send_replace(Provision::Pair(pair.into()));
                }
            }
            Ok(Event::InitDone) => told = None,
            Ok(Event::Init) => {}
            Ok(Event::Delete(_)) => {
                tracing::warn!(%secret, "the Secret of the certificate was deleted; the last certificate serves");
            }
            Err(error) if explain::expired(&error) => {}
            Err(error) => {
                let reason = explain::watch(&error, &GroupResource::parse("secrets"));
                let denied = explain::is_denied(&error);
                if told.as_ref() != Some(&reason) {
                    let hint = if denied {
                        "; serving with a certificate that nobody can verify"
                    } else {
                        ""
                    };
                    tracing::warn!(%secret, reason, "cannot follow the Secret of the certificate{hint}");
                    told = Some(reason);
                }
                if denied {
                    provide.send_if_modified(|provision| {
                        let waits = matches!(provision, Provision::Waiting);
                        if waits {
                            *provision = Provision::Denied;
                        }
                        waits
                    });
                }
            }
        }
    }
}

fn pair(secret: &NamespacedName, found: Secret) -> Option<Provided> {
    let mut data = found.data?;
    let mut take = |key| data.remove(key).map(|ByteString(bytes)| bytes);
    let (certificate, key) = take(keys::LEAF).zip(take(keys::LEAF_KEY))?;
    Some(Provided { place: format!("Secret {secret}"), certificate, key })
}

/// The certificates in a Secret, each with its key in the data, for a person to look at.
pub async fn read(
    client: Client,
    secret: &NamespacedName,
) -> Result<Vec<(&'static str, String)>, ReadError> {
    let api = Api::<Secret>::namespaced(client, &secret.namespace);
    let error = |reason| ReadError { secret: secret.clone(), reason };
    let found = match timeout(ROUND, api.get(&secret.name)).await {
        Ok(Ok(found)) => found,
        Ok(Err(cause)) => return Err(error(explain::client(&cause))),
        Err(_) => return Err(error(format!("the API server did not answer within {ROUND:?}"))),
    };
    let mut data = found.data.unwrap_or_default();
    let names = [keys::BUNDLE, keys::CURRENT_CA, keys::NEXT_CA, keys::PREVIOUS_CAS, keys::LEAF];
    let certificates = names.into_iter().filter_map(|name| {
        let ByteString(bytes) = data.remove(name)?;
        Some((name, String::from_utf8_lossy(&bytes).into_owned()))
    });
    Ok(certificates.collect())
}

/// A Secret cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read Secret {secret}: {reason}")]
pub struct ReadError {
    secret: NamespacedName,
    reason: String,
}

/// Makes, renews and publishes the certificate.
#[derive(Debug)]
pub struct Certificates {
    settings: Settings,
    names: Vec<String>,
    secrets: Api<Secret>,
    apiservices: ApiServices,
    webhooks: Webhooks,
    /// The bundle that all APIServices and webhooks have, and since when.
    trusted: Option<(String, Instant)>,
    /// The last failure that was told.
    told: Option<String>,
}

impl Certificates {
    /// Nothing is sent yet.
    pub fn new(client: Client, settings: Settings) -> Self {
        Self {
            names: settings.names(),
            secrets: Api::namespaced(client.clone(), &settings.secret.namespace),
            webhooks: Webhooks::new(&client, settings.service.clone()),
            apiservices: ApiServices::new(client, settings.service.clone()),
            settings,
            trusted: None,
            told: None,
        }
    }

    /// Does so while the Lease is `held`, until nobody is left to say so.
    pub async fn maintain(mut self, mut held: watch::Receiver<bool>) {
        let mut lost = held.clone();
        while held.wait_for(|held| *held).await.is_ok() {
            self.trusted = None;
            tokio::select! {
                () = self.rounds() => {}
                _ = lost.wait_for(|held| !held) => {}
            }
        }
    }

    async fn rounds(&mut self) {
        loop {
            let outcome = match timeout(ROUND, self.round()).await {
                Ok(outcome) => outcome,
                Err(_) => Err(Error::Deadline),
            };
            match outcome {
                Ok(true) => {
                    self.told = None;
                    continue;
                }
                Ok(false) => self.told = None,
                Err(error) => self.tell(&error),
            }
            sleep(self.settings.interval).await;
        }
    }

    /// One look at everything, and one step where one is due; true where there was one.
    async fn round(&mut self) -> Result<bool, Error> {
        let secret = self.secrets.get_opt(&self.settings.secret.name).await.map_err(Error::Read)?;
        let (data, version) = match secret {
            Some(secret) => (secret.data.clone().unwrap_or_default(), secret.resource_version()),
            None => (BTreeMap::new(), None),
        };
        let data = data.into_iter().map(|(key, ByteString(bytes))| (key, bytes)).collect();
        let contents = Contents::read(&data).map_err(Error::Given)?;
        let bundle = contents.bundle();
        let mut published = Vec::new();
        let outcome = if bundle.is_empty() {
            published = self.apiservices.published().await?;
            published.extend(self.webhooks.published().await?);
            Ok(())
        } else {
            self.publish(bundle).await
        };
        let step = contents
            .next(&Situation {
                now: Timestamp::now(),
                names: &self.names,
                trusted: self.trusted.as_ref().map(|(_, since)| since.elapsed()),
                published: &published,
                schedule: self.settings.schedule,
            })
            .map_err(Error::Issue)?;
        let Some(step) = step else {
            return outcome.map(|()| false);
        };
        self.write(&step.contents, version).await.map_err(Error::Write)?;
        tracing::info!(secret = %self.settings.secret, "{} in the Secret", step.reason);
        // What could not be published is tried again, after a pause.
        outcome.map(|()| true)
    }

    async fn publish(&mut self, bundle: String) -> Result<(), Error> {
        // Neither is to wait for what is wrong with the other.
        let apiservices = self.apiservices.publish(&bundle).await;
        let webhooks = self.webhooks.publish(&bundle).await;
        match apiservices.and_then(|changed| Ok(changed | webhooks?)) {
            Ok(changed) => {
                let same = self.trusted.as_ref().is_some_and(|(trusted, _)| *trusted == bundle);
                if changed || !same {
                    self.trusted = Some((bundle, Instant::now()));
                }
                Ok(())
            }
            Err(error) => {
                self.trusted = None;
                Err(error)
            }
        }
    }

    async fn write(&self, contents: &Contents, version: Option<String>) -> kube::Result<()> {
        let NamespacedName { namespace, name } = &self.settings.secret;
        let data = contents.write().into_iter().map(|(key, bytes)| (key, ByteString(bytes)));
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(namespace.clone()),
                resource_version: version,
                ..Default::default()
            },
            data: Some(data.collect()),
            ..Default::default()
        };
        let parameters = PatchParams::apply(FIELD_MANAGER).force();
        self.secrets.patch(name, &parameters, &Patch::Apply(&secret)).await.map(|_| ())
    }

    fn tell(&mut self, error: &Error) {
        let reason = match error.request() {
            Some(request) => format!("{error}: {}", explain::client(request)),
            None => crate::telemetry::chain(error),
        };
        if self.told.as_ref() != Some(&reason) {
            tracing::error!(secret = %self.settings.secret, reason, "the certificate cannot be kept up");
            self.told = Some(reason);
        }
    }
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("the Secret cannot be read")]
    Read(#[source] kube::Error),
    #[error("the Secret cannot be written; the account needs the verbs create and patch on it")]
    Write(#[source] kube::Error),
    #[error("ca.crt and ca.key of the Secret cannot be used")]
    Given(#[source] IssueError),
    #[error("no certificate can be issued")]
    Issue(#[source] IssueError),
    #[error("APIService {name} cannot be read")]
    ReadApiService { name: &'static str, source: kube::Error },
    #[error(
        "caBundle of APIService {name} cannot be written; the account needs the verb patch on it"
    )]
    WriteApiService { name: &'static str, source: kube::Error },
    #[error("the {kind} cannot be read")]
    ReadWebhooks { kind: &'static str, source: kube::Error },
    #[error("caBundle of the {kind} cannot be written; the account needs the verb patch on it")]
    WriteWebhooks { kind: &'static str, source: kube::Error },
    #[error("the API server did not answer within {ROUND:?}")]
    Deadline,
}

impl Error {
    fn request(&self) -> Option<&kube::Error> {
        match self {
            Self::Read(error)
            | Self::Write(error)
            | Self::ReadApiService { source: error, .. }
            | Self::WriteApiService { source: error, .. }
            | Self::ReadWebhooks { source: error, .. }
            | Self::WriteWebhooks { source: error, .. } => Some(error),
            Self::Given(_) | Self::Issue(_) | Self::Deadline => None,
        }
    }
}
