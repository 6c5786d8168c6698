use std::collections::{BTreeMap, HashSet};

use super::super::authority::earlier;
use super::*;

const NAMES: [&str; 2] = ["plimsoll.monitoring.svc", "localhost"];
const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

fn names() -> Vec<String> {
    NAMES.map(str::to_owned).to_vec()
}

fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

/// A cluster: the Secret, what clients trust and what replicas serve, each with its past.
struct World {
    now: Timestamp,
    secret: BTreeMap<String, Vec<u8>>,
    trusted: Vec<(Timestamp, String)>,
    served: Vec<(Timestamp, String)>,
    /// Since when the holder has seen its bundle in place.
    since: Option<Timestamp>,
    /// Whether the holder is replaced after each thing that it does.
    crashes: bool,
    steps: Vec<&'static str>,
    /// Bundles and certificates that were found to fit.
    fit: HashSet<(String, String)>,
}

impl World {
    fn new() -> Self {
        Self {
            now: noon(),
            secret: BTreeMap::new(),
            trusted: Vec::new(),
            served: Vec::new(),
            since: None,
            crashes: false,
            steps: Vec::new(),
            fit: HashSet::new(),
        }
    }

    /// What the holder does in one round; true where the Secret changed.
    fn round(&mut self) -> bool {
        let contents = Contents::read(&self.secret).unwrap();
        let bundle = contents.bundle();
        if !bundle.is_empty() && self.trusted.last().is_none_or(|(_, now)| *now != bundle) {
            self.trusted.push((self.now, bundle.clone()));
            self.since = None;
        }
        let since = *self.since.get_or_insert(self.now);
        let trusted = Duration::try_from(self.now.duration_since(since)).ok();
        let published = self.trusted.last().map(|(_, bundle)| split(bundle)).unwrap_or_default();
        let names = names();
        let situation = Situation {
            now: self.now,
            names: &names,
            trusted: trusted.filter(|_| !bundle.is_empty()),
            published: &published,
            schedule: Schedule::default(),
        };
        let Some(step) = contents.next(&situation).unwrap() else {
            return false;
        };
        self.steps.push(step.reason);
        let given = [keys::BUNDLE, keys::CA_KEY].map(|key| self.secret.get(key).cloned());
        self.secret = step.contents.write();
        if let [Some(bundle), Some(key)] = given {
            self.secret.insert(keys::BUNDLE.to_owned(), bundle);
            self.secret.insert(keys::CA_KEY.to_owned(), key);
        }
        assert_eq!(Contents::read(&self.secret).unwrap(), step.contents);
        if let Some(leaf) = step.contents.leaf
            && self.served.last().is_none_or(|(_, served)| *served != leaf.certificate)
        {
            self.served.push((self.now, leaf.certificate));
        }
        true
    }

    /// Rounds every ten seconds until nothing is to do within two hours.
    fn settle(&mut self) {
        let mut idle = Duration::ZERO;
        while idle < 2 * HOUR {
            let step = if idle < 40 * SECOND { 10 * SECOND } else { HOUR };
            let changed = self.round();
            if changed && self.crashes {
                self.since = None;
            }
            self.check();
            idle = if changed { Duration::ZERO } else { idle + step };
            self.now = later(self.now, step);
        }
    }

    /// Whoever is behind, client or replica, sees a certificate that it trusts.
    fn check(&mut self) {
        let at = |past: &[(Timestamp, String)], lag: Duration| {
            let then = earlier(self.now, lag);
            past.iter().rev().find(|(since, _)| *since <= then).map(|(_, value)| value.clone())
        };
        for client in [Duration::ZERO, 29 * SECOND] {
            for replica in [Duration::ZERO, HOUR.saturating_sub(31 * SECOND)] {
                let bundle = at(&self.trusted, client);
                let Some((bundle, leaf)) = bundle.zip(at(&self.served, replica)) else {
                    continue;
                };
                if self.fit.contains(&(bundle.clone(), leaf.clone())) {
                    continue;
                }
                let issued = split(&bundle)
                    .into_iter()
                    .any(|certificate| Authority { certificate, key: None }.has_issued(&leaf));
                let (now, steps) = (self.now, &self.steps);
                assert!(
                    issued,
                    "{now}: a client {client:?} behind does not trust a replica {replica:?} \
                     behind, after {steps:?}"
                );
                self.fit.insert((bundle, leaf));
            }
        }
    }

    fn contents(&self) -> Contents {
        Contents::read(&self.secret).unwrap()
    }

    fn live(&mut self, years: u32) {
        let end = later(self.now, years * 365 * DAY);
        while self.now < end {
            self.settle();
            self.now = later(self.now, 10 * DAY);
        }
    }

    fn authority(&self) -> String {
        self.contents().current.unwrap().certificate
    }
}

fn count(steps: &[&'static str]) -> BTreeMap<&'static str, usize> {
    steps.iter().fold(BTreeMap::new(), |mut counts, step| {
        *counts.entry(*step).or_default() += 1;
        counts
    })
}

#[test]
fn the_first_certificate_waits_for_its_publication_alone() {
    let mut world = World::new();
    assert!(world.round());
    let announced = world.contents();
    assert!(
        announced.leaf.is_none() && announced.current.is_none() && !announced.bundle().is_empty()
    );
    assert!(world.round(), "nobody trusted anything else, so nothing is to be waited for");
    let settled = world.contents();
    let facts = settled.leaf.unwrap().facts().unwrap();
    assert_eq!(facts.names, NAMES);
    assert_eq!(facts.valid_from, "2026-11-23T11:55:00Z".parse().unwrap());
    assert_eq!(facts.expires, "2027-02-21T12:00:00Z".parse().unwrap());
    assert!(!world.round());
}

#[test]
fn a_life_of_seven_years_is_trusted_at_every_moment() {
    for crashes in [false, true] {
        let mut world = World { crashes, ..World::new() };
        world.live(7);
        let counts = count(&world.steps);
        let renewed = counts["certificate nears its end"];
        assert_eq!(
            counts,
            BTreeMap::from([
                ("new authority", 3),
                ("certificate of the new authority", 3),
                ("authorities of the past forgotten", 2),
                ("certificate nears its end", renewed),
            ])
        );
        assert!((30..=42).contains(&renewed), "every 60 to 70 days: {renewed}");
        assert_eq!(split(&world.contents().bundle()).len(), 1);
    }
}

#[test]
fn a_deleted_secret_is_replaced_without_a_gap() {
    let mut world = World::new();
    world.settle();
    let before = world.authority();
    world.secret.clear();
    world.settle();
    assert_ne!(world.authority(), before);
    assert_eq!(split(&world.contents().bundle()).len(), 1);
}

#[test]
fn a_clock_that_was_ahead_or_is_behind_comes_to_rest() {
    let mut world = World::new();
    world.now = later(noon(), 300 * DAY);
    world.settle();
    let ahead = world.authority();
    // A holder whose clock is right takes over.
    (world.now, world.since) = (noon(), None);
    for _ in 0..10 {
        world.round();
        world.now = later(world.now, 10 * SECOND);
    }
    assert_ne!(world.authority(), ahead);
    assert!(world.contents().leaf.unwrap().facts().unwrap().valid_from <= world.now);
    let steps = world.steps.len();
    assert!(!world.round() && world.steps.len() == steps);
}

#[test]
fn a_certificate_is_renewed_while_nothing_can_be_published() {
    let mut world = World::new();
    world.settle();
    let contents = world.contents();
    let names = names();
    let next = |contents: &Contents, now| {
        let schedule = Schedule::default();
        let situation = Situation { now, names: &names, trusted: None, published: &[], schedule };
        contents.next(&situation).unwrap()
    };
    let renewed = next(&contents, later(world.now, 61 * DAY)).unwrap();
    assert_eq!(renewed.reason, "certificate nears its end");
    // The authority is due in the last year: it is announced, and its predecessor goes on signing.
    let late = later(world.now, 4 * 365 * DAY);
    let renewed = next(&renewed.contents, late).unwrap();
    assert_eq!(renewed.reason, "certificate nears its end");
    let announced = next(&renewed.contents, late).unwrap();
    assert_eq!(announced.reason, "new authority");
    assert_eq!(next(&announced.contents, late), None);
    // Close to the end a certificate ends with its authority, and is not made again and again.
    let end = later(world.now, (5 * 365 - 2) * DAY);
    let last = next(&announced.contents, end).unwrap();
    assert_eq!(next(&last.contents, later(end, DAY)), None);
}

#[test]
fn a_name_more_is_a_new_certificate_of_the_same_authority() {
    let mut world = World::new();
    world.settle();
    let contents = world.contents();
    let names = [names(), vec!["metrics.monitoring.svc".to_owned(), "no name".to_owned()]].concat();
    let (now, schedule) = (world.now, Schedule::default());
    let trusted = Some(Duration::ZERO);
    let situation = Situation { now, names: &names[..3], trusted, published: &[], schedule };
    let step = contents.next(&situation).unwrap().unwrap();
    assert_eq!(step.reason, "certificate lacks a name");
    assert_eq!(step.contents.bundle(), contents.bundle());
    assert_eq!(step.contents.leaf.unwrap().facts().unwrap().names, names[..3]);
}

#[test]
fn whatever_is_lost_or_spoiled_is_made_again() {
    let mut world = World::new();
    world.settle();
    for (key, reason) in [
        (keys::LEAF, "certificate was lost"),
        (keys::LEAF_KEY, "certificate was lost"),
        (keys::CURRENT_CA, "new authority"),
        (keys::CURRENT_CA_KEY, "new authority"),
    ] {
        for spoiled in [None, Some(b"-----BEGIN CERTIFICATE-----\nno\n".to_vec())] {
            world.secret.remove(key);
            world.secret.extend(spoiled.map(|spoiled| (key.to_owned(), spoiled)));
            let before = world.steps.len();
            world.settle();
            assert_eq!(world.steps[before], reason, "{key}");
            assert!(world.contents().leaf.is_some());
        }
    }
}

#[test]
fn the_authority_of_the_operator_signs_and_is_not_renewed() {
    let mut world = World::new();
    let give = |world: &mut World| {
        let given = Authority::make(world.now, 2 * 365 * DAY).unwrap();
        world.secret.insert(keys::BUNDLE.to_owned(), given.certificate.clone().into_bytes());
        world.secret.insert(keys::CA_KEY.to_owned(), given.key.unwrap().into_bytes());
        given.certificate
    };
    let first = give(&mut world);
    world.live(1);
    assert_eq!(world.contents().bundle(), first);
    assert_eq!(world.contents().current.unwrap().key, None, "the key stays in its one place");
    assert_eq!(count(&world.steps).get("new authority"), None);
    // It may be replaced at any time, and be taken back.
    let second = give(&mut world);
    world.settle();
    assert_eq!(world.contents().bundle(), second);
    world.secret.remove(keys::CA_KEY);
    world.settle();
    let contents = world.contents();
    assert!(contents.current.is_some_and(|own| own.key.is_some() && own.certificate != second));
}

#[test]
fn an_authority_of_the_operator_that_cannot_sign_is_an_error() {
    let [one, other] = [(); 2].map(|()| Authority::make(noon(), DAY).unwrap());
    let read = |certificate: &str, key: Option<String>| {
        let key = key.unwrap_or_default();
        Contents::read(&BTreeMap::from([
            (keys::BUNDLE.to_owned(), certificate.as_bytes().to_vec()),
            (keys::CA_KEY.to_owned(), key.into_bytes()),
        ]))
        .map_err(|error| error.to_string())
    };
    assert!(read(&one.certificate, one.key.clone()).is_ok());
    let mismatch = read(&one.certificate, other.key).unwrap_err();
    assert_eq!(mismatch, "the key does not belong to the certificate");
    assert_eq!(read("", one.key.clone()).unwrap_err(), "no PEM certificate");
    assert_eq!(read(&one.certificate, None).unwrap_err(), "cannot sign a certificate");
    // A serving certificate is no authority.
    let leaf = one.issue(&names(), noon(), DAY).unwrap();
    let leaf = Authority { certificate: leaf.certificate, key: Some(leaf.key) };
    let refused = leaf.issue(&names(), noon(), DAY).unwrap_err().to_string();
    assert_eq!(refused, "the certificate is not one of a certificate authority");
}
