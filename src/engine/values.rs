//! Values of the objects of one namespace in a compact form: all names in one text, and no map of
//! labels per sample.

use std::collections::BTreeMap;

use crate::engine::error::Error;
use crate::model::quantity::Milli;
use crate::signals::missing::Missing;

/// A value and its time in whole seconds since the Unix epoch.
pub type Timed = (Milli, i64);

/// The values of objects, sorted by name, and why others have none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ObjectValues {
    /// All names, one after the other.
    names: Box<str>,
    entries: Box<[Entry]>,
    faults: BTreeMap<Box<str>, Fault>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    /// Where the name ends; it begins where the one before it ends.
    end: u32,
    value: Milli,
    timestamp: i64,
}

/// Why an object with a sample has no value.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// It has several, and none of them is more right than the others.
    Ambiguous(Error),
    /// Its sample is too old.
    Stale,
    /// Its value is none that a quantity can say.
    Unsayable(f64),
    /// Its signal has none.
    Missing(Missing),
}

impl ObjectValues {
    /// The value of an object.
    pub fn get(&self, name: &str) -> Option<Timed> {
        let (mut low, mut high) = (0, self.entries.len());
        while low < high {
            let middle = low.midpoint(high);
            let (other, timed) = self.at(middle)?;
            match other.cmp(name) {
                std::cmp::Ordering::Equal => return Some(timed),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Why an object has no value although there is a sample of it.
    pub fn fault(&self, name: &str) -> Option<&Fault> {
        self.faults.get(name)
    }

    /// An object whose signal has no value, if there is one, and why.
    pub fn missing(&self) -> Option<(&str, &Missing)> {
        self.faults.iter().find_map(|(name, fault)| match fault {
            Fault::Missing(missing) => Some((&**name, missing)),
            Fault::Stale | Fault::Unsayable(_) | Fault::Ambiguous(_) => None,
        })
    }

    /// Every object that is ambiguous: an answer that holds it is none.
    pub fn ambiguous(&self) -> impl Iterator<Item = (&str, &Error)> {
        self.faults.iter().filter_map(|(name, fault)| match fault {
            Fault::Ambiguous(error) => Some((&**name, error)),
            Fault::Stale | Fault::Unsayable(_) | Fault::Missing(_) => None,
        })
    }

    /// Every value, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Timed)> {
        (0..self.entries.len()).filter_map(|index| self.at(index))
    }

    /// These values and those of an earlier time which these lack, as far as they are of a time
    /// not before the oldest.
    #[must_use]
    pub fn or_earlier(mut self, earlier: &Self, oldest: i64) -> Self {
        let kept: Vec<_> = earlier
            .iter()
            .filter(|(name, (_, timestamp))| {
                let is_ambiguous = matches!(self.faults.get(*name), Some(Fault::Ambiguous(_)));
                *timestamp >= oldest && !is_ambiguous && self.get(name).is_none()
            })
            .collect();
        if kept.is_empty() {
            return self;
        }
        let mut all: Vec<_> = self.iter().chain(kept).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        let mut builder = Builder::default();
        for (name, timed) in all {
            builder.value(name, timed);
        }
        let faults = std::mem::take(&mut self.faults);
        Self { faults, ..builder.build() }
    }

    fn at(&self, index: usize) -> Option<(&str, Timed)> {
        let begin = match index.checked_sub(1) {
            Some(before) => self.entries.get(before)?.end as usize,
            None => 0,
        };
        let Entry { end, value, timestamp } = self.entries.get(index)?;
        Some((self.names.get(begin..*end as usize)?, (*value, *timestamp)))
    }
}

/// Takes values in the order of their names.
#[derive(Debug, Default)]
pub struct Builder {
    names: String,
    entries: Vec<Entry>,
    faults: BTreeMap<Box<str>, Fault>,
}

impl Builder {
    /// Adds the value of an object whose name sorts after all that were added. Names of more than
    /// 4 GiB together are left out; the bound on answers is far below.
    pub fn value(&mut self, name: &str, (value, timestamp): Timed) {
        let Ok(end) = u32::try_from(self.names.len() + name.len()) else { return };
        self.names.push_str(name);
        self.entries.push(Entry { end, value, timestamp });
    }

    /// Notes why an object has no value.
    pub fn fault(&mut self, name: &str, fault: Fault) {
        self.faults.insert(name.into(), fault);
    }

    /// What was added.
    pub fn build(self) -> ObjectValues {
        ObjectValues {
            names: self.names.into_boxed_str(),
            entries: self.entries.into_boxed_slice(),
            faults: self.faults,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(pairs: &[(&str, i64, i64)]) -> ObjectValues {
        let mut builder = Builder::default();
        for (name, value, timestamp) in pairs {
            builder.value(name, (Milli(*value), *timestamp));
        }
        builder.build()
    }

    #[test]
    fn every_value_is_found_by_its_name_and_no_other() {
        let values = values(&[("a", 1, 10), ("ab", 2, 20), ("b", 3, 30)]);
        let found = ["", "a", "aa", "ab", "b", "c"].map(|name| values.get(name));
        let some = |value, time| Some((Milli(value), time));
        assert_eq!(found, [None, some(1, 10), None, some(2, 20), some(3, 30), None]);
    }

    #[test]
    fn what_is_missing_is_taken_from_earlier_unless_it_is_too_old_or_ambiguous() {
        let earlier = values(&[("a", 1, 10), ("b", 1, 10), ("c", 1, 5), ("d", 1, 10)]);
        let mut now = values(&[("b", 2, 20), ("e", 2, 20)]);
        let ambiguous = Fault::Ambiguous(Error::NoValue(String::new()));
        now.faults.insert("d".into(), ambiguous);
        let joined = now.or_earlier(&earlier, 6);
        let all: Vec<_> =
            joined.iter().map(|(name, (value, time))| (name, value.0, time)).collect();
        assert_eq!(all, [("a", 1, 10), ("b", 2, 20), ("e", 2, 20)]);
        assert!(joined.fault("d").is_some());
    }
}
