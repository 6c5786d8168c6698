//! A bounded cache of answers: many who ask for the same at once share one question, each answer
//! lives as long as it says, and errors are never kept.
//!
//! Keys are digests, so that neither tokens nor long attributes are kept in memory.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::future;

/// A SHA-256 of what is asked.
pub(super) type Key = [u8; 32];

/// Answers by the digest of their question.
pub(super) struct Cache<V> {
    answers: future::Cache<Key, V>,
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// A cache of so many answers; each lives as long as the function says from its arrival.
    pub(super) fn new(
        capacity: u64,
        lifetime: impl Fn(&V) -> Duration + Send + Sync + 'static,
    ) -> Self {
        let answers = future::Cache::builder()
            .max_capacity(capacity)
            .expire_after(Lifetime(lifetime))
            .build();
        Self { answers }
    }

    /// The answer that is there, or that of the question, which is asked once for all who wait.
    /// Where the one whose question it was goes away, another of them asks anew.
    pub(super) async fn get<E: Send + Sync + 'static>(
        &self,
        key: Key,
        question: impl Future<Output = Result<V, E>>,
    ) -> Result<V, Arc<E>> {
        self.answers.try_get_with(key, question).await
    }
}

impl<V: Clone + Send + Sync + 'static> Cache<V> {
    /// Whether there is an answer.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.answers.contains_key(key)
    }
}

impl<V> fmt::Debug for Cache<V> {
    /// Not what is in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

struct Lifetime<F>(F);

impl<V, F: Fn(&V) -> Duration> Expiry<Key, V> for Lifetime<F> {
    fn expire_after_create(&self, _: &Key, answer: &V, _: Instant) -> Option<Duration> {
        Some((self.0)(answer))
    }

    fn expire_after_update(
        &self,
        _: &Key,
        answer: &V,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some((self.0)(answer))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const KEY: Key = [7; 32];

    /// Asks so many times at once, and says how many questions that were.
    async fn questions(
        cache: &Cache<Result<u32, u32>>,
        answer: Result<Result<u32, u32>, String>,
    ) -> u32 {
        let asked = AtomicU32::new(0);
        let ask = || {
            cache.get(KEY, async {
                asked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                answer.clone()
            })
        };
        let answers = futures_util::future::join_all((0..50).map(|_| ask())).await;
        for given in answers {
            assert_eq!(given.map_err(|error| (*error).clone()), answer);
        }
        asked.into_inner()
    }

    fn cache(good: Duration, bad: Duration) -> Cache<Result<u32, u32>> {
        Cache::new(10, move |answer: &Result<_, _>| if answer.is_ok() { good } else { bad })
    }

    #[tokio::test]
    async fn who_asks_at_once_shares_a_question_and_who_comes_later_its_answer() {
        let cache = cache(Duration::from_mins(1), Duration::ZERO);
        assert_eq!(questions(&cache, Ok(Ok(1))).await, 1);
        assert_eq!(questions(&cache, Ok(Ok(1))).await, 0);
    }

    #[tokio::test]
    async fn an_answer_without_a_lifetime_is_shared_and_not_kept() {
        let cache = cache(Duration::from_mins(1), Duration::ZERO);
        assert_eq!(questions(&cache, Ok(Err(1))).await, 1);
        assert_eq!(questions(&cache, Ok(Err(1))).await, 1);
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let cache = cache(Duration::from_mins(1), Duration::from_mins(1));
        let failed = || Err("no connection".to_owned());
        assert!(questions(&cache, failed()).await >= 1);
        assert!(questions(&cache, failed()).await >= 1);
        assert_eq!(questions(&cache, Ok(Ok(1))).await, 1);
    }
}
