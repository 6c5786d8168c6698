//! Rules as Prometheus recording rules, so that a ruler evaluates them and not each question.
//!
//! A rule's metric of one kind is recorded where its query for all objects is
//! [separable](super::separable): then a recorded series is the answer for its object. Everything
//! else stays, with the reason. Recorded series have the labels of the grouping alone, so a request
//! that selects by another label of the metric finds nothing in them.

use std::collections::BTreeSet;

use super::matcher::is_label_name;
use super::rule::{QueryError, Rule};
use super::separable::{Reason, Rendering, judge};
use crate::model::object::{Kind, Kinds, Scope};
use crate::model::value::SeriesNames;

/// Most recording rules of one rule.
pub const MAX_RECORDED: usize = 1000;

/// What became of a rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Export {
    /// What can be recorded.
    pub recorded: Vec<Recorded>,
    /// What cannot, and so needs the rule as it is.
    pub kept: Vec<Kept>,
}

/// A recording rule and what reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// The recorded series: `plimsoll:http_requests_per_second:pods`.
    pub series: String,
    /// What is recorded.
    pub promql: String,
    /// The metric that the rule served.
    pub metric: String,
    /// Label → group and resource, as `resources.overrides` has it.
    pub overrides: Vec<(String, String, String)>,
}

/// A metric that is not recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Which: `http_requests_total of pods`.
    pub what: String,
    /// Why, with its causes.
    pub why: String,
}

/// Exports a rule of custom metrics, whose series were found with these labels.
pub fn export(rule: &Rule, found: &SeriesNames, kinds: &Kinds) -> Export {
    let mut export = Export::default();
    let mut names = BTreeSet::new();
    // Of two series for one metric the last serves it.
    for (series, labels) in found.iter().rev() {
        let Some(metric) = rule.metric_name(series) else { continue };
        for kind in rule.described_kinds(labels.iter().map(String::as_str), kinds) {
            let resource = kind.group_resource();
            let name = format!("plimsoll:{metric}:{}", suffix(&kind));
            if names.contains(&name) {
                continue;
            }
            let outcome = if !is_series_name(&name) {
                Err(format!("{name:?} is no name for a series"))
            } else if names.len() == MAX_RECORDED {
                Err(format!("the rule has more than {MAX_RECORDED} metrics"))
            } else {
                recorded(rule, series, &kind, kinds)
            };
            match outcome {
                Ok((promql, overrides)) => {
                    names.insert(name.clone());
                    let metric = metric.clone();
                    export.recorded.push(Recorded { series: name, promql, metric, overrides });
                }
                Err(why) => {
                    export.kept.push(Kept { what: format!("{series} of {resource}"), why });
                }
            }
        }
    }
    export.recorded.reverse();
    export.kept.reverse();
    export
}

type Query = (String, Vec<(String, String, String)>);

fn recorded(rule: &Rule, series: &str, kind: &Kind, kinds: &Kinds) -> Result<Query, String> {
    let told = |error: QueryError| match &error {
        QueryError::Resource { source, .. } => format!("{error}: {source}"),
        QueryError::Template { source, .. } => format!("{error}: {source}"),
        _ => error.to_string(),
    };
    let Some(renderings) = rule.renderings(series, kind, kinds).map_err(told)? else {
        return Err("its query depends on who asks".to_owned());
    };
    let single = Rendering { promql: &renderings.single, matchers: &renderings.single_matchers };
    let all = Rendering { promql: &renderings.all, matchers: &renderings.all_matchers };
    judge(single, all).map_err(|reason: Reason| reason.to_string())?;
    let mut overrides = vec![(renderings.object_label, kind.group.clone(), kind.plural.clone())];
    if kind.scope == Scope::Namespaced {
        let label = rule.namespace_label(kinds).map_err(told)?;
        overrides.insert(0, (label, String::new(), "namespaces".to_owned()));
    }
    Ok((renderings.all, overrides))
}

fn suffix(kind: &Kind) -> String {
    let resource = kind.group_resource().to_string();
    resource.replace(|other: char| !other.is_ascii_alphanumeric(), "_")
}

fn is_series_name(name: &str) -> bool {
    is_label_name(&name.replace(':', "_"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::promql::fixtures::kinds;

    fn exported(query: &str) -> Export {
        let text = format!(
            "rules:\n- seriesQuery: x\n  resources: {{template: <<.Resource>>}}\n  name: {{as: \
             x_now}}\n  metricsQuery: {query:?}\n"
        );
        let config = config::parse("c.yaml", &text).unwrap();
        let labels = ["namespace", "pod", "node"].map(str::to_owned).into();
        export(&config.rules[0], &[("x".to_owned(), labels)].into(), &kinds())
    }

    #[test]
    fn each_kind_of_a_separable_rule_is_recorded() {
        let export = exported("sum(x{<<.LabelMatchers>>}) by (<<.GroupBy>>)");
        let recorded: Vec<_> =
            export.recorded.iter().map(|it| (it.series.as_str(), it.promql.as_str())).collect();
        assert_eq!(
            recorded,
            [
                ("plimsoll:x_now:pods", r#"sum(x{namespace=~".+",pod=~".+"}) by (namespace,pod)"#),
                ("plimsoll:x_now:nodes", r#"sum(x{node=~".+"}) by (node)"#),
                ("plimsoll:x_now:namespaces", r#"sum(x{namespace=~".+"}) by (namespace)"#),
            ]
        );
        assert_eq!(export.kept, []);
    }

    #[test]
    fn what_depends_on_the_request_is_kept() {
        for query in [
            "sum(x{<<.LabelMatchers>>})",
            "sum(x{<<.LabelMatchers>>}) by (<<.GroupBy>>) / <<index .LabelValuesByName \"pod\">>",
            "sum(",
        ] {
            let export = exported(query);
            assert_eq!((export.recorded.len(), export.kept.len()), (0, 3), "{query}");
        }
    }
}
