//! PromQL as a tree: the one place that knows the `promql-parser` crate's entry points.
//!
//! The crate follows the grammar of Prometheus but, in 0.11, panics on some texts (an infinite
//! range, an escape before a letter beyond ASCII), reads a few otherwise than Prometheus
//! (`"\xff"` as a character) and walks its trees by recursion. So `scan` refuses first what is
//! too long, too deep or not in the plain lexical form, and a tree counts only if its text, printed
//! and read again, is the same tree. What Prometheus has and the crate has not (`anchored`,
//! expressions as durations, the extensions of `VictoriaMetrics`) cannot be read: each caller takes
//! that for its safe side.

mod scan;

use std::time::UNIX_EPOCH;

use promql_parser::label::{Matcher, Matchers};
use promql_parser::parser::token::{T_BOTTOMK, T_LIMIT_RATIO, T_LIMITK, T_TOPK, TokenType};
use promql_parser::parser::{AtModifier, BinModifier, Expr};

/// Longest query that is read, in bytes.
pub const MAX_QUERY: usize = 64 * 1024;
/// Most operators, brackets and signs: the depth of a tree is no larger.
pub const MAX_OPERATORS: usize = 256;

/// Why a query has no tree.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Longer than [`MAX_QUERY`].
    #[error("the query is longer than {MAX_QUERY} bytes")]
    TooLong,
    /// More than [`MAX_OPERATORS`].
    #[error("the query has more than {MAX_OPERATORS} operators and brackets")]
    TooDeep,
    /// A token that is not PromQL, or not in a form that is read here.
    #[error("character {at} of the query: {what}")]
    Token {
        /// The place, in characters from one.
        at: usize,
        /// What is wrong.
        what: &'static str,
    },
    /// The parser's own words.
    #[error("the query is no PromQL that is understood here: {0}")]
    Grammar(String),
    /// The parser prints it as another query.
    #[error("the query is not understood well enough to rewrite it")]
    Ambiguous,
}

/// Reads a query.
pub fn parse(promql: &str) -> Result<Expr, SyntaxError> {
    let tree = read(promql)?;
    if is_before_epoch(&tree) || read(&tree.to_string()).as_ref() != Ok(&tree) {
        return Err(SyntaxError::Ambiguous);
    }
    Ok(tree)
}

/// Reads a list of label matchers as it stands between braces, at least one of which does not
/// match an empty value.
pub fn parse_matchers(text: &str) -> Result<Matchers, SyntaxError> {
    match parse(&format!("{{{text}}}"))? {
        Expr::VectorSelector(selector) if selector.at.is_none() && selector.offset.is_none() => {
            Ok(selector.matchers)
        }
        _ => Err(SyntaxError::Grammar("these are no label matchers".to_owned())),
    }
}

/// The branches of a tree, from left to right.
pub fn children(tree: &Expr) -> Vec<&Expr> {
    match tree {
        Expr::Aggregate(it) => it.param.iter().chain([&it.expr]).map(AsRef::as_ref).collect(),
        Expr::Unary(it) => vec![&it.expr],
        Expr::Binary(it) => vec![&it.lhs, &it.rhs],
        Expr::Paren(it) => vec![&it.expr],
        Expr::Subquery(it) => vec![&it.expr],
        Expr::Call(it) => it.args.args.iter().map(AsRef::as_ref).collect(),
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => Vec::new(),
    }
}

/// The matchers of a selector; `None` for everything else.
pub fn matchers(tree: &Expr) -> Option<&Matchers> {
    match tree {
        Expr::VectorSelector(it) => Some(&it.matchers),
        Expr::MatrixSelector(it) => Some(&it.vs.matchers),
        _ => None,
    }
}

/// The matchers of a selector, to be changed; `None` for everything else.
pub fn matchers_mut(tree: &mut Expr) -> Option<&mut Matchers> {
    match tree {
        Expr::VectorSelector(it) => Some(&mut it.matchers),
        Expr::MatrixSelector(it) => Some(&mut it.vs.matchers),
        _ => None,
    }
}

/// Changes every part of a tree, branches before what they hang on.
pub fn for_each(tree: &mut Expr, change: &mut impl FnMut(&mut Expr)) {
    match tree {
        Expr::Aggregate(it) => {
            if let Some(parameter) = &mut it.param {
                for_each(parameter, change);
            }
            for_each(&mut it.expr, change);
        }
        Expr::Unary(it) => for_each(&mut it.expr, change),
        Expr::Binary(it) => {
            for_each(&mut it.lhs, change);
            for_each(&mut it.rhs, change);
        }
        Expr::Paren(it) => for_each(&mut it.expr, change),
        Expr::Subquery(it) => for_each(&mut it.expr, change),
        Expr::Call(it) => {
            it.args.args.iter_mut().for_each(|argument| for_each(argument, change));
        }
        Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => {}
    }
    change(tree);
}

/// Whether an aggregation picks series, which keep all their labels.
pub fn keeps_labels(operator: TokenType) -> bool {
    matches!(operator.id(), T_TOPK | T_BOTTOMK | T_LIMITK | T_LIMIT_RATIO)
}

fn read(promql: &str) -> Result<Expr, SyntaxError> {
    scan::scan(promql)?;
    let mut tree = promql_parser::parser::parse(promql).map_err(SyntaxError::Grammar)?;
    for_each(&mut tree, &mut normalize);
    Ok(tree)
}

/// One of several forms that mean the same, which is the one that is printed.
fn normalize(tree: &mut Expr) {
    match tree {
        Expr::Aggregate(it)
            if it.modifier.as_ref().is_some_and(|it| it.is_include() && it.labels().is_empty()) =>
        {
            it.modifier = None;
        }
        Expr::Binary(it) => {
            if let Some(modifier) = &mut it.modifier {
                modifier.matching.take_if(|it| !it.is_include() && it.labels().is_empty());
            }
            it.modifier.take_if(|modifier| *modifier == BinModifier::default());
        }
        _ => {}
    }
    if let Some(matchers) = matchers_mut(tree) {
        matchers.matchers.sort_by_cached_key(Matcher::to_string);
    }
}

/// The crate prints an `@` before 1970 as 0.
fn is_before_epoch(tree: &Expr) -> bool {
    let at = match tree {
        Expr::VectorSelector(it) => it.at.as_ref(),
        Expr::MatrixSelector(it) => it.vs.at.as_ref(),
        Expr::Subquery(it) => it.at.as_ref(),
        _ => None,
    };
    matches!(at, Some(AtModifier::At(time)) if time.duration_since(UNIX_EPOCH).is_err())
        || children(tree).into_iter().any(is_before_epoch)
}

#[cfg(test)]
mod tests;
