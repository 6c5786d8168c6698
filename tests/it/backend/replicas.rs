//! Which replica of a backend answers, and what is answered when none can: a table of faults.

use std::time::Duration;

use futures_util::future::join_all;
use plimsoll::engine::ports::{Backend as _, Fault, Route};
use plimsoll::model::backend::Tenant;
use plimsoll::model::value::QueryResult;
use plimsoll::prometheus::{Backends, Definition, Settings};
use plimsoll::telemetry::metrics::Metrics;
use serde_json::json;

use crate::support::plimsoll::wait_until;
use crate::support::real_prometheus::RealPrometheus;

use super::{Answer, FakePrometheus, now};

/// What replicas are asked to be compared.
const PROBE: &str = "max(timestamp(up) and up == 1)";

/// How long a question may take.
const DEADLINE: Duration = Duration::from_millis(300);

/// A fake that answers everything with a value, and whose newest sample is of some second.
async fn replica(value: &str, newest: &str) -> FakePrometheus {
    let fake = FakePrometheus::start().await;
    fake.answer(PROBE, Answer::vector(&[(json!({}), 0.0, newest)]));
    fake.answer_all(Answer::scalar(0.0, value));
    fake
}

/// The same, which is at fault with everything.
async fn faulty(fault: &Answer) -> FakePrometheus {
    let fake = FakePrometheus::start().await;
    fake.answer_all(fault.clone());
    fake
}

fn definition(replicas: &[&FakePrometheus]) -> Definition {
    let settings =
        |fake: &&FakePrometheus| Settings { deadline: DEADLINE, ..Settings::new(fake.url()) };
    Definition::new("b", replicas.iter().map(settings).collect())
}

fn backends(definition: Definition) -> Backends {
    Backends::new(vec![definition], &Metrics::new()).unwrap()
}

async fn ask_for(backends: &Backends, namespace: Option<&str>) -> Result<f64, Fault> {
    let namespace = namespace.map(Into::into);
    let route = Route { backend: "b".into(), namespace, accept_partial: false };
    match backends.query(&route, "q", now()).await {
        Ok(QueryResult::Scalar(point)) => Ok(point.value),
        Ok(QueryResult::Vector(samples)) => Ok(samples[0].point.value),
        Err(error) => Err(*error.fault),
    }
}

async fn ask(backends: &Backends) -> Result<f64, Fault> {
    ask_for(backends, None).await
}

/// How often something else than the probe was asked.
fn asked(fake: &FakePrometheus) -> usize {
    fake.requests().iter().filter(|request| request.parameter("query") != Some(PROBE)).count()
}

fn throttled() -> Answer {
    let headers = vec![("retry-after", "30".to_owned())];
    Answer::Whole { status: 429, headers, body: "slow down".into() }
}

/// Each fault, what is said where there is no other replica, and whether the backend is left alone
/// after it has come six times.
fn faults() -> Vec<(&'static str, Answer, &'static str, bool)> {
    let partial = json!({"status": "success", "warnings": ["store-1 is gone"],
        "data": {"resultType": "vector", "result": []}});
    let wrong = json!({"status": "success", "data": {"resultType": "vector",
        "result": [{"metric": {}, "value": [0, "many"]}]}});
    vec![
        ("down", Answer::HangUp, "Prometheus cannot be reached: ", true),
        ("slow", Answer::Stall, "Prometheus did not answer within 300ms", true),
        ("half", Answer::StallAfter("{".into()), "the answer of Prometheus was not complete", true),
        ("broken", Answer::BreakAfter("{".into()), "Prometheus cannot be reached: ", true),
        ("proxy", Answer::text(503, "no upstream"), "Prometheus answered 503 Service", true),
        ("page", Answer::text(200, "<html>"), "the answer of Prometheus cannot be used", false),
        ("wrong", Answer::json(200, &wrong), "the answer of Prometheus cannot be used", false),
        ("error", Answer::error(500, "internal", "x"), "Prometheus answered 500 internal", false),
        ("partial", Answer::json(200, &partial), "the answer of Prometheus is partial", false),
        ("throttled", throttled(), "Prometheus answered 429 Too Many Requests: slow", true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_fault_is_named_and_what_fails_as_a_whole_is_left_alone() {
    let checked = faults().into_iter().map(async |(name, fault, text, is_left_alone)| {
        let fake = faulty(&fault).await;
        let backends = backends(definition(&[&fake]));
        let first = ask(&backends).await.unwrap_err().to_string();
        assert!(first.starts_with(text), "{name}: {first}");
        for _ in 0..4 {
            ask(&backends).await.unwrap_err();
        }
        let before = asked(&fake);
        let sixth = ask(&backends).await.unwrap_err();
        assert_eq!(matches!(sixth, Fault::Suspended { .. }), is_left_alone, "{name}: {sixth}");
        assert_eq!(asked(&fake) == before, is_left_alone, "{name}");
        assert!(sixth.to_string().contains(text), "{name}: {sixth}");
    });
    join_all(checked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_any_fault_at_one_replica_the_other_answers() {
    let checked = faults().into_iter().map(async |(name, fault, ..)| {
        let (first, second) = (faulty(&fault).await, replica("2", "1000").await);
        let backends = backends(definition(&[&first, &second]));
        for _ in 0..3 {
            assert_eq!(ask(&backends).await, Ok(2.0), "{name}");
        }
    });
    join_all(checked).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_fails_between_two_probes_is_asked_of_the_other_replica_at_once() {
    let (first, second) = (replica("1", "1000").await, replica("2", "1000").await);
    let metrics = Metrics::new();
    let backends = Backends::new(vec![definition(&[&first, &second])], &metrics).unwrap();
    assert_eq!(ask(&backends).await, Ok(1.0));
    for fault in [Answer::HangUp, Answer::BreakAfter("{".into()), Answer::text(502, "x")] {
        first.answer_all(fault);
        assert_eq!(ask(&backends).await, Ok(2.0));
    }
    first.answer_all(Answer::scalar(0.0, "1"));
    assert_eq!(ask(&backends).await, Ok(1.0));
    // What the query itself is to blame for is no better elsewhere.
    first.answer_all(Answer::error(422, "execution", "x"));
    assert!(matches!(ask(&backends).await, Err(Fault::Refused { .. })));
    let counted = metrics.encode();
    assert!(counted.contains("plimsoll_backend_failovers_total{backend=\"b\"} 3\n"), "{counted}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_replica_is_not_asked_even_where_it_is_the_only_one_that_answers() {
    let (stale, fresh) = (replica("1", "1000").await, replica("2", "1091").await);
    let backends = backends(definition(&[&stale, &fresh]));
    assert_eq!(ask(&backends).await, Ok(2.0));
    fresh.answer_all(Answer::HangUp);
    assert!(matches!(ask(&backends).await, Err(Fault::Unreachable(_))));
    fresh.answer(PROBE, Answer::HangUp);
    backends.probe().await;
    assert!(matches!(ask(&backends).await, Err(Fault::Unreachable(_))));
    assert_eq!(asked(&stale), 0);
    // It has caught up.
    stale.answer(PROBE, Answer::vector(&[(json!({}), 0.0, "1092")]));
    backends.probe().await;
    assert_eq!(ask(&backends).await, Ok(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_without_any_data_is_stale() {
    let (empty, full) = (replica("1", "1000").await, replica("2", "1000").await);
    empty.answer(PROBE, Answer::vector(&[]));
    assert_eq!(ask(&backends(definition(&[&empty, &full]))).await, Ok(2.0));
    // Where none has `up`, nothing can be compared.
    full.answer(PROBE, Answer::vector(&[]));
    assert_eq!(ask(&backends(definition(&[&empty, &full]))).await, Ok(1.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_is_back_is_asked_again_after_a_second() {
    let fake = faulty(&Answer::HangUp).await;
    let metrics = Metrics::new();
    let backends = Backends::new(vec![definition(&[&fake])], &metrics).unwrap();
    let open = |is: u8| {
        let peer = fake.url().authority().to_owned();
        let line = format!("plimsoll_backend_breaker_open{{backend=\"b\",peer=\"{peer}\"}} {is}\n");
        metrics.encode().contains(&line)
    };
    for _ in 0..5 {
        assert!(open(0));
        ask(&backends).await.unwrap_err();
    }
    assert!(open(1));
    fake.answer_all(Answer::scalar(0.0, "1"));
    assert!(matches!(ask(&backends).await, Err(Fault::Suspended { .. })));
    wait_until("it is asked again", async || ask(&backends).await == Ok(1.0)).await;
    assert!(open(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_flaps_is_asked_each_time() {
    let fake = replica("1", "1000").await;
    let backends = backends(definition(&[&fake]));
    for _ in 0..20 {
        fake.answer_all(Answer::HangUp);
        assert!(matches!(ask(&backends).await, Err(Fault::Unreachable(_))));
        fake.answer_all(Answer::scalar(0.0, "1"));
        assert_eq!(ask(&backends).await, Ok(1.0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_namespace_is_a_tenant_and_one_is_held_back_without_the_others() {
    let fake = faulty(&throttled()).await;
    let tenant = Tenant {
        header: "X-Scope-OrgID".to_owned(),
        value: "platform".to_owned(),
        from_namespace: true,
    };
    let definition = Definition { tenant: Some(tenant), ..definition(&[&fake]) };
    let backends = backends(definition);
    assert!(matches!(ask_for(&backends, Some("shop")).await, Err(Fault::Throttled { .. })));
    fake.answer_all(Answer::scalar(0.0, "1"));
    assert!(matches!(ask_for(&backends, Some("shop")).await, Err(Fault::Suspended { .. })));
    assert_eq!(ask_for(&backends, Some("bank")).await, Ok(1.0));
    assert_eq!(ask(&backends).await, Ok(1.0));
    let requests = fake.requests();
    let tenants: Vec<_> = requests.iter().map(|request| request.header("x-scope-orgid")).collect();
    assert_eq!(tenants, [Some("shop"), Some("bank"), Some("platform")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_changes_is_built_anew() {
    let fake = faulty(&Answer::HangUp).await;
    let metrics = Metrics::new();
    let same = definition(&[&fake]);
    let other = Definition { name: "other".into(), ..same.clone() };
    let backends = Backends::new(vec![same.clone(), other], &metrics).unwrap();
    for _ in 0..5 {
        ask(&backends).await.unwrap_err();
    }
    backends.replace(vec![same.clone()], &metrics).unwrap();
    assert!(matches!(ask(&backends).await, Err(Fault::Suspended { .. })));
    assert!(!metrics.encode().contains("backend=\"other\""));
    let changed = Definition { max_lag: Duration::from_secs(1), ..same };
    backends.replace(vec![changed], &metrics).unwrap();
    assert!(matches!(ask(&backends).await, Err(Fault::Unreachable(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_real_ones_the_one_that_scrapes_answers() {
    let target = |value: u8| Answer::text(200, format!("x {value}\n"));
    let (one, two) = (faulty(&target(1)).await, faulty(&target(2)).await);
    let scraping = |target: &FakePrometheus| {
        RealPrometheus::start_scraping(target.url().socket_addrs(|| None).unwrap()[0])
    };
    let (Some(mut first), Some(second)) = (scraping(&one), scraping(&two)) else { return };
    let settings = [&first, &second].map(|prometheus| Settings::new(prometheus.url())).to_vec();
    let max_lag = Duration::from_secs(3);
    let backends = backends(Definition { max_lag, ..Definition::new("b", settings) });
    let answers = async |expected: f64| {
        let what = format!("{expected} is the answer");
        wait_until(&what, async || {
            backends.probe().await;
            let route = Route { backend: "b".into(), namespace: None, accept_partial: false };
            let answer = backends.query(&route, "max(x)", jiff::Timestamp::now()).await;
            matches!(answer, Ok(QueryResult::Vector(samples))
                if samples.first().is_some_and(|sample| sample.point.value.eq(&expected)))
        })
        .await;
    };
    answers(1.0).await;
    one.answer_all(Answer::text(500, "no more"));
    answers(2.0).await;
    one.answer_all(target(1));
    answers(1.0).await;
    first.stop();
    answers(2.0).await;
}
