//! The HTTP client with the credentials that are in force, replaced when their files change.
//!
//! The files are looked at when a request needs a session, at most once per interval. While
//! they are bad the last good session stays; requests under way keep the one they began with.

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::HeaderValue;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use tokio::sync::Mutex;
use tokio::task;
use tokio::time::Instant;
use tracing::{info, warn};
use url::Host;

use crate::prometheus::credentials::{self, Credentials, Fingerprint};
use crate::prometheus::{Settings, SettingsError};

/// A client and who it is.
pub(super) struct Session {
    pub(super) http: reqwest::Client,
    /// `Bearer …`, marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

/// The session in force.
pub(super) struct Sessions {
    settings: Arc<Settings>,
    current: ArcSwap<Session>,
    files: Option<Mutex<Files>>,
}

/// What was found when the files were read last.
struct Files {
    read_at: Instant,
    /// Of the session in force.
    fingerprint: Fingerprint,
    /// What was logged last, so that each trouble is logged once.
    trouble: Option<String>,
}

impl Sessions {
    pub(super) fn new(settings: Arc<Settings>) -> Result<Self, SettingsError> {
        let (fingerprint, credentials) = credentials::read(&settings)?;
        let session = Session::new(&settings, credentials)?;
        let files = credentials::are_in_files(&settings)
            .then(|| Mutex::new(Files { read_at: Instant::now(), fingerprint, trouble: None }));
        Ok(Self { current: ArcSwap::from_pointee(session), files, settings })
    }

    /// The session for a new request.
    pub(super) async fn current(&self) -> Arc<Session> {
        // Whoever comes while another request reads the files takes the session that is there.
        if let Some(files) = &self.files
            && let Ok(mut files) = files.try_lock()
            && files.read_at.elapsed() >= self.settings.reread_interval
        {
            files.read_at = Instant::now();
            self.reread(&mut files).await;
        }
        self.current.load_full()
    }

    async fn reread(&self, files: &mut Files) {
        let (settings, known) = (Arc::clone(&self.settings), files.fingerprint);
        let read = task::spawn_blocking(move || changed_session(&settings, &known));
        // A join error comes with the end of the runtime alone.
        let Ok(read) = read.await else { return };
        match read {
            Ok(changed) => {
                files.trouble = None;
                if let Some((fingerprint, session)) = changed {
                    files.fingerprint = fingerprint;
                    self.current.store(Arc::new(session));
                    info!("took up new credentials for Prometheus");
                }
            }
            Err(error) => {
                let error = crate::telemetry::chain(&error);
                if files.trouble.as_ref() != Some(&error) {
                    warn!(%error, "cannot take up new credentials for Prometheus, the old ones stay");
                    files.trouble = Some(error);
                }
            }
        }
    }
}

fn changed_session(
    settings: &Settings,
    known: &Fingerprint,
) -> Result<Option<(Fingerprint, Session)>, SettingsError> {
    let Some((fingerprint, credentials)) = credentials::read_changed(settings, known)? else {
        return Ok(None);
    };
    Ok(Some((fingerprint, Session::new(settings, credentials)?)))
}

/// Resolves a name as another: TLS then speaks of the name, and the connection goes to the host.
struct Alias {
    name: String,
    host: Host<String>,
}

impl Resolve for Alias {
    fn resolve(&self, name: Name) -> Resolving {
        let host = match &self.host {
            _ if name.as_str() != self.name => name.as_str().to_owned(),
            Host::Domain(host) => host.clone(),
            Host::Ipv4(address) => address.to_string(),
            Host::Ipv6(address) => address.to_string(),
        };
        Box::pin(async move {
            let found: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

impl Session {
    fn new(settings: &Settings, credentials: Credentials) -> Result<Self, SettingsError> {
        let Credentials { tls, authorization } = credentials;
        let mut builder = reqwest::Client::builder();
        if let (Some(name), Some(host)) = (&settings.server_name, settings.url.host()) {
            let alias = Alias { name: name.clone(), host: host.to_owned() };
            builder = builder.dns_resolver(Arc::new(alias));
        }
        let http = builder
            .tls_backend_preconfigured(tls)
            .http1_only()
            .redirect(redirect::Policy::none())
            // Requests have their own deadlines; this ends attempts that nobody waits for.
            .connect_timeout(settings.deadline.max(settings.series_deadline))
            .pool_max_idle_per_host(settings.concurrency)
            .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| SettingsError::Build(Box::new(error)))?;
        Ok(Self { http, authorization })
    }
}
