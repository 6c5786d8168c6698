//! What a person decides about admission: which rules hold, how hard, within which bounds, and
//! who is exempt.
//!
//! A rule has a mode in the file; labels on a namespace raise it by a level, in the manner of Pod
//! Security. The defaults are for a first day: nothing that runs today is refused.

#[expect(unreachable_pub, reason = "KubeSchema copies the type into a block")]
pub mod exemption;
mod rule;

use std::collections::BTreeMap;

pub use rule::{Level, Mode, Rule};

use self::exemption::Exemption;
use super::inventory::LabelSet;
use super::quantity::Quantity;

/// The label of a namespace for the level whose rules deny there.
pub const ENFORCE_LABEL: &str = "plimsoll.dev/enforce";
/// The label of a namespace for the level whose rules warn there.
pub const WARN_LABEL: &str = "plimsoll.dev/warn";
/// The label of a namespace for the level whose findings are recorded there.
pub const AUDIT_LABEL: &str = "plimsoll.dev/audit";
/// The label of a namespace that names its [`Profile`].
pub const PROFILE_LABEL: &str = "plimsoll.dev/profile";

/// Amounts by the name of the resource: `cpu`, `memory`, `nvidia.com/gpu`.
pub type Amounts = BTreeMap<Box<str>, Quantity>;

/// Everything that a person has decided.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The modes that differ from [`Rule::default_mode`].
    pub modes: BTreeMap<Rule, Setting>,
    /// The most that becomes of a finding at an init container that runs to its end.
    pub init_containers: Mode,
    /// The bounds where a namespace names no profile, or one that does not exist.
    pub standard: Profile,
    /// The other bounds by name.
    pub profiles: BTreeMap<Box<str>, Profile>,
    /// The `QoS` class that [`Rule::QosClass`] asks for.
    pub qos_class: QosClass,
    /// What is asked of each probe: readiness, liveness, startup.
    pub probes: [ProbeBounds; 3],
    /// Kinds beyond those of Kubernetes.
    pub templates: Vec<Template>,
    /// Who is exempt, of the file and of the cluster.
    pub exemptions: Vec<Exemption>,
    /// What is added to pods; nothing where it is absent.
    pub mutation: Option<Mutation>,
    /// Whether what workloads have used is asked of the backend.
    pub history: bool,
}

/// The mode of a rule for the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The mode.
    pub mode: Mode,
    /// Whether somebody wrote it: then `off` is off everywhere, and any other mode is the least
    /// there is. Else it follows from another setting, and a namespace's labels take its place.
    pub written: bool,
}

/// Bounds and defaults of resources, for one class of workloads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The least that a container requests.
    pub minimum: Amounts,
    /// The most that a container may use: its limit, or its request where it has no limit.
    pub maximum: Amounts,
    /// How much larger the limit may be than the request.
    pub ratio: Amounts,
    /// What mutation adds where a request is missing.
    pub requests: Amounts,
    /// What mutation adds where a limit is missing.
    pub limits: Amounts,
}

/// A quality of service class, as the kubelet computes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QosClass {
    /// Every container has CPU and memory limits that are its requests.
    Guaranteed,
    /// Some container has a request or limit.
    #[default]
    Burstable,
}

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProbeKind {
    /// `readinessProbe`
    Readiness,
    /// `livenessProbe`
    Liveness,
    /// `startupProbe`
    Startup,
}

impl ProbeKind {
    /// All of them, in the order of [`Policy::probes`].
    pub const ALL: [Self; 3] = [Self::Readiness, Self::Liveness, Self::Startup];

    /// The field of a container.
    pub fn field(self) -> &'static str {
        match self {
            Self::Readiness => "readinessProbe",
            Self::Liveness => "livenessProbe",
            Self::Startup => "startupProbe",
        }
    }
}

/// What is asked of a probe of one kind, where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbeBounds {
    /// The handlers that are allowed, such as `httpGet`; empty: all.
    pub handlers: Vec<Box<str>>,
    /// The least and the greatest number for a field such as `periodSeconds`.
    pub ranges: BTreeMap<Box<str>, (Option<i64>, Option<i64>)>,
}

/// A kind with a pod template that Kubernetes does not know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    /// `argoproj.io`
    pub group: Box<str>,
    /// `Rollout`
    pub kind: Box<str>,
    /// The steps to the pod template, that is to the object whose `spec` is a pod's:
    /// `["spec", "template"]`.
    pub steps: Vec<Box<str>>,
    /// Whether its pods run to their end.
    pub run_to_completion: bool,
}

/// What is added to pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutation {
    /// Whether the workload's own history is preferred to the profile.
    pub from_history: bool,
}

impl Default for Policy {
    fn default() -> Self {
        let number = |minimum, maximum| (Some(minimum), Some(maximum));
        let range = |field: &str, range| (Box::from(field), range);
        let common = BTreeMap::from([
            range("periodSeconds", number(1, 300)),
            range("timeoutSeconds", number(1, 60)),
        ]);
        let mut trips = common.clone();
        trips.extend([range("failureThreshold", number(1, 30))]);
        let bounds = |ranges: BTreeMap<_, _>| ProbeBounds { handlers: Vec::new(), ranges };
        let four = Quantity::parse("4").ok();
        let ratio = four.map(|four| (Box::from("memory"), four)).into_iter().collect();
        Self {
            modes: BTreeMap::new(),
            init_containers: Mode::Warn,
            standard: Profile { ratio, ..Profile::default() },
            profiles: BTreeMap::new(),
            qos_class: QosClass::default(),
            probes: [bounds(trips.clone()), bounds(trips), bounds(common)],
            templates: Vec::new(),
            exemptions: Vec::new(),
            mutation: None,
            history: true,
        }
    }
}

impl Policy {
    /// How hard a rule holds in a namespace; `None` for labels that are not known yet.
    pub fn mode(&self, rule: Rule, labels: Option<&LabelSet>) -> Mode {
        let setting = self.modes.get(&rule);
        let written = setting.filter(|setting| setting.written).map(|setting| setting.mode);
        let levels = labels.map(Levels::of).unwrap_or_default();
        let labelled = rule.level().and_then(|level| levels.mode(level));
        match (written, labelled) {
            (Some(Mode::Off), _) => Mode::Off,
            (Some(written), labelled) => written.max(labelled.unwrap_or(Mode::Off)),
            (None, Some(labelled)) => labelled,
            (None, None) => setting.map_or_else(|| rule.default_mode(), |setting| setting.mode),
        }
    }

    /// The bounds for a namespace.
    pub fn profile(&self, labels: Option<&LabelSet>) -> &Profile {
        let name = labels.and_then(|labels| label(labels, PROFILE_LABEL));
        name.and_then(|name| self.profiles.get(name)).unwrap_or(&self.standard)
    }

    /// What is asked of a probe.
    pub fn probe(&self, kind: ProbeKind) -> &ProbeBounds {
        let [readiness, liveness, startup] = &self.probes;
        match kind {
            ProbeKind::Readiness => readiness,
            ProbeKind::Liveness => liveness,
            ProbeKind::Startup => startup,
        }
    }
}

/// The labels of a namespace that are ours but mean nothing, as `label=value`.
pub fn unknown_labels<'a>(policy: &'a Policy, labels: &'a LabelSet) -> Vec<String> {
    let level = |key| {
        label(labels, key).filter(|text| Level::parse(text).is_none()).map(|text| (key, text))
    };
    let profile = label(labels, PROFILE_LABEL).filter(|name| !policy.profiles.contains_key(*name));
    let unknown = [ENFORCE_LABEL, WARN_LABEL, AUDIT_LABEL].into_iter().filter_map(level);
    let unknown = unknown.chain(profile.map(|name| (PROFILE_LABEL, name)));
    unknown.map(|(key, value)| format!("{key}={value}")).collect()
}

/// What the labels of a namespace ask for.
#[derive(Clone, Copy, Default)]
struct Levels {
    enforce: Option<Level>,
    warn: Option<Level>,
    audit: Option<Level>,
}

impl Levels {
    fn of(labels: &LabelSet) -> Self {
        let level = |key| label(labels, key).and_then(Level::parse);
        Self { enforce: level(ENFORCE_LABEL), warn: level(WARN_LABEL), audit: level(AUDIT_LABEL) }
    }

    /// The mode of a rule of a level; `None` where there are no labels.
    fn mode(self, level: Level) -> Option<Mode> {
        let has = |asked: Option<Level>| asked.is_some_and(|asked| level <= asked);
        match self {
            Self { enforce: None, warn: None, audit: None } => None,
            Self { enforce, .. } if has(enforce) => Some(Mode::Deny),
            Self { warn, .. } if has(warn) => Some(Mode::Warn),
            Self { audit, .. } if has(audit) => Some(Mode::Audit),
            _ => Some(Mode::Off),
        }
    }
}

fn label<'a>(labels: &'a LabelSet, key: &str) -> Option<&'a str> {
    let index = labels.binary_search_by(|(other, _)| other.as_ref().cmp(key)).ok()?;
    Some(&labels[index].1)
}

#[cfg(test)]
mod tests;
