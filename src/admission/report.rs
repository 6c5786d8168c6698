//! The words of an answer: the message of a refusal, warnings, causes, audit annotations, and the
//! forms of `plimsoll check`.
//!
//! Bounds are the API server's: a warning of more than 120 characters is ill-mannered, from 4096
//! in all on they are cut (staging/src/k8s.io/apiserver/pkg/endpoints/filters/warning.go), and the
//! message of a refusal ends up in conditions and Events, whose notes have 1024 bytes.

pub mod sarif;
#[cfg(test)]
mod tests;
mod yaml;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::finding::{Finding, Lowered};
use super::judge::Judgement;
use crate::model::policy::Mode;

/// The longest warning, in characters.
pub const MAX_WARNING: usize = 120;
/// The longest text of all warnings, in characters.
pub const MAX_WARNINGS: usize = 4096;
/// The longest message of a refusal, in bytes, without the fragment to paste.
const MAX_MESSAGE: usize = 1024;
/// The longest fragment, in bytes.
const MAX_FRAGMENT: usize = 2048;
/// Most causes of a refusal.
const MAX_CAUSES: usize = 100;
/// Longest text of a name or value that comes from the object, in characters.
const MAX_SHOWN: usize = 80;

/// One entry of `details.causes` of a `Status`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// `FieldValueInvalid`, or `FieldValueRequired` where nothing is there.
    pub reason: &'static str,
    /// One finding in one line.
    pub message: String,
    /// The field.
    pub field: String,
}

/// One finding in one line, what is to be written first: `container "app": resources.limits.memory
/// missing → 512Mi: no memory limit (no history)`.
pub fn line(finding: &Finding) -> String {
    let Finding { container, path, current, wanted, message, lowered, .. } = finding;
    let container = container.as_ref().map(|name| format!("container {name:?}: "));
    let why = match lowered {
        Some(Lowered::ExemptionExpired { source, expires }) => {
            format!(" (the exemption {source} ended on {expires}: denied before long)")
        }
        _ => String::new(),
    };
    let shown = |text: &str| clean(text, MAX_SHOWN);
    clean(
        &format!(
            "{}{} {} → {}: {message}{why}",
            container.map(|text| shown(&text)).unwrap_or_default(),
            shown(field(path)),
            shown(current),
            shown(wanted)
        ),
        MAX_MESSAGE,
    )
}

/// The field below its container.
fn field(path: &str) -> &str {
    path.rsplit_once("].").map_or(path, |(_, field)| field)
}

/// The message of a refusal; empty where nothing is denied. What matters most stands in the first
/// line, every denied finding has its own, and a fragment to paste follows.
pub fn refusal(title: &str, judgement: &Judgement) -> String {
    let denied: Vec<_> = judgement.with(Mode::Deny).collect();
    let Some(first) = denied.first() else {
        return String::new();
    };
    let problems = if denied.len() == 1 { "problem" } else { "problems" };
    let title = clean(title, MAX_SHOWN);
    let mut text = format!("{title}: {} {problems}. {}", denied.len(), line(first));
    let mut left = denied.len() - 1;
    for finding in denied.iter().skip(1) {
        let line = line(finding);
        if text.len() + line.len() + 2 > MAX_MESSAGE {
            break;
        }
        text.push_str("\n- ");
        text.push_str(&line);
        left -= 1;
    }
    if left > 0 {
        text.extend(["\n- and ", &left.to_string(), " more: `plimsoll check` lists all of them"]);
    }
    if let Some(fragment) = fragment(&denied) {
        text.push_str("\nTo paste:\n");
        text.push_str(&fragment);
    }
    text
}

/// What to write, by container, as YAML; `None` where there is nothing to say or it is too long.
pub fn fragment(findings: &[&Finding]) -> Option<String> {
    let mut containers: BTreeMap<&str, Value> = BTreeMap::new();
    for finding in findings {
        if let (Some(container), Some(fix)) = (&finding.container, &finding.fix) {
            merge(containers.entry(container).or_insert_with(|| json!({})), fix);
        }
    }
    let list: Vec<Value> = containers
        .into_iter()
        .map(|(name, fix)| {
            let mut entry = Map::from_iter([("name".to_owned(), json!(name))]);
            entry.extend(fix.as_object().cloned().unwrap_or_default());
            Value::Object(entry)
        })
        .collect();
    let text = (!list.is_empty()).then(|| yaml::write(&Value::Array(list)))?;
    (text.len() <= MAX_FRAGMENT).then_some(text)
}

/// Puts one fragment into another; what is there stays.
fn merge(into: &mut Value, from: &Value) {
    let (Value::Object(into), Value::Object(from)) = (into, from) else { return };
    for (key, value) in from {
        match into.get_mut(key) {
            Some(there) => merge(there, value),
            None => drop(into.insert(key.clone(), value.clone())),
        }
    }
}

/// The warnings, within their bounds; the last one tells how many did not fit.
pub fn warnings(judgement: &Judgement) -> Vec<String> {
    let all: Vec<String> =
        judgement.with(Mode::Warn).map(|finding| clean(&line(finding), MAX_WARNING)).collect();
    let mut warnings: Vec<String> = Vec::new();
    let mut length = 0;
    for (index, warning) in all.iter().enumerate() {
        if warnings.contains(warning) {
            continue;
        }
        let count = warning.chars().count();
        if length + count > MAX_WARNINGS - MAX_WARNING {
            warnings.push(format!(
                "and {} more: `plimsoll check` lists all of them",
                all.len() - index
            ));
            break;
        }
        length += count;
        warnings.push(warning.clone());
    }
    warnings
}

/// The causes of a refusal.
pub fn causes(judgement: &Judgement) -> Vec<Cause> {
    let cause = |finding: &Finding| Cause {
        reason: if finding.current == "missing" {
            "FieldValueRequired"
        } else {
            "FieldValueInvalid"
        },
        message: line(finding),
        field: clean(&finding.path, MAX_MESSAGE),
    };
    judgement.with(Mode::Deny).take(MAX_CAUSES).map(cause).collect()
}

/// The audit annotations: few, small, and the same keys always.
pub fn audit_annotations(judgement: &Judgement) -> BTreeMap<String, String> {
    let mut annotations = BTreeMap::new();
    let verdict = if judgement.is_denied() { "denied" } else { "allowed" };
    annotations.insert("verdict".to_owned(), verdict.to_owned());
    let mut insert = |key: &str, texts: Vec<String>| {
        if !texts.is_empty() {
            annotations.insert(key.to_owned(), clean(&texts.join(","), MAX_MESSAGE));
        }
    };
    let named = |finding: &Finding| match &finding.container {
        Some(container) => format!("{}/{}", finding.rule, clean(container, MAX_SHOWN)),
        None => finding.rule.to_string(),
    };
    for mode in [Mode::Deny, Mode::Warn, Mode::Audit] {
        insert(mode.name(), judgement.with(mode).map(named).collect());
    }
    let exempted = judgement.exempted.iter();
    insert(
        "exempt",
        exempted.map(|one| format!("{}:{}", named(&one.finding), one.source)).collect(),
    );
    insert("notes", judgement.notes.clone());
    annotations
}

/// A finding as JSON, for `plimsoll check` and `scan`.
pub fn json(finding: &Finding) -> Value {
    json!({
        "rule": finding.rule.name(),
        "mode": finding.mode.name(),
        "container": finding.container,
        "path": finding.path,
        "current": finding.current,
        "wanted": finding.wanted,
        "message": finding.message,
        "fix": finding.fix,
    })
}

/// A text of at most so many characters without any that a terminal or log acts on.
pub fn clean(text: &str, most: usize) -> String {
    let mut clean = String::new();
    for (index, character) in text.chars().enumerate() {
        if index + 1 == most && text.chars().nth(most).is_some() {
            clean.push('…');
            break;
        }
        let hidden = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        clean.push(if hidden { '\u{fffd}' } else { character });
    }
    clean
}
