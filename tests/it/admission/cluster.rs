//! The webhook as a real API server asks it: registered by the component of the manifests, trusted
//! by the bundle that we publish, and heard by people through kubectl.

use serde_json::{Value, json};

use crate::support::control_plane::{Authorities, ControlPlane, Ways};
use crate::support::kubectl::{Kubectl, Said};
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::FakePrometheus;

const CONFIG: &str = "admission:\n  rules: {maximum: deny}\n  bounds: {maximum: {memory: 1Gi}}\n";

/// The cluster, with the process that judges. The fields end in this order.
struct World {
    plimsoll: Plimsoll,
    kubectl: Kubectl,
    plane: ControlPlane,
    _prometheus: FakePrometheus,
}

impl World {
    /// `None`, and a line that says so, where something is not installed.
    async fn start(test: &str) -> Option<Self> {
        let (front_proxy, users) = (Authority::new(), Authority::new());
        let authorities = Authorities { front_proxy: &front_proxy, users: &users };
        let plane = ControlPlane::start_whole(test, authorities, Ways::default()).await?;
        let kubectl = Kubectl::new(&plane.kubeconfig("lab"))?;
        let manifests = concat!(env!("CARGO_MANIFEST_DIR"), "/manifests");
        kubectl.run(&format!("apply -k {manifests}/base")).await;
        let component = format!("{manifests}/components/admission");
        kubectl
            .run(&format!("apply -f {component}/rbac.yaml -f {component}/validating.yaml"))
            .await;
        for (namespace, label) in [("shop", "enforce=baseline"), ("lab", "warn=baseline")] {
            kubectl.run(&format!("create namespace {namespace}")).await;
            kubectl.run(&format!("label namespace {namespace} plimsoll.dev/{label}")).await;
        }
        kubectl.run("create namespace legacy").await;
        let prometheus = FakePrometheus::start().await;
        let token = kubectl.run("create token plimsoll --namespace=plimsoll").await;
        let plimsoll = Plimsoll::start_unready(&Start {
            config: CONFIG,
            prometheus: prometheus.url().as_str(),
            kubeconfig: &plane.kubeconfig(&token),
            flags: &["--certificate-secret=plimsoll/plimsoll-certificates"],
            ..Start::default()
        });
        let port = plimsoll.admission.port();
        let world = Self { plimsoll, kubectl, plane, _prometheus: prometheus };
        world.kubectl.create(&endpoints(port).to_string()).await;
        world.until_it_judges().await;
        Some(world)
    }

    /// Until a bad workload is refused: the bundle is published and the namespaces are known.
    async fn until_it_judges(&self) {
        let probe = workload("Deployment", "probe", "shop", &bad()).to_string();
        let refuses = async || {
            let said = self.kubectl.say("create --dry-run=server -f -", &probe).await;
            said.errors.contains("validate.plimsoll.dev")
        };
        wait_until("the API server asks the webhook", refuses).await;
    }

    async fn apply(&self, object: &Value) -> Said {
        self.kubectl.say("apply -f -", &object.to_string()).await
    }

    #[track_caller]
    fn refused(said: &Said, what: &str) {
        assert!(!said.success, "{what}: {said:?}");
        let begin = "admission webhook \"validate.plimsoll.dev\" denied the request: ";
        assert!(said.errors.contains(begin), "{what}: {}", said.errors);
    }

    #[track_caller]
    fn accepted(said: &Said, what: &str) {
        assert!(said.success, "{what}: {}", said.errors);
    }
}

/// The Service of the base leads to a process on loopback, which a slice of addresses refuses.
fn endpoints(port: u16) -> Value {
    let labels = json!({"kubernetes.io/service-name": "plimsoll"});
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": "plimsoll-loopback", "namespace": "plimsoll", "labels": labels},
        "addressType": "FQDN", "ports": [{"name": "admission", "port": port}],
        "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}],
    })
}

fn bad() -> Value {
    json!({"name": "app", "image": "registry.example/app:1"})
}

fn good() -> Value {
    json!({
        "name": "app", "image": "registry.example/app:1",
        "resources": {
            "requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "128Mi"},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    })
}

const KINDS: [(&str, &str); 8] = [
    ("Deployment", "apps/v1"),
    ("StatefulSet", "apps/v1"),
    ("DaemonSet", "apps/v1"),
    ("ReplicaSet", "apps/v1"),
    ("ReplicationController", "v1"),
    ("Job", "batch/v1"),
    ("CronJob", "batch/v1"),
    ("Pod", "v1"),
];

/// A workload of a kind with one container.
fn workload(kind: &str, name: &str, namespace: &str, container: &Value) -> Value {
    let (_, version) = KINDS.into_iter().find(|(known, _)| *known == kind).unwrap();
    // Else one would take over the pods of another.
    let labels = json!({"app": name, "kind": kind});
    let mut container = container.clone();
    let ends = ["Job", "CronJob"].contains(&kind);
    if ends {
        container.as_object_mut().unwrap().remove("readinessProbe");
    }
    let mut pod = json!({"containers": [container]});
    if ends {
        pod["restartPolicy"] = json!("Never");
    }
    let template = json!({"metadata": {"labels": labels}, "spec": pod});
    let selector = json!({"matchLabels": labels});
    let spec = match kind {
        "Pod" => pod,
        "Job" => json!({"template": template}),
        "CronJob" => {
            json!({"schedule": "0 0 1 1 *", "jobTemplate": {"spec": {"template": template}}})
        }
        "ReplicationController" => json!({"selector": labels, "template": template}),
        "StatefulSet" => json!({"serviceName": name, "selector": selector, "template": template}),
        _ => json!({"selector": selector, "template": template}),
    };
    json!({
        "apiVersion": version, "kind": kind, "spec": spec,
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_of_every_kind_are_refused_or_accepted_with_what_kubectl_prints() {
    let Some(world) = World::start("admission").await else { return };
    for (kind, _) in KINDS {
        let said = world.apply(&workload(kind, "bad", "shop", &bad())).await;
        World::refused(&said, kind);
        let resource = kind.to_lowercase();
        let ends = ["Job", "CronJob"].contains(&kind);
        let problems = if ends { 3 } else { 4 };
        let line = format!("{kind} shop/bad: {problems} problems. container \"app\": ");
        assert!(said.errors.contains(&line), "{}", said.errors);
        for field in ["resources.requests.cpu missing →", "resources.limits.memory missing →"] {
            assert!(said.errors.contains(field), "{}", said.errors);
        }
        let said = world.apply(&workload(kind, "good", "shop", &good())).await;
        World::accepted(&said, kind);
        assert_eq!((&*said.errors, said.output.contains("/good created")), ("", true), "{said:?}");
        let said = world.apply(&workload(kind, "bad", "lab", &bad())).await;
        World::accepted(&said, kind);
        let warnings: Vec<_> = said.errors.lines().collect();
        assert_eq!(warnings.len(), problems, "{resource}: {warnings:?}");
        let begin = "Warning: container \"app\": ";
        assert!(warnings.iter().all(|line| line.starts_with(begin)), "{warnings:?}");
    }
    a_dry_run_and_server_side_apply_are_judged_alike(&world).await;
    a_resize_is_judged(&world).await;
    an_autoscaler_is_judged(&world).await;
    a_scan_lists_what_would_be_refused(&world).await;
    a_deploy_goes_through_while_the_process_is_down(world).await;
}

/// The definition of the reports, as far as the API server needs it.
fn report_definition() -> Value {
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": "policyreports.wgpolicyk8s.io",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": "wgpolicyk8s.io", "scope": "Namespaced",
            "names": {"kind": "PolicyReport", "plural": "policyreports"},
            "versions": [{
                "name": "v1alpha2", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

async fn a_scan_lists_what_would_be_refused(world: &World) {
    let kubectl = &world.kubectl;
    kubectl.create(&report_definition().to_string()).await;
    kubectl.run("wait --for=condition=Established crd/policyreports.wgpolicyk8s.io").await;
    let kubeconfig = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(kubeconfig.path(), world.plane.kubeconfig("lab")).unwrap();
    let scan = async |flags: &[&str]| {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_plimsoll"));
        command.arg("scan").arg("--kubeconfig").arg(kubeconfig.path()).args(flags);
        let output = command.output().await.unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap() + &errors)
    };
    let flags = ["--namespace=lab", "--enforce=baseline", "--policy-reports"];
    let (code, text) = scan(&flags).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.starts_with("namespace lab\n  Deployment bad\n    deny: "), "{text}");
    // The pods of the controllers are theirs.
    assert_eq!(text.matches("  Pod ").count(), 1, "{text}");
    assert!(text.trim_end().ends_with("8 would be refused, 1 warned about"), "{text}");
    let report = kubectl.json("get policyreport plimsoll --namespace=lab --output=json").await;
    assert_eq!(report["summary"]["fail"], 30, "{report}");
    let (code, text) = scan(&["--namespace=shop", "--output=json"]).await;
    assert_eq!(code, Some(0), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["namespace"], "shop");
}

async fn a_dry_run_and_server_side_apply_are_judged_alike(world: &World) {
    let (bad, good) = (workload("Deployment", "dry", "shop", &bad()).to_string(), good());
    for command in ["apply --dry-run=server -f -", "apply --server-side -f -", "create -f -"] {
        World::refused(&world.kubectl.say(command, &bad).await, command);
    }
    let good = workload("Deployment", "dry", "shop", &good).to_string();
    let said = world.kubectl.say("apply --dry-run=server -f -", &good).await;
    World::accepted(&said, "dry run");
    let none = world.kubectl.say("get deployment dry --namespace=shop", "").await;
    assert!(none.errors.contains("NotFound"), "{none:?}");
    let said = world.kubectl.say("apply --server-side -f -", &good).await;
    World::accepted(&said, "server-side apply");
}

async fn a_resize_is_judged(world: &World) {
    let resize = |memory: &str| {
        let resources = json!({"limits": {"memory": memory}});
        let patch = json!({"spec": {"containers": [{"name": "app", "resources": resources}]}});
        format!("patch pod good --namespace=shop --subresource=resize --patch={patch}")
    };
    World::accepted(&world.kubectl.say(&resize("256Mi"), "").await, "resize");
    let said = world.kubectl.say(&resize("2Gi"), "").await;
    World::refused(&said, "resize above the maximum");
    assert!(said.errors.contains("resources.limits.memory 2Gi →"), "{}", said.errors);
}

async fn an_autoscaler_is_judged(world: &World) {
    let hpa = |name: &str, version: &str| {
        json!({
            "apiVersion": version, "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": name, "namespace": "lab"},
            "spec": {
                "maxReplicas": 3,
                "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "bad"},
            },
        })
    };
    let told = async |version, what: &str| {
        let command = "apply --dry-run=server -f -";
        let said = world.kubectl.say(command, &hpa("share", version).to_string()).await;
        said.errors.contains(what)
    };
    // As Equivalent, version 1 is judged as version 2.
    for version in ["autoscaling/v2", "autoscaling/v1"] {
        wait_until("the target's requests are judged", async || {
            told(version, "has no cpu request").await
        })
        .await;
    }
    World::accepted(&world.apply(&hpa("first", "autoscaling/v2")).await, "hpa");
    wait_until("the other autoscaler is known", async || {
        told("autoscaling/v2", "as in HorizontalPodAutoscaler").await
    })
    .await;
}

async fn a_deploy_goes_through_while_the_process_is_down(world: World) {
    let World { mut plimsoll, kubectl, plane: _plane, _prometheus } = world;
    plimsoll.kill();
    let bad = workload("Deployment", "meanwhile", "shop", &bad()).to_string();
    let said = kubectl.say("apply -f -", &bad).await;
    World::accepted(&said, "without the webhook");
    let metrics = kubectl.run("get --raw /metrics").await;
    let count = |name: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with(name));
        let ours = lines.filter(|line| line.contains("validate.plimsoll.dev"));
        ours.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!(count("apiserver_admission_webhook_fail_open_count") >= 1.0, "{metrics}");
    let broken = count("apiserver_admission_match_condition_evaluation_errors_total");
    assert!(broken < 1.0, "a match condition cannot be evaluated");
    assert!(count("apiserver_admission_webhook_rejection_count") >= 8.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_already_is_never_held_up() {
    let Some(world) = World::start("admission").await else { return };
    let kubectl = &world.kubectl;
    for name in ["old", "rolled"] {
        World::accepted(&world.apply(&workload("Deployment", name, "legacy", &bad())).await, name);
    }
    let stateful = workload("StatefulSet", "db", "legacy", &bad());
    World::accepted(&world.apply(&stateful).await, "db");
    let exists = async |what: &str| {
        let name = kubectl.run(&format!("get {what} --namespace=legacy --output=name")).await;
        !name.is_empty()
    };
    for what in ["replicaset -l app=old", "replicaset -l app=rolled", "pod -l app=old"] {
        wait_until(what, async || exists(what).await).await;
    }
    // A good revision, then the namespace begins to enforce.
    for (kind, name) in [("Deployment", "rolled"), ("StatefulSet", "db")] {
        World::accepted(&world.apply(&workload(kind, name, "legacy", &good())).await, name);
    }
    wait_until("there are two revisions", async || {
        let sets = kubectl.run("get replicaset -l app=rolled --namespace=legacy -o name").await;
        let all = kubectl.run("get controllerrevision --namespace=legacy -o name").await;
        sets.lines().count() == 2 && all.lines().count() == 2
    })
    .await;
    kubectl.run("label namespace legacy plimsoll.dev/enforce=baseline").await;
    let new = workload("Deployment", "new", "legacy", &bad()).to_string();
    wait_until("it is enforced", async || {
        let said = kubectl.say("create --dry-run=server -f -", &new).await;
        said.errors.contains("denied the request")
    })
    .await;

    // Whoever touches an old violator is told, and not stopped.
    for command in [
        "set env deployment/old --namespace=legacy A=b",
        "scale deployment/old --namespace=legacy --replicas=2",
        "annotate deployment/old --namespace=legacy note=x",
        "rollout restart deployment/old --namespace=legacy",
        "set image deployment/old --namespace=legacy app=registry.example/app:2",
    ] {
        World::accepted(&kubectl.say(command, "").await, command);
    }
    let worse =
        json!({"spec": {"template": {"spec": {"containers": [{"name": "b", "image": "b"}]}}}});
    let command = format!("patch deployment old --namespace=legacy --patch={worse}");
    World::refused(&kubectl.say(&command, "").await, "another container without anything");

    rollbacks_go_through(kubectl).await;
    pods_are_replaced_and_debugged(kubectl).await;
    what_is_being_deleted_goes(kubectl).await;
}

async fn rollbacks_go_through(kubectl: &Kubectl) {
    for what in ["deployment/rolled", "statefulset/db"] {
        let command = format!("rollout undo {what} --namespace=legacy");
        wait_until("the revisions are known, and the rollback goes through", async || {
            let said = kubectl.say(&command, "").await;
            assert!(
                said.success || said.errors.contains("denied the request"),
                "{what}: {}",
                said.errors
            );
            said.success
        })
        .await;
        let limit = "{.spec.template.spec.containers[0].resources.limits.memory}";
        let left = kubectl.run(&format!("get {what} --namespace=legacy -o jsonpath={limit}")).await;
        assert_eq!(left, "", "{what}");
    }
}

async fn pods_are_replaced_and_debugged(kubectl: &Kubectl) {
    let pods = "get pods -l app=old --namespace=legacy -o name";
    let before = kubectl.run(pods).await;
    let pod = before.lines().next().unwrap();
    let debug = format!("debug {pod} --namespace=legacy --image=registry.example/tools:1");
    World::accepted(&kubectl.say(&debug, "").await, "debug");
    for pod in before.lines() {
        kubectl.run(&format!("delete {pod} --namespace=legacy --wait=false")).await;
    }
    wait_until("the pods are replaced", async || {
        let now = kubectl.run(pods).await;
        now.lines().any(|pod| !before.contains(pod))
    })
    .await;
}

async fn what_is_being_deleted_goes(kubectl: &Kubectl) {
    let old = "deployment/old --namespace=legacy";
    let finalizers = |value: Value| json!({"metadata": {"finalizers": value}});
    let held = finalizers(json!(["example.com/hold"]));
    kubectl.run(&format!("patch {old} --patch={held}")).await;
    kubectl.run(&format!("delete {old} --wait=false")).await;
    let free = finalizers(Value::Null);
    kubectl.run(&format!("patch {old} --type=merge --patch={free}")).await;
    wait_until("it is gone", async || {
        kubectl.say(&format!("get {old}"), "").await.errors.contains("NotFound")
    })
    .await;
}
