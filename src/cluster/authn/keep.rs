//! Keeps what is trusted up to date: from the ConfigMap that the API server publishes it in, and
//! from files.
//!
//! The last good state of each part stays in force while the next one is missing or bad, so that
//! neither a slip of the pen nor an API server that is away turns the front proxy out
//! (`pkg/authentication/request/headerrequest/requestheader_controller.go` of the apiserver module).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::front_proxy::HeaderNames;
use super::trust::{Authorities, FrontProxy, Trust, TrustError};
use crate::cluster::explain;
use crate::model::object::GroupResource;
use crate::tasks;
use crate::telemetry::metrics::Metrics;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
const READER: &str = "extension-apiserver-authentication-reader";

/// How often files are looked at for changes.
const POLL: Duration = Duration::from_secs(10);

/// What client certificates are trusted for, as far as flags say it. What they leave open is
/// looked up in the cluster.
#[derive(Clone, Debug, Default)]
pub struct TrustSettings {
    /// `--client-ca-file`: who vouches for users.
    pub client_ca_file: Option<PathBuf>,
    /// `--requestheader-client-ca-file` and the flags that go with it.
    pub front_proxy: Option<FrontProxyFile>,
    /// Whether and how strictly the rest is looked up.
    pub lookup: Lookup,
}

/// What flags say about the front proxy.
#[derive(Clone, Debug)]
pub struct FrontProxyFile {
    /// Who vouches for it.
    pub ca_file: PathBuf,
    /// The common names that it may have; where there are none, any.
    pub allowed_names: Vec<String>,
    /// The headers in which it names the user.
    pub headers: HeaderNames,
}

/// Whether what no flag says is looked up in the cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// It is, and where that fails, nothing starts.
    #[default]
    Required,
    /// It is not: `--authentication-skip-lookup`.
    Skipped,
    /// It is, and may fail: `--authentication-tolerate-lookup-failure`.
    Tolerated,
}

/// What to trust cannot be learned at the start.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The ConfigMap cannot be read.
    #[error(
        "cannot read the ConfigMap {NAMESPACE}/{NAME}: {reason} (where its account may not, \
         kubectl create rolebinding -n {NAMESPACE} plimsoll-auth-reader --role={READER} \
         --serviceaccount=NAMESPACE:NAME; --authentication-tolerate-lookup-failure starts without)"
    )]
    Read {
        /// What the API server said.
        reason: String,
    },
    /// It can be read, or the files can, and it makes no sense.
    #[error("cannot trust client certificates as configured")]
    Trust(#[from] TrustError),
}

/// Learns what to trust, and keeps it up to date in a task until the stop.
pub(super) async fn start(
    client: Client,
    settings: TrustSettings,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) -> Result<Arc<ArcSwap<Trust>>, LookupError> {
    let complete = settings.client_ca_file.is_some() && settings.front_proxy.is_some();
    let looks_up = settings.lookup != Lookup::Skipped && !complete;
    let awaits_proxy = looks_up && settings.front_proxy.is_none();
    let trust = if awaits_proxy { Trust::awaited() } else { Trust::default() };
    let mut keeper = Keeper {
        trust: Arc::new(ArcSwap::from_pointee(trust)),
        settings,
        metrics,
        mistakes: Mistakes::default(),
        is_unreadable: false,
    };
    keeper.take_files().await?;
    let api = Api::<ConfigMap>::namespaced(client, NAMESPACE);
    if looks_up && let Err(error) = keeper.look_up(&api).await {
        if keeper.settings.lookup == Lookup::Required {
            return Err(error);
        }
        let error = crate::telemetry::chain(&error);
        tracing::warn!(error, "nobody is authenticated by certificate before this is mended");
    }
    let trust = Arc::clone(&keeper.trust);
    let events = if looks_up {
        let this_one = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
        watcher(api, this_one).default_backoff().boxed()
    } else {
        stream::pending().boxed()
    };
    tasks::spawn_until(stop, "authentication", keeper.follow(events));
    Ok(trust)
}

struct Keeper {
    settings: TrustSettings,
    trust: Arc<ArcSwap<Trust>>,
    metrics: Arc<Metrics>,
    mistakes: Mistakes,
    /// So that an API server that is away is told of once.
    is_unreadable: bool,
}

/// What is wrong with each source now, so that each mistake is told of once.
#[derive(Default)]
struct Mistakes {
    files: Option<String>,
    map: Option<String>,
}

impl Keeper {
    async fn look_up(&mut self, api: &Api<ConfigMap>) -> Result<(), LookupError> {
        let read = api.get_opt(NAME).await;
        let map = read.map_err(|error| LookupError::Read { reason: explain::client(&error) })?;
        if let Some(map) = map {
            self.take_map(&map)?;
        } else {
            tracing::warn!(
                "there is no ConfigMap {NAMESPACE}/{NAME}; whoever shows a certificate is refused \
                 before there is"
            );
        }
        Ok(())
    }

    /// Follows for ever.
    async fn follow(
        mut self,
        mut events: impl Stream<Item = watcher::Result<Event<ConfigMap>>> + Unpin,
    ) {
        let mut polls = interval(POLL);
        polls.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = polls.tick() => {
                    let taken = self.take_files().await;
                    self.report(taken, |mistakes| &mut mistakes.files);
                }
                Some(event) = events.next() => self.consume(event),
            }
        }
    }

    fn consume(&mut self, event: watcher::Result<Event<ConfigMap>>) {
        match event {
            Ok(Event::Apply(map) | Event::InitApply(map)) => {
                let taken = self.take_map(&map);
                self.report(taken, |mistakes| &mut mistakes.map);
            }
            Ok(Event::Delete(_)) => {
                tracing::warn!("the ConfigMap {NAMESPACE}/{NAME} is gone, its last state stays");
            }
            Ok(Event::Init) => {}
            Ok(Event::InitDone) => {
                if std::mem::take(&mut self.is_unreadable) {
                    tracing::info!("following the ConfigMap {NAMESPACE}/{NAME} again");
                }
            }
            Err(error) if explain::expired(&error) || self.is_unreadable => {
                tracing::debug!(%error, "the ConfigMap {NAMESPACE}/{NAME} is read again");
            }
            Err(error) => {
                self.is_unreadable = true;
                let reason = explain::watch(&error, &GroupResource::parse("configmaps"));
                tracing::warn!(
                    reason,
                    "cannot follow the ConfigMap {NAMESPACE}/{NAME}, its last state stays"
                );
            }
        }
    }

    fn report(
        &mut self,
        taken: Result<bool, TrustError>,
        mistake: fn(&mut Mistakes) -> &mut Option<String>,
    ) {
        let last = mistake(&mut self.mistakes);
        match taken {
            Ok(is_new) => {
                let is_mended = last.take().is_some();
                if is_new || is_mended {
                    let Mistakes { files, map } = &self.mistakes;
                    self.metrics.authorities_reloaded(files.is_none() && map.is_none());
                }
            }
            Err(error) => {
                let text = crate::telemetry::chain(&error);
                if last.as_ref() != Some(&text) {
                    self.metrics.authorities_rejected(&error);
                    *last = Some(text);
                }
            }
        }
    }

    /// Takes up what the files say now; true where that is something else than before.
    async fn take_files(&mut self) -> Result<bool, TrustError> {
        let mut next = (**self.trust.load()).clone();
        if let Some(path) = &self.settings.client_ca_file {
            next.users = Some(authorities(path, "--client-ca-file").await?);
        }
        if let Some(proxy) = &self.settings.front_proxy {
            next.front_proxy = Some(FrontProxy {
                authorities: authorities(&proxy.ca_file, "--requestheader-client-ca-file").await?,
                allowed_names: proxy.allowed_names.clone(),
                headers: proxy.headers.clone(),
            });
        }
        self.put(next)
    }

    /// Takes up what the ConfigMap says now, but for what flags say. One part that is bad does
    /// not keep the other from being taken up.
    fn take_map(&mut self, map: &ConfigMap) -> Result<bool, TrustError> {
        let empty = BTreeMap::new();
        let data = map.data.as_ref().unwrap_or(&empty);
        let mut next = (**self.trust.load()).clone();
        next.is_awaited = false;
        let mut mistake = None;
        if self.settings.client_ca_file.is_none() {
            match authorities_in(data, "client-ca-file") {
                Ok(None) => {}
                Ok(users) => next.users = users,
                Err(error) => mistake = Some(error),
            }
        }
        if self.settings.front_proxy.is_none() {
            match front_proxy_in(data) {
                Ok(None) => {}
                Ok(proxy) => next.front_proxy = proxy,
                Err(error) => {
                    // Its certificates cannot be judged yet.
                    next.is_awaited = next.front_proxy.is_none();
                    mistake = Some(error);
                }
            }
        }
        let put = self.put(next);
        mistake.map_or(put, Err)
    }

    fn put(&mut self, next: Trust) -> Result<bool, TrustError> {
        let next = self.trust.load().succeeded_by(next)?;
        let is_new = next.is_some();
        if let Some(next) = next {
            self.trust.store(Arc::new(next));
        }
        Ok(is_new)
    }
}

async fn authorities(path: &Path, flag: &str) -> Result<Authorities, TrustError> {
    let origin = format!("{flag} {}", path.display());
    match tokio::fs::read_to_string(path).await {
        Ok(text) => Authorities::parse(&text, &origin),
        Err(source) => Err(TrustError::File { origin, source }),
    }
}

/// `None` where the key is missing or empty, which leaves the last bundle in force.
fn authorities_in(
    data: &BTreeMap<String, String>,
    key: &'static str,
) -> Result<Option<Authorities>, TrustError> {
    let Some(text) = data.get(key).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let origin = format!("{key} of the ConfigMap {NAMESPACE}/{NAME}");
    Authorities::parse(text, &origin).map(Some)
}

/// One list that is none makes the whole of it bad.
fn front_proxy_in(data: &BTreeMap<String, String>) -> Result<Option<FrontProxy>, TrustError> {
    let list = |key: &'static str| match data.get(key).map(String::as_str) {
        None | Some("") => Ok(Vec::new()),
        // Go reads `null` as no list.
        Some(text) => serde_json::from_str::<Option<Vec<String>>>(text)
            .map(Option::unwrap_or_default)
            .map_err(|source| TrustError::List { key, source }),
    };
    let headers = HeaderNames::new(
        &list("requestheader-username-headers")?,
        &list("requestheader-uid-headers")?,
        &list("requestheader-group-headers")?,
        &list("requestheader-extra-headers-prefix")?,
    );
    let allowed_names = list("requestheader-allowed-names")?;
    let authorities = authorities_in(data, "requestheader-client-ca-file")?;
    Ok(authorities.map(|authorities| FrontProxy { authorities, allowed_names, headers }))
}
