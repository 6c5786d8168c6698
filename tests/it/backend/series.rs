//! Series listings: streamed, bounded, given up with their request.

use std::time::Duration;

use serde_json::json;

use plimsoll::engine::ports::Fault;

use super::{Answer, FakePrometheus, Settings, client, client_with, names, series};

#[tokio::test]
async fn a_listing_comes_back_as_names() {
    let fake = FakePrometheus::start().await;
    fake.answer(
        "{}",
        Answer::data(&json!([{"__name__": "up", "a": "1"}, {"__name__": "up", "b": "2"}])),
    );
    fake.answer("none", Answer::data(&json!([])));
    let client = client(Settings::new(fake.url()));
    let listings = [series(&client, "{}").await, series(&client, "none").await];
    assert_eq!(listings, [Ok(names(&[("up", &["a", "b"])])), Ok(names(&[]))]);
}

#[tokio::test]
async fn a_listing_of_many_series_is_streamed() {
    let fake = FakePrometheus::start().await;
    fake.answer("{}", Answer::ManySeries(100_000));
    let listing = series(&client(Settings::new(fake.url())), "{}").await.unwrap();
    let metrics: Vec<_> = (0..10).map(|number| format!("metric_{number}")).collect();
    assert_eq!(listing.keys().cloned().collect::<Vec<_>>(), metrics);
    for labels in listing.values() {
        let labels: Vec<_> = labels.iter().map(String::as_str).collect();
        assert_eq!(labels, ["instance", "job", "namespace", "node", "pod"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_nobody_waits_for_is_given_up() {
    let fake = FakePrometheus::start().await;
    fake.answer("endless", Answer::ManySeries(u64::MAX));
    let client = client_with(&fake, |settings| {
        settings.series_deadline = Duration::from_secs(1);
    });
    let error = series(&client, "endless").await.unwrap_err();
    let Fault::Incomplete { deadline, received } = error else { panic!("{error}") };
    assert_eq!(deadline, Duration::from_secs(1));
    assert!(received > 0);
    fake.wait_for_under_way(0).await;

    let mut listing = Box::pin(series(&client, "endless"));
    tokio::select! {
        _ = &mut listing => panic!("the fake ends"),
        () = fake.wait_for_under_way(1) => {}
    }
    drop(listing);
    fake.wait_for_under_way(0).await;
}

#[tokio::test]
async fn a_listing_of_too_many_names_is_given_up_with_the_bound() {
    let fake = FakePrometheus::start().await;
    let labels: serde_json::Map<_, _> =
        (0..10_001).map(|number| (format!("l{number}"), json!(""))).collect();
    fake.answer("{}", Answer::data(&json!([labels])));
    let error = series(&client(Settings::new(fake.url())), "{}").await;
    let bound = "it lists more than 10000 label names".to_owned();
    assert_eq!(error, Err(Fault::Malformed(bound)));
}
