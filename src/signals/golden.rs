//! The signals that a preset has by itself: the golden ones, for everything they can be told of.

use crate::signals::definition::{
    ErrorRatio, LatencyQuantile, RequestRate, ResourceUsage, SignalSpec,
};
use crate::signals::preset::Preset;

/// The kinds that are served where the series name pods.
const KINDS: [&str; 8] = [
    "pods",
    "services",
    "deployments.apps",
    "statefulsets.apps",
    "daemonsets.apps",
    "replicasets.apps",
    "jobs.batch",
    "namespaces",
];

/// The quantiles of response times.
const QUANTILES: [(&str, f64); 3] =
    [("latency_p50_seconds", 0.5), ("latency_p95_seconds", 0.95), ("latency_p99_seconds", 0.99)];

/// The signals of a preset.
pub fn golden(name: &str, preset: &Preset) -> Vec<SignalSpec> {
    let names_pods = preset.labels_of("pods").is_some();
    let mut kinds: Vec<&str> = preset.kinds().collect();
    if names_pods {
        let more = KINDS.into_iter().filter(|kind| !preset.kinds().any(|known| known == *kind));
        kinds.extend(more);
    }
    kinds.into_iter().flat_map(|on| of_kind(name, preset, on)).collect()
}

fn of_kind(name: &str, preset: &Preset, on: &str) -> Vec<SignalSpec> {
    let named = |metric: &str| SignalSpec {
        metric: metric.to_owned(),
        on: Some(on.to_owned()),
        ..SignalSpec::default()
    };
    let preset_name = || Some(name.to_owned());
    let mut signals = Vec::new();
    if preset.sources.iter().any(|it| it.requests.is_some() || it.latency.is_some()) {
        let request_rate = Some(RequestRate { preset: preset_name(), ..RequestRate::default() });
        signals.push(SignalSpec { request_rate, ..named("requests_per_second") });
    }
    if preset.sources.iter().any(|it| it.errors.is_some()) {
        let error_ratio = Some(ErrorRatio { preset: preset_name(), ..ErrorRatio::default() });
        signals.push(SignalSpec { error_ratio, ..named("error_ratio") });
    }
    if preset.sources.iter().any(|it| it.latency.is_some()) {
        for (metric, quantile) in QUANTILES {
            let preset = preset_name();
            let it = LatencyQuantile { preset, quantile, ..LatencyQuantile::default() };
            signals.push(SignalSpec { latency_quantile: Some(it), ..named(metric) });
        }
    }
    let usage = || Some(ResourceUsage { preset: preset_name(), ..ResourceUsage::default() });
    if preset.cpu.is_some() {
        signals.push(SignalSpec { cpu: usage(), ..named("cpu_utilization") });
    }
    if preset.memory.is_some() {
        signals.push(SignalSpec { memory: usage(), ..named("memory_utilization") });
    }
    signals
}
