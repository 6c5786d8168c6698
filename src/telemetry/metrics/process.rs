//! What every exporter says about its process, read from `/proc` at the scrape. Elsewhere than on
//! Linux the families are absent.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The kernel's clock tick in `/proc`: `USER_HZ`, which is part of its interface and 100 on every
/// architecture that Rust's tier 1 and 2 Linux targets run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process's own families.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut put = |name, help, value: Value| match value {
            Value::Counter(value) => describe(&mut encoder, name, help, &ConstCounter::new(value)),
            Value::Gauge(value) => describe(&mut encoder, name, help, &ConstGauge::new(value)),
        };
        let stat = fs::read_to_string("/proc/self/stat").ok();
        if let Some(Times { cpu, start }) = stat.as_deref().and_then(times) {
            put("process_cpu_seconds", "User and system CPU time spent.", Value::Counter(cpu))?;
            if let Some(boot) = boot_time() {
                let help = "Start time of the process since the Unix epoch.";
                put("process_start_time_seconds", help, Value::Gauge(boot + start))?;
            }
        }
        if let Some(bytes) = resident_memory() {
            put("process_resident_memory_bytes", "Resident memory size.", Value::Gauge(bytes))?;
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            let open = u32::try_from(entries.count()).unwrap_or(u32::MAX);
            put("process_open_fds", "Open file descriptors.", Value::Gauge(open.into()))?;
        }
        Ok(())
    }
}

enum Value {
    Counter(f64),
    Gauge(f64),
}

fn describe(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// In seconds; `start` counts from the boot of the machine.
#[derive(Debug, PartialEq)]
struct Times {
    cpu: f64,
    start: f64,
}

/// proc(5): `utime` is field 14, `stime` 15, `starttime` 22. Field 2 is the program's name in
/// parentheses and may itself hold spaces and parentheses, so the count starts after the last.
fn times(stat: &str) -> Option<Times> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let seconds =
        |field: usize| Some(fields.get(field - 3)?.parse::<f64>().ok()? / TICKS_PER_SECOND);
    Some(Times { cpu: seconds(14)? + seconds(15)?, start: seconds(22)? })
}

fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn resident_memory() -> Option<f64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_last_parenthesis() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 1234 99 1";
        assert_eq!(times(stat), Some(Times { cpu: 3.0, start: 12.34 }));
    }

    #[test]
    fn a_short_line_is_no_time() {
        assert_eq!([times(""), times("7 (a) S 1 2 3")], [None, None]);
    }
}
