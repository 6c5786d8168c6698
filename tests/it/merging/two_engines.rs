//! Two engines between one Prometheus and one inventory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use jiff::Timestamp;
use plimsoll::config;
use plimsoll::engine::answer::Answer;
use plimsoll::engine::catalog::{Catalog, Discovered};
use plimsoll::engine::demand::Demand;
use plimsoll::engine::error::Error;
use plimsoll::engine::ports::{
    Backend, BackendError, Facts, Fault, Inventory, InventoryError, Range, Route, Tenancy,
};
use plimsoll::engine::{Engine, Settings, refresh};
use plimsoll::model::inventory::{Object, Objects};
use plimsoll::model::object::{Kind, Kinds, Scope};
use plimsoll::model::service::Service;
use plimsoll::model::value::{QueryResult, Series, SeriesNames};
use plimsoll::prometheus::{self, Client, Terms};
use plimsoll::telemetry::metrics::Metrics;
use url::Url;

use super::rules::Rules;
use super::series::{NAMESPACES, NOW};

/// How often a query is asked again.
const AGAIN: usize = 20;

/// Name or labels, value in thousandths, and time; an error that is told apart from others.
pub(super) type Told = Result<Vec<(String, i64, i64)>, String>;

pub(super) struct TwoEngines {
    merged: Arc<Engine<Past, Pods>>,
    alone: Arc<Engine<Past, Pods>>,
}

impl TwoEngines {
    pub(super) fn start(url: Url, rules: &Rules) -> Self {
        let config = config::parse("config.yaml", &rules.config)
            .unwrap_or_else(|error| panic!("{error}\n{}", rules.config));
        let labels = ["namespace", "pod", "service", "code"].map(str::to_owned).into();
        let series = Arc::new(SeriesNames::from([("x".to_owned(), labels)]));
        let found = |rules: &[Arc<_>]| -> Vec<Discovered> {
            let one = |rule| Discovered { rule: Arc::clone(rule), series: Ok(Arc::clone(&series)) };
            rules.iter().map(one).collect()
        };
        let kinds = Arc::new(kinds());
        let since = f64::from(u32::try_from(Timestamp::now().as_second() - NOW).unwrap());
        let engine = |merge, refresh_interval| {
            let settings = Settings { refresh_interval, merge };
            let backend = Past::new(url.clone(), since);
            let engine = Arc::new(Engine::new(backend, Pods::new(Arc::clone(&kinds)), settings));
            let catalog =
                Catalog::build(found(&config.rules), found(&config.external_rules), &kinds);
            engine.publish_catalog(catalog);
            tokio::spawn(refresh::run(Arc::clone(&engine), Arc::new(Metrics::new())));
            engine
        };
        // Longer than the test: each query is asked once.
        let long = Duration::from_hours(1);
        Self { merged: engine(true, long), alone: engine(false, Duration::ZERO) }
    }

    /// What both answer to each demand.
    pub(super) async fn ask(&self, demands: &[Demand]) -> (Vec<Told>, Vec<Told>) {
        let all = async |engine: &Engine<Past, Pods>| {
            let told = demands.iter().map(|demand| told(engine, demand));
            stream::iter(told).buffered(64).collect().await
        };
        (all(&self.merged).await, all(&self.alone).await)
    }

    /// Whether a query of its own says so if it is asked again: of series with equal values `topk`
    /// without grouping takes now one, now the other.
    pub(super) async fn alone_says(&self, demand: &Demand, expected: &Told) -> bool {
        for _ in 0..AGAIN {
            if told(&self.alone, demand).await == *expected {
                return true;
            }
        }
        false
    }

    /// How many queries each has asked.
    pub(super) fn asked(&self) -> (usize, usize) {
        let count = |engine: &Engine<Past, Pods>| engine.backend().asked.load(Ordering::Relaxed);
        (count(&self.merged), count(&self.alone))
    }
}

async fn told(engine: &Engine<Past, Pods>, demand: &Demand) -> Told {
    let answer = loop {
        match engine.answer(demand).await {
            Err(Error::StillEvaluating(_)) => {}
            answer => break answer,
        }
    };
    match answer.map_err(|error| of_error(&error))?.answer.clone() {
        Answer::Custom(answer) => {
            let one = |it: &plimsoll::engine::answer::ObjectValue| {
                (it.name.to_string(), it.value.0, it.timestamp)
            };
            Ok(answer.values.iter().map(one).map(without_now).collect())
        }
        Answer::External(answer) => {
            let one = |it: &plimsoll::engine::answer::SeriesValue| {
                let labels: Vec<_> = it.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
                (labels.join(","), it.value.0, it.timestamp)
            };
            Ok(answer.values.iter().map(one).map(without_now).collect())
        }
        Answer::Usage(answer) => panic!("{answer:?}"),
    }
}

/// The time of a value that a policy gives is that of the evaluation.
fn without_now((name, value, timestamp): (String, i64, i64)) -> (String, i64, i64) {
    (name, value, if value == 0 || value == 7000 { 0 } else { timestamp })
}

/// What a client is told but for the query, and for the place in it.
fn of_error(error: &Error) -> String {
    match error {
        Error::Backend { rule, cause, .. } => match &*cause.fault {
            Fault::Refused { status, message } if status.starts_with("422") => {
                format!("{rule}: {status}: {message}")
            }
            Fault::Refused { status, .. } => format!("{rule}: {status}"),
            other => format!("{rule}: {other}"),
        },
        // Labels by which the merged query groups are among those that it shows.
        Error::Ambiguous { rule, object, count, .. } => format!("{rule}: {count} of {object}"),
        Error::BadResult { rule, reason, .. } => format!("{rule}: {reason}"),
        other => other.to_string(),
    }
}

/// A Prometheus that is always asked about the same moment, and answers as if it were now.
struct Past {
    client: Client,
    /// Seconds from then to now.
    since: f64,
    asked: AtomicUsize,
}

impl Past {
    fn new(url: Url, since: f64) -> Self {
        let settings = prometheus::Settings::new(url);
        let client = Client::new(settings, Metrics::new().backend("b")).unwrap();
        Self { client, since, asked: AtomicUsize::new(0) }
    }
}

impl Backend for Past {
    async fn query(
        &self,
        route: &Route,
        promql: &str,
        _at: Timestamp,
    ) -> Result<QueryResult, BackendError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let at = Timestamp::from_second(NOW).unwrap();
        let asked = self.client.query(promql, at, &Terms::default()).await;
        let mut result = asked.map_err(|fault| fault.of(&route.backend))?;
        match &mut result {
            QueryResult::Scalar(point) => point.timestamp += self.since,
            QueryResult::Vector(samples) => {
                samples.iter_mut().for_each(|sample| sample.point.timestamp += self.since);
            }
        }
        Ok(result)
    }

    async fn query_range(
        &self,
        route: &Route,
        _promql: &str,
        _range: &Range,
    ) -> Result<Vec<Series>, BackendError> {
        Err(Fault::NotAsked("no rule asks for a range".to_owned()).of(&route.backend))
    }

    async fn series(
        &self,
        _route: &Route,
        _selector: &str,
        _since: Timestamp,
    ) -> Result<SeriesNames, BackendError> {
        Ok(SeriesNames::new())
    }

    fn facts(&self, _backend: &str) -> Facts {
        Facts {
            tenancy: Tenancy::Shared,
            max_query: 1 << 20,
            concurrency: 16,
            deadline: Duration::from_secs(10),
            max_series: 500_000,
        }
    }
}

fn kinds() -> Kinds {
    let kind = |plural: &str, scope| Kind {
        group: String::new(),
        version: "v1".to_owned(),
        kind: plural.trim_end_matches('s').to_owned(),
        plural: plural.to_owned(),
        singular: plural.trim_end_matches('s').to_owned(),
        short_names: Vec::new(),
        scope,
    };
    let namespaced = ["pods", "services"].map(|plural| kind(plural, Scope::Namespaced));
    Kinds::new(namespaced.into_iter().chain([kind("namespaces", Scope::Cluster)]))
}

/// Knows pods, of which some have no series, and no other objects.
#[derive(Debug)]
struct Pods {
    kinds: Arc<Kinds>,
    pods: Arc<Objects>,
}

impl Pods {
    fn new(kinds: Arc<Kinds>) -> Self {
        let mut pods = Objects::default();
        let [with_objects @ .., _] = NAMESPACES;
        for namespace in with_objects {
            for (name, app) in [
                ("web-0", "web"),
                ("web-1", "web"),
                ("web-9", "web"),
                ("db-0", "db"),
                ("cache", "x"),
            ] {
                let labels = [("app".into(), app.into())].into();
                let object = Object { name: name.into(), labels, owner: None };
                pods.insert(namespace, Arc::new(object));
            }
        }
        Self { kinds, pods: Arc::new(pods) }
    }
}

impl Inventory for Pods {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::clone(&self.kinds)
    }

    fn look_for_kinds(&self) {}

    fn current(&self, kind: &Kind) -> Option<Arc<Objects>> {
        (kind.plural == "pods").then(|| Arc::clone(&self.pods))
    }

    async fn objects(&self, kind: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        Ok(self.current(kind))
    }

    async fn selecting_services(&self) -> Result<Option<Arc<Objects<Service>>>, InventoryError> {
        Ok(None)
    }
}
