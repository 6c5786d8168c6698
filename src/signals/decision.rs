//! A signal whose value is a replica count: for an HPA with `averageValue: "1"` on an Object metric.
//!
//! A table of entries looks at named inputs, such as processor use against requests. Of the entries
//! that hold, the one with the highest confidence is the reason; it acts where its confidence is
//! high enough for its direction, and else the count stays as it is. One step at most doubles and
//! at most halves the count.
//!
//! The HPA controller leaves the count alone while the step is within its tolerance (10 % unless
//! it is told otherwise), and its `behavior` still limits how fast it follows.
//!
//! Limits: an input that is missing makes no entry hold. While all are missing there is no value.

mod history;
mod table;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

pub use self::history::{History, MAX_RECORDS, MAX_SAMPLES, Record};
pub use self::table::{Condition, Direction, Entry, Test, default_inputs, default_table};

/// The bounds of the replica count unless a person sets others.
pub const DEFAULT_REPLICAS: (u32, u32) = (2, 50);

/// The confidence from which an entry acts, up and down, unless a person sets others.
pub const DEFAULT_CONFIDENCE: (f64, f64) = (0.6, 0.3);

/// A decision as declared.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The names of the inputs, which conditions refer to by their index.
    pub inputs: Vec<Arc<str>>,
    /// The entries; of two with the same confidence the first counts.
    pub table: Vec<Entry>,
    /// The least confidence with which an entry raises the count.
    pub up_confidence: f64,
    /// The least confidence with which an entry lowers the count.
    pub down_confidence: f64,
    /// The least count.
    pub min: u32,
    /// The largest count.
    pub max: u32,
}

impl Default for Decision {
    fn default() -> Self {
        let (min, max) = DEFAULT_REPLICAS;
        let (up_confidence, down_confidence) = DEFAULT_CONFIDENCE;
        let (inputs, table) = (default_inputs(), default_table());
        Self { inputs, table, up_confidence, down_confidence, min, max }
    }
}

/// What was decided for one object at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// The replica count.
    pub replicas: u32,
    /// What becomes of the count.
    pub action: Action,
    /// The index of the entry that is the reason; none where none holds.
    pub entry: Option<usize>,
    /// The confidence of that entry; 0 where none holds.
    pub confidence: f64,
}

/// What becomes of a replica count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It grows.
    Up,
    /// It shrinks.
    Down,
    /// It stays.
    Hold,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Up => "Up",
            Self::Down => "Down",
            Self::Hold => "Hold",
        })
    }
}

impl Decision {
    /// Decides for an object that has `pods` pods, and remembers it.
    ///
    /// The inputs are in the order of [`inputs`](Self::inputs). `None` where all of them are
    /// missing: then nothing is remembered either, since nothing was seen.
    pub fn decide(
        &self,
        history: &mut History,
        pods: u32,
        inputs: &[Option<f64>],
        now: Timestamp,
    ) -> Option<Verdict> {
        if inputs.iter().all(Option::is_none) {
            return None;
        }
        let verdict = self.verdict(history, pods, inputs);
        history.remember(Record::new(now, pods, inputs, verdict));
        Some(verdict)
    }

    fn verdict(&self, history: &History, pods: u32, inputs: &[Option<f64>]) -> Verdict {
        let hold = self.bounded(pods);
        let Some((index, entry, ratio)) = self.strongest(history, pods, inputs) else {
            return Verdict { replicas: hold, action: Action::Hold, entry: None, confidence: 0.0 };
        };
        let acts = match entry.direction {
            Direction::Up => entry.confidence >= self.up_confidence,
            Direction::Down => entry.confidence >= self.down_confidence,
        };
        let replicas = if acts { self.bounded(step(entry.direction, pods, ratio)) } else { hold };
        let action = match replicas.cmp(&pods) {
            _ if !acts => Action::Hold,
            std::cmp::Ordering::Greater => Action::Up,
            std::cmp::Ordering::Less => Action::Down,
            std::cmp::Ordering::Equal => Action::Hold,
        };
        Verdict { replicas, action, entry: Some(index), confidence: entry.confidence }
    }

    /// The entry with the highest confidence of those that hold, and how far it is from its line.
    fn strongest(
        &self,
        history: &History,
        pods: u32,
        inputs: &[Option<f64>],
    ) -> Option<(usize, &Entry, f64)> {
        let mut strongest: Option<(usize, &Entry, f64)> = None;
        for (index, entry) in self.table.iter().enumerate() {
            let is_stronger =
                strongest.is_none_or(|(_, other, _)| entry.confidence > other.confidence);
            if is_stronger && let Some(ratio) = entry.ratio(history, pods, inputs) {
                strongest = Some((index, entry, ratio));
            }
        }
        strongest
    }

    fn bounded(&self, replicas: u32) -> u32 {
        replicas.max(self.min).min(self.max)
    }

    /// Why a verdict is as it is, in words: `cpu 0.92 is above 0.8`.
    pub fn reason(&self, record: &Record) -> String {
        let Some(entry) = record.verdict.entry.and_then(|index| self.table.get(index)) else {
            let bounded = record.verdict.replicas != record.pods;
            let bounds = if bounded { "; the count is brought within its bounds" } else { "" };
            return format!("no entry of the table holds{bounds}");
        };
        let mut reason = entry.describe(&self.inputs, record);
        let needed = match entry.direction {
            Direction::Up => self.up_confidence,
            Direction::Down => self.down_confidence,
        };
        if entry.confidence < needed {
            reason = format!("{reason}; its confidence is below {needed}");
        } else if record.verdict.action == Action::Hold {
            reason.push_str("; the count is at its bound");
        }
        reason
    }
}

/// The next count: in proportion to how far the input is from its line, at least one more or less,
/// at most double or half.
fn step(direction: Direction, pods: u32, ratio: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and what it gives is clamped"
    )]
    let proportional = (f64::from(pods) * ratio).ceil() as u32;
    match direction {
        Direction::Up => {
            let least = pods.saturating_add(1);
            proportional.clamp(least, pods.saturating_mul(2).max(least))
        }
        Direction::Down => {
            let most = pods.saturating_sub(1);
            proportional.clamp(pods.div_ceil(2).min(most), most)
        }
    }
}
