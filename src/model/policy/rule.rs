//! The rules by name, how hard each holds on the first day, and which levels they belong to.

use std::fmt;

/// What becomes of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It is not looked for.
    Off,
    /// It is counted and stands in the audit log.
    Audit,
    /// Whoever writes is told; the write goes through.
    Warn,
    /// The write is refused.
    Deny,
}

impl Mode {
    /// From the word of the file.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Off, Self::Audit, Self::Warn, Self::Deny]
            .into_iter()
            .find(|mode| mode.name() == text)
    }

    /// The word of the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Audit => "audit",
            Self::Warn => "warn",
            Self::Deny => "deny",
        }
    }
}

/// A set of rules that a namespace asks for by a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Requests, memory limits and readiness.
    Baseline,
    /// And liveness, ranges and ratios.
    Strict,
}

impl Level {
    /// From the value of the label.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "baseline" => Some(Self::Baseline),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }
}

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $mode:ident, $level:expr;)*) => {
        /// A rule. The name is the key in the file, in messages and in the labels of metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Rule {
            /// All rules.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The key in the file.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// How hard it holds where nobody has said anything.
            pub fn default_mode(self) -> Mode {
                match self { $(Self::$variant => Mode::$mode,)* }
            }

            /// The lowest level that has it.
            pub fn level(self) -> Option<Level> {
                match self { $(Self::$variant => $level,)* }
            }
        }
    };
}

const BASELINE: Option<Level> = Some(Level::Baseline);
const STRICT: Option<Level> = Some(Level::Strict);

rules! {
    /// Each container requests CPU, or its pod does.
    CpuRequest = "cpuRequest", Warn, BASELINE;
    /// Each container requests memory, or its pod does.
    MemoryRequest = "memoryRequest", Warn, BASELINE;
    /// Each container has a CPU limit; contested, so off.
    CpuLimit = "cpuLimit", Off, None;
    /// No container has a CPU limit; the other camp.
    NoCpuLimit = "noCpuLimit", Off, None;
    /// Each container has a memory limit, or its pod does.
    MemoryLimit = "memoryLimit", Warn, BASELINE;
    /// Each container requests ephemeral storage.
    EphemeralStorageRequest = "ephemeralStorageRequest", Off, None;
    /// Each container has a limit on ephemeral storage.
    EphemeralStorageLimit = "ephemeralStorageLimit", Off, None;
    /// Requests are not below the profile's minimum.
    Minimum = "minimum", Warn, STRICT;
    /// Limits are not above the profile's maximum.
    Maximum = "maximum", Warn, STRICT;
    /// Limits are not too many times the request.
    Ratio = "ratio", Off, STRICT;
    /// The pod has the QoS class that is asked for, or a better one.
    QosClass = "qosClass", Off, None;
    /// Each container that runs on says when it is ready.
    ReadinessProbe = "readinessProbe", Warn, BASELINE;
    /// Each container that runs on says whether it lives; contested, so off.
    LivenessProbe = "livenessProbe", Off, STRICT;
    /// Each container that runs on says when its start is done.
    StartupProbe = "startupProbe", Off, None;
    /// Each container that runs on has some probe.
    AnyProbe = "anyProbe", Off, None;
    /// Probes use the handlers that are allowed.
    ProbeHandler = "probeHandler", Warn, STRICT;
    /// The numbers of probes are within their ranges.
    ProbeRange = "probeRange", Off, STRICT;
    /// A probe can end before the next one begins.
    ProbeTiming = "probeTiming", Warn, STRICT;
    /// A probe names a port that exists: else it can never succeed.
    ProbePort = "probePort", Deny, None;
    /// The same check does not restart a container before it takes it out of service.
    LivenessBeforeReadiness = "livenessBeforeReadiness", Warn, STRICT;
    /// Liveness leaves the time that the start takes.
    LivenessDuringStart = "livenessDuringStart", Warn, STRICT;
    /// The memory limit is not below what the container has used.
    LimitBelowPeak = "limitBelowPeak", Warn, None;
    /// What an autoscaler measures as a share of the request is requested.
    AutoscalerRequest = "autoscalerRequest", Warn, None;
    /// The container that an autoscaler names exists.
    AutoscalerContainer = "autoscalerContainer", Warn, None;
    /// The metric that an autoscaler names is served.
    AutoscalerMetric = "autoscalerMetric", Warn, None;
    /// One autoscaler for one target.
    AutoscalerDuplicate = "autoscalerDuplicate", Warn, None;
    /// The target of an autoscaler exists.
    AutoscalerTarget = "autoscalerTarget", Warn, None;
}

impl Rule {
    /// From the key in the file.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.name() == text)
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
