//! Lists the series of each rule at an interval and builds the catalog of what is served.
//!
//! Each distinct series query is listed once, however many rules have it. One that fails or finds
//! nothing harms only itself: what was found before stays until it has not been seen for twice
//! the maximum age, then it is gone, which is logged and counted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::catalog::{Catalog, Discovered};
use crate::engine::ports::{Backend, BackendError, Fault, Inventory, Route};
use crate::model::object::Kinds;
use crate::model::value::SeriesNames;
use crate::promql::rule::Rule;
use crate::signals::signal::Signal;
use crate::telemetry::metrics::Metrics;

/// How many listings are asked for at once.
const CONCURRENT_LISTINGS: usize = 4;

/// How often the inventory is asked whether its kinds have changed.
const KINDS_POLL_INTERVAL: Duration = Duration::from_secs(5);

/// How often, and how far back.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// From one listing to the next: `--metrics-relist-interval`.
    pub relist_interval: Duration,
    /// Series with a sample in this span before now are listed: `--metrics-max-age`.
    pub max_age: Duration,
}

/// What a rule lists, and of whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SeriesQuery {
    backend: Arc<str>,
    selector: String,
}

impl SeriesQuery {
    fn of(rule: &Rule) -> Self {
        Self { backend: Arc::clone(&rule.backend), selector: rule.series_query.clone() }
    }

    /// A list that lacks something does no harm: what was found before stays for a while.
    fn route(&self) -> Route {
        Route { backend: Arc::clone(&self.backend), namespace: None, accept_partial: true }
    }
}

/// What is known of the series of one query.
#[derive(Debug, Default)]
struct Listing {
    /// By metric: the label names, and when it was last seen.
    metrics: BTreeMap<String, (BTreeSet<String>, Instant)>,
    /// Why there has never been a list; `None` once there has, or once there can be none.
    never_listed: Option<String>,
    /// The failure that was last told, until a listing succeeds.
    told: Option<BackendError>,
}

/// How a round of listings ended.
enum Listed {
    /// Every rule's series were listed, or failed to be.
    All,
    /// The configuration has changed.
    Interrupted,
}

/// Linked signals, in the order of precedence: of two with the same name in the same place the
/// first wins.
pub type Signals = Arc<Vec<Arc<Signal>>>;

/// The discovery loop.
pub struct Discovery<B, I> {
    engine: Arc<Engine<B, I>>,
    config: watch::Receiver<Arc<Config>>,
    signals: watch::Receiver<Signals>,
    schedule: Schedule,
    metrics: Arc<Metrics>,
    listings: HashMap<SeriesQuery, Listing>,
    told_problems: HashSet<String>,
    /// The paths of the rules that have counters.
    counted_rules: HashSet<String>,
}

impl<B: Backend, I: Inventory> Discovery<B, I> {
    /// A loop that has not listed anything yet. The signals need no listing.
    pub fn new(
        engine: Arc<Engine<B, I>>,
        config: watch::Receiver<Arc<Config>>,
        signals: watch::Receiver<Signals>,
        schedule: Schedule,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            engine,
            config,
            signals,
            schedule,
            metrics,
            listings: HashMap::new(),
            told_problems: HashSet::new(),
            counted_rules: HashSet::new(),
        }
    }

    /// Lists at each interval, and at once when the configuration changes, for as long as there is
    /// somebody who could change it. Tells `first_done` when every rule has been listed or has
    /// failed to be for the first time.
    pub async fn run(mut self, first_done: oneshot::Sender<()>) {
        // Until the first list is in, a request is told that its metric is not discovered yet.
        let config = self.config.borrow().clone();
        self.publish(&config);
        let mut first_done = Some(first_done);
        loop {
            if let Listed::Interrupted = self.relist().await {
                continue;
            }
            if let Some(first_done) = first_done.take() {
                // Nobody waits any more where it took too long.
                let _nobody = first_done.send(());
            }
            if !self.wait().await {
                return;
            }
        }
    }

    /// Waits for the next listing; false where there will be none.
    async fn wait(&mut self) -> bool {
        let next = Instant::now() + self.schedule.relist_interval;
        let mut kinds = self.engine.inventory().kinds();
        let mut polls = tokio::time::interval(KINDS_POLL_INTERVAL);
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next) => return true,
                changed = self.config.changed() => return changed.is_ok(),
                Ok(()) = self.signals.changed() => {
                    let config = self.config.borrow().clone();
                    self.publish(&config);
                }
                _ = polls.tick() => {
                    let current = self.engine.inventory().kinds();
                    if !Arc::ptr_eq(&kinds, &current) {
                        kinds = current;
                        let config = self.config.borrow().clone();
                        self.publish(&config);
                    }
                }
            }
        }
    }

    /// Lists the series of every rule, unless the configuration changes meanwhile: a change is in
    /// force at once, however slow a listing is.
    async fn relist(&mut self) -> Listed {
        let config = self.config.borrow_and_update().clone();
        let queries: HashSet<_> = all_rules(&config).map(|rule| SeriesQuery::of(rule)).collect();
        self.listings.retain(|query, _| queries.contains(query));
        self.forget_rules(&config);
        self.publish(&config);
        let engine = Arc::clone(&self.engine);
        let since = since(self.schedule.max_age);
        let mut answers = stream::iter(queries)
            .map(|query| {
                let engine = Arc::clone(&engine);
                async move {
                    let backend = engine.backend();
                    let answer = backend.series(&query.route(), &query.selector, since).await;
                    (query, answer)
                }
            })
            .buffer_unordered(CONCURRENT_LISTINGS);
        loop {
            let (query, answer) = tokio::select! {
                answer = answers.next() => match answer {
                    Some(answer) => answer,
                    None => break,
                },
                Ok(()) = self.config.changed() => {
                    self.config.mark_changed();
                    return Listed::Interrupted;
                }
                Ok(()) = self.signals.changed() => {
                    self.publish(&config);
                    continue;
                }
            };
            let is_news =
                self.listings.get(&query).is_none_or(|known| known.never_listed.is_some());
            self.take(&config, &query, answer);
            // A metric that is new need not wait for the listings that are slow.
            if is_news {
                self.publish(&config);
            }
        }
        self.publish(&config);
        Listed::All
    }

    /// Ends the counters of rules that are no longer configured.
    fn forget_rules(&mut self, config: &Config) {
        let rules: HashSet<String> = all_rules(config).map(|rule| rule.path.clone()).collect();
        for gone in self.counted_rules.difference(&rules) {
            self.metrics.discovery_forgotten(gone);
        }
        self.counted_rules = rules;
    }

    fn take(
        &mut self,
        config: &Config,
        query: &SeriesQuery,
        answer: Result<SeriesNames, BackendError>,
    ) {
        let now = Instant::now();
        let listing = self.listings.entry(query.clone()).or_insert_with(|| Listing {
            never_listed: Some("not listed yet".to_owned()),
            ..Listing::default()
        });
        let listed = match answer {
            Ok(series) => {
                let listed = series.len();
                listing.never_listed = None;
                let seen = series.into_iter().map(|(name, labels)| (name, (labels, now)));
                listing.metrics.extend(seen);
                Ok(listed)
            }
            Err(error) => {
                if is_refusal(&error) {
                    // No later listing will find what the backend does not understand.
                    listing.never_listed = None;
                } else if listing.never_listed.is_some() {
                    listing.never_listed = Some(error.to_string());
                }
                Err(error)
            }
        };
        listing.tell(&query.selector, listed.as_ref().err());
        let known = listing.metrics.len();
        let lifetime = self.schedule.max_age * 2;
        listing.metrics.retain(|_, (_, seen)| now.duration_since(*seen) <= lifetime);
        let left = listing.metrics.len();
        for rule in all_rules(config).filter(|rule| SeriesQuery::of(rule) == *query) {
            match &listed {
                Ok(listed) => {
                    self.metrics.discovery_succeeded(&rule.path, *listed, left, Timestamp::now());
                }
                Err(_) => self.metrics.discovery_failed(&rule.path),
            }
            if left < known {
                self.metrics.discovery_expired(&rule.path, known - left, left);
            }
        }
    }

    fn publish(&mut self, config: &Config) {
        let kinds = self.engine.inventory().kinds();
        let catalog = self.catalog(config, &kinds);
        for problem in catalog.problems() {
            if self.told_problems.insert(problem.clone()) {
                warn!("{problem}");
            }
        }
        self.told_problems.retain(|told| catalog.problems().contains(told));
        let before = self.engine.catalog().len();
        if catalog.len() != before {
            info!(metrics = catalog.len(), before, "the served metrics have changed");
        }
        self.engine.publish_catalog(catalog);
    }

    fn catalog(&self, config: &Config, kinds: &Arc<Kinds>) -> Catalog {
        // Rules often share a query; its names are copied once.
        let mut names: HashMap<&SeriesQuery, Arc<SeriesNames>> = HashMap::new();
        let mut discovered = |rule: &Arc<Rule>| {
            let series = match self.listings.get_key_value(&SeriesQuery::of(rule)) {
                None => Err("not listed yet".to_owned()),
                Some((_, Listing { never_listed: Some(reason), .. })) => Err(reason.clone()),
                Some((query, listing)) => {
                    Ok(Arc::clone(names.entry(query).or_insert_with(|| Arc::new(listing.names()))))
                }
            };
            Discovered { rule: Arc::clone(rule), series }
        };
        let rules: Vec<_> = config.rules.iter().map(&mut discovered).collect();
        let external_rules: Vec<_> = config.external_rules.iter().map(discovered).collect();
        Catalog::build(rules, external_rules, kinds)
            .with_resource_rules(config.resource_rules.clone())
            .with_signals(&self.signals.borrow())
    }
}

impl Listing {
    /// Logs a failure when it begins or becomes another one, and its end.
    fn tell(&mut self, series_query: &str, failure: Option<&BackendError>) {
        let kind = |error: &BackendError| std::mem::discriminant(&*error.fault);
        match (&self.told, failure) {
            (told, Some(error)) if told.as_ref().map(kind) != Some(kind(error)) => {
                let metrics = self.metrics.len();
                warn!(series_query, %error, metrics, "series cannot be listed; the last list stays");
            }
            (Some(_), None) => info!(series_query, "series can be listed again"),
            _ => {}
        }
        self.told = failure.cloned();
    }

    fn names(&self) -> SeriesNames {
        self.metrics.iter().map(|(name, (labels, _))| (name.clone(), labels.clone())).collect()
    }
}

fn all_rules(config: &Config) -> impl Iterator<Item = &Arc<Rule>> {
    config.rules.iter().chain(&config.external_rules)
}

/// Whether the backend does not understand the series query, as opposed to a fault that may pass.
fn is_refusal(error: &BackendError) -> bool {
    matches!(&*error.fault, Fault::Refused { status, .. } if status.starts_with("400"))
}

fn since(max_age: Duration) -> Timestamp {
    jiff::SignedDuration::try_from(max_age)
        .ok()
        .and_then(|age| Timestamp::now().checked_sub(age).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}
