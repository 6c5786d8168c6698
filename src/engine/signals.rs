//! Computes signals: asks the backend for what a signal needs in some namespaces, and the inventory
//! for the objects and their pods.
//!
//! A query that a signal needs twice is asked once. The values are computed beside the runtime:
//! with thousands of objects that takes milliseconds.

mod forecast;
mod members;
mod values;

use std::collections::HashMap;
use std::slice;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use futures_util::future::{BoxFuture, FutureExt as _, try_join_all};
use jiff::Timestamp;

pub use self::forecast::{Forecasts, Record};
use self::forecast::{Outlooks, spawn};
use self::members::Members;
use self::values::Work;
use crate::engine::Engine;
use crate::engine::compute::{Computed, all};
use crate::engine::demand::{CustomDemand, ExternalDemand, Target};
use crate::engine::error::{self, Error};
use crate::engine::plan::whose;
use crate::engine::ports::{Backend, Inventory, Route, Tenancy};
use crate::engine::table::{Subject, Values};
use crate::model::inventory::Objects;
use crate::model::object::Kind;
use crate::model::selector::Selector;
use crate::model::value::QueryResult;
use crate::promql::matcher::Matchers;
use crate::promql::rule::{DEFAULT_BACKEND, QueryError};
use crate::signals::query::{Query, Scope};
use crate::signals::signal::{Signal, State};

/// How many halves an evaluation may be divided into because queries could not be executed.
const MAX_HALVINGS: usize = 16;

/// What a table's signals remember of their objects from one evaluation to the next, by namespace:
/// no more than the objects that were there last.
#[derive(Debug, Default)]
pub struct Memory(HashMap<Arc<str>, Remembered>);

impl Memory {
    /// Forgets the namespaces that nobody is interested in any more.
    pub(super) fn keep(&mut self, wanted: &[Arc<str>]) {
        self.0.retain(|namespace, _| wanted.binary_search(namespace).is_ok());
    }
}

/// What a signal remembers of the objects of a namespace.
#[derive(Debug)]
struct Remembered {
    signal: Arc<Signal>,
    states: States,
}

/// What is remembered of the objects of a namespace.
#[derive(Debug, Default)]
struct States {
    by_name: HashMap<Box<str>, State>,
    outlooks: Option<Outlooks>,
}

/// Of whom a signal is asked.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The kind of the objects; none for what belongs to no object.
    kind: Option<&'a Arc<Kind>>,
    /// Which series, by their labels.
    selector: &'a Selector,
    /// The namespaces; an empty one stands for objects in none.
    namespaces: &'a [Arc<str>],
    /// An object that may be known to nobody but the request that names it.
    named: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// What a table is of, in some of its namespaces.
    pub(super) fn by(subject: &'a Subject, namespaces: &'a [Arc<str>]) -> Self {
        match subject {
            Subject::Objects { kind, selector, .. } => {
                Self { kind: Some(kind), selector, namespaces, named: None }
            }
            Subject::Series { selector, .. } => {
                Self { kind: None, selector, namespaces, named: None }
            }
            // It is evaluated as a demand, not as a table.
            Subject::Alone(_) => {
                static EVERYTHING: LazyLock<Selector> = LazyLock::new(Selector::everything);
                Self { kind: None, selector: &EVERYTHING, namespaces, named: None }
            }
        }
    }
}

/// Where queries go, and what they ask for.
struct Asking<'a> {
    signal: &'a Arc<Signal>,
    asked: &'a Asked<'a>,
    matchers: String,
    at: Timestamp,
    halvings: AtomicUsize,
    /// Bytes of the longest query that the backend takes.
    max_query: usize,
}

impl<B: Backend, I: Inventory> Engine<B, I> {
    /// The values of a signal in each of the namespaces.
    pub(super) async fn compute_signal(
        &self,
        signal: &Arc<Signal>,
        asked: &Asked<'_>,
        memory: &Mutex<Memory>,
        at: Timestamp,
    ) -> Computed {
        let matchers = match Matchers::of_selector(asked.selector) {
            Ok(matchers) => matchers.into_parts().0,
            Err(error) => {
                return all(asked.namespaces, &Error::Query(QueryError::from(error)));
            }
        };
        let halvings = AtomicUsize::new(MAX_HALVINGS);
        let backend = signal.backend.as_deref().unwrap_or(DEFAULT_BACKEND);
        let facts = self.backend.facts(backend);
        let max_query = facts.max_query;
        let asking = Asking { signal, asked, matchers, at, halvings, max_query };
        if facts.tenancy == Tenancy::PerNamespace {
            let mut computed = Computed::new();
            for namespace in asked.namespaces {
                let one = slice::from_ref(namespace);
                computed.extend(self.ask_signal(&asking, one, memory).await);
            }
            return computed;
        }
        self.ask_signal(&asking, asked.namespaces, memory).await
    }

    /// The values of a signal for a demand alone, of which nothing is remembered.
    pub(super) async fn signal_alone(
        &self,
        signal: &Arc<Signal>,
        asked: Alone<'_>,
        at: Timestamp,
    ) -> Result<Values, Error> {
        let Alone { kind, selector, namespace, named } = asked;
        let namespaces = [Arc::from(namespace)];
        let asked = Asked { kind, selector, namespaces: &namespaces, named };
        let computed = self.compute_signal(signal, &asked, &Mutex::default(), at).await;
        let only = computed.into_iter().next().map(|(_, values)| values);
        only.unwrap_or_else(|| Err(Error::NoValue("nothing was computed".to_owned())))
    }

    /// Asks for some namespaces together, and for their halves where that cannot be executed.
    fn ask_signal<'a>(
        &'a self,
        asking: &'a Asking<'_>,
        namespaces: &'a [Arc<str>],
        memory: &'a Mutex<Memory>,
    ) -> BoxFuture<'a, Computed> {
        let computing = async move {
            let error = match self.ask_once(asking, namespaces, memory).await {
                Ok(computed) => return computed,
                Err(error) => error,
            };
            if namespaces.len() < 2 || !error.is_divisible() || !asking.may_halve() {
                return all(namespaces, &error);
            }
            let (first, second) = namespaces.split_at(namespaces.len() / 2);
            let mut both = self.ask_signal(asking, first, memory).await;
            both.extend(self.ask_signal(asking, second, memory).await);
            both
        };
        computing.boxed()
    }

    async fn ask_once(
        &self,
        asking: &Asking<'_>,
        namespaces: &[Arc<str>],
        memory: &Mutex<Memory>,
    ) -> Result<Computed, Error> {
        let Asking { signal, asked, at, .. } = *asking;
        let queries = asking.queries(namespaces)?;
        let (results, (objects, members)) = tokio::try_join!(
            async {
                // Of a forecast, the past is asked for, and seldom.
                match signal.forecast() {
                    Some(_) => Ok(Vec::new()),
                    None => self.results(asking, &queries, namespaces).await,
                }
            },
            self.inventoried(signal, asked.kind)
        )?;
        let work = Work {
            signal: Arc::clone(signal),
            kind: asked.kind.cloned(),
            namespaces: namespaces.to_vec(),
            named: asked.named.map(Box::from),
            queries,
            results,
            objects,
            members,
            at,
            decisions: Arc::clone(&self.decisions),
            remembered: recall(memory, signal, namespaces),
            foreseen: Vec::new(),
        };
        let done = match signal.forecast() {
            Some(forecast) => self.foresee_for(asking, forecast, work).await?,
            None => spawn(move || work.run()).await,
        };
        let mut computed = Computed::new();
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        for (namespace, values, states) in done {
            if signal.needs_state() || signal.forecast().is_some() {
                let signal = Arc::clone(signal);
                memory.0.insert(Arc::clone(&namespace), Remembered { signal, states });
            }
            computed.push((namespace, values));
        }
        Ok(computed)
    }

    /// The result of each query, in their order.
    async fn results(
        &self,
        asking: &Asking<'_>,
        queries: &[Query],
        namespaces: &[Arc<str>],
    ) -> Result<Vec<Arc<QueryResult>>, Error> {
        let mut texts: Vec<&str> = queries.iter().map(|query| query.promql.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        let route = asking.route(namespaces);
        let ask = async |text: &&str| {
            let answer = self.backend.query(&route, text, asking.at).await;
            answer.map(Arc::new).map_err(|cause| {
                let (rule, promql) = (asking.signal.origin.clone(), error::excerpt(text));
                Error::Backend { rule, promql, cause }
            })
        };
        let results = try_join_all(texts.iter().map(ask)).await?;
        let of = |query: &Query| {
            let index = texts.binary_search(&query.promql.as_str()).ok()?;
            results.get(index).map(Arc::clone)
        };
        Ok(queries.iter().filter_map(of).collect())
    }

    /// The objects of the kind where they are known, and their pods where the signal needs them.
    async fn inventoried(
        &self,
        signal: &Signal,
        kind: Option<&Arc<Kind>>,
    ) -> Result<(Option<Arc<Objects>>, Option<Members>), Error> {
        let Some(kind) = kind else { return Ok((None, None)) };
        let members = if signal.needs_pods() {
            Some(Members::find(&self.inventory, kind).await?)
        } else {
            None
        };
        // The labels and the pods' owners name objects as well.
        let objects = match self.inventory.current(kind) {
            Some(objects) => Some(objects),
            None => self.inventory.objects(kind).await.ok().flatten(),
        };
        Ok((objects, members))
    }
}

impl Asking<'_> {
    fn backend(&self) -> &str {
        self.signal.backend.as_deref().unwrap_or(DEFAULT_BACKEND)
    }

    fn route(&self, namespaces: &[Arc<str>]) -> Route {
        let namespace = match namespaces {
            [one] if !one.is_empty() => Some(Arc::clone(one)),
            _ => None,
        };
        Route { backend: self.backend().into(), namespace, accept_partial: false }
    }

    fn may_halve(&self) -> bool {
        let fewer = |left: usize| left.checked_sub(1);
        self.halvings.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok()
    }

    /// The queries for some namespaces; one that would be too long is for all.
    fn queries(&self, namespaces: &[Arc<str>]) -> Result<Vec<Query>, Error> {
        let names: Vec<&str> = namespaces.iter().map(AsRef::as_ref).collect();
        let everywhere = names.contains(&"");
        let render = |namespaces: Option<&[&str]>| {
            let scope = Scope { namespaces, matchers: &self.matchers };
            self.signal.queries(&scope).map_err(|cause| {
                let signal = self.signal.origin.clone();
                Error::Signal { signal, cause: Box::new(cause) }
            })
        };
        if everywhere {
            return render(None);
        }
        let mut queries = render(Some(&names))?;
        if names.len() > 1 && queries.iter().any(|query| query.promql.len() > self.max_query) {
            for (query, short) in queries.iter_mut().zip(render(None)?) {
                if query.promql.len() > self.max_query {
                    *query = short;
                }
            }
        }
        Ok(queries)
    }
}

/// What is remembered of some namespaces by this very signal.
fn recall(
    memory: &Mutex<Memory>,
    signal: &Arc<Signal>,
    namespaces: &[Arc<str>],
) -> HashMap<Arc<str>, States> {
    let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
    let recalled = namespaces.iter().filter_map(|namespace| {
        let remembered = memory.0.remove(namespace)?;
        let is_its_own = remembered.signal == *signal;
        is_its_own.then(|| (Arc::clone(namespace), remembered.states))
    });
    recalled.collect()
}

/// What one demand asks of a signal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alone<'a> {
    kind: Option<&'a Arc<Kind>>,
    selector: &'a Selector,
    namespace: &'a str,
    named: Option<&'a str>,
}

impl<'a> Alone<'a> {
    pub(super) fn of(demand: &'a CustomDemand, kind: &'a Arc<Kind>) -> Self {
        let named = match &demand.target {
            Target::Named(name) => Some(name.as_str()),
            Target::Selected(_) => None,
        };
        let namespace = whose(demand, kind).unwrap_or_default();
        Self { kind: Some(kind), selector: &demand.metric_selector, namespace, named }
    }

    pub(super) fn of_external(demand: &'a ExternalDemand) -> Self {
        let (namespace, selector) = (demand.namespace.as_str(), &demand.selector);
        Self { kind: None, selector, namespace, named: None }
    }
}
