//! What can be tried in any cluster, such as one of kind, with the rights of its administrator:
//! `hack/test --cluster KUBECONFIG`.
//!
//! The API server takes everything that we ship; the account that is shipped is made for real, and
//! the binary runs with it here, outside of the cluster. Only where it is known at which address the
//! API server reaches this machine are APIServices made, so that nobody in the cluster is led to
//! nowhere. The namespace `plimsoll` must not exist; everything that is made is deleted at the end.

mod registered;

use std::fs;
use std::process::{Command, Stdio};

use k8s_openapi::ByteString;
use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::kubectl::Kubectl;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::{Answer, FakePrometheus};

/// The variable that names the administrator's kubeconfig.
const KUBECONFIG: &str = "PLIMSOLL_TEST_KUBECONFIG";

/// The variable that names an address of this machine that the API server reaches.
const ADDRESS: &str = "PLIMSOLL_TEST_ADDRESS";

const MANIFESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");

/// What our account is and may, and what it looks at.
const ACCOUNT: [&str; 7] = [
    "Namespace",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "CustomResourceDefinition",
];

const CONFIG: &str = r#"
externalRules:
  - seriesQuery: 'queue_messages_ready{namespace!=""}'
    resources: {overrides: {namespace: {resource: namespace}}}
    metricsQuery: 'sum(<<.Series>>{<<.LabelMatchers>>}) by (queue)'
"#;
const METRIC: &str =
    "/apis/external.metrics.k8s.io/v1beta1/namespaces/plimsoll/queue_messages_ready";

/// Objects in a cluster; they are deleted when this is dropped.
struct Made {
    kubeconfig: String,
    objects: String,
}

impl Made {
    async fn make(kubectl: &Kubectl, kubeconfig: &str, objects: &[Value]) -> Self {
        let objects = json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string();
        let made = Self { kubeconfig: kubeconfig.to_owned(), objects };
        kubectl.create(&made.objects).await;
        made
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), &self.objects).unwrap();
        let mut delete = Command::new("kubectl");
        delete.args(["delete", "--ignore-not-found", "--timeout=60s", "-f"]).arg(file.path());
        let deleted = delete.env("KUBECONFIG", &self.kubeconfig).stdout(Stdio::null()).status();
        assert!(deleted.unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shipped_works_in_the_cluster_at_hand() {
    let Ok(path) = std::env::var(KUBECONFIG) else {
        println!("skipped: no cluster at hand: hack/test --cluster KUBECONFIG");
        return;
    };
    let admin = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let kubectl = Kubectl::new(&admin).expect("kubectl is installed");
    let there = kubectl.run("get namespace plimsoll --ignore-not-found -o name").await;
    assert_eq!(there, "", "there is something in this cluster that would be deleted");

    let base = kubectl.run(&format!("kustomize {MANIFESTS}/base")).await;
    let base: Vec<Value> = serde_saphyr::from_multiple(&base).unwrap();
    let (account, mut others): (Vec<_>, Vec<_>) =
        base.into_iter().partition(|object| ACCOUNT.iter().any(|kind| object["kind"] == *kind));
    assert!(others.iter().any(|object| object["kind"] == "Deployment"));
    let _made = Made::make(&kubectl, &path, &account).await;
    kubectl.run(&format!("apply --dry-run=server -k {MANIFESTS}/base")).await;
    kubectl
        .run(&format!("apply --dry-run=server -f {MANIFESTS}/components/admission/validating.yaml"))
        .await;
    our_account_serves_those_who_may(&kubectl).await;
    match std::env::var(ADDRESS) {
        Ok(address) if !address.is_empty() => {
            others.retain(|object| object["kind"] == "APIService");
            let cluster = registered::Cluster { kubectl: &kubectl, kubeconfig: &path };
            registered::an_autoscaler_scales(cluster, address.parse().unwrap(), others).await;
        }
        _ => println!("skipped: no address to register: hack/test --cluster KUBECONFIG ADDRESS"),
    }
}

async fn our_account_serves_those_who_may(kubectl: &Kubectl) {
    let prometheus = FakePrometheus::start().await;
    let series =
        json!([{"__name__": "queue_messages_ready", "namespace": "plimsoll", "queue": "q"}]);
    prometheus.answer("queue_messages_ready{namespace!=\"\"}", Answer::data(&series));
    let now = jiff::Timestamp::now().as_duration().as_secs_f64();
    prometheus.answer_all(Answer::vector(&[(json!({"queue": "q"}), now, "3")]));
    let kubeconfig = kubeconfig_of(kubectl, "plimsoll").await;
    // A controller merges the role of the objects.
    let may = "auth can-i watch pods -A --as=system:serviceaccount:plimsoll:plimsoll";
    wait_until("our account may look", async || kubectl.attempt(may, "").await.is_ok()).await;
    let plimsoll = Plimsoll::start_unready(&Start {
        config: CONFIG,
        prometheus: prometheus.url().as_str(),
        kubeconfig: &kubeconfig,
        flags: &[
            "--certificate-secret=plimsoll/plimsoll-certificates",
            "--authorization-webhook-cache-unauthorized-ttl=100ms",
        ],
        ..Start::default()
    });
    wait_until("it is ready", async || {
        let answer = reqwest::get(format!("http://{}/readyz", plimsoll.admin)).await;
        answer.is_ok_and(|answer| answer.status().is_success())
    })
    .await;
    let secret = kubectl.json("get secret plimsoll-certificates -n plimsoll -o json").await;
    let ByteString(bundle) = serde_json::from_value(secret["data"]["ca.crt"].clone()).unwrap();
    let bundle = String::from_utf8(bundle).unwrap();
    let client = Client::new(plimsoll.secure, &bundle).with_name("plimsoll.plimsoll.svc");

    kubectl.run("create serviceaccount reader -n plimsoll").await;
    let token = kubectl.run("create token reader -n plimsoll").await;
    let bearer = format!("Bearer {token}");
    let ask = async || client.get_with(METRIC, &[("authorization", &bearer)]).await;
    assert_eq!(client.get(METRIC).await.status, 403, "anonymous");
    assert_eq!(client.get_with(METRIC, &[("authorization", "Bearer no")]).await.status, 401);
    assert_eq!(ask().await.status, 403);
    let bind = "create rolebinding reader -n plimsoll --clusterrole=plimsoll-metrics-reader";
    kubectl.run(&format!("{bind} --serviceaccount=plimsoll:reader")).await;
    wait_until("it may", async || ask().await.status == 200).await;
    assert_eq!(ask().await.json()["items"][0]["value"], "3");
    let log = plimsoll.log();
    let denied: Vec<_> = log.iter().filter(|line| line.to_string().contains("forbidden")).collect();
    assert!(denied.is_empty(), "{denied:?}");
}

/// The administrator's kubeconfig with the token of one of our accounts.
async fn kubeconfig_of(kubectl: &Kubectl, account: &str) -> String {
    let token = kubectl.run(&format!("create token {account} -n plimsoll")).await;
    let mut config = kubectl.json("config view --raw --minify -o json").await;
    config["users"][0]["user"] = json!({"token": token});
    config.to_string()
}
