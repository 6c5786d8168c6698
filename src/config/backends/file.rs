//! The section `backends` as it is written.

use std::collections::BTreeMap;

use serde_saphyr::Spanned;

use crate::config::file::{self, Text};

/// Backends by name.
pub(in crate::config) type Section = BTreeMap<String, file::Entry<Entry>>;

/// Headers by name.
pub(super) type Headers = BTreeMap<String, Text>;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(in crate::config) struct Entry {
    pub(super) urls: Option<Vec<Text>>,
    pub(super) method: Option<Text>,
    pub(super) ca: Option<Text>,
    pub(super) client_certificate: Option<Text>,
    pub(super) client_key: Option<Text>,
    pub(super) server_name: Option<Text>,
    pub(super) basic_auth: Option<Spanned<BasicAuth>>,
    pub(super) bearer_token_file: Option<Text>,
    pub(super) oauth2: Option<Spanned<OAuth2>>,
    pub(super) headers: Option<Headers>,
    pub(super) tenant: Option<Spanned<Tenant>>,
    pub(super) dedup: Option<bool>,
    pub(super) partial_response: Option<bool>,
    pub(super) max_source_resolution: Option<Text>,
    pub(super) nocache: Option<bool>,
    pub(super) deadline: Option<Text>,
    pub(super) concurrency: Option<Spanned<u64>>,
    pub(super) max_series: Option<Spanned<u64>>,
    pub(super) max_samples: Option<Spanned<u64>>,
    pub(super) max_response_bytes: Option<Spanned<u64>>,
    pub(super) max_lag: Option<Text>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct BasicAuth {
    pub(super) username: Option<String>,
    pub(super) password_file: Option<Text>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct OAuth2 {
    pub(super) client_id: Option<String>,
    pub(super) client_secret_file: Option<Text>,
    pub(super) token_url: Option<Text>,
    pub(super) scopes: Option<Vec<String>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Tenant {
    pub(super) header: Option<String>,
    pub(super) value: Option<String>,
    pub(super) from_namespace: Option<bool>,
}
