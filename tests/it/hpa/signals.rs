//! HPAs on signals that a team declares: a composite that is a load per replica, and a decision that
//! names the replica count itself. Both follow the load and say why.

use serde_json::{Value, json};

use super::world::World;
use super::{active_hpas, conditions, deploy, warnings};
use crate::support::control_plane::Ways;

const SIGNALS: &str = include_str!("../../data/hpa/signals.yaml");

const COMPOSITE: &str = "by-composite";
const DECISION: &str = "by-decision";
const APPS: [&str; 2] = [COMPOSITE, DECISION];

/// The decision about the Deployment, as kubectl names it.
const DECIDED: &str = "by-decision.replicas_wanted";

/// Each ask may come to the other replica of ours.
const ASKS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn hpas_on_a_composite_and_on_a_decision_follow_the_load_and_explain_themselves() {
    let test = "hpas_on_a_composite_and_on_a_decision";
    let Some(world) = World::start(test, Ways::default()).await else { return };
    world.kubectl.create(SIGNALS).await;
    deploy(&world, &APPS).await;
    active_hpas(&world, &APPS).await;
    the_signals_are_ready(&world).await;
    // No less than two is the default of a decision.
    have(&world, "at rest", 1, 2..=2).await;
    let bound = "cpu 0.25 is below 0.4, 5 samples in a row; the count is at its bound";
    the_decision_is(&world, "Hold", bound).await;

    for app in APPS {
        world.workload.load(app, 100.0);
    }
    // Of a processor's 80 % seven pods have enough, and below 40 % are more than twelve.
    have(&world, "under load", 10, 7..=12).await;
    the_decision_is(&world, "Hold", "no entry of the table holds").await;
    the_history_says(&world, "Up", &["cpu ", " is above 0.8"]).await;
    the_hpas_explain_themselves(&world).await;

    for app in APPS {
        world.workload.load(app, 15.0);
    }
    have(&world, "with less load", 2, 2..=2).await;
    the_history_says(&world, "Down", &["cpu ", " is below 0.3 and memory 0.25 is below 0.3"]).await;
    let most = APPS.map(|app| world.workload.most(app));
    assert!(most[0] == 10 && most[1] <= 12, "{most:?}: no more than is needed");
    assert_eq!(warnings(&world).await, Vec::<String>::new());
}

/// Waits until the composite has led to so many pods, and the decision to one of so many.
async fn have(
    world: &World,
    when: &str,
    composed: usize,
    decided: std::ops::RangeInclusive<usize>,
) {
    let composite = async || world.workload.pods(COMPOSITE) == composed;
    world.until(&format!("the composite has {composed} replicas {when}"), composite).await;
    let decision = async || {
        let pods = world.workload.pods(DECISION);
        let status = &decision(world).await["status"];
        let holds = status["replicas"] == json!(pods) || pods == *decided.start();
        decided.contains(&pods) && status["action"] == "Hold" && holds
    };
    world.until(&format!("the decision has {decided:?} replicas {when}"), decision).await;
    println!("{when}: {:?} replicas", APPS.map(|app| world.workload.pods(app)));
}

async fn decision(world: &World) -> Value {
    world.kubectl.json(&format!("get decision {DECIDED} -n shop -o json")).await
}

/// Waits until `kubectl get decisions` shows it, whoever is asked.
async fn the_decision_is(world: &World, action: &str, reason: &str) {
    let target = format!("Deployment/{DECISION}");
    let shows = async || {
        let pods = world.workload.pods(DECISION).to_string();
        let table = world.kubectl.run("get decisions -n shop").await;
        let row = table.lines().find(|line| line.starts_with(DECIDED)).unwrap_or_default();
        let words: Vec<_> = row.split_whitespace().take(5).collect();
        words == [DECIDED, &target, &pods, &pods, action] && row.contains(reason)
    };
    world
        .until(&format!("kubectl shows {action}: {reason}"), async || {
            for _ in 0..ASKS {
                if !shows().await {
                    return false;
                }
            }
            true
        })
        .await;
    println!("{}", world.kubectl.run("get decisions -n shop").await);
}

/// What has been decided in the last hour, whoever is asked.
async fn the_history_says(world: &World, action: &str, reason: &[&str]) {
    for _ in 0..ASKS {
        let decision = decision(world).await;
        let history = decision["status"]["history"].as_array().unwrap();
        let says = |record: &&Value| {
            let said = record["reason"].as_str().unwrap();
            record["action"] == action && reason.iter().all(|part| said.contains(part))
        };
        let found = history.iter().find(says);
        assert!(found.is_some(), "{action} for {reason:?}: {history:?}");
    }
}

async fn the_hpas_explain_themselves(world: &World) {
    for app in APPS {
        let described = world.kubectl.run(&format!("describe hpa {app} -n shop")).await;
        let metric = if app == COMPOSITE { "pressure" } else { "replicas_wanted" };
        let metric = format!("\"{metric}\" on Deployment/{app} (target average value)");
        assert!(described.contains(&metric), "{described}");
    }
    let expected = [
        ("AbleToScale", "True", ["ReadyForNewScale", "ScaleDownStabilized"]),
        ("ScalingActive", "True", ["ValidMetricFound"; 2]),
        ("ScalingLimited", "False", ["DesiredWithinRange"; 2]),
    ];
    for (condition, status, reasons) in expected {
        world
            .until(&format!("{condition} is {status}"), async || {
                let all = conditions(world, condition).await;
                let is_so = |it: &Value| {
                    it["status"] == status && reasons.iter().any(|reason| it["reason"] == *reason)
                };
                all.values().all(is_so)
            })
            .await;
    }
}

/// What the team sees of what it has declared. The series are young, which is nothing wrong.
async fn the_signals_are_ready(world: &World) {
    for signal in ["pressure", "wanted"] {
        let ask = format!("get signal {signal} -n shop -o json");
        let ready = async || {
            let signal = world.kubectl.json(&ask).await;
            signal["status"]["conditions"][0]["status"] == "True"
        };
        world.until(&format!("signal {signal} is ready"), ready).await;
    }
    println!("{}", world.kubectl.run("get signals -n shop").await);
}
