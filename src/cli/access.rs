//! The flags about who asks and what they may. They are prometheus-adapter's, with its defaults,
//! and mean nothing with `--standalone`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::cluster::authn::{self, FrontProxyFile, HeaderNames, Lookup, TrustSettings};
use crate::cluster::authz::{self, OpenPaths, PathError};
use crate::model::duration;

/// Who asks and what they may, as typed.
#[derive(Args, Clone, Debug)]
pub struct AccessArgs {
    /// Kubeconfig for token reviews and the authentication ConfigMap [default: --kubeconfig].
    #[arg(long, value_name = "FILE")]
    pub authentication_kubeconfig: Option<PathBuf>,

    /// Do not look up in the cluster which client certificates to trust.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", action = ArgAction::Set
    )]
    pub authentication_skip_lookup: bool,

    /// Start even if that lookup fails; client certificates are refused until it succeeds.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", action = ArgAction::Set
    )]
    pub authentication_tolerate_lookup_failure: bool,

    /// How long the verdict on a bearer token is kept.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_go)]
    pub authentication_token_webhook_cache_ttl: Duration,

    /// Paths that need no authorization; a `*` at the end of one stands for everything below.
    #[arg(
        long,
        value_name = "PATH,…",
        value_delimiter = ',',
        default_value = "/healthz,/readyz,/livez"
    )]
    pub authorization_always_allow_paths: Vec<String>,

    /// Kubeconfig for access reviews [default: --kubeconfig].
    #[arg(long, value_name = "FILE")]
    pub authorization_kubeconfig: Option<PathBuf>,

    /// How long a yes is kept. The HPA controller asks every 15 s, so with less than that each of
    /// its requests costs a review; a right that is withdrawn lasts so long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_go)]
    pub authorization_webhook_cache_authorized_ttl: Duration,

    /// How long a no is kept.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_go)]
    pub authorization_webhook_cache_unauthorized_ttl: Duration,

    /// CA bundle of client certificates that stand for users [default: looked up in the cluster].
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,

    /// CA bundle of the front proxy, which names users in headers. Without it, this and the other
    /// --requestheader flags are looked up in the cluster.
    #[arg(long, value_name = "FILE")]
    pub requestheader_client_ca_file: Option<PathBuf>,

    /// Common names that the front proxy may have; none means any.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_allowed_names: Vec<String>,

    /// Headers with the name of the user.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "x-remote-user")]
    pub requestheader_username_headers: Vec<String>,

    /// Headers with the uid of the user; X-Remote-Uid is common.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',')]
    pub requestheader_uid_headers: Vec<String>,

    /// Headers with the groups of the user.
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', default_value = "x-remote-group")]
    pub requestheader_group_headers: Vec<String>,

    /// What headers with more about the user begin with.
    #[arg(long, value_name = "PREFIX,…", value_delimiter = ',', default_value = "x-remote-extra-")]
    pub requestheader_extra_headers_prefix: Vec<String>,
}

impl AccessArgs {
    /// Who asks.
    pub fn authentication(&self) -> authn::Settings {
        let front_proxy = self.requestheader_client_ca_file.clone().map(|ca_file| FrontProxyFile {
            ca_file,
            allowed_names: given(&self.requestheader_allowed_names),
            headers: HeaderNames::new(
                &given(&self.requestheader_username_headers),
                &given(&self.requestheader_uid_headers),
                &given(&self.requestheader_group_headers),
                &given(&self.requestheader_extra_headers_prefix),
            ),
        });
        let lookup = if self.authentication_skip_lookup {
            Lookup::Skipped
        } else if self.authentication_tolerate_lookup_failure {
            Lookup::Tolerated
        } else {
            Lookup::Required
        };
        let client_ca_file = self.client_ca_file.clone();
        authn::Settings {
            trust: TrustSettings { client_ca_file, front_proxy, lookup },
            token_ttl: self.authentication_token_webhook_cache_ttl,
        }
    }

    /// What they may.
    pub fn authorization(&self) -> Result<authz::Settings, PathError> {
        Ok(authz::Settings {
            open_paths: OpenPaths::parse(&given(&self.authorization_always_allow_paths))?,
            authorized_ttl: self.authorization_webhook_cache_authorized_ttl,
            unauthorized_ttl: self.authorization_webhook_cache_unauthorized_ttl,
        })
    }
}

/// `--flag=` is how an empty list is typed.
fn given(list: &[String]) -> Vec<String> {
    list.iter().filter(|item| !item.is_empty()).cloned().collect()
}
