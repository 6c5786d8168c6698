//! The recorded requests, answered from one query for all objects.
//!
//! prometheus-adapter never asked such a query. What Prometheus would have answered follows from
//! what it did answer: the same samples with the label of the namespace.

use std::collections::BTreeSet;

use regex::Regex;
use serde_json::Value;

use super::differences::{Expected, differences};
use super::recording::{Row, replayed, rows, text};
use super::{ask, start, startable, with_compat};
use crate::support::prometheus::FakePrometheus;

#[tokio::test(flavor = "multi_thread")]
async fn merged_evaluation_answers_as_prometheus_adapter_but_for_the_chosen_differences() {
    let differences = differences();
    let mut count = 0;
    for config in ["core", "kube", "stock"] {
        let prometheus = FakePrometheus::start().await;
        let file = with_compat(&startable(&text(&format!("{config}.yaml"))));
        // Longer than the test: each table is evaluated once, and so is of one row.
        let plimsoll = start(config, &file, &prometheus, "--refresh-interval=1h").await;
        let client = plimsoll.client();
        let mut asked = BTreeSet::new();
        for row in rows(config).iter().filter(|row| row.answer.status == 200) {
            let Some((promql, answer)) = merged(row) else { continue };
            if !asked.insert(promql.clone()) {
                continue;
            }
            prometheus.answer(&promql, replayed(&answer));
            let ours = ask(row, &client, &prometheus).await;
            if ours.promql != [promql] {
                continue;
            }
            let mut expected = Expected::same(row);
            for difference in differences.iter().filter(|it| !it.is_switch && (it.applies)(row)) {
                (difference.ours)(row, &mut expected);
            }
            expected.promql.clone_from(&ours.promql);
            assert!(expected.is_met_by(&ours), "{}\n{expected:?}\n{ours:?}", row.name());
            count += 1;
        }
    }
    assert!(count > 40, "{count}");
}

/// The query for all objects, and what Prometheus would have answered.
fn merged(row: &Row) -> Option<(String, Value)> {
    let [promql] = row.promql.as_slice() else { return None };
    let answer = row.prometheus.get(promql)?;
    let path = Regex::new(r"/namespaces/([^/]+)/([^/]+)/[^/]+/").unwrap();
    let place = path.captures(row.path());
    let grouping = Regex::new(r"by \(([a-z_]+)\)$").unwrap();
    let label = grouping.captures(promql)?.get(1)?.as_str();
    let Some(namespace) = place.filter(|it| &it[2] != "metrics").map(|it| it[1].to_owned()) else {
        // Of kinds that are in no namespace.
        let one = Regex::new(&format!(r#"([{{,]){label}=~?"[^"]*""#)).unwrap();
        let all = one.replace(promql, format!(r#"${{1}}{label}=~".+""#)).into_owned();
        return Some((all, answer.clone()));
    };
    let namespaced = Regex::new(&format!(r#"[{{,]([a-z_]+)="{namespace}""#)).unwrap();
    let namespace_label = namespaced.captures(promql)?.get(1)?.as_str();
    let one = Regex::new(&format!(r#",{label}=~?"[^"]*""#)).unwrap();
    let all = one.replace(promql, "").into_owned();
    let all = grouping.replace(&all, format!("by ({namespace_label},{label})")).into_owned();
    let mut answer = answer.clone();
    for sample in answer["data"]["result"].as_array_mut()? {
        sample["metric"][namespace_label] = namespace.clone().into();
    }
    Some((all, answer))
}
