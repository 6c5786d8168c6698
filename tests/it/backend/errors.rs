//! What goes wrong, and how it is said.

use std::time::Duration;

use plimsoll::engine::ports::Fault;
use tokio::net::TcpListener;
use url::Url;

use crate::support::pki::Authority;

use super::{Answer, FakePrometheus, Settings, client, client_with, query, series};

/// Asks for a query and a listing with the same answer, and checks both texts.
#[track_caller]
fn check(texts: &[String], expected: &str) {
    for text in texts {
        assert!(text.starts_with(expected), "{text:?} does not begin with {expected:?}");
        assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
    }
}

/// The texts of the errors that a query and a listing get for an answer.
async fn texts(fake: &FakePrometheus, answer: Answer) -> Vec<String> {
    fake.answer_all(answer);
    let client = client_with(fake, |settings| {
        settings.url.set_username("user").unwrap();
        settings.url.set_password(Some("secret")).unwrap();
        settings.deadline = Duration::from_secs(1);
        settings.series_deadline = Duration::from_secs(1);
        settings.max_response_bytes = 1 << 20;
    });
    vec![
        query(&client, "up").await.unwrap_err().to_string(),
        series(&client, "up").await.unwrap_err().to_string(),
    ]
}

#[tokio::test]
async fn refusals_are_passed_on_in_the_words_of_the_backend() {
    let fake = FakePrometheus::start().await;
    let page = format!("<html>\n  <h1>Bad\tGateway</h1>{}", "x".repeat(1_000));
    let cases = [
        (
            Answer::error(400, "bad_data", "1:5: parse error:\n unexpected end"),
            "Prometheus answered 400 bad_data: 1:5: parse error: unexpected end",
        ),
        (Answer::error(422, "execution", "x"), "Prometheus answered 422 execution: x"),
        (
            Answer::error(503, "timeout", "query timed out"),
            "Prometheus answered 503 timeout: query",
        ),
        (
            Answer::error(429, "too_many_requests", "x"),
            "Prometheus answered 429 too_many_requests: x",
        ),
        (Answer::error(200, "internal", "x"), "Prometheus answered 200 internal: x"),
        (
            Answer::text(502, page),
            "Prometheus answered 502 Bad Gateway: <html> <h1>Bad Gateway</h1>xxx",
        ),
        (
            Answer::text(500, ""),
            "Prometheus answered 500 Internal Server Error: without a word of explanation",
        ),
        (Answer::text(401, "Unauthorized\n"), "Prometheus answered 401 Unauthorized: Unauthorized"),
        (Answer::text(404, vec![0xff; 1 << 20]), "Prometheus answered 404 Not Found: \u{fffd}"),
        (
            Answer::redirect("https://user:secret@other/login?token=secret"),
            "Prometheus answered 302 Found: it redirects to https://other/login, which is not",
        ),
        (
            Answer::redirect("/prometheus/api"),
            "Prometheus answered 302 Found: it redirects to http://127.0.0.1:",
        ),
    ];
    for (answer, expected) in cases {
        let texts = texts(&fake, answer).await;
        check(&texts, expected);
        assert!(texts.iter().all(|text| text.chars().count() < 400), "{texts:?}");
    }
    assert_eq!(fake.requests().len(), 22, "redirects are not followed");
}

#[tokio::test]
async fn answers_that_make_no_sense_are_named() {
    let fake = FakePrometheus::start().await;
    let cases = [
        (Answer::text(200, "<html>\nsign in"), "it is no JSON and begins with \"<html> sign in\""),
        (Answer::text(200, ""), "it is empty"),
        (Answer::text(204, ""), "it is empty"),
        (Answer::text(200, r#"{"status":"success","da"#), "EOF while parsing"),
        (Answer::text(200, r#"{"status":"success","data":null}"#), "`data` is missing or null"),
        (Answer::text(200, r#"{"status":"success","data":7}"#), "invalid type: integer"),
    ];
    for (answer, expected) in cases {
        let expected = format!("the answer of Prometheus cannot be used: {expected}");
        check(&texts(&fake, answer).await, &expected);
    }
}

#[tokio::test]
async fn an_answer_past_the_bound_is_given_up_early() {
    let fake = FakePrometheus::start().await;
    let client = client_with(&fake, |settings| settings.max_response_bytes = 1 << 20);
    let expected = Fault::TooLarge("it is larger than 1048576 bytes".to_owned());
    for answer in [Answer::Blanks(100 << 20), Answer::text(200, vec![b' '; (1 << 20) + 1])] {
        fake.answer_all(answer);
        assert_eq!(query(&client, "up").await, Err(expected.clone()));
        fake.wait_for_under_way(0).await;
    }
    fake.answer_all(Answer::Blanks(100 << 20));
    let error = series(&client, "up").await.unwrap_err().to_string();
    check(&[error], "the answer of Prometheus cannot be used: it is empty");
}

#[tokio::test]
async fn a_stall_ends_with_the_deadline_and_the_request_with_it() {
    let fake = FakePrometheus::start().await;
    check(&texts(&fake, Answer::Stall).await, "Prometheus did not answer within 1s");
    fake.wait_for_under_way(0).await;
    check(
        &texts(&fake, Answer::StallAfter(r#"{"status":"#.into())).await,
        "the answer of Prometheus was not complete within 1s: 10 bytes came",
    );
    fake.wait_for_under_way(0).await;
}

#[tokio::test]
async fn a_drip_does_not_put_the_deadline_off() {
    let fake = FakePrometheus::start().await;
    let body = vec![b' '; 1_000].into();
    let texts = texts(&fake, Answer::Drip(body, Duration::from_millis(10))).await;
    check(&texts, "the answer of Prometheus was not complete within 1s: ");
    fake.wait_for_under_way(0).await;
}

#[tokio::test]
async fn a_server_that_never_speaks_is_a_stall_too() {
    // Connections are made by the kernel and accepted by nobody.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}", listener.local_addr().unwrap())).unwrap();
    let settings = Settings { deadline: Duration::from_millis(200), ..Settings::new(url) };
    let error = query(&client(settings), "up").await;
    assert_eq!(error, Err(Fault::Deadline(Duration::from_millis(200))));
}

#[tokio::test]
async fn a_broken_connection_says_how_far_it_came() {
    let fake = FakePrometheus::start().await;
    let begin = "Prometheus cannot be reached: ";
    for text in texts(&fake, Answer::BreakAfter(r#"{"status":"#.into())).await {
        check(std::slice::from_ref(&text), begin);
        assert!(text.ends_with("after 10 bytes of the answer"), "{text}");
    }
    let expected = format!("{begin}connection closed before message completed");
    check(&texts(&fake, Answer::HangUp).await, &expected);
}

#[tokio::test]
async fn no_connection_says_why() {
    let fake = FakePrometheus::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cases = [
        (format!("http://{closed}"), "Connection refused"),
        ("http://user:secret@prometheus.invalid".to_owned(), "the name cannot be resolved: "),
        (fake.url().as_str().replace("http:", "https:"), "TLS failed: received corrupt message"),
    ];
    for (url, expected) in cases {
        let client = client(Settings::new(Url::parse(&url).unwrap()));
        let texts = [
            query(&client, "up").await.unwrap_err().to_string(),
            series(&client, "up").await.unwrap_err().to_string(),
        ];
        check(&texts, &format!("Prometheus cannot be reached: {expected}"));
    }
}

#[tokio::test]
async fn an_unknown_authority_and_a_missing_client_certificate_are_tls_failures() {
    let authority = Authority::new();
    let fake = FakePrometheus::start_tls(authority.mutual_tls_server()).await;
    let directory = tempfile::tempdir().unwrap();
    for (pem, expected) in [
        (Authority::new().pem, "invalid peer certificate"),
        (authority.pem.clone(), "received fatal alert: CertificateRequired"),
    ] {
        let ca_file = directory.path().join("ca.crt");
        std::fs::write(&ca_file, pem).unwrap();
        let client = client_with(&fake, |settings| settings.ca_file = Some(ca_file));
        let text = query(&client, "up").await.unwrap_err().to_string();
        check(&[text], &format!("Prometheus cannot be reached: TLS failed: {expected}"));
    }
}

#[tokio::test]
async fn requests_past_the_cap_wait_and_the_wait_counts() {
    let fake = FakePrometheus::start().await;
    fake.answer("stalls", Answer::Stall);
    fake.answer("up", Answer::scalar(1.0, "1"));
    let deadline = Duration::from_millis(500);
    let client = client_with(&fake, |settings| {
        settings.concurrency = 1;
        settings.deadline = deadline;
    });
    // Once it is not polled any more it keeps its slot past its own deadline.
    let mut first = Box::pin(query(&client, "stalls"));
    tokio::select! {
        _ = &mut first => panic!("the fake does not stall"),
        () = fake.wait_for_under_way(1) => {}
    }
    assert_eq!(query(&client, "up").await, Err(Fault::Busy { slots: 1, deadline }));
    drop(first);
    assert!(query(&client, "up").await.is_ok(), "a request that is dropped gives its slot back");
    fake.wait_for_under_way(0).await;
}
