//! A finding: one violation of a rule, with all that an answer says about it.

use serde_json::Value;

use crate::model::policy::{Mode, Rule};

/// One violation of one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The name of the container; `None` where it is about the object as a whole.
    pub container: Option<Box<str>>,
    /// The field: `spec.template.spec.containers[0].resources.limits.memory`.
    pub path: String,
    /// What is there, as in a manifest: `64Mi`; `missing`.
    pub current: String,
    /// What would be right: `at least 128Mi`.
    pub wanted: String,
    /// The problem in one sentence without container, path and values.
    pub message: String,
    /// What to write into the container, or into the object's `spec` where there is none.
    pub fix: Option<Value>,
    /// What becomes of it.
    pub mode: Mode,
    /// Why that is less than what the rule says.
    pub lowered: Option<Lowered>,
    /// How bad it is, greater is worse; `None` where there is no more or less.
    pub badness: Option<f64>,
}

/// Why a finding counts for less than its rule says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lowered {
    /// It was there before this write.
    Existing,
    /// The owner was judged when it was written.
    OwnerJudged,
    /// Whether the owner was judged is not known yet.
    OwnerUnknown,
    /// It may be a rollback, which is not known yet.
    RevisionsUnknown,
    /// An init container runs to its end.
    InitContainer,
    /// The exemption, with its end, is over since a short time.
    ExemptionExpired {
        /// Where it is written.
        source: String,
        /// Its end, as written.
        expires: String,
    },
}

impl Finding {
    /// What is the same of a violation before and after a write, wherever its container stands.
    /// Without a measure another value is another violation.
    pub fn identity(&self) -> (Rule, Option<&str>, &str, &str) {
        let field = self.path.rsplit("].").next().unwrap_or(&self.path);
        let value = if self.badness.is_some() { "" } else { &self.current };
        (self.rule, self.container.as_deref(), field, value)
    }

    /// Lowers the mode, if it is higher.
    pub fn lower(&mut self, most: Mode, why: Lowered) {
        if self.mode > most {
            self.mode = most;
            self.lowered = Some(why);
        }
    }
}
