use serde_json::{Value, json};

use super::*;

fn review(request: &str) -> String {
    format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{request}}}"#
    )
}

#[test]
fn a_request_is_read_without_what_nobody_looks_at() {
    let body = review(
        r#"{"uid":"u","kind":{"group":"apps","version":"v1","kind":"Deployment"},
        "resource":{"group":"apps","version":"v1","resource":"deployments"},
        "name":"a\"b","namespace":"shop","operation":"UPDATE","new":{"a":[1]},
        "userInfo":{"username":"jane","groups":["g"],"extra":{"a":["b"]}},
        "object":{"b":1},"oldObject":null,"dryRun":"perhaps","subResource":null}"#,
    );
    let request = parse(body.as_bytes()).unwrap();
    assert_eq!((&*request.uid, &*request.name, &*request.namespace), ("u", "a\"b", "shop"));
    assert!(matches!(request.uid, Cow::Borrowed(_)) && matches!(request.name, Cow::Owned(_)));
    assert_eq!(request.kind.unwrap().kind, "Deployment");
    assert_eq!(request.resource.unwrap().resource, "deployments");
    assert_eq!(request.user_info.unwrap().username, "jane");
    assert_eq!((&*request.operation, &*request.sub_resource), ("UPDATE", ""));
    assert_eq!(request.object.map(RawValue::get), Some(r#"{"b":1}"#));
    assert!(request.old_object.is_none());
}

#[test]
fn what_has_a_uid_can_be_answered_however_odd_the_rest_is() {
    let error = parse(review(r#"{"uid":"u","kind":"Deployment"}"#).as_bytes()).unwrap_err();
    assert!(matches!(&error, ReviewError::Malformed { uid, .. } if uid == "u"), "{error}");
    let nested = review(&format!(r#"{{"uid":"u","userInfo":{}1}}"#, "[".repeat(50_000)));
    assert!(matches!(parse(nested.as_bytes()), Err(ReviewError::Unreadable(_))));
}

#[test]
fn a_denial_is_what_the_api_server_makes_an_error_of() {
    let answer = Answer {
        denial: Some(Denial {
            message: "no".to_owned(),
            causes: vec![Cause {
                reason: "FieldValueRequired",
                message: "is missing".to_owned(),
                field: "spec.x".to_owned(),
            }],
        }),
        warnings: vec!["careful".to_owned()],
        audit_annotations: BTreeMap::from([("rules".to_owned(), "a".to_owned())]),
        patch: Some(b"[{}]".to_vec()),
    };
    let subject = Subject { name: "cart", group: "apps", resource: "deployments" };
    let body: Value = serde_json::from_slice(&answer.encode("u", &subject)).unwrap();
    let expected = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": {
            "uid": "u",
            "allowed": false,
            "status": {
                "status": "Failure",
                "message": "no",
                "reason": "Forbidden",
                "details": {
                    "name": "cart",
                    "group": "apps",
                    "kind": "deployments",
                    "causes": [
                        {"reason": "FieldValueRequired", "message": "is missing", "field": "spec.x"},
                    ],
                },
                "code": 403,
            },
            "warnings": ["careful"],
            "auditAnnotations": {"rules": "a"},
        },
    });
    assert_eq!(body, expected);
    let patched = Answer { patch: Some(b"[{}]".to_vec()), ..Answer::default() };
    let body: Value = serde_json::from_slice(&patched.encode("u", &subject)).unwrap();
    let expected =
        json!({"uid": "u", "allowed": true, "patch": "W3t9XQ==", "patchType": "JSONPatch"});
    assert_eq!(body["response"], expected);
}
