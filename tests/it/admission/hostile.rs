//! The 94 hostile inputs: those of `tests/data/admission/hostile.yaml`, and here what no file can
//! say.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{merge, post, review, start, verdict};
use crate::support::plimsoll::{Plimsoll, wait_until};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    number: u32,
    name: String,
    body: Option<String>,
    request: Option<Value>,
    pod: Option<Value>,
    container: Option<Value>,
    status: Option<u16>,
    allowed: Option<bool>,
}

impl Case {
    fn body(&self) -> (String, String) {
        if let Some(body) = &self.body {
            let uid = serde_json::from_str::<Value>(body)
                .map_or_else(|_| Value::from("u"), |review| review["request"]["uid"].clone());
            return (body.clone(), uid.as_str().unwrap_or_default().to_owned());
        }
        let mut review = review();
        let containers = "/request/object/spec/template/spec/containers/0";
        if let (Some(patch), Some(target)) = (&self.container, review.pointer_mut(containers)) {
            merge(target, patch);
        }
        if let Some(patch) = &self.pod {
            merge(&mut review["request"]["object"]["spec"]["template"]["spec"], patch);
        }
        if let Some(patch) = &self.request {
            merge(&mut review["request"], patch);
        }
        let uid = review["request"]["uid"].as_str().unwrap_or_default().to_owned();
        (review.to_string(), uid)
    }
}

fn cases() -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/admission/hostile.yaml");
    serde_saphyr::from_str(&fs::read_to_string(path).unwrap()).unwrap()
}

#[tokio::test]
async fn each_odd_review_gets_a_verdict_or_a_refusal_from_both_webhooks() {
    let plimsoll = start().await;
    let mut wrong = Vec::new();
    for case in cases() {
        let (body, uid) = case.body();
        for webhook in ["/validate", "/mutate"] {
            let name = format!("{} {} at {webhook}", case.number, case.name);
            let answer = post(&plimsoll, &format!("{webhook}?timeout=2s"), body.clone()).await;
            match case.status {
                Some(status) if answer.status == status => assert!(!answer.body.is_empty()),
                Some(status) => wrong.push(format!("{name}: {} and not {status}", answer.status)),
                None => {
                    let response = verdict(&answer, &uid, webhook == "/mutate", &name);
                    if case.allowed.is_some_and(|allowed| response["allowed"] != allowed) {
                        wrong.push(format!("{name}: {response}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!plimsoll.log().iter().any(|line| line["message"].to_string().contains("panic")));
}

#[test]
fn the_file_has_every_number_but_those_that_are_written_out_here() {
    let written_out = [15, 77].into_iter().collect::<BTreeSet<u32>>();
    let in_file: BTreeSet<u32> = cases().iter().map(|case| case.number).collect();
    let expected: BTreeSet<u32> =
        (13..=76).chain([78]).filter(|n| !written_out.contains(n)).collect();
    assert_eq!(in_file, expected);
}

/// A head and what follows, as bytes; the status of the answer, 0 where the connection ends.
async fn raw(plimsoll: &Plimsoll, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = plimsoll.admission_client().connect(&[b"http/1.1"]).await;
    let head = head.replace('\n', "\r\n");
    stream.write_all(format!("{head}\r\n\r\n").as_bytes()).await.unwrap();
    // A server that has answered need not read on.
    let _refused = stream.write_all(body).await;
    let mut answer = Vec::new();
    let _cut = stream.read_to_end(&mut answer).await;
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, text)
}

#[tokio::test]
async fn requests_that_are_no_reviews_are_refused_by_their_head() {
    let plimsoll = start().await;
    let body = review().to_string();
    let json = "content-type: application/json";
    let host = "host: plimsoll\nconnection: close";
    let length = format!("content-length: {}", body.len());
    let cases = [
        (1, format!("GET /validate HTTP/1.1\n{host}"), 405),
        (1, format!("PUT /validate HTTP/1.1\n{host}\n{json}\n{length}"), 405),
        (2, format!("POST /validate HTTP/1.1\n{host}\n{length}"), 415),
        (2, format!("POST /validate HTTP/1.1\n{host}\ncontent-type: text/plain\n{length}"), 415),
        (2, format!("POST /validate HTTP/1.1\n{host}\n{json}; charset=utf-8\n{length}"), 200),
        (3, format!("POST /validate HTTP/1.1\n{host}\n{json}\ncontent-length: 8388609"), 413),
        (
            5,
            format!("POST /validate HTTP/1.1\n{host}\n{json}\ncontent-encoding: gzip\n{length}"),
            415,
        ),
        (10, format!("POST / HTTP/1.1\n{host}\n{json}\n{length}"), 404),
        (10, format!("POST /validate/ HTTP/1.1\n{host}\n{json}\n{length}"), 404),
        (10, format!("POST /convert HTTP/1.1\n{host}\n{json}\n{length}"), 404),
        (12, format!("GET /healthz HTTP/1.1\n{host}"), 200),
        (12, format!("GET /livez HTTP/1.1\n{host}"), 200),
        (12, format!("GET /readyz HTTP/1.1\n{host}"), 200),
    ];
    for (number, head, status) in cases {
        let (answered, text) = raw(&plimsoll, &head, body.as_bytes()).await;
        assert_eq!(answered, status, "{number} {head}: {text}");
    }
    for timeout in ["", "0", "0s", "-1s", "1m0s", "soon", "1s&timeout=2s", "9999999999h", "%ff"] {
        let answer = post(&plimsoll, &format!("/validate?timeout={timeout}"), body.clone()).await;
        assert_eq!(answer.status, 200, "9 {timeout}");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_or_does_not_end_costs_nobody_else_anything() {
    let plimsoll = start().await;
    let head = "POST /validate?timeout=1s HTTP/1.1\nhost: plimsoll\nconnection: close\n\
        content-type: application/json";
    let (status, _) = raw(&plimsoll, &format!("{head}\ncontent-length: 100"), b"{").await;
    assert_eq!(status, 408, "4 a body that is too short");
    let (status, _) =
        raw(&plimsoll, &format!("{head}\ntransfer-encoding: chunked"), b"5\r\n{").await;
    assert_eq!(status, 408, "4 chunks without an end");
    let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
    let head = head.replace("1s", "20s");
    let (status, _) =
        raw(&plimsoll, &format!("{head}\ntransfer-encoding: chunked"), &chunk.repeat(9)).await;
    assert_eq!(status, 413, "3 more chunks than fit");
    // 6: half of a handshake, and 7: something that is no TLS at all.
    let address = plimsoll.admission;
    let mut half_open = Vec::new();
    for _ in 0..50 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        half_open.push(stream);
    }
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"POST /validate HTTP/1.1\r\n\r\n").await.unwrap();
    plain.read_to_end(&mut Vec::new()).await.unwrap();
    // 8: a client that goes away with its question half asked.
    let client = plimsoll.admission_client();
    let mut gone = client.connect(&[b"http/1.1"]).await;
    gone.write_all(b"POST /validate HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n").await.unwrap();
    drop(gone);
    let answer = post(&plimsoll, "/validate", review().to_string()).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn depth_and_size_are_bounded_and_judged_in_time() {
    let plimsoll = start().await;
    let uid = "705ab4f5-6393-11e8-b7cc-42010a800002";
    // 15: thousands of levels in a field that nobody reads, in the object and in the review.
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let good = review().to_string();
    let in_object = good.replacen(r#""replicas":2"#, &format!(r#""replicas":{}"#, deep(20_000)), 1);
    let ignored = good.replacen(r#""replicas":2"#, &format!(r#""what":{}"#, deep(100_000)), 1);
    let in_envelope =
        good.replacen(r#""dryRun":false"#, &format!(r#""dryRun":{}"#, deep(100_000)), 1);
    for (name, body) in [("object", in_object), ("ignored", ignored), ("envelope", in_envelope)] {
        assert_ne!(body, good, "{name}");
        let answer = post(&plimsoll, "/validate", body).await;
        verdict(&answer, uid, false, &format!("15 {name}"));
    }
    // 77: 1,000 containers with 10,000 variables, and 92: each with something wrong.
    let mut large = review();
    let containers = (0..1000).map(|n| json!({"name": format!("c{n}"), "image": "a"}));
    let pod = &mut large["request"]["object"]["spec"]["template"]["spec"];
    pod["containers"] = containers.collect();
    let variables = (0..10_000).map(|n| json!({"name": format!("V{n}"), "value": "x".repeat(120)}));
    pod["containers"][0]["env"] = variables.collect();
    let body = large.to_string();
    assert!(body.len() > 1_400_000);
    let answer = post(&plimsoll, "/validate?timeout=20s", body).await;
    let response = verdict(&answer, uid, false, "77 and 92");
    let message = response["status"]["message"].as_str().unwrap_or_default();
    assert!(message.len() <= 16 << 10, "{}", message.len());
    // 35: 256 KiB of annotations; as much as is taken at all.
    let mut padded = review();
    padded["request"]["object"]["metadata"]["annotations"]["a"] = "x".repeat(256 << 10).into();
    verdict(&post(&plimsoll, "/validate", padded.to_string()).await, uid, false, "35");
    let room = (8 << 20) - padded.to_string().len();
    padded["request"]["oldObject"] = json!({"pad": "x".repeat(room - 20)});
    verdict(&post(&plimsoll, "/validate?timeout=20s", padded.to_string()).await, uid, false, "3");
}

#[tokio::test]
async fn escape_sequences_reach_no_terminal() {
    let plimsoll = start().await;
    let mut odd = review();
    let mut name = "\u{1b}[31m\r\n\u{7}\u{202e}".to_owned();
    write!(name, "{}", "é".repeat(300)).unwrap();
    odd["request"]["name"] = name.clone().into();
    odd["request"]["object"]["spec"]["template"]["spec"]["containers"] = json!([{"name": name}]);
    for namespace in ["shop", "lab"] {
        odd["request"]["namespace"] = namespace.into();
        let answer = post(&plimsoll, "/validate", odd.to_string()).await;
        verdict(&answer, "705ab4f5-6393-11e8-b7cc-42010a800002", false, "91");
        // In a fragment to paste they stand as the letters of their escape.
        assert!(!answer.text().contains('\u{202e}'), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_last_good_one_in_force() {
    let config = "admission: {}\n";
    let flags = ["--config-poll-interval=50ms"];
    let plimsoll = Plimsoll::start(crate::support::plimsoll::Start {
        config,
        objects: super::OBJECTS,
        prometheus: "http://127.0.0.1:9",
        flags: &flags,
        ..Default::default()
    })
    .await;
    plimsoll.replace("config.yaml", "admission: {rules: 17}\n");
    wait_until("the change is refused", async || {
        let log = plimsoll.log();
        log.iter().any(|line| line["message"].to_string().contains("last good one stays"))
    })
    .await;
    let answer = post(&plimsoll, "/validate", review().to_string()).await;
    verdict(&answer, "705ab4f5-6393-11e8-b7cc-42010a800002", false, "86");
}
