//! Replicas of ours come and go under many HPAs, and nobody notices.

use std::time::Duration;

use serde_json::{Value, json};

use super::objects::metric_of;
use super::probe::Probe;
use super::world::World;
use super::{active_hpas, deploy, warnings};
use crate::support::control_plane::Ways;

const HPAS: usize = 50;

/// 100 a second.
const PERIOD: Duration = Duration::from_millis(10);

/// A namespace with something in it, whose deletion asks every API what there is in it.
const DOOMED: [&str; 2] = ["create namespace doomed", "create configmap some -n doomed"];

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cases_130_140_142_and_143_a_rolling_restart_disturbs_nobody() {
    let test = "cases_130_140_142_and_143_a_rolling_restart_disturbs_nobody";
    let ways = Ways { content_type: "application/json", ..Ways::default() };
    let Some(mut world) = World::start(test, ways).await else { return };
    let apps: Vec<_> = (0..HPAS).map(|number| format!("app-{number:02}")).collect();
    let apps: Vec<_> = apps.iter().map(String::as_str).collect();
    deploy(&world, &apps).await;
    let before = active_hpas(&world, &apps).await;
    let told = world.plane.errors_of_the_aggregator();
    let started = Probe::start_each(PERIOD, format!("{}{}", world.plane.url(), metric_of(apps[0])));
    world.until("all is well", async || started.is_well()).await;

    world.replicas.terminate_oldest().await;
    world.until("the last answers are in", async || started.is_well()).await;
    println!("one of two replicas ended: {}", started.summary());

    world.replicas.add().await;
    for _ in 0..2 {
        world.replicas.add().await;
        for command in DOOMED {
            world.kubectl.run(command).await;
        }
        world.replicas.terminate_oldest().await;
        world.kubectl.run("delete namespace doomed --timeout=50s").await;
        assert_eq!(freshness(&world).await, ["Current"; 5]);
    }
    world.until("the last answers are in", async || started.is_well()).await;
    println!("rolling restart: {}", started.summary());
    assert_eq!(started.failures(), 0, "{}", started.summary());
    assert_eq!(active_hpas(&world, &apps).await, before, "no HPA has been inactive");
    assert_eq!(warnings(&world).await, Vec::<String>::new());
    assert_eq!(world.plane.errors_of_the_aggregator(), told);
    assert!(apps.iter().all(|app| world.workload.most(app) == 1));
}

/// How fresh what the API server knows of each of our APIs is.
async fn freshness(world: &World) -> Vec<String> {
    let client = reqwest::Client::builder().tls_danger_accept_invalid_certs(true).build().unwrap();
    let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
    let request = client.get(format!("{}/apis", world.plane.url())).header("accept", aggregated);
    let document = request.bearer_auth("lab").send().await.unwrap().text().await.unwrap();
    let document: Value = serde_json::from_str(&document).unwrap();
    let ours = |group: &&Value| {
        let name = group["metadata"]["name"].as_str().unwrap();
        name.ends_with("metrics.k8s.io") || name == "insight.plimsoll.dev"
    };
    let groups = document["items"].as_array().unwrap().iter().filter(ours);
    let versions = groups.flat_map(|group| group["versions"].as_array().unwrap());
    versions.map(|version| version["freshness"].as_str().unwrap().to_owned()).collect()
}

/// How long 300 HPAs are watched, in seconds; the wire specification asks for ten minutes.
const WATCHED: &str = "PLIMSOLL_TEST_HPA_SECONDS";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn case_145_300_hpas_are_served_evenly_and_fast() {
    let sync_period = Duration::from_secs(15);
    let ways = Ways { sync_period, ..Ways::default() };
    let test = "case_145_300_hpas_are_served_evenly_and_fast";
    let Some(world) = World::start(test, ways).await else { return };
    let apps: Vec<_> = (0..300).map(|number| format!("queue-{number:03}")).collect();
    for app in &apps {
        world.workload.load(app, 10.0);
    }
    let hpas: Vec<_> = apps.iter().flat_map(|app| [paused(app), super::hpa(app)]).collect();
    world.kubectl.create(&super::list(&hpas)).await;
    let apps: Vec<_> = apps.iter().map(String::as_str).collect();
    active_hpas(&world, &apps).await;

    let seconds = std::env::var(WATCHED).map_or(45, |seconds| seconds.parse().unwrap());
    let before = served(&world).await;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = served(&world).await;
    let [all, within_100_ms, within_250_ms] = [0, 1, 2].map(|index| after[index] - before[index]);
    println!("{all} requests in {seconds} s, {within_100_ms} of them within 100 ms");
    let seconds = f64::from(u32::try_from(seconds).unwrap());
    assert!(all <= 20.0 * 1.1 * seconds, "the controller's clients ask 20 times a second each");
    assert!(all >= 300.0 * (seconds / 20.0).floor(), "each HPA is evaluated each 20 s");
    // As histogram_quantile has it.
    let within_200_ms = within_100_ms + (within_250_ms - within_100_ms) * 100.0 / 150.0;
    assert!(within_200_ms >= 0.99 * all, "{within_200_ms} of {all}");
}

/// A Deployment without pods, whose HPA works all the same.
fn paused(app: &str) -> Value {
    let mut deployment = super::deployment(app);
    deployment["spec"]["paused"] = json!(true);
    deployment
}

/// The requests for external metrics that the replicas have served, those within 100 ms, and those
/// within 250 ms.
async fn served(world: &World) -> [f64; 3] {
    const NAME: &str = "plimsoll_request_duration_seconds";
    let group = "group=\"external.metrics.k8s.io\"";
    let mut sums = [0.0; 3];
    for replica in world.replicas.running() {
        let page = reqwest::get(format!("http://{}/metrics", replica.admin)).await.unwrap();
        for line in page.text().await.unwrap().lines() {
            let Some((name, value)) = line.rsplit_once(' ') else { continue };
            let Some(series) = name.strip_prefix(NAME).filter(|it| it.contains(group)) else {
                continue;
            };
            let is = [
                series.starts_with("_count"),
                series.contains("le=\"0.1\""),
                series.contains("le=\"0.25\""),
            ];
            if let Some(index) = is.iter().position(|is| *is) {
                sums[index] += value.parse::<f64>().unwrap();
            }
        }
    }
    sums
}
