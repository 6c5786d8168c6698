//! What discovery keeps, and for how long.

use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::*;
use crate::engine::catalog::Source;
use crate::engine::discovery::{Discovery, Schedule};
use crate::telemetry::metrics::Metrics;

const RELIST: Duration = Duration::from_mins(1);
const MAX_AGE: Duration = Duration::from_mins(2);

const TWO_RULES: &str = "
rules:
- seriesQuery: good
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>)
- seriesQuery: other
  resources: {template: <<.Resource>>}
  metricsQuery: sum(<<.Series>>)
";

const GOOD: &[(&str, &[&str])] = &[("good", &["namespace", "pod"])];
const OTHER: &[(&str, &[&str])] = &[("other", &["namespace", "pod"])];

struct Running {
    engine: FakeEngine,
    config: watch::Sender<Arc<Config>>,
    metrics: Arc<Metrics>,
    task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// Starts the loop and waits for the first listing.
    async fn start(text: &str, script: impl FnOnce(&FakeBackend)) -> Self {
        let backend = FakeBackend::default();
        script(&backend);
        let engine = {
            let settings = Settings { refresh_interval: REFRESH, merge: false };
            Arc::new(Engine::new(backend, FakeInventory::default(), settings))
        };
        let (sender, receiver) = watch::channel(Arc::new(config(text)));
        let metrics = Arc::new(Metrics::new());
        let schedule = Schedule { relist_interval: RELIST, max_age: MAX_AGE };
        let (engine_, metrics_) = (Arc::clone(&engine), Arc::clone(&metrics));
        let (done, listed) = oneshot::channel();
        let (_, signals) = watch::channel(Arc::default());
        let run = Discovery::new(engine_, receiver, signals, schedule, metrics_).run(done);
        let task = tokio::spawn(run).abort_handle();
        listed.await.unwrap();
        Self { engine, config: sender, metrics, task }
    }

    /// `resource/metric` and external names.
    fn served(&self) -> Vec<String> {
        let catalog = self.engine.catalog();
        let custom = catalog
            .custom_metrics()
            .map(|(metric, kind)| format!("{}/{metric}", kind.group_resource()));
        custom.chain(catalog.external_metrics().map(str::to_owned)).collect()
    }

    fn counted(&self, line: &str) -> bool {
        self.metrics.encode().lines().any(|other| other == line)
    }
}

fn down() -> BackendError {
    failed(Fault::Unreachable("connection refused".to_owned()))
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_cannot_be_listed_harms_only_itself() {
    let running = Running::start(TWO_RULES, |backend| {
        backend.list("good", Ok(GOOD));
        backend.list("other", Err(down()));
    })
    .await;
    assert_eq!(running.served(), ["namespaces/good", "pods/good"]);
    assert_eq!(
        running.engine.catalog().undiscovered().custom,
        ["rules[1]: backend default: Prometheus cannot be reached: connection refused"]
    );
    // Whether it exists cannot be told yet.
    let unknown = message(&running.engine, &unknown_of_pods()).await;
    assert_eq!(
        unknown,
        "the series of some rules could not be listed yet: rules[1]: backend default: Prometheus cannot be \
         reached: connection refused"
    );

    running.engine.backend().list("other", Ok(OTHER));
    sleep(RELIST + Duration::from_millis(1)).await;
    assert_eq!(running.served().len(), 4);
    assert!(running.engine.catalog().undiscovered().custom.is_empty());
}

/// A metric of pods that no rule serves.
fn unknown_of_pods() -> Demand {
    match pod("web-0") {
        Demand::Custom(demand) => {
            Demand::Custom(CustomDemand { metric: "anything".to_owned(), ..demand })
        }
        other => other,
    }
}

#[tokio::test(start_paused = true)]
async fn a_series_query_that_the_backend_does_not_understand_hides_no_suggestion() {
    let refused = failed(Fault::Refused {
        status: "400 bad_data".to_owned(),
        message: "parse error".to_owned(),
    });
    let running = Running::start(TWO_RULES, |backend| {
        backend.list("good", Ok(GOOD));
        backend.list("other", Err(refused.clone()));
    })
    .await;
    assert_eq!(
        message(&running.engine, &unknown_of_pods()).await,
        "no rule serves it; pods have no metric with a name like it"
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_found_outlives_failed_and_empty_listings_for_twice_the_maximum_age() {
    let running = Running::start(TWO_RULES, |backend| {
        backend.list("good", Ok(GOOD));
        backend.list("other", Ok(OTHER));
    })
    .await;
    let both = ["namespaces/good", "pods/good", "namespaces/other", "pods/other"];
    assert_eq!(running.served(), both);

    running.engine.backend().list("good", Err(down()));
    running.engine.backend().list("other", Ok(&[]));
    sleep(MAX_AGE * 2 + Duration::from_secs(1)).await;
    assert_eq!(running.served(), both, "the last listing may find them up to twice the age old");
    sleep(RELIST).await;
    assert_eq!(running.served(), [""; 0]);
    for rule in ["rules[0]", "rules[1]"] {
        let line =
            format!("plimsoll_discovery_outcomes_total{{rule=\"{rule}\",outcome=\"expired\"}} 1");
        assert!(running.counted(&line), "{line} is not in\n{}", running.metrics.encode());
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_configuration_is_listed_at_once() {
    let running = Running::start(TWO_RULES, |backend| {
        backend.list("good", Ok(GOOD));
        backend.list("other", Ok(OTHER));
        backend.list("new", Ok(&[("new", &["node"])]));
    })
    .await;
    let changed = TWO_RULES.replace("good", "new");
    running.config.send_replace(Arc::new(config(&changed)));
    sleep(Duration::from_millis(1)).await;
    assert_eq!(running.served(), ["nodes/new", "namespaces/other", "pods/other"]);
}

#[tokio::test(start_paused = true)]
async fn rules_with_the_same_query_share_one_listing() {
    let both = TWO_RULES.replace("seriesQuery: other", "seriesQuery: good\n  name: {as: twin}");
    let running = Running::start(&both, |backend| backend.list("good", Ok(GOOD))).await;
    assert_eq!(running.served(), ["namespaces/good", "pods/good", "namespaces/twin", "pods/twin"]);
    assert_eq!(*running.engine.backend().listed.lock().unwrap(), ["good"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_rules_that_give_one_name_the_later_is_served_and_told() {
    let text = format!(
        "{}externalRules:\n- {{seriesQuery: b, name: {{as: Depth}}, metricsQuery: one}}\n- \
         {{seriesQuery: c, name: {{as: depth}}, metricsQuery: two}}\n",
        TWO_RULES.replace("seriesQuery: other", "seriesQuery: other\n  name: {as: good}")
    );
    let running = Running::start(&text, |backend| {
        backend.list("good", Ok(&[("good", &["pod"])]));
        backend.list("other", Ok(&[("other", &["pod"])]));
        backend.list("b", Ok(&[("b", &[])]));
        backend.list("c", Ok(&[("c", &[])]));
    })
    .await;
    assert_eq!(running.served(), ["pods/good", "depth"]);
    let catalog = running.engine.catalog();
    assert_eq!(
        catalog.problems(),
        [
            "pods/good comes from series good of rules[0] and from series other of rules[1]; the \
             latter is served",
            "depth comes from series b of externalRules[0] and from series c of \
             externalRules[1]; the latter is served",
        ]
    );
    let pods = fixtures::kind("pods");
    let series = |source: Option<&Source>| match source {
        Some(Source::Series(served)) => served.series.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(series(catalog.custom(&pods, "good", Some("shop"))), "other");
    assert_eq!(series(catalog.external("depth", "shop")), "c");
}

#[tokio::test(start_paused = true)]
async fn external_names_that_kubernetes_authorizes_otherwise_are_not_served() {
    let text = "externalRules: [{seriesQuery: s, metricsQuery: q, resources: {namespaced: false}}]";
    let running = Running::start(text, |backend| {
        backend.list("s", Ok(&[("Status", &[]), ("finalize", &[]), ("statuses", &[])]));
    })
    .await;
    assert_eq!(running.served(), ["statuses"]);
    assert_eq!(running.engine.catalog().problems().len(), 2);
}
