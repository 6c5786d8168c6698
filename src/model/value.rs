//! What a backend answers and what the API says of it.

use std::collections::{BTreeMap, BTreeSet};

/// A label set, sorted by name, without `__name__` unless the backend sent it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Labels(Vec<(Box<str>, Box<str>)>);

impl Labels {
    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(key, _)| key.as_ref().cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Name and value of each label, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

/// Sorts by name; of several values of one name the least stays.
impl<N: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(N, V)> for Labels {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(labels: I) -> Self {
        let mut sorted: Vec<_> =
            labels.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        sorted.sort_unstable();
        sorted.dedup_by(|later, earlier| later.0 == earlier.0);
        Self(sorted)
    }
}

/// A value and its time, in seconds since the Unix epoch as the backend wrote it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Seconds since the Unix epoch.
    pub timestamp: f64,
    /// The value; may be NaN or infinite.
    pub value: f64,
}

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// What tells it apart from the other elements.
    pub labels: Labels,
    /// Its value and time.
    pub point: Point,
}

/// The result of an instant query.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryResult {
    /// A number without labels.
    Scalar(Point),
    /// An instant vector.
    Vector(Vec<Sample>),
}

/// One element of the result of a range query.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What tells it apart from the other elements.
    pub labels: Labels,
    /// Its values, the oldest first.
    pub points: Vec<Point>,
}

/// Metric name → names of the labels that its series carry (without `__name__`): what remains
/// of a series listing. Its size follows the number of metrics, not of series.
pub type SeriesNames = BTreeMap<String, BTreeSet<String>>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_by_name_and_each_name_is_there_once() {
        let labels = Labels::from_iter([("pod", "web-1"), ("code", "500"), ("code", "200")]);
        assert_eq!(labels.iter().collect::<Vec<_>>(), [("code", "200"), ("pod", "web-1")]);
        assert_eq!(labels, Labels::from_iter([("code", "200"), ("pod", "web-1")]));
        assert_eq!(
            ["code", "cod", "codes", "pod", ""].map(|name| labels.get(name)),
            [Some("200"), None, None, Some("web-1"), None]
        );
    }

    #[test]
    fn labels_hold_nothing_by_default() {
        assert_eq!(Labels::default(), Labels::from_iter::<[(&str, &str); 0]>([]));
        assert_eq!(Labels::default().iter().count(), 0);
    }
}
