//! The result of one query, found by namespace and object. It borrows every text from the result.

use std::collections::HashMap;

use crate::model::value::{Point, QueryResult, Sample};
use crate::signals::query::{ResultLabels, VARIANT_LABEL};

/// The result of one query, found by namespace and object.
#[derive(Debug, Default)]
pub struct Table<'a> {
    index: HashMap<(&'a str, &'a str), usize>,
    /// Where the cells of an object begin; they end where those of the next begin.
    starts: Vec<usize>,
    cells: Vec<Cell>,
}

/// A sample of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Cell {
    /// Which of the alternative series it came from.
    pub(super) variant: usize,
    /// The upper bound of a bucket; +Inf for what is no bucket.
    pub(super) bound: f64,
    pub(super) point: Point,
}

impl<'a> Table<'a> {
    /// Sorts a result by whose its samples are. What names nobody is left out; a scalar names
    /// nobody and belongs to everybody only where no label would tell.
    pub fn new(labels: &ResultLabels, result: &'a QueryResult) -> Self {
        let offset = labels.offset.as_secs_f64();
        let aged = |point: Point| Point { timestamp: point.timestamp - offset, ..point };
        let mut index = HashMap::new();
        let mut found = Vec::new();
        let samples = match result {
            QueryResult::Vector(samples) => samples.as_slice(),
            QueryResult::Scalar(point) => {
                if labels.namespace.is_none() && labels.object.is_none() {
                    index.insert(("", ""), 0);
                    let point = aged(*point);
                    found.push((0, Cell { variant: 0, bound: f64::INFINITY, point }));
                }
                &[]
            }
        };
        for sample in samples {
            let (Some(owner), Some(bound)) = (owner(labels, sample), bound(labels, sample)) else {
                continue;
            };
            let next = index.len();
            let object = *index.entry(owner).or_insert(next);
            let variant = sample.labels.get(VARIANT_LABEL).and_then(|text| text.parse().ok());
            let point = aged(sample.point);
            found.push((object, Cell { variant: variant.unwrap_or(0), bound, point }));
        }
        found.sort_by(|(object, a), (other, b)| {
            object.cmp(other).then(a.variant.cmp(&b.variant)).then(a.bound.total_cmp(&b.bound))
        });
        let mut starts = Vec::with_capacity(index.len());
        for (position, (object, _)) in found.iter().enumerate() {
            if starts.len() == *object {
                starts.push(position);
            }
        }
        let cells = found.into_iter().map(|(_, cell)| cell).collect();
        Self { index, starts, cells }
    }

    /// How many objects there are.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether there is no object.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// The namespace and name of each object, in no order.
    pub fn objects(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.index.keys().copied()
    }

    /// The samples of an object; none where it has none.
    pub(super) fn cells(&self, namespace: &str, name: &str) -> &[Cell] {
        let Some(object) = self.index.get(&(namespace, name)) else {
            return &[];
        };
        let start = self.starts.get(*object).copied().unwrap_or_default();
        let end = self.starts.get(object + 1).copied().unwrap_or(self.cells.len());
        self.cells.get(start..end).unwrap_or_default()
    }
}

fn owner<'a>(labels: &ResultLabels, sample: &'a Sample) -> Option<(&'a str, &'a str)> {
    let read = |label: &Option<std::sync::Arc<str>>| match label {
        Some(label) => sample.labels.get(label).filter(|text| !text.is_empty()),
        None => Some(""),
    };
    Some((read(&labels.namespace)?, read(&labels.object)?))
}

fn bound(labels: &ResultLabels, sample: &Sample) -> Option<f64> {
    if !labels.buckets {
        return Some(f64::INFINITY);
    }
    // Rust reads every form that Prometheus writes: 0.5, 1e+06, +Inf.
    sample.labels.get("le")?.parse().ok().filter(|bound: &f64| !bound.is_nan())
}
