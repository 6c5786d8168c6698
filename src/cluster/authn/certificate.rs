//! Who a certificate says its holder is.
//!
//! Follows `CommonNameUserConversion` of
//! staging/src/k8s.io/apiserver/pkg/authentication/request/x509/x509.go.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_cert::Certificate;
use x509_cert::der::asn1::Ia5String;
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{self, Any, Decode as _};
use x509_cert::ext::pkix::name::DirectoryString;

use crate::model::access::{Opinion, Subject};

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ORGANIZATION: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.10");
/// Kubernetes' own (staging/src/k8s.io/apimachinery/pkg/util/asn1).
const UID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.57683.2");
/// The key of a user's extra that says by which credential he was recognized.
const CREDENTIAL_ID: &str = "authentication.kubernetes.io/credential-id";

/// The names in a certificate that mean something to Kubernetes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// The last of them, as Go has it.
    pub(super) common_name: String,
    organizations: Vec<String>,
    uids: Vec<String>,
}

impl Names {
    /// Reads them. A name in a form that cannot be read is an error: it must not be passed over.
    pub(super) fn read(certificate: &CertificateDer<'_>) -> Result<Self, der::Error> {
        let certificate = Certificate::from_der(certificate)?;
        let mut names = Self::default();
        for attribute in certificate.tbs_certificate().subject().iter() {
            match attribute.oid {
                COMMON_NAME => names.common_name = text(&attribute.value)?,
                ORGANIZATION => names.organizations.push(text(&attribute.value)?),
                UID => names.uids.push(text(&attribute.value)?),
                _ => {}
            }
        }
        Ok(names)
    }

    /// The user that a verified certificate stands for.
    pub(super) fn subject(self, certificate: &CertificateDer<'_>) -> Opinion<Subject> {
        if self.common_name.is_empty() {
            return Opinion::None;
        }
        let uid = match self.uids.as_slice() {
            [] => String::new(),
            [uid] if !uid.is_empty() => uid.clone(),
            _ => return Opinion::Refused("the certificate has no single uid".to_owned()),
        };
        let mut credential = "X509SHA256=".to_owned();
        for byte in Sha256::digest(certificate) {
            // A `String` takes everything.
            let _infallible = write!(credential, "{byte:02x}");
        }
        Opinion::Accepted(Subject {
            user: self.common_name,
            uid,
            groups: self.organizations,
            extra: BTreeMap::from([(CREDENTIAL_ID.to_owned(), vec![credential])]),
        })
    }
}

fn text(value: &Any) -> Result<String, der::Error> {
    let directory = value.decode_as::<DirectoryString>();
    directory.map(|text| text.value().into_owned()).or_else(|error| {
        value.decode_as::<Ia5String>().map(|text| text.to_string()).map_err(|_| error)
    })
}
