//! Where the serving certificate comes from, and how it stays fresh.
//!
//! Files are compared by content at an interval, not watched: an update of a mounted Secret swaps
//! a symbolic link, and the inode that inotify follows goes away (kubernetes/kubernetes#111947).
//! A pair is taken up only when it parses and the key belongs to the certificate; until then the
//! last good one stays in use. Connections keep the certificate that they began with.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::health::Pending;
use super::tls::{self, MinimumVersion};
use crate::pki::facts::Facts;
use crate::pki::{Provided, Provision};
use crate::telemetry::metrics::Metrics;

pub mod self_signed;
#[cfg(test)]
mod tests;

pub use self::self_signed::own_names;

/// How often the files are compared, and so how old a replaced certificate can be.
const INTERVAL: Duration = Duration::from_secs(10);

/// No chain or key is near this; a wrong path to something huge must not fill the memory.
const MAX_FILE_SIZE: u64 = 1024 * 1024;

/// Where the serving certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// `--tls-cert-file` and `--tls-private-key-file`: somebody else makes and renews them.
    Files {
        /// PEM: the certificate, then its intermediates.
        certificate: PathBuf,
        /// PEM: PKCS#8, PKCS#1 or SEC1.
        key: PathBuf,
    },
    /// Made here, and renewed before it expires.
    SelfSigned {
        /// `--cert-dir`, where the pair is kept as `apiserver.crt` and `apiserver.key`, the names
        /// that Kubernetes' servers use. Without one it lives in memory alone.
        directory: Option<PathBuf>,
        /// DNS names and addresses it is good for, beside those of the loopback.
        names: Vec<String>,
    },
    /// Kept by another part of the process; until the first one comes, a self-signed one in
    /// memory answers, for probes do not verify it.
    Provided(watch::Receiver<Provision>),
}

/// The serving certificate in use.
#[derive(Debug)]
pub struct Certificate {
    source: Source,
    minimum: MinimumVersion,
    metrics: Arc<Metrics>,
    config: Arc<ArcSwap<ServerConfig>>,
    pair: Pair,
    facts: Facts,
    /// The last failure that was told, so that it is told once and not at every interval.
    told: Option<String>,
}

impl Certificate {
    /// Loads the pair, or makes one. Fails where the first pair cannot be used.
    pub async fn load(
        source: Source,
        minimum: MinimumVersion,
        metrics: Arc<Metrics>,
    ) -> Result<Self, CertificateError> {
        let pair = match &source {
            Source::Files { certificate, key } => Pair::read(certificate, key).await?,
            Source::SelfSigned { directory: None, names } => {
                self_signed::make(names, None, Timestamp::now())?
            }
            Source::SelfSigned { directory: Some(directory), names } => {
                self_signed::open(directory, names).await?
            }
            Source::Provided(_) => self_signed::make(&[], None, Timestamp::now())?,
        };
        let (config, facts) = pair.check(minimum)?;
        if !matches!(source, Source::Provided(_)) {
            metrics.certificate_loaded(facts.expires);
            warn_if_expired(&facts);
        }
        let config = Arc::new(ArcSwap::from_pointee(config));
        Ok(Self { source, minimum, metrics, config, pair, facts, told: None })
    }

    /// What a listener loads for each connection that it accepts.
    pub fn config(&self) -> Arc<ArcSwap<ServerConfig>> {
        Arc::clone(&self.config)
    }

    /// When the certificate in use expires.
    pub fn expires(&self) -> Timestamp {
        self.facts.expires
    }

    /// Keeps the certificate fresh until `stop`, and is `ready` as soon as one is in use that
    /// clients can verify, or that is the best there will be.
    pub async fn keep_fresh(mut self, ready: Pending, stop: CancellationToken) {
        let mut ready = Some(ready);
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = async {
                match &mut self.source {
                    Source::Provided(provision) => tokio::select! {
                        Ok(()) = provision.changed() => {}
                        _ = ticks.tick() => {}
                    },
                    _ => {
                        ticks.tick().await;
                    }
                }
            };
            if stop.run_until_cancelled(looked).await.is_none() {
                return;
            }
            self.refresh(Timestamp::now()).await;
            if self.is_settled()
                && let Some(ready) = ready.take()
            {
                ready.done();
            }
        }
    }

    /// Whether the certificate in use is no stopgap.
    fn is_settled(&self) -> bool {
        match &self.source {
            Source::Provided(provision) => match &*provision.borrow() {
                Provision::Waiting => false,
                Provision::Denied => true,
                Provision::Pair(provided) => Pair::provided(provided).same_bytes(&self.pair),
            },
            _ => true,
        }
    }

    /// One look at the source.
    async fn refresh(&mut self, now: Timestamp) {
        match self.changed(now).await {
            Ok(None) => self.told = None,
            Ok(Some((pair, config, facts))) => {
                self.config.store(Arc::new(config));
                self.metrics.certificate_reloaded(facts.expires);
                warn_if_expired(&facts);
                (self.pair, self.facts, self.told) = (pair, facts, None);
            }
            Err(error) => {
                let text = crate::telemetry::chain(&error);
                if self.told.as_ref() != Some(&text) {
                    self.metrics.certificate_rejected(&error);
                    self.told = Some(text);
                }
            }
        }
    }

    /// The pair that is to replace the one in use, if any.
    async fn changed(
        &self,
        now: Timestamp,
    ) -> Result<Option<(Pair, ServerConfig, Facts)>, CertificateError> {
        let pair = match &self.source {
            Source::Files { certificate, key } => Pair::read(certificate, key).await?,
            Source::SelfSigned { directory, names } => {
                let in_place = match directory {
                    Some(directory) => Pair::read_from(directory).await.ok(),
                    None => None,
                };
                // What is in place may be the predecessor of a pair that could not be kept there.
                let pair = in_place
                    .filter(|pair| !self_signed::is_due(pair, now))
                    .unwrap_or_else(|| self.pair.clone());
                if self_signed::is_due(&pair, now) {
                    self_signed::renew(directory.as_deref(), names, &pair.key, now).await?
                } else {
                    pair
                }
            }
            Source::Provided(provision) => match &*provision.borrow() {
                Provision::Pair(provided) => Pair::provided(provided),
                Provision::Waiting | Provision::Denied => self.pair.clone(),
            },
        };
        if pair.same_bytes(&self.pair) {
            return Ok(None);
        }
        let (config, facts) = pair.check(self.minimum)?;
        Ok(Some((pair, config, facts)))
    }
}

/// A chain and its key, as PEM, and what they are called in messages.
#[derive(Clone)]
struct Pair {
    certificate_path: PathBuf,
    certificate: Vec<u8>,
    key_path: PathBuf,
    key: Vec<u8>,
}

impl Pair {
    fn provided(provided: &Provided) -> Self {
        let Provided { place, certificate, key } = provided.clone();
        let (certificate_path, key_path) = (PathBuf::from(&place), place.into());
        Self { certificate_path, certificate, key_path, key }
    }

    async fn read(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        Ok(Self {
            certificate: read(certificate).await?,
            certificate_path: certificate.to_owned(),
            key: read(key).await?,
            key_path: key.to_owned(),
        })
    }

    /// Reads the pair that a `--cert-dir` holds.
    async fn read_from(directory: &Path) -> Result<Self, CertificateError> {
        let [certificate, key] = self_signed::paths(directory);
        Self::read(&certificate, &key).await
    }

    fn same_bytes(&self, other: &Self) -> bool {
        self.certificate == other.certificate && self.key == other.key
    }

    /// Whether a server can use it: both parts parse, and they belong together.
    fn check(&self, minimum: MinimumVersion) -> Result<(ServerConfig, Facts), CertificateError> {
        let path = || self.certificate_path.clone();
        let chain: Vec<CertificateDer<'static>> =
            CertificateDer::pem_slice_iter(&self.certificate).collect::<Result<_, _>>().map_err(
                |source| CertificateError::Pem { kind: "certificate", path: path(), source },
            )?;
        let facts = self.facts()?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|source| {
            CertificateError::Pem { kind: "private key", path: self.key_path.clone(), source }
        })?;
        let unusable = |source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                CertificateError::Mismatch { certificate: path(), key: self.key_path.clone() }
            }
            source => CertificateError::Unusable { path: path(), source },
        };
        let certified = CertifiedKey::from_der(chain, key, &tls::provider()).map_err(unusable)?;
        let config = tls::server_config(certified, minimum).map_err(unusable)?;
        Ok((config, facts))
    }

    fn facts(&self) -> Result<Facts, CertificateError> {
        let path = || self.certificate_path.clone();
        let first = CertificateDer::from_pem_slice(&self.certificate).map_err(|source| {
            CertificateError::Pem { kind: "certificate", path: path(), source }
        })?;
        Facts::of(&first).map_err(|source| CertificateError::X509 { path: path(), source })
    }
}

impl fmt::Debug for Pair {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pair")
            .field("certificate_path", &self.certificate_path)
            .finish_non_exhaustive()
    }
}

/// Why a serving certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// No self-signed certificate can be made for these names.
    #[error("cannot make a self-signed certificate")]
    Make(#[source] rcgen::Error),
    /// The key is another certificate's.
    #[error("the key in {} does not belong to the certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// Where the certificate is.
        certificate: PathBuf,
        /// Where the key is.
        key: PathBuf,
    },
    /// A file is not PEM, or holds nothing of the kind that is wanted.
    #[error("no PEM {kind} in {}", path.display())]
    Pem {
        /// `certificate` or `private key`.
        kind: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: pem::Error,
    },
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS cannot work with the pair.
    #[error("cannot serve TLS with {} and its key", path.display())]
    Unusable {
        /// Where the certificate is.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// A made pair cannot be kept.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The PEM block is no X.509 certificate.
    #[error("no X.509 certificate in {}", path.display())]
    X509 {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: x509_cert::der::Error,
    },
}

async fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    let bytes = async {
        let mut bytes = Vec::new();
        let file = File::open(path).await?;
        let read = file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).await?;
        if u64::try_from(read).is_ok_and(|read| read > MAX_FILE_SIZE) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 1 MiB"));
        }
        Ok(bytes)
    };
    bytes.await.map_err(|source| CertificateError::Read { path: path.to_owned(), source })
}

/// An expired certificate is served nevertheless: a client that does not verify, as the kubelet
/// does not, still gets its answer, and refusing would take the discovery documents away too.
fn warn_if_expired(facts: &Facts) {
    if facts.expires <= Timestamp::now() {
        tracing::error!(expires = %facts.expires, "the serving certificate has expired");
    }
}
