//! Keeps one demand's answer fresh while somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tracing::{debug, info, warn};

use crate::engine::Engine;
use crate::engine::demand::Slot;
use crate::engine::error::Error;
use crate::engine::ports::{Backend, Inventory};

/// How long a demand lasts after its last request. The HPA controller asks every 15 s.
const IDLE_TIME: Duration = Duration::from_mins(5);

/// Evaluates a demand every refresh interval and publishes each outcome, until nobody has asked
/// for [`IDLE_TIME`] or the metric is served no more.
pub(super) async fn keep_fresh<B: Backend, I: Inventory>(
    engine: Arc<Engine<B, I>>,
    slot: Arc<Slot>,
) {
    let mut failing = None;
    let _end = End { engine: &engine, slot: &slot };
    let mut ticks = tokio::time::interval(engine.refresh_interval);
    // An evaluation that takes longer than the interval puts the next one off.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if slot.idle() > IDLE_TIME {
            debug!(demand = %slot.demand, "nobody asks any more");
            break;
        }
        let outcome = engine.evaluate(&slot.demand).await;
        tell(&slot, failing.as_ref(), outcome.as_ref().err());
        failing = outcome.as_ref().err().cloned();
        let served = !outcome.as_ref().is_err_and(Error::is_not_found);
        slot.publish(outcome.map(|answer| Arc::new(answer.into())));
        if !served {
            break;
        }
    }
}

/// Logs a failure when it begins or changes, and its end.
fn tell(slot: &Slot, before: Option<&Error>, now: Option<&Error>) {
    match (before, now) {
        (_, Some(error)) if before.is_some_and(|before| before.is_like(error)) => {}
        // An object without a sample is no fault of anybody's, and any name can be asked for.
        (_, Some(error @ Error::NoValue(_))) => {
            debug!(demand = %slot.demand, %error, "a metric has no value");
        }
        (_, Some(error)) => warn!(demand = %slot.demand, %error, "a metric cannot be evaluated"),
        (Some(_), None) => info!(demand = %slot.demand, "a metric can be evaluated again"),
        _ => {}
    }
}

/// Takes the demand away when its refresh ends, however it ends: an answer that nobody refreshes
/// would be served for ever.
struct End<'a, B, I> {
    engine: &'a Engine<B, I>,
    slot: &'a Slot,
}

impl<B, I> Drop for End<'_, B, I> {
    fn drop(&mut self) {
        self.engine.demands.remove(self.slot);
    }
}
