//! Asks the backend for a table and makes its parts.
//!
//! Where one query for several namespaces cannot be executed, which may be the fault of one of
//! them, or gives too much, it is asked again for one half and the other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{BoxFuture, FutureExt, join_all, try_join_all};
use jiff::Timestamp;
use tokio::task;
use tokio::time::Instant;

use crate::engine::Engine;
use crate::engine::catalog::{Catalog, Served, Source};
use crate::engine::demand::Demand;
use crate::engine::error::{self, Error};
use crate::engine::evaluate;
use crate::engine::origin::Origin;
use crate::engine::plan::{self, Plan, merged};
use crate::engine::ports::{Backend, BackendError, Facts, Inventory, Route, Tenancy};
use crate::engine::signals::{Alone, Asked};
use crate::engine::table::{Outcome, Part, Parts, Subject, Table, Values};
use crate::engine::usage;
use crate::engine::values::ObjectValues;
use crate::model::no_data::NoData;
use crate::model::rows::{ObjectLabels, Rows};
use crate::model::value::{Labels, QueryResult, Sample};
use crate::promql::rule::{MergedQuery, QueryError, Rule};

/// How many queries one evaluation of a table may take because others could not be executed.
const MAX_HALVINGS: usize = 64;

/// More samples are evaluated beside the runtime, since it takes milliseconds.
const MAX_INLINE: usize = 4096;

/// The values of some namespaces, or why there are none.
pub(super) type Computed = Vec<(Arc<str>, Result<Values, Error>)>;

/// What is asked for several namespaces together.
struct Merged<'a> {
    rule: &'a Arc<Rule>,
    render: &'a (dyn Fn(&[&str]) -> Result<MergedQuery, QueryError> + Sync),
    of_objects: bool,
    facts: Facts,
    at: Timestamp,
    /// How many halves may still be asked for.
    halvings: AtomicUsize,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// Evaluates a table for some namespaces.
    pub(super) async fn compute(&self, table: &Table, namespaces: &[Arc<str>]) -> Parts {
        let at = Timestamp::now();
        let catalog = self.catalog.load_full();
        let computed = match &table.subject {
            Subject::Alone(demand) => {
                let values = self.compute_alone(demand, &catalog, at).await;
                vec![("".into(), values)]
            }
            subject => self.compute_table(table, subject, &catalog, namespaces, at).await,
        };
        let outcomes = computed.into_iter().map(|(namespace, values)| {
            let values = values.map_err(|error| error.of_metric(&table.subject));
            let outcome = outcome(values, table.part(&namespace).as_deref(), at);
            (namespace, Arc::new(outcome))
        });
        outcomes.collect()
    }

    /// Evaluates a demand by itself.
    pub(super) async fn compute_alone(
        &self,
        demand: &Demand,
        catalog: &Catalog,
        at: Timestamp,
    ) -> Result<Values, Error> {
        match demand {
            Demand::Custom(demand) => {
                let served = match plan::find_custom(demand, catalog)? {
                    (kind, Source::Series(served)) => (kind, served),
                    (kind, Source::Signal(signal)) => {
                        return self.signal_alone(signal, Alone::of(demand, kind), at).await;
                    }
                };
                let Plan { rule, route, queries, labels } = plan::custom(
                    demand,
                    served.0,
                    served.1,
                    catalog,
                    &self.inventory,
                    &self.backend,
                )
                .await?;
                let ask = async |promql: &String| match self.ask(&rule, &route, promql, at).await? {
                    QueryResult::Vector(samples) => Ok(samples),
                    QueryResult::Scalar(_) => Err(evaluate::no_vector(&rule, promql)),
                };
                let samples = try_join_all(queries.iter().map(ask)).await?.concat();
                let mut objects = objects(&rule, Rows::of(&samples, &labels), at).await;
                let objects = objects.remove("").unwrap_or_default();
                Ok(Values::Objects(Origin::Rule(rule), objects))
            }
            Demand::External(demand) => {
                let namespace = &demand.namespace;
                let served = match plan::external_metric(&demand.metric, namespace, catalog)? {
                    Source::Series(served) => served,
                    Source::Signal(signal) => {
                        return self.signal_alone(signal, Alone::of_external(demand), at).await;
                    }
                };
                let rule = &served.rule;
                let promql = plan::external(demand, served, catalog)?;
                let route = plan::route(rule, Some(namespace));
                let samples = samples(self.ask(rule, &route, &promql, at).await?);
                let series = evaluate::series(rule, samples, at)?;
                Ok(Values::Series(Origin::Rule(Arc::clone(rule)), series.into()))
            }
            Demand::Usage(demand) => {
                let (inventory, backend) = (&self.inventory, &self.backend);
                let usage = usage::evaluate(demand, catalog, inventory, backend, at).await?;
                Ok(Values::Usage(Arc::new(usage)))
            }
        }
    }

    /// Computes a table's values, of which a signal may say those of some namespaces and a rule
    /// those of others.
    async fn compute_table(
        &self,
        table: &Table,
        subject: &Subject,
        catalog: &Catalog,
        namespaces: &[Arc<str>],
        at: Timestamp,
    ) -> Computed {
        let mut computed = Computed::new();
        let mut groups: Vec<(&Source, Vec<Arc<str>>)> = Vec::new();
        for namespace in namespaces {
            match plan::source(subject, namespace, catalog) {
                Ok(source) => match groups.iter_mut().find(|(other, _)| *other == source) {
                    Some((_, group)) => group.push(Arc::clone(namespace)),
                    None => groups.push((source, vec![Arc::clone(namespace)])),
                },
                Err(error) => computed.push((Arc::clone(namespace), Err(error))),
            }
        }
        table.forget();
        for (source, group) in groups {
            computed.extend(match source {
                Source::Series(served) => {
                    self.compute_merged(subject, served, catalog, &group, at).await
                }
                Source::Signal(signal) => {
                    let asked = Asked::by(subject, &group);
                    self.compute_signal(signal, &asked, &table.memory, at).await
                }
            });
        }
        computed
    }

    async fn compute_merged(
        &self,
        subject: &Subject,
        served: &Served,
        catalog: &Catalog,
        namespaces: &[Arc<str>],
        at: Timestamp,
    ) -> Computed {
        let kinds = catalog.kinds();
        let Served { rule, series, .. } = served;
        let render = |names: &[&str]| match subject {
            Subject::Objects { kind, selector, .. } => {
                rule.merged_query(series, kind, names, selector, kinds)
            }
            Subject::Series { selector, .. } if names == [""] => {
                let promql = rule.external_query(series, "", selector, kinds)?;
                let object_label = String::new();
                Ok(MergedQuery { promql, namespace_label: None, object_label })
            }
            Subject::Series { selector, .. } => {
                rule.merged_external_query(series, names, selector, kinds)
            }
            Subject::Alone(_) => Err(QueryError::Empty(rule.path.clone())),
        };
        let of_objects = matches!(subject, Subject::Objects { .. });
        let facts = self.backend.facts(&rule.backend);
        if facts.tenancy == Tenancy::PerNamespace
            && !of_objects
            && namespaces.iter().any(|it| it.is_empty())
        {
            // It was the same for all namespaces before the configuration changed.
            let changed = "the backend has changed meanwhile; ask again".to_owned();
            return all(namespaces, &Error::NoValue(changed));
        }
        let halvings = AtomicUsize::new(MAX_HALVINGS);
        let merged = Merged { rule, render: &render, of_objects, facts, at, halvings };
        self.ask_for(&merged, namespaces, true).await
    }

    /// Asks for some namespaces together, and for their halves where that cannot be executed.
    fn ask_for<'a>(
        &'a self,
        merged: &'a Merged<'_>,
        namespaces: &'a [Arc<str>],
        may_be_all: bool,
    ) -> BoxFuture<'a, Computed> {
        let asking = async move {
            let pieces = match merged::pieces(namespaces, may_be_all, &merged.facts, &merged.render)
            {
                Ok(pieces) => pieces,
                Err(error) => return all(namespaces, &error),
            };
            let ask = async |piece: &merged::Piece<'a, Arc<str>>| {
                let namespaces = piece.namespaces;
                let alone = if let [one] = namespaces { Some(&**one) } else { None };
                let route = plan::route(merged.rule, alone.filter(|name| !name.is_empty()));
                let error = match self.ask_piece(merged, &route, &piece.query, namespaces).await {
                    Ok(computed) => return computed,
                    Err(error) => error,
                };
                if namespaces.len() < 2 || !error.is_divisible() || !merged.may_halve() {
                    return all(namespaces, &error);
                }
                let (first, second) = namespaces.split_at(namespaces.len() / 2);
                let mut both = self.ask_for(merged, first, false).await;
                both.extend(self.ask_for(merged, second, false).await);
                both
            };
            join_all(pieces.iter().map(ask)).await.into_iter().flatten().collect()
        };
        asking.boxed()
    }

    async fn ask_piece(
        &self,
        merged: &Merged<'_>,
        route: &Route,
        query: &MergedQuery,
        namespaces: &[Arc<str>],
    ) -> Result<Computed, Error> {
        let Merged { rule, at, of_objects, .. } = *merged;
        let MergedQuery { promql, namespace_label, object_label } = query;
        if !of_objects {
            let samples = samples(self.ask(rule, route, promql, at).await?);
            return Ok(merged.read_series(query, samples, namespaces));
        }
        let labels =
            ObjectLabels { namespace: namespace_label.clone(), object: object_label.clone() };
        let describe = !rule.compat.last_sample_wins;
        let asked = self.backend.query_objects(route, promql, &labels, describe, at).await;
        let rows = asked.map_err(|cause| failed(rule, promql, cause))?;
        let rows = rows.ok_or_else(|| evaluate::no_vector(rule, promql))?;
        Ok(merged.read_objects(rows, namespaces).await)
    }

    async fn ask(
        &self,
        rule: &Rule,
        route: &Route,
        promql: &str,
        at: Timestamp,
    ) -> Result<QueryResult, Error> {
        let asked = self.backend.query(route, promql, at).await;
        asked.map_err(|cause| failed(rule, promql, cause))
    }
}

impl Merged<'_> {
    fn origin(&self) -> Origin {
        Origin::Rule(Arc::clone(self.rule))
    }

    fn may_halve(&self) -> bool {
        let fewer = |left: usize| left.checked_sub(2);
        self.halvings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// The values of each namespace.
    async fn read_objects(&self, rows: Rows, namespaces: &[Arc<str>]) -> Computed {
        let mut by_namespace = objects(self.rule, rows, self.at).await;
        let values = |namespace: &Arc<str>| {
            let objects = by_namespace.remove(namespace).unwrap_or_default();
            (Arc::clone(namespace), Ok(Values::Objects(self.origin(), objects)))
        };
        namespaces.iter().map(values).collect()
    }

    fn read_series(
        &self,
        query: &MergedQuery,
        samples: Vec<Sample>,
        namespaces: &[Arc<str>],
    ) -> Computed {
        let mut by_namespace: BTreeMap<Box<str>, Vec<Sample>> = BTreeMap::new();
        for sample in samples {
            let namespace = query.namespace_label.as_ref().map(|label| sample.labels.get(label));
            let namespace = namespace.flatten().unwrap_or_default().into();
            by_namespace.entry(namespace).or_default().push(sample);
        }
        let values = |namespace: &Arc<str>| {
            let samples = by_namespace.remove(&**namespace).unwrap_or_default();
            let series = evaluate::series(self.rule, samples, self.at);
            let values = series.map(|series| Values::Series(self.origin(), series.into()));
            (Arc::clone(namespace), values)
        };
        namespaces.iter().map(values).collect()
    }
}

/// The same error for all.
pub(super) fn all(namespaces: &[Arc<str>], error: &Error) -> Computed {
    namespaces.iter().map(|namespace| (Arc::clone(namespace), Err(error.clone()))).collect()
}

fn failed(rule: &Rule, promql: &str, cause: BackendError) -> Error {
    let (rule, promql) = (rule.path.clone(), error::excerpt(promql));
    Error::Backend { rule, promql, cause }
}

/// Whether there is nothing new for a namespace because of such an error: less of it may have an
/// answer.
pub(super) fn is_divisible_failure(outcome: &Outcome) -> bool {
    let error = match outcome {
        Ok(part) => part.failure.as_ref(),
        Err(error) => Some(error),
    };
    error.is_some_and(Error::is_divisible)
}

fn samples(result: QueryResult) -> Vec<Sample> {
    match result {
        QueryResult::Scalar(point) => vec![Sample { labels: Labels::default(), point }],
        QueryResult::Vector(samples) => samples,
    }
}

async fn objects(rule: &Arc<Rule>, rows: Rows, at: Timestamp) -> BTreeMap<Arc<str>, ObjectValues> {
    if rows.all().len() <= MAX_INLINE {
        return evaluate::objects(rule, &rows, at);
    }
    let rule = Arc::clone(rule);
    let read = move || evaluate::objects(&rule, &rows, at);
    match task::spawn_blocking(read).await {
        Ok(objects) => objects,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

/// What is known now, with what was known before where the rule says so.
fn outcome(values: Result<Values, Error>, before: Option<&Outcome>, at: Timestamp) -> Outcome {
    let earlier = before.and_then(|before| before.as_ref().ok());
    let part = |values, failure| Part { values, failure, at, evaluated: Instant::now() };
    match (values, earlier.map(|part| &part.values)) {
        // What another rule has computed is not carried on.
        (Ok(Values::Objects(origin, new)), Some(Values::Objects(before, earlier)))
            if origin == *before =>
        {
            let objects = match oldest(&origin, at) {
                Some(oldest) => new.or_earlier(earlier, oldest),
                None => new,
            };
            Ok(part(Values::Objects(origin, objects), None))
        }
        (Ok(Values::Series(origin, new)), Some(Values::Series(before, earlier)))
            if new.is_empty() && origin == *before && oldest(&origin, at).is_some() =>
        {
            Ok(part(Values::Series(origin, Arc::clone(earlier)), None))
        }
        (Ok(values), _) => Ok(part(values, None)),
        (Err(error), _) if error.is_not_found() => Err(error),
        (Err(error), Some(Values::Objects(origin, earlier))) => match oldest(origin, at) {
            Some(oldest) => {
                let objects = ObjectValues::default().or_earlier(earlier, oldest);
                Ok(part(Values::Objects(origin.clone(), objects), Some(error)))
            }
            None => Err(error),
        },
        (Err(error), Some(Values::Series(origin, earlier))) if oldest(origin, at).is_some() => {
            Ok(part(Values::Series(origin.clone(), Arc::clone(earlier)), Some(error)))
        }
        (Err(error), _) => Err(error),
    }
}

/// The time of the oldest value that is still known; none where only new ones count.
fn oldest(origin: &Origin, at: Timestamp) -> Option<i64> {
    let NoData::LastKnown { max_age } = origin.no_data() else { return None };
    let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
    Some(at.as_second().saturating_sub(max_age))
}
