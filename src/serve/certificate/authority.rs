//! A certificate authority in PEM: makes itself and issues serving certificates.
//!
//! Pure: `now` is an argument. Keys are ECDSA P-256, which every client of a Kubernetes API
//! server knows; an authority that somebody else made may have any key that can sign.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, PublicKeyData,
};
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use x509_cert::TbsCertificate;
use x509_cert::der::asn1::Any;
use x509_cert::der::{Decode, Encode, Tag, Tagged};
use x509_cert::ext::pkix::SubjectKeyIdentifier;

use super::facts::Facts;
use super::self_signed::{fingerprint, name};
use crate::serve::tls;

/// A clock that is behind ours by less must not refuse a fresh certificate.
pub const BACKDATE: Duration = Duration::from_mins(5);

/// A certificate authority and, where it may sign, its key.
#[derive(Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its certificate, one PEM block.
    pub certificate: String,
    /// Its private key in PEM.
    pub key: Option<String>,
}

/// A serving certificate and its key, in PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The certificate, one PEM block.
    pub certificate: String,
    /// Its private key.
    pub key: String,
}

impl Authority {
    /// Makes an authority that is valid from a little before `now` to `now + lifetime`.
    pub fn make(now: Timestamp, lifetime: Duration) -> Result<Self, IssueError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        // Unlike in a self-signed pair's, the key is in the name: during a rotation both
        // authorities are in one bundle, and verifiers find an issuer by its name.
        params.distinguished_name = name(&format!("plimsoll-ca {}", fingerprint(&key)));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, earlier(now, BACKDATE), later(now, lifetime));
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key: Some(key.serialize_pem()) })
    }

    /// Issues a serving certificate with a key of its own. It ends with the authority at the
    /// latest.
    pub fn issue(
        &self,
        names: &[String],
        now: Timestamp,
        lifetime: Duration,
    ) -> Result<Leaf, IssueError> {
        let issuer = self.issuer()?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = names.first().map_or_else(DistinguishedName::new, |first| {
            // A common name has 64 characters at most; nobody looks at it.
            name(&first.chars().take(64).collect::<String>())
        });
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let until = later(now, lifetime).min(self.facts()?.expires);
        set_validity(&mut params, earlier(now, BACKDATE), until);
        let leaf =
            Leaf { certificate: params.signed_by(&key, &issuer)?.pem(), key: key.serialize_pem() };
        if self.has_issued(&leaf.certificate) { Ok(leaf) } else { Err(IssueError::NotAccepted) }
    }

    /// What its certificate says.
    pub fn facts(&self) -> Result<Facts, IssueError> {
        Ok(Facts::of(&der(&self.certificate)?)?)
    }

    /// Whether it can sign: its key is there and its own.
    pub fn check(&self) -> Result<(), IssueError> {
        self.issuer().map(|_| ())
    }

    /// Whether a certificate bears its signature, at any time at which both are valid.
    pub fn has_issued(&self, certificate: &str) -> bool {
        let verify = || -> Result<(), IssueError> {
            let (own, other) = (der(&self.certificate)?, der(certificate)?);
            let begin = Facts::of(&own)?.valid_from.max(Facts::of(&other)?.valid_from);
            let begin = Duration::from_secs(u64::try_from(begin.as_second()).unwrap_or_default());
            let mut roots = RootCertStore::empty();
            roots.add(own)?;
            let algorithms = tls::provider().signature_verification_algorithms;
            verify_server_cert_signed_by_trust_anchor(
                &ParsedCertificate::try_from(&other)?,
                &roots,
                &[],
                UnixTime::since_unix_epoch(begin),
                algorithms.all,
            )?;
            Ok(())
        };
        verify().is_ok()
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, IssueError> {
        let key = KeyPair::from_pem(self.key.as_deref().ok_or(IssueError::NoKey)?)?;
        let certificate = der(&self.certificate)?;
        if !Facts::of(&certificate)?.is_authority {
            return Err(IssueError::NotAnAuthority);
        }
        let certificate = x509_cert::Certificate::from_der(&certificate)?;
        let certificate = certificate.tbs_certificate();
        belong_together(certificate, &key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = distinguished_name(certificate.subject())?;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        if let Some((_, SubjectKeyIdentifier(id))) = certificate.get_extension()? {
            params.key_identifier_method = KeyIdMethod::PreSpecified(id.as_bytes().to_vec());
        }
        Ok(Issuer::new(params, key))
    }
}

impl Leaf {
    /// What its certificate says.
    pub fn facts(&self) -> Result<Facts, IssueError> {
        Ok(Facts::of(&der(&self.certificate)?)?)
    }

    /// Whether the key belongs to the certificate.
    pub fn check(&self) -> Result<(), IssueError> {
        let certificate = der(&self.certificate)?;
        let certificate = x509_cert::Certificate::from_der(&certificate)?;
        belong_together(certificate.tbs_certificate(), &KeyPair::from_pem(&self.key)?)
    }
}

impl fmt::Debug for Authority {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let subject = self.facts().map(|facts| facts.subject);
        f.debug_struct("Authority")
            .field("subject", &subject)
            .field("can_sign", &self.key.is_some())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Leaf {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

/// Why an authority cannot be made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// Signing failed, or a name is none that a certificate can have.
    #[error("cannot sign a certificate")]
    Sign(#[from] rcgen::Error),
    /// It is no certificate.
    #[error("the PEM block is no X.509 certificate")]
    X509(#[from] x509_cert::der::Error),
    /// There is no certificate.
    #[error("no PEM certificate")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// TLS cannot use the certificate.
    #[error("the certificate is not good for TLS")]
    Tls(#[from] rustls::Error),
    /// The key belongs to another certificate.
    #[error("the key does not belong to the certificate")]
    Mismatch,
    /// There is no key.
    #[error("the key of the certificate authority is not there")]
    NoKey,
    /// Its name has what no certificate can be issued under here.
    #[error("the subject of the certificate authority has {0}, which cannot be issued under")]
    Subject(String),
    /// It is a certificate of another use.
    #[error("the certificate is not one of a certificate authority")]
    NotAnAuthority,
    /// What it issues would be refused: it may not sign these, or with an unknown algorithm.
    #[error("what the certificate authority issues would not be accepted")]
    NotAccepted,
}

/// The certificates in a PEM text, each with its markers, one line end, and nothing around it.
pub fn split(pem: &str) -> Vec<String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    let block = |text: &str| -> Option<String> {
        let (body, _) = text.split_once(END)?;
        let body: Vec<&str> = body.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        Some(format!("{BEGIN}\n{}\n{END}\n", body.join("\n")))
    };
    pem.split(BEGIN).skip(1).filter_map(block).collect()
}

fn belong_together(certificate: &TbsCertificate, key: &KeyPair) -> Result<(), IssueError> {
    let public = certificate.subject_public_key_info().to_der()?;
    if public == key.subject_public_key_info() { Ok(()) } else { Err(IssueError::Mismatch) }
}

fn der(certificate: &str) -> Result<CertificateDer<'static>, IssueError> {
    Ok(CertificateDer::from_pem_slice(certificate.as_bytes())?)
}

/// The name in the encoding that it has in the certificate: verifiers compare bytes.
fn distinguished_name(name: &x509_cert::name::Name) -> Result<DistinguishedName, IssueError> {
    let mut copy = DistinguishedName::new();
    for attribute in name.iter() {
        let oid = attribute.oid;
        let dn_type = DnType::CustomDnType(oid.arcs().map(Into::into).collect());
        let unsupported = |what: &str| IssueError::Subject(format!("{what} for {oid}"));
        if copy.get(&dn_type).is_some() {
            return Err(unsupported("more than one value"));
        }
        let value = dn_value(&attribute.value).ok_or_else(|| unsupported("an unusual string"))?;
        copy.push(dn_type, value);
    }
    Ok(copy)
}

fn dn_value(value: &Any) -> Option<DnValue> {
    let text = std::str::from_utf8(value.value()).ok()?;
    Some(match value.tag() {
        Tag::Utf8String => DnValue::Utf8String(text.to_owned()),
        Tag::PrintableString => DnValue::PrintableString(text.try_into().ok()?),
        Tag::Ia5String => DnValue::Ia5String(text.try_into().ok()?),
        _ => return None,
    })
}

fn set_validity(params: &mut CertificateParams, from: Timestamp, until: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let since = |at: Timestamp| Duration::from_secs(u64::try_from(at.as_second()).unwrap_or(0));
    (params.not_before, params.not_after) = (epoch + since(from), epoch + since(until));
}

pub(super) fn earlier(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(super) fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// Whether a text is a DNS name or an address, as names of certificates are.
pub fn is_name(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok() || rustls::pki_types::DnsName::try_from(text).is_ok()
}
