//! The client of the backends: queries and series listings over the Prometheus HTTP API.
//!
//! A [`Client`] asks one URL, within bounds; [`Backends`] finds the backend that a route names, and
//! of its replicas one that is well and whose data is fresh.
//! Requests are made by `reqwest` alone: it has deadlines, follows no redirects and trusts what
//! the settings say, and a client for Prometheus above it would neither sign a request nor read an
//! answer without a hash map for each sample.
//!
//! Limits: no retries but at another replica, no proxies, HTTP/1.1 alone.

pub mod answer;
mod backends;
mod breaker;
mod client;
mod credentials;
mod fault;
mod holds;
pub mod listing;
mod oauth2;
mod pool;
mod replica;
mod session;
mod warnings;

use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use self::backends::{Backends, Definition};
pub use self::client::{Client, SettingsError, Terms};
pub use self::credentials::CredentialsError;
use crate::model::backend::OAuth2;

/// Where a backend is, and how it is asked.
///
/// It has no `Debug` form: the URL and the headers may hold credentials.
#[derive(Clone, PartialEq)]
pub struct Settings {
    /// `http` or `https`. A path prefix, a query string of its own and `user:password@` are
    /// kept for every request.
    pub url: Url,
    /// How queries and listings are sent. A GET whose URL would be longer than 8 KiB is sent as
    /// POST.
    pub verb: Verb,
    /// Certificate authorities as PEM, in place of the system's. As in prometheus-adapter it
    /// turns `auth_config` and `in_cluster` off.
    pub ca_file: Option<PathBuf>,
    /// Client certificate as PEM; goes with `client_key_file`.
    pub client_cert_file: Option<PathBuf>,
    /// Key of the client certificate as PEM.
    pub client_key_file: Option<PathBuf>,
    /// The name that the certificate of the server is for, where it is not the host of the URL.
    pub server_name: Option<String>,
    /// A name and the file of its password, in place of any token.
    pub basic_auth: Option<(String, PathBuf)>,
    /// Where tokens are fetched, in place of any other. Its server is trusted as the backend is.
    pub oauth2: Option<OAuth2>,
    /// Bearer token, in place of the one from `auth_config` or `in_cluster`.
    pub token_file: Option<PathBuf>,
    /// Headers of every request; a name may come more than once. An `authorization` here is
    /// sent in place of any token.
    pub headers: Vec<(String, String)>,
    /// Parameters of every request.
    pub parameters: Vec<(String, String)>,
    /// A kubeconfig whose current context says whom to trust and who we are. Its server is not
    /// used.
    pub auth_config: Option<PathBuf>,
    /// Trust and identity from the mount of the pod's service account.
    pub in_cluster: bool,
    /// For a query as a whole: waiting for a slot, connecting, head and body.
    pub deadline: Duration,
    /// The same for a series listing. One of 1,000,000 series takes Prometheus and the network
    /// some ten seconds.
    pub series_deadline: Duration,
    /// How many queries may be under way at once. Prometheus itself runs 20 by default.
    pub concurrency: usize,
    /// The largest answer to a query that is read.
    pub max_response_bytes: usize,
    /// The most series that the answer to a query may have.
    pub max_series: usize,
    /// The most points that the answer to a range query may have.
    pub max_samples: usize,
    /// How often, at most, the files above are read again to see whether they changed.
    pub reread_interval: Duration,
}

impl Settings {
    /// Settings with everything but the URL at its default.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            verb: Verb::Get,
            ca_file: None,
            client_cert_file: None,
            client_key_file: None,
            server_name: None,
            basic_auth: None,
            oauth2: None,
            token_file: None,
            headers: Vec::new(),
            parameters: Vec::new(),
            auth_config: None,
            in_cluster: false,
            deadline: Duration::from_secs(10),
            series_deadline: Duration::from_mins(1),
            concurrency: 16,
            max_response_bytes: 32 << 20,
            max_series: 500_000,
            max_samples: 5_000_000,
            reread_interval: Duration::from_secs(5),
        }
    }
}

/// How requests are sent: `--prometheus-verb`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Parameters in the URL.
    Get,
    /// Parameters in a form, for long queries and for proxies that keep URLs short.
    Post,
}
