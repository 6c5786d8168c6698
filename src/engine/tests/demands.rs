//! How often the backend is asked, and until when.

use futures_util::future::join_all;
use tokio::time::{Instant, advance, sleep};

use super::*;

const QUERY: &str = r#"requests{namespace="shop",pod="web-0"}"#;

fn answering(value: f64) -> FakeEngine {
    let engine = engine();
    engine.backend().answer(QUERY, vector(&[sample(&[("pod", "web-0")], value)]));
    engine
}

/// Until the next refresh is done.
async fn one_refresh() {
    sleep(REFRESH + Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn requests_for_the_same_thing_share_one_evaluation() {
    let engine = answering(1.5);
    *engine.backend().delay.lock().unwrap() = Duration::from_secs(1);
    let demand = pod("web-0");
    let answers = join_all((0..50).map(|_| values(&engine, &demand))).await;
    assert_eq!(answers, vec![Ok(pairs(&[("web-0", "1500m")])); 50]);
    assert_eq!((engine.backend().asked(), engine.demands().len()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_refreshed_at_each_interval_and_read_without_a_query() {
    let engine = answering(1.0);
    let demand = pod("web-0");
    assert_eq!(values(&engine, &demand).await, Ok(pairs(&[("web-0", "1")])));
    engine.backend().answer(QUERY, vector(&[sample(&[("pod", "web-0")], 2.0)]));
    advance(REFRESH.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(values(&engine, &demand).await, Ok(pairs(&[("web-0", "1")])));
    assert_eq!(engine.backend().asked(), 1);
    sleep(Duration::from_millis(2)).await;
    assert_eq!(values(&engine, &demand).await, Ok(pairs(&[("web-0", "2")])));
    assert_eq!(engine.backend().asked(), 2);
    sleep(REFRESH * 10).await;
    assert_eq!(engine.backend().asked(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_demand_lapses_five_minutes_after_the_last_request() {
    let engine = answering(1.0);
    engine.answer(&pod("web-0")).await.unwrap();
    sleep(Duration::from_mins(4)).await;
    engine.answer(&pod("web-0")).await.unwrap();
    sleep(Duration::from_mins(5)).await;
    assert_eq!(engine.demands().len(), 1, "it was asked for five minutes ago");
    sleep(REFRESH * 2).await;
    assert_eq!(engine.demands().len(), 0);

    let asked = engine.backend().asked();
    sleep(Duration::from_mins(10)).await;
    assert_eq!(engine.backend().asked(), asked, "nobody refreshes it any more");
    assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "1")])));
    assert_eq!(engine.backend().asked(), asked + 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_refresh_interval_each_request_asks() {
    let engine = engine_with(FakeInventory::default(), CONFIG, Duration::ZERO);
    engine.backend().answer(QUERY, vector(&[sample(&[("pod", "web-0")], 1.0)]));
    for _ in 0..3 {
        assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "1")])));
    }
    assert_eq!((engine.backend().asked(), engine.demands().len()), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_answer_is_not_waited_for_and_there_later() {
    let engine = answering(1.0);
    *engine.backend().delay.lock().unwrap() = Duration::from_secs(3);
    let began = Instant::now();
    assert_eq!(
        message(&engine, &pod("web-0")).await,
        "the first evaluation takes longer than 2s; it goes on, ask again"
    );
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    sleep(Duration::from_millis(1_001)).await;
    assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "1")])));
    assert_eq!(engine.backend().asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_error_takes_the_place_of_the_last_answer_and_goes_with_the_next() {
    let engine = answering(1.0);
    engine.answer(&pod("web-0")).await.unwrap();
    let refused = failed(Fault::Refused { status: "422".to_owned(), message: "no".to_owned() });
    engine.backend().answer(QUERY, Err(refused));
    one_refresh().await;
    assert_eq!(
        message(&engine, &pod("web-0")).await,
        format!("backend default: Prometheus answered 422: no (asked by rules[0]: {QUERY})")
    );
    engine.backend().answer(QUERY, vector(&[sample(&[("pod", "web-0")], 3.0)]));
    one_refresh().await;
    assert_eq!(values(&engine, &pod("web-0")).await, Ok(pairs(&[("web-0", "3")])));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_serves_makes_no_demand_and_no_query() {
    let engine = engine();
    for demand in [external("dept"), object_demand("unicorns", Target::Named("x".to_owned()))] {
        engine.answer(&demand).await.unwrap_err();
    }
    assert_eq!((engine.backend().asked(), engine.demands().len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_changed_rule_is_in_force_with_the_next_refresh_and_a_removed_one_ends_the_demand() {
    let engine = answering(1.0);
    engine.answer(&pod("web-0")).await.unwrap();
    let changed = CONFIG.replacen("<<.Series>>", "2 * <<.Series>>", 1);
    let labels: &[&str] = &["namespace", "pod"];
    engine.publish_catalog(catalog(&config(&changed), &[("requests", labels)], &[]));
    one_refresh().await;
    assert_eq!(engine.backend().last_query(), format!("2 * {QUERY}"));

    engine.publish_catalog(catalog(&config(""), &[], &[]));
    one_refresh().await;
    assert_eq!(engine.demands().len(), 0);
    assert_eq!(
        message(&engine, &pod("web-0")).await,
        "no rule serves it; pods have no metric with a name like it"
    );
}
