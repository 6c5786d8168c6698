//! The backends of the flags and the configuration, and what becomes of them when it changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::spawn_blocking;
use tracing::warn;

use super::AppEngine;
use crate::cli::backends::{definitions, overrides};
use crate::cli::serve::{PrometheusArgs, ServeArgs};
use crate::config::Config;
use crate::prometheus::{Backends, Definition, SettingsError};
use crate::telemetry::metrics::Metrics;

/// What stays of the backends when the configuration changes.
#[derive(Clone)]
pub(super) struct Ground {
    prometheus: PrometheusArgs,
    /// That of the configuration file.
    directory: PathBuf,
}

impl Ground {
    pub(super) fn new(args: &ServeArgs) -> Self {
        let directory =
            args.config.as_deref().and_then(Path::parent).unwrap_or_else(|| Path::new("."));
        Self { prometheus: args.prometheus.clone(), directory: directory.to_owned() }
    }

    /// The backends to begin with.
    pub(super) fn backends(&self, config: &Config, metrics: &Metrics) -> anyhow::Result<Backends> {
        let definitions = self.definitions(config).context("--prometheus-url is not a URL")?;
        Ok(Backends::new(definitions, metrics)?)
    }

    fn definitions(&self, config: &Config) -> Result<Vec<Definition>, url::ParseError> {
        if overrides(&self.prometheus, &config.backends) {
            warn!("the backend `default` of the configuration stands in place of --prometheus-url");
        }
        definitions(&self.prometheus, &config.backends, &self.directory)
    }

    /// Puts the backends of a changed configuration in force, or none of them.
    pub(super) async fn take_up(
        &self,
        config: &Arc<Config>,
        engine: &Arc<AppEngine>,
        metrics: &Arc<Metrics>,
    ) -> Result<(), SettingsError> {
        let (this, config, engine, metrics) =
            (self.clone(), Arc::clone(config), Arc::clone(engine), Arc::clone(metrics));
        let replace = spawn_blocking(move || {
            // The flags were good at the start.
            let Ok(definitions) = this.definitions(&config) else { return Ok(()) };
            engine.backend().replace(definitions, &metrics)
        });
        match replace.await {
            Ok(replaced) => replaced,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }
}
