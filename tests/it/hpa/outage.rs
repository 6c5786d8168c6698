//! What kubectl shows, and what goes wrong between the API server and us: nobody serves, or the
//! certificate is not the expected one.

use std::time::{Duration, Instant};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use super::world::World;
use super::{active_hpas, conditions, deploy, outage};
use crate::support::control_plane::Ways;
use crate::support::pki::Authority;

const APP: &str = "by-pods";

/// How soon all must be well again.
const RECOVERY: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cases_139_141_and_144_outages_are_told_and_end() {
    let test = "cases_139_141_and_144_outages_are_told_and_end";
    let ways = Ways { routes_to_endpoints: false, ..Ways::default() };
    let Some(mut world) = World::start(test, ways).await else { return };
    deploy(&world, &[APP]).await;
    active_hpas(&world, &[APP]).await;
    case_141_kubectl_shows_what_there_is(&world).await;
    case_144_a_wrong_bundle_is_told_and_replaced(&world).await;
    case_139_while_nobody_serves_hpas_say_so_and_hold(&mut world).await;
}

async fn case_141_kubectl_shows_what_there_is(world: &World) {
    let kubectl = &world.kubectl;
    world
        .until("decisions are a kind", async || {
            kubectl.run("api-resources -o name").await.contains("decisions.insight.plimsoll.dev")
        })
        .await;
    assert_eq!(kubectl.run("get decisions -A -o name").await, "");
    world
        .until("they are explained", async || {
            let explained = kubectl.attempt("explain decisions", "").await.unwrap_or_default();
            explained.contains("KIND:       Decision") && explained.contains("status")
        })
        .await;
    assert!(kubectl.run("explain decisions.status.replicas").await.contains("<integer>"));
    let usage = kubectl.run("explain pods --api-version=metrics.k8s.io/v1beta1").await;
    assert!(usage.contains("KIND:       PodMetrics") && usage.contains("window"), "{usage}");
    let described = kubectl.run(&format!("describe hpa {APP} -n shop")).await;
    assert!(described.contains("\"http_requests_per_second\" on pods"), "{described}");
    let active = "jsonpath={.status.conditions[?(@.type==\"ScalingActive\")].status}=True";
    kubectl.run(&format!("wait hpa/{APP} -n shop --timeout=30s --for={active}")).await;
}

async fn case_144_a_wrong_bundle_is_told_and_replaced(world: &World) {
    let kubectl = &world.kubectl;
    let name = "v1beta2.custom.metrics.k8s.io";
    // Else it would be put right within seconds.
    let binding = kubectl.run("get clusterrolebinding plimsoll-certificates -o json").await;
    kubectl.run("delete clusterrolebinding plimsoll-certificates").await;
    let wrong = ByteString(Authority::new().pem.into_bytes());
    let wrong = json!({"spec": {"caBundle": wrong}});
    kubectl.run(&format!("patch apiservice {name} -p {wrong}")).await;
    let available = async || {
        let object = kubectl.json(&format!("get apiservice {name} -o json")).await;
        let conditions = object["status"]["conditions"].as_array().unwrap();
        conditions.iter().find(|it| it["type"] == "Available").unwrap().clone()
    };
    world.until("the bundle is found wrong", async || available().await["status"] == "False").await;
    let message = available().await["message"].to_string();
    assert!(message.contains("x509: certificate signed by unknown authority"), "{message}");
    kubectl.create(&without_version(&binding)).await;
    let took = world.until("it is put right", async || available().await["status"] == "True").await;
    assert!(took < Duration::from_secs(30), "{took:?}");
}

fn without_version(object: &str) -> String {
    let mut object: Value = serde_json::from_str(object).unwrap();
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    object.to_string()
}

async fn case_139_while_nobody_serves_hpas_say_so_and_hold(world: &mut World) {
    for command in ["create namespace doomed", "create configmap some -n doomed"] {
        world.kubectl.run(command).await;
    }
    world.replicas.kill_oldest();
    world.replicas.kill_oldest();
    world.kubectl.run("delete namespace doomed --wait=false").await;
    world
        .until("the deletion says what it waits for", async || {
            let namespace = world.kubectl.json("get namespace doomed -o json").await;
            let conditions = namespace["status"]["conditions"].as_array();
            conditions.into_iter().flatten().any(|condition| {
                condition["type"] == "NamespaceDeletionDiscoveryFailure"
                    && condition["status"] == "True"
            })
        })
        .await;
    // First it says that the server is unable to answer, until it asks for the versions again.
    world
        .until("the HPA knows of no API", async || {
            let active = conditions(world, "ScalingActive").await[APP].clone();
            let message = active["message"].as_str().unwrap_or_default();
            active["status"] == "False"
                && message.contains("no known available metric versions found")
        })
        .await;
    tokio::time::sleep(outage()).await;
    assert_eq!(world.workload.pods(APP), 1);

    world.replicas.add().await;
    world.replicas.add().await;
    let since = Instant::now();
    active_hpas(world, &[APP]).await;
    world
        .until("the namespace is gone", async || {
            world.kubectl.attempt("get namespace doomed", "").await.is_err()
        })
        .await;
    assert!(since.elapsed() < RECOVERY, "{:?}", since.elapsed());
    assert_eq!(world.workload.most(APP), 1);
}
