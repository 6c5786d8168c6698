//! One query for everybody says what a query for each would say: two engines on one real
//! Prometheus, one that merges and one that does not, are asked the same things about the same
//! series by the same rules, all of which are made up.
//!
//! A round is what follows from its number. `PLIMSOLL_MERGE_ROUNDS=1000` runs a thousand, and
//! `PLIMSOLL_MERGE_ROUND=7` the seventh alone.

mod dice;
mod questions;
mod rules;
mod series;
mod two_engines;

use std::collections::BTreeSet;

use crate::support::real_prometheus::RealPrometheus;
use dice::Dice;
use two_engines::TwoEngines;

/// How many rounds there are where nobody says so.
const ROUNDS: u64 = 2;

/// How many rules of each sort a round has.
const RULES: usize = 120;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn merged_and_unmerged_plans_give_the_same_answers() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().unwrap());
    let rounds = match number("PLIMSOLL_MERGE_ROUND") {
        Some(one) => one..one + 1,
        None => 0..number("PLIMSOLL_MERGE_ROUNDS").unwrap_or(ROUNDS),
    };
    for round in rounds {
        let mut dice = Dice::new(round);
        let Some(prometheus) = RealPrometheus::start(&series::openmetrics(&mut dice)) else {
            return;
        };
        let rules = rules::rules(&mut dice, RULES);
        let engines = TwoEngines::start(prometheus.url(), &rules);
        let demands = questions::demands(&mut dice, RULES);
        let (merged, alone) = engines.ask(&demands).await;
        let mut wrong = Vec::new();
        for (demand, (merged, alone)) in demands.iter().zip(merged.iter().zip(&alone)) {
            if merged != alone && !engines.alone_says(demand, merged).await {
                let query = rules.query_of(demand);
                wrong.push(format!(
                    "{demand:?}\n  {query}\n  merged {merged:?}\n  alone  {alone:?}"
                ));
            }
        }
        let count = wrong.len();
        wrong.truncate(10);
        assert!(wrong.is_empty(), "{count} in round {round}:\n{}", wrong.join("\n"));
        // Otherwise nothing was compared.
        let values = alone.iter().filter(|it| it.as_ref().is_ok_and(|it| !it.is_empty())).count();
        let errors: BTreeSet<_> = alone.iter().filter_map(|it| it.as_ref().err()).collect();
        let (shared, own) = engines.asked();
        println!(
            "round {round}: {} questions, {values} with values, {} errors; {shared} queries \
             merged, {own} alone",
            demands.len(),
            errors.len()
        );
        assert!(values > demands.len() / 10 && errors.len() > 5, "{values} {errors:?}");
        assert!(shared < own * 2 / 3, "{shared} of {own}");
    }
}
