//! What a certificate says about itself, for those who renew it and those who look at it.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use x509_cert::Certificate;
use x509_cert::der::{self, Decode};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{BasicConstraints, SubjectAltName};

/// What a certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Whom it is for, as RFC 4514 writes it.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// The DNS names and addresses that it is good for; others are left out.
    pub names: Vec<String>,
    /// The beginning of its validity.
    pub valid_from: Timestamp,
    /// The end of its validity.
    pub expires: Timestamp,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// SHA-256 of the whole certificate in hexadecimal.
    pub fingerprint: String,
}

impl Facts {
    /// Reads a certificate in DER.
    pub fn of(certificate: &[u8]) -> Result<Self, der::Error> {
        let parsed = Certificate::from_der(certificate)?;
        let parsed = parsed.tbs_certificate();
        let names = match parsed.get_extension::<SubjectAltName>()? {
            Some((_, SubjectAltName(names))) => names.iter().filter_map(name).collect(),
            None => Vec::new(),
        };
        let constraints = parsed.get_extension::<BasicConstraints>()?;
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            names,
            valid_from: timestamp(parsed.validity().not_before.to_unix_duration()),
            expires: timestamp(parsed.validity().not_after.to_unix_duration()),
            is_authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            fingerprint: hexadecimal(&Sha256::digest(certificate)),
        })
    }

    /// Whether a time lies in its validity.
    pub fn is_valid_at(&self, now: Timestamp) -> bool {
        self.valid_from <= now && now < self.expires
    }
}

/// X.509's last year is 9999, as jiff's is.
fn timestamp(since_epoch: Duration) -> Timestamp {
    let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
                .ok()
                .map(|address| address.to_string())
        }
        _ => None,
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}
