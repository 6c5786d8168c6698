//! Background tasks whose crash ends the process.
//!
//! A task that is gone leaves a process that looks alive and is not: a watch that stands still, a
//! certificate that nobody renews. A new process is better, and the last line of the old one says
//! which task it was. What serves single requests is not spawned here: its crash ends with them.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The first crash. It is the process's, as the end is that follows.
static CRASH: LazyLock<watch::Sender<Option<Crash>>> = LazyLock::new(watch::Sender::default);

/// A task is gone that should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Crash {
    /// It panicked; what it said is in the log before.
    #[error("the task {0:?} panicked")]
    Panicked(&'static str),
    /// It ended before the process was to end.
    #[error("the task {0:?} ended before its time")]
    Ended(&'static str),
}

/// Spawns a task that may end, and may not panic.
pub fn spawn(
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(watched(name, task, &CRASH))
}

/// Spawns a task that may not end before `stop` is cancelled, and is ended then.
pub fn spawn_until(
    stop: CancellationToken,
    name: &'static str,
    task: impl Future<Output = ()> + Send + 'static,
) -> JoinHandle<()> {
    spawn(name, until(stop, name, task, &CRASH))
}

/// Waits for the first crash.
pub async fn crash() -> Crash {
    first(&CRASH).await
}

type Crashes = watch::Sender<Option<Crash>>;

async fn watched(name: &'static str, task: impl Future<Output = ()>, crashes: &Crashes) {
    if AssertUnwindSafe(task).catch_unwind().await.is_err() {
        report(crashes, Crash::Panicked(name));
    }
}

async fn until(
    stop: CancellationToken,
    name: &'static str,
    task: impl Future<Output = ()>,
    crashes: &Crashes,
) {
    if stop.run_until_cancelled(task).await.is_some() && !stop.is_cancelled() {
        report(crashes, Crash::Ended(name));
    }
}

fn report(crashes: &Crashes, crash: Crash) {
    crashes.send_if_modified(|first| {
        let none = first.is_none();
        first.get_or_insert(crash);
        none
    });
}

async fn first(crashes: &Crashes) -> Crash {
    let mut crashes = crashes.subscribe();
    let crash = crashes.wait_for(Option::is_some).await.ok().and_then(|crash| *crash);
    match crash {
        Some(crash) => crash,
        // The sender is borrowed: it does not go away.
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_crash_is_told() {
        let crashes = Crashes::default();
        let stop = CancellationToken::new();
        watched("good", async {}, &crashes).await;
        assert_eq!(*crashes.borrow(), None);
        watched("bad", async { panic!("on purpose") }, &crashes).await;
        until(stop, "later", async {}, &crashes).await;
        assert_eq!(first(&crashes).await.to_string(), "the task \"bad\" panicked");
    }

    #[tokio::test]
    async fn an_end_is_a_crash_only_before_the_stop() {
        let stop = CancellationToken::new();
        let crashes = Crashes::default();
        let ended = until(stop.clone(), "watch", std::future::pending(), &crashes);
        stop.cancel();
        ended.await;
        assert_eq!(*crashes.borrow(), None);
        until(CancellationToken::new(), "watch", async {}, &crashes).await;
        assert_eq!(*crashes.borrow(), Some(Crash::Ended("watch")));
    }
}
