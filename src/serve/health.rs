//! What `/healthz`, `/livez` and `/readyz` say, in the format of the API server
//! (staging/src/k8s.io/apiserver/pkg/server/healthz/healthz.go).
//!
//! `livez` and `healthz` depend on nothing but the process: a restart repairs neither a backend
//! nor a cluster. A runtime that is stuck as a whole does not answer, which fails a probe by
//! itself; one that answers and runs nothing else is found by its heartbeat. `readyz` waits for
//! what was registered and fails as soon as the end has begun.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use tokio::time::{Instant, sleep};
use url::form_urlencoded;

/// The `Content-Type` of every answer.
pub const CONTENT_TYPE: &str = "text/plain; charset=utf-8";

/// How often the heart beats.
const BEAT: Duration = Duration::from_secs(1);
/// How long it may be still: longer than the longest hold-up of a machine that goes on.
const STILL: Duration = Duration::from_secs(30);

/// The process's readiness, shared by everything that has a part in it.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    checks: RwLock<Vec<(&'static str, Arc<AtomicBool>)>>,
    shutting_down: Arc<AtomicBool>,
    beat: Arc<ArcSwapOption<Instant>>,
}

impl Health {
    /// Ready at once, until something is registered.
    pub fn new() -> Self {
        Self::default()
    }

    /// The readiness of a part of the process: it has the checks that are registered so far, and
    /// then its own; the end is that of all.
    #[must_use]
    pub fn part(&self) -> Self {
        let checks = self.state.checks.read().unwrap_or_else(PoisonError::into_inner).clone();
        Self {
            state: Arc::new(State {
                checks: RwLock::new(checks),
                shutting_down: Arc::clone(&self.state.shutting_down),
                beat: Arc::clone(&self.state.beat),
            }),
        }
    }

    /// Adds a check that fails until its guard is done. To be called before the first listener
    /// serves, so that no probe sees a readiness that does not know of the check yet.
    pub fn register(&self, name: &'static str) -> Pending {
        let done = Arc::new(AtomicBool::new(false));
        let mut checks = self.state.checks.write().unwrap_or_else(PoisonError::into_inner);
        checks.push((name, Arc::clone(&done)));
        Pending { name, done }
    }

    /// Makes `readyz` fail from now on: the end has begun.
    pub fn shut_down(&self) {
        self.state.shutting_down.store(true, Ordering::Relaxed);
    }

    /// Beats for ever, as a background task. From the first beat on `livez` fails when it stops.
    pub async fn beat(self) {
        loop {
            self.state.beat.store(Some(Arc::new(Instant::now())));
            sleep(BEAT).await;
        }
    }

    /// Status and body of the answer to a probe; `query` is the request's raw query string.
    pub fn answer(&self, probe: Probe, query: Option<&str>) -> (StatusCode, String) {
        let mut checks = vec![("ping", true)];
        if probe == Probe::Readyz {
            let registered = self.state.checks.read().unwrap_or_else(PoisonError::into_inner);
            checks.extend(
                registered.iter().map(|(name, done)| (*name, done.load(Ordering::Relaxed))),
            );
            checks.push(("shutdown", !self.state.shutting_down.load(Ordering::Relaxed)));
        } else if let Some(beat) = self.state.beat.load().as_ref() {
            checks.push(("runtime", beat.elapsed() < STILL));
        }
        render(probe, &checks, query.unwrap_or_default())
    }
}

/// A part of the readiness that is not there yet. Dropped without [`Pending::done`], it never
/// will be: a task that failed must not make the process ready.
#[derive(Debug)]
#[must_use = "the process never becomes ready unless this is done"]
pub struct Pending {
    name: &'static str,
    done: Arc<AtomicBool>,
}

impl Pending {
    /// The part is there.
    pub fn done(self) {
        self.done.store(true, Ordering::Relaxed);
        tracing::info!(check = self.name, "ready");
    }
}

/// Which question a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// `/healthz`, the older name of `/livez`.
    Healthz,
    /// `/livez`: is a restart needed?
    Livez,
    /// `/readyz`: may requests come?
    Readyz,
}

impl Probe {
    /// The probe of a path.
    pub fn of(path: &str) -> Option<Self> {
        match path {
            "/healthz" => Some(Self::Healthz),
            "/livez" => Some(Self::Livez),
            "/readyz" => Some(Self::Readyz),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Healthz => "healthz",
            Self::Livez => "livez",
            Self::Readyz => "readyz",
        }
    }
}

fn render(probe: Probe, checks: &[(&str, bool)], query: &str) -> (StatusCode, String) {
    let parameters = || form_urlencoded::parse(query.as_bytes());
    let mut unknown: Vec<String> = parameters()
        .filter(|(name, _)| name == "exclude")
        .map(|(_, value)| value.into_owned())
        .collect();
    unknown.sort_unstable();
    unknown.dedup();

    let mut lines = String::new();
    let mut failed = false;
    for &(check, good) in checks {
        let excluded = unknown.iter().position(|name| name == check);
        let (mark, outcome) = match (excluded, good) {
            (Some(_), _) => ('+', "excluded: ok"),
            (None, true) => ('+', "ok"),
            (None, false) => ('-', "failed: reason withheld"),
        };
        if let Some(index) = excluded {
            unknown.remove(index);
        }
        failed |= mark == '-';
        line(&mut lines, &format!("[{mark}]{check} {outcome}"));
    }
    if !unknown.is_empty() {
        let names: Vec<String> = unknown.iter().map(|name| format!("{name:?}")).collect();
        let names = names.join(",");
        let warning = "warn: some health checks cannot be excluded: no matches for";
        line(&mut lines, &format!("{warning} {names}"));
    }

    let probe = probe.name();
    if failed {
        line(&mut lines, &format!("{probe} check failed"));
        return (StatusCode::INTERNAL_SERVER_ERROR, lines);
    }
    if parameters().all(|(name, _)| name != "verbose") {
        return (StatusCode::OK, "ok".to_owned());
    }
    line(&mut lines, &format!("{probe} check passed"));
    (StatusCode::OK, lines)
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Health {
        pub(crate) fn is_ready(&self) -> bool {
            self.answer(Probe::Readyz, None).0 == StatusCode::OK
        }
    }

    #[test]
    fn a_part_waits_for_what_came_before_it_and_for_its_own_alone() {
        let whole = Health::new();
        let both = whole.register("certificate");
        let part = whole.part();
        let theirs = whole.register("discovery");
        assert!(!whole.is_ready() && !part.is_ready());
        both.done();
        assert!(!whole.is_ready() && part.is_ready());
        let own = part.register("policy");
        theirs.done();
        assert!(whole.is_ready() && !part.is_ready());
        own.done();
        whole.shut_down();
        assert!(!whole.is_ready() && !part.is_ready());
    }

    #[track_caller]
    fn check(health: &Health, probe: Probe, query: &str, status: u16, body: &str) {
        let answer = health.answer(probe, Some(query));
        assert_eq!((answer.0.as_u16(), answer.1.as_str()), (status, body), "{probe:?}?{query}");
    }

    #[test]
    fn readiness_waits_for_every_check() {
        let health = Health::new();
        let config = health.register("config");
        let discovery = health.register("discovery");
        let body = "[+]ping ok\n[-]config failed: reason withheld\n\
            [-]discovery failed: reason withheld\n[+]shutdown ok\nreadyz check failed\n";
        check(&health, Probe::Readyz, "", 500, body);
        config.done();
        assert!(!health.is_ready());
        discovery.done();
        check(&health, Probe::Readyz, "", 200, "ok");
        let body = "[+]ping ok\n[+]config ok\n[+]discovery ok\n[+]shutdown ok\n\
            readyz check passed\n";
        check(&health, Probe::Readyz, "verbose", 200, body);
    }

    #[test]
    fn a_check_that_is_dropped_stays_failed() {
        let health = Health::new();
        drop(health.register("config"));
        assert!(!health.is_ready());
    }

    #[test]
    fn the_end_fails_readiness_and_nothing_else() {
        let health = Health::new();
        health.shut_down();
        let body = "[+]ping ok\n[-]shutdown failed: reason withheld\nreadyz check failed\n";
        check(&health, Probe::Readyz, "verbose=true", 500, body);
        check(&health, Probe::Livez, "verbose", 200, "[+]ping ok\nlivez check passed\n");
        check(&health, Probe::Healthz, "", 200, "ok");
    }

    #[tokio::test(start_paused = true)]
    async fn liveness_fails_when_the_heart_stands_still() {
        let health = Health::new();
        let heart = tokio::spawn(health.clone().beat());
        sleep(10 * STILL).await;
        check(
            &health,
            Probe::Livez,
            "verbose",
            200,
            "[+]ping ok\n[+]runtime ok\nlivez check passed\n",
        );
        heart.abort();
        sleep(STILL).await;
        let body = "[+]ping ok\n[-]runtime failed: reason withheld\nlivez check failed\n";
        check(&health, Probe::Livez, "", 500, body);
    }

    #[test]
    fn excluded_checks_do_not_fail() {
        let health = Health::new();
        let pending = health.register("discovery");
        check(&health, Probe::Readyz, "exclude=discovery", 200, "ok");
        let body = "[+]ping ok\n[+]discovery excluded: ok\n[+]shutdown ok\n\
            warn: some health checks cannot be excluded: no matches for \"a\\nb\",\"z\"\n\
            readyz check passed\n";
        let query = "verbose&exclude=z&exclude=discovery&exclude=a%0Ab&exclude=z";
        check(&health, Probe::Readyz, query, 200, body);
        pending.done();
    }

    #[test]
    fn paths_name_their_probe() {
        let probes = ["/readyz", "/livez", "/healthz", "/readyz/", "/"].map(Probe::of);
        let known = [Some(Probe::Readyz), Some(Probe::Livez), Some(Probe::Healthz)];
        assert_eq!((&probes[..3], &probes[3..]), (&known[..], &[None, None][..]));
    }
}
