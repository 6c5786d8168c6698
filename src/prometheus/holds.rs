//! Tenants that a backend told to come back later: 429 with `Retry-After`.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;
use tokio::time::Instant;

use super::breaker::suspended;
use crate::engine::ports::Fault;

/// Most tenants that are held back at a time; those beyond are asked all the same.
const MAX_TENANTS: usize = 10_000;

/// The longest time for which a tenant is held back, whatever the backend says.
const MAX_HOLD: Duration = Duration::from_mins(5);

/// The tenants of one backend that are held back; `None` for a backend without tenants.
#[derive(Debug, Default)]
pub(super) struct Holds(Mutex<HashMap<Option<HeaderValue>, Hold>>);

#[derive(Debug)]
struct Hold {
    since: Timestamp,
    until: Instant,
    last: String,
}

impl Holds {
    /// An error while a tenant is held back.
    pub(super) fn check(&self, tenant: Option<&HeaderValue>) -> Result<(), Fault> {
        let (now, mut holds) =
            (Instant::now(), self.0.lock().unwrap_or_else(PoisonError::into_inner));
        if holds.is_empty() {
            return Ok(());
        }
        let key = tenant.cloned();
        match holds.get(&key) {
            Some(hold) if now < hold.until => {
                Err(suspended(hold.since, hold.until.duration_since(now), hold.last.clone()))
            }
            Some(_) => {
                holds.remove(&key);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Holds a tenant back from now on.
    pub(super) fn hold(&self, tenant: Option<&HeaderValue>, wait: Duration, last: String) {
        let now = Instant::now();
        let mut holds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if holds.len() >= MAX_TENANTS {
            holds.retain(|_, hold| now < hold.until);
        }
        if holds.len() < MAX_TENANTS {
            let (since, until) = (Timestamp::now(), now + wait.min(MAX_HOLD));
            holds.insert(tenant.cloned(), Hold { since, until, last });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_tenant_is_held_back_and_no_other() {
        let holds = Holds::default();
        let [one, other] = ["one", "other"].map(HeaderValue::from_static);
        holds.hold(Some(&one), Duration::from_secs(30), "429".to_owned());
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(matches!(holds.check(Some(&one)), Err(Fault::Suspended { .. })));
        assert_eq!([holds.check(Some(&other)), holds.check(None)], [Ok(()), Ok(())]);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(holds.check(Some(&one)), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn no_backend_holds_a_tenant_back_for_ever() {
        let holds = Holds::default();
        holds.hold(None, Duration::MAX, String::new());
        tokio::time::advance(MAX_HOLD).await;
        assert_eq!(holds.check(None), Ok(()));
    }
}
