//! What workloads have used, from a real Prometheus with a week of cAdvisor's series, in the
//! answer.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::{OBJECTS, post, review, start_with, verdict};
use crate::support::plimsoll::wait_until;
use crate::support::real_prometheus::RealPrometheus;

const WEEK: i64 = 7 * 24 * 3600;
const STEP: i64 = 60;
const MIB: i64 = 1 << 20;

/// A week of one pod that uses half a core and 200 MiB, and 380 MiB for a minute of each hour.
fn data() -> String {
    let now = Timestamp::now().as_second() / STEP * STEP;
    let times = || (now - WEEK..=now).step_by(usize::try_from(STEP).unwrap());
    let container = r#"namespace="shop",pod="cart-1-a",container="app""#;
    let mut text = String::new();
    let mut series = |name: &str, kind: &str, labels: &str, value: &dyn Fn(i64) -> f64| {
        let family = name.strip_suffix("_total").unwrap_or(name);
        writeln!(text, "# TYPE {family} {kind}").unwrap();
        for time in times() {
            writeln!(text, "{name}{{{labels}}} {} {time}", value(time)).unwrap();
        }
    };
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let float = |number: i64| number as f64;
    series("container_memory_working_set_bytes", "gauge", container, &|time| {
        float(if time % 3600 == 0 { 380 * MIB } else { 200 * MIB })
    });
    let since = |time| float(time - (now - WEEK));
    series("container_cpu_usage_seconds_total", "counter", container, &|time| since(time) / 2.0);
    series(
        "kube_pod_owner",
        "gauge",
        r#"namespace="shop",pod="cart-1-a",owner_kind="ReplicaSet",owner_name="cart-1""#,
        &|_| 1.0,
    );
    series(
        "kube_replicaset_owner",
        "gauge",
        r#"namespace="shop",replicaset="cart-1",owner_kind="Deployment",owner_name="cart""#,
        &|_| 1.0,
    );
    text + "# EOF\n"
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_proposes_what_a_week_of_use_calls_for() {
    let Some(prometheus) = RealPrometheus::start(&data()) else { return };
    let plimsoll = start_with(OBJECTS, prometheus.url().as_str()).await;
    let mut silent = review();
    let container = silent.pointer_mut("/request/object/spec/template/spec/containers/0").unwrap();
    container.as_object_mut().unwrap().remove("resources");
    let message = async || {
        let answer = post(&plimsoll, "/validate?timeout=2s", silent.to_string()).await;
        let uid = silent["request"]["uid"].as_str().unwrap();
        verdict(&answer, uid, false, "history")["status"]["message"].as_str().unwrap().to_owned()
    };
    let first = message().await;
    assert!(first.contains("no history"), "{first}");
    wait_until("the history is read", async || message().await.contains("7d, ")).await;
    let message = message().await;
    assert!(message.contains("samples: memory peak 380Mi, p99 "), "{message}");
    assert!(
        message.contains("resources.limits.memory missing → 448Mi: no memory limit (7d, "),
        "{message}"
    );
    assert!(message.contains("resources.requests.cpu missing → 580m"), "{message}");
    assert!(
        message.contains("memory: \"448Mi\"") || message.contains("memory: 448Mi"),
        "{message}"
    );
}
