//! Queries that want more than their namespace, put to a real Prometheus after the limit.

use serde_json::Value;

use plimsoll::promql::isolate::isolate;
use plimsoll::promql::separable::{Rendering, judge};

use crate::support::real_prometheus::RealPrometheus;

/// The time of the last sample.
const NOW: u64 = 1_700_000_600;

/// Two namespaces; every value of `shop` is below 1000 and every one of `bank` above.
fn data() -> String {
    let mut text = String::from("# TYPE x gauge\n");
    for metric in ["x", "y"] {
        if metric == "y" {
            text += "# TYPE y gauge\n";
        }
        for (namespace, base) in [("shop", 1), ("bank", 1001)] {
            for pod in 0..3 {
                for step in 0..=10 {
                    let (value, at) = (base + pod * 3 + step, NOW - 600 + step * 60);
                    text += &format!(
                        "{metric}{{namespace=\"{namespace}\",pod=\"p{pod}\"}} {value} {at}\n"
                    );
                }
            }
        }
    }
    text += "# TYPE node_of gauge\n";
    for pod in 0..3 {
        text += &format!("node_of{{pod=\"p{pod}\",node=\"n{pod}\"}} 1 {NOW}\n");
    }
    text + "# EOF\n"
}

async fn ask(prometheus: &RealPrometheus, query: &str) -> Result<Vec<(Value, f64)>, String> {
    let mut url = prometheus.url().join("api/v1/query").unwrap();
    url.query_pairs_mut().append_pair("query", query).append_pair("time", &NOW.to_string());
    let answer: Value =
        serde_json::from_slice(&reqwest::get(url).await.unwrap().bytes().await.unwrap()).unwrap();
    if answer["status"] != "success" {
        return Err(answer["error"].to_string());
    }
    let number = |sample: &Value| sample[1].as_str().unwrap().parse().unwrap();
    let data = &answer["data"];
    Ok(match data["resultType"].as_str() {
        Some("scalar") => vec![(Value::Null, number(&data["result"]))],
        _ => {
            let series = data["result"].as_array().unwrap();
            series.iter().map(|it| (it["metric"].clone(), number(&it["value"]))).collect()
        }
    })
}

#[tokio::test]
async fn hostile_queries_see_no_series_of_another_namespace() {
    let Some(prometheus) = RealPrometheus::start(&data()) else { return };
    let queries = [
        "x",
        r#"x{namespace="bank"}"#,
        r#"{namespace=~".+"}"#,
        r#"{__name__=~"x|y",namespace!="shop"}"#,
        r#"x{namespace="shop"} or y{namespace="bank"}"#,
        r#"max_over_time(x{namespace="bank"}[5m])"#,
        r#"max_over_time(sum by (namespace, pod) (x{namespace!~"shop"})[5m:1m])"#,
        r#"sum(x) + on () group_right max by () (y{namespace="bank"})"#,
        r#"scalar(max(x{namespace="bank"}))"#,
        r#"topk(scalar(count(x)), x{namespace=~"bank|shop"} @ end())"#,
        r#"quantile(scalar(x{namespace="bank",pod="p0"}) / 9999, x offset 1m)"#,
        "vector(scalar(max(x{namespace=`bank`})))",
        r#"label_replace(x{namespace="bank"}, "namespace", "shop", "namespace", ".*")"#,
        "x # {namespace=\"shop\"}",
        r"{__name__='x', namespace='\x62ank'}",
        r#"x == on () group_left max(x{namespace="bank"}) or x > 1000"#,
        r#"-(-x{namespace="bank",pod=~".*"})"#,
        "absent(x{namespace=\"bank\"}) * scalar(max(x))",
    ];
    for query in queries {
        let isolated = isolate(query, "namespace", "shop").unwrap();
        for (labels, value) in ask(&prometheus, &isolated).await.unwrap() {
            assert!(labels["namespace"] != "bank", "{isolated}: {labels}");
            assert!(value.is_nan() || value < 1000.0, "{isolated}: {value}");
        }
    }
    // The data can be seen at all.
    assert_eq!(ask(&prometheus, "x > 1000").await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_merged_query_that_is_separable_gives_each_namespace_its_answer() {
    let Some(prometheus) = RealPrometheus::start(&data()) else { return };
    let templates = [
        ("sum by (G) (x{M})", true),
        ("topk by (G) (1, x{M})", true),
        ("x{M} / ignoring (a) y{M}", true),
        ("sum by (G) (rate(x{M}[5m])) / on (G) avg by (G) (y{M})", true),
        ("sum by (G) (x{M} * on (pod) group_left (node) node_of)", true),
        ("max_over_time(sum by (G) (x{M})[5m:1m]) > 5", true),
        ("x{M} and on (pod) (node_of > 0)", true),
        ("label_replace(sum without (a) (x{M}), \"b\", \"$1\", \"pod\", \"(.*)\")", true),
        ("sum(x{M})", false),
        ("topk(2, x{M})", false),
        ("sum by (pod) (x{M})", false),
        ("x{M} + on (pod) group_left () max by (pod) (y{M})", false),
        ("sum by (G) (x{M}) or vector(0)", false),
        ("x{M} - scalar(max(y{M}))", false),
    ];
    let merged_matchers = r#"namespace=~"shop|bank""#;
    let render = |template: &str, matchers: &str, groups: &str| {
        template.replace("{M}", &format!("{{{matchers}}}")).replace("(G)", &format!("({groups})"))
    };
    for (template, is_separable) in templates {
        let merged = render(template, merged_matchers, "namespace,pod");
        let answer = ask(&prometheus, &merged).await;
        let mut is_same = answer.is_ok();
        for namespace in ["shop", "bank"] {
            let matchers = format!("namespace={namespace:?}");
            let single = render(template, &matchers, "pod");
            let judgement = judge(
                Rendering { promql: &single, matchers: &matchers },
                Rendering { promql: &merged, matchers: merged_matchers },
            );
            assert_eq!(judgement.is_ok(), is_separable, "{template}: {judgement:?}");
            let mut alone = by_pod(ask(&prometheus, &single).await.unwrap().iter());
            let all = answer.iter().flatten();
            let mut part = by_pod(all.filter(|(labels, _)| labels["namespace"] == namespace));
            alone.sort_by(|one, other| one.partial_cmp(other).unwrap());
            part.sort_by(|one, other| one.partial_cmp(other).unwrap());
            assert!(!alone.is_empty(), "{single}");
            is_same &= alone == part;
        }
        assert_eq!(is_same, is_separable, "{template}");
    }
}

fn by_pod<'a>(samples: impl Iterator<Item = &'a (Value, f64)>) -> Vec<(String, f64)> {
    samples.map(|(labels, value)| (labels["pod"].to_string(), *value)).collect()
}
