//! The loop closed: real HPAs in a real control plane scale on what our binary says, and the rest
//! of the cluster lives well with it.
//!
//! Each test has a control plane, which serves all that is asked in it, one after the other; nothing
//! but a kubelet and kube-proxy is made up. Numbers are printed with `--no-capture`.

mod cases;
mod objects;
mod outage;
mod probe;
mod replicas;
mod rollout;
mod signals;
mod workload;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use self::objects::{deployment, hpa, list, metric_of, service};
use self::probe::Probe;
use self::workload::NAMESPACE;
use self::world::{SERVED, World};
use crate::support::client::Client;
use crate::support::control_plane::Ways;
use crate::support::pki::Authority;

const CUSTOM: &str = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/shop";

const RESOURCE: &str = "/apis/metrics.k8s.io/v1beta1/namespaces/shop";

const GET_HPAS: &str = "get hpa -n shop -o json";

/// An external metric, as kubectl names kinds.
const QUEUE: &str = "queue_messages_ready.external.metrics.k8s.io";

/// The applications; each has an HPA with another metric, of which a replica is to have 10.
const APPS: [&str; 7] =
    ["by-pods", "by-value", "by-average", "by-deployment", "by-namespace", "by-queue", "by-cpu"];

/// Applications whose metric vanishes: that of the pods, and that of the Service.
const VANISHING: [&str; 2] = ["vanishing-pods", "vanishing-service"];

/// Cases 136 and 137, and what ends and restarts do to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_real_cluster_scales_on_our_metrics() {
    let ways = Ways { routes_to_endpoints: false, ..Ways::default() };
    let world = World::start("a_real_cluster_scales_on_our_metrics", ways).await;
    let Some(mut world) = world else { return };
    let apps = [APPS.as_slice(), &VANISHING].concat();
    deploy(&world, &apps).await;
    the_aggregator_leads_to_every_api(&world).await;
    users_need_rights(&world).await;
    hpas_follow_the_load(&world).await;
    nothing_that_ends_moves_a_replica(&mut world).await;
    the_cluster_works_without_prometheus(&mut world).await;
}

/// One pod of each application, with metrics.
async fn deploy(world: &World, apps: &[&str]) {
    let objects: Vec<_> = apps.iter().flat_map(|app| [deployment(app), service(app)]).collect();
    world.kubectl.create(&list(&objects)).await;
    for app in apps {
        world.workload.load(app, 10.0);
    }
    for app in apps {
        let path = metric_of(app);
        let ask = format!("get --raw {path}");
        world
            .until(&format!("{path} has a value"), async || {
                let answer = world.kubectl.attempt(&ask, "").await.unwrap_or_default();
                let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
                answer["items"][0].is_object()
            })
            .await;
    }
}

/// Makes the HPAs of the applications where there are none yet, and waits until all are active:
/// since when they are.
async fn active_hpas(world: &World, apps: &[&str]) -> BTreeMap<String, Value> {
    let hpas: Vec<_> = apps.iter().copied().map(hpa).collect();
    // The second time they are there.
    world.kubectl.attempt("create -f -", &list(&hpas)).await.ok();
    world
        .until("all HPAs are active", async || {
            let active = conditions(world, "ScalingActive").await;
            active.values().all(|it| it["status"] == "True")
        })
        .await;
    let active = conditions(world, "ScalingActive").await;
    active.into_iter().map(|(name, it)| (name, it["lastTransitionTime"].clone())).collect()
}

async fn the_aggregator_leads_to_every_api(world: &World) {
    for (group, version) in SERVED {
        let documents = world.kubectl.json(&format!("get --raw /apis/{group}/{version}")).await;
        assert_eq!(documents["groupVersion"], format!("{group}/{version}"));
    }
    let value = world
        .kubectl
        .json(&format!("get --raw {CUSTOM}/services/by-value/http_requests_per_second"))
        .await;
    assert_eq!(value["kind"], "MetricValueList");
    assert_eq!(value["items"][0]["describedObject"]["name"], "by-value");

    world
        .until("kubectl top shows all pods", async || {
            let top = world.kubectl.attempt("top pods -n shop --no-headers", "").await;
            let top = top.unwrap_or_default();
            let rows: Vec<_> =
                top.lines().map(|row| row.split_whitespace().collect::<Vec<_>>()).collect();
            rows.len() == APPS.len() + VANISHING.len()
                && rows.iter().all(|row| row[2] == "32Mi" && row[1].ends_with('m'))
        })
        .await;
    world
        .until("kubectl top shows the node", async || {
            let top = world.kubectl.run("top nodes --no-headers").await;
            let row: Vec<_> = top.split_whitespace().collect();
            // Half a core, as exact as a rate over some seconds is on a busy machine.
            let cpu: f64 = row[1].strip_suffix('m').unwrap().parse().unwrap();
            let rest = (row[0], &row[3..]) == ("worker-0", &["2048Mi", "25%"][..]);
            rest && (400.0..=600.0).contains(&cpu)
        })
        .await;
}

async fn users_need_rights(world: &World) {
    let path = format!("{CUSTOM}/pods/*/http_requests_per_second");
    let ask = format!("get --as=jane --raw {path}");
    let denied = world.kubectl.attempt(&ask, "").await.unwrap_err();
    assert_eq!(
        denied,
        "Error from server (Forbidden): pods.custom.metrics.k8s.io \"*\" is forbidden: User \
         \"jane\" cannot get resource \"pods/http_requests_per_second\" in API group \
         \"custom.metrics.k8s.io\" in the namespace \"shop\""
    );
    let bind =
        "create rolebinding metrics -n shop --clusterrole=plimsoll-metrics-reader --user=jane";
    world.kubectl.run(bind).await;
    world.until("jane may", async || world.kubectl.attempt(&ask, "").await.is_ok()).await;

    let ask = "get apiservice v1beta2.custom.metrics.k8s.io -o json";
    let bundle = &world.kubectl.json(ask).await["spec"]["caBundle"];
    let ByteString(bundle) = serde_json::from_value(bundle.clone()).unwrap();
    let direct =
        Client::new(world.replicas.running()[0].secure, &String::from_utf8(bundle).unwrap())
            .with_name("plimsoll.plimsoll.svc");
    let forged = [("X-Remote-User", "jane"), ("X-Remote-Group", "system:masters")];
    assert_eq!(direct.get_with(&path, &forged).await.status, 403, "an anonymous user's header");
    let stranger = Authority::new().client("front-proxy-client", "", |_| ());
    let stranger = direct.with_certificate(&stranger);
    assert_eq!(stranger.get_with(&path, &forged).await.status, 401, "a stranger's certificate");
}

async fn hpas_follow_the_load(world: &World) {
    let apps = APPS.into_iter().chain(VANISHING);
    active_hpas(world, &apps.clone().collect::<Vec<_>>()).await;

    for app in apps.clone() {
        world.workload.load(app, 100.0);
    }
    world
        .until("all have 10 replicas", async || {
            apps.clone().all(|app| world.workload.pods(app) == 10)
        })
        .await;
    world
        .until("all HPAs know", async || {
            statuses(world).await.values().all(|it| it["currentReplicas"] == 10)
        })
        .await;

    for app in VANISHING {
        world.workload.silence(app);
    }
    world
        .until("the HPAs whose metric has vanished say so", async || {
            let active = conditions(world, "ScalingActive").await;
            VANISHING.iter().all(|app| active[*app]["status"] == "False")
        })
        .await;
    for app in APPS {
        world.workload.load(app, 15.0);
    }
    world
        .until("the others have 2 replicas", async || {
            APPS.iter().all(|app| world.workload.pods(app) == 2)
        })
        .await;

    let active = conditions(world, "ScalingActive").await;
    let failures = VANISHING.map(|app| (&active[app]["reason"], &active[app]["message"]));
    let failed = "the HPA was unable to compute the replica count: unable to get metric \
        http_requests_per_second:";
    let of_pods = format!("{failed} no metrics returned from custom metrics API");
    let of_service = format!(
        "{failed} Service on shop vanishing-service/unable to fetch metrics from custom metrics \
         API: the server could not find the metric http_requests_per_second for services \
         vanishing-service: rules[0] has no sample that names service vanishing-service"
    );
    let expected =
        [json!(["FailedGetPodsMetric", of_pods]), json!(["FailedGetObjectMetric", of_service])];
    assert_eq!(json!(failures), json!(expected));
    let statuses = statuses(world).await;
    for app in VANISHING {
        assert_eq!(statuses[app]["desiredReplicas"], 10, "{app} holds");
        assert_eq!(world.workload.pods(app), 10, "{app} holds");
    }
    for app in APPS {
        assert_eq!(active[app]["status"], "True", "{app}: {}", active[app]);
        assert_eq!(world.workload.most(app), 10, "{app} has had no more than it needs");
    }
    assert_eq!(warnings(world).await, Vec::<String>::new());
}

/// What the HPA controller warns of, but for what has vanished.
async fn warnings(world: &World) -> Vec<String> {
    let hpas = "involvedObject.kind=HorizontalPodAutoscaler,type=Warning";
    let ask = format!("get events -n {NAMESPACE} --field-selector={hpas} -o json");
    let events = world.kubectl.json(&ask).await;
    let of = |event: &Value| event["involvedObject"]["name"].as_str().unwrap().to_owned();
    items(&events)
        .filter(|event| !VANISHING.contains(&of(event).as_str()))
        .map(|event| format!("{}: {}", of(event), event["message"]))
        .collect()
}

/// What happens to a process, a certificate or a peer in a cluster's life.
async fn nothing_that_ends_moves_a_replica(world: &mut World) {
    disrupt(world, "a replica killed and another started", async |world| {
        world.replicas.kill_oldest();
        world.replicas.add().await;
    })
    .await;
    let probe = disrupt(world, "certificate rotated", async |world| world.rotate().await).await;
    assert_eq!(probe.failures(), 0);
    disrupt(world, "API server restarted", async |world| {
        world.plane.stop_api();
        world.plane.start_api().await;
    })
    .await;
    // Its `rate` of the first samples after a gap is too low. Kubernetes waits for 5 minutes before
    // it shrinks, some times the window of the rates; so does this, with a window of 5 seconds.
    for app in APPS {
        let window = 60 + outage().as_secs();
        let window = json!({"scaleDown": {"stabilizationWindowSeconds": window}});
        let patch = json!({"spec": {"behavior": window}});
        world.kubectl.run(&format!("patch hpa {app} -n {NAMESPACE} -p {patch}")).await;
    }
    disrupt(world, &format!("Prometheus away for {:?}", outage()), async |world| {
        world.prometheus.stop();
        tokio::time::sleep(outage()).await;
        world.prometheus.start_again();
    })
    .await;
}

/// How long something is away: `PLIMSOLL_TEST_OUTAGE_SECONDS`, else as long as a test has time.
fn outage() -> Duration {
    let seconds = std::env::var("PLIMSOLL_TEST_OUTAGE_SECONDS");
    Duration::from_secs(seconds.map_or(5, |seconds| seconds.parse().unwrap()))
}

/// Does it, waits until client and HPAs are served again, and tells what it did to them.
async fn disrupt(world: &mut World, what: &str, happens: impl AsyncFnOnce(&mut World)) -> Probe {
    let url = world.plane.url();
    let probe = Probe::start(format!("{url}{CUSTOM}/services/by-value/http_requests_per_second"));
    let before = warnings(world).await.len();
    happens(world).await;
    world
        .until(&format!("all is well: {what}"), async || {
            let Ok(hpas) = world.kubectl.attempt(GET_HPAS, "").await else { return false };
            let active = conditions_in(&hpas, "ScalingActive");
            probe.is_well() && APPS.iter().all(|app| active[*app]["status"] == "True")
        })
        .await;
    let warnings = warnings(world).await.len() - before;
    println!("{what}: {}; {warnings} warnings of HPAs", probe.summary());
    for app in APPS {
        assert_eq!((world.workload.pods(app), world.workload.most(app)), (2, 10), "{what}: {app}");
    }
    probe
}

async fn the_cluster_works_without_prometheus(world: &mut World) {
    // The aggregator looks once a minute.
    world
        .until("external metrics are kinds", async || api_resources(world).await.contains(QUEUE))
        .await;
    world.prometheus.stop();
    world
        .until("the loss is noticed", async || {
            let ask = format!("get --raw {CUSTOM}/services/by-value/http_requests_per_second");
            world.kubectl.attempt(&ask, "").await.is_err()
        })
        .await;
    world.kubectl.run("create namespace doomed").await;
    world.kubectl.run("create configmap some -n doomed").await;
    world.kubectl.run("delete namespace doomed --timeout=50s").await;
    assert!(api_resources(world).await.contains(QUEUE));
    world
        .until("all HPAs say why they have no metric", async || {
            let says = |it: &Value| {
                it["message"].as_str().unwrap().contains("Prometheus cannot be reached")
            };
            conditions(world, "ScalingActive").await.values().all(says)
        })
        .await;
    for app in APPS {
        assert_eq!(world.workload.pods(app), 2, "{app} holds");
    }
}

/// What kubectl lists. Custom metrics are never among it: their names look like subresources.
async fn api_resources(world: &World) -> String {
    world.kubectl.run("api-resources -o name").await
}

/// A condition of each HPA.
async fn conditions(world: &World, condition: &str) -> BTreeMap<String, Value> {
    conditions_in(&world.kubectl.run(GET_HPAS).await, condition)
}

fn conditions_in(hpas: &str, condition: &str) -> BTreeMap<String, Value> {
    let of = |status: &Value| {
        let conditions = status["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().find(|it| it["type"] == condition).cloned().unwrap_or_default()
    };
    statuses_in(hpas).iter().map(|(name, status)| (name.clone(), of(status))).collect()
}

/// The status of each HPA.
async fn statuses(world: &World) -> BTreeMap<String, Value> {
    statuses_in(&world.kubectl.run(GET_HPAS).await)
}

fn statuses_in(hpas: &str) -> BTreeMap<String, Value> {
    let name = |hpa: &Value| hpa["metadata"]["name"].as_str().unwrap().to_owned();
    let hpas: Value = serde_json::from_str(hpas).unwrap();
    items(&hpas).map(|hpa| (name(hpa), hpa["status"].clone())).collect()
}

fn items(list: &Value) -> impl Iterator<Item = &Value> {
    list["items"].as_array().unwrap().iter()
}
