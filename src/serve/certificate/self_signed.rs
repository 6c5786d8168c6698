//! Makes, keeps and renews a self-signed serving certificate.
//!
//! As Kubernetes does it (staging/src/k8s.io/client-go/util/cert/cert.go), the file holds the
//! serving certificate and then the CA that signed it, so that it can be given to a client as its
//! CA file: verifiers such as webpki refuse one certificate that is both. CA and server share one
//! key, which a renewal keeps, so that such a client goes on trusting what comes after it.

use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::ServerName;
use tokio::fs;
use tokio::io::AsyncWriteExt;

use super::{CertificateError, Pair, Protocols};
use crate::pki::authority::{fingerprint, name};

const DAY: Duration = Duration::from_hours(24);
/// A clock that is behind must not refuse a fresh certificate.
const CLOCK_SKEW: Duration = Duration::from_hours(1);
const LIFETIME: Duration = DAY.saturating_mul(365);
const CA_LIFETIME: Duration = DAY.saturating_mul(10 * 365);
/// Long enough before the end for whoever distributes the file by hand.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What the issuers of certificates that nobody else renews have in their names: ours and those
/// that Kubernetes' servers make for themselves, as `localhost-ca@1700000000`.
const SELF_MADE: &str = "-ca@";

/// Where a pair is called from in messages when it is in no file.
const IN_MEMORY: &str = "memory";

/// The files of the pair in a `--cert-dir`.
pub(super) fn paths(directory: &Path) -> [PathBuf; 2] {
    ["apiserver.crt", "apiserver.key"].map(|name| directory.join(name))
}

/// The pair in the directory where it can be used, else a new one, which is kept there.
pub(super) async fn open(directory: &Path, names: &[String]) -> Result<Pair, CertificateError> {
    let now = Timestamp::now();
    let key = match Pair::read_from(directory).await {
        Ok(pair) => match pair.check(Protocols::default()) {
            Ok(_) if !is_due(&pair, now) => return Ok(pair),
            Ok(_) => pair.key,
            Err(error) => {
                let error = crate::telemetry::chain(&error);
                tracing::warn!(error, "replacing an unusable self-signed certificate");
                Vec::new()
            }
        },
        // Missing is the ordinary first start; anything else shows when the new one is written.
        Err(_) => Vec::new(),
    };
    renew(Some(directory), names, &key, now).await
}

/// Whether the pair has to be renewed by us: it is self-made and near its end. A certificate that
/// somebody put here is never replaced while it can be read, not even when it has expired.
pub(super) fn is_due(pair: &Pair, now: Timestamp) -> bool {
    pair.facts().is_ok_and(|facts| {
        facts.issuer.contains(SELF_MADE) && facts.expires.duration_since(now) < RENEW_BEFORE
    })
}

/// Makes a pair, with the old key where there is one, and keeps it in the directory.
pub(super) async fn renew(
    directory: Option<&Path>,
    names: &[String],
    old_key: &[u8],
    now: Timestamp,
) -> Result<Pair, CertificateError> {
    let mut pair = make(names, Some(old_key), now)?;
    if let Some(directory) = directory {
        match keep(directory, &pair).await {
            Ok(()) => [pair.certificate_path, pair.key_path] = paths(directory),
            // A read-only file system is common in containers, and no reason not to serve.
            Err(error) => {
                let error = crate::telemetry::chain(&error);
                tracing::warn!(
                    error,
                    "the self-signed certificate cannot be kept and changes at the next start; \
                     point --cert-dir at a writable directory"
                );
            }
        }
    }
    Ok(pair)
}

/// Makes a pair for the names and the loopback.
pub(super) fn make(
    names: &[String],
    old_key: Option<&[u8]>,
    now: Timestamp,
) -> Result<Pair, CertificateError> {
    let now = SystemTime::from(now).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    sign(names, old_key, now).map_err(CertificateError::Make)
}

/// The names that a self-signed certificate should have beside the loopback's: the address that
/// is listened on and the name of the machine, where they are good for a certificate.
pub fn own_names(bind: IpAddr) -> Vec<String> {
    let address = (!bind.is_unspecified()).then(|| bind.to_string());
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host
        .map(|name| name.trim().to_owned())
        .filter(|name| matches!(ServerName::try_from(name.as_str()), Ok(ServerName::DnsName(_))));
    address.into_iter().chain(host).collect()
}

fn sign(names: &[String], old_key: Option<&[u8]>, now: Duration) -> Result<Pair, rcgen::Error> {
    let old_key = old_key.and_then(|pem| KeyPair::from_pem(std::str::from_utf8(pem).ok()?).ok());
    let key = old_key.map_or_else(KeyPair::generate, Ok)?;
    let valid = |lifetime| {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        (epoch + now.saturating_sub(CLOCK_SKEW), epoch + now + lifetime)
    };

    let mut authority = CertificateParams::default();
    authority.distinguished_name = name(&format!("plimsoll{SELF_MADE}{}", fingerprint(&key)));
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    (authority.not_before, authority.not_after) = valid(CA_LIFETIME);

    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let names: BTreeSet<String> = loopback.into_iter().chain(names.iter().cloned()).collect();
    let mut server = CertificateParams::new(names.into_iter().collect::<Vec<_>>())?;
    server.distinguished_name = name("plimsoll");
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    (server.not_before, server.not_after) = valid(LIFETIME);

    let root = authority.self_signed(&key)?;
    let leaf = server.signed_by(&key, &Issuer::from_params(&authority, &key))?;
    Ok(Pair {
        certificate_path: IN_MEMORY.into(),
        certificate: (leaf.pem() + &root.pem()).into_bytes(),
        key_path: IN_MEMORY.into(),
        key: key.serialize_pem().into_bytes(),
    })
}

/// The key goes first: a reader between the two sees a pair that does not match, and never a
/// certificate whose key is lost.
async fn keep(directory: &Path, pair: &Pair) -> Result<(), CertificateError> {
    let [certificate, key] = paths(directory);
    fs::create_dir_all(directory)
        .await
        .map_err(|source| CertificateError::Write { path: directory.to_owned(), source })?;
    for (path, bytes, mode) in [(key, &pair.key, 0o600), (certificate, &pair.certificate, 0o644)] {
        replace(&path, bytes, mode)
            .await
            .map_err(|source| CertificateError::Write { path, source })?;
    }
    Ok(())
}

async fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension("new");
    // A leftover of a crash may have another mode, and `mode` is only for files that are made.
    match fs::remove_file(&temporary).await {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(&temporary).await?;
    file.write_all(bytes).await?;
    file.sync_all().await?;
    fs::rename(&temporary, path).await
}
