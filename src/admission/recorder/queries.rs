//! The queries of which a history is made, each about one namespace.

use std::time::Duration;

use crate::promql::matcher::go_quote;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Measure {
    /// The greatest working set of each container of each pod, in bytes.
    MemoryPeak,
    /// The 99th percentile of the working set.
    MemoryP99,
    /// The greatest use of processors over 5 minutes, in cores.
    CpuPeak,
    /// The 99th percentile of the use of processors.
    CpuP99,
    /// How many samples of the working set there are.
    Samples,
    /// The time of the first sample, within an hour.
    First,
    /// Kills for want of memory, as the kernel counts them.
    OomEvents,
    /// Whether the last end of a container was such a kill.
    OomEnds,
    /// The share of scheduling periods in which the container was throttled.
    Throttled,
    /// The controller of each pod, living or gone.
    PodOwners,
    /// The controller of each `ReplicaSet`.
    ReplicaSetOwners,
    /// The controller of each `Job`.
    JobOwners,
}

impl Measure {
    /// Everything, the most costly first: how far back the backend can look is then known.
    pub(super) const ALL: [Self; 12] = [
        Self::CpuP99,
        Self::CpuPeak,
        Self::MemoryP99,
        Self::MemoryPeak,
        Self::Samples,
        Self::First,
        Self::OomEvents,
        Self::OomEnds,
        Self::Throttled,
        Self::PodOwners,
        Self::ReplicaSetOwners,
        Self::JobOwners,
    ];

    /// The query for a namespace, back from the time at which it is evaluated.
    pub(super) fn promql(self, namespace: &str, window: Duration) -> String {
        let mut quoted = String::new();
        go_quote(&mut quoted, namespace);
        let namespace = quoted;
        // Without the cgroups of whole pods and their pause containers.
        let containers = format!("{{namespace={namespace},container!=\"\",container!=\"POD\"}}");
        let window = format!("{}h", window.as_secs() / 3600);
        let memory = format!("container_memory_working_set_bytes{containers}");
        let cpu = format!("rate(container_cpu_usage_seconds_total{containers}[5m])");
        let increase = |series| {
            let of = format!("increase({series}{containers}[{window}])");
            format!("sum by (pod, container) ({of})")
        };
        let last = |by: &str, series: &str, matcher: &str| {
            let series = format!("{series}{{namespace={namespace}{matcher}}}");
            format!("max by ({by}) (max_over_time({series}[{window}]))")
        };
        let max = |over: String| format!("max by (pod, container) ({over})");
        match self {
            Self::MemoryPeak => max(format!("max_over_time({memory}[{window}])")),
            Self::MemoryP99 => max(format!("quantile_over_time(0.99, {memory}[{window}])")),
            Self::CpuPeak => max(format!("max_over_time({cpu}[{window}:5m])")),
            Self::CpuP99 => max(format!("quantile_over_time(0.99, {cpu}[{window}:5m])")),
            Self::Samples => {
                format!("sum by (pod, container) (count_over_time({memory}[{window}]))")
            }
            Self::First => {
                let first = format!("min_over_time(timestamp({memory})[{window}:1h])");
                format!("min by (pod, container) ({first})")
            }
            Self::OomEvents => increase("container_oom_events_total"),
            Self::OomEnds => last(
                "pod, container",
                "kube_pod_container_status_last_terminated_reason",
                ",reason=\"OOMKilled\"",
            ),
            Self::Throttled => format!(
                "{} / {}",
                increase("container_cpu_cfs_throttled_periods_total"),
                increase("container_cpu_cfs_periods_total")
            ),
            Self::PodOwners => last("pod, owner_kind, owner_name", "kube_pod_owner", ""),
            Self::ReplicaSetOwners => {
                last("replicaset, owner_kind, owner_name", "kube_replicaset_owner", "")
            }
            Self::JobOwners => last("job_name, owner_kind, owner_name", "kube_job_owner", ""),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_is_about_one_namespace_and_one_window() {
        let window = Duration::from_hours(168);
        for measure in Measure::ALL {
            let promql = measure.promql("shop", window);
            assert!(promql.contains("namespace=\"shop\""), "{promql}");
            assert!(promql.contains("[168h"), "{promql}");
        }
        assert_eq!(
            Measure::CpuP99.promql("shop", window),
            "max by (pod, container) (quantile_over_time(0.99, \
             rate(container_cpu_usage_seconds_total{namespace=\"shop\",container!=\"\",\
             container!=\"POD\"}[5m])[168h:5m]))"
        );
        assert_eq!(
            Measure::OomEnds.promql("a\"b", Duration::from_hours(3)),
            "max by (pod, container) (max_over_time(\
             kube_pod_container_status_last_terminated_reason{namespace=\"a\\\"b\",\
             reason=\"OOMKilled\"}[3h]))"
        );
    }
}
