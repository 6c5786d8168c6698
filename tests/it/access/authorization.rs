//! What they may.

use http::StatusCode;
use serde_json::{Value, json};

use super::{C2, EXTERNAL, World};
use crate::support::kubernetes::ACCESS_REVIEWS;
use crate::support::plimsoll::wait_until;

const USER: &[(&str, &str)] = &[("X-Remote-User", "u")];

/// What is asked about a request, without what is asked about every one.
async fn attributes(world: &World, method: &str, target: &str) -> Value {
    let before = world.reviewed().len();
    world.aggregator().send(method, target, USER).await;
    let reviews = world.reviewed();
    assert_eq!(reviews.len(), before + 1, "{method} {target}");
    let mut spec = reviews[before].clone();
    let spec = spec.as_object_mut().unwrap();
    assert_eq!(spec.remove("user"), Some(json!("u")));
    assert_eq!(spec.remove("groups"), Some(json!(["system:authenticated"])));
    assert_eq!(spec.len(), 1, "{spec:?}");
    spec.values().next().unwrap().clone()
}

fn custom(attributes: Value) -> Value {
    of_group(attributes, "custom.metrics.k8s.io", "v1beta2")
}

fn external(attributes: Value) -> Value {
    of_group(attributes, "external.metrics.k8s.io", "v1beta1")
}

fn of_group(mut attributes: Value, group: &str, version: &str) -> Value {
    attributes["group"] = json!(group);
    attributes["version"] = json!(version);
    attributes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_53_an_external_metric_is_a_list_of_the_resource_of_its_name() {
    let world = World::start(&[]).await;
    let asked = attributes(&world, "GET", &format!("{EXTERNAL}/namespaces/default/queue")).await;
    let expected = json!({"verb": "list", "namespace": "default", "resource": "queue"});
    assert_eq!(asked, external(expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_97_what_is_reviewed_is_what_the_api_server_would_review() {
    let world = World::start(&[]).await;
    let queue = json!({"verb": "list", "namespace": "default", "resource": "q"});
    let labelled = json!({"requirements": [{"key": "a", "operator": "In", "values": ["b"]}]});
    let named =
        json!({"requirements": [{"key": "metadata.name", "operator": "In", "values": ["z"]}]});
    let with = |key: &str, value: &Value| {
        let mut attributes = queue.clone();
        attributes[key] = value.clone();
        attributes
    };
    let mut by_name = with("fieldSelector", &named);
    by_name["name"] = json!("z");
    let namespace =
        json!({"verb": "get", "namespace": "default", "resource": "namespaces", "name": "default"});
    let mut status = namespace.clone();
    status["subresource"] = json!("status");
    let q = format!("{EXTERNAL}/namespaces/default/q");
    let cases = [
        (
            format!("{C2}/namespaces/default/pods/*/http_requests"),
            custom(json!({"verb": "get", "namespace": "default", "resource": "pods", "name": "*",
                "subresource": "http_requests"})),
        ),
        (
            format!("{C2}/namespaces/default/deployments.apps/web/hits"),
            custom(json!({"verb": "get", "namespace": "default", "resource": "deployments.apps",
                "name": "web", "subresource": "hits"})),
        ),
        (
            format!("{C2}/namespaces/default/metrics/orders"),
            custom(json!({"verb": "get", "namespace": "default", "resource": "metrics",
                "name": "orders"})),
        ),
        (
            format!("{C2}/nodes/n1/load"),
            custom(json!({"verb": "get", "resource": "nodes", "name": "n1",
                "subresource": "load"})),
        ),
        (format!("{q}?labelSelector=a%3Db"), external(with("labelSelector", &labelled))),
        (format!("{q}?watch=true"), external(with("verb", &json!("watch")))),
        (format!("{q}?fieldSelector=metadata.name%3Dz"), external(by_name)),
        (format!("{EXTERNAL}/namespaces/default/status"), external(status)),
        (format!("{EXTERNAL}/namespaces/default"), external(namespace)),
        ("/apis".to_owned(), json!({"path": "/apis", "verb": "get"})),
        (C2.to_owned(), json!({"path": C2, "verb": "get"})),
        ("/openapi/v2".to_owned(), json!({"path": "/openapi/v2", "verb": "get"})),
    ];
    for (target, expected) in cases {
        assert_eq!(attributes(&world, "GET", &target).await, expected, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_98_head_is_get_of_a_resource_and_head_of_a_path() {
    let world = World::start(&[]).await;
    let node = attributes(&world, "HEAD", &format!("{C2}/nodes/n1/load")).await;
    assert_eq!(node["verb"], "get");
    let apis = |verb: &str| json!({"path": "/apis", "verb": verb});
    assert_eq!(attributes(&world, "HEAD", "/apis").await, apis("head"));
    assert_eq!(attributes(&world, "GET", "/apis").await, apis("get"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_99_what_is_denied_is_403_in_kubectls_words_with_the_reason() {
    let world = World::start(&[]).await;
    world.kubernetes.decide(|spec| {
        let is_path = spec.get("nonResourceAttributes").is_some();
        if is_path { json!({"allowed": false}) } else { json!({"denied": true, "reason": "no <" }) }
    });
    let client = world.aggregator();
    let pods = client.get_with(&format!("{C2}/namespaces/default/pods/*/hits"), USER).await;
    let status = pods.json();
    assert_eq!(
        [&status["kind"], &status["reason"], &status["code"]],
        [&json!("Status"), &json!("Forbidden"), &json!(403)]
    );
    let messages = [
        pods.message(),
        client.get_with(&format!("{C2}/nodes/n1/load"), USER).await.message(),
        client.get_with(&format!("{EXTERNAL}/namespaces/a/q"), USER).await.message(),
        client.get_with("/apis", USER).await.message(),
    ];
    assert_eq!(
        messages,
        [
            "pods.custom.metrics.k8s.io \"*\" is forbidden: User \"u\" cannot get resource \
             \"pods/hits\" in API group \"custom.metrics.k8s.io\" in the namespace \"default\": \
             no <",
            "nodes.custom.metrics.k8s.io \"n1\" is forbidden: User \"u\" cannot get resource \
             \"nodes/load\" in API group \"custom.metrics.k8s.io\" at the cluster scope: no <",
            "q.external.metrics.k8s.io is forbidden: User \"u\" cannot list resource \"q\" in API \
             group \"external.metrics.k8s.io\" in the namespace \"a\": no <",
            "forbidden: User \"u\" cannot get path \"/apis\"",
        ]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denial_wins_over_a_permission_of_the_same_review_and_silence_is_a_denial() {
    let world = World::start(&[]).await;
    let client = world.aggregator();
    world.kubernetes.decide(|_| json!({"allowed": true, "denied": true}));
    assert_eq!(client.get_with("/apis", USER).await.status, 500);
    world.kubernetes.decide(|_| json!({"allowed": false, "evaluationError": "x"}));
    assert_eq!(client.get_with("/apis", USER).await.status, 403);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_100_without_a_verdict_it_is_500_and_a_kept_verdict_serves() {
    let world = World::start(&["--authorization-webhook-cache-authorized-ttl=10m"]).await;
    let client = world.aggregator();
    assert_eq!(client.get_with("/apis", USER).await.status, 200);
    world.kubernetes.fail_path(ACCESS_REVIEWS, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(client.get_with("/apis", USER).await.status, 200);
    let answer = client.get_with("/openapi/v2", USER).await;
    assert_eq!(
        (answer.status, answer.message().as_str(), answer.header("retry-after")),
        (
            500,
            "Internal error occurred: no verdict of a SubjectAccessReview: the API server \
             answered 503: the server is currently unable to handle the request",
            ""
        )
    );
    world.kubernetes.fail_path(ACCESS_REVIEWS, None);
    assert_eq!(client.get_with("/openapi/v2", USER).await.status, 200, "an error is not kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_api_server_that_fails_in_passing_is_asked_again() {
    let world = World::start(&[]).await;
    world.kubernetes.fail_path(ACCESS_REVIEWS, Some(StatusCode::INTERNAL_SERVER_ERROR));
    let client = world.aggregator();
    let request = client.get_with("/apis", USER);
    let mend = async {
        let asked = async || !world.kubernetes.requests(ACCESS_REVIEWS).is_empty();
        wait_until("a review is asked for", asked).await;
        world.kubernetes.fail_path(ACCESS_REVIEWS, None);
    };
    let (answer, ()) = tokio::join!(request, mend);
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_101_verdicts_are_kept_for_their_time() {
    let long = World::start(&[]).await;
    for _ in 0..5 {
        assert_eq!(long.aggregator().get_with("/apis", USER).await.status, 200);
    }
    assert_eq!(long.reviewed().len(), 1);
    long.aggregator().get_with("/apis", &[("X-Remote-User", "v")]).await;
    assert_eq!(long.reviewed().len(), 2, "a verdict is on one subject alone");

    let short = World::start(&[
        "--authorization-webhook-cache-authorized-ttl=100ms",
        "--authorization-webhook-cache-unauthorized-ttl=100ms",
    ])
    .await;
    for allowed in [true, false] {
        short.kubernetes.decide(move |_| json!({"allowed": allowed}));
        let status = if allowed { 200 } else { 403 };
        let before = short.reviewed().len();
        wait_until("it is reviewed again", async || {
            short.aggregator().get_with("/apis", USER).await.status == status
                && short.reviewed().len() > before + 1
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_102_masters_are_not_reviewed() {
    let world = World::start(&[]).await;
    world.kubernetes.decide(|_| json!({"denied": true}));
    let masters = &[("X-Remote-User", "u"), ("X-Remote-Group", "system:masters")];
    assert_eq!(world.aggregator().get_with(C2, masters).await.status, 200);
    assert_eq!(world.reviewed(), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_103_health_is_open_and_nothing_else_is() {
    let world = World::start(&[]).await;
    world.kubernetes.decide(|_| json!({"allowed": false}));
    for path in ["/healthz", "/livez", "/readyz", "/readyz?verbose"] {
        let with_bad_token = world.nobody().get_with(path, &[("Authorization", "Bearer x")]).await;
        assert_eq!(world.nobody().get(path).await.status, 200, "{path}");
        assert_eq!(with_bad_token.status, 200, "{path}");
    }
    assert_eq!(world.reviewed(), Vec::<Value>::new());
    let closed = ["/readyz/x", "/readyz/", "/metrics", "/version", "/", "//healthz", "/apis/x"];
    for (number, path) in closed.into_iter().enumerate() {
        assert_eq!(world.nobody().get(path).await.status, 403, "{path}");
        assert_eq!(world.reviewed().len(), number + 1, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_list_of_open_paths_is_a_flag() {
    let world = World::start(&["--authorization-always-allow-paths=/readyz,/open*"]).await;
    world.kubernetes.decide(|_| json!({"allowed": false}));
    let statuses = [
        world.nobody().get("/openapi/v2").await.status,
        world.nobody().get("/readyz").await.status,
        world.nobody().get("/healthz").await.status,
    ];
    assert_eq!(statuses, [200, 200, 403]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_104_the_label_selector_of_a_list_is_reviewed() {
    let world = World::start(&[]).await;
    let target = format!("{EXTERNAL}/namespaces/a/q?labelSelector=b+notin+%28y%2Cx%29%2Ca%21%3D1");
    let asked = attributes(&world, "GET", &target).await;
    let expected = json!({"requirements": [
        {"key": "a", "operator": "NotIn", "values": ["1"]},
        {"key": "b", "operator": "NotIn", "values": ["x", "y"]},
    ]});
    assert_eq!(asked["labelSelector"], expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_authorized_as_something_else_is_not_served_as_a_metric() {
    let world = World::start(&[]).await;
    let paths = [
        format!("{EXTERNAL}/namespaces/default/status"),
        format!("{EXTERNAL}/namespaces/default/finalize"),
        format!("{C2}/namespaces/default/status/x/hits"),
        format!("{C2}/watch/x/hits"),
        format!("{C2}/proxy/x/hits"),
    ];
    for path in paths {
        assert_eq!(world.aggregator().get_with(&path, USER).await.status, 404, "{path}");
    }
    let watch = format!("{EXTERNAL}/namespaces/default/q?watch=yes");
    assert_eq!(world.aggregator().get_with(&watch, USER).await.status, 405);
}

/// The account of the HPA controller, and another that asks as much.
const AUTOSCALER: &[(&str, &str)] =
    &[("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler")];

/// Asks for an external metric in so many namespaces; the statuses that come of it.
async fn ask_in_namespaces(world: &World, who: &[(&str, &str)], count: usize) -> Vec<u16> {
    let client = world.aggregator();
    let mut statuses = Vec::new();
    for namespace in 0..count {
        let path = format!("{EXTERNAL}/namespaces/team-{namespace}/queue");
        statuses.push(client.get_with(&path, who).await.status);
    }
    statuses
}

fn namespaces(reviews: &[Value]) -> Vec<Option<&str>> {
    reviews.iter().map(|spec| spec["resourceAttributes"]["namespace"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hpa_controller_that_may_everywhere_is_reviewed_once_for_all_namespaces() {
    let world = World::start(&["--authorization-webhook-cache-authorized-ttl=10m"]).await;
    let statuses = ask_in_namespaces(&world, AUTOSCALER, 30).await;
    assert!(!statuses.contains(&403), "{statuses:?}");
    assert_eq!(namespaces(&world.reviewed()), [None]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hpa_controller_that_may_not_everywhere_is_reviewed_in_each_namespace() {
    let world = World::start(&["--authorization-webhook-cache-unauthorized-ttl=10m"]).await;
    world.kubernetes.decide(|spec| {
        let namespace = spec["resourceAttributes"]["namespace"].as_str();
        json!({"allowed": namespace.is_some_and(|namespace| namespace != "team-29")})
    });
    let statuses = ask_in_namespaces(&world, AUTOSCALER, 30).await;
    let denied: Vec<_> = (0..).zip(&statuses).filter(|(_, status)| **status == 403).collect();
    assert_eq!(denied, [(29, &403)]);
    let reviews = world.reviewed();
    assert_eq!(namespaces(&reviews).iter().filter(|namespace| namespace.is_none()).count(), 1);
    assert_eq!(reviews.len(), 31);
}

/// An authorizer that knows more than roles may refuse one namespace to who is allowed everywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_else_is_let_in_by_what_is_allowed_everywhere() {
    let world = World::start(&["--authorization-webhook-cache-authorized-ttl=10m"]).await;
    world.kubernetes.decide(|spec| {
        let namespace = spec["resourceAttributes"]["namespace"].as_str();
        json!({"allowed": namespace != Some("team-29")})
    });
    let statuses = ask_in_namespaces(&world, USER, 30).await;
    assert_eq!(statuses.last(), Some(&403), "{statuses:?}");
    assert_eq!(world.reviewed().len(), 30);
}
