//! What is asked: pods and services by name and by selector, namespaces, external metrics, in
//! several namespaces, and what is not there.

use plimsoll::engine::demand::{CustomDemand, Demand, ExternalDemand, Target};
use plimsoll::model::object::GroupResource;
use plimsoll::model::selector::Selector;

use super::dice::Dice;
use super::series::{NAMESPACES, PODS, SERVICES};

/// How many questions there are for each metric of either sort.
const PER_METRIC: usize = 14;

pub(super) fn demands(dice: &mut Dice, metrics: usize) -> Vec<Demand> {
    let mut all = Vec::new();
    for number in 0..metrics {
        for _ in 0..PER_METRIC {
            all.push(custom(dice, format!("m{number}")));
            all.push(external(dice, format!("e{number}")));
        }
    }
    all
}

fn custom(dice: &mut Dice, metric: String) -> Demand {
    let namespace = dice.pick(&NAMESPACES);
    let (resource, target) = match dice.below(10) {
        0..4 => ("pods", Target::Named(dice.pick(&PODS).to_owned())),
        4..7 => {
            ("pods", selected(dice, &["", "app=web", "app in (web,db)", "app!=web", "app=none"]))
        }
        7 => ("services", Target::Named(dice.pick(&SERVICES).to_owned())),
        8 => ("services", selected(dice, &["", "app=web"])),
        _ => ("namespaces", Target::Named(namespace.to_owned())),
    };
    let namespace = (resource != "namespaces").then(|| namespace.to_owned());
    Demand::Custom(CustomDemand {
        resource: GroupResource::parse(resource),
        namespace,
        target,
        metric,
        metric_selector: selector(dice),
    })
}

fn selected(dice: &mut Dice, selectors: &[&str]) -> Target {
    Target::Selected(Selector::parse(dice.pick(selectors)).unwrap())
}

fn external(dice: &mut Dice, metric: String) -> Demand {
    let namespace = dice.pick(&NAMESPACES).to_owned();
    Demand::External(ExternalDemand { namespace, metric, selector: selector(dice) })
}

/// A selector of series; most ask for none.
fn selector(dice: &mut Dice) -> Selector {
    let text = if dice.percent(70) {
        ""
    } else {
        dice.pick(&[
            "code=200",
            "code!=500",
            "queue in (q1,q2)",
            "!code",
            "namespace=a",
            "pod=web-0",
        ])
    };
    Selector::parse(text).unwrap()
}
