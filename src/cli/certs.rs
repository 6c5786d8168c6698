//! `plimsoll certs`: shows what is in a certificate, says what is wrong with it, and issues one
//! for a laptop.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp, Unit};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, RootCertStore};

use crate::cluster::certificates::{self, ReadError};
use crate::cluster::client::{self, ClientError};
use crate::cluster::name::NamespacedName;
use crate::serve::certificate::authority::{Authority, IssueError, Leaf, is_name, split};
use crate::serve::certificate::facts::Facts;

const DAY: Duration = Duration::from_hours(24);
/// A laptop's certificate needs nobody who renews it.
const LIFETIME: Duration = DAY.saturating_mul(825);
const AUTHORITY_LIFETIME: Duration = DAY.saturating_mul(3650);
/// A certificate that ends sooner is worth a word.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// `plimsoll certs` as typed.
#[derive(Args, Clone, Debug)]
pub struct CertsArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Debug, Subcommand)]
enum Command {
    /// Show each certificate of a PEM file, or of the Secret that the replicas keep.
    Print {
        /// A file with certificates in PEM; keys in it are passed over.
        #[arg(required_unless_present = "secret", conflicts_with = "secret")]
        file: Option<PathBuf>,
        /// The Secret to read instead of a file.
        #[arg(long, value_name = "NAMESPACE/NAME")]
        secret: Option<NamespacedName>,
        /// Kubeconfig of the cluster [default: the pod's service account].
        #[arg(long, value_name = "FILE", requires = "secret")]
        kubeconfig: Option<PathBuf>,
    },
    /// Say what a client would find wrong with a serving certificate; exit code 1 if anything.
    Check {
        /// The certificate with its intermediates, in PEM.
        file: PathBuf,
        /// Its private key: does it belong to the certificate?
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// What the client trusts, such as a caBundle: has it issued the certificate?
        #[arg(long, value_name = "FILE")]
        ca: Option<PathBuf>,
        /// What the client calls the server; may be given several times. The API server says
        /// SERVICE.NAMESPACE.svc.
        #[arg(long, value_name = "DNS", value_parser = name)]
        name: Vec<String>,
    },
    /// Issue a certificate with a CA of its own: ca.crt, ca.key, tls.crt and tls.key. A CA that is
    /// in the directory already is used again.
    Issue {
        /// Where the files are written; made where it is missing.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
        /// A DNS name or address that the certificate is for; may be given several times.
        #[arg(long, value_name = "NAME", required = true, value_parser = name)]
        name: Vec<String>,
    },
}

fn name(text: &str) -> Result<String, String> {
    if is_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is neither a DNS name nor an address"))
}

/// What is to be printed, and whether all is well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Lines for standard output.
    pub text: String,
    /// False where `check` found something.
    pub good: bool,
}

/// Runs the subcommand.
pub async fn run(args: CertsArgs) -> Result<Report, CertsError> {
    let now = Timestamp::now();
    match args.command {
        Command::Print { file: Some(file), .. } => {
            let text = print(&read(&file)?, now)?;
            if text.is_empty() {
                return Err(CertsError::NoCertificate(file));
            }
            Ok(Report { text, good: true })
        }
        Command::Print { secret, kubeconfig, .. } => print_secret(secret, kubeconfig, now).await,
        Command::Check { file, key, ca, name } => {
            let wrong = check(&file, key.as_deref(), ca.as_deref(), &name, now)?;
            let good = wrong.is_empty();
            let text = if good { format!("{} is good.\n", file.display()) } else { wrong };
            Ok(Report { text, good })
        }
        Command::Issue { dir, name } => {
            let text = issue(&dir, &name, now)?;
            Ok(Report { text, good: true })
        }
    }
}

/// Why the subcommand could not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file has none.
    #[error("no PEM certificate in {}", .0.display())]
    NoCertificate(PathBuf),
    /// A certificate cannot be read or issued.
    #[error(transparent)]
    Issue(#[from] IssueError),
    /// The cluster cannot be reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The Secret cannot be read.
    #[error(transparent)]
    Secret(#[from] ReadError),
}

fn read(path: &Path) -> Result<String, CertsError> {
    let bytes =
        std::fs::read(path).map_err(|source| CertsError::Read { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn print(pem: &str, now: Timestamp) -> Result<String, CertsError> {
    let mut text = String::new();
    for certificate in split(pem) {
        let Facts { subject, issuer, names, valid_from, expires, is_authority, fingerprint } =
            facts(&certificate)?;
        let kind = if is_authority { "certificate authority" } else { "certificate" };
        let left = remaining(now, expires);
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        // A String takes everything.
        let _infallible = write!(
            text,
            "{kind} {subject}\n  names        {names}\n  issuer       {issuer}\n  \
             valid        {valid_from} to {expires} ({left})\n  fingerprint  sha256:{fingerprint}\n"
        );
    }
    Ok(text)
}

async fn print_secret(
    secret: Option<NamespacedName>,
    kubeconfig: Option<PathBuf>,
    now: Timestamp,
) -> Result<Report, CertsError> {
    let mut text = String::new();
    if let Some(secret) = secret {
        let client = client::connect(&client::Settings { kubeconfig }).await?;
        for (key, pem) in certificates::read(client, &secret).await? {
            let certificates = print(&pem, now)?;
            if !certificates.is_empty() {
                // A String takes everything.
                let _infallible = write!(text, "{key}:\n{certificates}");
            }
        }
        if text.is_empty() {
            text = format!("Secret {secret} holds no certificate yet.\n");
        }
    }
    Ok(Report { text, good: true })
}

/// Every complaint in a sentence and a line of its own; empty where there is none.
fn check(
    file: &Path,
    key: Option<&Path>,
    ca: Option<&Path>,
    names: &[String],
    now: Timestamp,
) -> Result<String, CertsError> {
    let chain = split(&read(file)?);
    let Some(certificate) = chain.first() else {
        return Err(CertsError::NoCertificate(file.to_owned()));
    };
    let facts = facts(certificate)?;
    let mut wrong = Vec::new();
    let place = file.display();
    if now < facts.valid_from {
        wrong.push(format!("{place} is not valid before {}.", facts.valid_from));
    } else if now >= facts.expires {
        wrong.push(format!("{place} expired on {}.", facts.expires));
    } else if facts.expires.duration_since(now) < SOON {
        let left = remaining(now, facts.expires);
        wrong.push(format!("{place} expires on {} ({left}).", facts.expires));
    }
    if facts.is_authority {
        wrong.push(format!("{place} begins with a certificate authority; servers need a certificate that is none, and first in the file."));
    }
    if let Some(key) = key {
        let leaf = Leaf { certificate: certificate.clone(), key: read(key)? };
        match leaf.check() {
            Ok(()) => {}
            Err(IssueError::Mismatch) => {
                wrong.push(format!("The key in {} does not belong to {place}.", key.display()));
            }
            Err(_) => wrong
                .push(format!("{} holds no private key in PEM that can be used.", key.display())),
        }
    }
    wrong.extend(names.iter().filter_map(|name| misnamed(certificate, name, &facts)));
    if let Some(ca) = ca {
        wrong.extend(
            untrusted(&chain, &read(ca)?, &facts, now)
                .map(|reason| format!("{place} is not trusted by {}: {reason}.", ca.display())),
        );
    }
    Ok(wrong.iter().fold(String::new(), |text, line| text + line + "\n"))
}

fn misnamed(certificate: &str, name: &str, facts: &Facts) -> Option<String> {
    let fits = || {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes()).ok()?;
        let name = ServerName::try_from(name).ok()?;
        verify_server_name(&ParsedCertificate::try_from(&der).ok()?, &name).ok()
    };
    if fits().is_some() {
        return None;
    }
    let names = if facts.names.is_empty() { "no name".to_owned() } else { facts.names.join(", ") };
    Some(format!("It is not for {name}, but for {names}; a common name does not count."))
}

/// Why a client that trusts the bundle does not trust the chain, at a time when it is valid.
fn untrusted(chain: &[String], bundle: &str, facts: &Facts, now: Timestamp) -> Option<String> {
    let der = |pem: &String| CertificateDer::from_pem_slice(pem.as_bytes()).ok();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(split(bundle).iter().filter_map(der));
    if added == 0 {
        return Some("there is no certificate in it".to_owned());
    }
    let chain: Vec<_> = chain.iter().filter_map(der).collect();
    let (leaf, intermediates) = chain.split_first()?;
    let leaf = match ParsedCertificate::try_from(leaf) {
        Ok(leaf) => leaf,
        Err(error) => return Some(error.to_string()),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let at = now.clamp(facts.valid_from, facts.expires.max(facts.valid_from));
    let at = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    let at = UnixTime::since_unix_epoch(at);
    let algorithms = provider.signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&leaf, &roots, intermediates, at, algorithms) {
        Ok(()) => None,
        Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            Some("it was issued by another authority".to_owned())
        }
        Err(rustls::Error::InvalidCertificate(error)) => Some(error.to_string()),
        Err(error) => Some(error.to_string()),
    }
}

fn issue(dir: &Path, names: &[String], now: Timestamp) -> Result<String, CertsError> {
    let path = |name: &str| dir.join(name);
    let [ca_crt, ca_key] = ["ca.crt", "ca.key"].map(path);
    let exists = ca_crt.exists() || ca_key.exists();
    let authority = if exists {
        let certificate = split(&read(&ca_crt)?).into_iter().next();
        let certificate = certificate.ok_or_else(|| CertsError::NoCertificate(ca_crt.clone()))?;
        Authority { certificate, key: Some(read(&ca_key)?) }
    } else {
        Authority::make(now, AUTHORITY_LIFETIME)?
    };
    let leaf = authority.issue(names, now, LIFETIME)?;
    std::fs::create_dir_all(dir)
        .map_err(|source| CertsError::Write { path: dir.to_owned(), source })?;
    if !exists {
        write(&ca_key, authority.key.as_deref().unwrap_or_default(), 0o600)?;
        write(&ca_crt, &authority.certificate, 0o644)?;
    }
    let [crt, key] = ["tls.crt", "tls.key"].map(path);
    write(&key, &leaf.key, 0o600)?;
    write(&crt, &leaf.certificate, 0o644)?;
    let (crt, key, ca) = (crt.display(), key.display(), ca_crt.display());
    Ok(format!(
        "{}\nServe with it:    plimsoll --tls-cert-file {crt} --tls-private-key-file {key}\n\
         Trust it:         curl --cacert {ca}\n",
        print(&leaf.certificate, now)?
    ))
}

/// Replaces a file at once, with the mode from its beginning.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CertsError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let replace = || {
        let temporary = path.with_extension("new");
        match std::fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(mode).open(&temporary)?;
        file.write_all(text.as_bytes())?;
        std::fs::rename(&temporary, path)
    };
    replace().map_err(|source| CertsError::Write { path: path.to_owned(), source })
}

fn facts(certificate: &str) -> Result<Facts, CertsError> {
    Ok(Leaf { certificate: certificate.to_owned(), key: String::new() }.facts()?)
}

fn remaining(now: Timestamp, expires: Timestamp) -> String {
    let left = expires.duration_since(now);
    if left.is_negative() || left.is_zero() {
        return "expired".to_owned();
    }
    let round = |unit| left.round(unit).unwrap_or(left);
    match left.as_hours() {
        0 => format!("{} minutes left", round(Unit::Minute).as_mins()),
        hours @ 1..48 => format!("{hours} hours left"),
        hours => format!("{} days left", hours / 24),
    }
}

#[cfg(test)]
mod tests;
