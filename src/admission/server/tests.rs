use http_body_util::StreamBody;
use hyper::body::Frame;
use serde_json::{Value, json};

use super::*;

const REVIEW: &str = r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview",
    "request":{"uid":"u1","operation":"CREATE","object":{"kind":"Pod"}}}"#;

fn server<J: Judge>(judge: J) -> Server<J> {
    Server::new(judge, Health::new(), Arc::new(Metrics::new()))
}

fn fine(_: &review::Request<'_>, _: Webhook) -> Verdict {
    Verdict::default()
}

fn post(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let request = Request::post(target).header(CONTENT_TYPE, JSON);
    request.body(Full::new(body.into())).unwrap()
}

async fn ask<J: Judge, B>(server: &Server<J>, request: Request<B>) -> (u16, String)
where
    B: Body<Data = Bytes> + Unpin,
{
    let response = server.answer(request).await;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

fn response(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["response"].take()
}

#[tokio::test]
async fn a_judge_that_panics_lets_the_request_through_and_says_so() {
    let server = server(|_: &review::Request<'_>, _| panic!("out of cheese"));
    let (status, body) = ask(&server, post("/validate?timeout=2s", REVIEW)).await;
    let warning = "plimsoll: not judged: a bug, which the log of the webhook tells of";
    let expected = json!({"uid": "u1", "allowed": true, "warnings": [warning]});
    assert_eq!((status, response(&body)), (200, expected));
    let metrics = server.metrics.encode();
    assert!(metrics.contains("plimsoll_panics_total 1"), "{metrics}");
    let counted = r#"plimsoll_admission_reviews_total{webhook="validate",outcome="failed"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[tokio::test]
async fn a_large_review_that_takes_too_long_is_let_through_in_time() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let held = std::sync::Mutex::new(held);
    let server = server(move |_: &review::Request<'_>, _| {
        let _until_the_end = held.lock().unwrap().recv();
        Verdict::default()
    });
    let mut large: Value = serde_json::from_str(REVIEW).unwrap();
    large["request"]["object"]["data"] = Value::from("x".repeat(LARGE));
    let began = std::time::Instant::now();
    let (status, body) = ask(&server, post("/validate?timeout=50ms", large.to_string())).await;
    drop(release);
    let warning = "plimsoll: not judged: there was no time left";
    let expected = json!({"uid": "u1", "allowed": true, "warnings": [warning]});
    assert_eq!((status, response(&body)), (200, expected));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_ends_is_given_up_within_the_time() {
    let server = server(fine);
    let frames = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
    let request = Request::post("/validate?timeout=1s").header(CONTENT_TYPE, JSON);
    let request = request.body(StreamBody::new(frames)).unwrap();
    let began = Instant::now();
    let answer = ask(&server, request).await;
    assert_eq!(answer, (408, "the review did not arrive in time\n".to_owned()));
    assert_eq!(began.elapsed().as_millis(), 900);
}

#[tokio::test]
async fn one_review_too_many_is_refused_at_once() {
    let server = server(fine);
    let all = server.reviews.acquire_many(u32::try_from(MAX_REVIEWS).unwrap()).await.unwrap();
    let busy = (429, "too many reviews at one time\n".to_owned());
    assert_eq!(ask(&server, post("/validate", REVIEW)).await, busy);
    drop(all);
    assert_eq!(ask(&server, post("/validate", REVIEW)).await.0, 200);
    let bytes = server.buffered.acquire_many(u32::try_from(MAX_BUFFERED).unwrap()).await.unwrap();
    assert_eq!(ask(&server, post("/validate", REVIEW)).await, busy);
    drop(bytes);
    assert_eq!(ask(&server, post("/validate", REVIEW)).await.0, 200);
}

#[tokio::test]
async fn a_body_in_many_pieces_is_put_together() {
    let server = server(fine);
    let pieces: Vec<_> = REVIEW.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    let frames = pieces.into_iter().map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    let request = Request::post("/validate").header(CONTENT_TYPE, JSON);
    let request = request.body(StreamBody::new(futures_util::stream::iter(frames))).unwrap();
    let (status, body) = ask(&server, request).await;
    assert_eq!((status, response(&body)), (200, json!({"uid": "u1", "allowed": true})));
}

#[test]
fn the_time_is_what_the_api_server_has_left_less_a_tenth() {
    let cases = [
        ("timeout=2s", 1800),
        ("timeout=1m0s", 27_000),
        ("timeout=1s&timeout=5s", 900),
        ("", 9000),
        ("timeout=", 9000),
        ("timeout=0s", 9000),
        ("timeout=-1s", 9000),
        ("timeout=soon", 9000),
        ("timeout=9999999999999h", 9000),
    ];
    for (query, expected) in cases {
        assert_eq!(time_to_answer(query).as_millis(), expected, "{query}");
    }
}
