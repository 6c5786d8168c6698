//! What was decided for one object in the last hour, and the last inputs that conditions look at.
//!
//! Bounded: a verdict that repeats is written down once a minute, and no more than
//! [`MAX_RECORDS`] are kept; the samples that conditions look back on are the last
//! [`MAX_SAMPLES`].

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::{Action, Verdict};

/// How long a record is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// How often a verdict that does not change is written down.
const REPEATED: SignedDuration = SignedDuration::from_mins(1);

/// How many records one object has at most.
pub const MAX_RECORDS: usize = 120;

/// How many samples a condition can look back on.
pub const MAX_SAMPLES: usize = 16;

/// The past of one object, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    records: VecDeque<Record>,
    samples: VecDeque<Box<[f32]>>,
}

/// One decision: 40 bytes and 4 for each input.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// How many pods the object had.
    pub pods: u32,
    /// What was decided.
    pub verdict: Verdict,
    /// NaN for one that is missing.
    inputs: Box<[f32]>,
}

impl Record {
    #[expect(clippy::cast_possible_truncation, reason = "seven digits are enough to be read")]
    pub(super) fn new(at: Timestamp, pods: u32, inputs: &[Option<f64>], verdict: Verdict) -> Self {
        let inputs = inputs.iter().map(|input| input.map_or(f32::NAN, |value| value as f32));
        Self { at, pods, verdict, inputs: inputs.collect() }
    }

    /// The inputs in the order in which they are declared.
    pub fn inputs(&self) -> Vec<Option<f32>> {
        self.inputs.iter().map(|value| (!value.is_nan()).then_some(*value)).collect()
    }

    /// Whether it says the same as another, whatever the exact inputs.
    fn repeats(&self, other: &Self) -> bool {
        let (now, before) = (self.verdict, other.verdict);
        self.pods == other.pods
            && now.entry == before.entry
            && now.action == before.action
            && now.replicas == before.replicas
    }
}

impl History {
    pub(super) fn remember(&mut self, record: Record) {
        if self.samples.len() == MAX_SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(record.inputs.clone());
        self.records.retain(|old| record.at.duration_since(old.at) < KEPT);
        // Of equal ones the first of each minute stays, and the latest.
        let mut before = self.records.iter().rev();
        let replaces = before.next().zip(before.next()).is_some_and(|(last, older)| {
            record.repeats(last)
                && record.repeats(older)
                && last.at.duration_since(older.at) < REPEATED
        });
        if replaces {
            self.records.pop_back();
        } else if self.records.len() == MAX_RECORDS {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }

    /// The records of the last hour, oldest first.
    pub fn records(&self) -> impl DoubleEndedIterator<Item = &Record> {
        self.records.iter()
    }

    /// The latest record.
    pub fn latest(&self) -> Option<&Record> {
        self.records.back()
    }

    /// The latest record that changed the count.
    pub fn latest_change(&self) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.verdict.action != Action::Hold)
    }

    /// The last samples of an input, latest first, up to the first that is missing.
    pub(super) fn last(&self, input: usize, count: usize) -> impl Iterator<Item = f64> {
        let values = self.samples.iter().rev().take(count);
        let values = values.map(move |sample| sample.get(input).copied().unwrap_or(f32::NAN));
        values.take_while(|value| !value.is_nan()).map(f64::from)
    }

    /// The highest of the last samples of an input; none where not all of them are there.
    pub(super) fn highest(&self, input: usize, of: usize) -> Option<f64> {
        if self.last(input, of).count() < of {
            return None;
        }
        self.last(input, of).reduce(f64::max)
    }
}
