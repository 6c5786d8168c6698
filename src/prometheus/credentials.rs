//! Whom a backend's client trusts and who it is: CA, client certificate and token, from files,
//! a kubeconfig or the service account's mount.
//!
//! `kube`'s [`Config`] is the common form, since it knows kubeconfigs and makes the TLS
//! configuration. Nothing here runs a program: `exec` and `auth-provider` are refused, as is
//! whatever else a kubeconfig can say that would be left out silently.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use kube::Config;
use kube::client::ConfigExt;
use kube::config::{Kubeconfig, KubeconfigError};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};

use crate::prometheus::Settings;

/// Where Kubernetes mounts the service account of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Credentials that cannot be used. Every text names the file.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The CA file holds no certificate, or something that is none.
    #[error("{} holds no usable CA certificates in PEM form", .0.display())]
    Ca(PathBuf),
    /// A token cannot be sent in a header.
    #[error("the token {0} holds characters that no HTTP header may hold, or nothing")]
    Token(String),
    /// One half of a pair is missing.
    #[error("a client certificate and its key go together; {0} is missing")]
    HalfAPair(&'static str),
    /// Two sources that exclude each other.
    #[error("credentials can come from a kubeconfig or from the service account, not from both")]
    TwoSources,
    /// The kubeconfig cannot be used.
    #[error("cannot use {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// The kubeconfig wants something that is not supported.
    #[error("{} uses `{what}`, which is not supported for backends", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The key.
        what: &'static str,
    },
    /// The pieces are there and do not make a TLS configuration.
    #[error("the certificates or the key cannot be used for TLS")]
    Tls(#[source] Box<kube::Error>),
}

/// Tells whether anything changed, without keeping secrets.
pub(super) type Fingerprint = [u8; 32];

/// Credentials that are complete and fit together.
pub(super) struct Credentials {
    pub(super) tls: rustls::ClientConfig,
    /// `Bearer …`, marked as sensitive.
    pub(super) authorization: Option<HeaderValue>,
}

/// Whether there is a file that could change.
pub(super) fn are_in_files(settings: &Settings) -> bool {
    let Settings { ca_file, client_cert_file, token_file, auth_config, in_cluster, .. } = settings;
    *in_cluster
        || settings.basic_auth.is_some()
        || [ca_file, client_cert_file, token_file, auth_config].into_iter().any(Option::is_some)
}

/// Reads all files.
pub(super) fn read(settings: &Settings) -> Result<(Fingerprint, Credentials), CredentialsError> {
    let source = source(settings, Path::new(SERVICE_ACCOUNT))?;
    // First the fingerprint, so that what changes in between is found the next time.
    let fingerprint = source.fingerprint()?;
    Ok((fingerprint, source.credentials()?))
}

/// Reads all files again: `None` where nothing changed.
pub(super) fn read_changed(
    settings: &Settings,
    known: &Fingerprint,
) -> Result<Option<(Fingerprint, Credentials)>, CredentialsError> {
    let source = source(settings, Path::new(SERVICE_ACCOUNT))?;
    let fingerprint = source.fingerprint()?;
    if fingerprint == *known {
        return Ok(None);
    }
    Ok(Some((fingerprint, source.credentials()?)))
}

/// What the settings point to, before certificate, key and token files are read.
struct Source {
    config: Config,
    /// In its JSON form, the only one in which `kube` hands out its secrets.
    auth: serde_json::Value,
    /// A token that was found, and where.
    token_file: Option<PathBuf>,
    /// A name and the file of its password.
    basic: Option<(String, PathBuf)>,
    is_https: bool,
}

fn source(settings: &Settings, mount: &Path) -> Result<Source, CredentialsError> {
    let mut config = match (&settings.ca_file, &settings.auth_config, settings.in_cluster) {
        (_, Some(_), true) => return Err(CredentialsError::TwoSources),
        // prometheus-adapter reads no kubeconfig where there is a CA file (makePromClient).
        (Some(path), _, _) => trusting(path)?,
        (None, Some(path), false) => kubeconfig(path)?,
        (None, None, true) => {
            let mut config = trusting(&mount.join("ca.crt"))?;
            config.auth_info.token_file = Some(mount.join("token").to_string_lossy().into_owned());
            config
        }
        (None, None, false) => Config::new(http::Uri::default()),
    };
    match (&settings.client_cert_file, &settings.client_key_file) {
        (Some(cert), Some(key)) => {
            let auth = &mut config.auth_info;
            (auth.client_certificate_data, auth.client_key_data) = (None, None);
            auth.client_certificate = Some(cert.to_string_lossy().into_owned());
            auth.client_key = Some(key.to_string_lossy().into_owned());
        }
        (None, None) => {}
        (Some(_), None) => return Err(CredentialsError::HalfAPair("the key file")),
        (None, Some(_)) => return Err(CredentialsError::HalfAPair("the certificate file")),
    }
    let token_file = settings
        .token_file
        .clone()
        .or_else(|| config.auth_info.token_file.as_ref().map(Into::into));
    let auth = serde_json::to_value(&config.auth_info).unwrap_or_default();
    let token_url = settings.oauth2.as_ref().map(|oauth2| &oauth2.token_url);
    let is_https = [Some(&settings.url), token_url].into_iter().flatten();
    let is_https = is_https.map(url::Url::scheme).any(|scheme| scheme == "https");
    let basic = settings.basic_auth.clone();
    Ok(Source { config, auth, token_file, basic, is_https })
}

fn trusting(ca_file: &Path) -> Result<Config, CredentialsError> {
    let pem = read_file(ca_file)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<Vec<_>, _>>()
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| CredentialsError::Ca(ca_file.to_owned()))?;
    let mut config = Config::new(http::Uri::default());
    config.root_cert = Some(certificates);
    Ok(config)
}

fn kubeconfig(path: &Path) -> Result<Config, CredentialsError> {
    let unusable =
        |error| CredentialsError::Kubeconfig { path: path.to_owned(), source: Box::new(error) };
    let config = Kubeconfig::read_from(path).and_then(Config::try_from).map_err(unusable)?;
    let auth = &config.auth_info;
    let unsupported = [
        ("exec", auth.exec.is_some()),
        ("auth-provider", auth.auth_provider.is_some()),
        ("username", auth.username.is_some()),
        ("as", auth.impersonate.is_some() || auth.impersonate_groups.is_some()),
        ("proxy-url", config.proxy_url.is_some()),
        ("tls-server-name", config.tls_server_name.is_some()),
    ];
    match unsupported.into_iter().find(|(_, used)| *used) {
        Some((what, _)) => Err(CredentialsError::Unsupported { path: path.to_owned(), what }),
        None => Ok(config),
    }
}

impl Source {
    fn fingerprint(&self) -> Result<Fingerprint, CredentialsError> {
        let mut hash = Sha256::new();
        let mut add = |bytes: &[u8]| {
            hash.update(bytes.len().to_be_bytes());
            hash.update(bytes);
        };
        for certificate in self.config.root_cert.iter().flatten() {
            add(certificate);
        }
        add(self.auth.to_string().as_bytes());
        add(&[u8::from(self.config.accept_invalid_certs)]);
        let auth = &self.config.auth_info;
        // Inline data wins over a file, as in `kube`, and then the file need not exist.
        let cert =
            auth.client_certificate.as_ref().filter(|_| auth.client_certificate_data.is_none());
        let key = auth.client_key.as_ref().filter(|_| auth.client_key_data.is_none());
        let files = [cert, key].into_iter().flatten().map(Path::new);
        let password = self.basic.as_ref().map(|(_, file)| file.as_path());
        for path in files.chain(self.token_file.as_deref()).chain(password) {
            add(&read_file(path)?);
        }
        Ok(hash.finalize().into())
    }

    fn credentials(&self) -> Result<Credentials, CredentialsError> {
        let token = if let Some(path) = &self.token_file {
            let bytes = read_file(path)?;
            Some((String::from_utf8_lossy(&bytes).into_owned(), format!("in {}", path.display())))
        } else {
            let inline = self.auth.get("token").and_then(serde_json::Value::as_str);
            inline.map(|token| (token.to_owned(), "in the kubeconfig".to_owned()))
        };
        let authorization = match &self.basic {
            Some((username, file)) => Some(basic(username, file)?),
            None => token.map(|(token, place)| bearer(&token, place)).transpose()?,
        };
        Ok(Credentials { tls: self.tls()?, authorization })
    }

    fn tls(&self) -> Result<rustls::ClientConfig, CredentialsError> {
        let mut config = self.config.clone();
        if !self.is_https && config.root_cert.is_none() {
            // Nobody is verified over plain HTTP, and an image need not hold the system's
            // certificates for it.
            config.root_cert = Some(Vec::new());
        }
        config.rustls_client_config().map_err(|error| CredentialsError::Tls(Box::new(error)))
    }
}

fn basic(username: &str, password_file: &Path) -> Result<HeaderValue, CredentialsError> {
    let password = read_file(password_file)?;
    let pair = [username.as_bytes(), b":", password.trim_ascii()].concat();
    let mut header = HeaderValue::try_from(format!("Basic {}", BASE64.encode(pair)))
        .map_err(|_| CredentialsError::Token(format!("in {}", password_file.display())))?;
    header.set_sensitive(true);
    Ok(header)
}

fn bearer(token: &str, place: String) -> Result<HeaderValue, CredentialsError> {
    let token = token.trim();
    let header = HeaderValue::try_from(format!("Bearer {token}"));
    match header {
        Ok(mut header) if !token.is_empty() => {
            header.set_sensitive(true);
            Ok(header)
        }
        _ => Err(CredentialsError::Token(place)),
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, CredentialsError> {
    fs::read(path).map_err(|source| CredentialsError::Read { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests;
