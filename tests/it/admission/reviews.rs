//! What is answered to the reviews of an API server.

use super::{post, review, start, verdict};

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

#[tokio::test]
async fn a_good_workload_passes_without_a_word() {
    let plimsoll = start().await;
    let answer = post(&plimsoll, "/validate?timeout=2s", review().to_string()).await;
    let response = verdict(&answer, UID, false, "good");
    assert_eq!(response["allowed"], true);
    assert!(response.get("warnings").is_none(), "{response}");
}

#[tokio::test]
async fn a_namespace_that_enforces_refuses_with_all_that_is_wrong_and_others_warn() {
    let plimsoll = start().await;
    let mut bad = review();
    let container = bad
        .pointer_mut("/request/object/spec/template/spec/containers/0")
        .unwrap()
        .as_object_mut()
        .unwrap();
    container.remove("resources");
    container.remove("readinessProbe");
    let answer = post(&plimsoll, "/validate?timeout=2s", bad.to_string()).await;
    let response = verdict(&answer, UID, false, "bad");
    assert_eq!(response["allowed"], false, "{response}");
    let message = response["status"]["message"].as_str().unwrap();
    assert!(
        message.starts_with("Deployment shop/cart: 4 problems. container \"app\": "),
        "{message}"
    );
    let causes = response["status"]["details"]["causes"].as_array().unwrap();
    let fields: Vec<_> = causes.iter().map(|cause| cause["field"].as_str().unwrap()).collect();
    let container = "spec.template.spec.containers[0]";
    for field in ["resources.requests.cpu", "resources.limits.memory", "readinessProbe"] {
        assert!(fields.contains(&&*format!("{container}.{field}")), "{fields:?}");
    }
    bad["request"]["namespace"] = "lab".into();
    let answer = post(&plimsoll, "/validate?timeout=2s", bad.to_string()).await;
    let response = verdict(&answer, UID, false, "bad in lab");
    assert_eq!(response["allowed"], true, "{response}");
    assert_eq!(response["warnings"].as_array().unwrap().len(), 4, "{response}");
    // The same object as before: what was there is nobody's fault who changes something else.
    bad["request"]["namespace"] = "shop".into();
    bad["request"]["operation"] = "UPDATE".into();
    bad["request"]["oldObject"] = bad["request"]["object"].clone();
    bad["request"]["object"]["spec"]["replicas"] = 5.into();
    let answer = post(&plimsoll, "/validate?timeout=2s", bad.to_string()).await;
    assert_eq!(verdict(&answer, UID, false, "old violator")["allowed"], true);
}
