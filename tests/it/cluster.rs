//! The inventory of a cluster against a fake API server, and against a real one where there is
//! one.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use kube::Client;
use serde_json::{Value, json};

use plimsoll::cluster::client::{self, Settings};
use plimsoll::cluster::watch::WatchInventory;
use plimsoll::engine::ports::Inventory as _;
use plimsoll::model::object::{GroupResource, Kind};

use crate::support::control_plane::ControlPlane;
use crate::support::kubernetes::{FakeKubernetes, resource};
use crate::support::plimsoll::wait_until;

const PODS: &str = "/api/v1/pods";

async fn client(fake: &FakeKubernetes) -> Client {
    connect(&fake.kubeconfig()).await
}

async fn connect(kubeconfig: &str) -> Client {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig).unwrap();
    let settings = Settings { kubeconfig: Some(file.path().to_owned()) };
    client::connect(&settings).await.unwrap()
}

async fn start(fake: &FakeKubernetes) -> WatchInventory {
    WatchInventory::start(client(fake).await).await.unwrap()
}

fn kind(inventory: &WatchInventory, name: &str) -> Arc<Kind> {
    Arc::clone(inventory.kinds().resolve(&GroupResource::parse(name)).unwrap())
}

/// Waits until a condition holds.
#[track_caller]
fn until(condition: impl FnMut() -> bool) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    let mut condition = condition;
    async move {
        let held = async {
            while !condition() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(20), held).await;
        assert!(waited.is_ok(), "the condition at {caller} never came true");
    }
}

/// Which of the names there are in a namespace.
fn has(inventory: &WatchInventory, names: &[&str]) -> Vec<bool> {
    let pods = inventory.current(&kind(inventory, "pods")).unwrap();
    names.iter().map(|name| pods.contains("shop", name)).collect()
}

#[tokio::test]
async fn kinds_come_from_discovery_in_the_order_of_preference() {
    let fake = FakeKubernetes::start().await;
    fake.add_kind("metrics.k8s.io", "v1beta1", &resource("pods", "PodMetrics", &[], "Namespaced"));
    fake.add_kind("apps", "v1beta1", &resource("deployments", "Deployment", &[], "Namespaced"));
    fake.add_kind("custom.metrics.k8s.io", "v1beta2", &resource("loads", "L", &[], "Namespaced"));
    let inventory = start(&fake).await;
    let kinds = inventory.kinds();
    let names: Vec<_> = kinds
        .iter()
        .map(|kind| format!("{}/{} {:?}", kind.api_version(), kind.plural, kind.scope))
        .collect();
    assert_eq!(
        names,
        ["v1/nodes Cluster", "v1/pods Namespaced", "apps/v1/deployments Namespaced",]
    );
    assert_eq!(kind(&inventory, "po").kind, "Pod");
    assert_eq!(kind(&inventory, "deploy").singular, "deployment");
    assert_eq!(fake.requests("api").len(), 2);
}

#[tokio::test]
async fn nothing_is_followed_before_it_is_asked_for() {
    let fake = FakeKubernetes::start().await;
    fake.put("/api/v1/nodes", "", "n1", &[("zone", "a")]);
    let inventory = start(&fake).await;
    let nodes = kind(&inventory, "nodes");
    assert!(inventory.current(&nodes).is_none());
    assert_eq!(fake.requests("/api/v1").len(), 0);

    let objects = inventory.objects(&nodes).await.unwrap().unwrap();
    assert!(objects.contains("", "n1"));
    assert_eq!(inventory.current(&nodes).unwrap().len(), 1);
    assert_eq!(fake.requests("/api/v1/pods").len(), 0);
}

#[tokio::test]
async fn questions_at_once_share_one_list() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    let pods = kind(&inventory, "pods");
    let ask = || async { inventory.objects(&pods).await.unwrap().unwrap().len() };
    assert_eq!(tokio::join!(ask(), ask(), ask()), (1, 1, 1));
    assert_eq!(fake.requests("pods?&limit").len(), 1);
}

#[tokio::test]
async fn a_long_list_comes_in_pages() {
    let fake = FakeKubernetes::start().await;
    for n in 0..2_500 {
        fake.put(PODS, "shop", &format!("web-{n}"), &[("app", "web")]);
    }
    let inventory = start(&fake).await;
    let pods = inventory.objects(&kind(&inventory, "pods")).await.unwrap().unwrap();
    assert_eq!(pods.len(), 2_500);
    assert_eq!(fake.requests("limit=1000").len(), 3);
}

#[tokio::test]
async fn changes_are_taken_up() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    inventory.objects(&kind(&inventory, "pods")).await.unwrap();

    fake.put(PODS, "shop", "web-1", &[("app", "web")]);
    until(|| has(&inventory, &["web-0", "web-1"]) == [true, true]).await;
    fake.put(PODS, "shop", "web-1", &[("app", "api")]);
    fake.bookmark(PODS);
    fake.delete(PODS, "shop", "web-0");
    until(|| has(&inventory, &["web-0", "web-1"]) == [false, true]).await;
    fake.delete(PODS, "shop", "web-1");
    until(|| inventory.current(&kind(&inventory, "pods")).unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_burst_of_changes_makes_few_states() {
    let fake = FakeKubernetes::start().await;
    let inventory = start(&fake).await;
    let pods = kind(&inventory, "pods");
    inventory.objects(&pods).await.unwrap();
    for n in 0..2_000 {
        fake.put(PODS, "shop", &format!("web-{n}"), &[]);
    }
    let began = std::time::Instant::now();
    let mut states = 0;
    let mut last = inventory.current(&pods).unwrap();
    until(|| {
        let now = inventory.current(&pods).unwrap();
        states += usize::from(!Arc::ptr_eq(&now, &last));
        last = now;
        last.len() == 2_000
    })
    .await;
    let most = began.elapsed().as_millis() / 100 + 2;
    assert!(states as u128 <= most, "{states} states in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_cut_watch_resumes_where_it_was() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    inventory.objects(&kind(&inventory, "pods")).await.unwrap();
    until(|| !fake.requests("watch=true").is_empty()).await;

    fake.cut();
    fake.put(PODS, "shop", "web-1", &[]);
    until(|| has(&inventory, &["web-0", "web-1"]) == [true, true]).await;
    assert_eq!(fake.requests("limit=").len(), 1, "no new list");
    assert!(inventory.watches()[0].failure.is_none());
}

#[tokio::test]
async fn a_watch_that_fell_behind_begins_with_a_new_list() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    fake.put(PODS, "shop", "web-1", &[]);
    let inventory = start(&fake).await;
    inventory.objects(&kind(&inventory, "pods")).await.unwrap();
    until(|| !fake.requests("watch=true").is_empty()).await;

    fake.delete_behind_the_back(PODS, "shop", "web-1");
    until(|| has(&inventory, &["web-0", "web-1"]) == [true, false]).await;
    assert_eq!(fake.requests("limit=").len(), 2);
    assert!(inventory.watches()[0].failure.is_none());
}

#[tokio::test]
async fn the_last_state_serves_while_the_api_server_is_away() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    let pods = kind(&inventory, "pods");
    inventory.objects(&pods).await.unwrap();
    until(|| !fake.requests("watch=true").is_empty()).await;

    fake.fail(Some(StatusCode::SERVICE_UNAVAILABLE));
    fake.cut();
    until(|| inventory.watches()[0].failure.is_some()).await;
    let state = inventory.watches().remove(0);
    assert_eq!(
        state.failure.as_deref(),
        Some("the API server answered 503: the server is currently unable to handle the request")
    );
    assert_eq!((state.resource.to_string().as_str(), state.objects), ("pods", Some(1)));
    assert!(state.age > Duration::ZERO && state.failures > 0);
    assert_eq!(inventory.objects(&pods).await.unwrap().unwrap().len(), 1);

    fake.fail(None);
    fake.put(PODS, "shop", "web-1", &[]);
    until(|| has(&inventory, &["web-1"]) == [true]).await;
    until(|| inventory.watches()[0].failure.is_none()).await;
    assert_eq!(inventory.watches()[0].age, Duration::ZERO);
}

#[tokio::test]
async fn a_forbidden_list_says_what_the_account_needs_and_is_not_hammered() {
    let fake = FakeKubernetes::start().await;
    fake.forbid(PODS, true);
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    let pods = kind(&inventory, "pods");
    let error = inventory.objects(&pods).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list pods: the API server answered 403: pods is forbidden: User \
         \"system:serviceaccount:monitoring:plimsoll\" cannot list resource \"pods\" in API group \
         \"\" at the cluster scope; the account needs the verbs list and watch on pods"
    );
    for _ in 0..100 {
        inventory.objects(&pods).await.unwrap_err();
    }
    assert_eq!(fake.requests("limit=").len(), 1);

    fake.forbid(PODS, false);
    until(|| inventory.current(&pods).is_some()).await;
}

#[tokio::test]
async fn a_kind_without_watch_is_refused() {
    let fake = FakeKubernetes::start().await;
    let mut reports = resource("reports", "Report", &[], "Namespaced");
    reports["verbs"] = json!(["get", "list"]);
    fake.add_kind("example.io", "v1", &reports);
    let inventory = start(&fake).await;
    let error = inventory.objects(&kind(&inventory, "reports")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list reports.example.io: the API server offers no list and watch of it"
    );
    assert_eq!(fake.requests("reports").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_first_list_is_not_waited_for() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    let pods = kind(&inventory, "pods");
    fake.stall(PODS, true);
    let error = inventory.objects(&pods).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot list pods: the API server did not list all of it within 5s"
    );
    until_paused(|| inventory.watches()[0].failure.is_some()).await;
    let failure = inventory.watches()[0].failure.clone();
    assert_eq!(failure.as_deref(), Some("the API server did not answer within 30s"));

    fake.stall(PODS, false);
    until_paused(|| inventory.current(&pods).is_some()).await;
}

/// Waits in paused time, where a real wait would be for ever: the clock jumps while nothing else
/// is to be done.
async fn until_paused(mut condition: impl FnMut() -> bool) {
    let mut tries = 0;
    while !condition() {
        tries += 1;
        assert!(tries < 10_000, "the condition never came true");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_quiet_watch_counts_as_resumed_once_it_must_have_been_answered() {
    let fake = FakeKubernetes::start().await;
    let inventory = start(&fake).await;
    inventory.objects(&kind(&inventory, "pods")).await.unwrap();
    until_paused(|| !fake.requests("watch=true").is_empty()).await;
    fake.fail(Some(StatusCode::INTERNAL_SERVER_ERROR));
    fake.cut();
    until_paused(|| inventory.watches()[0].failure.is_some()).await;
    fake.fail(None);
    until_paused(|| inventory.watches()[0].failure.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn kinds_come_and_go_with_their_definitions() {
    let fake = FakeKubernetes::start().await;
    fake.add_kind("example.com", "v1", &resource("geese", "Goose", &["gs"], "Namespaced"));
    fake.put("/apis/example.com/v1/geese", "farm", "martin", &[]);
    let inventory = start(&fake).await;
    let geese = kind(&inventory, "gs");
    assert_eq!(inventory.objects(&geese).await.unwrap().unwrap().len(), 1);

    fake.remove_group("example.com");
    fake.add_kind("example.org", "v1", &resource("ducks", "Duck", &[], "Cluster"));
    let before = tokio::time::Instant::now();
    inventory.look_for_kinds();
    let ducks = GroupResource::parse("ducks");
    until_paused(|| inventory.kinds().resolve(&ducks).is_some()).await;
    assert!(before.elapsed() < Duration::from_mins(1));
    assert!(inventory.kinds().resolve(&GroupResource::parse("geese")).is_none());
    assert!(inventory.watches().is_empty());
}

#[tokio::test(start_paused = true)]
async fn unknown_kinds_do_not_hammer_discovery() {
    let fake = FakeKubernetes::start().await;
    let inventory = start(&fake).await;
    let before = tokio::time::Instant::now();
    until_paused(|| {
        inventory.look_for_kinds();
        before.elapsed() > Duration::from_mins(5)
    })
    .await;
    let requests = fake.requests("GET /apis").len();
    assert!((9..=11).contains(&requests), "{requests}");
}

#[tokio::test(start_paused = true)]
async fn watches_that_end_at_once_do_not_hammer_the_api_server() {
    let fake = FakeKubernetes::start().await;
    let inventory = start(&fake).await;
    inventory.objects(&kind(&inventory, "pods")).await.unwrap();
    let before = tokio::time::Instant::now();
    fake.end_watches();
    until_paused(|| fake.requests("watch=true").len() > 10).await;
    let took = before.elapsed();
    assert!(took > Duration::from_secs(8), "11 watches within {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_nobody_asks_for_is_followed_no_longer() {
    let fake = FakeKubernetes::start().await;
    fake.put(PODS, "shop", "web-0", &[]);
    let inventory = start(&fake).await;
    let (pods, nodes) = (kind(&inventory, "pods"), kind(&inventory, "nodes"));
    inventory.objects(&pods).await.unwrap();
    inventory.objects(&nodes).await.unwrap();
    let before = tokio::time::Instant::now();
    until_paused(|| {
        assert!(inventory.current(&pods).is_some());
        inventory.watches().len() == 1
    })
    .await;
    let took = before.elapsed();
    assert!((10..=12).contains(&(took.as_secs() / 60)), "{took:?}");
    assert!(inventory.current(&nodes).is_none());

    inventory.objects(&nodes).await.unwrap();
    assert!(inventory.current(&nodes).is_some());
}

#[tokio::test]
async fn kinds_are_looked_up_when_a_definition_changes() {
    let fake = FakeKubernetes::start().await;
    let definition = "customresourcedefinitions";
    let resource_of = |plural, kind| resource(plural, kind, &[], "Cluster");
    let group = "apiextensions.k8s.io";
    fake.add_kind(group, "v1", &resource_of(definition, "CustomResourceDefinition"));
    let inventory = start(&fake).await;
    until(|| !fake.requests("watch=true").is_empty()).await;
    fake.add_kind("example.org", "v1", &resource_of("ducks", "Duck"));
    fake.put(&format!("/apis/{group}/v1/{definition}"), "", "ducks.example.org", &[]);
    let ducks = GroupResource::parse("ducks");
    until(|| inventory.kinds().resolve(&ducks).is_some()).await;
}

#[tokio::test]
async fn a_start_without_api_server_says_so() {
    let fake = FakeKubernetes::start().await;
    fake.fail(Some(StatusCode::UNAUTHORIZED));
    let error = WatchInventory::start(client(&fake).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot discover the kinds of the cluster: the API server answered 401: the server is \
         currently unable to handle the request"
    );
    let kubeconfig = fake.kubeconfig();
    drop(fake);
    let error = WatchInventory::start(connect(&kubeconfig).await).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot discover the kinds of the cluster: the API server cannot be reached: \
         Connection refused (os error 111)"
    );
}

#[tokio::test]
async fn a_missing_kubeconfig_is_named() {
    let settings = Settings { kubeconfig: Some("/nonexistent/config".into()) };
    let error = client::connect(&settings).await.err().unwrap();
    assert_eq!(error.to_string(), "cannot use the kubeconfig /nonexistent/config");
}

#[tokio::test]
async fn a_real_api_server_is_followed_through_a_restart() {
    let name = "a_real_api_server_is_followed_through_a_restart";
    let Some(mut plane) = ControlPlane::start(name).await else {
        return;
    };
    let client = plane.client().await;
    let namespace = json!({"metadata": {"name": "shop"}});
    create(&client, "/api/v1/namespaces", &namespace).await;
    for n in 0..3 {
        create(&client, "/api/v1/namespaces/shop/pods", &pod(&format!("web-{n}"))).await;
    }
    let inventory = WatchInventory::start(client.clone()).await.unwrap();
    let pods = kind(&inventory, "po");
    assert_eq!(inventory.objects(&pods).await.unwrap().unwrap().len(), 3);
    let deployments = kind(&inventory, "deployments.apps");
    assert!(inventory.objects(&deployments).await.unwrap().unwrap().is_empty());

    let path = "/api/v1/namespaces/shop/pods/web-1?gracePeriodSeconds=0";
    send(&client, http::Request::delete(path).body(Vec::new()).unwrap()).await;
    create(&client, "/api/v1/namespaces/shop/pods", &pod("web-3")).await;
    until(|| has(&inventory, &["web-0", "web-1", "web-3"]) == [true, false, true]).await;

    plane.stop_api();
    until(|| inventory.watches().iter().any(|state| state.failure.is_some())).await;
    assert_eq!(inventory.objects(&pods).await.unwrap().unwrap().len(), 3);

    plane.start_api().await;
    create(&client, "/api/v1/namespaces/shop/pods", &pod("web-4")).await;
    until(|| has(&inventory, &["web-0", "web-1", "web-4"]) == [true, false, true]).await;
}

#[tokio::test]
async fn a_real_api_server_tells_running_pods_from_others() {
    let Some(plane) = ControlPlane::start("watch of running pods").await else { return };
    let client = plane.client().await;
    create(&client, "/api/v1/namespaces", &json!({"metadata": {"name": "shop"}})).await;
    for name in ["web-0", "web-1"] {
        create(&client, "/api/v1/namespaces/shop/pods", &pod(name)).await;
    }
    let inventory = WatchInventory::start(client.clone()).await.unwrap();
    let pods = kind(&inventory, "po");
    let running = async || inventory.running(&pods).await.unwrap().unwrap();
    assert!(running().await.is_empty(), "they are pending");
    assert!(inventory.current(&pods).is_none(), "the others are not followed for that");
    for (phase, runs) in [("Running", true), ("Succeeded", false)] {
        let status = json!({"status": {"phase": phase}}).to_string();
        let request = http::Request::patch("/api/v1/namespaces/shop/pods/web-1/status")
            .header("content-type", "application/merge-patch+json");
        send(&client, request.body(status.into_bytes()).unwrap()).await;
        wait_until(phase, async || running().await.contains("shop", "web-1") == runs).await;
        assert!(!running().await.contains("shop", "web-0"));
    }
}

fn pod(name: &str) -> Value {
    json!({
        "metadata": {"name": name, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    })
}

async fn create(client: &Client, path: &str, object: &Value) {
    let request = http::Request::post(path).header("content-type", "application/json");
    send(client, request.body(object.to_string().into_bytes()).unwrap()).await;
}

async fn send(client: &Client, request: http::Request<Vec<u8>>) {
    client.request::<Value>(request).await.unwrap();
}
