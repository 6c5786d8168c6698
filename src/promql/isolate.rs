//! Limits a query to the series that carry one value of a label, whatever the query says.
//!
//! The matcher replaces every other one on its label, in every selector of the syntax tree, as
//! prom-label-proxy does. A query that cannot be read, or that reads series which no selector of
//! it names, is refused: nothing that is not understood leaves here.

use promql_parser::label::{MatchOp, Matcher, Matchers};
use promql_parser::parser::Expr;

use super::syntax::{self, SyntaxError};

/// Why a query cannot be limited to one value of a label.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IsolateError {
    /// The query cannot be read.
    #[error("the query cannot be limited to one {label}")]
    Syntax {
        /// The label.
        label: String,
        /// Why not.
        source: SyntaxError,
    },
    /// A function that looks at series by itself.
    #[error(
        "the query cannot be limited to one {label}: info() reads series of every {label}; join \
         with on() and group_left() instead"
    )]
    Info {
        /// The label.
        label: String,
    },
    /// A value that would not be a matcher: an empty one also matches series without the label.
    #[error("the query cannot be limited to one {label}, for none is given")]
    NoValue {
        /// The label.
        label: String,
    },
}

/// The query, each selector of which has `label="value"` as its one matcher on the label.
pub fn isolate(promql: &str, label: &str, value: &str) -> Result<String, IsolateError> {
    if value.is_empty() {
        return Err(IsolateError::NoValue { label: label.to_owned() });
    }
    let unreadable = |source| IsolateError::Syntax { label: label.to_owned(), source };
    let mut tree = syntax::parse(promql).map_err(unreadable)?;
    if calls_info(&tree) {
        return Err(IsolateError::Info { label: label.to_owned() });
    }
    let matcher = Matcher::new(MatchOp::Equal, label, value);
    syntax::for_each(&mut tree, &mut |part| {
        if let Some(matchers) = syntax::matchers_mut(part) {
            limit(matchers, &matcher);
        }
    });
    let isolated = tree.to_string();
    // What is sent has to be the tree that was meant, also for the value that was put in.
    let again = syntax::parse(&isolated).map_err(unreadable)?;
    if is_limited(&again, &matcher) {
        Ok(isolated)
    } else {
        Err(unreadable(SyntaxError::Ambiguous))
    }
}

fn limit(matchers: &mut Matchers, matcher: &Matcher) {
    let limit_one = |alternative: &mut Vec<Matcher>| {
        alternative.retain(|other| other.name != matcher.name);
        alternative.push(matcher.clone());
    };
    if matchers.or_matchers.is_empty() {
        limit_one(&mut matchers.matchers);
    } else {
        matchers.or_matchers.iter_mut().for_each(limit_one);
    }
}

/// Whether each selector of a tree has the matcher and no other on its label.
fn is_limited(tree: &Expr, matcher: &Matcher) -> bool {
    let has_it_alone = |alternative: &Vec<Matcher>| {
        let mut on_label = alternative.iter().filter(|other| other.name == matcher.name);
        on_label.next() == Some(matcher) && on_label.next().is_none()
    };
    let here = syntax::matchers(tree).is_none_or(|matchers| {
        if matchers.or_matchers.is_empty() {
            has_it_alone(&matchers.matchers)
        } else {
            matchers.matchers.is_empty() && matchers.or_matchers.iter().all(has_it_alone)
        }
    });
    here && syntax::children(tree).into_iter().all(|child| is_limited(child, matcher))
}

/// `info(v)` adds labels of `target_info` and other series that it selects itself.
fn calls_info(tree: &Expr) -> bool {
    matches!(tree, Expr::Call(call) if call.func.name == "info")
        || syntax::children(tree).into_iter().any(calls_info)
}

#[cfg(test)]
mod tests;
