//! From a part of a table to the answer to one request: which of its values are meant.

use std::sync::Arc;

use jiff::Timestamp;

use crate::engine::answer::{Answer, CustomAnswer, ExternalAnswer, ObjectValue, SeriesValue};
use crate::engine::demand::{CustomDemand, Demand, Target};
use crate::engine::error::Error;
use crate::engine::origin::Origin;
use crate::engine::plan::no_objects;
use crate::engine::ports::Inventory;
use crate::engine::table::{Outcome, Part, Values};
use crate::engine::values::{Fault, ObjectValues, Timed};
use crate::model::inventory::Object;
use crate::model::no_data::NoData;
use crate::model::object::Kind;
use crate::model::quantity::Milli;
use crate::model::value::Labels;

/// Which objects a request means at the moment.
#[derive(Clone, Debug)]
pub enum Chosen {
    /// Those that the request names, if it is for objects at all.
    AsAsked,
    /// Whichever the series name: there is no inventory to choose from.
    Any,
    /// Those of a list that a selector matches.
    These {
        /// The objects of the namespace.
        list: Arc<Vec<Arc<Object>>>,
        /// The indexes of those that are meant.
        selected: Arc<[u32]>,
    },
}

impl Chosen {
    /// Whether the same objects are meant, as far as that can be told without looking at them.
    pub fn is_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::AsAsked, Self::AsAsked) | (Self::Any, Self::Any) => true,
            (Self::These { list, .. }, Self::These { list: other, .. }) => Arc::ptr_eq(list, other),
            _ => false,
        }
    }
}

/// Finds out which objects a demand means, from what it meant before where the list of objects is
/// still the same.
pub async fn choose(
    demand: &Demand,
    kind: Option<&Arc<Kind>>,
    inventory: &impl Inventory,
    before: Option<&Chosen>,
) -> Result<Chosen, Error> {
    let (Demand::Custom(demand), Some(kind)) = (demand, kind) else { return Ok(Chosen::AsAsked) };
    let Target::Selected(selector) = &demand.target else { return Ok(Chosen::AsAsked) };
    let objects = match inventory.current(kind) {
        Some(objects) => Some(objects),
        None => inventory.objects(kind).await?,
    };
    let Some(objects) = objects else {
        return if selector.is_empty() {
            Ok(Chosen::Any)
        } else {
            Err(Error::NoInventory { resource: kind.group_resource().to_string() })
        };
    };
    let namespace = demand.namespace.as_deref();
    let none = || Error::NoValue(no_objects(kind, namespace, selector));
    let list = objects.list(namespace.unwrap_or_default()).ok_or_else(none)?;
    if let Some(Chosen::These { list: other, selected }) = before
        && Arc::ptr_eq(list, other)
    {
        return Ok(Chosen::These { list: Arc::clone(list), selected: Arc::clone(selected) });
    }
    let selected: Arc<[u32]> = (0..)
        .zip(list.iter())
        .filter(|(_, object)| object.is_selected_by(selector))
        .map(|(index, _)| index)
        .collect();
    if selected.is_empty() {
        return Err(none());
    }
    Ok(Chosen::These { list: Arc::clone(list), selected })
}

/// Answers a demand from the part of a table that it is about.
pub fn answer(
    demand: &Demand,
    kind: Option<&Arc<Kind>>,
    outcome: &Outcome,
    chosen: &Chosen,
    now: Timestamp,
) -> Result<Answer, Error> {
    let part = outcome.as_ref().map_err(Clone::clone)?;
    match (demand, kind, &part.values) {
        (Demand::Custom(demand), Some(kind), Values::Objects(origin, objects)) => {
            let values = Reading { origin, objects, part, kind, now }.values(demand, chosen)?;
            Ok(Answer::Custom(CustomAnswer {
                kind: Arc::clone(kind),
                namespace: demand.namespace.clone(),
                metric: demand.metric.clone(),
                metric_selector: demand.metric_selector.clone(),
                window: origin.window(),
                core_api_version_slash: origin.core_api_version_slash(),
                values,
            }))
        }
        (Demand::External(demand), _, Values::Series(origin, series)) => {
            let values = external(origin, series, part, now)?;
            let metric = demand.metric.clone();
            Ok(Answer::External(ExternalAnswer { metric, window: origin.window(), values }))
        }
        (Demand::Usage(_), _, Values::Usage(usage)) => Ok(Answer::Usage(Arc::clone(usage))),
        // A table is of what its demands are for.
        _ => Err(Error::NoValue("the metric has become another one; ask again".to_owned())),
    }
}

/// Why there is no answer to the question for the object of that name, or without a name for any
/// object or series at all; `None` where there is one.
pub fn lack(
    outcome: &Outcome,
    kind: Option<&Kind>,
    namespace: &str,
    name: Option<&str>,
    now: Timestamp,
) -> Option<Error> {
    let part = match outcome {
        Ok(part) => part,
        Err(error) => return Some(error.clone()),
    };
    let nothing = |origin: &Origin, what: &str| {
        let place = if namespace.is_empty() { "" } else { " in the namespace " };
        let message = format!("{origin} has no sample of {what}{place}{namespace}");
        part.failure.clone().unwrap_or(Error::NoValue(message))
    };
    match (&part.values, kind) {
        (Values::Objects(origin, objects), Some(kind)) => {
            let reading = Reading { origin, objects, part, kind, now };
            let Some(name) = name else {
                let has_some = objects.iter().any(|(_, timed)| reading.is_young(timed));
                let has_some = has_some || substitute(origin, part).is_some();
                return (!has_some).then(|| nothing(origin, &format!("any {}", kind.singular)));
            };
            match reading.value(name) {
                Ok(value) => value.is_none().then(|| reading.missing(name)),
                Err(error) => Some(error),
            }
        }
        (Values::Series(origin, series), _) => match external(origin, series, part, now) {
            Ok(series) => series.is_empty().then(|| nothing(origin, "any series")),
            Err(error) => Some(error),
        },
        _ => None,
    }
}

/// The values of one namespace and how they are to be read.
struct Reading<'a> {
    origin: &'a Origin,
    objects: &'a ObjectValues,
    part: &'a Part,
    kind: &'a Kind,
    now: Timestamp,
}

impl Reading<'_> {
    fn values(&self, demand: &CustomDemand, chosen: &Chosen) -> Result<Vec<ObjectValue>, Error> {
        let values = match (&demand.target, chosen) {
            (Target::Named(name), _) => {
                let missing = || self.missing(name);
                vec![object_value(name, self.value(name)?.ok_or_else(missing)?)]
            }
            (Target::Selected(_), Chosen::These { list, selected }) => {
                let mut values = Vec::with_capacity(selected.len());
                for index in selected.iter() {
                    let Some(object) = list.get(*index as usize) else { continue };
                    let value = self.value(&object.name)?;
                    values.extend(value.map(|timed| object_value(&object.name, timed)));
                }
                values
            }
            (Target::Selected(_), Chosen::Any | Chosen::AsAsked) => {
                if let Some((_, error)) = self.objects.ambiguous().next() {
                    return Err(error.clone());
                }
                let fresh = |(name, timed)| self.is_young(timed).then(|| object_value(name, timed));
                self.objects.iter().filter_map(fresh).collect()
            }
        };
        match &self.part.failure {
            // What is left of earlier times is served; where nothing is, the failure is.
            Some(failure) if values.is_empty() => Err(failure.clone()),
            _ => Ok(values),
        }
    }

    /// The value of an object, or what its rule says of those without data.
    fn value(&self, name: &str) -> Result<Option<Timed>, Error> {
        if let Some(timed) = self.objects.get(name) {
            return Ok(Some(timed).filter(|timed| self.is_young(*timed)));
        }
        match self.objects.fault(name) {
            Some(Fault::Ambiguous(error)) => Err(error.clone()),
            // There is a sample: no policy speaks for one that cannot be used.
            Some(Fault::Stale | Fault::Unsayable(_)) => Ok(None),
            Some(Fault::Missing(_)) | None => Ok(substitute(self.origin, self.part)),
        }
    }

    /// Whether a value is young enough to be the last that is known.
    fn is_young(&self, (_, timestamp): Timed) -> bool {
        is_young(self.origin, timestamp, self.now)
    }

    /// Why the object of that name has no value.
    fn missing(&self, name: &str) -> Error {
        if let Some(failure) = &self.part.failure {
            return failure.clone();
        }
        let (path, object) = (self.origin, format!("{} {name}", self.kind.singular));
        Error::NoValue(match self.objects.fault(name) {
            Some(Fault::Stale) => {
                format!("the sample that {path} has for {object} is older than 5 minutes")
            }
            Some(Fault::Unsayable(value)) => {
                format!("{path} computes {value:?} for {object}, which no quantity can say")
            }
            Some(Fault::Missing(missing)) => format!("{path} has no value for {object}: {missing}"),
            Some(Fault::Ambiguous(_)) | None => {
                format!("{path} has no sample that names {object}")
            }
        })
    }
}

fn object_value(name: &str, (value, timestamp): Timed) -> ObjectValue {
    ObjectValue { name: name.into(), value, timestamp }
}

fn external(
    origin: &Origin,
    series: &Arc<[SeriesValue]>,
    part: &Part,
    now: Timestamp,
) -> Result<Arc<[SeriesValue]>, Error> {
    let is_young = |value: &SeriesValue| is_young(origin, value.timestamp, now);
    let series = if series.iter().all(is_young) {
        Arc::clone(series)
    } else {
        series.iter().filter(|value| is_young(value)).cloned().collect()
    };
    match (&part.failure, substitute(origin, part)) {
        (Some(failure), _) if series.is_empty() => Err(failure.clone()),
        (None, Some((value, timestamp))) if series.is_empty() => {
            Ok([SeriesValue { labels: Labels::default(), value, timestamp }].into())
        }
        _ => Ok(series),
    }
}

/// The value of what the backend has no data of, where the rule says one.
fn substitute(origin: &Origin, part: &Part) -> Option<Timed> {
    let value = match origin.no_data() {
        NoData::Zero => Milli(0),
        NoData::Constant(value) => value,
        NoData::Error | NoData::LastKnown { .. } => return None,
    };
    Some((value, part.at.as_second()))
}

fn is_young(origin: &Origin, timestamp: i64, now: Timestamp) -> bool {
    match origin.no_data() {
        NoData::LastKnown { max_age } => {
            let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
            timestamp >= now.as_second().saturating_sub(max_age)
        }
        NoData::Error | NoData::Zero | NoData::Constant(_) => true,
    }
}
