//! The switches of a rule that bring prometheus-adapter's behaviour back, or go beyond it.

use serde::Deserialize;

/// `compat` of a rule. Every switch can be left out; the defaults are those of a rule in the
/// format of prometheus-adapter, custom or external.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own in the file")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Compat {
    /// `apiVersion` of core objects in answers is `/v1`, as prometheus-adapter writes it; off
    /// (default): `v1`.
    pub core_api_version_slash: bool,
    /// Where a query has several samples for one object, the last one counts, as in
    /// prometheus-adapter; off (default): that is an error that names the label sets.
    pub last_sample_wins: bool,
    /// Values of external metrics below zero are served, as by prometheus-adapter; off (default):
    /// they are missing data. Custom metrics serve them either way.
    pub negative_external: bool,
    /// NaN is zero for custom metrics, as in prometheus-adapter (default); off: it is missing
    /// data. External metrics never turn it into a number: prometheus-adapter cast it, which gave
    /// the smallest number on amd64.
    pub nan_as_zero: bool,
    /// Timestamps are the time of the answer, as prometheus-adapter writes them for custom
    /// metrics; off (default): the time of the sample.
    pub now_timestamps: bool,
    /// Values between two thousandths are rounded away from zero; off (default): towards zero, as
    /// in prometheus-adapter.
    pub round_up: bool,
}

impl Default for Compat {
    fn default() -> Self {
        Self {
            core_api_version_slash: false,
            last_sample_wins: false,
            negative_external: false,
            nan_as_zero: true,
            now_timestamps: false,
            round_up: false,
        }
    }
}
