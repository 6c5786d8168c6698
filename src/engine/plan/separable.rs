//! Whether a query can be asked for many namespaces and objects at once.
//!
//! Known are a bare selector, and one aggregation by exactly the labels that tell objects apart,
//! of a selector or of a function of its range.

use std::sync::LazyLock;

use regex::Regex;

/// A selector, and around it at most one function and one aggregation with its labels.
static SHAPE: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let selector = r"[a-zA-Z_:][a-zA-Z0-9_:]*\{[^{}]*\}";
    let function = r"(?:rate|irate|increase|delta|idelta|deriv|[a-z]+_over_time)";
    let inner = format!(r"(?:{selector}|{function}\({selector}\[[0-9a-z]+\]\))");
    let by = r"by ?\((?P<labels>[^()]*)\)";
    let before = r"by ?\((?P<before>[^()]*)\)";
    let operator = "(?:sum|avg|min|max|count|stddev|stdvar)";
    let text =
        format!(r"^(?:{inner}|{operator} ?\({inner}\) ?{by}|{operator} ?{before} ?\({inner}\))$");
    Regex::new(&text).ok()
});

/// Whether the query says of each value of the labels what it would say if its selectors matched
/// that value alone. Every selector is taken to have a matcher for them.
pub(super) fn by(promql: &str, labels: &[&str]) -> bool {
    let Some(captures) = SHAPE.as_ref().and_then(|shape| shape.captures(promql)) else {
        return false;
    };
    let Some(grouping) = captures.name("labels").or_else(|| captures.name("before")) else {
        return true;
    };
    let grouping: Vec<&str> = grouping.as_str().split(',').map(str::trim).collect();
    labels.iter().all(|label| grouping.contains(label))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_keeps_the_labels_of_each_object_apart_is_separable() {
        let cases = [
            (r#"x{namespace="a"}"#, true),
            (r#"sum(x{namespace="a"}) by (namespace,pod)"#, true),
            (r#"sum by (pod, namespace, code) (rate(x{namespace="a"}[5m]))"#, true),
            (r#"sum(x{namespace="a"}) by (pod)"#, false),
            (r#"sum(x{namespace="a"})"#, false),
            (r#"topk(1, x{namespace="a"})"#, false),
            (r#"sum(x{namespace="a"}) by (namespace,pod) / scalar(sum(y))"#, false),
        ];
        for (promql, expected) in cases {
            assert_eq!(by(promql, &["namespace", "pod"]), expected, "{promql}");
        }
    }
}
