use std::time::Duration;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::admission::history::History;
use crate::model::limit_range::{Bounds, Limit};
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
    patched_with(object, policy, &Facts::alone(jiff::Timestamp::UNIX_EPOCH))
}

fn patched_with(object: &Value, policy: &Policy, facts: &Facts<'_>) -> Value {
    let pod = Workload::read("", "Pod", object, &[]).unwrap().unwrap();
    let mut object = object.clone();
    for operation in patch(&pod, &object.clone(), policy, facts) {
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

/// Pods that say little, ranges that say anything, and what was used.
fn cases() -> impl Strategy<Value = (Value, Vec<Arc<LimitRange>>, Option<f64>)> {
    let amount = || prop::option::of(prop::sample::select(vec!["50m", "1", "64Mi", "1Gi", "3"]));
    let container = prop::collection::vec(amount(), 4).prop_map(|amounts| {
        let mut resources = json!({"requests": {}, "limits": {}});
        let places =
            [("requests", "cpu"), ("requests", "memory"), ("limits", "cpu"), ("limits", "memory")];
        for ((side, resource), amount) in places.into_iter().zip(amounts) {
            if let Some(amount) = amount {
                resources[side][resource] = json!(amount);
            }
        }
        resources
    });
    let containers = prop::collection::vec(container, 1..4).prop_map(|all| {
        let all: Vec<_> = (0..)
            .zip(all)
            .map(|(index, resources)| json!({"name": format!("c{index}"), "resources": resources}))
            .collect();
        json!({"metadata": {"name": "p"}, "spec": {"containers": all}})
    });
    let bounds = (amount(), amount(), prop::option::of(1..4_u8)).prop_map(|(min, max, ratio)| {
        let quantity = |text: Option<&str>| text.map(quantity);
        let max_ratio = ratio.map(|ratio| self::quantity(&ratio.to_string()));
        Bounds { min: quantity(min), max: quantity(max), max_ratio, ..Bounds::default() }
    });
    let ranges = prop::collection::vec((prop::sample::select(vec!["cpu", "memory"]), bounds), 0..3);
    let ranges = ranges.prop_map(|ranges| {
        let range = |(resource, bounds): (&str, Bounds)| {
            let limit = Limit {
                target: LimitTarget::Container,
                resources: vec![(resource.into(), bounds)],
            };
            Arc::new(LimitRange { name: "r".into(), limits: vec![limit] })
        };
        ranges.into_iter().map(range).collect()
    });
    (containers, ranges, prop::option::of(0.0..1e12))
}

proptest! {
    #[test]
    fn what_is_added_is_added_once_and_never_beyond_a_limit_or_range(
        (object, ranges, used) in cases()
    ) {
        let mutation = Some(Mutation { from_history: used.is_some() });
        let policy = Policy { mutation, ..policy() };
        let usage = |peak: f64| Usage {
            window: Duration::from_hours(48), samples: 1000, memory_peak: peak,
            memory_p99: peak / 2.0, cpu_peak: peak / 1e9, cpu_p99: peak / 1e9,
            ..Usage::default()
        };
        let history = used.map(|peak| {
            let names = ["c0", "c1", "c2"].map(Box::from);
            History { containers: names.map(|name| (name, usage(peak))).into() }
        });
        let facts = Facts {
            limit_ranges: Some(&ranges),
            history: history.as_ref(),
            ..Facts::alone(jiff::Timestamp::UNIX_EPOCH)
        };
        let once = patched_with(&object, &policy, &facts);
        prop_assert_eq!(&patched_with(&once, &policy, &facts), &once);
        let before = object["spec"]["containers"].as_array().unwrap();
        let after = once["spec"]["containers"].as_array().unwrap();
        for (before, after) in before.iter().zip(after) {
            prop_assert!(after.as_object().unwrap().keys().all(|key| key == "name" || key == "resources"));
            for resource in ["cpu", "memory"] {
                let amount = |container: &Value, side: &str| {
                    let text = container["resources"][side][resource].as_str();
                    text.map(quantity)
                };
                for side in ["requests", "limits"] {
                    let (old, new) = (amount(before, side), amount(after, side));
                    prop_assert!(old.is_none() || old == new);
                    if old.is_none() && let Some(new) = new {
                        for bounds in of_containers(resource, &ranges) {
                            prop_assert!(bounds.0.is_none_or(|least| new >= least));
                            prop_assert!(bounds.1.is_none_or(|most| new <= most));
                        }
                    }
                }
                let was_right = amount(before, "requests")
                    .zip(amount(before, "limits"))
                    .is_none_or(|(request, limit)| request <= limit);
                let is_right = amount(after, "requests")
                    .zip(amount(after, "limits"))
                    .is_none_or(|(request, limit)| request <= limit);
                prop_assert!(!was_right || is_right, "{}", once);
            }
        }
    }
}
