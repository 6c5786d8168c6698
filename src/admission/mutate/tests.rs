use serde_json::json;

use super::*;
use crate::model::policy::Mutation;

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

fn policy() -> Policy {
    let requests = [("cpu", "100m"), ("memory", "128Mi")];
    let map = |list: &[(&str, &str)]| {
        list.iter().map(|(name, text)| ((*name).into(), quantity(text))).collect()
    };
    let limits = map(&[("memory", "256Mi")]);
    let standard = Profile { requests: map(&requests), limits, ..Profile::default() };
    let mutation = Some(Mutation { from_history: false });
    Policy { standard, mutation, ..Policy::default() }
}

fn patched(object: &Value, policy: &Policy) -> Value {
    let pod = Workload::read("", "Pod", object, &[]).unwrap().unwrap();
    let mut object = object.clone();
    for operation in
        patch(&pod, &object.clone(), policy, &Facts::alone(jiff::Timestamp::UNIX_EPOCH))
    {
        let path = operation["path"].as_str().unwrap();
        let (parent, key) = path.rsplit_once('/').unwrap();
        let key = key.replace("~1", "/").replace("~0", "~");
        // Fails where the parent is missing, as the API server does.
        let parent = object.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        parent.insert(key, operation["value"].clone());
    }
    object
}

#[test]
fn what_is_missing_is_added_once_and_recorded() {
    let object = json!({"spec": {
        "containers": [{"name": "app"}, {"name": "web", "resources": {"limits": {"memory": "64Mi"}}}],
        "ephemeralContainers": [{"name": "debug"}],
    }});
    let once = patched(&object, &policy());
    assert_eq!(
        once,
        json!({
            "metadata": {"annotations": {ANNOTATION:
                "app:requests.cpu=100m,app:requests.memory=128Mi,app:limits.memory=256Mi,web:requests.cpu=100m"}},
            "spec": {
                "containers": [
                    {"name": "app", "resources": {
                        "requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "256Mi"}}},
                    {"name": "web", "resources": {
                        "requests": {"cpu": "100m"}, "limits": {"memory": "64Mi"}}},
                ],
                "ephemeralContainers": [{"name": "debug"}],
            },
        })
    );
    assert_eq!(patched(&once, &policy()), once);
}

#[test]
fn nothing_is_added_where_it_is_off_or_the_pod_has_resources_as_a_whole() {
    let object = json!({"spec": {"containers": [{"name": "app"}]}});
    assert_eq!(patched(&object, &Policy { mutation: None, ..policy() }), object);
    let whole = json!({"spec": {"resources": {"limits": {"memory": "1Gi"}}, "containers": [{"name": "app"}]}});
    assert_eq!(patched(&whole, &policy()), whole);
}

#[test]
fn a_limit_below_the_request_is_not_added() {
    let object = json!({"spec": {"containers": [
        {"name": "app", "resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}});
    assert_eq!(patched(&object, &policy()), object);
}
