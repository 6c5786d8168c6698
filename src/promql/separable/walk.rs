//! Both trees side by side: selectors, functions and aggregations.

use promql_parser::label::{Labels, Matcher, Matchers};
use promql_parser::parser::token::{T_COUNT_VALUES, T_LIMIT_RATIO, T_LIMITK};
use promql_parser::parser::{AggregateExpr, Call, Expr, LabelModifier};

use super::{Mark, Reason, What};
use crate::promql::syntax;

/// Functions that make of each series one series with the same labels, and look at nothing else.
/// The quantile of a histogram puts buckets together that differ in `le` alone.
const ELEMENTWISE: &[&str] = &[
    "abs",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "avg_over_time",
    "ceil",
    "changes",
    "clamp",
    "clamp_max",
    "clamp_min",
    "cos",
    "cosh",
    "count_over_time",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "days_in_month",
    "deg",
    "delta",
    "deriv",
    "double_exponential_smoothing",
    "exp",
    "first_over_time",
    "floor",
    "histogram_avg",
    "histogram_count",
    "histogram_fraction",
    "histogram_quantile",
    "histogram_stddev",
    "histogram_stdvar",
    "histogram_sum",
    "holt_winters",
    "hour",
    "idelta",
    "increase",
    "irate",
    "last_over_time",
    "ln",
    "log10",
    "log2",
    "mad_over_time",
    "max_over_time",
    "min_over_time",
    "minute",
    "month",
    "predict_linear",
    "present_over_time",
    "quantile_over_time",
    "rad",
    "rate",
    "resets",
    "round",
    "sgn",
    "sin",
    "sinh",
    "sort",
    "sort_by_label",
    "sort_by_label_desc",
    "sort_desc",
    "sqrt",
    "stddev_over_time",
    "stdvar_over_time",
    "sum_over_time",
    "tan",
    "tanh",
    "timestamp",
    "ts_of_first_over_time",
    "ts_of_last_over_time",
    "ts_of_max_over_time",
    "ts_of_min_over_time",
    "year",
];

/// What a part of the query is with respect to one label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The same in both queries.
    Constant,
    /// One part for each value, which the merged query's series carry.
    Separable {
        /// Whether the single query's series carry the label too.
        kept: bool,
    },
}

/// A walk for one label.
pub(super) struct Walk<'a> {
    marks: &'a [Mark],
    mark: &'a Mark,
}

/// Judges two trees for the label of one mark.
pub(super) fn check(
    marks: &[Mark],
    mark: &Mark,
    single: &Expr,
    merged: &Expr,
) -> Result<(), Reason> {
    let walk = Walk { marks, mark };
    match walk.class(single, merged)? {
        Class::Separable { .. } => Ok(()),
        // All of it would be the answer to each part, whatever label it carries.
        Class::Constant => Err(walk.mixes(merged, What::Ignores)),
    }
}

impl Walk<'_> {
    pub(super) fn class(&self, single: &Expr, merged: &Expr) -> Result<Class, Reason> {
        if let (Some(one), Some(many)) = (syntax::matchers(single), syntax::matchers(merged)) {
            return self.selector(single, merged, one, many);
        }
        match (single, merged) {
            (Expr::Paren(one), Expr::Paren(many)) => self.class(&one.expr, &many.expr),
            (Expr::Unary(one), Expr::Unary(many)) => self.class(&one.expr, &many.expr),
            (Expr::Subquery(one), Expr::Subquery(many))
                if (&one.offset, &one.at, one.range, one.step)
                    == (&many.offset, &many.at, many.range, many.step) =>
            {
                self.class(&one.expr, &many.expr)
            }
            (Expr::Call(one), Expr::Call(many)) if one.func == many.func => {
                self.call(one, many, merged)
            }
            (Expr::Aggregate(one), Expr::Aggregate(many)) if one.op == many.op => {
                self.aggregation(one, many, merged)
            }
            (Expr::Binary(one), Expr::Binary(many)) if one.op == many.op => {
                self.binary(one, many, merged)
            }
            _ if single == merged && syntax::children(merged).is_empty() => Ok(Class::Constant),
            _ => Err(differs(merged)),
        }
    }

    /// With the request's matchers it is separable; without, in both, it is constant.
    fn selector(
        &self,
        single: &Expr,
        merged: &Expr,
        one: &Matchers,
        many: &Matchers,
    ) -> Result<Class, Reason> {
        let (mut one, mut many) = (one.clone(), many.clone());
        let mut is_marked = false;
        for mark in self.marks {
            let found = take(&mut one.matchers, &mark.single);
            if found != take(&mut many.matchers, &mark.merged) {
                return Err(differs(merged));
            }
            is_marked |= found && mark.label() == self.label();
        }
        if with_matchers(single, one) != with_matchers(merged, many) {
            return Err(differs(merged));
        }
        Ok(if is_marked { Class::Separable { kept: true } } else { Class::Constant })
    }

    fn call(&self, one: &Call, many: &Call, merged: &Expr) -> Result<Class, Reason> {
        if one.args.args.len() != many.args.args.len() {
            return Err(differs(merged));
        }
        let arguments = one.args.args.iter().zip(&many.args.args);
        let classes: Vec<Class> =
            arguments.map(|(one, many)| self.class(one, many)).collect::<Result<_, _>>()?;
        let mut separable = classes.iter().filter(|class| **class != Class::Constant);
        let (class, rest) = (separable.next(), separable.next());
        let Some(Class::Separable { kept }) = class.copied() else { return Ok(Class::Constant) };
        if rest.is_some() {
            return Err(self.mixes(merged, What::Unknown));
        }
        match many.func.name {
            name if ELEMENTWISE.contains(&name) => Ok(Class::Separable { kept }),
            "label_replace" | "label_join" => self.relabelling(many, merged, kept),
            // These speak where there is no series, or only where there is a single one.
            "absent" | "absent_over_time" | "scalar" => Err(self.mixes(merged, What::Fills)),
            _ => Err(self.mixes(merged, What::Unknown)),
        }
    }

    /// Writing the label forges it; reading it gives something else where it is not kept.
    fn relabelling(&self, call: &Call, merged: &Expr, kept: bool) -> Result<Class, Reason> {
        let text = |at: usize| match call.args.args.get(at).map(AsRef::as_ref) {
            Some(Expr::StringLiteral(literal)) => Some(literal.val.as_str()),
            _ => None,
        };
        let is_label = |at| text(at).is_none_or(|text| text == self.label());
        let sources = if call.func.name == "label_replace" { 3..4 } else { 3..call.args.len() };
        if is_label(1) || (!kept && sources.into_iter().any(is_label)) {
            return Err(self.mixes(merged, What::Rewrites));
        }
        Ok(Class::Separable { kept })
    }

    /// Groups have to share the label. Of operators that pick series, `limitk` and `limit_ratio`
    /// go by the order and the hash of all labels, which merging changes.
    fn aggregation(
        &self,
        one: &AggregateExpr,
        many: &AggregateExpr,
        merged: &Expr,
    ) -> Result<Class, Reason> {
        let parameter = match (&one.param, &many.param) {
            (None, None) => Class::Constant,
            (Some(one), Some(many)) => self.class(one, many)?,
            _ => return Err(differs(merged)),
        };
        if parameter != Class::Constant {
            return Err(self.mixes(merged, What::Unknown));
        }
        let class = self.class(&one.expr, &many.expr)?;
        let (in_single, in_merged) =
            self.groupings(one.modifier.as_ref(), many.modifier.as_ref(), merged)?;
        let Class::Separable { kept } = class else {
            // What was constant stays it only where both group it alike.
            let alike = in_single == in_merged;
            return if alike { Ok(Class::Constant) } else { Err(differs(merged)) };
        };
        if !in_merged {
            return Err(self.mixes(merged, What::Aggregates));
        }
        match many.op.id() {
            T_LIMITK | T_LIMIT_RATIO => Err(self.mixes(merged, What::Unknown)),
            T_COUNT_VALUES if writes(many, self.label()) => Err(self.mixes(merged, What::Rewrites)),
            _ if syntax::keeps_labels(many.op) => Ok(Class::Separable { kept }),
            _ => Ok(Class::Separable { kept: kept && in_single }),
        }
    }

    /// Whether groups share the label in the single and the merged query, which may differ in
    /// nothing else.
    fn groupings(
        &self,
        one: Option<&LabelModifier>,
        many: Option<&LabelModifier>,
        merged: &Expr,
    ) -> Result<(bool, bool), Reason> {
        let everything = LabelModifier::include(Vec::new());
        let (one, many) = (one.unwrap_or(&everything), many.unwrap_or(&everything));
        if one.is_include() != many.is_include() || !self.alike(one.labels(), many.labels()) {
            return Err(differs(merged));
        }
        let looks = |modifier: &LabelModifier| {
            modifier.labels().labels.iter().any(|it| it == self.label()) == modifier.is_include()
        };
        Ok((looks(one), looks(many)))
    }

    /// Whether two lists are the same but for merged labels.
    pub(super) fn alike(&self, one: &Labels, many: &Labels) -> bool {
        let others = |labels: &Labels| {
            let is_merged = |label: &String| self.marks.iter().any(|mark| mark.label() == label);
            let mut others: Vec<_> =
                labels.labels.iter().filter(|it| !is_merged(it)).cloned().collect();
            others.sort_unstable();
            others.dedup();
            others
        };
        others(one) == others(many)
    }

    pub(super) fn label(&self) -> &str {
        self.mark.label()
    }

    pub(super) fn mixes(&self, expression: &Expr, what: What) -> Reason {
        let (expression, label) = (expression.to_string(), self.label().to_owned());
        Reason::Mixes { expression, what, label }
    }
}

pub(super) fn differs(merged: &Expr) -> Reason {
    Reason::Differs(merged.to_string())
}

/// Takes out one matcher that is equal.
fn take(matchers: &mut Vec<Matcher>, wanted: &Matcher) -> bool {
    let at = matchers.iter().position(|matcher| matcher == wanted);
    at.inspect(|at| drop(matchers.remove(*at))).is_some()
}

fn with_matchers(selector: &Expr, matchers: Matchers) -> Expr {
    let mut selector = selector.clone();
    match &mut selector {
        Expr::VectorSelector(it) => it.matchers = matchers,
        Expr::MatrixSelector(it) => it.vs.matchers = matchers,
        _ => {}
    }
    selector
}

/// Whether `count_values` writes its values into the label, as far as can be told.
fn writes(aggregation: &AggregateExpr, label: &str) -> bool {
    match aggregation.param.as_deref() {
        Some(Expr::StringLiteral(literal)) => literal.val == label,
        _ => true,
    }
}
