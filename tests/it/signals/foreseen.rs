//! Forecasts from end to end: days of traffic with a known rhythm in a real Prometheus, and what an
//! HPA is told of the next half an hour.

use std::f64::consts::TAU;

use jiff::Timestamp;
use serde_json::Value;

use super::traffic::series_at;
use crate::support::client::Client;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::real_prometheus::RealPrometheus;

const DAY: f64 = 86_400.0;
const HORIZON: f64 = 1800.0;

/// One pod, which is there since yesterday; the one before it is gone.
const OBJECTS: &str = "
apiVersion: v1
kind: List
items:
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: web, namespace: shop}}
- {apiVersion: apps/v1, kind: Deployment, metadata: {name: young, namespace: shop}}
- {apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: web-7d9, namespace: shop,
    ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, uid: a, controller: true}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web-7d9-bbbbb, namespace: shop,
    ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web-7d9, uid: c, controller: true}]}}
";

const CONFIG: &str = "
signals:
- metric: rate
  on: deployments.apps
  requestRate: {preset: http, window: 5m}
- metric: rate_soon
  on: deployments.apps
  forecast: {of: {metric: rate}, horizon: 30m, seasons: [1d], history: 3d}
";

/// Requests per second so many seconds after a moment: most by day, few by night, and more each
/// day, which to repeat the last season forgets.
fn rate(at: f64) -> f64 {
    100.0 + 10.0 * at / DAY + 40.0 * (TAU * at / DAY).sin()
}

/// How many requests there were until then.
fn requests(at: f64) -> f64 {
    1e8 + 100.0 * at + 5.0 * at * at / DAY - 40.0 * DAY / TAU * (TAU * at / DAY).cos()
}

fn traffic(now: i64) -> String {
    let mut text = String::from("# TYPE http_requests counter\n");
    let pods = [("web-5b8-aaaaa", [-3 * 86_400, -86_400]), ("web-7d9-bbbbb", [-86_400, 1800])];
    for (pod, span) in pods {
        let name = format!("http_requests_total{{namespace=\"shop\",pod=\"{pod}\",code=\"200\"}}");
        series_at(&mut text, now, &name, span, &requests);
    }
    text + "# EOF\n"
}

async fn item(client: &Client, name: &str) -> Result<f64, String> {
    let path = format!(
        "/apis/custom.metrics.k8s.io/v1beta2/namespaces/shop/deployments.apps/{name}/rate_soon"
    );
    let body: Value = serde_json::from_slice(&client.get(&path).await.body).unwrap();
    let Some(value) = body["items"][0]["value"].as_str() else {
        return Err(body["message"].as_str().unwrap().to_owned());
    };
    Ok(match value.strip_suffix('m') {
        Some(milli) => milli.parse::<f64>().unwrap() / 1000.0,
        None => value.parse().unwrap(),
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_hpa_gets_what_the_rhythm_of_the_past_lets_expect() {
    let now = Timestamp::now().as_second();
    let Some(prometheus) = RealPrometheus::start(&traffic(now)) else { return };
    let url = prometheus.url();
    let start =
        Start { config: CONFIG, objects: OBJECTS, prometheus: url.as_str(), ..Start::default() };
    let plimsoll = Plimsoll::start(start).await;
    let client = plimsoll.client();

    wait_until("there is a forecast", async || item(&client, "web").await.is_ok()).await;
    let foreseen = item(&client, "web").await.unwrap();
    let expected = rate(HORIZON);
    assert!((foreseen - expected).abs() < 3.0, "{foreseen}, not {expected}");
    let refused = item(&client, "young").await.unwrap_err();
    let why = "signals[1] has no value for deployment young: there is no forecast: 1440 of 1440 \
               points of the past are missing";
    assert!(refused.ends_with(why), "{refused}");

    let metrics = reqwest::get(format!("http://{}/metrics", plimsoll.admin)).await.unwrap();
    let metrics = metrics.text().await.unwrap();
    for line in [
        "plimsoll_forecast_objects{signal=\"deployments.apps/rate_soon\",outcome=\"foreseen\"} 1",
        "plimsoll_forecast_objects{signal=\"deployments.apps/rate_soon\",outcome=\"refused\"} 1",
        "plimsoll_forecast_error{signal=\"deployments.apps/rate_soon\",model=\"forecast\"}",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}
