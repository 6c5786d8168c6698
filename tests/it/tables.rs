//! The kinds of which more is kept than metadata: from a fake API server, from a real one where
//! there is one, and from a file.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use plimsoll::cluster::client::{self, Settings};
use plimsoll::cluster::file::FileInventory;
use plimsoll::cluster::watch::WatchInventory;
use plimsoll::cluster::{AnyInventory, Snapshots};
use plimsoll::model::custom::{CustomKind, MAX_SPEC};
use plimsoll::model::inventory::{Named, Objects};
use plimsoll::model::quantity::Quantity;
use serde_json::{Value, json};

use crate::support::control_plane::ControlPlane;
use crate::support::kubernetes::{FakeKubernetes, resource};

const AUTOSCALERS: &str = "/apis/autoscaling/v2/horizontalpodautoscalers";
const SIGNALS: &str = "/apis/plimsoll.dev/v1alpha1/signals";

async fn connect(kubeconfig: &str) -> Client {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig).unwrap();
    let settings = Settings { kubeconfig: Some(file.path().to_owned()) };
    client::connect(&settings).await.unwrap()
}

async fn start(fake: &FakeKubernetes) -> WatchInventory {
    WatchInventory::start(connect(&fake.kubeconfig()).await).await.unwrap()
}

/// Waits for a state of which something holds.
#[track_caller]
fn until<T>(
    snapshots: &mut Snapshots<T>,
    mut holds: impl FnMut(&Objects<T>) -> bool,
) -> impl Future<Output = Arc<Objects<T>>> {
    let caller = std::panic::Location::caller();
    async move {
        let wait = snapshots.wait_for(|state| state.as_ref().is_some_and(|state| holds(state)));
        let waited = tokio::time::timeout(Duration::from_secs(30), wait).await;
        let state = waited.unwrap_or_else(|_| panic!("the state at {caller} never came")).unwrap();
        Arc::clone(state.as_ref().unwrap())
    }
}

fn names<T: Named + PartialEq>(objects: &Objects<T>, namespace: &str) -> Vec<String> {
    objects.in_namespace(namespace).iter().map(|object| object.name().to_owned()).collect()
}

fn autoscaler(name: &str, max: i32) -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"namespace": "shop", "name": name},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
            "maxReplicas": max,
            "metrics": [{"type": "Pods", "pods": {
                "metric": {"name": "requests_per_second"},
                "target": {"type": "AverageValue", "averageValue": "10"},
            }}],
        },
    })
}

fn signal(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "plimsoll.dev/v1alpha1", "kind": "Signal",
        "metadata": {"namespace": "shop", "name": name, "uid": name, "generation": 1},
        "spec": spec,
    })
}

/// Lets the fake have a kind, and an empty collection of it.
fn serve_autoscalers(fake: &FakeKubernetes) {
    let kind = "HorizontalPodAutoscaler";
    let resource = resource("horizontalpodautoscalers", kind, &["hpa"], "Namespaced");
    fake.add_kind("autoscaling", "v2", &resource);
}

#[tokio::test]
async fn autoscalers_are_followed_from_the_first_who_subscribes() {
    let fake = FakeKubernetes::start().await;
    serve_autoscalers(&fake);
    fake.put_whole(AUTOSCALERS, autoscaler("web", 5));
    let inventory = start(&fake).await;
    assert_eq!(fake.requests("autoscalers").len(), 0);

    let mut autoscalers = inventory.autoscalers();
    let first = until(&mut autoscalers, |state| state.len() == 1).await;
    let web = first.get("shop", "web").unwrap();
    assert_eq!((&*web.target.name, web.max_replicas, web.metrics.len()), ("web", 5, 1));

    fake.put_whole(AUTOSCALERS, autoscaler("api", 3));
    fake.put_whole(AUTOSCALERS, autoscaler("web", 7));
    let changed = |state: &Objects<_>| {
        state.len() == 2 && state.get("shop", "web").is_some_and(|web: &Arc<_>| max(web) == 7)
    };
    until(&mut autoscalers, changed).await;
    fake.delete(AUTOSCALERS, "shop", "web");
    until(&mut autoscalers, |state| names(state, "shop") == ["api"]).await;
    let states = inventory.watches();
    assert_eq!(states[0].resource.to_string(), "horizontalpodautoscalers.autoscaling");
    assert_eq!((states.len(), states[0].objects), (1, Some(1)));
    // Another subscriber shares the watch.
    assert_eq!(inventory.autoscalers().borrow().as_ref().unwrap().len(), 1);
    assert_eq!(fake.requests("watch=true").len(), 1);
}

fn max(autoscaler: &plimsoll::model::autoscaler::Autoscaler) -> i32 {
    autoscaler.max_replicas
}

#[tokio::test]
async fn the_last_state_of_a_table_serves_while_the_api_server_is_away() {
    let fake = FakeKubernetes::start().await;
    serve_autoscalers(&fake);
    fake.put_whole(AUTOSCALERS, autoscaler("web", 5));
    let inventory = start(&fake).await;
    let mut autoscalers = inventory.autoscalers();
    until(&mut autoscalers, |state| state.len() == 1).await;

    fake.put_whole(AUTOSCALERS, autoscaler("api", 5));
    until(&mut autoscalers, |state| state.len() == 2).await;
    fake.fail(Some(http::StatusCode::INTERNAL_SERVER_ERROR));
    fake.cut();
    fake.delete_behind_the_back(AUTOSCALERS, "shop", "web");
    let failing = async {
        while inventory.watches()[0].failure.is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), failing).await.unwrap();
    assert_eq!(autoscalers.borrow().as_ref().unwrap().len(), 2);
    fake.fail(None);
    until(&mut autoscalers, |state| names(state, "shop") == ["api"]).await;
}

#[tokio::test]
async fn a_change_of_status_alone_makes_no_new_state_of_a_table() {
    let fake = FakeKubernetes::start().await;
    serve_autoscalers(&fake);
    fake.put_whole(AUTOSCALERS, autoscaler("web", 5));
    let inventory = start(&fake).await;
    let mut autoscalers = inventory.autoscalers();
    let first = until(&mut autoscalers, |state| state.len() == 1).await;
    let mut scaled = autoscaler("web", 5);
    scaled["status"] = json!({"currentReplicas": 3});
    fake.put_whole(AUTOSCALERS, scaled);
    fake.put_whole(AUTOSCALERS, autoscaler("api", 5));
    let second = until(&mut autoscalers, |state| state.len() == 2).await;
    assert!(Arc::ptr_eq(first.get("shop", "web").unwrap(), second.get("shop", "web").unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_kind_that_is_not_installed_is_known_to_have_no_objects_and_looked_for_later() {
    let fake = FakeKubernetes::start().await;
    let inventory = start(&fake).await;
    let mut signals = inventory.custom(CustomKind::Signal);
    assert!(until(&mut signals, |_| true).await.is_empty());
    assert_eq!(fake.requests("plimsoll.dev").len(), 0);

    fake.put_whole(SIGNALS, signal("one", &json!({"metric": "rps"})));
    fake.put_whole(SIGNALS, signal("large", &json!({"metric": "x".repeat(MAX_SPEC)})));
    let resource = resource("signals", "Signal", &[], "Namespaced");
    fake.add_kind("plimsoll.dev", "v1alpha1", &resource);
    // Discovery looks by itself every five minutes.
    let there = tokio::time::timeout(Duration::from_mins(6), async {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let state = signals.borrow_and_update().clone().unwrap();
            if state.len() == 2 {
                return state;
            }
        }
    });
    let there = there.await.unwrap();
    let one = there.get("shop", "one").unwrap();
    assert_eq!((&*one.uid, one.generation), ("one", 1));
    assert_eq!(one.spec, Ok(Arc::new(json!({"metric": "rps"}))));
    assert_eq!(there.get("shop", "large").unwrap().spec, Err(MAX_SPEC + 13));
    assert!(inventory.watches().iter().all(|state| state.failure.is_none()));

    fake.remove_group("plimsoll.dev");
    let gone = tokio::time::timeout(Duration::from_mins(6), async {
        while !signals.borrow_and_update().clone().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    gone.await.unwrap();
}

/// What `kubectl get -A -o yaml` prints of each kind, shortened.
const OBJECTS: &str = r#"
apiVersion: v1
kind: List
items:
- apiVersion: autoscaling/v2
  kind: HorizontalPodAutoscaler
  metadata: {name: web, namespace: shop}
  spec:
    maxReplicas: 9
    minReplicas: 2
    metrics:
    - object:
        describedObject: {apiVersion: v1, kind: Service, name: web}
        metric: {name: rps, selector: {matchLabels: {verb: GET}}}
        target: {type: Value, value: 10k}
      type: Object
    scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
- apiVersion: v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec: {clusterIP: 10.0.0.1, selector: {app: web, tier: "1"}, ports: [{port: 80}]}
- apiVersion: v1
  kind: Service
  metadata: {name: alias, namespace: shop}
  spec: {type: ExternalName, externalName: example.com}
- apiVersion: serving.knative.dev/v1
  kind: Service
  metadata: {name: web, namespace: shop}
  spec: {selector: [of, another, kind]}
- apiVersion: v1
  kind: LimitRange
  metadata: {name: defaults, namespace: shop}
  spec:
    limits:
    - {type: PersistentVolumeClaim, max: {storage: 1Ti}}
    - {type: Container, max: {memory: 1Gi}, defaultRequest: {cpu: 100m}, maxLimitRequestRatio: {cpu: 4}}
- apiVersion: plimsoll.dev/v1alpha1
  kind: Signal
  metadata: {name: rps, namespace: shop}
  spec: {metric: rps, requestRate: {window: 1m}}
"#;

#[tokio::test]
async fn a_file_holds_the_same_and_changes_are_taken_up() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("objects.yaml");
    std::fs::write(&path, OBJECTS).unwrap();
    let file = FileInventory::open(path.clone(), Duration::from_millis(10)).await.unwrap();
    let inventory = AnyInventory::File(file);
    let mut autoscalers = inventory.autoscalers();
    let state = until(&mut autoscalers, |_| true).await;
    let web = state.get("shop", "web").unwrap();
    assert_eq!((&*web.target.kind, web.min_replicas, web.max_replicas), ("Deployment", 2, 9));
    assert_eq!(web.metrics.len(), 1);

    let services = until(&mut inventory.services(), |_| true).await;
    let selector = |name: &str| {
        let service = services.get("shop", name).unwrap();
        service.selector.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
    };
    assert_eq!([selector("web"), selector("alias")], ["app=web,tier=1", ""]);

    let ranges = until(&mut inventory.limit_ranges(), |_| true).await;
    let [limit] = &*ranges.get("shop", "defaults").unwrap().limits else { panic!("{ranges:?}") };
    let quantity = |text| Some(Quantity::parse(text).unwrap());
    let memory = limit.of("memory").unwrap();
    assert_eq!((memory.default, memory.default_request), (quantity("1Gi"), quantity("1Gi")));
    let cpu = limit.of("cpu").unwrap();
    assert_eq!((cpu.default, cpu.default_request), (None, quantity("100m")));
    assert_eq!(cpu.max_ratio, quantity("4"));

    let signals = until(&mut inventory.custom(CustomKind::Signal), |_| true).await;
    let spec = signals.get("shop", "rps").unwrap().spec.clone().unwrap();
    assert_eq!(*spec, json!({"metric": "rps", "requestRate": {"window": "1m"}}));

    std::fs::write(&path, OBJECTS.replace("maxReplicas: 9", "maxReplicas: 12")).unwrap();
    until(&mut autoscalers, |state| max(state.get("shop", "web").unwrap()) == 12).await;
}

#[tokio::test]
async fn without_a_file_there_is_known_to_be_nothing() {
    let inventory = AnyInventory::File(FileInventory::none());
    assert!(until(&mut inventory.autoscalers(), |_| true).await.is_empty());
    assert!(until(&mut inventory.custom(CustomKind::Exemption), |_| true).await.is_empty());
}

async fn send(client: &Client, method: &str, path: &str, body: &Value) {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    client.request::<Value>(request).await.unwrap();
}

#[tokio::test]
async fn a_real_api_server_tells_of_autoscalers_services_limit_ranges_and_signals() {
    let name = "a_real_api_server_tells_of_autoscalers_services_limit_ranges_and_signals";
    let Some(plane) = ControlPlane::start(name).await else { return };
    let client = plane.client().await;
    let inventory = WatchInventory::start(client.clone()).await.unwrap();
    let mut autoscalers = inventory.autoscalers();
    let mut signals = inventory.custom(CustomKind::Signal);
    assert!(until(&mut autoscalers, |_| true).await.is_empty());
    assert!(until(&mut signals, |_| true).await.is_empty());
    let namespace = json!({"metadata": {"name": "shop"}});
    send(&client, "POST", "/api/v1/namespaces", &namespace).await;
    let path = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers";
    send(&client, "POST", path, &autoscaler("web", 5)).await;
    let state = until(&mut autoscalers, |state| state.len() == 1).await;
    assert_eq!(state.get("shop", "web").unwrap().uid.len(), 36);
    // The API server itself fills in 1.
    assert_eq!(state.get("shop", "web").unwrap().min_replicas, 1);
    send(&client, "PUT", &format!("{path}/web"), &autoscaler("web", 8)).await;
    until(&mut autoscalers, |state| state.iter().any(|web| web.max_replicas == 8)).await;
    send(&client, "DELETE", &format!("{path}/web"), &json!({})).await;
    until(&mut autoscalers, Objects::is_empty).await;

    let mut services = inventory.services();
    let mut ranges = inventory.limit_ranges();
    until(&mut services, |state| !state.is_empty()).await;
    let service = json!({"metadata": {"name": "web"}, "spec": {
        "selector": {"app": "web"}, "ports": [{"port": 80}]}});
    send(&client, "POST", "/api/v1/namespaces/shop/services", &service).await;
    until(&mut services, |state| names(state, "shop") == ["web"]).await;
    let range = json!({"metadata": {"name": "limits"}, "spec": {"limits": [
        {"type": "Container", "default": {"memory": "512Mi"}}]}});
    send(&client, "POST", "/api/v1/namespaces/shop/limitranges", &range).await;
    let state = until(&mut ranges, |state| state.len() == 1).await;
    let limits = &state.get("shop", "limits").unwrap().limits;
    let quantity = Quantity::parse("512Mi").ok();
    assert_eq!(limits[0].of("memory").unwrap().default_request, quantity);

    install(&client, "signals", "Signal").await;
    let path = "/apis/plimsoll.dev/v1alpha1/namespaces/shop/signals";
    // Discovery is asked when the definition has settled.
    create_when_served(&client, path, &signal("rps", &json!({"metric": "rps"}))).await;
    let state = until(&mut signals, |state| state.len() == 1).await;
    let rps = state.get("shop", "rps").unwrap();
    assert_eq!((rps.generation, rps.uid.len(), rps.created.is_some()), (1, 36, true));
}

/// Installs a kind with any spec and status.
pub(crate) async fn install(client: &Client, plural: &str, kind: &str) {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let schema = json!({"openAPIV3Schema": {
        "type": "object", "properties": {"spec": any, "status": any}}});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.plimsoll.dev")},
        "spec": {
            "group": "plimsoll.dev", "scope": "Namespaced",
            "names": {"plural": plural, "kind": kind},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true, "schema": schema,
                "subresources": {"status": {}},
            }],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    send(client, "POST", path, &definition).await;
}

/// Creates an object of a kind that may not be served yet.
pub(crate) async fn create_when_served(client: &Client, path: &str, object: &Value) {
    let created = tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let request = http::Request::post(path).header("content-type", "application/json");
            let request = request.body(object.to_string().into_bytes()).unwrap();
            match client.request::<Value>(request).await {
                Ok(_) => return,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    });
    created.await.unwrap();
}
