//! Cases that need a control plane of their own.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use plimsoll::pki::authority::{Authority, split};
use plimsoll::pki::rotation::{Contents, Schedule};
use serde_json::json;
use tokio::time::Instant;

use super::objects::metric_of;
use super::probe::Probe;
use super::world::World;
use super::{active_hpas, deploy, statuses};
use crate::support::control_plane::Ways;

/// 100 a second.
const PERIOD: Duration = Duration::from_millis(10);

/// Asks for the metric of an application, once all replicas have it.
async fn probe(world: &World, app: &str) -> Probe {
    deploy(world, &[app]).await;
    let start = || Probe::start_each(PERIOD, format!("{}{}", world.plane.url(), metric_of(app)));
    let first = start();
    world.until("all replicas have the metric", async || first.is_well()).await;
    start()
}

/// Whoever forwards connections to the Service sees one that stays open. It has to be given up in
/// time for another, which leads elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_130_no_request_fails_where_the_aggregator_keeps_one_connection() {
    let test = "case_130_no_request_fails_where_the_aggregator_keeps_one_connection";
    let ways = Ways { routes_to_endpoints: false, ..Ways::default() };
    let Some(mut world) = World::start(test, ways).await else { return };
    let probe = probe(&world, "by-average").await;
    let before = world.replicas.connections();
    for _ in 0..2 {
        world.replicas.add().await;
        world.replicas.terminate_oldest().await;
    }
    world.until("the last answers are in", async || probe.is_well()).await;
    let opened = world.replicas.connections() - before;
    println!("{opened} connections: {}", probe.summary());
    assert_eq!(probe.failures(), 0);
    assert!((1..50).contains(&opened), "{opened}: not one for each request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_138_while_a_pod_has_no_metric_nothing_shrinks_below_the_conservative_count() {
    let test = "case_138_while_a_pod_has_no_metric";
    let Some(world) = World::start(test, Ways::default()).await else { return };
    let app = "by-pods";
    let have = async |pods: usize| {
        world.until(&format!("{pods} pods"), async || world.workload.pods(app) == pods).await;
    };
    deploy(&world, &[app]).await;
    active_hpas(&world, &[app]).await;
    world.workload.load(app, 40.0);
    have(4).await;
    // The pod without a metric is the one that stays.
    let silent = world.workload.any_pod(app);
    let cost = "controller.kubernetes.io/pod-deletion-cost=100";
    world.kubectl.run(&format!("annotate pod {silent} -n shop {cost}")).await;
    world.workload.silence(&silent);
    // One pod would do. What the silent one of two would report is taken for the target, so that
    // two stay: ceil((8 / 2 + 10) / 2 / 10 * 2).
    world.workload.load(app, 8.0);
    have(2).await;
    // Twice as long as it took to shrink.
    let settled = Instant::now();
    while settled.elapsed() < Duration::from_secs(12) {
        assert_eq!(world.workload.pods(app), 2, "{}", statuses(&world).await[app]);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    world.workload.unsilence(&silent);
    have(1).await;
}

/// An authority in its last third is renewed at the start of the replicas, and its successor is
/// trusted for half a minute before it signs what they serve.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn authority_and_certificate_are_renewed_and_a_client_of_the_aggregator_sees_no_failure() {
    let test = "authority_and_certificate_are_renewed";
    let world = World::start_with(test, Ways::default(), &old_certificate()).await;
    let Some(world) = world else { return };
    let probe = probe(&world, "by-average").await;
    let leaf = async || {
        let ask = "get secret plimsoll-certificates -n plimsoll -o json";
        world.kubectl.json(ask).await["data"]["tls.crt"].clone()
    };
    let old = leaf().await;
    let bundle = async || {
        let name = "v1beta2.custom.metrics.k8s.io";
        let object = world.kubectl.json(&format!("get apiservice {name} -o json")).await;
        let ByteString(bytes) = serde_json::from_value(object["spec"]["caBundle"].clone()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    world.until("two authorities are trusted", async || split(&bundle().await).len() == 2).await;
    world.until("the certificate is of the new one", async || leaf().await != old).await;
    world.rotate().await;
    world.until("the last answers are in", async || probe.is_well()).await;
    println!("authority and certificate renewed: {}", probe.summary());
    assert_eq!(probe.failures(), 0);
}

/// The Secret of an installation that is three and a half years old.
fn old_certificate() -> String {
    let (schedule, now) = (Schedule::default(), Timestamp::now());
    let names = ["plimsoll.plimsoll.svc", "plimsoll.plimsoll.svc.cluster.local", "localhost"];
    let made = now - schedule.authority_lifetime * 7 / 10;
    let authority = Authority::make(made, schedule.authority_lifetime).unwrap();
    let leaf = authority.issue(&names.map(str::to_owned), now, schedule.leaf_lifetime).unwrap();
    let contents = Contents { current: Some(authority), leaf: Some(leaf), ..Contents::default() };
    let data: serde_json::Map<_, _> =
        contents.write().into_iter().map(|(key, text)| (key, json!(ByteString(text)))).collect();
    let metadata = json!({"name": "plimsoll-certificates", "namespace": "plimsoll"});
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}).to_string()
}
