//! The entries of a decision's table: when one holds, and how far it is from its line.

use std::sync::Arc;

use super::history::{History, Record};

/// Raises or lowers the count where all of its conditions hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Which way.
    pub direction: Direction,
    /// From 0 to 1: how sure it makes.
    pub confidence: f64,
    /// All have to hold.
    pub conditions: Vec<Condition>,
    /// It holds only for objects with more pods than this.
    pub pods_above: u32,
}

/// The way that an entry changes the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// It raises the count.
    Up,
    /// It lowers the count.
    Down,
}

/// What one input has to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// The index of the input.
    pub input: usize,
    /// What it is compared with.
    pub test: Test,
    /// How many samples in a row have to pass, this one among them; at least 1.
    pub samples: usize,
}

/// What an input is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test {
    /// It is greater.
    Above(f64),
    /// It is less.
    Below(f64),
    /// It is greater than `factor` times the highest of the last samples before it, all of which
    /// have to be there.
    AboveHighest {
        /// How many times the highest.
        factor: f64,
        /// How many samples.
        of: usize,
    },
}

const CPU: usize = 0;
const MEMORY: usize = 1;
const REQUEST_RATE: usize = 2;
const ERROR_RATIO: usize = 3;
const RESPONSE_SECONDS: usize = 4;

/// The inputs of the default table: use of processor and memory against requests, requests per
/// second, share of errors, and response time in seconds.
pub fn default_inputs() -> Vec<Arc<str>> {
    ["cpu", "memory", "requestRate", "errorRatio", "responseSeconds"].map(Arc::from).into()
}

/// The table unless a person writes another.
pub fn default_table() -> Vec<Entry> {
    let entry = |direction, confidence, pods_above, conditions| Entry {
        direction,
        confidence,
        conditions,
        pods_above,
    };
    let once = |input, test| Condition { input, test, samples: 1 };
    let up = |confidence, input, test| entry(Direction::Up, confidence, 0, vec![once(input, test)]);
    vec![
        up(0.9, CPU, Test::Above(0.8)),
        up(0.8, MEMORY, Test::Above(0.85)),
        up(0.7, REQUEST_RATE, Test::AboveHighest { factor: 1.5, of: 3 }),
        up(0.6, ERROR_RATIO, Test::Above(0.05)),
        up(0.5, RESPONSE_SECONDS, Test::Above(1.0)),
        entry(
            Direction::Down,
            0.4,
            2,
            vec![once(CPU, Test::Below(0.3)), once(MEMORY, Test::Below(0.3))],
        ),
        entry(
            Direction::Down,
            0.3,
            0,
            vec![Condition { input: CPU, test: Test::Below(0.4), samples: 5 }],
        ),
    ]
}

impl Entry {
    /// How far the inputs are from the lines, as the largest ratio of an input to its line; `None`
    /// where the entry does not hold.
    pub(super) fn ratio(
        &self,
        history: &History,
        pods: u32,
        inputs: &[Option<f64>],
    ) -> Option<f64> {
        if pods <= self.pods_above {
            return None;
        }
        let mut largest: Option<f64> = None;
        for condition in &self.conditions {
            let ratio = condition.ratio(history, inputs)?;
            largest = Some(largest.map_or(ratio, |largest| largest.max(ratio)));
        }
        largest
    }

    pub(super) fn describe(&self, names: &[Arc<str>], record: &Record) -> String {
        let conditions: Vec<_> = self
            .conditions
            .iter()
            .map(|condition| condition.describe(names, &record.inputs()))
            .collect();
        conditions.join(" and ")
    }
}

impl Condition {
    fn ratio(&self, history: &History, inputs: &[Option<f64>]) -> Option<f64> {
        let now = inputs.get(self.input).copied().flatten()?;
        let ratio = match self.test {
            Test::Above(line) => (now > line).then(|| now / line),
            Test::Below(line) => (now < line).then(|| now / line),
            Test::AboveHighest { factor, of } => {
                let highest = history.highest(self.input, of)?;
                (now > factor * highest).then(|| now / highest)
            }
        }?;
        let earlier = self.samples.saturating_sub(1);
        let passed_before = match self.test {
            Test::Above(line) => history.last(self.input, earlier).all(|value| value > line),
            Test::Below(line) => history.last(self.input, earlier).all(|value| value < line),
            Test::AboveHighest { .. } => true,
        };
        let were_there = history.last(self.input, earlier).count() == earlier;
        (passed_before && were_there).then_some(ratio)
    }

    fn describe(&self, names: &[Arc<str>], inputs: &[Option<f32>]) -> String {
        let name = names.get(self.input).map_or("?", |name| name);
        let value = inputs.get(self.input).copied().flatten();
        let value = value.map_or_else(|| "?".to_owned(), |value| format!("{value:.4}"));
        let value = value.trim_end_matches('0').trim_end_matches('.');
        let line = match self.test {
            Test::Above(line) => format!("above {line}"),
            Test::Below(line) => format!("below {line}"),
            Test::AboveHighest { factor, of } => {
                format!("above {factor} times the highest of the last {of} samples")
            }
        };
        let row = match self.samples {
            0 | 1 => String::new(),
            samples => format!(", {samples} samples in a row"),
        };
        format!("{name} {value} is {line}{row}")
    }
}
