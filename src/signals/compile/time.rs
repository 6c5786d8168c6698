//! Durations, time zones and days of the week as people write them.

use std::time::Duration;

use super::Compiler;
use crate::model::duration;

impl Compiler<'_> {
    /// A duration; `None` where there is none, or it is a mistake.
    pub(super) fn duration(&mut self, text: Option<&str>, path: &str) -> Option<Duration> {
        match duration::parse(text?) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.mistake(path, error.to_string());
                None
            }
        }
    }

    /// A duration that is not zero.
    pub(super) fn positive(&mut self, text: Option<&str>, path: &str) -> Option<Duration> {
        let duration = self.duration(text, path)?;
        if duration.is_zero() {
            self.mistake(path, "it has to be longer than nothing");
        }
        Some(duration)
    }
}
