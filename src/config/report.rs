//! Collects what is wrong with a file, so that its author sees all of it at once.

use std::fmt::Write as _;

use serde_saphyr::Location;

/// Most mistakes that one error lists.
const MAX_LISTED: usize = 50;

/// Why a file cannot be used: one line for each mistake, `FILE:LINE: path: what`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

impl ConfigError {
    /// The mistakes, one line each, in file order of the sections.
    pub fn problems(&self) -> &[String] {
        &self.0
    }
}

/// A mistake and its place.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) line: Option<u64>,
    /// `rules[3].name.as`; empty for the file as a whole.
    pub(super) path: String,
    pub(super) what: String,
}

/// The mistakes and warnings of one file.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file_name: &'a str,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file_name: &'a str) -> Self {
        Self { file_name, problems: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    pub(super) fn error(&mut self, at: Location, path: String, what: impl Into<String>) {
        self.problems.push(Problem { line: line(at), path, what: what.into() });
    }

    pub(super) fn warn(&mut self, at: Location, path: String, what: impl Into<String>) {
        self.warnings.push(Problem { line: line(at), path, what: what.into() });
    }

    /// The warnings, or the mistakes where there are any.
    pub(super) fn finish(self) -> Result<Vec<String>, ConfigError> {
        let shown = |problem: &Problem| {
            let mut text = self.file_name.to_owned();
            if let Some(line) = problem.line {
                text.push(':');
                text.push_str(&line.to_string());
            }
            if !problem.path.is_empty() {
                text.push_str(": ");
                text.push_str(&problem.path);
            }
            text.push_str(": ");
            text.push_str(&problem.what);
            text
        };
        if self.problems.is_empty() {
            return Ok(self.warnings.iter().map(shown).collect());
        }
        let mut lines: Vec<_> = self.problems.iter().take(MAX_LISTED).map(shown).collect();
        let more = self.problems.len().saturating_sub(MAX_LISTED);
        if more > 0 {
            lines.push(format!("{}: and {more} more", self.file_name));
        }
        Err(ConfigError(lines))
    }
}

fn line(at: Location) -> Option<u64> {
    (at != Location::UNKNOWN).then(|| at.line())
}

/// An error with its causes, as one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let written = write!(text, ": {error}");
        debug_assert!(written.is_ok(), "writing to a string does not fail");
        cause = error.source();
    }
    text
}
