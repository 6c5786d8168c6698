//! A `Service` as far as others need it: which pods it selects.

use super::inventory::{LabelSet, Named};

/// One `Service`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `metadata.name`.
    pub name: Box<str>,
    /// `spec.selector`, sorted by key. Where it is empty the Service selects no pod: its endpoints
    /// are somebody else's to say, or it is an alias.
    pub selector: LabelSet,
}

impl Named for Service {
    fn name(&self) -> &str {
        &self.name
    }
}
