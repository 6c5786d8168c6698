//! The TLS side of a listener: versions, ALPN, and client certificates that are asked for but
//! judged later.

use std::str::FromStr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{self, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
};

static TLS13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// The oldest TLS version that is spoken (`--tls-min-version`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MinimumVersion {
    /// TLS 1.2
    #[default]
    Tls12,
    /// TLS 1.3
    Tls13,
}

impl MinimumVersion {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => rustls::ALL_VERSIONS,
            Self::Tls13 => TLS13_ONLY,
        }
    }
}

impl FromStr for MinimumVersion {
    type Err = UnknownVersion;

    /// Kubernetes' names. It has four; the two oldest mean 1.2 here, which keeps their promise.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "VersionTLS10" | "VersionTLS11" | "VersionTLS12" => Ok(Self::Tls12),
            "VersionTLS13" => Ok(Self::Tls13),
            _ => Err(UnknownVersion(text.to_owned())),
        }
    }
}

/// What a listener speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protocols {
    /// The oldest TLS version.
    pub minimum: MinimumVersion,
    /// Whether HTTP/2 is offered beside HTTP/1.1 (`--disable-http2` is its opposite).
    pub http2: bool,
}

impl Default for Protocols {
    fn default() -> Self {
        Self { minimum: MinimumVersion::default(), http2: true }
    }
}

/// `--tls-min-version` holds something else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--tls-min-version={0:?} is neither VersionTLS12 nor VersionTLS13")]
pub struct UnknownVersion(String);

/// The process's cryptography.
pub(super) fn provider() -> CryptoProvider {
    aws_lc_rs::default_provider()
}

/// How a listener speaks TLS with this certificate.
pub(super) fn server_config(
    certificate: CertifiedKey,
    protocols: Protocols,
) -> Result<ServerConfig, rustls::Error> {
    let Protocols { minimum, http2 } = protocols;
    let provider = Arc::new(provider());
    let clients = DeferredClientVerifier { provider: Arc::clone(&provider) };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(minimum.versions())?
        .with_client_cert_verifier(Arc::new(clients))
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

/// Asks for a client certificate and takes any whose key the client holds. Its chain is judged
/// per request, as the API server does: which CA it has to be of depends on what the request
/// claims, and changes while connections are open (authentication by the front proxy,
/// `staging/src/k8s.io/apiserver/pkg/server/secure_serving.go`).
#[derive(Debug)]
struct DeferredClientVerifier {
    provider: Arc<CryptoProvider>,
}

impl ClientCertVerifier for DeferredClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        // Empty means any: the CAs are not known here.
        &[]
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_have_kubernetes_names() {
        let read = ["VersionTLS10", "VersionTLS12", "VersionTLS13", "1.3"].map(str::parse);
        let (old, new) = (MinimumVersion::Tls12, MinimumVersion::Tls13);
        assert_eq!(read, [Ok(old), Ok(old), Ok(new), Err(UnknownVersion("1.3".to_owned()))]);
    }
}
