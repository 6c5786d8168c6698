//! A real API server that proxies to us and verifies our certificate by the bundle that it was told.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use http::Request;
use k8s_openapi::ByteString;
use kube::Client;
use plimsoll::pki::authority::split;
use plimsoll::pki::rotation::{Schedule, keys};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{CUSTOM, FAST, Replica, SECRET, apiservice, lease_settings, settings};
use crate::support::control_plane::ControlPlane;
use crate::support::plimsoll::wait_until;

/// What a client asks the API server for, and the API server us.
const DISCOVERY: &str = "/apis/custom.metrics.k8s.io/v1beta2";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_a_real_api_server_sees_no_failure_while_everything_rotates() {
    let test = "a rotation through the aggregator";
    let Some(plane) = ControlPlane::start(test).await else { return };
    let client = plane.client().await;
    // Time enough for a busy API server to take up a bundle.
    let schedule = Schedule { propagation: Duration::from_secs(1), ..FAST };
    let replicas = register(&plane, &client, schedule).await;
    for replica in &replicas {
        replica.ready().await;
    }
    wait_until("the API is available", async || is_available(&client).await).await;

    let (mut certificates, mut authorities) = (BTreeSet::new(), BTreeSet::new());
    let mut requests = 0;
    let deadline = Instant::now() + Duration::from_mins(1);
    while authorities.len() < 4 || certificates.len() < 6 {
        assert!(Instant::now() < deadline, "{} authorities", authorities.len());
        for _ in 0..20 {
            let list: Value = get(&client, DISCOVERY).await.unwrap_or_else(|error| {
                panic!("request {requests}, {} authorities: {error}", authorities.len())
            });
            assert_eq!(list["groupVersion"], "custom.metrics.k8s.io/v1beta2");
            requests += 1;
        }
        let bundle = text(&get(&client, CUSTOM).await.unwrap()["spec"]["caBundle"]);
        authorities.extend(split(&bundle));
        certificates.insert(text(&get(&client, SECRET).await.unwrap()["data"][keys::LEAF]));
    }
    println!(
        "{requests} requests, {} authorities, {} certificates",
        authorities.len(),
        certificates.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_api_server_finds_us_available_by_our_bundle() {
    let Some(plane) = ControlPlane::start("APIService with a self-managed caBundle").await else {
        return;
    };
    let client = plane.client().await;
    let [first, second] = register(&plane, &client, Schedule::default()).await;
    first.ready().await;
    second.ready().await;
    wait_until("the API is available", async || is_available(&client).await).await;
    let apiservice = get(&client, CUSTOM).await.unwrap();
    assert_eq!(apiservice["spec"]["insecureSkipTLSVerify"], Value::Null);
    let list = get(&client, DISCOVERY).await.unwrap();
    assert_eq!(list["groupVersion"], "custom.metrics.k8s.io/v1beta2");
}

/// Two replicas, and the objects that lead the API server to either.
async fn register(plane: &ControlPlane, client: &Client, schedule: Schedule) -> [Replica; 2] {
    let post = async |path: &str, object: Value| {
        let request = Request::post(path).body(object.to_string().into_bytes()).unwrap();
        client.request::<Value>(request).await.unwrap();
    };
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}});
    post("/api/v1/namespaces", namespace).await;
    let start = async |address, identity| {
        // A client sends so many requests a second and no more.
        let client = plane.client().await;
        Replica::start_at(address, client, settings(schedule), lease_settings(identity)).await
    };
    let first = start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), "first").await;
    // The endpoints of a slice share their port.
    let port = first.address.port();
    let second = start(SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port)), "second").await;

    let ports = json!([{"name": "https", "port": 443, "targetPort": port}]);
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "plimsoll"}, "spec": {"ports": ports}});
    post("/api/v1/namespaces/monitoring/services", service).await;
    // Loopback is allowed in a slice of names only.
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "plimsoll", "labels": {"kubernetes.io/service-name": "plimsoll"}},
        "addressType": "FQDN",
        "ports": [{"name": "https", "port": port}],
        "endpoints": [
            {"addresses": ["127.0.0.1"], "conditions": {"ready": true}},
            {"addresses": ["127.0.0.2"], "conditions": {"ready": true}},
        ],
    });
    post("/apis/discovery.k8s.io/v1/namespaces/monitoring/endpointslices", slice).await;
    let mut object = apiservice("plimsoll");
    object["metadata"]["name"] = json!("v1beta2.custom.metrics.k8s.io");
    object["spec"]["group"] = json!("custom.metrics.k8s.io");
    object["spec"]["version"] = json!("v1beta2");
    post("/apis/apiregistration.k8s.io/v1/apiservices", object).await;
    [first, second]
}

async fn get(client: &Client, path: &str) -> Result<Value, kube::Error> {
    client.request(Request::get(path).body(Vec::new()).unwrap()).await
}

async fn is_available(client: &Client) -> bool {
    let conditions = get(client, CUSTOM).await.unwrap()["status"]["conditions"].clone();
    conditions.as_array().is_some_and(|conditions| {
        conditions.iter().any(|one| one["type"] == "Available" && one["status"] == "True")
    })
}

/// The text that a field of bytes holds.
fn text(field: &Value) -> String {
    let ByteString(bytes) = serde_json::from_value(field.clone()).unwrap();
    String::from_utf8(bytes).unwrap()
}
