//! The life of a self-managed certificate, as steps over the content of its Secret.
//!
//! One rule makes every step safe to be the last one before a crash: a certificate is served only
//! after its authority has been trusted by all clients for a while, and an authority stays trusted
//! until its certificates are out of use. The stage is read off the content, so there is nothing
//! that could contradict it:
//!
//! 1. *announced*: there is an authority that has not signed the certificate in use. It is in the
//!    bundle, and waits there.
//! 2. *promoted*: it has signed a new certificate, which the replicas take up. The authority
//!    before it is still in the bundle.
//! 3. *settled*: the authority before is forgotten.
//!
//! Pure: `now`, and how long the bundle has been trusted, are arguments. [`Contents::next`] is
//! asked again after each step.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::authority::{Authority, BACKDATE, IssueError, Leaf, is_name, later, split};
use super::facts::Facts;

#[cfg(test)]
mod tests;

const DAY: Duration = Duration::from_hours(24);

/// At most so many authorities of the past stay trusted, the youngest.
const MAX_PREVIOUS: usize = 8;

/// The keys of the Secret. `tls.crt` and `tls.key` are those of a `kubernetes.io/tls` Secret,
/// `ca.crt` is what cert-manager calls the bundle that verifies them.
pub mod keys {
    /// What clients have to trust; with [`CA_KEY`], the operator's authority.
    pub const BUNDLE: &str = "ca.crt";
    /// Its presence says that `ca.crt` is an authority that the operator has given.
    pub const CA_KEY: &str = "ca.key";
    /// The authority that has signed the certificate in use.
    pub const CURRENT_CA: &str = "current-ca.crt";
    /// Its key.
    pub const CURRENT_CA_KEY: &str = "current-ca.key";
    /// The authority that is announced.
    pub const NEXT_CA: &str = "next-ca.crt";
    /// Its key.
    pub const NEXT_CA_KEY: &str = "next-ca.key";
    /// Authorities of the past that are still trusted.
    pub const PREVIOUS_CAS: &str = "previous-ca.crt";
    /// The certificate in use.
    pub const LEAF: &str = "tls.crt";
    /// Its key.
    pub const LEAF_KEY: &str = "tls.key";
}

/// How long everything lasts. Certificates and authorities are renewed when a third of their life
/// is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Life of a serving certificate.
    pub leaf_lifetime: Duration,
    /// Life of an authority.
    pub authority_lifetime: Duration,
    /// How long an authority is trusted before its first certificate is served: each replica of
    /// the API server learns it by a watch of its own.
    pub propagation: Duration,
    /// How long an authority stays trusted after its last certificate was replaced: each of our
    /// replicas learns the new one by a watch of its own, and one that is cut off serves the old.
    pub grace: Duration,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            leaf_lifetime: 90 * DAY,
            authority_lifetime: 5 * 365 * DAY,
            propagation: Duration::from_secs(30),
            grace: Duration::from_hours(1),
        }
    }
}

/// What is in the Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// The operator's authority, and further certificates that the operator put behind it.
    pub given: Option<(Authority, Vec<String>)>,
    /// The authority that has signed the certificate in use.
    pub current: Option<Authority>,
    /// The authority that is announced.
    pub next: Option<Authority>,
    /// Certificates of the authorities of the past that are still trusted, youngest first.
    pub previous: Vec<String>,
    /// The certificate in use.
    pub leaf: Option<Leaf>,
}

/// What a step depends on beside the content.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// The time.
    pub now: Timestamp,
    /// The names that the certificate is to be good for.
    pub names: &'a [String],
    /// How long all clients have been trusting [`Contents::bundle`] without a break; `None` while
    /// they do not.
    pub trusted: Option<Duration>,
    /// The certificates that clients trust where the Secret is empty: something may be serving
    /// with a certificate of theirs.
    pub published: &'a [String],
    /// How long everything lasts.
    pub schedule: Schedule,
}

/// One change of the Secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is done and why, for the log.
    pub reason: &'static str,
    /// The content after it.
    pub contents: Contents,
}

impl Contents {
    /// Reads the data of a Secret. What cannot be used of our own is as if it were not there;
    /// an authority of the operator that cannot be used is an error.
    pub fn read(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, IssueError> {
        let text = |key| data.get(key).and_then(|bytes| std::str::from_utf8(bytes).ok());
        let authority = |certificate, key| {
            let certificate = split(text(certificate)?).into_iter().next()?;
            let authority = Authority { certificate, key: text(key).map(str::to_owned) };
            authority.facts().is_ok().then_some(authority)
        };
        let given = match text(keys::CA_KEY) {
            None => None,
            Some(key) => {
                let mut certificates = split(text(keys::BUNDLE).unwrap_or_default()).into_iter();
                let certificate = certificates.next().unwrap_or_default();
                let authority = Authority { certificate, key: Some(key.to_owned()) };
                authority.check()?;
                Some((authority, certificates.collect()))
            }
        };
        let leaf = || {
            let certificate = split(text(keys::LEAF)?).into_iter().next()?;
            let leaf = Leaf { certificate, key: text(keys::LEAF_KEY)?.to_owned() };
            leaf.check().is_ok().then_some(leaf)
        };
        Ok(Self {
            given,
            current: authority(keys::CURRENT_CA, keys::CURRENT_CA_KEY),
            next: authority(keys::NEXT_CA, keys::NEXT_CA_KEY).filter(|next| next.check().is_ok()),
            previous: split(text(keys::PREVIOUS_CAS).unwrap_or_default()),
            leaf: leaf(),
        })
    }

    /// The data of the Secret, without what is the operator's.
    pub fn write(&self) -> BTreeMap<String, Vec<u8>> {
        let mut data = BTreeMap::new();
        let mut put = |key: &str, text: &str| {
            if !text.is_empty() {
                data.insert(key.to_owned(), text.as_bytes().to_vec());
            }
        };
        let mut put_authority = |certificate, key, authority: Option<&Authority>| {
            if let Some(authority) = authority {
                put(certificate, &authority.certificate);
                put(key, authority.key.as_deref().unwrap_or_default());
            }
        };
        put_authority(keys::CURRENT_CA, keys::CURRENT_CA_KEY, self.current.as_ref());
        put_authority(keys::NEXT_CA, keys::NEXT_CA_KEY, self.next.as_ref());
        put(keys::PREVIOUS_CAS, &self.previous.concat());
        if let Some(leaf) = &self.leaf {
            put(keys::LEAF, &leaf.certificate);
            put(keys::LEAF_KEY, &leaf.key);
        }
        if self.given.is_none() {
            put(keys::BUNDLE, &self.bundle());
        }
        data
    }

    /// What clients have to trust, as PEM: the authority of the certificate in use, the one to
    /// come, and those of the past. Empty where there is nothing yet.
    pub fn bundle(&self) -> String {
        let mut bundle: Vec<&str> = Vec::new();
        let given = self.given.iter();
        let given = given.flat_map(|(given, more)| std::iter::once(&given.certificate).chain(more));
        let own = self.current.iter().chain(&self.next).map(|authority| &authority.certificate);
        for certificate in own.chain(given).chain(&self.previous) {
            if !bundle.contains(&certificate.as_str()) {
                bundle.push(certificate);
            }
        }
        bundle.concat()
    }

    /// The next step that is due, if any.
    pub fn next(&self, situation: &Situation<'_>) -> Result<Option<Step>, IssueError> {
        let step = |reason, contents| Ok(Some(Step { reason, contents }));
        if let Some(announced) = self.announced()
            && self.is_trusted(situation)
        {
            return step("certificate of the new authority", self.promote(announced, situation)?);
        }
        if let Some(signer) = self.signer(situation.now)
            && let Some(reason) = self.leaf_is_due(signer, situation)
        {
            let Situation { names, now, schedule, .. } = *situation;
            let leaf = Some(signer.issue(names, now, schedule.leaf_lifetime)?);
            return step(reason, Self { leaf, ..self.clone() });
        }
        if self.given.is_none() && self.next.is_none() && self.authority_is_due(situation.now) {
            return step("new authority", self.announce(situation)?);
        }
        if !self.previous.is_empty() && self.announced().is_none() && self.is_over(situation) {
            let settled = Self { previous: Vec::new(), ..self.clone() };
            return step("authorities of the past forgotten", settled);
        }
        Ok(None)
    }

    /// The authority that is to sign from now on and has not signed the certificate in use.
    fn announced(&self) -> Option<&Authority> {
        let announced = self.given.as_ref().map(|(given, _)| given).or(self.next.as_ref())?;
        let current = self.current.as_ref();
        (current.is_none_or(|current| current.certificate != announced.certificate))
            .then_some(announced)
    }

    /// The authority that has signed the certificate in use, where it can sign another now.
    fn signer(&self, now: Timestamp) -> Option<&Authority> {
        let current = self.current.as_ref()?;
        let given = self.given.as_ref().map(|(given, _)| given);
        given
            .filter(|given| given.certificate == current.certificate)
            .or(Some(current))
            .filter(|signer| signer.check().is_ok())
            .filter(|signer| signer.facts().is_ok_and(|facts| facts.is_valid_at(now)))
    }

    /// Whether a certificate of the announced authority may be served. Where nothing of us was
    /// trusted before, there is no client that could still be without it.
    fn is_trusted(&self, situation: &Situation<'_>) -> bool {
        let first = self.current.is_none() && self.previous.is_empty();
        let enough = if first { Duration::ZERO } else { situation.schedule.propagation };
        situation.trusted.is_some_and(|trusted| trusted >= enough)
    }

    fn promote(
        &self,
        announced: &Authority,
        situation: &Situation<'_>,
    ) -> Result<Self, IssueError> {
        let Situation { names, now, schedule, .. } = *situation;
        let leaf = Some(announced.issue(names, now, schedule.leaf_lifetime)?);
        let before = self.current.iter().map(|before| before.certificate.clone());
        let mut current = announced.clone();
        if self.given.is_some() {
            // It stays in the operator's place alone.
            current.key = None;
        }
        Ok(Self {
            given: self.given.clone(),
            current: Some(current),
            next: None,
            previous: before.chain(self.previous.iter().cloned()).take(MAX_PREVIOUS).collect(),
            leaf,
        })
    }

    fn announce(&self, situation: &Situation<'_>) -> Result<Self, IssueError> {
        let lifetime = situation.schedule.authority_lifetime;
        let next = Some(Authority::make(situation.now, lifetime)?);
        let mut announced = Self { next, ..self.clone() };
        if self.current.is_none() && self.previous.is_empty() {
            let is_certificate = |certificate: &String| {
                Authority { certificate: certificate.clone(), key: None }.facts().is_ok()
            };
            let published = situation.published.iter().filter(|text| is_certificate(text));
            announced.previous = published.take(MAX_PREVIOUS).cloned().collect();
        }
        Ok(announced)
    }

    /// Why the certificate in use has to be replaced by one of the same authority.
    fn leaf_is_due(&self, signer: &Authority, situation: &Situation<'_>) -> Option<&'static str> {
        let Some(leaf) = &self.leaf else {
            return Some("certificate was lost");
        };
        let Ok(facts) = leaf.facts() else {
            return Some("certificate is unreadable");
        };
        if !signer.has_issued(&leaf.certificate) {
            return Some("certificate is of another authority");
        }
        if situation.names.iter().any(|name| is_name(name) && !facts.names.contains(name)) {
            return Some("certificate lacks a name");
        }
        if facts.valid_from > situation.now {
            return Some("certificate is of the future");
        }
        let Situation { now, schedule, .. } = *situation;
        // One that ends with its authority is not made better by another that does, too.
        let until = signer.facts().map_or(facts.expires, |signer| signer.expires);
        let better = later(now, schedule.leaf_lifetime).min(until) > facts.expires;
        (now >= due(&facts) && better).then_some("certificate nears its end")
    }

    fn authority_is_due(&self, now: Timestamp) -> bool {
        let Some(Ok(facts)) = self.signer(now).map(Authority::facts) else {
            return true;
        };
        now >= due(&facts)
    }

    /// Whether every replica had the time to take up the certificate of the current authority.
    fn is_over(&self, situation: &Situation<'_>) -> bool {
        let Some(Ok(facts)) = self.leaf.as_ref().map(Leaf::facts) else {
            return false;
        };
        situation.now >= later(later(facts.valid_from, BACKDATE), situation.schedule.grace)
    }
}

/// When a third of its life is left.
fn due(facts: &Facts) -> Timestamp {
    let life = facts.expires.duration_since(later(facts.valid_from, BACKDATE));
    let third = Duration::try_from(life).unwrap_or_default() / 3;
    super::authority::earlier(facts.expires, third)
}
