//! The engine between a fake backend and a fake inventory, in paused time.

mod demands;
mod discovery;
mod merged;
mod signals;
mod usage;
mod values;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::answer::{Answer, CustomAnswer, ExternalAnswer};
use super::catalog::{Catalog, Discovered};
use super::demand::{CustomDemand, Demand, ExternalDemand, Target};
use super::error::Error;
use super::ports::{
    Backend, BackendError, Facts, Fault, Inventory, InventoryError, Range, Route, Tenancy,
};
use super::{Engine, Settings, refresh};
use crate::config::{self, Config};
use crate::model::inventory::{Object, Objects};
use crate::model::object::{GroupResource, Kind, Kinds};
use crate::model::selector::Selector;
use crate::model::service::Service;
use crate::model::value::{Point, QueryResult, Sample, Series, SeriesNames};
use crate::promql::fixtures;
use crate::promql::rule::DEFAULT_BACKEND;
use crate::telemetry::metrics::Metrics;

const REFRESH: Duration = Duration::from_secs(5);

/// Two metrics of pods and services, and an external one.
const CONFIG: &str = "
rules:
- seriesQuery: requests
  resources: {template: <<.Resource>>}
  metricsQuery: <<.Series>>{<<.LabelMatchers>>}
externalRules:
- seriesQuery: depth
  resources: {namespaced: false}
  metricsQuery: <<.Series>>{<<.LabelMatchers>>}
";

type FakeEngine = Arc<Engine<FakeBackend, FakeInventory>>;

/// Answers from tables, and remembers what it was asked.
#[derive(Debug, Default)]
struct FakeBackend {
    results: Mutex<HashMap<String, Result<QueryResult, BackendError>>>,
    listings: Mutex<HashMap<String, Result<SeriesNames, BackendError>>>,
    delay: Mutex<Duration>,
    queries: Mutex<Vec<String>>,
    listed: Mutex<Vec<String>>,
}

impl FakeBackend {
    fn answer(&self, promql: &str, result: Result<QueryResult, BackendError>) {
        self.results.lock().unwrap().insert(promql.to_owned(), result);
    }

    fn list(&self, selector: &str, result: Result<&[(&str, &[&str])], BackendError>) {
        let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
        let names = |series: &[(&str, &[&str])]| {
            series.iter().map(|(name, names)| ((*name).to_owned(), labels(names))).collect()
        };
        self.listings.lock().unwrap().insert(selector.to_owned(), result.map(names));
    }

    /// How many queries there have been.
    fn asked(&self) -> usize {
        self.queries.lock().unwrap().len()
    }

    fn last_query(&self) -> String {
        self.queries.lock().unwrap().last().unwrap().clone()
    }
}

impl Backend for FakeBackend {
    async fn query(
        &self,
        _route: &Route,
        promql: &str,
        _at: Timestamp,
    ) -> Result<QueryResult, BackendError> {
        self.queries.lock().unwrap().push(promql.to_owned());
        let delay = *self.delay.lock().unwrap();
        tokio::time::sleep(delay).await;
        let results = self.results.lock().unwrap();
        results.get(promql).cloned().unwrap_or(Ok(QueryResult::Vector(Vec::new())))
    }

    async fn query_range(
        &self,
        route: &Route,
        _promql: &str,
        _range: &Range,
    ) -> Result<Vec<Series>, BackendError> {
        Err(Fault::NotAsked("the fake knows no ranges".to_owned()).of(&route.backend))
    }

    async fn series(
        &self,
        _route: &Route,
        selector: &str,
        _since: Timestamp,
    ) -> Result<SeriesNames, BackendError> {
        self.listed.lock().unwrap().push(selector.to_owned());
        let listings = self.listings.lock().unwrap();
        listings.get(selector).cloned().unwrap_or_else(|| Ok(SeriesNames::new()))
    }

    fn facts(&self, _backend: &str) -> Facts {
        Facts {
            tenancy: Tenancy::Shared,
            max_query: 8 << 10,
            concurrency: 16,
            deadline: Duration::from_secs(10),
            max_series: 500_000,
        }
    }
}

/// The error of the backend of rules that name none.
fn failed(fault: Fault) -> BackendError {
    fault.of(&DEFAULT_BACKEND.into())
}

/// The kinds of the fixtures, and pods where there are any objects at all.
#[derive(Debug, Default)]
struct FakeInventory {
    pods: Option<Arc<Objects>>,
}

impl FakeInventory {
    /// Pods of namespace `shop`, each with its label `app`.
    fn of(pods: &[(&str, &str)]) -> Self {
        let mut objects = Objects::default();
        for (name, app) in pods {
            let labels = [("app".into(), (*app).into())].into();
            let object = Object { name: (*name).into(), labels, owner: None };
            objects.insert("shop", Arc::new(object));
        }
        Self { pods: Some(Arc::new(objects)) }
    }
}

impl Inventory for FakeInventory {
    fn kinds(&self) -> Arc<Kinds> {
        Arc::new(fixtures::kinds())
    }

    fn look_for_kinds(&self) {}

    fn current(&self, _kind: &Kind) -> Option<Arc<Objects>> {
        self.pods.clone()
    }

    async fn objects(&self, kind: &Arc<Kind>) -> Result<Option<Arc<Objects>>, InventoryError> {
        if kind.plural == "services" {
            let reason = "the API server answered 403".to_owned();
            return Err(InventoryError { kind: "services".to_owned(), reason });
        }
        Ok(self.pods.clone())
    }

    async fn selecting_services(&self) -> Result<Option<Arc<Objects<Service>>>, InventoryError> {
        Ok(None)
    }
}

fn config(text: &str) -> Config {
    config::parse("config.yaml", text).unwrap()
}

/// A catalog in which each rule has found these series.
fn catalog(config: &Config, custom: &[(&str, &[&str])], external: &[&str]) -> Catalog {
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    let custom: SeriesNames =
        custom.iter().map(|(name, names)| ((*name).to_owned(), labels(names))).collect();
    let external: SeriesNames =
        external.iter().map(|&name| (name.to_owned(), labels(&[]))).collect();
    let discovered = |rules: &[Arc<_>], series: SeriesNames| {
        let series = Arc::new(series);
        let of =
            |rule: &Arc<_>| Discovered { rule: Arc::clone(rule), series: Ok(Arc::clone(&series)) };
        rules.iter().map(of).collect::<Vec<_>>()
    };
    Catalog::build(
        discovered(&config.rules, custom),
        discovered(&config.external_rules, external),
        &Arc::new(fixtures::kinds()),
    )
    .with_resource_rules(config.resource_rules.clone())
}

fn engine_with(inventory: FakeInventory, config_text: &str, refresh: Duration) -> FakeEngine {
    start(inventory, config_text, Settings { refresh_interval: refresh, merge: false })
}

fn start(inventory: FakeInventory, config_text: &str, settings: Settings) -> FakeEngine {
    let engine = Arc::new(Engine::new(FakeBackend::default(), inventory, settings));
    let labels: &[&str] = &["namespace", "pod", "service"];
    engine.publish_catalog(catalog(&config(config_text), &[("requests", labels)], &["depth"]));
    tokio::spawn(refresh::run(Arc::clone(&engine), Arc::new(Metrics::new())));
    engine
}

fn engine() -> FakeEngine {
    engine_with(FakeInventory::default(), CONFIG, REFRESH)
}

/// A sample of now.
fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
    aged(labels, value, 0.0)
}

/// A sample of some seconds ago.
#[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
fn aged(labels: &[(&str, &str)], value: f64, age: f64) -> Sample {
    let timestamp = Timestamp::now().as_second() as f64 - age;
    Sample { labels: labels.iter().copied().collect(), point: Point { timestamp, value } }
}

#[expect(clippy::unnecessary_wraps, reason = "what the fake is given to answer with")]
fn vector(samples: &[Sample]) -> Result<QueryResult, BackendError> {
    Ok(QueryResult::Vector(samples.to_vec()))
}

/// `requests` of the pods or services of namespace `shop` with that name, or selected.
fn object_demand(resource: &str, target: Target) -> Demand {
    Demand::Custom(CustomDemand {
        resource: GroupResource::parse(resource),
        namespace: Some("shop".to_owned()),
        target,
        metric: "requests".to_owned(),
        metric_selector: Selector::default(),
    })
}

fn pod(name: &str) -> Demand {
    object_demand("pods", Target::Named(name.to_owned()))
}

fn pods(selector: &str) -> Demand {
    object_demand("pods", Target::Selected(Selector::parse(selector).unwrap()))
}

fn external(metric: &str) -> Demand {
    Demand::External(ExternalDemand {
        namespace: "shop".to_owned(),
        metric: metric.to_owned(),
        selector: Selector::default(),
    })
}

fn custom_answer(answer: &Answer) -> &CustomAnswer {
    let Answer::Custom(answer) = answer else { panic!("{answer:?}") };
    answer
}

fn external_answer(answer: &Answer) -> &ExternalAnswer {
    let Answer::External(answer) = answer else { panic!("{answer:?}") };
    answer
}

/// Name or labels, and the value, of each item of the answer to a demand.
async fn values(engine: &FakeEngine, demand: &Demand) -> Result<Vec<(String, String)>, Error> {
    let evaluation = engine.answer(demand).await?;
    Ok(match &evaluation.answer {
        Answer::Custom(answer) => answer
            .values
            .iter()
            .map(|item| (item.name.to_string(), item.value.to_string()))
            .collect(),
        Answer::External(answer) => answer
            .values
            .iter()
            .map(|item| {
                let labels: Vec<_> =
                    item.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
                (labels.join(","), item.value.to_string())
            })
            .collect(),
        Answer::Usage(answer) => panic!("{answer:?}"),
    })
}

async fn message(engine: &FakeEngine, demand: &Demand) -> String {
    engine.answer(demand).await.unwrap_err().to_string()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}
