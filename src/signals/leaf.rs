//! A signal that is computed from samples: from the tables of its queries to the value of one
//! object, which may be that of its pods together.

use std::sync::Arc;
use std::time::Duration;

use crate::model::value::Point;
use crate::signals::definition::RollUp;
use crate::signals::missing::Missing;
use crate::signals::preset::MAX_SOURCES;
use crate::signals::quantile::{self, Bucket};
use crate::signals::query::Pattern;
use crate::signals::signal::Object;
use crate::signals::table::{Cell, Table};

/// Queries and how their tables become a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Leaf {
    pub(super) patterns: Vec<Pattern>,
    pub(super) place: Place,
    pub(super) combine: Combine,
    pub(super) window: Option<Duration>,
    /// What the values of each variant are multiplied by.
    pub(super) scales: Vec<f64>,
    /// What the samples are of, for messages.
    pub(super) what: &'static str,
}

/// Where the samples of an object are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Under its own name.
    Object { namespaced: bool },
    /// Under the names of its pods.
    Pods { namespaced: bool },
    /// Under its namespace, or under nothing: the object is the namespace, or `external`.
    Namespace { namespaced: bool },
    /// Under `NAMESPACE-NAME`.
    Joined,
}

/// What becomes of the tables.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Combine {
    /// The sum of the only table.
    Sum,
    /// The second over the first; what the second lacks is zero. Below the rate it is zero.
    ErrorRatio { minimum_rate: f64 },
    /// The second over the first.
    Average,
    /// The quantile of the buckets of the only table.
    Quantile(f64),
    /// The first over the second, which everyone in the first has to have.
    Share { capacity: &'static str },
    /// The first over a number for each pod.
    PerPod(f64),
    /// The first over a number.
    Total(f64),
    /// One sample each, put together.
    RollUp(RollUp),
    /// One sample.
    Only,
    /// One sample, which a backend made of a histogram.
    OwnQuantile,
}

impl Leaf {
    /// The value of an object.
    pub(super) fn value(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let [first, rest @ ..] = tables else {
            return Err(Missing::NoSample { what: self.what });
        };
        let second = rest.first().copied();
        match self.combine {
            Combine::Sum => self.sum(first, object).map(|(_, sum)| sum.point()),
            Combine::ErrorRatio { minimum_rate } => {
                self.error_ratio(first, second, minimum_rate, object)
            }
            Combine::Average => self.average(first, second, object),
            Combine::Quantile(part) => self.quantile(part, first, object),
            Combine::Share { capacity } => self.share(first, second, capacity, object),
            Combine::PerPod(each) => {
                let (_, sum) = self.sum(first, object)?;
                divide(sum.point(), each * f64::from(sum.count))
            }
            Combine::Total(total) => divide(self.sum(first, object)?.1.point(), total),
            Combine::RollUp(roll_up) => self.roll_up(roll_up, first, object),
            Combine::Only => self.only(first, object),
            Combine::OwnQuantile => match self.only(first, object) {
                Err(Missing::NotFinite) => Err(Missing::QuantileUnknown),
                other => other,
            },
        }
    }

    /// Calls with the samples of the object, or of each of its pods, and their names.
    fn visit(&self, table: &Table<'_>, object: &Object<'_>, mut see: impl FnMut(&str, &[Cell])) {
        if let Place::Pods { .. } = self.place {
            (object.pods)(&mut |pod| see(pod, self.cells(table, object, pod)));
        } else {
            see(object.name, self.cells(table, object, object.name));
        }
    }

    /// The samples under the name of the object, or of one of its pods.
    fn cells<'t>(&self, table: &'t Table<'_>, object: &Object<'_>, name: &str) -> &'t [Cell] {
        match self.place {
            Place::Object { namespaced } | Place::Pods { namespaced } => {
                table.cells(if namespaced { object.namespace } else { "" }, name)
            }
            Place::Namespace { namespaced } => {
                // A Namespace is in no namespace.
                let own = if object.namespace.is_empty() { name } else { object.namespace };
                table.cells(if namespaced { own } else { "" }, "")
            }
            Place::Joined => table.cells("", &format!("{}-{name}", object.namespace)),
        }
    }

    /// The sums of each variant.
    fn sums(&self, table: &Table<'_>, object: &Object<'_>) -> Sums {
        let mut sums = Sums::default();
        self.visit(table, object, |_, cells| sums.add_all(cells));
        sums
    }

    /// The first variant with data, and its sum.
    fn sum(&self, table: &Table<'_>, object: &Object<'_>) -> Result<(usize, Sum), Missing> {
        let sums = self.sums(table, object);
        let found = (0..).zip(sums.of).find(|(_, sum)| sum.count > 0);
        let (variant, sum) = found.ok_or(if sums.seen {
            Missing::NotFinite
        } else {
            Missing::NoSample { what: self.what }
        })?;
        Ok((variant, sum))
    }

    fn scale(&self, variant: usize) -> f64 {
        self.scales.get(variant).copied().unwrap_or(1.0)
    }

    /// Where there is a total, no errors is the absence of their series, and nothing failed of
    /// nothing.
    fn error_ratio(
        &self,
        total: &Table<'_>,
        errors: Option<&Table<'_>>,
        minimum_rate: f64,
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let (variant, total) = self.sum(total, object)?;
        let errors = errors.map(|table| self.sums(table, object)).unwrap_or_default();
        let errors = errors.of.get(variant).map_or(0.0, |sum| sum.value);
        let is_told = total.value > 0.0 && total.value >= minimum_rate;
        let value = if is_told { (errors / total.value).clamp(0.0, 1.0) } else { 0.0 };
        Ok(Point { value, ..total.point() })
    }

    fn average(
        &self,
        count: &Table<'_>,
        durations: Option<&Table<'_>>,
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let (variant, count) = self.sum(count, object)?;
        let durations = durations.map(|table| self.sums(table, object)).unwrap_or_default();
        let sum = durations.of.get(variant).filter(|sum| sum.count > 0);
        let sum = sum.ok_or(Missing::NoSample { what: "durations" })?;
        if count.value <= 0.0 {
            return Err(Missing::NoRequests);
        }
        Ok(Point { value: sum.value * self.scale(variant) / count.value, ..sum.point() })
    }

    fn quantile(
        &self,
        part: f64,
        table: &Table<'_>,
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let mut merged: [Vec<Bucket>; MAX_SOURCES] = Default::default();
        let (mut seen, mut timestamp) = (false, f64::INFINITY);
        self.visit(table, object, |_, cells| {
            seen |= !cells.is_empty();
            // With one bucket missing the others mean something else.
            if cells.iter().any(|cell| !cell.point.value.is_finite()) {
                return;
            }
            for of_variant in cells.chunk_by(|a, b| a.variant == b.variant) {
                let variant = of_variant.first().and_then(|cell| merged.get_mut(cell.variant));
                let Some(into) = variant else { continue };
                let buckets = of_variant
                    .iter()
                    .map(|cell| Bucket { bound: cell.bound, count: cell.point.value });
                quantile::merge(into, buckets);
                timestamp = of_variant
                    .iter()
                    .fold(timestamp, |oldest, cell| oldest.min(cell.point.timestamp));
            }
        });
        let Some((variant, buckets)) = (0..).zip(&mut merged).find(|(_, it)| !it.is_empty()) else {
            return Err(if seen {
                Missing::NotFinite
            } else {
                Missing::NoSample { what: self.what }
            });
        };
        let value = quantile::quantile(part, buckets)? * self.scale(variant);
        Ok(Point { timestamp, value })
    }

    /// Pods that only start have no usage yet and do not count; one that is used but has no
    /// capacity makes the whole unknown, as for the HPA's own resource metrics.
    fn share(
        &self,
        usage: &Table<'_>,
        capacity: Option<&Table<'_>>,
        what: &'static str,
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let (mut used, mut total) = (Sums::default(), Sums::default());
        let mut lacking = None;
        self.visit(usage, object, |name, cells| {
            let mut own = Sums::default();
            own.add_all(cells);
            let Some(own) = own.first() else {
                used.seen |= !cells.is_empty();
                return;
            };
            let mut capacities = Sums::default();
            if let Some(table) = capacity {
                capacities.add_all(self.cells(table, object, name));
            }
            match capacities.first() {
                Some(capacity) => {
                    used.add(0, own.point());
                    total.add(0, capacity.point());
                }
                None => lacking = lacking.take().or_else(|| Some(name.to_owned())),
            }
        });
        if let Some(pod) = lacking {
            return Err(Missing::Capacity { pod, what });
        }
        match (used.first(), total.first()) {
            (Some(used), Some(total)) => divide(used.point(), total.value),
            _ if used.seen => Err(Missing::NotFinite),
            _ => Err(Missing::NoSample { what: self.what }),
        }
    }

    fn roll_up(
        &self,
        roll_up: RollUp,
        table: &Table<'_>,
        object: &Object<'_>,
    ) -> Result<Point, Missing> {
        let (mut found, mut seen) = (None::<Point>, false);
        self.visit(table, object, |_, cells| {
            seen |= !cells.is_empty();
            for Cell { point, .. } in cells.iter().filter(|cell| cell.point.value.is_finite()) {
                let so_far = found.unwrap_or(Point { timestamp: point.timestamp, ..*point });
                let value = match (roll_up, found) {
                    (_, None) => point.value,
                    (RollUp::Sum, Some(_)) => so_far.value + point.value,
                    (RollUp::Max, Some(_)) => so_far.value.max(point.value),
                    (RollUp::Min, Some(_)) => so_far.value.min(point.value),
                };
                found = Some(Point { value, timestamp: so_far.timestamp.min(point.timestamp) });
            }
        });
        found.ok_or(if seen { Missing::NotFinite } else { Missing::NoSample { what: self.what } })
    }

    /// The value of the first variant that has one; two of one variant contradict each other.
    fn only(&self, table: &Table<'_>, object: &Object<'_>) -> Result<Point, Missing> {
        let (variant, sum) = self.sum(table, object)?;
        let mut count = 0;
        self.visit(table, object, |_, cells| {
            count += cells.iter().filter(|cell| cell.variant == variant).count();
        });
        if count > 1 {
            return Err(Missing::Ambiguous { count });
        }
        Ok(Point { value: sum.value * self.scale(variant), ..sum.point() })
    }
}

impl Place {
    pub(super) fn is_pods(self) -> bool {
        matches!(self, Self::Pods { .. })
    }

    /// Calls with namespace and name of each object that a table names.
    pub(super) fn named(
        self,
        table: &Table<'_>,
        namespaces: &[Arc<str>],
        see: &mut dyn FnMut(&str, &str),
    ) {
        for (namespace, name) in table.objects() {
            match self {
                Self::Pods { .. } => {}
                Self::Object { namespaced: true } => see(namespace, name),
                // Whoever asks in a namespace may mean it.
                Self::Object { namespaced: false } => {
                    for namespace in namespaces {
                        see(namespace, name);
                    }
                }
                Self::Namespace { namespaced: true } => see("", namespace),
                Self::Namespace { namespaced: false } => {
                    for namespace in namespaces {
                        see("", namespace);
                    }
                }
                Self::Joined => namespaces.iter().for_each(|namespace| {
                    let rest = name.strip_prefix(&**namespace);
                    if let Some(name) = rest.and_then(|rest| rest.strip_prefix('-')) {
                        see(namespace, name);
                    }
                }),
            }
        }
    }
}

/// Sums by variant.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    of: [Sum; MAX_SOURCES],
    /// Whether there was a sample at all, finite or not.
    seen: bool,
}

/// A sum and the oldest time in it.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    value: f64,
    count: u32,
    timestamp: f64,
}

impl Sums {
    fn add_all(&mut self, cells: &[Cell]) {
        for cell in cells {
            self.add(cell.variant, cell.point);
        }
    }

    /// NaN and infinities are missing data.
    fn add(&mut self, variant: usize, point: Point) {
        self.seen = true;
        let Some(sum) = self.of.get_mut(variant).filter(|_| point.value.is_finite()) else {
            return;
        };
        sum.timestamp =
            if sum.count == 0 { point.timestamp } else { sum.timestamp.min(point.timestamp) };
        sum.value += point.value;
        sum.count = sum.count.saturating_add(1);
    }

    /// The sum of the first variant that has one.
    fn first(&self) -> Option<Sum> {
        self.of.into_iter().find(|sum| sum.count > 0)
    }
}

impl Sum {
    fn point(self) -> Point {
        Point { timestamp: self.timestamp, value: self.value }
    }
}

fn divide(point: Point, by: f64) -> Result<Point, Missing> {
    if by > 0.0 {
        Ok(Point { value: point.value / by, ..point })
    } else {
        Err(Missing::CapacityZero)
    }
}
