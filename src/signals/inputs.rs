//! Values of inputs, each with its own no-data policy, which become one: by an expression, or as a
//! decision or forecast elsewhere.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use crate::model::no_data::NoData;
use crate::model::value::Point;
use crate::signals::composite::{Composite, NoValue};
use crate::signals::decision::Decision;
use crate::signals::definition::MAX_INPUTS;
use crate::signals::forecast::Forecast;
use crate::signals::missing::Missing;
use crate::signals::query::{Query, QueryError, Scope};
use crate::signals::signal::{Kind, Object, Signal, seconds};
use crate::signals::table::Table;

/// Inputs and what is made of them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Inputs {
    pub(super) inputs: Vec<Input>,
    pub(super) outcome: Outcome,
}

/// What becomes of the values of inputs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// One value, at once.
    Expression(Composite),
    /// A replica count, by whoever keeps the histories of objects.
    Decision(Arc<Decision>),
    /// What the only input will be, by whoever knows its past.
    Forecast(Forecast),
}

/// A value by its name in the expression.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub(super) name: String,
    pub(super) source: Source,
    pub(super) no_data: NoData,
}

/// Where an input comes from.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Source {
    Own(Kind),
    /// The metric of another signal, before that is found.
    Named(String),
    Other(Arc<Signal>),
}

impl Source {
    /// Before it is found, another signal is none.
    fn kind(&self) -> Option<&Kind> {
        match self {
            Self::Own(kind) => Some(kind),
            Self::Other(signal) => Some(&signal.kind),
            Self::Named(_) => None,
        }
    }
}

impl Inputs {
    pub(super) fn queries(
        &self,
        scope: &Scope<'_>,
        confined: Option<&str>,
    ) -> Result<Vec<Query>, QueryError> {
        let mut queries = Vec::new();
        for kind in self.kinds() {
            queries.extend(kind.queries(scope, confined)?);
        }
        Ok(queries)
    }

    /// The value of an object; what is remembered are the last values of the inputs.
    pub(super) fn value(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        last: &mut Vec<Option<Point>>,
        now: Timestamp,
    ) -> Result<Point, Missing> {
        let Outcome::Expression(expression) = &self.outcome else {
            return Err(Missing::Elsewhere);
        };
        let InputValues { values, mut causes, oldest } = self.values(tables, object, last, now);
        let values = values.get(..self.inputs.len()).unwrap_or_default();
        let value = expression.evaluate(values).map_err(|no_value| match no_value {
            NoValue::Missing(input) => {
                let index = self.inputs.iter().position(|known| known.name == input);
                let cause = index.and_then(|index| causes.get_mut(index)?.take());
                let cause = Box::new(cause.unwrap_or(Missing::NotFinite));
                Missing::Input { input, cause }
            }
            other @ NoValue::NotFinite(_) => Missing::Expression(other.to_string()),
        })?;
        Ok(Point { timestamp: oldest, value })
    }

    /// The values of the inputs in their order, each with what its policy says where there is no
    /// data, and the time of the oldest sample in them; an error where none has a value.
    pub(super) fn each(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        last: &mut Vec<Option<Point>>,
        now: Timestamp,
    ) -> Result<(Vec<Option<f64>>, f64), Missing> {
        let InputValues { values, causes, oldest } = self.values(tables, object, last, now);
        let values = values.get(..self.inputs.len()).unwrap_or_default();
        if values.iter().any(Option::is_some) {
            return Ok((values.to_vec(), oldest));
        }
        let first = self.inputs.iter().zip(causes).find_map(|(input, cause)| {
            Some(Missing::Input { input: input.name.clone(), cause: Box::new(cause?) })
        });
        Err(first.unwrap_or(Missing::Elsewhere))
    }

    fn values(
        &self,
        tables: &[&Table<'_>],
        object: &Object<'_>,
        last: &mut Vec<Option<Point>>,
        now: Timestamp,
    ) -> InputValues {
        last.resize(self.inputs.len(), None);
        let mut values = [None; MAX_INPUTS];
        let mut causes: [Option<Missing>; MAX_INPUTS] = Default::default();
        let mut oldest = seconds(now);
        let mut rest = tables;
        let slots = values.iter_mut().zip(&mut causes).zip(last.iter_mut());
        for (input, ((value, cause), last)) in self.inputs.iter().zip(slots) {
            let Some(kind) = input.source.kind() else { continue };
            let (own, others) = rest.split_at(kind.count().min(rest.len()));
            rest = others;
            // An input that is a composite remembers nothing of its own inputs.
            let found = kind.value(own, object, &mut Vec::new(), now);
            match found.map(|point| (point, point.value.is_finite())) {
                Ok((point, true)) => *last = Some(point),
                Ok((_, false)) => *cause = Some(Missing::NotFinite),
                Err(missing) => *cause = Some(missing),
            }
            let point = if cause.is_none() { *last } else { instead(input.no_data, *last, now) };
            if let Some(point) = point {
                *value = Some(point.value);
                oldest = oldest.min(point.timestamp);
            }
        }
        InputValues { values, causes, oldest }
    }

    pub(super) fn count(&self) -> usize {
        self.kinds().map(Kind::count).sum()
    }

    pub(super) fn needs_pods(&self) -> bool {
        // A decision is about a number of pods.
        matches!(self.outcome, Outcome::Decision(_)) || self.kinds().any(Kind::needs_pods)
    }

    pub(super) fn needs_state(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input.no_data, NoData::LastKnown { .. }))
    }

    pub(super) fn window(&self) -> Option<Duration> {
        self.kinds().filter_map(Kind::window).max()
    }

    pub(super) fn kinds(&self) -> impl Iterator<Item = &Kind> {
        self.inputs.iter().filter_map(|input| input.source.kind())
    }
}

/// The values of inputs, and why others have none.
struct InputValues {
    values: [Option<f64>; MAX_INPUTS],
    causes: [Option<Missing>; MAX_INPUTS],
    oldest: f64,
}

/// What an input without data is.
fn instead(no_data: NoData, last: Option<Point>, now: Timestamp) -> Option<Point> {
    let constant = |value| Some(Point { timestamp: seconds(now), value });
    match no_data {
        NoData::Error => None,
        NoData::Zero => constant(0.0),
        #[expect(clippy::cast_precision_loss, reason = "a constant that a person wrote is short")]
        NoData::Constant(milli) => constant(milli.0 as f64 / 1000.0),
        NoData::LastKnown { max_age } => {
            last.filter(|point| seconds(now) - point.timestamp <= max_age.as_secs_f64())
        }
    }
}
