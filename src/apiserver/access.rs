//! Who may ask.

use crate::wire::status::Status;

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody: the server is reached through loopback alone.
    Everybody,
    /// Nobody: there is a cluster, and nobody has been authenticated against it.
    Nobody,
}

impl Access {
    /// Lets a request pass, or says why not.
    pub fn check(self) -> Result<(), Status> {
        match self {
            Self::Everybody => Ok(()),
            Self::Nobody => Err(Status::unauthorized()),
        }
    }
}
