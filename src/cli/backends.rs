//! The backends that the flags and the configuration file describe together.

use std::path::Path;

use crate::cli::serve::PrometheusArgs;
use crate::config::backends::Backend;
use crate::model::backend::Auth;
use crate::prometheus::{Definition, Settings, Verb};
use crate::promql::rule::DEFAULT_BACKEND;

/// All backends. Files that the configuration names are relative to its directory. One that is called
/// `default` in the file stands in place of the one that the flags describe.
pub fn definitions(
    args: &PrometheusArgs,
    declared: &[Backend],
    directory: &Path,
) -> Result<Vec<Definition>, url::ParseError> {
    let mut definitions: Vec<_> =
        declared.iter().map(|backend| definition(backend, directory)).collect();
    if declared.iter().all(|backend| &*backend.name != DEFAULT_BACKEND) {
        definitions.push(Definition::new(DEFAULT_BACKEND, vec![args.settings()?]));
    }
    Ok(definitions)
}

/// Whether the file makes flags void that somebody has given.
pub fn overrides(args: &PrometheusArgs, declared: &[Backend]) -> bool {
    let is_given = args.prometheus_url != PrometheusArgs::DEFAULT_URL;
    is_given && declared.iter().any(|backend| &*backend.name == DEFAULT_BACKEND)
}

fn definition(backend: &Backend, directory: &Path) -> Definition {
    let settings = |url: &url::Url| {
        let mut settings = Settings::new(url.clone());
        if backend.post {
            settings.verb = Verb::Post;
        }
        settings.ca_file = backend.ca.as_ref().map(|file| directory.join(file));
        if let Some((certificate, key)) = &backend.client_certificate {
            settings.client_cert_file = Some(directory.join(certificate));
            settings.client_key_file = Some(directory.join(key));
        }
        settings.server_name.clone_from(&backend.server_name);
        match backend.auth.clone() {
            Some(Auth::Basic { username, password_file }) => {
                settings.basic_auth = Some((username, directory.join(password_file)));
            }
            Some(Auth::Bearer(file)) => settings.token_file = Some(directory.join(file)),
            Some(Auth::OAuth2(mut oauth2)) => {
                oauth2.client_secret_file = directory.join(oauth2.client_secret_file);
                settings.oauth2 = Some(oauth2);
            }
            None => {}
        }
        settings.headers.clone_from(&backend.headers);
        settings.parameters.clone_from(&backend.parameters);
        settings.deadline = backend.deadline.unwrap_or(settings.deadline);
        settings.concurrency = backend.concurrency.unwrap_or(settings.concurrency);
        settings.max_series = backend.max_series.unwrap_or(settings.max_series);
        settings.max_samples = backend.max_samples.unwrap_or(settings.max_samples);
        settings.max_response_bytes =
            backend.max_response_bytes.unwrap_or(settings.max_response_bytes);
        settings
    };
    let mut definition =
        Definition::new(&backend.name, backend.urls.iter().map(settings).collect());
    definition.tenant.clone_from(&backend.tenant);
    definition.max_lag = backend.max_lag.unwrap_or(definition.max_lag);
    definition
}
