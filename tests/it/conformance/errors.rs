//! Cases 70 to 79: errors.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use url::form_urlencoded::byte_serialize;

use super::{C1, C2, E, Lab, PODS, Setup, items, status};
use crate::support::client::Client;
use crate::support::plimsoll::wait_until;
use crate::support::prometheus::{Answer, FakePrometheus};

/// What `labels.Parse` of Kubernetes 1.36 says of each input.
const SELECTORS: &str = include_str!("../../../src/model/selector/golden.txt");

#[tokio::test]
async fn case_70_a_label_selector_is_refused_where_kubernetes_refuses_it_and_in_its_words() {
    let lab = Lab::start().await;
    let answer = lab.get(C2, "/namespaces/default/pods/*/http_requests?labelSelector=a%20b").await;
    assert_eq!(
        status(&answer, 400, "BadRequest"),
        "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"
    );
    let session = lab.client.open_http2().await;
    let (mut accepted, mut refused) = (0, 0);
    for line in SELECTORS.lines() {
        let end = line.find("\" OK ").or_else(|| line.find("\" ERR ")).unwrap();
        let (input, verdict) = line.split_at(end + 1);
        let input: String = serde_json::from_str(input).unwrap();
        let encoded: String = byte_serialize(input.as_bytes()).collect();
        let path = "/namespaces/default/pods/*/numbers?labelSelector=";
        let answer = session.get(&format!("{C2}{path}{encoded}")).await;
        if let Some(message) = verdict.strip_prefix(" ERR ") {
            assert_eq!(status(&answer, 400, "BadRequest"), message);
            refused += 1;
        } else {
            // The fake has no numbers for those that match pods: 500, but never 400.
            assert!([200, 404, 500].contains(&answer.status), "{input}: {}", answer.text());
            accepted += 1;
        }
    }
    assert!(accepted > 15 && refused > 15, "{accepted} and {refused}");
}

#[tokio::test]
async fn case_71_a_bad_metric_selector_is_a_bad_request() {
    let lab = Lab::start().await;
    for version in [C1, C2] {
        let answer = lab.get(version, &format!("{PODS}&metricLabelSelector=a%20b")).await;
        status(&answer, 400, "BadRequest");
    }
    // What Prometheus has no matcher for is the request's fault as well.
    let answer = lab.get(C2, &format!("{PODS}&metricLabelSelector=code%3E3")).await;
    let message = status(&answer, 400, "BadRequest");
    assert!(message.contains("no matcher for >"), "{message}");
    let answer = lab.get(E, "/namespaces/default/queue_depth?labelSelector=a%20b").await;
    status(&answer, 400, "BadRequest");
}

#[tokio::test]
async fn case_72_nothing_can_be_written_and_no_body_is_read() {
    let lab = Lab::start().await;
    let targets = [format!("{C2}{PODS}"), C2.to_owned(), "/apis".to_owned()];
    for target in &targets {
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let answer = lab.client.send(method, target, &[]).await;
            status(&answer, 405, "MethodNotAllowed");
            assert_eq!(answer.header("allow"), "GET, HEAD");
        }
    }
    // A body that is announced and never comes is not waited for.
    for (length, line) in [("1000", "HTTP/1.1 405 "), ("10000000000", "HTTP/1.1 413 ")] {
        let request = format!("POST {C2} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
        let answer = raw(&lab.client, request.as_bytes(), line.len()).await;
        assert_eq!(answer, line);
    }
}

/// The first bytes of the answer to the bytes of a request; fewer where the connection ends.
async fn raw(client: &Client, request: &[u8], length: usize) -> String {
    let mut stream = client.connect(&[b"http/1.1"]).await;
    // The server may answer and close before it has read all.
    let _refused = stream.write_all(request).await;
    let mut answer = vec![0; length];
    let mut read = 0;
    while read < length {
        let next = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer[read..]));
        match next.await.expect("an answer or an end") {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more,
        }
    }
    String::from_utf8_lossy(&answer[..read]).into_owned()
}

#[tokio::test]
async fn case_73_other_methods_are_refused_without_cors_headers() {
    let lab = Lab::start().await;
    for method in ["OPTIONS", "TRACE", "CONNECT", "BREW"] {
        for target in [C2, "/apis", "/healthz", "/nowhere"] {
            let request = format!(
                "{method} {target} HTTP/1.1\r\nhost: x\r\norigin: https://example.com\r\n\
                 access-control-request-method: GET\r\nconnection: close\r\n\r\n"
            );
            let answer = raw(&lab.client, request.as_bytes(), 4096).await.to_lowercase();
            let line = answer.lines().next().unwrap_or_default();
            let expected = ["http/1.1 405", "http/1.1 404", "http/1.1 400"];
            assert!(expected.iter().any(|it| line.starts_with(it)), "{method} {target}: {line}");
            assert!(!answer.contains("access-control-"), "{answer}");
        }
    }
}

#[tokio::test]
async fn case_74_a_backend_that_is_down_is_503_at_once() {
    let lab = Lab::start().await;
    drop(lab.prometheus);
    let began = Instant::now();
    for (version, path) in [(C2, PODS), (E, "/namespaces/default/queue_depth")] {
        let answer = lab.client.get(&format!("{version}{path}")).await;
        let message = status(&answer, 503, "ServiceUnavailable");
        assert!(
            message.starts_with("backend default (127.0.0.1:")
                && message.contains("): Prometheus cannot be reached: "),
            "{message}"
        );
        assert!(message.contains("Connection refused"), "{message}");
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn case_75_a_backend_that_hangs_is_504_within_the_budget() {
    let lab = Lab::start().await;
    lab.prometheus.answer("queue_depth{}", Answer::Stall);
    let began = Instant::now();
    let answer = lab.get(E, "/namespaces/default/queue_depth").await;
    let message = status(&answer, 504, "Timeout");
    assert!(message.contains("takes longer than 2s"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

/// Everything that a backend does wrong, with the code of the answer.
fn faults() -> Vec<(&'static str, Answer, u16)> {
    let vector = |value: &str| {
        Answer::json(
            200,
            &json!({"status": "success", "data": {"resultType": "vector",
            "result": [{"metric": {}, "value": value}]}}),
        )
    };
    vec![
        ("hang_up", Answer::HangUp, 503),
        ("stall", Answer::Stall, 504),
        ("stall_half", Answer::StallAfter("{\"status\":".into()), 504),
        ("break_half", Answer::BreakAfter("{\"status\":".into()), 503),
        ("not_json", Answer::text(200, "<html>"), 500),
        ("truncated", Answer::text(200, "{\"status\":\"success\",\"data\":{"), 500),
        ("wrong_type", vector("x"), 500),
        ("matrix", Answer::data(&json!({"resultType": "matrix", "result": []})), 500),
        ("error_in_200", Answer::error(200, "internal", "inside"), 500),
        ("bad_data", Answer::error(400, "bad_data", "parse error"), 500),
        ("execution", Answer::error(422, "execution", "many-to-many"), 500),
        ("throttled", retry_after(429), 500),
        ("broken", Answer::text(500, "panic"), 500),
        ("unavailable", retry_after(503), 500),
        ("redirect", Answer::redirect("http://127.0.0.1:1/"), 500),
        ("hundred_megabytes", Answer::Blanks(100 << 20), 500),
    ]
}

fn retry_after(status: u16) -> Answer {
    let headers = vec![("retry-after", "1".to_owned())];
    Answer::Whole { status, headers, body: "later".into() }
}

/// The fixture with an external metric for each fault.
async fn faulty() -> Lab {
    let prometheus = FakePrometheus::start().await;
    super::script(&prometheus);
    let names: Vec<_> = faults().iter().map(|(name, ..)| json!({"__name__": name})).collect();
    prometheus.answer("faults", Answer::data(&json!(names)));
    for (name, fault, _) in faults() {
        prometheus.answer(&format!("{name}{{}}"), fault);
    }
    let config = format!(
        "{}- {{seriesQuery: faults, resources: {{namespaced: false}}, metricsQuery: \
         '<<.Series>>{{<<.LabelMatchers>>}}'}}\n",
        super::CONFIG
    );
    Lab::on(prometheus, Setup { config: &config, ..Setup::default() }).await
}

#[tokio::test]
async fn case_76_no_fault_of_the_backend_is_answered_with_retry_after() {
    let lab = faulty().await;
    let sweep = async |(name, _, code): (&str, Answer, u16)| {
        let answer = lab.get(E, &format!("/namespaces/default/{name}")).await;
        assert_eq!(answer.status, code, "{name}: {}", answer.text());
        // This is where Retry-After and retryAfterSeconds are looked for.
        let reason = match code {
            503 => "ServiceUnavailable",
            504 => "Timeout",
            _ => "InternalError",
        };
        status(&answer, code, reason)
    };
    // A backend that says when to come back is not asked for anything until then.
    let (throttled, others): (Vec<_>, Vec<_>) =
        faults().into_iter().partition(|(name, ..)| *name == "throttled");
    assert_eq!(join_all(others.into_iter().map(sweep)).await.len(), 15);
    // The others have not noticed.
    assert_eq!(items(&lab.get(C2, PODS).await).len(), 2);
    assert_eq!(join_all(throttled.into_iter().map(sweep)).await.len(), 1);
    let answers = async || lab.get(C2, PODS).await.status == 200;
    wait_until("the backend is asked again", answers).await;
}

#[tokio::test]
async fn case_77_every_error_of_an_api_path_is_a_status() {
    let lab = faulty().await;
    let targets = [
        (format!("{C2}/namespaces/default/pods/*/absent"), 404, "NotFound"),
        (format!("{C2}/namespaces/default/unicorns/*/hits"), 404, "NotFound"),
        (format!("{C2}/pods/*/http_requests"), 404, "NotFound"),
        (format!("{C2}/a"), 400, "BadRequest"),
        (format!("{E}/namespaces/default/absent"), 404, "NotFound"),
        (format!("{E}/namespaces/default/a/b"), 404, "NotFound"),
        (format!("{E}/namespaces/default"), 400, "BadRequest"),
        (format!("{C2}{PODS}&watch=1"), 405, "MethodNotAllowed"),
        (format!("{C2}{PODS}&fieldSelector=a%3Db"), 400, "BadRequest"),
        (format!("{E}/namespaces/default/not_json"), 500, "InternalError"),
        ("/".to_owned(), 404, "NotFound"),
        ("/api".to_owned(), 404, "NotFound"),
        ("/metrics".to_owned(), 404, "NotFound"),
        ("/apis/custom.metrics.k8s.io/v2".to_owned(), 404, "NotFound"),
        ("/openapi/v3/apis/apps/v1".to_owned(), 404, "NotFound"),
    ];
    for (target, code, reason) in targets {
        status(&lab.client.get(&target).await, code, reason);
    }
}

#[tokio::test]
async fn case_78_a_request_given_up_by_its_client_takes_its_query_with_it() {
    let flags = ["--refresh-interval=0"];
    let lab = Lab::with(Setup { flags: &flags, ..Setup::default() }).await;
    lab.prometheus.answer("queue_depth{}", Answer::Stall);
    let session = lab.client.open_http2().await;
    let target = format!("{E}/namespaces/default/queue_depth");
    let request = tokio::spawn({
        let session = session.clone();
        async move { session.get(&target).await }
    });
    lab.prometheus.wait_for_under_way(1).await;
    // Dropping the answer resets the stream; the connection stays.
    request.abort();
    lab.prometheus.wait_for_under_way(0).await;
    assert_eq!(items(&session.get(&format!("{C2}{PODS}")).await).len(), 2);
}

/// With a snapshot the evaluation belongs to everybody who asks; it ends by its own deadline.
#[tokio::test]
async fn case_78_a_shared_evaluation_goes_on_without_the_client_that_began_it() {
    let lab = Lab::start().await;
    lab.prometheus.answer("queue_depth{}", Answer::Stall);
    let target = format!("{E}/namespaces/default/queue_depth");
    let client = lab.client.clone();
    let request = tokio::spawn(async move { client.get(&target).await });
    lab.prometheus.wait_for_under_way(1).await;
    request.abort();
    super::answer(&lab.prometheus, "queue_depth{}", &[(json!({}), "1")]);
    wait_until("the next evaluation is done", async || {
        lab.get(E, "/namespaces/default/queue_depth").await.status == 200
    })
    .await;
}

#[tokio::test]
async fn case_79_a_long_url_and_long_headers_are_refused_and_nothing_breaks() {
    let lab = Lab::start().await;
    let long = lab.get(C2, &format!("{PODS}&x={}", "x".repeat(20 << 10))).await;
    let expected = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "the URL is longer than 16384 bytes", "code": 414});
    assert_eq!((long.status, long.json()), (414, expected));

    let head = |name: &str, length: usize| {
        format!("GET {C2} HTTP/1.1\r\nhost: x\r\n{name}: {}\r\n\r\n", "x".repeat(length))
    };
    let line = "HTTP/1.1 431 ";
    let answer = raw(&lab.client, head("x-long", 1 << 20).as_bytes(), line.len()).await;
    assert!(answer == line || answer.is_empty(), "{answer}");
    let url = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(1 << 20));
    let answer = raw(&lab.client, url.as_bytes(), line.len()).await;
    let refused = ["HTTP/1.1 414 ", "HTTP/1.1 431 ", "HTTP/1.1 400 ", ""];
    assert!(refused.contains(&&*answer), "{answer}");
    // What a user with many groups has passes.
    let long_but_fine = raw(&lab.client, head("x-long", 32 << 10).as_bytes(), line.len()).await;
    assert_eq!(long_but_fine, "HTTP/1.1 200 ");
    assert_eq!(items(&lab.get(C2, PODS).await).len(), 2);
}
