//! What a workload's containers have used, and what follows for their requests and limits.
//!
//! The formulae are those of Crane (percentile over seven days with a margin, more after an OOM
//! kill), rounded up to amounts that people write. A CPU limit is never proposed: it throttles
//! where nothing is short. Without samples there is no proposal.

use std::collections::HashMap;
use std::time::Duration;

use crate::model::quantity::Quantity;

/// What is added to what was seen.
const MARGIN: f64 = 1.15;
/// What is added to the memory peak after an OOM kill: the peak was cut off.
const OOM_MARGIN: f64 = 1.2;
/// A window that knows a working day and its night.
const FULL_WINDOW: Duration = Duration::from_secs(24 * 60 * 60);
/// Fewer samples make no percentile.
const FULL_SAMPLES: u64 = 200;
/// The least that is proposed.
const MIN_MEMORY: f64 = 16.0 * MEBI;
const MIN_CPU: f64 = 0.01;

const MEBI: f64 = 1024.0 * 1024.0;

/// The containers of one workload by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// What each container has used.
    pub containers: HashMap<Box<str>, Usage>,
}

/// What one container has used, over all its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// How far back it goes.
    pub window: Duration,
    /// How many samples there were.
    pub samples: u64,
    /// The greatest working set, in bytes.
    pub memory_peak: f64,
    /// The 99th percentile of the working set, in bytes.
    pub memory_p99: f64,
    /// The greatest use of CPU, in cores.
    pub cpu_peak: f64,
    /// The 99th percentile of the use of CPU, in cores.
    pub cpu_p99: f64,
    /// How often the container was killed for want of memory.
    pub oom_kills: u64,
    /// The share of CPU periods in which it was throttled.
    pub throttled: Option<f64>,
    /// How long it took to become ready, at most.
    pub start: Option<Duration>,
}

/// Requests and limits that would have been right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// `requests.cpu`
    pub cpu_request: Option<Quantity>,
    /// `requests.memory`
    pub memory_request: Option<Quantity>,
    /// `limits.memory`
    pub memory_limit: Option<Quantity>,
}

impl History {
    /// What a container has used; `None` without a sample.
    pub fn of(&self, container: &str) -> Option<&Usage> {
        self.containers.get(container).filter(|usage| usage.samples > 0)
    }
}

impl Usage {
    /// What would have been right. A number that is none proposes nothing.
    pub fn propose(&self) -> Proposal {
        let margin = if self.oom_kills > 0 { MARGIN * OOM_MARGIN } else { MARGIN };
        let memory_request = self.memory_p99 * MARGIN;
        Proposal {
            cpu_request: cpu(self.cpu_p99 * MARGIN),
            memory_request: memory(memory_request),
            memory_limit: memory((self.memory_peak * margin).max(memory_request)),
        }
    }

    /// Whether there is enough of it to act on without asking.
    pub fn is_firm(&self) -> bool {
        self.window >= FULL_WINDOW && self.samples >= FULL_SAMPLES
    }

    /// The greatest working set as people write it: `412Mi`.
    pub fn peak(&self) -> String {
        mebibytes(self.memory_peak)
    }

    /// Where a proposal comes from: `7d, 10080 samples: memory peak 412Mi, p99 380Mi, 0 OOM kills`.
    pub fn basis(&self, resource: &str) -> String {
        let hours = self.window.as_secs() / 3600;
        let window = match hours {
            0 => format!("{}min", self.window.as_secs() / 60),
            1..48 => format!("{hours}h"),
            _ => format!("{}d", hours / 24),
        };
        let thin = if self.is_firm() { "" } else { ", which is little" };
        let used = if resource == "cpu" {
            let throttled = self.throttled.filter(|share| share.is_finite());
            let throttled =
                throttled.map(|share| format!(", throttled {:.0}% of the time", share * 100.0));
            let (peak, p99) = (self.cpu_peak * 1000.0, self.cpu_p99 * 1000.0);
            format!("cpu peak {peak:.0}m, p99 {p99:.0}m{}", throttled.unwrap_or_default())
        } else {
            let kills = if self.oom_kills == 1 { "kill" } else { "kills" };
            let p99 = mebibytes(self.memory_p99);
            format!("memory peak {}, p99 {p99}, {} OOM {kills}", self.peak(), self.oom_kills)
        };
        format!("{window}, {} samples{thin}: {used}", self.samples)
    }
}

fn mebibytes(bytes: f64) -> String {
    format!("{:.0}Mi", (bytes / MEBI).ceil())
}

/// Rounded up: to 16Mi below 1Gi, to 64Mi below 4Gi, to 256Mi above.
fn memory(bytes: f64) -> Option<Quantity> {
    if !bytes.is_finite() || bytes < 0.0 {
        return None;
    }
    let mebi = bytes.max(MIN_MEMORY) / MEBI;
    let step = match mebi {
        ..=1024.0 => 16.0,
        ..=4096.0 => 64.0,
        _ => 256.0,
    };
    Quantity::parse(&format!("{:.0}Mi", (mebi / step).ceil() * step)).ok()
}

/// Rounded up: to 10m below one core, to 100m above.
fn cpu(cores: f64) -> Option<Quantity> {
    if !cores.is_finite() || cores < 0.0 {
        return None;
    }
    let milli = cores.max(MIN_CPU) * 1000.0;
    let step = if milli <= 1000.0 { 10.0 } else { 100.0 };
    Quantity::parse(&format!("{:.0}m", (milli / step).ceil() * step)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage() -> Usage {
        Usage {
            window: Duration::from_secs(7 * 24 * 3600),
            samples: 10_080,
            memory_peak: 412.0 * MEBI,
            memory_p99: 380.0 * MEBI,
            cpu_peak: 0.9,
            cpu_p99: 0.2,
            ..Usage::default()
        }
    }

    fn texts(usage: Usage) -> [Option<String>; 3] {
        let Proposal { cpu_request, memory_request, memory_limit } = usage.propose();
        [cpu_request, memory_request, memory_limit]
            .map(|amount| amount.map(|amount| amount.to_string()))
    }

    #[test]
    fn a_proposal_has_a_margin_and_is_rounded_up() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(texts(usage()), [some("230m"), some("448Mi"), some("480Mi")]);
        let killed = Usage { oom_kills: 2, ..usage() };
        assert_eq!(texts(killed), [some("230m"), some("448Mi"), some("576Mi")]);
        let idle = Usage { samples: 1, ..Usage::default() };
        assert_eq!(texts(idle), [some("10m"), some("16Mi"), some("16Mi")]);
    }

    #[test]
    fn what_is_no_number_proposes_nothing() {
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            let usage = Usage { memory_peak: bad, memory_p99: bad, cpu_p99: bad, ..usage() };
            assert_eq!(usage.propose().cpu_request, None);
            assert_eq!(usage.propose().memory_request, None);
        }
    }

    #[test]
    fn window_and_samples_are_always_told() {
        assert_eq!(
            usage().basis("memory"),
            "7d, 10080 samples: memory peak 412Mi, p99 380Mi, 0 OOM kills"
        );
        let young =
            Usage { window: Duration::from_secs(3 * 3600), throttled: Some(0.25), ..usage() };
        assert_eq!(
            young.basis("cpu"),
            "3h, 10080 samples, which is little: cpu peak 900m, p99 200m, throttled 25% of the time"
        );
    }
}
