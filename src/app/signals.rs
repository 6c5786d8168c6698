//! The signals there are, those of the file, in the order of precedence.

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::Config;
use crate::engine::discovery::Signals;

/// Tells the signals of the file whenever it has changed.
pub(super) async fn follow(
    mut config: watch::Receiver<Arc<Config>>,
    signals: watch::Sender<Signals>,
) {
    loop {
        let current = Arc::new(config.borrow_and_update().signals.clone());
        signals.send_if_modified(|signals| {
            let is_new = **signals != *current;
            if is_new {
                *signals = current;
            }
            is_new
        });
        if config.changed().await.is_err() {
            return;
        }
    }
}
