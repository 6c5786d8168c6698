//! The same in short against a real API server, with an account that has no more rights than it
//! needs.

use http::Request;
use kube::Client;
use serde_json::{Value, json};

use super::{C2, CONFIG, EXTERNAL};
use crate::support::control_plane::{Authorities, ControlPlane};
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

const NAME: &str = "users_are_let_in_as_a_real_api_server_says";
const METRIC: &str = "/namespaces/default/pods/*/up";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";

async fn post(client: &Client, path: &str, body: Value) -> Value {
    let request = Request::post(path)
        .header("content-type", "application/json")
        .body(body.to_string().into_bytes())
        .unwrap();
    client.request(request).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A service account of the namespace `default`, and a token of it.
async fn service_account(client: &Client, name: &str) -> String {
    let accounts = "/api/v1/namespaces/default/serviceaccounts";
    post(client, accounts, json!({"metadata": {"name": name}})).await;
    let request = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
        "spec": {"expirationSeconds": 3600}});
    let token = post(client, &format!("{accounts}/{name}/token"), request).await;
    token["status"]["token"].as_str().unwrap().to_owned()
}

async fn bind(client: &Client, path: &str, role: (&str, &str), subject: Value) {
    let (kind, name) = role;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name});
    let body = json!({"metadata": {"generateName": "test-"}, "roleRef": role,
        "subjects": [subject]});
    post(client, path, body).await;
}

fn account(name: &str) -> Value {
    json!({"kind": "ServiceAccount", "name": name, "namespace": "default"})
}

fn now() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_are_let_in_as_a_real_api_server_says() {
    let (front_proxy, users) = (Authority::new(), Authority::new());
    let authorities = Authorities { front_proxy: &front_proxy, users: &users };
    let Some(plane) = ControlPlane::start_secured(NAME, authorities).await else {
        return;
    };
    let admin = plane.client().await;
    let own_token = service_account(&admin, "plimsoll").await;
    let pod = json!({"metadata": {"name": "web-0"},
        "spec": {"containers": [{"name": "web", "image": "web"}]}});
    post(&admin, "/api/v1/namespaces/default/pods", pod).await;
    let prometheus = FakePrometheus::start().await;
    let series = json!([{"__name__": "up", "namespace": "default", "pod": "web-0"}]);
    prometheus.answer("up", Answer::data(&series));
    prometheus.answer_all(Answer::vector(&[(json!({"pod": "web-0"}), now(), "3")]));
    let (url, kubeconfig) = (prometheus.url(), plane.kubeconfig(&own_token));
    let start = Start {
        config: CONFIG,
        prometheus: url.as_str(),
        kubeconfig: &kubeconfig,
        flags: &["--authorization-webhook-cache-unauthorized-ttl=100ms"],
        ..Start::default()
    };

    let (_, log) = Plimsoll::run_to_the_end(&start);
    assert!(log.contains("extension-apiserver-authentication-reader"), "{log}");
    let system = format!("{RBAC}/namespaces/kube-system/rolebindings");
    let reader = ("Role", "extension-apiserver-authentication-reader");
    bind(&admin, &system, reader, account("plimsoll")).await;
    let delegator = ("ClusterRole", "system:auth-delegator");
    bind(&admin, &format!("{RBAC}/clusterrolebindings"), delegator, account("plimsoll")).await;
    let rules = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["list", "watch"]}]);
    let pods = json!({"metadata": {"name": "pods"}, "rules": rules});
    post(&admin, &format!("{RBAC}/clusterroles"), pods).await;
    let pods = ("ClusterRole", "pods");
    bind(&admin, &format!("{RBAC}/clusterrolebindings"), pods, account("plimsoll")).await;
    let plimsoll = Plimsoll::start(start).await;

    let nobody = plimsoll.client();
    let aggregator = nobody.with_certificate(&front_proxy.client("front-proxy-client", "", |_| ()));
    let jane = &[("X-Remote-User", "jane")];
    let documents = aggregator.get_with(C2, jane).await;
    assert_eq!(documents.status, 200, "every user may discover: {}", documents.text());

    let metric = format!("{C2}{METRIC}");
    let denied = aggregator.get_with(&metric, jane).await;
    let message = "pods.custom.metrics.k8s.io \"*\" is forbidden: User \"jane\" cannot get \
        resource \"pods/up\" in API group \"custom.metrics.k8s.io\" in the namespace \"default\"";
    assert_eq!((denied.status, denied.message().as_str()), (403, message));
    let role = json!({"metadata": {"name": "up"}, "rules": [
        {"apiGroups": ["custom.metrics.k8s.io"], "resources": ["pods/up"], "verbs": ["get"]},
    ]});
    post(&admin, &format!("{RBAC}/namespaces/default/roles"), role).await;
    let bindings = format!("{RBAC}/namespaces/default/rolebindings");
    let user = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"});
    bind(&admin, &bindings, ("Role", "up"), user).await;
    wait_until("jane may", async || aggregator.get_with(&metric, jane).await.status != 403).await;
    let allowed = aggregator.get_with(&metric, jane).await;
    assert_eq!(allowed.json()["items"][0]["value"], "3", "{}", allowed.text());

    assert_eq!(nobody.get_with(&metric, jane).await.status, 403, "anonymous, whatever he says");
    let forged = Authority::new().client("front-proxy-client", "system:masters", |_| ());
    assert_eq!(nobody.with_certificate(&forged).get_with(&metric, jane).await.status, 401);

    let bob = nobody.with_certificate(&users.client("bob", "system:masters", |_| ()));
    assert_eq!(bob.get(&format!("{EXTERNAL}/namespaces/default/q")).await.status, 404);

    let token = service_account(&admin, "robot").await;
    let bearer = |token: &str| format!("Bearer {token}");
    let (good, bad) = (bearer(&token), bearer(&format!("{token}x")));
    assert_eq!(nobody.get_with(C2, &[("Authorization", &good)]).await.status, 200);
    assert_eq!(nobody.get_with(&metric, &[("Authorization", &good)]).await.status, 403);
    assert_eq!(nobody.get_with(C2, &[("Authorization", &bad)]).await.status, 401);
}
