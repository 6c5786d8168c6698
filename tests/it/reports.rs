//! What two replicas write of what both of them have to say, against a real API server where there
//! is one.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use plimsoll::cluster::events::{EventKind, EventSink, EventSubject, events};
use plimsoll::cluster::status::{Condition, Status, StatusSubject, Statuses};
use plimsoll::model::custom::CustomKind;
use serde_json::{Map, Value, json};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use crate::support::control_plane::ControlPlane;
use crate::support::plimsoll::wait_until;
use crate::tables::{create_when_served, install};

const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const SIGNALS: &str = "/apis/plimsoll.dev/v1alpha1/namespaces/default/signals";

async fn get(client: &Client, path: &str) -> Value {
    client.request(http::Request::get(path).body(Vec::new()).unwrap()).await.unwrap()
}

/// A replica that says both; whether it holds the Lease, the test says.
struct Replica {
    events: EventSink,
    statuses: Statuses,
    hold: watch::Sender<bool>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl Replica {
    fn start(client: &Client, name: &str, holds: bool) -> Self {
        let (hold, held) = watch::channel(holds);
        let (events, writer) = events(client.clone(), name.to_owned());
        let statuses = Statuses::default();
        let write = statuses.clone().run(client.clone(), held.clone());
        let tasks = [tokio::spawn(writer.run(held)), tokio::spawn(write)];
        Self { events, statuses, hold, _tasks: tasks.map(AbortOnDropHandle::new) }
    }
}

/// Reason, note and series of each of our Events.
async fn told(client: &Client) -> Vec<String> {
    let list = get(client, EVENTS).await;
    let ours = list["items"].as_array().unwrap().iter();
    let ours = ours.filter(|event| event["reportingController"] == "plimsoll.dev/plimsoll");
    let line = |event: &Value| {
        let text = |key: &str| event[key].as_str().unwrap().to_owned();
        let count = event["series"]["count"].as_i64().unwrap_or(1);
        let regarding = event["regarding"]["name"].as_str().unwrap();
        format!("{} {} {regarding} {} {count}", text("type"), text("reason"), text("note"))
    };
    let mut lines: Vec<_> = ours.map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn of_two_replicas_the_holder_writes_each_event_once_and_the_next_repeats_none() {
    let name = "of_two_replicas_the_holder_writes_each_event_once_and_the_next_repeats_none";
    let Some(plane) = ControlPlane::start(name).await else { return };
    let client = plane.client().await;
    let (one, other) =
        (Replica::start(&client, "one", true), Replica::start(&client, "other", false));
    let subject = EventSubject {
        api_version: "autoscaling/v2".to_owned(),
        kind: "HorizontalPodAutoscaler".to_owned(),
        namespace: "default".to_owned(),
        name: "web".to_owned(),
        uid: "6f9d".to_owned(),
    };
    for replica in [&one, &other] {
        let warn = |message| {
            replica.events.tell(&subject, "MetricFailed", message, EventKind::Warning);
        };
        warn("the backend is down");
        warn("the backend is down");
        warn("the query is too large");
        replica.events.tell(&subject, "MetricServed", &"x".repeat(2_000), EventKind::Normal);
    }
    let expected = [
        format!("Normal MetricServed web {} 1", "x".repeat(1_024)),
        "Warning MetricFailed web the backend is down 1".to_owned(),
        "Warning MetricFailed web the query is too large 1".to_owned(),
    ];
    wait_until("the events are there", async || told(&client).await == expected).await;

    // What the holder may not have written before it died is written by the next, which knows by
    // the names what is there.
    one.hold.send_replace(false);
    other.hold.send_replace(true);
    other.events.tell(&subject, "MetricGone", "nothing serves it", EventKind::Warning);
    wait_until("the last one is there", async || told(&client).await.len() == 4).await;
    let after: Vec<_> = told(&client).await;
    assert!(expected.iter().all(|line| after.contains(line)), "{after:?}");

    // The same again later is counted up: the first holder has said something else in between.
    other.events.tell(&subject, "MetricFailed", "the backend is down", EventKind::Warning);
    let counted = "Warning MetricFailed web the backend is down 2".to_owned();
    wait_until("it is counted", async || told(&client).await.contains(&counted)).await;
}

fn status(ready: bool, value: i64) -> Status {
    let condition = Condition {
        type_: "Ready",
        status: Some(ready),
        reason: "Evaluated",
        message: "it is evaluated".to_owned(),
    };
    let values = Map::from_iter([("value".to_owned(), json!(value))]);
    Status { generation: 1, conditions: vec![condition], values }
}

#[tokio::test]
async fn of_two_replicas_the_holder_writes_a_status_once_and_another_object_gets_none() {
    let name = "of_two_replicas_the_holder_writes_a_status_once_and_another_object_gets_none";
    let Some(plane) = ControlPlane::start(name).await else { return };
    let client = plane.client().await;
    install(&client, "signals", "Signal").await;
    let signal = json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Signal",
        "metadata": {"name": "rps"}, "spec": {"metric": "rps"},
    });
    create_when_served(&client, SIGNALS, &signal).await;
    let path = format!("{SIGNALS}/rps");
    let before = get(&client, &path).await;
    let subject = |uid: &str| StatusSubject {
        kind: CustomKind::Signal,
        namespace: Arc::from("default"),
        name: Arc::from("rps"),
        uid: Arc::from(uid),
    };
    let ours = subject(before["metadata"]["uid"].as_str().unwrap());
    let (one, other) =
        (Replica::start(&client, "one", true), Replica::start(&client, "other", false));
    for replica in [&one, &other] {
        replica.statuses.report(&subject("another"), status(false, 0));
        replica.statuses.report(&ours, status(true, 1));
    }
    let value = async || get(&client, &path).await["status"]["value"].clone();
    wait_until("the status is there", async || value().await == 1).await;
    let first = get(&client, &path).await;
    assert_eq!(first["status"]["conditions"][0]["status"], "True");
    assert_eq!(first["metadata"]["generation"], 1);

    // The same again, by the next holder, is no write; a condition that turns is one at once.
    one.hold.send_replace(false);
    other.hold.send_replace(true);
    tokio::time::sleep(Duration::from_secs(3)).await;
    let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
    assert_eq!(version(&get(&client, &path).await), version(&first));
    other.statuses.report(&ours, status(false, 2));
    wait_until("the condition has turned", async || value().await == 2).await;
    assert_eq!(get(&client, &path).await["status"]["conditions"][0]["status"], "False");
}
