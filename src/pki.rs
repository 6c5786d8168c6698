//! Certificates as data: what one says, how an authority issues one, and what is next in the life
//! of those that we keep ourselves.
//!
//! Pure: PEM in, PEM out, and `now` is an argument. Where certificates are kept and served is for
//! others to know.

use std::fmt;
use std::sync::Arc;

pub mod authority;
pub mod facts;
pub mod rotation;

/// What whoever keeps a serving certificate has to offer to whoever serves with it.
#[derive(Clone, Debug, Default)]
pub enum Provision {
    /// Nothing yet.
    #[default]
    Waiting,
    /// Nothing, and a person has to do something about it.
    Denied,
    /// A certificate with its key; whether they are any good is not known.
    Pair(Arc<Provided>),
}

/// A certificate and its key that somebody keeps.
#[derive(Clone, PartialEq, Eq)]
pub struct Provided {
    /// Where it is kept, for messages: `Secret monitoring/plimsoll-certificates`.
    pub place: String,
    /// The certificate, then its intermediates, in PEM.
    pub certificate: Vec<u8>,
    /// The private key in PEM.
    pub key: Vec<u8>,
}

impl fmt::Debug for Provided {
    /// Never the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provided").field("place", &self.place).finish_non_exhaustive()
    }
}
