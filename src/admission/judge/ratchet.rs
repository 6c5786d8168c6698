//! The ratchet: only what a write adds or worsens is denied, so that whoever touches an old
//! violator for another reason is told and not stopped.

use std::collections::HashMap;

use crate::admission::finding::{Finding, Lowered};
use crate::model::policy::Mode;

/// Lowers the findings that were there before and are no worse now.
pub(in crate::admission) fn lower_what_was_there(findings: &mut [Finding], before: &[Finding]) {
    let mut worst = HashMap::new();
    for finding in before {
        let badness = finding.badness.unwrap_or_default();
        let known = worst.entry(finding.identity()).or_insert(badness);
        *known = known.max(badness);
    }
    for finding in findings {
        let known = worst.get(&finding.identity());
        if known.is_some_and(|badness| finding.badness.unwrap_or_default() <= *badness) {
            finding.lower(Mode::Warn, Lowered::Existing);
        }
    }
}
