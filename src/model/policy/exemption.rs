//! Who is exempt from which rules, why, and until when.
//!
//! An exemption has a reason and an end, and is written where only those who run the cluster
//! write: in the file, or as a cluster-wide `Exemption`. After its end findings warn for
//! [`GRACE`], so that nobody learns of it by a refused deploy.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::rule::Rule;

/// How long findings only warn after an exemption's end.
pub const GRACE: SignedDuration = SignedDuration::from_hours(14 * 24);

/// Most exemptions of the file and of the cluster each: all are looked at for every finding.
pub const MAX_EXEMPTIONS: usize = 1000;

/// An exemption as it is written, in the file and as the `spec` of the kind `Exemption`. An empty
/// list means everything; `*` stands for any text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.reason) && has(self.expires)").message(
    "reason and expires have to be there"
))]
#[x_kube(validation = Rule::new(
    "(has(self.namespaces) && self.namespaces.exists(it, it != '*')) || \
     (has(self.kinds) && self.kinds.exists(it, it != '*')) || \
     (has(self.names) && self.names.exists(it, it != '*')) || \
     (has(self.containers) && self.containers.exists(it, it != '*')) || \
     (has(self.images) && self.images.exists(it, it != '*'))"
).message("it would exempt everything: write namespaces, kinds, names, containers or images"))]
pub struct ExemptionSpec {
    /// Namespaces: `shop`, `team-*`.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub namespaces: Vec<String>,
    /// Kinds: `Deployment`.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub kinds: Vec<String>,
    /// Names of the objects that are judged.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub names: Vec<String>,
    /// Names of containers: `istio-proxy`. The other containers of the pod stay judged.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 253)))]
    pub containers: Vec<String>,
    /// Images of containers, as written: `docker.io/istio/*`.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 1024)))]
    pub images: Vec<String>,
    /// Keys of rules, such as `memoryLimit`; of all of them where there are none.
    #[serde(default)]
    #[schemars(length(max = 64), inner(length(max = 64)))]
    pub rules: Vec<String>,
    /// Why, for those who read reports.
    #[serde(default)]
    #[schemars(length(min = 1, max = 1024))]
    pub reason: String,
    /// The last day, as `2027-03-31` in UTC, or a moment, as `2027-03-31T12:00:00Z`.
    #[serde(default)]
    #[schemars(regex(pattern = r"^\d{4}-\d\d-\d\d(T.*Z)?$"))]
    pub expires: String,
}

/// Why an exemption cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExemptionError {
    /// No reason.
    #[error("`reason` is missing: say why, it is shown in reports")]
    Reason,
    /// No end, or none that can be read.
    #[error("`expires` is {0:?}: write the last day, as 2027-03-31")]
    Expires(String),
    /// A rule that is none.
    #[error("`rules` has {0:?}, which is no rule")]
    Rule(String),
    /// It names nothing at all.
    #[error(
        "it would exempt everything: write `namespaces`, `kinds`, `names`, `containers` or `images`"
    )]
    Everything,
}

/// An exemption that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exemption {
    /// Where it is written: `admission.exemptions[2]`, or the name of the object.
    pub source: String,
    spec: ExemptionSpec,
    rules: Vec<Rule>,
    expires: Timestamp,
}

/// What an exemption does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Force {
    /// It is long over.
    None,
    /// It is over, and findings warn.
    Grace,
    /// It holds.
    Full,
}

/// What an exemption is asked about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The namespace of the object.
    pub namespace: &'a str,
    /// The kind of the object.
    pub kind: &'a str,
    /// The name of the object.
    pub name: &'a str,
    /// The container's name and image; `None` for a finding about the object as a whole, to which
    /// an exemption of containers does not apply.
    pub container: Option<(&'a str, &'a str)>,
    /// The rule.
    pub rule: Rule,
}

impl Exemption {
    /// Checks what is written.
    pub fn compile(source: String, spec: ExemptionSpec) -> Result<Self, ExemptionError> {
        if spec.reason.trim().is_empty() {
            return Err(ExemptionError::Reason);
        }
        let lists = [&spec.namespaces, &spec.kinds, &spec.names, &spec.containers, &spec.images];
        if lists.iter().all(|list| list.iter().all(|pattern| pattern == "*")) {
            return Err(ExemptionError::Everything);
        }
        let expires = moment(spec.expires.trim())
            .ok_or_else(|| ExemptionError::Expires(spec.expires.clone()))?;
        let rule =
            |name: &String| Rule::parse(name).ok_or_else(|| ExemptionError::Rule(name.clone()));
        let rules = spec.rules.iter().map(rule).collect::<Result<_, _>>()?;
        Ok(Self { source, spec, rules, expires })
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.spec.reason
    }

    /// The end, as written.
    pub fn expires(&self) -> &str {
        &self.spec.expires
    }

    /// What it does for a finding.
    pub fn force(&self, subject: &Subject<'_>, now: Timestamp) -> Force {
        if !self.covers(subject) {
            Force::None
        } else if now < self.expires {
            Force::Full
        } else if now.duration_since(self.expires) < GRACE {
            Force::Grace
        } else {
            Force::None
        }
    }

    fn covers(&self, subject: &Subject<'_>) -> bool {
        let Subject { namespace, kind, name, container, rule } = *subject;
        let spec = &self.spec;
        let of_container = match container {
            Some((name, image)) => any(&spec.containers, name) && any(&spec.images, image),
            None => spec.containers.is_empty() && spec.images.is_empty(),
        };
        of_container
            && (self.rules.is_empty() || self.rules.contains(&rule))
            && any(&spec.namespaces, namespace)
            && any(&spec.kinds, kind)
            && any(&spec.names, name)
    }
}

/// The end of a day, or a moment.
fn moment(text: &str) -> Option<Timestamp> {
    if let Ok(moment) = text.parse() {
        return Some(moment);
    }
    let day: Date = text.parse().ok()?;
    Some(day.tomorrow().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// Whether some pattern matches, or there is none.
fn any(patterns: &[String], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| matches(pattern, text))
}

/// Whether a pattern, in which `*` stands for any text, is all of a text.
pub fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    let Some(mut rest) = rest.strip_suffix(last) else {
        return false;
    };
    for part in parts {
        let Some((_, after)) = rest.split_once(part) else {
            return false;
        };
        rest = after;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ExemptionSpec {
        ExemptionSpec {
            containers: vec!["istio-*".to_owned()],
            rules: vec!["memoryLimit".to_owned()],
            reason: "the mesh sets its own".to_owned(),
            expires: "2027-03-31".to_owned(),
            ..ExemptionSpec::default()
        }
    }

    fn subject(container: Option<(&'static str, &'static str)>, rule: Rule) -> Subject<'static> {
        Subject { namespace: "shop", kind: "Deployment", name: "cart", container, rule }
    }

    #[test]
    fn an_exemption_holds_to_the_end_of_its_last_day_and_then_warns_for_two_weeks() {
        let exemption = Exemption::compile("e".to_owned(), spec()).unwrap();
        let subject = subject(Some(("istio-proxy", "istio/proxyv2:1")), Rule::MemoryLimit);
        let force = |moment: &str| exemption.force(&subject, moment.parse().unwrap());
        assert_eq!(force("2027-03-31T23:59:59Z"), Force::Full);
        assert_eq!(force("2027-04-01T00:00:00Z"), Force::Grace);
        assert_eq!(force("2027-04-14T23:59:59Z"), Force::Grace);
        assert_eq!(force("2027-04-15T00:00:00Z"), Force::None);
    }

    #[test]
    fn only_the_named_container_and_rule_are_exempt() {
        let exemption = Exemption::compile("e".to_owned(), spec()).unwrap();
        let force = |container, rule| {
            exemption.force(&subject(container, rule), "2027-01-01T00:00:00Z".parse().unwrap())
        };
        assert_eq!(force(Some(("istio-proxy", "i")), Rule::MemoryLimit), Force::Full);
        assert_eq!(force(Some(("app", "i")), Rule::MemoryLimit), Force::None);
        assert_eq!(force(Some(("istio-proxy", "i")), Rule::CpuRequest), Force::None);
        assert_eq!(force(None, Rule::MemoryLimit), Force::None);
    }

    #[test]
    fn an_exemption_without_reason_end_or_object_is_refused() {
        let compile = |spec| Exemption::compile(String::new(), spec).unwrap_err();
        let blank = |reason: &str| ExemptionSpec { reason: reason.to_owned(), ..spec() };
        assert_eq!(compile(blank(" ")), ExemptionError::Reason);
        let expires = ExemptionSpec { expires: "never".to_owned(), ..spec() };
        assert_eq!(compile(expires), ExemptionError::Expires("never".to_owned()));
        let all = ExemptionSpec { containers: vec!["*".to_owned()], ..spec() };
        assert_eq!(compile(all), ExemptionError::Everything);
        let rules = ExemptionSpec { rules: vec!["limits".to_owned()], ..spec() };
        assert_eq!(compile(rules), ExemptionError::Rule("limits".to_owned()));
    }

    #[test]
    fn a_star_stands_for_any_text() {
        let yes =
            [("*", ""), ("a*", "a"), ("*a", "ba"), ("a*c*e", "abcde"), ("a", "a"), ("a*a", "aa")];
        let no = [("a*", "b"), ("a", "ab"), ("a*a", "a"), ("a*c*c", "abc"), ("", "a")];
        assert!(yes.iter().all(|(pattern, text)| matches(pattern, text)));
        assert!(!no.iter().any(|(pattern, text)| matches(pattern, text)));
    }
}
