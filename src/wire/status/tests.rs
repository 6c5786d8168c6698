use super::*;

fn resource(text: &str) -> GroupResource {
    GroupResource::parse(text)
}

fn json(status: &Status) -> String {
    String::from_utf8(status.body(Form::Json).to_vec()).unwrap()
}

/// A body with everything between `status` and the end.
fn failure(rest: &str) -> String {
    format!(r#"{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Failure",{rest}}}"#)
        + "\n"
}

fn reader_errors() -> [(Status, &'static str); 9] {
    [
        (
            Status::metric_not_found("x", &resource("pods")),
            r#""message":"the server could not find the metric x for pods","reason":"NotFound","code":404"#,
        ),
        (
            Status::metric_not_found_for("x", &resource("deployments.apps"), "web"),
            r#""message":"the server could not find the metric x for deployments.apps web","reason":"NotFound","code":404"#,
        ),
        (
            Status::external_metric_not_found("x"),
            r#""message":"the server could not find the external metric x","reason":"NotFound","code":404"#,
        ),
        (
            Status::object_not_found(&resource("widgets.example.io"), "w"),
            r#""message":"widgets.example.io \"w\" not found","reason":"NotFound","details":{"name":"w","group":"example.io","kind":"widgets"},"code":404"#,
        ),
        (
            Status::path_not_found(),
            r#""message":"the server could not find the requested resource","reason":"NotFound","code":404"#,
        ),
        (
            Status::bad_request("found '', expected: identifier"),
            r#""message":"found '', expected: identifier","reason":"BadRequest","code":400"#,
        ),
        (
            Status::method_not_allowed("create", &resource("pods.custom.metrics.k8s.io")),
            r#""message":"create is not supported on resources of kind \"pods.custom.metrics.k8s.io\"","reason":"MethodNotAllowed","details":{"group":"custom.metrics.k8s.io","kind":"pods"},"code":405"#,
        ),
        (
            Status::not_acceptable(&["application/json", "application/yaml"]),
            r#""message":"only the following media types are accepted: application/json, application/yaml","reason":"NotAcceptable","code":406"#,
        ),
        (
            Status::expired(),
            r#""message":"The resourceVersion for the provided watch is too old.","reason":"Expired","code":410"#,
        ),
    ]
}

fn transport_errors() -> [(Status, &'static str); 6] {
    let cause = Cause {
        reason: "FieldValueForbidden".to_owned(),
        message: "Forbidden: not with watch".to_owned(),
        field: "sendInitialEvents".to_owned(),
    };
    [
        (
            Status::body_too_large("limit is 1024"),
            r#""message":"Request entity too large: limit is 1024","reason":"RequestEntityTooLarge","code":413"#,
        ),
        (Status::uri_too_long("m"), r#""message":"m","code":414"#),
        (
            Status::invalid(&resource("ListOptions.meta.k8s.io"), "", cause),
            r#""message":"ListOptions.meta.k8s.io \"\" is invalid: sendInitialEvents: Forbidden: not with watch","reason":"Invalid","details":{"group":"meta.k8s.io","kind":"ListOptions","causes":[{"reason":"FieldValueForbidden","message":"Forbidden: not with watch","field":"sendInitialEvents"}]},"code":422"#,
        ),
        (
            Status::internal("m"),
            r#""message":"Internal error occurred: m","reason":"InternalError","details":{"causes":[{"message":"m"}]},"code":500"#,
        ),
        (Status::unavailable("m"), r#""message":"m","reason":"ServiceUnavailable","code":503"#),
        (Status::timeout("m"), r#""message":"Timeout: m","reason":"Timeout","code":504"#),
    ]
}

fn access_errors() -> [(Status, &'static str); 5] {
    let pods = Attempt {
        verb: "get",
        group: "custom.metrics.k8s.io",
        resource: "pods",
        subresource: "http_requests",
        namespace: "default",
        name: "*",
    };
    let queue = Attempt {
        verb: "list",
        group: "external.metrics.k8s.io",
        resource: "queue_depth",
        ..Attempt::default()
    };
    [
        (Status::unauthorized(), r#""message":"Unauthorized","reason":"Unauthorized","code":401"#),
        (
            Status::forbidden("u", &pods, ""),
            r#""message":"pods.custom.metrics.k8s.io \"*\" is forbidden: User \"u\" cannot get resource \"pods/http_requests\" in API group \"custom.metrics.k8s.io\" in the namespace \"default\"","reason":"Forbidden","details":{"name":"*","group":"custom.metrics.k8s.io","kind":"pods"},"code":403"#,
        ),
        (
            Status::forbidden("<b>&", &queue, "no role <x>"),
            r#""message":"queue_depth.external.metrics.k8s.io is forbidden: User \"&lt;b&gt;&amp;\" cannot list resource \"queue_depth\" in API group \"external.metrics.k8s.io\" at the cluster scope: no role <x>","reason":"Forbidden","details":{"group":"external.metrics.k8s.io","kind":"queue_depth"},"code":403"#,
        ),
        (
            Status::forbidden_path("u", "get", "/apis", ""),
            r#""message":"forbidden: User \"u\" cannot get path \"/apis\"","reason":"Forbidden","code":403"#,
        ),
        (
            Status::forbidden_path("u", "get", "/apis", "no role"),
            r#""message":"forbidden: User \"u\" cannot get path \"/apis\": no role","reason":"Forbidden","code":403"#,
        ),
    ]
}

#[test]
fn every_error_has_the_words_of_kubernetes() {
    for (status, expected) in
        reader_errors().into_iter().chain(transport_errors()).chain(access_errors())
    {
        assert_eq!(json(&status), failure(expected));
    }
}

#[test]
fn a_cause_follows_the_message() {
    let status = Status::metric_not_found("x", &resource("pods"))
        .because("no rule serves it; nearest names are xx, xy");
    let text = "the server could not find the metric x for pods: no rule serves it; nearest names \
                are xx, xy";

    assert_eq!(status.to_string(), text);
    assert_eq!(
        json(&status),
        failure(&format!(r#""message":"{text}","reason":"NotFound","code":404"#))
    );
}

#[test]
fn the_answer_says_everywhere_what_the_body_says() {
    for (status, _) in reader_errors().into_iter().chain(transport_errors()).chain(access_errors())
    {
        let response = status.response(Form::PrettyJson);
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        let mut headers: Vec<_> = response
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        headers.sort_unstable();

        assert_eq!(body["code"], response.status().as_u16());
        let mut expected = vec![
            "cache-control: no-cache, private",
            "content-type: application/json",
            "x-content-type-options: nosniff",
        ];
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            expected.insert(0, "allow: GET, HEAD");
        }
        assert_eq!(headers, expected);
    }
}

#[test]
fn a_long_message_is_cut_between_characters() {
    for length in MAX_MESSAGE - 4..MAX_MESSAGE + 4 {
        let message = Status::bad_request("é".repeat(length)).message;
        let caused = Status::bad_request("m").because("é".repeat(length)).message;

        assert!(message.len() <= MAX_MESSAGE && message.ends_with("é…"), "{length}");
        assert!(caused.len() <= MAX_MESSAGE && caused.starts_with("m: é"), "{length}");
    }
    assert_eq!(Status::bad_request("m".repeat(MAX_MESSAGE)).message.len(), MAX_MESSAGE);
}
