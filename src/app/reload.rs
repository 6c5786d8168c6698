//! Follows the configuration file: a good change is sent on, a bad one is told and left.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::AppEngine;
use super::backends::Ground;
use crate::config::{self, Config};
use crate::prometheus::SettingsError;
use crate::telemetry::metrics::Metrics;

/// How long a changed file has to stay as it is before it is read for good.
const SETTLING_TIME: Duration = Duration::from_millis(50);

/// Reads and checks the file.
pub(super) async fn load(path: &Path) -> Result<(String, Config), Error> {
    let text = read(path).await?;
    let config = config::parse(&path.display().to_string(), &text)?;
    Ok((text, config))
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It cannot be read.
    #[error("cannot read the configuration {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It has been emptied, or is about to be written.
    #[error("{} is empty now; to serve nothing, write `rules: []`", .0.display())]
    Emptied(PathBuf),
    /// It is not valid.
    #[error(transparent)]
    Invalid(#[from] config::ConfigError),
    /// A backend cannot be asked as it says.
    #[error("a backend cannot be used")]
    Backend(#[from] SettingsError),
}

/// Who takes up a changed configuration.
pub(super) struct TakeUp {
    pub(super) ground: Ground,
    pub(super) engine: Arc<AppEngine>,
    pub(super) config: watch::Sender<Arc<Config>>,
}

impl TakeUp {
    /// Puts all of it in force, or nothing: first the backends, which the rules name.
    async fn take_up(&self, changed: Config, metrics: &Arc<Metrics>) -> Result<(), SettingsError> {
        let changed = Arc::new(changed);
        self.ground.take_up(&changed, &self.engine, metrics).await?;
        super::warn_of(&changed);
        self.config.send_replace(changed);
        Ok(())
    }
}

/// Looks at the file at each interval until the stop.
///
/// The content is compared, not the time: a ConfigMap volume swaps a link, and editors do what
/// they like. A change that cannot be used is told once.
pub(super) async fn follow(
    path: PathBuf,
    mut text: String,
    every: Duration,
    take_up: TakeUp,
    metrics: Arc<Metrics>,
    stop: CancellationToken,
) {
    let mut told: Option<String> = None;
    while stop.run_until_cancelled(tokio::time::sleep(every)).await.is_some() {
        let error = match read(&path).await {
            Ok(now) if now == text || !settled(&path, &now).await => continue,
            Ok(now) if now.trim().is_empty() => Error::Emptied(path.clone()),
            Ok(now) => match config::parse(&path.display().to_string(), &now) {
                Ok(changed) => match take_up.take_up(changed, &metrics).await {
                    Ok(()) => {
                        text = now;
                        told = None;
                        metrics.config_reloaded();
                        continue;
                    }
                    Err(error) => Error::from(error),
                },
                Err(error) => Error::from(error),
            },
            Err(error) => error,
        };
        let message = crate::telemetry::chain(&error);
        if told.as_ref() != Some(&message) {
            metrics.config_rejected();
            tell(&error, &message);
            told = Some(message);
        }
    }
}

/// A line for each mistake, and one that says what follows from them.
fn tell(error: &Error, message: &str) {
    if let Error::Invalid(mistakes) = error {
        for mistake in mistakes.problems() {
            tracing::error!("{mistake}");
        }
        let mistakes = mistakes.problems().len();
        tracing::error!(mistakes, "the configuration cannot be used, the last good one stays");
    } else {
        tracing::error!(
            error = message,
            "the configuration cannot be used, the last good one stays"
        );
    }
}

/// Whether the file still says the same a moment later: some editors truncate it before they write,
/// and half a file may well be a valid one.
async fn settled(path: &Path, text: &str) -> bool {
    tokio::time::sleep(SETTLING_TIME).await;
    read(path).await.is_ok_and(|now| now == text)
}

async fn read(path: &Path) -> Result<String, Error> {
    tokio::fs::read_to_string(path)
        .await
        .map_err(|source| Error::Read { path: path.to_owned(), source })
}
