//! Forecasts: the past of a signal's input in one range query for all objects, a value for each
//! step of it, and from those what the value will be.
//!
//! It is done once for each step of a forecast, beside the runtime, and few at a time, because a
//! fit takes tens of milliseconds of processor time. Where the series name pods, those of the past
//! are taken for an object's by the form of their names, since nobody remembers their owners.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::try_join_all;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Semaphore;
use tokio::task;

use super::values::{Done, Work};
use super::{Asking, States};
use crate::engine::Engine;
use crate::engine::error::{self, Error};
use crate::engine::ports::{Backend, Inventory, Range};
use crate::model::membership::former_controller;
use crate::model::object::Kind;
use crate::model::value::{Point, QueryResult, Sample, Series};
use crate::signals::forecast::{Errors, Forecast, ForecastError, Outlook};
use crate::signals::query::Query;
use crate::signals::signal::{Object, Signal, State};
use crate::signals::table::Table;

/// How many forecasts are made at a time.
static FITS: Semaphore = Semaphore::const_new(2);

/// Objects of one signal that are foreseen; the others have no forecast.
const MAX_OBJECTS: usize = 500;

/// How many signals have their errors known.
const MAX_SIGNALS: usize = 1000;

/// How long errors are known after they were found.
const KNOWN_FOR: SignedDuration = SignedDuration::from_hours(24);

/// What is foreseen for the objects of a namespace, from one step to the next.
#[derive(Clone, Debug)]
pub(super) struct Outlooks {
    /// The end of the past, in seconds since the Unix epoch.
    end: i64,
    by_name: Told,
}

/// What is foreseen of each object, by name, or why nothing is.
type Told = HashMap<Box<str>, Result<f64, String>>;

impl Outlooks {
    /// What is foreseen of an object, or why nothing is.
    pub(super) fn get(&self, name: &str) -> Result<f64, String> {
        let unknown = || Err("it has come since the last one was made".to_owned());
        self.by_name.get(name).cloned().unwrap_or_else(unknown)
    }
}

/// How well signals forecast.
#[derive(Debug, Default)]
pub struct Forecasts(Mutex<BTreeMap<String, Record>>);

/// The errors of one signal, means over its objects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// When they were found.
    pub at: Timestamp,
    /// Zero where no object could be tried.
    pub errors: Errors,
    /// How many objects have a forecast.
    pub foreseen: usize,
    /// How many have none.
    pub refused: usize,
}

impl Forecasts {
    /// The errors by metric and kind.
    pub fn all(&self, now: Timestamp) -> Vec<(String, Record)> {
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        records.retain(|_, record| now.duration_since(record.at) < KNOWN_FOR);
        records.iter().map(|(signal, record)| (signal.clone(), *record)).collect()
    }

    fn note(&self, signal: &Signal, found: &[Result<Outlook, ForecastError>], at: Timestamp) {
        let errors = found.iter().filter_map(|found| match found {
            Ok(outlook) => Some(outlook.errors),
            Err(ForecastError::Worse(errors)) => Some(*errors),
            Err(_) => None,
        });
        let mut sum = Errors { forecast: 0.0, last_season: 0.0 };
        let mut count = 0.0;
        for errors in errors {
            sum.forecast += errors.forecast;
            sum.last_season += errors.last_season;
            count += 1.0;
        }
        let mean = |sum: f64| if count > 0.0 { sum / count } else { 0.0 };
        let errors = Errors { forecast: mean(sum.forecast), last_season: mean(sum.last_season) };
        let foreseen = found.iter().filter(|found| found.is_ok()).count();
        let record = Record { at, errors, foreseen, refused: found.len() - foreseen };
        let mut records = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut name = format!("{}/{}", signal.on, signal.metric);
        if let Some(namespace) = &signal.namespace {
            name = format!("{namespace}/{name}");
        }
        if records.len() < MAX_SIGNALS || records.contains_key(&name) {
            records.insert(name, record);
        }
    }
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// Adds to the work what is foreseen, anew where the last step is over.
    pub(super) async fn foresee_for(
        &self,
        asking: &Asking<'_>,
        forecast: &Forecast,
        mut work: Work,
    ) -> Result<Vec<Done>, Error> {
        let step = i64::try_from(forecast.step.as_secs()).unwrap_or(i64::MAX).max(1);
        let end = asking.at.as_second() / step * step;
        let is_known =
            |states: &States| states.outlooks.as_ref().is_some_and(|outlooks| outlooks.end == end);
        let namespaces = work.namespaces.clone();
        if !namespaces.iter().all(|it| work.remembered.get(it).is_some_and(is_known)) {
            let past = self.past(asking, forecast, &work.queries, &namespaces, end).await?;
            let forecasts = Arc::clone(&self.forecasts);
            let forecast = forecast.clone();
            // The semaphore is never closed.
            let permit = FITS.acquire().await;
            work = spawn(move || {
                let outlooks = past.outlooks(&work, &forecast, &forecasts);
                for (namespace, by_name) in outlooks {
                    let states = work.remembered.entry(namespace).or_default();
                    states.outlooks = Some(Outlooks { end, by_name });
                }
                work
            })
            .await;
            drop(permit);
        }
        let foreseen = work.remembered.iter().flat_map(|(namespace, states)| {
            let names = states.outlooks.iter().flat_map(|outlooks| outlooks.by_name.keys());
            names.map(|name| (Arc::clone(namespace), name.clone()))
        });
        work.foreseen = foreseen.collect();
        Ok(spawn(move || work.run()).await)
    }

    async fn past(
        &self,
        asking: &Asking<'_>,
        forecast: &Forecast,
        queries: &[Query],
        namespaces: &[Arc<str>],
        end: i64,
    ) -> Result<Past, Error> {
        let step = i64::try_from(forecast.step.as_secs()).unwrap_or(i64::MAX).max(1);
        let history = i64::try_from(forecast.history.as_secs()).unwrap_or(i64::MAX);
        let start = end.saturating_sub(history).saturating_add(step);
        let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        let range = Range { start: at(start), end: at(end), step: forecast.step };
        let route = asking.route(namespaces);
        let ask = async |query: &Query| {
            let answer = self.backend.query_range(&route, &query.promql, &range).await;
            answer.map_err(|cause| {
                let rule = asking.signal.origin.clone();
                Error::Backend { rule, promql: error::excerpt(&query.promql), cause }
            })
        };
        let series = try_join_all(queries.iter().map(ask)).await?;
        Ok(Past { series, start, end, step })
    }
}

/// Works beside the runtime.
pub(super) async fn spawn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}

/// What the backend knows of the past, for each query.
struct Past {
    series: Vec<Vec<Series>>,
    start: i64,
    end: i64,
    step: i64,
}

/// An object, its pods then and now, and its values so far.
struct Followed<'a> {
    namespace: &'a Arc<str>,
    in_namespace: String,
    name: Box<str>,
    pods: Vec<Box<str>>,
    points: Vec<Point>,
}

impl Past {
    /// What is foreseen of each object.
    fn outlooks(
        &self,
        work: &Work,
        forecast: &Forecast,
        forecasts: &Forecasts,
    ) -> HashMap<Arc<str>, Told> {
        let mut followed = self.followed(work);
        let known = followed.len().min(MAX_OBJECTS);
        let (followed, rest) = followed.split_at_mut(known);
        self.follow(work, followed);
        #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in an f64")]
        let end = self.end as f64;
        let found: Vec<_> =
            followed.iter().map(|object| forecast.look_ahead(&object.points, end)).collect();
        forecasts.note(&work.signal, &found, work.at);
        let mut outlooks: HashMap<Arc<str>, Told> = work
            .namespaces
            .iter()
            .map(|namespace| (Arc::clone(namespace), HashMap::new()))
            .collect();
        let told = found.into_iter().map(|found| match found {
            Ok(outlook) => Ok(outlook.value),
            Err(error) => Err(error.to_string()),
        });
        let too_many = || Err(format!("there are more than {MAX_OBJECTS} objects"));
        let told = told.chain(std::iter::repeat_with(too_many));
        for (object, told) in followed.iter().chain(rest.iter()).zip(told) {
            if let Some(by_name) = outlooks.get_mut(object.namespace) {
                by_name.insert(object.name.clone(), told);
            }
        }
        outlooks
    }

    /// Notes the values of each step.
    fn follow(&self, work: &Work, followed: &mut [Followed<'_>]) {
        let mut next: Vec<Vec<usize>> =
            self.series.iter().map(|series| vec![0; series.len()]).collect();
        let mut second = self.start;
        while second <= self.end {
            let results: Vec<_> = self
                .series
                .iter()
                .zip(&mut next)
                .map(|(series, next)| at(series, next, second))
                .collect();
            let tables: Vec<_> = work
                .queries
                .iter()
                .zip(&results)
                .map(|(query, result)| Table::new(&query.labels, result))
                .collect();
            let tables: Vec<_> = tables.iter().collect();
            let now = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
            for Followed { in_namespace, name, pods, points, .. } in &mut *followed {
                let each = |see: &mut dyn FnMut(&str)| pods.iter().for_each(|pod| see(pod));
                let object = Object { namespace: in_namespace, name, pods: &each };
                let inputs = work.signal.inputs(&tables, &object, &mut State::default(), now);
                let value = inputs.ok().and_then(|(values, _)| values.first().copied().flatten());
                #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact")]
                let timestamp = second as f64;
                points.extend(value.map(|value| Point { timestamp, value }));
            }
            second = second.saturating_add(self.step);
        }
    }

    /// The objects, each with the pods that it has and those that it seems to have had.
    fn followed<'a>(&self, work: &'a Work) -> Vec<Followed<'a>> {
        let Some(kind) = &work.kind else {
            let external = |namespace: &'a Arc<str>| Followed {
                namespace,
                in_namespace: namespace.to_string(),
                name: "".into(),
                pods: Vec::new(),
                points: Vec::new(),
            };
            return work.namespaces.iter().map(external).collect();
        };
        let named = self.named();
        let tables: Vec<_> = work
            .queries
            .iter()
            .zip(&named)
            .map(|(query, result)| Table::new(&query.labels, result))
            .collect();
        let tables: Vec<_> = tables.iter().collect();
        let former = former_pods(work, kind, &tables);
        let mut followed = Vec::new();
        work.each_object(kind, &tables, &mut |namespace, in_namespace, name, pods| {
            let gone = former.get(&(in_namespace, name)).into_iter().flatten();
            let pods = pods.iter().chain(gone).map(|pod| Box::from(*pod)).collect();
            let (name, in_namespace, points) = (name.into(), in_namespace.to_owned(), Vec::new());
            followed.push(Followed { namespace, in_namespace, name, pods, points });
        });
        followed
    }

    /// A sample of each series, whenever it was.
    fn named(&self) -> Vec<QueryResult> {
        let sample = |series: &Series| {
            Some(Sample { labels: series.labels.clone(), point: *series.points.last()? })
        };
        let result =
            |series: &Vec<Series>| QueryResult::Vector(series.iter().filter_map(sample).collect());
        self.series.iter().map(result).collect()
    }
}

/// The names of pods that are no more, by the namespace and name of the object whose they seem to
/// have been.
fn former_pods<'a>(
    work: &Work,
    kind: &Kind,
    tables: &[&Table<'a>],
) -> HashMap<(&'a str, &'a str), Vec<&'a str>> {
    let mut former: HashMap<_, Vec<_>> = HashMap::new();
    let Some(members) = &work.members else { return former };
    for (namespace, pod) in tables.iter().flat_map(|table| table.objects()) {
        if !members.has_pod(namespace, pod)
            && let Some(object) = former_controller(kind, pod)
        {
            former.entry((namespace, object)).or_default().push(pod);
        }
    }
    for pods in former.values_mut() {
        pods.sort_unstable();
        pods.dedup();
    }
    former
}

/// The samples of one step.
fn at(series: &[Series], next: &mut [usize], second: i64) -> QueryResult {
    #[expect(clippy::cast_precision_loss, reason = "seconds of this era are exact in an f64")]
    let second = second as f64;
    let mut samples = Vec::new();
    for (series, next) in series.iter().zip(next) {
        let is_past = |point: &Point| point.timestamp < second - 0.5;
        while series.points.get(*next).is_some_and(is_past) {
            *next += 1;
        }
        let point = series.points.get(*next).filter(|point| point.timestamp < second + 0.5);
        let labels = || series.labels.clone();
        samples.extend(point.map(|point| Sample { labels: labels(), point: *point }));
    }
    QueryResult::Vector(samples)
}
