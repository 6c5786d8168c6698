//! Made-up rules: queries from a small grammar, and the switches of a rule.

use std::fmt::Write as _;

use plimsoll::engine::demand::Demand;

use super::dice::Dice;

/// A configuration, and what each of its metrics asks.
pub(super) struct Rules {
    pub(super) config: String,
    queries: Vec<[String; 2]>,
}

impl Rules {
    pub(super) fn query_of(&self, demand: &Demand) -> &str {
        let (metric, sort) = match demand {
            Demand::Custom(demand) => (&demand.metric, 0),
            Demand::External(demand) => (&demand.metric, 1),
            Demand::Usage(_) => panic!("{demand:?}"),
        };
        let number: usize = metric.trim_start_matches(['m', 'e']).parse().unwrap();
        &self.queries[number][sort]
    }
}

/// Metrics `m0`, `m1`, … of objects and external ones `e0`, `e1`, ….
pub(super) fn rules(dice: &mut Dice, count: usize) -> Rules {
    let queries: Vec<_> = (0..count).map(|_| [custom(dice), external(dice)]).collect();
    let mut config = String::new();
    for (sort, key, prefix) in [(0, "rules", "m"), (1, "externalRules", "e")] {
        writeln!(config, "{key}:").unwrap();
        for (number, queries) in queries.iter().enumerate() {
            writeln!(config, "- seriesQuery: x\n  name: {{as: {prefix}{number}}}").unwrap();
            let namespaced = if sort == 1 && dice.percent(15) { ", namespaced: false" } else { "" };
            writeln!(config, "  resources: {{template: <<.Resource>>{namespaced}}}").unwrap();
            for line in switches(dice) {
                writeln!(config, "  {line}").unwrap();
            }
            writeln!(config, "  metricsQuery: '{}'", queries[sort]).unwrap();
        }
    }
    Rules { config, queries }
}

fn switches(dice: &mut Dice) -> Vec<&'static str> {
    let mut lines = Vec::new();
    if dice.percent(15) {
        lines.push(dice.pick(&[
            "compat: {lastSampleWins: true}",
            "compat: {lastSampleWins: true, nanAsZero: true}",
            "compat: {nanAsZero: true, negativeExternal: true}",
        ]));
    }
    if dice.percent(15) {
        lines.push(dice.pick(&[
            "noData: {policy: zero}",
            "noData: {policy: constant, value: \"7\"}",
            "noData: {policy: lastKnown, maxAge: 1h}",
        ]));
    }
    if dice.percent(4) {
        lines.push("enforceNamespaceLabel: namespace");
    }
    lines
}

/// A query of objects: mostly grouped as queries should be.
fn custom(dice: &mut Dice) -> String {
    let depth = dice.below(3);
    let inner = vector(dice, depth);
    match dice.below(10) {
        0..5 => format!("{}({inner}) by (<<.GroupBy>>)", operator(dice)),
        5 | 6 => format!("{} / {}", grouped(dice), grouped(dice)),
        _ => inner,
    }
}

/// What an external rule asks, which has no labels to group by.
fn external(dice: &mut Dice) -> String {
    let depth = dice.below(3);
    match dice.below(4) {
        0 => format!("{}({}) by (queue)", operator(dice), vector(dice, depth)),
        1 => format!("{}({}) by (namespace, queue)", operator(dice), vector(dice, depth)),
        _ => vector(dice, depth),
    }
}

fn grouped(dice: &mut Dice) -> String {
    format!("{}({}) by (<<.GroupBy>>)", operator(dice), selected(dice))
}

fn operator(dice: &mut Dice) -> &'static str {
    dice.pick(&["sum", "sum", "avg", "max", "min", "count", "group", "stddev"])
}

const MATCHERS: &str = "<<.LabelMatchers>>";

/// Series as they are, or a function of their range.
fn selected(dice: &mut Dice) -> String {
    match dice.below(14) {
        0..5 => format!("<<.Series>>{{{MATCHERS}}}"),
        5 => format!("y{{{MATCHERS}}}"),
        6 => format!("y{{code=\"200\",{MATCHERS}}}"),
        7 => format!("x{{{MATCHERS},pod=~\"web.*\"}}"),
        8 => format!("rate(c_total{{{MATCHERS}}}[2m])"),
        9 => format!("increase(c_total{{{MATCHERS}}}[1m] offset 1m)"),
        10 => format!("max_over_time(y{{{MATCHERS}}}[1m])"),
        11 => format!("quantile_over_time(0.5, c_total{{{MATCHERS}}}[3m])"),
        12 => {
            "x{pod=~\"<<.LabelValuesByName.pod>>\",namespace=\"<<.LabelValuesByName.namespace>>\"}"
                .to_owned()
        }
        _ => format!("x{{code!=\"\"}} and y{{{MATCHERS}}}"),
    }
}

/// Any expression.
fn vector(dice: &mut Dice, depth: usize) -> String {
    if depth == 0 {
        return selected(dice);
    }
    let one = vector(dice, depth - 1);
    let shape = dice.pick(&SHAPES);
    let other = if shape.contains('W') { vector(dice, depth - 1) } else { String::new() };
    let operator = operator(dice);
    let mut text = String::new();
    for character in shape.chars() {
        match character {
            'V' if !one.contains(' ') => text += &one,
            'V' => text.extend(["(", one.as_str(), ")"]),
            'W' => text.extend(["(", other.as_str(), ")"]),
            '@' => text += MATCHERS,
            'A' => text += operator,
            other => text.push(other),
        }
    }
    text
}

/// What an expression is made of: `V` and `W` are others, `A` is an operator, `@` the matchers.
const SHAPES: [&str; 71] = [
    "V",
    "V",
    "A(V) by (<<.GroupBy>>)",
    "A by (<<.GroupBy>>) (V)",
    "A(V) by (<<.GroupBy>>, code)",
    "A(V) by (namespace, pod)",
    "A(V) by (pod)",
    "A(V) by (namespace)",
    "A(V)",
    "A without (code, queue) (V)",
    "A without (namespace) (V)",
    "A(V) by (<<range $i, $l := .GroupBySlice>><<if $i>>,<<end>><<$l>><<end>>)",
    "A(V) by (<<index .GroupBySlice 0>>)",
    "topk(1, V)",
    "topk(1, V) by (<<.GroupBy>>)",
    "bottomk by (<<.GroupBy>>) (1, V)",
    "quantile(0.9, V) by (<<.GroupBy>>)",
    "limitk by (<<.GroupBy>>) (1, V)",
    "count_values by (<<.GroupBy>>) (\"code\", V)",
    "V > 1",
    "V >= bool 2",
    "1 < V",
    "-V",
    "abs(V) * 2 + 1",
    "clamp_min(V, 0)",
    "V > 1e9",
    "round(V)",
    "sort_desc(V)",
    "timestamp(V) * 0",
    "V / W",
    "V / on (<<.GroupBy>>) W",
    "V + ignoring (code) W",
    "V and W",
    "V unless W",
    "V or W",
    "V and on (<<.GroupBy>>) W",
    "V and on (pod) W",
    "V unless on (namespace) W",
    "V / on (<<.GroupBy>>) group_left sum(W) by (<<.GroupBy>>)",
    "V / on (namespace, pod) group_left sum(W) by (namespace, pod)",
    "V / ignoring (pod) group_left sum(W) by (namespace)",
    "V / ignoring (pod, code, queue) group_left sum without (pod, code, queue) (W)",
    "V or vector(0)",
    "V or on () vector(0)",
    "vector(1) or V",
    "V / scalar(sum(y))",
    "V * scalar(W)",
    "absent(V)",
    "scalar(V)",
    "V * on () group_left vector(2)",
    "V * on (pod) group_left (team) names",
    "V * on (pod) names",
    "names * on (pod) group_right V",
    "V * on (namespace, pod) group_left (node) info",
    "V and on (pod) names",
    "V * on (pod) group_left (node) info",
    "V unless on (namespace, pod) (info{node=\"n1\"})",
    "V + on (namespace) group_left sum by (namespace) (y)",
    "label_replace(V, \"zone\", \"$1\", \"pod\", \"(.*)-.*\")",
    "label_replace(V, \"pod\", \"$1\", \"pod\", \"(.*)-.*\")",
    "label_replace(V, \"namespace\", \"a\", \"pod\", \".*\")",
    "label_replace(V, \"pod\", \"$1\", \"service\", \"(.+)\")",
    "label_join(V, \"both\", \"-\", \"namespace\", \"pod\")",
    "max_over_time((V)[1m:15s])",
    "histogram_quantile(0.5, sum(h_bucket{@}) by (<<.GroupBy>>, le))",
    "histogram_quantile(0.9, h_bucket{@})",
    "sum(rate(c_total{@}[1m]) > 0) by (<<.GroupBy>>)",
    "<<if .GroupBy>>V<<else>>W<<end>>",
    "<<if eq .LabelMatchers \"a\">>V<<else>>V * 2<<end>>",
    "V{",
    "V[1m]",
];
