//! What the signals have come to lately, for those who tell of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::engine::Engine;
use crate::engine::catalog::{Catalog, Source};
use crate::engine::error::Error;
use crate::engine::ports::{Backend, Inventory};
use crate::engine::table::{Interest, Outcome, Subject, Values};
use crate::model::quantity::Milli;
use crate::model::selector::Selector;
use crate::signals::signal::{On, Signal};

/// What a signal has come to in all namespaces and for all objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    /// The least and the greatest value; none where there is no value.
    pub range: Option<(Milli, Milli)>,
    /// The time of the last evaluation that the backend answered.
    pub at: Option<Timestamp>,
    /// Why there is no value, or none that is new, somewhere.
    pub failure: Option<Error>,
    /// Why an object has none.
    pub missing: Option<String>,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// What the signals that somebody asks for have come to, by where they are declared.
    pub fn evaluations(&self) -> HashMap<String, Evaluated> {
        let catalog = self.catalog();
        let mut evaluations: HashMap<String, Evaluated> = HashMap::new();
        for table in self.tables.all() {
            for (namespace, outcome) in table.parts().iter() {
                let signal = signal_of(&table.subject, namespace, &catalog);
                let Some(signal) = signal else { continue };
                evaluations.entry(signal.origin.clone()).or_default().add(outcome);
            }
        }
        evaluations
    }

    /// Has a signal evaluated in a namespace where nobody asks for it, within a deadline. What it
    /// comes to is known for as long as the interest lives that this returns; `None` where it is not
    /// served, or is evaluated for single objects alone.
    pub async fn probe(
        &self,
        signal: &Signal,
        namespace: &Arc<str>,
        deadline: Duration,
    ) -> Option<Interest> {
        let (metric, selector) = (signal.metric.clone(), Selector::everything());
        let subject = match &signal.on {
            On::Objects(resource) if signal.has_queries() => {
                let kind = Arc::clone(self.catalog().kinds().resolve(resource)?);
                Subject::Objects { metric, kind, selector }
            }
            On::Objects(_) => return None,
            On::External => Subject::Series { metric: metric.to_lowercase(), selector },
        };
        let served = signal_of(&subject, namespace, &self.catalog());
        if served.is_none_or(|served| served.origin != signal.origin) {
            return None;
        }
        let interest = self.tables.interest(&subject, namespace);
        // What takes longer is there the next time.
        let _late = timeout(deadline, interest.table.first_part(namespace)).await;
        Some(interest)
    }
}

/// The signal that a table is of in a namespace.
fn signal_of(subject: &Subject, namespace: &str, catalog: &Catalog) -> Option<Arc<Signal>> {
    let source = match subject {
        Subject::Objects { metric, kind, .. } => catalog.custom(kind, metric, Some(namespace))?,
        Subject::Series { metric, .. } => catalog.external(metric, namespace)?,
        Subject::Alone(_) => return None,
    };
    match source {
        Source::Signal(signal) => Some(Arc::clone(signal)),
        Source::Series(_) => None,
    }
}

impl Evaluated {
    fn add(&mut self, outcome: &Outcome) {
        let part = match outcome {
            Ok(part) => part,
            Err(error) => {
                self.failure.get_or_insert_with(|| error.clone());
                return;
            }
        };
        match &part.failure {
            Some(failure) => drop(self.failure.get_or_insert_with(|| failure.clone())),
            None => self.at = self.at.max(Some(part.at)),
        }
        match &part.values {
            Values::Objects(_, objects) => {
                for (_, (value, _)) in objects.iter() {
                    self.add_value(value);
                }
                if self.missing.is_none() {
                    self.missing = objects.missing().map(|(name, why)| format!("{name}: {why}"));
                }
            }
            Values::Series(_, series) => series.iter().for_each(|it| self.add_value(it.value)),
            Values::Usage(_) => {}
        }
    }

    fn add_value(&mut self, value: Milli) {
        let (least, greatest) = self.range.unwrap_or((value, value));
        self.range = Some((least.min(value), greatest.max(value)));
    }
}
