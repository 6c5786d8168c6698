//! How a backend is told who asks, and for whom: what its client and the configuration agree on.

use std::path::PathBuf;

use url::Url;

/// Who we are, one of these.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// A name and a password in each request (RFC 7617).
    Basic {
        /// The name.
        username: String,
        /// A file with the password; what is white space around it is not part of it.
        password_file: PathBuf,
    },
    /// A token from a file (RFC 6750).
    Bearer(PathBuf),
    /// A token that is fetched with the credentials of a client (RFC 6749, section 4.4).
    OAuth2(OAuth2),
}

/// The client credentials grant of OAuth 2.0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth2 {
    /// The client's name.
    pub client_id: String,
    /// A file with its secret.
    pub client_secret_file: PathBuf,
    /// Where tokens are given out.
    pub token_url: Url,
    /// What the token is to be good for; empty for what the server thinks right.
    pub scopes: Vec<String>,
}

/// The header that tells a backend whose data is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenant {
    /// The header's name, such as `X-Scope-OrgID`.
    pub header: String,
    /// The tenant; with `from_namespace` that of what belongs to no namespace, such as the listing
    /// of all series.
    pub value: String,
    /// Whether each namespace is the tenant of its own name.
    pub from_namespace: bool,
}
