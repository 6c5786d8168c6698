//! From samples by pod and container to histories by workload.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::Namespace;
use super::queries::Measure;
use crate::admission::history::{History, Usage};
use crate::model::inventory::Objects;
use crate::model::value::Sample;

type Samples = HashMap<Measure, Vec<Sample>>;

/// A controller: kind and name.
type Controller = (Box<str>, Box<str>);

/// To which workload each pod belongs.
#[derive(Debug, Default)]
pub(super) struct Owners {
    namespace: Box<str>,
    /// `None` for a pod that has no controller.
    pods: HashMap<Box<str>, Option<Controller>>,
    /// `ReplicaSet`s and `Job`s that have one, by kind and name.
    controllers: HashMap<Controller, Controller>,
}

impl Owners {
    /// From the series of kube-state-metrics and the pods that exist.
    pub(super) fn new(samples: &Samples, namespace: &str, pods: Option<&Objects>) -> Self {
        let mut owners = Self { namespace: namespace.into(), ..Self::default() };
        for sample in of(samples, Measure::PodOwners) {
            if let Some(pod) = sample.labels.get("pod") {
                owners.pods.insert(pod.into(), controller(sample));
            }
        }
        for pod in pods.into_iter().flat_map(|pods| pods.in_namespace(namespace)) {
            let owner = pod.owner.as_ref();
            let owner = owner.map(|owner| (Box::from(&*owner.kind), Box::from(&*owner.name)));
            owners.pods.insert(pod.name.clone(), owner);
        }
        let kinds = [
            (Measure::ReplicaSetOwners, "ReplicaSet", "replicaset"),
            (Measure::JobOwners, "Job", "job_name"),
        ];
        for (measure, kind, label) in kinds {
            for sample in of(samples, measure) {
                if let (Some(name), Some(owner)) = (sample.labels.get(label), controller(sample)) {
                    owners.controllers.insert((kind.into(), name.into()), owner);
                }
            }
        }
        owners
    }

    /// Also by the `ReplicaSet`s that exist.
    pub(super) fn with_replica_sets(mut self, replica_sets: Option<&Objects>) -> Self {
        let namespace = self.namespace.clone();
        for replica_set in replica_sets.into_iter().flat_map(|all| all.in_namespace(&namespace)) {
            if let Some(owner) = &replica_set.owner {
                let owner = (Box::from(&*owner.kind), Box::from(&*owner.name));
                let replica_set = ("ReplicaSet".into(), replica_set.name.clone());
                self.controllers.insert(replica_set, owner);
            }
        }
        self
    }

    /// The workload that a person has written; `None` where nobody knows it.
    fn workload(&self, pod: &str) -> Option<Controller> {
        let Some(owner) = self.pods.get(pod)? else {
            return Some(("Pod".into(), pod.into()));
        };
        Some(self.controllers.get(owner).unwrap_or(owner).clone())
    }
}

/// What a series of owners says; `None` where there is none.
fn controller(sample: &Sample) -> Option<Controller> {
    let text = |label| sample.labels.get(label).filter(|text| !text.is_empty());
    let (kind, name) = (text("owner_kind")?, text("owner_name")?);
    (kind != "<none>").then(|| (kind.into(), name.into()))
}

fn of(samples: &Samples, measure: Measure) -> impl Iterator<Item = &Sample> {
    samples.get(&measure).into_iter().flatten()
}

/// Puts everything together. `window` is how far back was looked from `now`.
pub(super) fn fold(
    samples: &Samples,
    owners: &Owners,
    window: Duration,
    now: Timestamp,
) -> Namespace {
    let mut histories: HashMap<Controller, History> = HashMap::new();
    for (measure, samples) in samples {
        for Sample { labels, point } in samples {
            let (Some(pod), Some(container)) = (labels.get("pod"), labels.get("container")) else {
                continue;
            };
            let Some(workload) = owners.workload(pod) else { continue };
            if !point.value.is_finite() || point.value < 0.0 {
                continue;
            }
            let history = histories.entry(workload).or_default();
            let usage = history.containers.entry(container.into()).or_default();
            add(usage, *measure, point.value, window, now);
        }
    }
    let mut namespace = Namespace::new();
    for ((kind, name), mut history) in histories {
        // Without a sample there is nothing to go by.
        history.containers.retain(|_, usage| usage.samples > 0);
        if !history.containers.is_empty() {
            namespace.entry(kind).or_default().insert(name, Arc::new(history));
        }
    }
    namespace
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "counts and seconds that are not negative; the casts saturate"
)]
fn add(usage: &mut Usage, measure: Measure, value: f64, window: Duration, now: Timestamp) {
    match measure {
        Measure::MemoryPeak => usage.memory_peak = usage.memory_peak.max(value),
        Measure::MemoryP99 => usage.memory_p99 = usage.memory_p99.max(value),
        Measure::CpuPeak => usage.cpu_peak = usage.cpu_peak.max(value),
        Measure::CpuP99 => usage.cpu_p99 = usage.cpu_p99.max(value),
        Measure::Samples => usage.samples = usage.samples.saturating_add(value as u64),
        Measure::First => {
            let age = Duration::from_secs((now.as_second() as f64 - value).max(0.0) as u64);
            // It may have been there for up to an hour before it was seen.
            let age = age + Duration::from_hours(1);
            usage.window = usage.window.max(age.min(window));
        }
        // Both miss some: the larger is nearer.
        Measure::OomEvents | Measure::OomEnds => {
            usage.oom_kills = usage.oom_kills.max(value.round() as u64);
        }
        Measure::Throttled => {
            usage.throttled = Some(usage.throttled.map_or(value, |share| share.max(value)));
        }
        Measure::PodOwners | Measure::ReplicaSetOwners | Measure::JobOwners => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::value::Point;

    const NOW: Timestamp = Timestamp::constant(1_000_000, 0);
    const WEEK: Duration = Duration::from_hours(7 * 24);

    fn sample(labels: &[(&str, &str)], value: f64) -> Sample {
        let labels = labels.iter().map(|(name, value)| (Box::from(*name), Box::from(*value)));
        let labels = labels.collect::<Vec<(Box<str>, Box<str>)>>().into_iter().collect();
        Sample { labels, point: Point { timestamp: 0.0, value } }
    }

    fn app(pod: &str, value: f64) -> Sample {
        sample(&[("pod", pod), ("container", "app")], value)
    }

    fn owner(label: &str, name: &str, kind: &str, owner: &str) -> Sample {
        sample(&[(label, name), ("owner_kind", kind), ("owner_name", owner)], 1.0)
    }

    fn folded(samples: Samples) -> Namespace {
        let owners = Owners::new(&samples, "shop", None);
        fold(&samples, &owners, WEEK, NOW)
    }

    #[test]
    fn pods_of_all_revisions_make_the_history_of_their_deployment() {
        let namespace = folded(Samples::from([
            (Measure::MemoryPeak, vec![app("web-1-a", 100.0), app("web-2-b", 300.0)]),
            (Measure::MemoryP99, vec![app("web-1-a", 90.0), app("web-2-b", 200.0)]),
            (Measure::CpuP99, vec![app("web-1-a", 0.5), app("web-2-b", f64::NAN)]),
            (Measure::Samples, vec![app("web-1-a", 10.0), app("web-2-b", 20.0)]),
            (Measure::First, vec![app("web-1-a", 996_400.0), app("web-2-b", 0.0)]),
            (Measure::OomEvents, vec![app("web-2-b", 1.9)]),
            (Measure::OomEnds, vec![app("web-2-b", 1.0)]),
            (Measure::Throttled, vec![app("web-1-a", 0.25)]),
            (
                Measure::PodOwners,
                vec![
                    owner("pod", "web-1-a", "ReplicaSet", "web-1"),
                    owner("pod", "web-2-b", "ReplicaSet", "web-2"),
                ],
            ),
            (
                Measure::ReplicaSetOwners,
                vec![
                    owner("replicaset", "web-1", "Deployment", "web"),
                    owner("replicaset", "web-2", "Deployment", "web"),
                ],
            ),
        ]));
        let usage = Usage {
            window: WEEK,
            samples: 30,
            memory_peak: 300.0,
            memory_p99: 200.0,
            cpu_peak: 0.0,
            cpu_p99: 0.5,
            oom_kills: 2,
            throttled: Some(0.25),
            start: None,
        };
        let history = History { containers: HashMap::from([("app".into(), usage)]) };
        let named = HashMap::from([(Box::from("web"), Arc::new(history))]);
        assert_eq!(namespace, HashMap::from([(Box::from("Deployment"), named)]));
    }

    #[test]
    fn a_bare_pod_is_its_own_workload_and_a_pod_of_nobody_knows_whom_is_left_out() {
        let namespace = folded(Samples::from([
            (Measure::Samples, vec![app("bare", 5.0), app("unknown", 5.0), app("idle", 0.0)]),
            (
                Measure::PodOwners,
                vec![
                    owner("pod", "bare", "<none>", "<none>"),
                    owner("pod", "idle", "DaemonSet", "agent"),
                ],
            ),
        ]));
        let kinds: Vec<_> = namespace.keys().map(AsRef::as_ref).collect();
        assert_eq!(kinds, ["Pod"]);
        assert_eq!(namespace["Pod"].keys().map(AsRef::as_ref).collect::<Vec<&str>>(), ["bare"]);
    }
}
