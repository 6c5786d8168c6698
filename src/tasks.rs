//! Background tasks: those whose crash ends the process, and those that begin anew.
//!
//! A task that is gone leaves a process that looks alive and is not: a watch that stands still, a
//! certificate that nobody renews. A new process is better, and the last line of the old one says
//! which task it was. What only one half of the process needs, the APIs or admission, is kept going
//! instead: the other half goes on meanwhile. What serves single requests is not spawned here: its
//! crash ends with them.

use std::panic::AssertUnwindSafe;
use std::sync::LazyLock;
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// How long a task that crashed is left alone, doubled with each crash up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LAST_PAUSE: Duration = Duration::from_mins(1);

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

/// Keeps a task of one half of the process going until `stop`: where it panics or ends, it begins
/// anew after a pause.
pub fn keep<T>(
    stop: CancellationToken,
    name: &'static str,
    begin: impl Fn() -> T + Send + Sync + 'static,
) -> JoinHandle<()>
where
    T: Future<Output = ()> + Send + 'static,
{
    let again = async move {
        let mut pause = FIRST_PAUSE;
        loop {
            let began = Instant::now();
            let panicked = AssertUnwindSafe(async { begin().await }).catch_unwind().await.is_err();
            if began.elapsed() > LAST_PAUSE {
                pause = FIRST_PAUSE;
            }
            tracing::error!(task = name, panicked, ?pause, "a task has ended and begins anew");
            sleep(pause).await;
            pause = LAST_PAUSE.min(pause * 2);
        }
    };
    tokio::spawn(async move {
        stop.run_until_cancelled(again).await;
    })
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

    #[tokio::test(start_paused = true)]
    async fn what_one_half_needs_begins_anew_and_ends_nobody() {
        let stop = CancellationToken::new();
        let (begun, mut times) = watch::channel(0);
        let task = keep(stop.clone(), "half", move || {
            let begun = begun.clone();
            async move {
                begun.send_modify(|times| *times += 1);
                assert!(*begun.borrow() > 2, "on purpose");
            }
        });
        times.wait_for(|times| *times == 4).await.unwrap();
        stop.cancel();
        task.await.unwrap();
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
