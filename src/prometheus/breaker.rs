//! A circuit breaker: what has failed again and again is left alone for a while.
//!
//! It opens after some failures in a row. When its wait is over, one request goes through as a probe,
//! whose outcome closes it or begins a longer wait. It sends nothing itself.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::engine::ports::Fault;

/// Failures in a row that open it.
const FAILURES: u32 = 5;

/// How long it stays open: the first time, after a probe that failed, and so on; the last is for all
/// that follow.
const WAITS: [Duration; 4] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(5),
];

/// The part of a wait by which it may be longer, so that many clients do not come back at once.
const JITTER: f64 = 0.2;

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The peer is well, whatever it answered.
    Answered,
    /// The peer is to blame; in these words.
    Failed(String),
    /// It says nothing of the peer.
    Nothing,
}

/// What a verdict changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Opened,
    Closed,
}

/// The breaker of one peer.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row.
    failures: u32,
    answered: Option<Instant>,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    until: Instant,
    /// How often a probe has failed.
    probes: usize,
    is_probing: bool,
    last: String,
}

impl Breaker {
    /// Lets a request through, or says why not.
    pub(super) fn admit(&self) -> Result<Permit<'_>, Fault> {
        let (began, mut state) = (Instant::now(), self.lock());
        let is_probe = match &mut state.open {
            None => false,
            Some(open) if began < open.until || open.is_probing => {
                let left = open.until.saturating_duration_since(began);
                return Err(suspended(open.since, left, open.last.clone()));
            }
            Some(open) => {
                open.is_probing = true;
                true
            }
        };
        drop(state);
        Ok(Permit { breaker: self, began, is_probe })
    }

    pub(super) fn is_open(&self) -> bool {
        self.lock().open.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The fault of a request that is not sent for this long.
pub(super) fn suspended(since: Timestamp, left: Duration, last: String) -> Fault {
    // The text is read in conditions, where a fraction would be noise.
    let left = Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0));
    let until = whole(Timestamp::now()).checked_add(left).unwrap_or(Timestamp::MAX);
    Fault::Suspended { since: whole(since), until, last }
}

fn whole(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

/// A request that was let through. One that is dropped says nothing of the peer.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    began: Instant,
    is_probe: bool,
}

impl Permit<'_> {
    /// Whether it tries out a peer that was left alone.
    pub(super) fn is_probe(&self) -> bool {
        self.is_probe
    }

    /// Takes up what came of the request.
    pub(super) fn settle(self, verdict: Verdict) -> Option<Change> {
        let mut state = self.breaker.lock();
        match verdict {
            Verdict::Nothing => None,
            Verdict::Answered => {
                state.failures = 0;
                state.answered = Some(Instant::now());
                state.open.take().map(|_| Change::Closed)
            }
            Verdict::Failed(last) => state.failed(last, self.began, self.is_probe),
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if self.is_probe
            && let Some(open) = &mut self.breaker.lock().open
        {
            open.is_probing = false;
        }
    }
}

impl State {
    fn failed(&mut self, last: String, began: Instant, is_probe: bool) -> Option<Change> {
        if let Some(open) = &mut self.open {
            if is_probe {
                open.probes += 1;
                open.until = Instant::now() + wait(open.probes);
                open.last = last;
            }
            return None;
        }
        // What others got meanwhile shows that the peer is well.
        if self.answered.is_some_and(|answered| answered >= began) {
            return None;
        }
        self.failures += 1;
        if self.failures < FAILURES {
            return None;
        }
        let (since, until) = (Timestamp::now(), Instant::now() + wait(0));
        self.open = Some(Open { since, until, probes: 0, is_probing: false, last });
        Some(Change::Opened)
    }
}

fn wait(probes: usize) -> Duration {
    let wait = WAITS.get(probes).or(WAITS.last()).copied().unwrap_or_default();
    // A hash with keys of its own is as random as this needs.
    let random = u32::try_from(RandomState::new().hash_one(()) >> 32).unwrap_or_default();
    wait.mul_f64(1.0 + JITTER * f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    fn fail(breaker: &Breaker) -> Option<Change> {
        let verdict = Verdict::Failed("refused".to_owned());
        breaker.admit().expect("it is let through").settle(verdict)
    }

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        let changes: Vec<_> = (0..FAILURES).map(|_| fail(&breaker)).collect();
        assert_eq!(changes, [None, None, None, None, Some(Change::Opened)]);
        breaker
    }

    fn is_refused(breaker: &Breaker) -> bool {
        matches!(breaker.admit(), Err(Fault::Suspended { last, .. }) if last == "refused")
    }

    #[tokio::test(start_paused = true)]
    async fn it_opens_after_five_failures_and_asks_again_after_ever_longer_waits() {
        let breaker = opened();
        for wait in [1, 2, 4, 5, 5, 5] {
            advance(Duration::from_millis(wait * 1_000 - 1)).await;
            assert!(is_refused(&breaker), "before {wait} s");
            advance(Duration::from_millis(wait * 200 + 2)).await;
            assert_eq!(fail(&breaker), None, "after {wait} s");
            assert!(is_refused(&breaker), "again after {wait} s");
        }
        advance(Duration::from_secs(6)).await;
        let probe = breaker.admit().unwrap();
        assert!(is_refused(&breaker), "while the probe is under way");
        assert_eq!(probe.settle(Verdict::Answered), Some(Change::Closed));
        assert!(breaker.admit().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_counts_only_where_nothing_succeeded_since_its_request_began() {
        let breaker = Breaker::default();
        let slow: Vec<_> = (0..FAILURES).map(|_| breaker.admit().unwrap()).collect();
        advance(Duration::from_secs(1)).await;
        breaker.admit().unwrap().settle(Verdict::Answered);
        for permit in slow {
            assert_eq!(permit.settle(Verdict::Failed("slow".to_owned())), None);
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_alternate_with_answers_do_not_open_it() {
        let breaker = Breaker::default();
        for _ in 0..100 {
            fail(&breaker);
            advance(Duration::from_millis(1)).await;
            breaker.admit().unwrap().settle(Verdict::Answered);
            advance(Duration::from_millis(1)).await;
        }
        assert!(!breaker.is_open());
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_is_given_up_leaves_its_place_to_the_next() {
        let breaker = opened();
        advance(Duration::from_secs(2)).await;
        drop(breaker.admit().unwrap());
        breaker.admit().unwrap().settle(Verdict::Nothing);
        assert!(breaker.admit().is_ok());
    }
}
