//! Keeps every table fresh while somebody needs it, in one task.
//!
//! Tables are evaluated in turn, spread over the refresh interval, and for each backend a bounded
//! number at a time, so that a slow one holds up its own tables alone. What somebody waits for goes
//! first. Where the backend needs longer than the interval for a table, that table is evaluated less
//! often.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tracing::{debug, info, warn};

use crate::engine::Engine;
use crate::engine::error::Error;
use crate::engine::plan;
use crate::engine::ports::{Backend, Inventory};
use crate::engine::table::{Outcome, Parts, Table};
use crate::promql::rule::DEFAULT_BACKEND;
use crate::telemetry::metrics::{EvaluationOutcome, Metrics};

/// How long a demand lasts after its last request. The HPA controller asks every 15 s.
const IDLE_TIME: Duration = Duration::from_mins(5);

/// The golden ratio's fraction of 2^64: its multiples are spread evenly, however many there are.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// Evaluates what is needed for as long as it runs. With a refresh interval of zero nothing is
/// kept, so nothing is to be done.
pub async fn run<B: Backend, I: Inventory>(engine: Arc<Engine<B, I>>, metrics: Arc<Metrics>) {
    if engine.settings.refresh_interval.is_zero() {
        return std::future::pending().await;
    }
    let interval = engine.settings.refresh_interval;
    let mut sweeps = tokio::time::interval(interval.max(Duration::from_secs(1)));
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut schedule = Schedule { interval, ..Schedule::default() };
    let mut running = JoinSet::new();
    loop {
        schedule.start(&engine, &mut running);
        let next = schedule.next_due();
        tokio::select! {
            biased;
            Some(done) = running.join_next() => match done {
                Ok(done) => {
                    metrics.evaluated(done.outcome);
                    schedule.done(&engine, done);
                    let slow = schedule.known.values().filter(|known| known.is_slow).count();
                    metrics.refreshed_slowly(slow);
                }
                // The process ends with the task that panics.
                Err(error) => if let Ok(panic) = error.try_into_panic() {
                    std::panic::resume_unwind(panic)
                },
            },
            urgent = engine.tables.urgent() => for table in urgent {
                schedule.lane(&engine, &table).urgent.push_back(table);
            },
            () = sleep_until(next) => {}
            _ = sweeps.tick() => {
                sweep(&engine);
                schedule.lanes.retain(|_, lane| !lane.is_idle());
            }
        }
    }
}

async fn sleep_until(next: Option<Instant>) {
    match next {
        Some(next) => tokio::time::sleep_until(next).await,
        None => std::future::pending().await,
    }
}

/// Takes away the demands that nobody has had for a while and those for what is not served, and
/// the decisions that nobody asks for any more.
fn sweep<B: Backend, I: Inventory>(engine: &Engine<B, I>) {
    let catalog = engine.catalog();
    engine.decisions.forget(Timestamp::now());
    engine.demands.retain(|slot| {
        let is_served = slot.binding().catalog == catalog.number()
            || !plan::check(&slot.demand, &catalog).is_err_and(|error| error.is_not_found());
        let is_idle = slot.idle() > IDLE_TIME;
        if is_idle {
            debug!(demand = %slot.demand, "nobody asks any more");
        }
        is_served && !is_idle
    });
}

/// What is evaluated when.
#[derive(Debug, Default)]
struct Schedule {
    interval: Duration,
    /// By the name of the backend.
    lanes: BTreeMap<Arc<str>, Lane>,
    /// By number.
    known: HashMap<u64, Known>,
}

/// The tables of one backend.
#[derive(Debug, Default)]
struct Lane {
    /// Tables that somebody waits for.
    urgent: VecDeque<Arc<Table>>,
    /// When each table is to be refreshed next, by time and number.
    due: BTreeMap<(Instant, u64), Weak<Table>>,
    refreshing: usize,
    first: usize,
    /// How many refreshes may be under way.
    most: usize,
}

/// What the schedule knows of a table.
#[derive(Debug, Default)]
struct Known {
    /// Whether an evaluation is under way.
    is_running: bool,
    /// When it is due; none while its refresh is under way.
    due: Option<Instant>,
    is_slow: bool,
}

/// An evaluation that has ended.
struct Done {
    lane: Arc<str>,
    table: Arc<Table>,
    is_refresh: bool,
    started: Instant,
    outcome: EvaluationOutcome,
}

impl Schedule {
    /// The lane of a table, which is another one when its rule names another backend.
    fn lane<B: Backend, I: Inventory>(
        &mut self,
        engine: &Engine<B, I>,
        table: &Table,
    ) -> &mut Lane {
        let backend = plan::backend(&table.subject, &engine.catalog());
        self.lanes.entry(backend.unwrap_or_else(|| DEFAULT_BACKEND.into())).or_default()
    }

    fn next_due(&self) -> Option<Instant> {
        let has_room = |lane: &&Lane| lane.refreshing < lane.most;
        let next = |lane: &Lane| lane.due.first_key_value().map(|((due, _), _)| *due);
        self.lanes.values().filter(has_room).filter_map(next).min()
    }

    /// Starts what can be started now.
    fn start<B: Backend, I: Inventory>(
        &mut self,
        engine: &Arc<Engine<B, I>>,
        running: &mut JoinSet<Done>,
    ) {
        for (backend, lane) in &mut self.lanes {
            // Half of what the backend takes, so that there is room for what somebody waits for.
            let concurrency = engine.backend.facts(backend).concurrency.max(1);
            lane.most = concurrency.div_ceil(2);
            let mut evaluate = |table, namespaces, is_refresh| {
                let (engine, lane) = (Arc::clone(engine), Arc::clone(backend));
                running.spawn(evaluate(engine, lane, table, namespaces, is_refresh));
            };
            lane.start_first(concurrency, self.interval, &mut self.known, &mut evaluate);
            lane.start_due(self.interval, &mut self.known, &mut evaluate);
        }
    }

    fn done<B: Backend, I: Inventory>(
        &mut self,
        engine: &Engine<B, I>,
        Done { lane, table, is_refresh, started, .. }: Done,
    ) {
        if let Some(lane) = self.lanes.get_mut(&lane) {
            let running = if is_refresh { &mut lane.refreshing } else { &mut lane.first };
            *running -= 1;
        }
        let (now, interval) = (Instant::now(), self.interval);
        let Some(known) = self.known.get_mut(&table.number) else { return };
        known.is_running = false;
        if known.due.is_none() {
            let took = now.duration_since(started);
            known.note_lateness(took, interval, &table);
            // A backend that needs longer than the interval has as long a rest.
            let pause = if took > interval { took } else { interval.saturating_sub(took) };
            let due = if is_refresh { now + pause } else { now };
            known.due = Some(due);
            let lane = self.lane(engine, &table);
            lane.due.insert((due, table.number), Arc::downgrade(&table));
        }
        if !table.unknown().is_empty() {
            self.lane(engine, &table).urgent.push_back(table);
        }
    }
}

/// Starts the evaluation of a table for some namespaces, for the first time or again.
type Start<'a> = &'a mut dyn FnMut(Arc<Table>, Vec<Arc<str>>, bool);

impl Lane {
    fn is_idle(&self) -> bool {
        let Self { urgent, due, refreshing, first, .. } = self;
        urgent.is_empty() && due.is_empty() && refreshing + first == 0
    }

    /// Starts what somebody waits for.
    fn start_first(
        &mut self,
        concurrency: usize,
        interval: Duration,
        tables: &mut HashMap<u64, Known>,
        start: Start<'_>,
    ) {
        while self.first < concurrency
            && let Some(table) = self.urgent.pop_front()
        {
            let known = tables.entry(table.number).or_default();
            let namespaces = table.unknown();
            // Whoever is under way looks when it is done.
            if known.is_running || namespaces.is_empty() {
                continue;
            }
            known.is_running = true;
            if known.due.is_none() {
                let due = Instant::now() + spread(interval, table.number);
                known.due = Some(due);
                self.due.insert((due, table.number), Arc::downgrade(&table));
            }
            self.first += 1;
            start(table, namespaces, false);
        }
    }

    /// Starts the refreshes that are due.
    fn start_due(
        &mut self,
        interval: Duration,
        tables: &mut HashMap<u64, Known>,
        start: Start<'_>,
    ) {
        let now = Instant::now();
        while self.refreshing < self.most
            && let Some(entry) = self.due.first_entry()
            && entry.key().0 <= now
        {
            let ((due, number), table) = entry.remove_entry();
            let table = table.upgrade();
            let namespaces = table.as_ref().map(|table| table.wanted()).unwrap_or_default();
            let (Some(table), Some(known)) = (table, tables.get_mut(&number)) else {
                tables.remove(&number);
                continue;
            };
            if known.is_running {
                // It is put off until what is under way is done.
                known.due = None;
                continue;
            }
            if namespaces.is_empty() {
                tables.remove(&number);
                continue;
            }
            known.note_lateness(now.duration_since(due), interval, &table);
            known.due = None;
            known.is_running = true;
            self.refreshing += 1;
            start(table, namespaces, true);
        }
    }
}

impl Known {
    /// Logs when a table begins to be evaluated less often than every interval, and when it ends.
    fn note_lateness(&mut self, took: Duration, interval: Duration, table: &Table) {
        let is_slow = took > interval;
        if is_slow && !self.is_slow {
            warn!(metric = %table.subject, ?took, "a metric is refreshed less often than wanted");
        }
        self.is_slow = is_slow;
    }
}

/// How long after its first evaluation a table is refreshed first.
fn spread(interval: Duration, number: u64) -> Duration {
    #[expect(clippy::cast_precision_loss, reason = "any number will do")]
    let part = number.wrapping_mul(SPREAD) as f64 / u64::MAX as f64;
    interval.mul_f64(1.0 - part.clamp(0.0, 0.99))
}

async fn evaluate<B: Backend, I: Inventory>(
    engine: Arc<Engine<B, I>>,
    lane: Arc<str>,
    table: Arc<Table>,
    namespaces: Vec<Arc<str>>,
    is_refresh: bool,
) -> Done {
    let started = Instant::now();
    let parts = engine.compute(&table, &namespaces).await;
    let outcome = outcome(&parts);
    tell(&table, &parts);
    table.publish(parts);
    Done { lane, table, is_refresh, started, outcome }
}

/// How an evaluation went for all namespaces together.
fn outcome(parts: &Parts) -> EvaluationOutcome {
    let is_failure = |outcome: &&Arc<Outcome>| match &***outcome {
        Ok(part) => part.failure.is_some(),
        Err(_) => true,
    };
    match parts.values().filter(is_failure).count() {
        0 => EvaluationOutcome::Success,
        failures if failures < parts.len() => EvaluationOutcome::Partial,
        _ => EvaluationOutcome::Failure,
    }
}

/// Logs a failure when it begins or changes, and its end, once for all namespaces.
fn tell(table: &Table, new: &Parts) {
    let before = table.parts();
    let failure = |outcome: Option<&Arc<Outcome>>| match outcome.map(|it| &**it) {
        Some(Err(error)) => Some(error.clone()),
        Some(Ok(part)) => part.failure.clone(),
        None => None,
    };
    let failed = |parts: &Parts| {
        let mut failures = new.keys().filter_map(|namespace| failure(parts.get(namespace)));
        failures.next()
    };
    let metric = &table.subject;
    match (failed(&before), failed(new)) {
        (Some(before), Some(error)) if before.is_like(&error) => {}
        // An object without a sample is no fault of anybody's, and any name can be asked for.
        (_, Some(error @ Error::NoValue(_))) => debug!(%metric, %error, "a metric has no value"),
        (_, Some(error)) => warn!(%metric, %error, "a metric cannot be evaluated"),
        (Some(_), None) => info!(%metric, "a metric can be evaluated again"),
        (None, None) => {}
    }
}
