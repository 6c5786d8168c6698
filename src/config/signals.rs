//! The sections `presets` and `signals`.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::backends::Names;
use super::file::Entry;
use super::places::Places;
use super::report::Report;
use crate::signals::compile::{Mistake, compile};
use crate::signals::definition::SignalSpec;
use crate::signals::golden::golden;
use crate::signals::link::link;
use crate::signals::preset::{Preset, Presets};
use crate::signals::signal::{On, Signal};

/// An entry of `presets`: a name, or a name with what it stands for.
#[derive(Debug)]
pub(super) enum PresetEntry {
    Named(String),
    Defined(String, Box<Preset>),
}

impl<'de> Deserialize<'de> for PresetEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameOrMap;

        impl<'de> Visitor<'de> for NameOrMap {
            type Value = PresetEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a preset, or a map of a name to a definition")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(PresetEntry::Named(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let only = map.next_entry::<String, Preset>()?;
                let (name, preset) =
                    only.ok_or_else(|| A::Error::custom("a preset needs a name"))?;
                if let Some(second) = map.next_key::<String>()? {
                    let what = format!("`{second}` is a second preset: give it a dash of its own");
                    return Err(A::Error::custom(what));
                }
                Ok(PresetEntry::Defined(name, Box::new(preset)))
            }
        }

        deserializer.deserialize_any(NameOrMap)
    }
}

/// Compiles both sections.
pub(super) fn signals(
    presets: Vec<Entry<PresetEntry>>,
    signals: Vec<Entry<SignalSpec>>,
    names: &Names,
    text: &str,
    report: &mut Report<'_>,
) -> (Vec<Arc<Signal>>, Presets) {
    let (known, enabled) = self::presets(presets, report);
    let mut declared = Declared::default();
    let mut places = Places::new(text);
    let mut wrong = |path: &str, at, mistake: Mistake, report: &mut Report<'_>| {
        let path = match mistake.path.as_str() {
            "" => path.to_owned(),
            field => format!("{path}.{field}"),
        };
        report.error(places.find(&path).unwrap_or(at), path, mistake.what);
    };
    for (index, Spanned { value, referenced, .. }) in signals.into_iter().enumerate() {
        let path = format!("signals[{index}]");
        let Some(spec) = value else {
            report.error(referenced, path, "it is empty");
            continue;
        };
        let mistake = spec.backend.as_deref().and_then(|backend| names.mistake(backend));
        if let Some(what) = mistake.filter(|_| spec.backend.as_deref() != Some("")) {
            wrong(&path, referenced, Mistake { path: "backend".to_owned(), what }, report);
        }
        match compile(&path, &spec, &known, None) {
            Ok(signal) => {
                if let Some(lost) = declared.add(signal, referenced) {
                    let what = format!("{} have a metric of this name already", lost.on);
                    report.error(referenced, format!("{path}.metric"), what);
                }
            }
            Err(mistakes) => {
                for mistake in mistakes {
                    wrong(&path, referenced, mistake, report);
                }
            }
        }
    }
    for (index, at, name) in enabled {
        let golden = known.get(&name).map(|preset| golden(&name, preset)).unwrap_or_default();
        let origin = format!("presets[{index}] ({name})");
        let compiled = golden.iter().filter_map(|spec| compile(&origin, spec, &known, None).ok());
        let lost = compiled.filter_map(|signal| declared.add(signal, at)).count();
        if lost > 0 {
            let what = format!("{lost} of its metrics stand further up already, which win");
            report.warn(at, format!("presets[{index}]"), what);
        }
    }
    let Declared { signals, places: lines, .. } = declared;
    let origins: Vec<_> = signals.iter().map(|signal| signal.origin.clone()).collect();
    let (linked, mistakes) = link(signals, &|_, _| None);
    for (index, mistake) in mistakes {
        if let (Some(path), Some(at)) = (origins.get(index), lines.get(index)) {
            wrong(path, *at, mistake, report);
        }
    }
    (linked.into_iter().map(|(_, signal)| signal).collect(), known)
}

/// The signals so far and where they stand.
#[derive(Default)]
struct Declared {
    signals: Vec<Signal>,
    places: Vec<Location>,
    taken: HashSet<(On, String)>,
}

impl Declared {
    /// Adds a signal, or gives it back where its name is taken.
    fn add(&mut self, signal: Signal, at: Location) -> Option<Signal> {
        if !self.taken.insert((signal.on.clone(), signal.metric.clone())) {
            return Some(signal);
        }
        self.signals.push(signal);
        self.places.push(at);
        None
    }
}

/// All presets there are, and those whose signals are served, by their index.
fn presets(
    entries: Vec<Entry<PresetEntry>>,
    report: &mut Report<'_>,
) -> (Presets, Vec<(usize, Location, String)>) {
    let mut known = Presets::default();
    let mut enabled: Vec<(usize, Location, String)> = Vec::new();
    for (index, Spanned { value, referenced, .. }) in entries.into_iter().enumerate() {
        let path = format!("presets[{index}]");
        let name = match value {
            None => {
                report.error(referenced, path, "it is empty");
                continue;
            }
            Some(PresetEntry::Named(name)) => name,
            Some(PresetEntry::Defined(name, preset)) => {
                let mistakes = preset.mistakes();
                for what in &mistakes {
                    report.error(referenced, format!("{path}.{name}"), what.clone());
                }
                if !mistakes.is_empty() {
                    continue;
                }
                if !known.add(&name, *preset) {
                    let what = "there is a preset of this name already: choose another";
                    report.error(referenced, format!("{path}.{name}"), what);
                }
                name
            }
        };
        if known.get(&name).is_none() {
            let like = known.most_like(&name).map(|like| format!(", did you mean {like}?"));
            let what = format!("there is no preset {name:?}{}", like.unwrap_or_default());
            report.error(referenced, path, what);
        } else if enabled.iter().any(|(.., other)| *other == name) {
            report.warn(referenced, path, "it stands here twice");
        } else {
            enabled.push((index, referenced, name));
        }
    }
    (known, enabled)
}
