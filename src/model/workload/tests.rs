use proptest::prelude::*;
use serde_json::json;

use super::*;

fn read(object: &Value) -> Result<Option<Workload>, Unreadable> {
    Workload::read("apps", "Deployment", object, &[])
}

fn deployment(spec: &Value) -> Workload {
    let object = json!({"metadata": {"name": "cart", "namespace": "shop"}, "spec": {"template": {"spec": spec}}});
    read(&object).unwrap().unwrap()
}

#[test]
fn classes_follow_the_list_and_the_restart_policy() {
    let workload = deployment(&json!({
        "initContainers": [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}],
        "containers": [{"name": "app"}],
        "ephemeralContainers": [{"name": "debug"}],
    }));
    let classes: Vec<_> = workload
        .pod
        .containers
        .iter()
        .map(|c| (&*c.name, c.class, workload.pod.path_of(c)))
        .collect();
    let path = |list: &str| format!("spec.template.spec.{list}");
    assert_eq!(
        classes,
        [
            ("setup", Class::Init, path("initContainers[0]")),
            ("mesh", Class::Sidecar, path("initContainers[1]")),
            ("app", Class::App, path("containers[0]")),
            ("debug", Class::Ephemeral, path("ephemeralContainers[0]")),
        ]
    );
}

#[test]
fn each_kind_has_its_pod_where_kubernetes_has_it() {
    let pod = json!({"containers": [{"name": "app"}]});
    let template = json!({"spec": {"template": {"spec": pod}}});
    let cron = json!({"spec": {"jobTemplate": template}});
    let bare = json!({"spec": pod});
    let custom = [Template {
        group: "argoproj.io".into(),
        kind: "Rollout".into(),
        steps: vec!["spec".into(), "template".into()],
        run_to_completion: false,
    }];
    let cases = [
        ("", "Pod", &bare, Some(("spec", false))),
        ("apps", "Deployment", &template, Some(("spec.template.spec", false))),
        ("apps", "StatefulSet", &template, Some(("spec.template.spec", false))),
        ("apps", "DaemonSet", &template, Some(("spec.template.spec", false))),
        ("apps", "ReplicaSet", &template, Some(("spec.template.spec", false))),
        ("", "ReplicationController", &template, Some(("spec.template.spec", false))),
        ("batch", "Job", &template, Some(("spec.template.spec", true))),
        ("batch", "CronJob", &cron, Some(("spec.jobTemplate.spec.template.spec", true))),
        ("argoproj.io", "Rollout", &template, Some(("spec.template.spec", false))),
        ("example.com", "Deployment", &template, None),
        ("", "Service", &bare, None),
    ];
    for (group, kind, object, expected) in cases {
        let read = Workload::read(group, kind, object, &custom).unwrap();
        let outcome = read.as_ref().map(|read| (&*read.pod.path, read.pod.run_to_completion));
        assert_eq!(outcome, expected, "{group}/{kind}");
    }
}

#[test]
fn what_kubernetes_could_not_decode_is_an_error_with_its_path() {
    let pod = |pod: Value| json!({"spec": {"template": {"spec": pod}}});
    let limits = |amount: Value| {
        pod(json!({"containers": [{"resources": {"limits": {"nvidia.com/gpu": amount}}}]}))
    };
    let port =
        |port: Value| pod(json!({"containers": [{"readinessProbe": {"httpGet": {"port": port}}}]}));
    let cases = [
        (json!(null), "object: expected an object, found null"),
        (json!([]), "object: expected an object, found a list"),
        (json!({}), "object: `spec` is missing"),
        (json!({"spec": {"template": null}}), "spec: `template` is missing"),
        (pod(json!(7)), "spec.template.spec: expected an object, found a number"),
        (
            pod(json!({"containers": [null]})),
            "spec.template.spec.containers[0]: expected an object, found null",
        ),
        (
            pod(json!({"containers": {}})),
            "spec.template.spec.containers: expected a list, found an object",
        ),
        (
            limits(json!(true)),
            "spec.template.spec.containers[0].resources.limits[\"nvidia.com/gpu\"]: expected a quantity, found a boolean",
        ),
        (
            limits(json!("1_0")),
            "spec.template.spec.containers[0].resources.limits[\"nvidia.com/gpu\"]: \"1_0\": quantities must \
             match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (
            port(json!(1.5)),
            "spec.template.spec.containers[0].readinessProbe.httpGet.port: expected a whole number, found a number",
        ),
    ];
    for (object, message) in cases {
        assert_eq!(read(&object).unwrap_err().to_string(), message);
    }
}

#[test]
fn absent_null_and_empty_are_the_same() {
    let plain = deployment(&json!({"containers": [{"name": "app"}]}));
    for resources in [
        json!(null),
        json!({}),
        json!({"limits": null}),
        json!({"limits": {}, "claims": [{"name": "gpu"}]}),
    ] {
        let other = deployment(
            &json!({"containers": [{"name": "app", "resources": resources}], "initContainers": null}),
        );
        assert_eq!(other, plain);
    }
}

#[test]
fn a_template_has_the_same_fingerprint_wherever_it_stands() {
    let pod = json!({"containers": [{"name": "app", "resources": {"limits": {"memory": "1Gi"}}}]});
    let same =
        json!({"containers": [{"name": "app", "resources": {"limits": {"memory": "1024Mi"}}}]});
    let other =
        json!({"containers": [{"name": "app", "resources": {"limits": {"memory": "2Gi"}}}]});
    let bare = Workload::read("", "Pod", &json!({"spec": same}), &[]).unwrap().unwrap();
    assert_eq!(deployment(&pod).pod.fingerprint(), bare.pod.fingerprint());
    assert_ne!(deployment(&pod).pod.fingerprint(), deployment(&other).pod.fingerprint());
}

/// JSON with the keys of a pod in all the wrong places.
pub(crate) fn hostile() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "metadata",
        "spec",
        "template",
        "containers",
        "initContainers",
        "resources",
        "limits",
        "cpu",
        "requests",
        "memory",
        "ports",
        "readinessProbe",
        "livenessProbe",
        "httpGet",
        "port",
        "name",
        "periodSeconds",
        "restartPolicy",
        "labels",
        "ownerReferences",
        "containerPort",
        "metrics",
        "scaleTargetRef",
        "failureThreshold",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
        "[0-9]{1,3}(Mi|m|e9|E)".prop_map(Value::from),
    ];
    leaf.prop_recursive(8, 128, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..6)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_panics(object in hostile(), pod in hostile()) {
        for object in [object, json!({"spec": {"template": {"spec": pod}}})] {
            if let Err(error) = read(&object) {
                prop_assert!(!error.to_string().is_empty());
            }
            drop(crate::admission::autoscaler::read(&object));
        }
    }
}
