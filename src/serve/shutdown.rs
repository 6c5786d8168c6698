//! The end of a process, in the order that loses no request (the API server's own:
//! staging/src/k8s.io/apiserver/pkg/server/genericapiserver.go): not ready → wait until the
//! cluster has noticed → stop accepting and drain → exit.

use std::io;
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::health::Health;
use crate::tasks;

/// The two moments that everything waits for. Clones share them.
#[derive(Clone, Debug)]
pub struct Shutdown {
    abort: CancellationToken,
    /// A child of `abort`: an abort stops, too.
    stop: CancellationToken,
}

impl Shutdown {
    /// Neither moment has come, and only [`Shutdown::stop`] and [`Shutdown::abort`] bring them.
    pub fn new() -> Self {
        let abort = CancellationToken::new();
        Self { stop: abort.child_token(), abort }
    }

    /// Begins the end at SIGTERM or SIGINT: `health` turns unready at once, and after `delay`
    /// the stop comes. A second signal aborts at once. Must be called in a runtime.
    pub fn on_signals(health: Health, delay: Duration) -> io::Result<Self> {
        let shutdown = Self::new();
        let signals = signals()?;
        tasks::spawn("signals", follow(shutdown.clone(), Box::pin(signals), health, delay));
        Ok(shutdown)
    }

    /// Brings the stop: listeners close, and what is in flight is finished.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Brings the abort, and with it the stop: nothing is waited for any more.
    pub fn abort(&self) {
        self.abort.cancel();
    }

    /// A token that is cancelled at the stop.
    pub fn stopped(&self) -> CancellationToken {
        self.stop.child_token()
    }

    /// A token that is cancelled at the abort.
    pub fn aborted(&self) -> CancellationToken {
        self.abort.child_token()
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

async fn follow(
    shutdown: Shutdown,
    mut signals: impl Stream<Item = &'static str> + Unpin,
    health: Health,
    delay: Duration,
) {
    let Some(signal) = signals.next().await else {
        return;
    };
    tracing::info!(signal, ?delay, "unready, and stopping after the delay");
    health.shut_down();
    let second = tokio::select! {
        signal = signals.next() => signal,
        () = tokio::time::sleep(delay) => {
            tracing::info!("no longer accepting connections, finishing the requests in flight");
            shutdown.stop();
            signals.next().await
        }
    };
    if let Some(signal) = second {
        tracing::warn!(signal, "second signal, ending at once");
        shutdown.abort();
    }
}

/// The signals that end a process, by name, for ever.
fn signals() -> io::Result<impl Stream<Item = &'static str>> {
    let terminate = named(signal(SignalKind::terminate())?, "SIGTERM");
    let interrupt = named(signal(SignalKind::interrupt())?, "SIGINT");
    Ok(stream::select(terminate, interrupt))
}

fn named(signal: Signal, name: &'static str) -> impl Stream<Item = &'static str> {
    stream::unfold(
        signal,
        move |mut signal| async move { signal.recv().await.map(|()| (name, signal)) },
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use tokio::sync::mpsc;
    use tokio::time::Instant;

    use super::*;

    const DELAY: Duration = Duration::from_secs(15);

    fn start() -> (mpsc::UnboundedSender<&'static str>, Shutdown, Health) {
        let (sender, mut receiver) = mpsc::unbounded_channel();
        let (shutdown, health) = (Shutdown::new(), Health::new());
        let signals = stream::poll_fn(move |context| receiver.poll_recv(context));
        tokio::spawn(follow(shutdown.clone(), signals, health.clone(), DELAY));
        (sender, shutdown, health)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_unreadies_at_once_and_stops_after_the_delay() {
        let (signals, shutdown, health) = start();
        let began = Instant::now();
        signals.send("SIGTERM").unwrap();
        tokio::task::yield_now().await;
        assert!(!health.is_ready() && !shutdown.stopped().is_cancelled());
        shutdown.stopped().cancelled().await;
        assert!(began.elapsed() >= DELAY && !shutdown.aborted().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_aborts_at_once() {
        let (signals, shutdown, _health) = start();
        let began = Instant::now();
        signals.send("SIGTERM").unwrap();
        signals.send("SIGINT").unwrap();
        shutdown.aborted().cancelled().await;
        assert!(shutdown.stopped().is_cancelled());
        assert!(began.elapsed() < DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_signal_aborts_a_drain() {
        let (signals, shutdown, _health) = start();
        signals.send("SIGTERM").unwrap();
        shutdown.stopped().cancelled().await;
        signals.send("SIGTERM").unwrap();
        shutdown.aborted().cancelled().await;
    }

    #[tokio::test]
    async fn a_real_signal_begins_the_end() {
        let health = Health::new();
        let shutdown = Shutdown::on_signals(health.clone(), Duration::ZERO).unwrap();
        let process = std::process::id().to_string();
        assert!(
            Command::new("sh").args(["-c", "kill -TERM $0", &process]).status().unwrap().success()
        );
        shutdown.stopped().cancelled().await;
        assert!(!health.is_ready());
    }
}
