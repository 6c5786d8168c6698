//! What client certificates are trusted for: which CA vouches for the front proxy, and which for
//! users.
//!
//! A chain is verified as the API server verifies it: up to one of the roots, each certificate
//! and the root within its validity, for the use of client authentication
//! (staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go).

#[cfg(test)]
mod tests;

use std::time::Duration;

use http::HeaderMap;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_cert::der::{self, Decode as _};
use x509_cert::ext::pkix::BasicConstraints;
use x509_cert::{Certificate, Version};

use super::certificate::Names;
use super::front_proxy::HeaderNames;
use crate::model::access::{Opinion, Proven, Subject};

/// One state of what is trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trust {
    generation: u64,
    /// Who vouches for the front proxy.
    pub(super) front_proxy: Option<FrontProxy>,
    /// Who vouches for users.
    pub(super) users: Option<Authorities>,
    /// The cluster has not said yet whom to trust: nobody is believed, but whoever shows a
    /// certificate is told that it cannot be judged.
    pub(super) is_awaited: bool,
}

/// Who vouches for the front proxy, and what is believed of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FrontProxy {
    pub(super) authorities: Authorities,
    /// The common names that it may have; where there are none, any.
    pub(super) allowed_names: Vec<String>,
    pub(super) headers: HeaderNames,
}

/// Certificates that others are verified against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Authorities(Vec<Root>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Root {
    certificate: CertificateDer<'static>,
    anchor: TrustAnchor<'static>,
    validity: Validity,
    /// An old certificate without extensions can sign, a newer one has to say that it may.
    may_sign: bool,
}

/// What is to be trusted cannot be.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// Whoever has a certificate could say that he is anyone.
    #[error(
        "the CA of the front proxy is one of those of client certificates, and any name is \
         allowed: every user could impersonate everyone (set the allowed names)"
    )]
    AnyoneIsFrontProxy,
    /// There is not one certificate.
    #[error("{0} has no certificate")]
    Empty(String),
    /// The file cannot be read.
    #[error("cannot read {origin}")]
    File {
        /// Which flag or key it is of.
        origin: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A list is not one.
    #[error("{key} is not a JSON list of strings")]
    List {
        /// The key of the ConfigMap.
        key: &'static str,
        /// What it is.
        #[source]
        source: serde_json::Error,
    },
    /// The text is not PEM.
    #[error("{origin} is not PEM")]
    Pem {
        /// Which flag or key it is of.
        origin: String,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// A certificate cannot be read.
    #[error("{origin} has a certificate that cannot be read")]
    X509 {
        /// Which flag or key it is of.
        origin: String,
        /// Why not.
        #[source]
        source: der::Error,
    },
    /// A certificate cannot be trusted in any case.
    #[error("{origin} has a certificate that cannot be a root")]
    Root {
        /// Which flag or key it is of.
        origin: String,
        /// Why not.
        #[source]
        source: webpki::Error,
    },
}

impl Trust {
    /// Nothing is trusted before the cluster says whom.
    pub(super) fn awaited() -> Self {
        Self { is_awaited: true, ..Self::default() }
    }

    /// Which state this is: two that differ have different numbers.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// The state after this one; `None` where nothing is different.
    pub(super) fn succeeded_by(&self, mut next: Self) -> Result<Option<Self>, TrustError> {
        next.generation = self.generation;
        if next == *self {
            return Ok(None);
        }
        // The API server refuses to start with this (pkg/kubeapiserver/options/authentication.go).
        if let (Some(proxy), Some(users)) = (&next.front_proxy, &next.users)
            && proxy.allowed_names.is_empty()
            && proxy.authorities.overlap(users)
        {
            return Err(TrustError::AnyoneIsFrontProxy);
        }
        next.generation = self.generation + 1;
        Ok(Some(next))
    }

    /// What a chain of certificates proves, leaf first.
    pub(super) fn prove(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Proven {
        Proven {
            generation: self.generation,
            until: self.next_change(chain, now),
            front_proxy: self.is_front_proxy(chain, now),
            user: self.user(chain, now),
        }
    }

    /// The user whom the client names, if it is the front proxy.
    pub(super) fn word_of_front_proxy(
        &self,
        is_front_proxy: &Opinion<()>,
        headers: &HeaderMap,
    ) -> Opinion<Subject> {
        match (is_front_proxy, &self.front_proxy) {
            (Opinion::Accepted(()), Some(proxy)) => proxy.headers.subject(headers),
            (Opinion::Refused(reason), _) => Opinion::Refused(reason.clone()),
            _ => Opinion::None,
        }
    }

    fn is_front_proxy(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Opinion<()> {
        let Some(proxy) = &self.front_proxy else {
            if self.is_awaited {
                let reason = "the CA of the front proxy is not known yet";
                return Opinion::Refused(reason.to_owned());
            }
            return Opinion::None;
        };
        let name = match proxy.authorities.verify(chain, now) {
            Ok(names) => names.common_name,
            Err(reason) => return Opinion::Refused(format!("not the front proxy: {reason}")),
        };
        if proxy.allowed_names.is_empty() || proxy.allowed_names.contains(&name) {
            Opinion::Accepted(())
        } else {
            Opinion::Refused(format!("the front proxy may not have the common name {name:?}"))
        }
    }

    fn user(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Opinion<Subject> {
        let Some(users) = &self.users else {
            return Opinion::None;
        };
        match (users.verify(chain, now), chain.first()) {
            (Ok(names), Some(leaf)) => names.subject(leaf),
            (Ok(_), None) => Opinion::None,
            (Err(reason), _) => Opinion::Refused(format!("not a user: {reason}")),
        }
    }

    /// When the first certificate that plays a part begins or ceases to be valid.
    fn next_change(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Duration {
        let proxy = self.front_proxy.as_ref().map(|proxy| &proxy.authorities);
        let roots = proxy.into_iter().chain(&self.users).flat_map(|authorities| &authorities.0);
        let presented = chain.iter().filter_map(|certificate| {
            Some(Validity::of(&Certificate::from_der(certificate).ok()?))
        });
        roots
            .map(|root| root.validity)
            .chain(presented)
            .flat_map(|validity| {
                [validity.from, validity.to.saturating_add(Duration::from_secs(1))]
            })
            .filter(|change| change.as_secs() > now.as_secs())
            .min()
            .unwrap_or(Duration::MAX)
    }
}

impl Authorities {
    /// Reads a bundle; `origin` names it in errors. One bad certificate makes the bundle bad.
    pub(super) fn parse(text: &str, origin: &str) -> Result<Self, TrustError> {
        let origin = || origin.to_owned();
        let roots = CertificateDer::pem_slice_iter(text.as_bytes())
            .map(|certificate| {
                let pem = |source| TrustError::Pem { origin: origin(), source };
                Root::new(certificate.map_err(pem)?, origin)
            })
            .collect::<Result<Vec<_>, _>>()?;
        if roots.is_empty() {
            return Err(TrustError::Empty(origin()));
        }
        Ok(Self(roots))
    }

    /// Verifies a chain, leaf first, and reads the names of the leaf.
    fn verify(&self, chain: &[CertificateDer<'static>], now: UnixTime) -> Result<Names, String> {
        let [leaf, intermediates @ ..] = chain else {
            return Err("there is no certificate".to_owned());
        };
        let anchors: Vec<_> = self
            .0
            .iter()
            .filter(|root| root.may_sign && root.validity.holds(now))
            .map(|root| root.anchor.clone())
            .collect();
        let provider = aws_lc_rs::default_provider();
        let algorithms = provider.signature_verification_algorithms.all;
        EndEntityCert::try_from(leaf)
            .and_then(|leaf| {
                let usage = KeyUsage::client_auth();
                leaf.verify_for_usage(algorithms, &anchors, intermediates, now, usage, None, None)
                    .map(drop)
            })
            .map_err(|error| format!("the certificate cannot be verified: {error}"))?;
        Names::read(leaf).map_err(|error| format!("the names cannot be read: {error}"))
    }

    fn overlap(&self, other: &Self) -> bool {
        // A CA whose key signs both kinds is one CA, however often it was certified.
        let key = |root: &Root| root.anchor.subject_public_key_info.clone();
        self.0.iter().any(|root| other.0.iter().any(|known| key(known) == key(root)))
    }
}

impl Root {
    fn new(
        certificate: CertificateDer<'static>,
        origin: impl Fn() -> String,
    ) -> Result<Self, TrustError> {
        let x509 = |source| TrustError::X509 { origin: origin(), source };
        let parsed = Certificate::from_der(&certificate).map_err(x509)?;
        let anchor = anchor_from_trusted_cert(&certificate)
            .map_err(|source| TrustError::Root { origin: origin(), source })?
            .to_owned();
        let body = parsed.tbs_certificate();
        let constraints = body.get_extension::<BasicConstraints>().map_err(x509)?;
        let may_sign = constraints.map_or_else(|| body.version() != Version::V3, |(_, it)| it.ca);
        Ok(Self { validity: Validity::of(&parsed), anchor, certificate, may_sign })
    }
}

/// The first and the last second of a certificate, since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Validity {
    from: Duration,
    to: Duration,
}

impl Validity {
    fn of(certificate: &Certificate) -> Self {
        let validity = certificate.tbs_certificate().validity();
        Self {
            from: validity.not_before.to_unix_duration(),
            to: validity.not_after.to_unix_duration(),
        }
    }

    fn holds(self, now: UnixTime) -> bool {
        self.from.as_secs() <= now.as_secs() && now.as_secs() <= self.to.as_secs()
    }
}
