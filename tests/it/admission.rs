//! The admission webhooks of the real binary, through the socket.

mod cluster;
mod facts;
mod history;
mod hostile;
mod reviews;

use serde_json::{Value, json};

use crate::support::client::Answer;
use crate::support::plimsoll::{Plimsoll, Start};

/// A namespace that enforces, and one that does not.
const OBJECTS: &str = r"
apiVersion: v1
kind: List
items:
  - apiVersion: v1
    kind: Namespace
    metadata: {name: shop, labels: {plimsoll.dev/enforce: baseline}}
  - apiVersion: v1
    kind: Namespace
    metadata: {name: lab}
";

async fn start() -> Plimsoll {
    start_with(OBJECTS, "http://127.0.0.1:9").await
}

async fn start_with(objects: &str, prometheus: &str) -> Plimsoll {
    let config = "admission: {}\n";
    Plimsoll::start(Start { config, objects, prometheus, ..Start::default() }).await
}

/// The creation of a Deployment that nothing is wrong with.
fn review() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "resource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "requestKind": {"group": "apps", "version": "v1", "kind": "Deployment"},
            "requestResource": {"group": "apps", "version": "v1", "resource": "deployments"},
            "name": "cart",
            "namespace": "shop",
            "operation": "CREATE",
            "userInfo": {"username": "jane", "groups": ["developers", "system:authenticated"]},
            "object": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "cart", "namespace": "shop"},
                "spec": {
                    "replicas": 2,
                    "selector": {"matchLabels": {"app": "cart"}},
                    "template": {
                        "metadata": {"labels": {"app": "cart"}},
                        "spec": {"containers": [{
                            "name": "app",
                            "image": "cart:1",
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "readinessProbe": {
                                "httpGet": {"path": "/ready", "port": "http", "scheme": "HTTP"},
                                "timeoutSeconds": 1,
                                "periodSeconds": 10,
                                "successThreshold": 1,
                                "failureThreshold": 3,
                            },
                            "resources": {
                                "requests": {"cpu": "100m", "memory": "128Mi"},
                                "limits": {"memory": "256Mi"},
                            },
                        }]},
                    },
                },
            },
            "oldObject": null,
            "dryRun": false,
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"},
        },
    })
}

/// JSON merge patch (RFC 7396), with lists replaced as a whole.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        return target.clone_from(patch);
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut target[key], value);
        }
    }
}

async fn post(plimsoll: &Plimsoll, target: &str, body: impl Into<bytes::Bytes>) -> Answer {
    let headers = [("content-type", "application/json")];
    plimsoll.admission_client().send_body("POST", target, &headers, body.into()).await
}

/// The response, which is one that the API server takes
/// (staging/src/k8s.io/apiserver/pkg/admission/plugin/webhook/request/admissionreview.go).
#[track_caller]
fn verdict(answer: &Answer, uid: &str, mutates: bool, name: &str) -> Value {
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"), "{name}");
    let review = answer.json();
    assert_eq!(review["apiVersion"], "admission.k8s.io/v1", "{name}");
    assert_eq!(review["kind"], "AdmissionReview", "{name}");
    let response = &review["response"];
    assert_eq!(response["uid"], uid, "{name}");
    let allowed = response["allowed"].as_bool().unwrap_or_else(|| panic!("{name}: {review}"));
    let patched = response.get("patch").is_some();
    assert!(!patched || mutates && allowed, "{name}: {review}");
    let patch_type = patched.then_some(&Value::from("JSONPatch")).cloned();
    assert_eq!(response.get("patchType").cloned(), patch_type, "{name}");
    let status = &response["status"];
    assert_eq!(allowed, status.is_null(), "{name}: {review}");
    if !allowed {
        assert_eq!((&status["code"], &status["reason"]), (&json!(403), &json!("Forbidden")));
        let message = status["message"].as_str().unwrap();
        assert!(!message.is_empty() && message.len() <= 16 << 10, "{name}: {message}");
        assert!(message.chars().all(|c| c == '\n' || !c.is_control()), "{name}: {message:?}");
    }
    let warnings = response["warnings"].as_array().cloned().unwrap_or_default();
    let total: usize = warnings.iter().map(|one| one.as_str().unwrap().chars().count()).sum();
    assert!(total <= 4096, "{name}: {total} characters of warnings");
    for warning in warnings {
        let warning = warning.as_str().unwrap();
        assert!(warning.chars().count() <= 256, "{name}: {warning}");
        assert!(!warning.chars().any(char::is_control), "{name}: {warning:?}");
    }
    for (key, value) in response["auditAnnotations"].as_object().into_iter().flatten() {
        assert!(
            key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b)),
            "{name}: {key}"
        );
        assert!(value.is_string(), "{name}: {value}");
    }
    response.clone()
}
