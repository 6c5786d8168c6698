//! The same client against a real Prometheus.

use jiff::Timestamp;
use plimsoll::model::value::{Point, QueryResult};
use plimsoll::prometheus::{Settings, Terms, Verb};

use crate::support::real_prometheus::RealPrometheus;

use super::{client, names, now, sample};

const DATA: &str = "\
# TYPE requests counter
requests_total{namespace=\"shop\",pod=\"cart-1\"} 10 1699999970
requests_total{namespace=\"shop\",pod=\"cart-1\"} 40 1700000000
requests_total{namespace=\"shop\",pod=\"cart-2\",zone=\"a\"} 7 1700000000
# TYPE depth gauge
depth{queue=\"orders\"} NaN 1700000000
# EOF
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queries_and_listings_work_with_both_verbs() {
    let Some(prometheus) = RealPrometheus::start(DATA) else {
        return;
    };
    for verb in [Verb::Get, Verb::Post] {
        let client = client(Settings { verb, ..Settings::new(prometheus.url()) });
        let QueryResult::Vector(mut rows) =
            client.query("requests_total", now(), &Terms::default()).await.unwrap()
        else {
            panic!("a selector gives a vector");
        };
        rows.sort_by(|a, b| a.labels.cmp(&b.labels));
        let name = ("__name__", "requests_total");
        let cart_1 = [name, ("namespace", "shop"), ("pod", "cart-1")];
        let cart_2 = [name, ("namespace", "shop"), ("pod", "cart-2"), ("zone", "a")];
        let expected =
            [sample(&cart_1, 1_700_000_000.5, 40.0), sample(&cart_2, 1_700_000_000.5, 7.0)];
        assert_eq!(rows, expected);

        let point = Point { timestamp: 1_700_000_000.5, value: f64::INFINITY };
        let scalar = client.query("1/0", now(), &Terms::default()).await;
        assert_eq!(scalar, Ok(QueryResult::Scalar(point)));
        let none = client.query("absent_metric", now(), &Terms::default()).await;
        assert_eq!(none, Ok(QueryResult::Vector(Vec::new())));

        let since = Timestamp::from_second(1_699_999_000).unwrap();
        let listing =
            client.series("{__name__=~\"requests_total|depth\"}", since, &Terms::default()).await;
        let expected =
            names(&[("requests_total", &["namespace", "pod", "zone"]), ("depth", &["queue"])]);
        assert_eq!(listing, Ok(expected));
        let later = Timestamp::from_second(1_700_100_000).unwrap();
        assert_eq!(client.series("requests_total", later, &Terms::default()).await, Ok(names(&[])));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_refusals_come_with_its_own_words() {
    let Some(prometheus) = RealPrometheus::start(DATA) else {
        return;
    };
    let client = client(Settings::new(prometheus.url()));
    let cases = [
        ("sum(", "Prometheus answered 400 bad_data: invalid parameter \"query\": 1:5: parse error"),
        (
            "requests_total * on(namespace) requests_total",
            "Prometheus answered 422 execution: found duplicate series for the match group",
        ),
        (
            "requests_total[5m]",
            "the answer of Prometheus cannot be used: the query gives a range vector (a matrix)",
        ),
        ("\"text\"", "the answer of Prometheus cannot be used: the query gives a string"),
    ];
    for (promql, expected) in cases {
        let error = client.query(promql, now(), &Terms::default()).await.unwrap_err().to_string();
        assert!(error.starts_with(expected), "{promql}: {error}");
    }
    let error = client.series("{}", now(), &Terms::default()).await.unwrap_err().to_string();
    assert!(error.starts_with("Prometheus answered 400 bad_data: "), "{error}");
}
