//! What is answered to the reviews of an API server.

use super::{post, review, start, verdict};

const UID: &str = "705ab4f5-6393-11e8-b7cc-42010a800002";

#[tokio::test]
async fn a_good_workload_passes_without_a_word() {
    let plimsoll = start().await;
    let answer = post(&plimsoll, "/validate?timeout=2s", review().to_string()).await;
    let response = verdict(&answer, UID, false, "good");
    assert_eq!(response["allowed"], true);
    assert!(response.get("warnings").is_none(), "{response}");
}
