//! Made-up series: gauges, counters and histograms of pods and services, some of several samples
//! for an object, without the labels that name it or its namespace, without a number.

use std::fmt::Write as _;

use super::dice::Dice;

/// The moment of the evaluation, at which there is a scrape.
pub(super) const NOW: i64 = 1_700_000_000;
const SCRAPE: i64 = 15;
const SCRAPES: i64 = 16;

/// Namespaces with series; the last has no objects.
pub(super) const NAMESPACES: [&str; 4] = ["a", "b", "shop-1", "gone"];
/// Pods that may have series.
pub(super) const PODS: [&str; 6] = ["web-0", "web-1", "web-10", "db-0", "cache", "late"];
/// Services that may have series.
pub(super) const SERVICES: [&str; 2] = ["web", "db"];

/// All series in the `OpenMetrics` text form.
pub(super) fn openmetrics(dice: &mut Dice) -> String {
    let mut text = String::new();
    for name in ["x", "y"] {
        gauges(&mut text, dice, name);
    }
    text.push_str("# TYPE c counter\n");
    for labels in objects(dice) {
        let (start, rate) = (dice.below(1000), dice.below(20));
        let reset = dice.percent(20);
        one(&mut text, &format!("c_total{{{labels}}}"), |at| {
            let at = if reset && at > 10 { at - 10 } else { at };
            (start + rate * usize::try_from(at).unwrap()).to_string()
        });
    }
    text.push_str("# TYPE h gaugehistogram\n");
    for labels in objects(dice) {
        let (few, more) = (dice.below(5), dice.below(5));
        for (bound, count) in [("0.1", few), ("1", few + more), ("+Inf", few + more + 1)] {
            let name = format!("h_bucket{{{labels},le=\"{bound}\"}}");
            one(&mut text, &name, |_| count.to_string());
        }
    }
    // What a join looks up: of each pod of a namespace, but also of one by its name alone.
    text.push_str("# TYPE info gauge\n");
    for namespace in NAMESPACES {
        for pod in PODS {
            if dice.percent(80) {
                let node = dice.pick(&["n1", "n2"]);
                let labels = format!("namespace=\"{namespace}\",pod=\"{pod}\",node=\"{node}\"");
                one(&mut text, &format!("info{{{labels}}}"), |_| "1".to_owned());
            }
        }
    }
    text.push_str("# TYPE names gauge\n");
    for pod in PODS {
        let weight = dice.below(4);
        one(&mut text, &format!("names{{pod=\"{pod}\",team=\"t\"}}"), |_| weight.to_string());
    }
    text + "# EOF\n"
}

fn gauges(text: &mut String, dice: &mut Dice, name: &str) {
    writeln!(text, "# TYPE {name} gauge").unwrap();
    for labels in objects(dice) {
        let value = match dice.below(20) {
            0 => "NaN".to_owned(),
            1 => "+Inf".to_owned(),
            2 => "1e300".to_owned(),
            3 | 4 => "0".to_owned(),
            _ => format!("{}", f64::from(u32::try_from(dice.below(400)).unwrap()) / 8.0 - 10.0),
        };
        one(text, &format!("{name}{{{labels}}}"), |_| value.clone());
    }
}

/// The labels of the series of one name, each once.
fn objects(dice: &mut Dice) -> Vec<String> {
    let mut all = Vec::new();
    for namespace in NAMESPACES {
        for (label, names) in [("pod", &PODS[..]), ("service", &SERVICES[..])] {
            for name in names {
                if dice.percent(25) {
                    continue;
                }
                for code in ["200", "500", ""] {
                    if code != "200" && !dice.percent(15) {
                        continue;
                    }
                    let mut labels = Vec::new();
                    if !dice.percent(4) {
                        labels.push(format!("namespace=\"{namespace}\""));
                    }
                    if !dice.percent(4) {
                        labels.push(format!("{label}=\"{name}\""));
                    }
                    if !code.is_empty() {
                        labels.push(format!("code=\"{code}\""));
                    }
                    labels.push(format!("queue=\"{}\"", dice.pick(&["q1", "q2"])));
                    all.push(labels.join(","));
                }
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

fn one(text: &mut String, name: &str, value: impl Fn(i64) -> String) {
    for scrape in 0..SCRAPES {
        let at = NOW - (SCRAPES - 1 - scrape) * SCRAPE;
        writeln!(text, "{name} {} {at}", value(scrape)).unwrap();
    }
}
