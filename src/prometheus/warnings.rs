//! Logs what a backend warns of: each text once a minute, however often it comes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::warn;

use crate::prometheus::fault::one_line;

const QUIET: Duration = Duration::from_mins(1);

/// Texts remembered at once. Past it, new ones are only counted: a backend that puts a number
/// into each warning would fill the log.
const MAX_TEXTS: usize = 100;

const MAX_CHARS: usize = 300;

/// When each text was logged last.
#[derive(Default)]
pub(super) struct Warnings(Mutex<HashMap<String, Instant>>);

impl Warnings {
    /// Logs the texts that were not logged lately.
    pub(super) fn log(&self, notes: &[String], operation: &'static str) {
        for note in notes {
            let note = one_line(note, MAX_CHARS);
            if self.is_due(&note, Instant::now()) {
                warn!(operation, warning = %note, "Prometheus answered with a warning");
            }
        }
    }

    fn is_due(&self, note: &str, now: Instant) -> bool {
        let mut logged = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Instant| now.saturating_duration_since(*at) < QUIET;
        if logged.get(note).is_some_and(recent) {
            return false;
        }
        if logged.len() >= MAX_TEXTS {
            logged.retain(|_, at| recent(at));
        }
        if logged.len() >= MAX_TEXTS {
            return false;
        }
        logged.insert(note.to_owned(), now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_due_once_a_minute() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let due = |note, second| warnings.is_due(note, start + Duration::from_secs(second));
        let seen = [due("a", 0), due("a", 59), due("b", 59), due("a", 60), due("a", 61)];
        assert_eq!(seen, [true, false, true, true, false]);
    }

    #[test]
    fn no_more_than_a_hundred_texts_are_remembered() {
        let (warnings, start) = (Warnings::default(), Instant::now());
        let due = (0..1_000).filter(|n| warnings.is_due(&n.to_string(), start)).count();
        assert_eq!((due, warnings.0.lock().unwrap().len()), (100, 100));
        assert!(warnings.is_due("later", start + QUIET));
        assert_eq!(warnings.0.lock().unwrap().len(), 1);
    }
}
