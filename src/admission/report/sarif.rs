//! Findings in SARIF 2.1.0, which code hosts show beside the lines of a change.

use serde_json::{Value, json};

use super::line;
use crate::admission::finding::Finding;
use crate::model::policy::{Mode, Rule};

/// Most results of a run that GitHub takes.
const MAX_RESULTS: usize = 5000;

/// A finding, and the file that its object stands in with the line where it begins.
#[derive(Clone, Copy, Debug)]
pub struct Located<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The object: `Deployment shop/cart`.
    pub title: &'a str,
    /// The path of the file.
    pub file: &'a str,
    /// The line, from one.
    pub line: usize,
}

/// The document.
pub fn document(version: &str, findings: &[Located<'_>]) -> Value {
    let rules: Vec<Value> = Rule::ALL.iter().map(|rule| json!({"id": rule.name()})).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "plimsoll", "version": version, "rules": rules}},
            "results": findings.iter().take(MAX_RESULTS).map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(located: &Located<'_>) -> Value {
    let Located { finding, title, file, line: start } = *located;
    let level = match finding.mode {
        Mode::Deny => "error",
        Mode::Warn => "warning",
        Mode::Audit | Mode::Off => "note",
    };
    json!({
        "ruleId": finding.rule.name(),
        "level": level,
        "message": {"text": format!("{title}: {}", line(finding))},
        "locations": [{
            "physicalLocation": {
                "artifactLocation": {"uri": file},
                "region": {"startLine": start.max(1)},
            },
            "logicalLocations": [{"fullyQualifiedName": finding.path}],
        }],
    })
}
