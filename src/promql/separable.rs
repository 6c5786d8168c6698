//! Whether one query for many namespaces (or objects) answers what a query for each would.
//!
//! A template is rendered twice: *single*, for one value of each merged label, and *merged*, for
//! many, with those labels among its groupings. [`judge`] says whether the merged query's result,
//! restricted to the single one's values, is the single query's result but for the labels
//! themselves. It compares both trees node by node and knows three classes, for one label at a
//! time (two steps of merging, one label each, are one step with both):
//!
//! * **Constant**: the same text in both, so the same result: numbers, and selectors that do not
//!   look at the request, such as `kube_node_info` in a join.
//! * **Separable**: the merged result is made of one part per value, each of which carries the
//!   label, and each of which is what the single query gives. In the single query the label may
//!   be there (`kept`) or not, as behind `sum by (pod)`, which becomes `sum by (namespace, pod)`.
//! * Neither: refused, with a [`Reason`]. What is not known is refused.
//!
//! A selector with the matcher of the request is separable. So is what treats each series by
//! itself, and what treats groups that share the label: `by` with it, `without` lacking it, vector
//! matching that looks at it. The less plain stands at
//! `Walk::aggregation` and in the table of `separable/binary.rs`.
//!
//! Two limits are the caller's. An error in one part (two series that match one) fails the merged
//! query as a whole, where single queries fail by themselves: ask singly then. And templates whose
//! text depends on the values, not only on the matchers and groupings, have to be told apart
//! before: the judgement holds for values other than the rendered ones only where nothing else
//! of the request goes into the text.

mod binary;
mod walk;

use std::fmt;

use promql_parser::label::Matcher;

use super::syntax::{self, SyntaxError};

/// Labels that functions drop or put together by themselves.
const UNSUITABLE: &[&str] = &["__name__", "le"];

/// A rendered query and the label matchers in it that merging changes.
#[derive(Clone, Copy, Debug)]
pub struct Rendering<'a> {
    /// The query.
    pub promql: &'a str,
    /// The matchers of the merged labels as they stand in the query, separated by commas:
    /// `namespace="a"` in the single query, `namespace=~"a|b"` in the merged one. Matchers that
    /// are the same in both are left out. Values that stand nowhere else in a template, whatever
    /// they are, make sure that its own matchers are not taken for these.
    pub matchers: &'a str,
}

/// Why queries cannot be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// A query cannot be read.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// The matchers of both queries do not name the same labels, each once.
    #[error("the matchers {0:?} do not name the labels to merge by")]
    Matchers(String),
    /// The queries differ in something other than matchers and groupings.
    #[error("`{0}` depends on the request")]
    Differs(String),
    /// A part mixes what belongs to several values of the label.
    #[error("`{expression}` {what} {label:?}")]
    Mixes {
        /// The part.
        expression: String,
        /// What it does with the label.
        what: What,
        /// The label.
        label: String,
    },
}

/// What a part of a query does with a label that has to stay apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Aggregates over it.
    Aggregates,
    /// Matches vectors without it.
    Matches,
    /// Reads or writes it.
    Rewrites,
    /// Gives something where there is no series with it.
    Fills,
    /// Is not understood.
    Unknown,
    /// Does not select by it.
    Ignores,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aggregates => "aggregates over the label",
            Self::Matches => "matches series that may differ in the label",
            Self::Rewrites => "reads or writes the label",
            Self::Fills => "has values also where no series has the label",
            Self::Unknown => "may mix series that differ in the label",
            Self::Ignores => "does not select by the label",
        })
    }
}

/// Whether the merged query gives each part what the single query gives it.
///
/// The labels are those of the matchers, which have to be the same in both renderings.
pub fn judge(single: Rendering<'_>, merged: Rendering<'_>) -> Result<(), Reason> {
    let marks = marks(single.matchers, merged.matchers)?;
    let single = syntax::parse(single.promql)?;
    let merged = syntax::parse(merged.promql)?;
    marks.iter().try_for_each(|mark| walk::check(&marks, mark, &single, &merged))
}

/// The matchers of one merged label in both queries.
#[derive(Debug)]
struct Mark {
    single: Matcher,
    merged: Matcher,
}

impl Mark {
    fn label(&self) -> &str {
        &self.merged.name
    }
}

fn marks(single: &str, merged: &str) -> Result<Vec<Mark>, Reason> {
    let mut singles = matchers(single)?;
    let mut marks: Vec<Mark> = Vec::new();
    for merged_matcher in matchers(merged)? {
        let at = singles.iter().position(|it| it.name == merged_matcher.name);
        let Some(at) = at else { return Err(Reason::Matchers(single.to_owned())) };
        marks.push(Mark { single: singles.swap_remove(at), merged: merged_matcher });
    }
    let mut labels: Vec<&str> = marks.iter().map(Mark::label).collect();
    labels.sort_unstable();
    labels.dedup();
    if singles.is_empty() && labels.len() == marks.len() && !marks.is_empty() {
        Ok(marks)
    } else {
        Err(Reason::Matchers(merged.to_owned()))
    }
}

fn matchers(text: &str) -> Result<Vec<Matcher>, Reason> {
    let matchers = syntax::parse_matchers(text)?;
    // A matcher that takes an absent label too cannot tell the parts apart.
    let is_useless =
        |matcher: &Matcher| matcher.is_match("") || UNSUITABLE.contains(&matcher.name.as_str());
    if !matchers.or_matchers.is_empty() || matchers.matchers.iter().any(is_useless) {
        return Err(Reason::Matchers(text.to_owned()));
    }
    Ok(matchers.matchers)
}

#[cfg(test)]
mod tests;
