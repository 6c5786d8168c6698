//! Samples of objects in a compact form: of their labels only those that say whose they are.
//!
//! All names stand in one text, and a sample takes 40 bytes beside its name, whatever labels it
//! has. Samples without a name are left out: nobody could have asked for them.

use std::collections::{BTreeMap, HashMap};

use super::value::{Labels, Point, Sample};

/// The labels that tell whose value a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectLabels {
    /// That of the namespace; none where all samples are of one.
    pub namespace: Option<String>,
    /// That of the object.
    pub object: String,
}

/// Samples sorted by namespace and object; those of one object in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    names: Box<str>,
    namespaces: Vec<Box<str>>,
    sorted: Vec<Row>,
    labels: BTreeMap<u32, Labels>,
    samples: usize,
}

/// One sample; what it means, its [`Rows`] say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The value and its time.
    pub point: Point,
    /// Counts the samples as they came, from zero.
    number: u32,
    namespace: u32,
    start: u32,
    end: u32,
}

impl Rows {
    /// The same samples without the other labels; of the first two of an object all are kept, to
    /// show that it has several.
    pub fn of(samples: &[Sample], labels: &ObjectLabels) -> Self {
        let mut builder = Builder::default();
        for Sample { labels: all, point } in samples {
            let namespace = labels.namespace.as_ref().map(|label| all.get(label));
            let object = all.get(&labels.object).unwrap_or_default();
            builder.add(namespace.map(Option::unwrap_or_default), object, *point);
        }
        let mut rows = builder.build();
        rows.describe(samples);
        rows
    }

    /// Every sample.
    pub fn all(&self) -> &[Row] {
        &self.sorted
    }

    /// How many samples there were, also those of no object.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The namespace of a sample; empty where the samples tell none.
    pub fn namespace(&self, row: &Row) -> &str {
        self.namespaces.get(row.namespace as usize).map_or("", |name| name)
    }

    /// The object of a sample.
    pub fn object(&self, row: &Row) -> &str {
        self.names.get(row.start as usize..row.end as usize).unwrap_or_default()
    }

    /// All labels of a sample, where they are known: of the first two of an object.
    pub fn labels(&self, row: &Row) -> Option<&Labels> {
        self.labels.get(&row.number)
    }

    /// Whether two samples are of one object.
    pub fn is_same_object(&self, one: &Row, other: &Row) -> bool {
        one.namespace == other.namespace && self.object(one) == self.object(other)
    }

    /// Whether some object has several samples.
    pub fn has_several(&self) -> bool {
        self.sorted.array_windows().any(|[one, next]| self.is_same_object(one, next))
    }

    /// Takes the labels of the first two samples of each object that has several.
    pub fn describe(&mut self, samples: &[Sample]) {
        let mut labels = BTreeMap::new();
        for rows in self.sorted.chunk_by(|one, next| self.is_same_object(one, next)) {
            if let [first, second, ..] = rows {
                let of = |row: &Row| {
                    let sample = samples.get(row.number as usize);
                    (row.number, sample.map(|it| it.labels.clone()).unwrap_or_default())
                };
                labels.extend([of(first), of(second)]);
            }
        }
        self.labels = labels;
    }
}

/// Takes samples as they come.
#[derive(Debug, Default)]
pub struct Builder {
    names: String,
    namespaces: HashMap<Box<str>, u32>,
    rows: Vec<Row>,
    samples: usize,
}

impl Builder {
    /// Adds a sample. The namespace is none where all samples are of one; an empty name is none.
    /// Names of more than 4 GiB together are left out; the bound on answers is far below.
    pub fn add(&mut self, namespace: Option<&str>, object: &str, point: Point) {
        let number = u32::try_from(self.samples);
        self.samples += 1;
        let (start, end) = (self.names.len(), self.names.len() + object.len());
        let (Ok(number), Ok(start), Ok(end)) = (number, u32::try_from(start), u32::try_from(end))
        else {
            return;
        };
        if namespace == Some("") || object.is_empty() {
            return;
        }
        let namespace = namespace.unwrap_or_default();
        let next = u32::try_from(self.namespaces.len()).unwrap_or(u32::MAX);
        let namespace = match self.namespaces.get(namespace) {
            Some(there) => *there,
            None => *self.namespaces.entry(namespace.into()).or_insert(next),
        };
        self.names.push_str(object);
        self.rows.push(Row { point, number, namespace, start, end });
    }

    /// What was added.
    pub fn build(self) -> Rows {
        let Self { names, namespaces, rows: mut all, samples } = self;
        let mut sorted: Vec<(Box<str>, u32)> = namespaces.into_iter().collect();
        sorted.sort_unstable();
        let mut rank = vec![0; sorted.len()];
        for (place, (_, namespace)) in (0..).zip(&sorted) {
            if let Some(rank) = rank.get_mut(*namespace as usize) {
                *rank = place;
            }
        }
        let mut rows = Rows {
            names: names.into_boxed_str(),
            namespaces: sorted.into_iter().map(|(name, _)| name).collect(),
            sorted: Vec::new(),
            labels: BTreeMap::new(),
            samples,
        };
        for row in &mut all {
            row.namespace = rank.get(row.namespace as usize).copied().unwrap_or_default();
        }
        // Stable in effect: the last of an object's samples may be the one that counts.
        all.sort_unstable_by(|one, other| {
            let key = |row: &Row| (row.namespace, rows.object(row), row.number);
            key(one).cmp(&key(other))
        });
        rows.sorted = all;
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_sorted_by_namespace_and_object_and_then_as_they_came() {
        let sample = |namespace: &str, pod: &str, value| Sample {
            labels: [("namespace", namespace), ("pod", pod)].into_iter().collect(),
            point: Point { timestamp: 1.0, value },
        };
        let samples = [
            sample("b", "x", 1.0),
            sample("a", "y", 2.0),
            sample("", "x", 3.0),
            sample("b", "w", 4.0),
            sample("b", "x", 5.0),
            sample("a", "", 6.0),
        ];
        let labels = ObjectLabels { namespace: Some("namespace".into()), object: "pod".into() };
        let rows = Rows::of(&samples, &labels);
        let told: Vec<_> = rows
            .all()
            .iter()
            .map(|row| {
                (rows.namespace(row), rows.object(row), row.point.value, rows.labels(row).is_some())
            })
            .collect();
        let expected = [
            ("a", "y", 2.0, false),
            ("b", "w", 4.0, false),
            ("b", "x", 1.0, true),
            ("b", "x", 5.0, true),
        ];
        assert_eq!((told.as_slice(), rows.samples()), (&expected[..], 6));
        let all_of_one = ObjectLabels { namespace: None, ..labels };
        assert_eq!(Rows::of(&samples, &all_of_one).all().len(), 5);
    }
}
