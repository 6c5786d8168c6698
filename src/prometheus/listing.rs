//! `/api/v1/series`, streamed: each series is folded into names as it comes and then forgotten.
//!
//! Memory follows the number of metrics and of label names. The JSON is read on a blocking
//! thread that a bounded channel feeds; the thread ends when the feeding side is dropped.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::rc::Rc;

use bytes::{Buf, Bytes};
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use tokio::sync::mpsc;

use crate::model::value::SeriesNames;
use crate::prometheus::answer::{self, Answer};

/// A Prometheus of 10,000,000 series has some 20,000 metric names.
const MAX_METRICS: usize = 200_000;

const MAX_LABELS: usize = 10_000;

/// Pairs of metric and label name: what the result holds. At 64 bytes each this is 128 MB.
const MAX_PAIRS: usize = 2_000_000;

/// Bytes of a name.
const MAX_NAME: usize = 1_024;

/// Bytes of one label with its value, or of any other element of the answer.
const MAX_ELEMENT: usize = 1 << 20;

/// Chunks between the socket and the parser; hyper makes them up to some 400 KiB large.
const CHUNKS: usize = 2;

/// The two ends between the socket and the parser.
pub(super) fn channel() -> (mpsc::Sender<Chunk>, Chunks) {
    let (sender, receiver) = mpsc::channel(CHUNKS);
    (sender, Chunks { receiver, current: Bytes::new(), ended: false })
}

/// A piece of a body, or its end: a channel that closes without an end was given up.
pub(super) enum Chunk {
    Data(Bytes),
    End,
}

/// The body as the parser reads it, on a blocking thread.
pub(super) struct Chunks {
    receiver: mpsc::Receiver<Chunk>,
    current: Bytes,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Chunk::Data(data)) => self.current = data,
                Some(Chunk::End) => self.ended = true,
                None => return Err(io::ErrorKind::ConnectionAborted.into()),
            }
        }
        let length = self.current.len().min(buffer.len());
        self.current.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

/// Reads a listing to its end. The error says what is wrong with it.
pub fn fold(body: impl Read) -> Result<Answer<SeriesNames>, String> {
    let budget = Rc::new(Cell::new(MAX_ELEMENT));
    let metered = Metered { inner: body, budget: Rc::clone(&budget) };
    // serde_json reads single bytes; of a BufReader the standard library makes that fast.
    let reader = BufReader::with_capacity(64 << 10, metered);
    let mut fold = Fold { budget, ..Fold::default() };
    let mut json = serde_json::Deserializer::from_reader(reader);
    match answer::read(&mut json, List(&mut fold)) {
        Ok(Answer::Success { notes, .. }) => Ok(Answer::Success { data: fold.into_names(), notes }),
        Ok(Answer::Error { kind, message }) => Ok(Answer::Error { kind, message }),
        Err(error) => Err(fold.exceeded.unwrap_or_else(|| error.to_string())),
    }
}

/// Ends the input where one element goes on for too long, since the parser keeps it in memory.
struct Metered<R> {
    inner: R,
    budget: Rc<Cell<usize>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.budget.get();
        if left == 0 {
            return Err(io::Error::other(format!(
                "one element is larger than {MAX_ELEMENT} bytes"
            )));
        }
        let length = left.min(buffer.len());
        let read = self.inner.read(buffer.get_mut(..length).unwrap_or_default())?;
        self.budget.set(left.saturating_sub(read));
        Ok(read)
    }
}

/// What is known so far. Names are kept once and sets hold their numbers, since most series
/// bring nothing new and then nothing is allocated for them.
#[derive(Default)]
struct Fold {
    metrics: HashMap<Box<str>, usize>,
    labels: HashMap<Box<str>, usize>,
    /// By the number of the metric, the numbers of its labels.
    sets: Vec<BTreeSet<usize>>,
    pairs: usize,
    /// The series being read: the name may come after the labels.
    metric: Option<usize>,
    series: Vec<usize>,
    exceeded: Option<String>,
    budget: Rc<Cell<usize>>,
}

/// A bound was exceeded; which one is in [`Fold::exceeded`].
struct Exceeded;

impl Fold {
    fn exceed(&mut self, bound: String) -> Exceeded {
        self.exceeded = Some(bound);
        Exceeded
    }

    fn add_metric(&mut self, name: &str) -> Result<(), Exceeded> {
        if let Some(&number) = self.metrics.get(name) {
            self.metric = Some(number);
            return Ok(());
        }
        self.check_name(name)?;
        if self.sets.len() == MAX_METRICS {
            return Err(self.exceed(format!("it lists more than {MAX_METRICS} metric names")));
        }
        let number = self.sets.len();
        self.sets.push(BTreeSet::new());
        self.metrics.insert(name.into(), number);
        self.metric = Some(number);
        Ok(())
    }

    fn add_label(&mut self, name: &str) -> Result<(), Exceeded> {
        if let Some(&number) = self.labels.get(name) {
            self.series.push(number);
            return Ok(());
        }
        self.check_name(name)?;
        let number = self.labels.len();
        if number == MAX_LABELS {
            return Err(self.exceed(format!("it lists more than {MAX_LABELS} label names")));
        }
        self.labels.insert(name.into(), number);
        self.series.push(number);
        Ok(())
    }

    fn check_name(&mut self, name: &str) -> Result<(), Exceeded> {
        if name.len() > MAX_NAME {
            return Err(self.exceed(format!("it lists a name longer than {MAX_NAME} bytes")));
        }
        Ok(())
    }

    fn end_series(&mut self) -> Result<(), Exceeded> {
        if let Some(set) = self.metric.take().and_then(|number| self.sets.get_mut(number)) {
            self.pairs += self.series.iter().filter(|&&label| set.insert(label)).count();
        }
        self.series.clear();
        if self.pairs > MAX_PAIRS {
            let bound = format!("it lists more than {MAX_PAIRS} pairs of metric and label name");
            return Err(self.exceed(bound));
        }
        Ok(())
    }

    fn into_names(self) -> SeriesNames {
        let mut labels = vec![""; self.labels.len()];
        for (name, &number) in &self.labels {
            if let Some(label) = labels.get_mut(number) {
                *label = name;
            }
        }
        let mut sets = self.sets;
        self.metrics
            .into_iter()
            .map(|(metric, number)| {
                let set = sets.get_mut(number).map(std::mem::take).unwrap_or_default();
                let names = set.iter().filter_map(|&label| labels.get(label));
                (metric.into_string(), names.map(|&name| name.to_owned()).collect())
            })
            .collect()
    }
}

struct List<'a>(&'a mut Fold);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of series")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(Series(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Series<'a>(&'a mut Fold);

impl<'de> DeserializeSeed<'de> for Series<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Series<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the labels of a series")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let fold = self.0;
        while let Some(label) = map.next_key_seed(LabelName(fold))? {
            match label {
                Label::Name => map.next_value_seed(MetricName(fold))?,
                Label::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            fold.budget.set(MAX_ELEMENT);
        }
        fold.end_series().map_err(|Exceeded| A::Error::custom("a bound was exceeded"))
    }
}

enum Label {
    Name,
    Other,
}

struct LabelName<'a>(&'a mut Fold);

impl<'de> DeserializeSeed<'de> for LabelName<'_> {
    type Value = Label;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Label, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for LabelName<'_> {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a label name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Label, E> {
        if name == "__name__" {
            return Ok(Label::Name);
        }
        let added = self.0.add_label(name);
        added.map(|()| Label::Other).map_err(|Exceeded| E::custom("a bound was exceeded"))
    }
}

struct MetricName<'a>(&'a mut Fold);

impl<'de> DeserializeSeed<'de> for MetricName<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for MetricName<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a metric name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<(), E> {
        self.0.add_metric(name).map_err(|Exceeded| E::custom("a bound was exceeded"))
    }
}

#[cfg(test)]
mod tests;
