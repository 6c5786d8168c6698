//! Who asks.

use http::StatusCode;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, KeyPair, date_time_ymd,
};
use serde_json::{Value, json};

use super::{EXTERNAL, World, published, published_but, review};
use crate::support::kubernetes::TOKEN_REVIEWS;
use crate::support::pki::{Authority, Pair};
use crate::support::plimsoll::wait_until;

const ADMIN: &[(&str, &str)] = &[
    ("X-Remote-User", "admin"),
    ("X-Remote-Group", "system:masters"),
    ("X-Remote-Uid", "0"),
    ("X-Remote-Extra-Scopes", "all"),
];

const USER: &[(&str, &str)] = &[("X-Remote-User", "u")];

fn anonymous() -> Value {
    review("system:anonymous", &["system:unauthenticated"])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_5_the_aggregator_without_a_group_is_in_the_group_of_the_authenticated() {
    let world = World::start(&[]).await;
    world
        .kubernetes
        .decide(|spec| json!({"allowed": spec["groups"] == json!(["system:authenticated"])}));
    let headers = &[("X-Remote-User", "system:kube-aggregator"), ("Accept", "application/json")];
    let asked = world.ask(&world.aggregator(), headers).await;
    assert_eq!(asked, (200, review("system:kube-aggregator", &["system:authenticated"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_80_no_credential_is_anonymous_and_denied_with_403() {
    let world = World::start(&[]).await;
    world.kubernetes.decide(|_| json!({"allowed": false}));
    assert_eq!(world.ask(&world.nobody(), &[]).await, (403, anonymous()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_81_a_user_header_without_a_certificate_is_nobodys() {
    let world = World::start(&["-v=10"]).await;
    assert_eq!(world.ask(&world.nobody(), ADMIN).await, (200, anonymous()));
    let log = serde_json::to_string(&world.plimsoll.log()).unwrap();
    assert!(!log.contains("\"admin\"") && !log.contains("system:masters"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_82_a_user_header_with_a_users_certificate_is_that_users() {
    let world = World::start(&[]).await;
    let (status, mut asked) = world.ask(&world.bob(), ADMIN).await;
    let credential = asked["extra"]["authentication.kubernetes.io/credential-id"][0].take();
    let credential = credential.as_str().unwrap();
    assert!(credential.starts_with("X509SHA256=") && credential.len() == 75, "{credential}");
    asked.as_object_mut().unwrap().remove("extra");
    assert_eq!((status, asked), (200, review("bob", &["ops", "system:authenticated"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_83_a_front_proxy_has_to_have_an_allowed_name_unless_any_is_allowed() {
    let world = World::start(&[]).await;
    let other = world.with(&world.front_proxy.client("other", "", |_| ()));
    let longer = world.with(&world.front_proxy.client("front-proxy-client2", "", |_| ()));
    let upper = world.with(&world.front_proxy.client("Front-Proxy-Client", "", |_| ()));
    for client in [&other, &longer, &upper] {
        assert_eq!(world.ask(client, USER).await, (401, Value::Null));
    }
    world.publish(&published_but(&world, "requestheader-allowed-names", "[]"), "success").await;
    assert_eq!(world.ask(&other, USER).await, (200, review("u", &["system:authenticated"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_84_a_front_proxy_that_names_no_user_is_refused() {
    let world = World::start(&[]).await;
    let client = world.aggregator();
    let nameless: [&[(&str, &str)]; 3] =
        [&[], &[("X-Remote-Group", "system:masters")], &[("X-Remote-User", "")]];
    for headers in nameless {
        assert_eq!(world.ask(&client, headers).await, (401, Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_85_a_certificate_that_cannot_be_verified_is_refused_after_its_handshake() {
    let world = World::start(&[]).await;
    let front_proxy = |change: &dyn Fn(&mut CertificateParams)| {
        world.front_proxy.client("front-proxy-client", "system:masters", change)
    };
    let stranger = Authority::new();
    let forgeries = [
        ("expired", front_proxy(&|params| params.not_after = date_time_ymd(2020, 1, 1))),
        ("not valid yet", front_proxy(&|params| params.not_before = date_time_ymd(2999, 1, 1))),
        (
            "for servers",
            front_proxy(&|params| {
                params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            }),
        ),
        (
            "an authority itself",
            front_proxy(&|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            }),
        ),
        ("self-signed", self_signed("front-proxy-client")),
        ("of another authority", stranger.client("front-proxy-client", "system:masters", |_| ())),
    ];
    for (name, forgery) in &forgeries {
        let client = world.with(forgery);
        assert_eq!(world.ask(&client, USER).await, (401, Value::Null), "{name}");
        assert_eq!(client.get_http2(EXTERNAL).await.status, 401, "{name}");
    }
}

/// A certificate for clients that vouches for itself.
fn self_signed(common_name: &str) -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Pair { cert: params.self_signed(&key).unwrap().pem(), key: key.serialize_pem() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_a_client_signed_with_its_own_is_refused() {
    let world = World::start(&[]).await;
    // Certificates in between are the client's to show, and only an authority may sign.
    for authority in [&world.users, &world.front_proxy] {
        let mallory = authority.subordinate("mallory", false);
        let forged = mallory.client("front-proxy-client", "system:masters", |_| ());
        let chain = Pair { cert: forged.cert + &mallory.pem, key: forged.key };
        assert_eq!(world.ask(&world.with(&chain), USER).await, (401, Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chain_with_an_authority_in_between_is_accepted() {
    let world = World::start(&[]).await;
    let between = world.front_proxy.subordinate("between", true);
    let leaf = between.client("front-proxy-client", "", |_| ());
    let alone = Pair { cert: leaf.cert.clone(), key: leaf.key.clone() };
    let chain = Pair { cert: leaf.cert + &between.pem, key: leaf.key };
    assert_eq!(world.ask(&world.with(&alone), USER).await, (401, Value::Null));
    let asked = world.ask(&world.with(&chain), USER).await;
    assert_eq!(asked, (200, review("u", &["system:authenticated"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_86_groups_and_extra_come_in_several_headers_and_encoded() {
    let world = World::start(&[]).await;
    let headers = &[
        ("X-Remote-User", "jane"),
        ("X-Remote-Group", "g1"),
        ("X-Remote-Group", "g2"),
        ("X-Remote-Extra-Acme.com%2fproject", "p1"),
        ("X-Remote-Extra-Acme.com%2fproject", "p2"),
    ];
    let mut expected = review("jane", &["g1", "g2", "system:authenticated"]);
    expected["extra"] = json!({"acme.com/project": ["p1", "p2"]});
    assert_eq!(world.ask(&world.aggregator(), headers).await, (200, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_87_an_extra_key_with_a_broken_encoding_stays_as_it_is() {
    let world = World::start(&[]).await;
    let headers = &[("X-Remote-User", "jane"), ("X-Remote-Extra-Bad%zz", "v")];
    let (_, asked) = world.ask(&world.aggregator(), headers).await;
    assert_eq!(asked["extra"], json!({"bad%zz": ["v"]}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_88_the_uid_counts_only_where_the_cluster_names_its_header() {
    let world = World::start(&[]).await;
    let headers = &[("X-Remote-User", "jane"), ("X-Remote-Uid", "u-1")];
    assert_eq!(world.ask(&world.aggregator(), headers).await.1["uid"], Value::Null);
    let data = published_but(&world, "requestheader-uid-headers", r#"["X-Remote-Uid"]"#);
    world.publish(&data, "success").await;
    assert_eq!(world.ask(&world.aggregator(), headers).await.1["uid"], "u-1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_89_headers_have_the_names_that_the_cluster_says() {
    let world = World::start(&[]).await;
    let data = published_but(&world, "requestheader-username-headers", r#"["X-My-User"]"#);
    world.publish(&data, "success").await;
    let client = world.aggregator();
    assert_eq!(world.ask(&client, USER).await, (401, Value::Null));
    let headers = &[("X-My-User", "jane"), ("X-Remote-User", "admin")];
    assert_eq!(world.ask(&client, headers).await.1["user"], "jane");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_94_the_verdict_on_a_token_is_kept_for_its_time() {
    let long = World::start(&[]).await;
    let short = World::start(&["--authentication-token-webhook-cache-ttl=100ms"]).await;
    let extra = json!({"authentication.kubernetes.io/node-name": ["n1"]});
    let user = json!({"username": "sa", "uid": "1", "groups": ["g"], "extra": extra});
    let bearer = &[("Authorization", "Bearer good")];
    for world in [&long, &short] {
        world.kubernetes.add_token("good", user.clone());
    }
    let (status, asked) = long.ask(&long.nobody(), bearer).await;
    let mut expected = review("sa", &["g", "system:authenticated"]);
    expected["uid"] = json!("1");
    expected["extra"] = extra;
    assert_eq!((status, asked), (200, expected));
    for _ in 0..5 {
        assert_eq!(long.ask(&long.nobody(), bearer).await.0, 200);
    }
    assert_eq!(long.kubernetes.reviews(TOKEN_REVIEWS), [json!({"token": "good"})]);
    wait_until("the token is reviewed again", async || {
        short.ask(&short.nobody(), bearer).await.0 == 200
            && short.kubernetes.reviews(TOKEN_REVIEWS).len() > 1
    })
    .await;
    let log = serde_json::to_string(&long.plimsoll.log()).unwrap();
    assert!(!log.contains("Bearer good"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_95_an_invalid_token_and_one_that_cannot_be_reviewed_are_401() {
    let world = World::start(&[]).await;
    let bad = &[("Authorization", "Bearer bad")];
    assert_eq!(world.ask(&world.nobody(), bad).await, (401, Value::Null));
    let answer = world.nobody().get_with(EXTERNAL, bad).await;
    assert_eq!((answer.status, answer.message().as_str()), (401, "Unauthorized"));
    assert_eq!(world.kubernetes.reviews(TOKEN_REVIEWS).len(), 1, "the verdict is kept");

    let good = &[("Authorization", "Bearer good")];
    world.kubernetes.add_token("good", json!({"username": "sa"}));
    world.kubernetes.fail_path(TOKEN_REVIEWS, Some(StatusCode::SERVICE_UNAVAILABLE));
    assert_eq!(world.ask(&world.nobody(), good).await, (401, Value::Null));
    world.kubernetes.fail_path(TOKEN_REVIEWS, None);
    assert_eq!(world.ask(&world.nobody(), good).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_where_the_certificate_does_not() {
    let world = World::start(&[]).await;
    world.kubernetes.add_token("good", json!({"username": "sa"}));
    let stranger = world.with(&Authority::new().client("front-proxy-client", "", |_| ()));
    let headers = &[("Authorization", "Bearer good"), ("X-Remote-User", "admin")];
    let asked = world.ask(&stranger, headers).await;
    assert_eq!(asked, (200, review("sa", &["system:authenticated"])));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_nobody_is_refused() {
    let world = World::start(&[]).await;
    world.kubernetes.add_token("nameless", json!({"groups": ["system:masters"]}));
    let bearer = &[("Authorization", "Bearer nameless")];
    assert_eq!(world.ask(&world.nobody(), bearer).await, (401, Value::Null));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_96_requests_at_once_with_a_new_token_cost_one_review() {
    let world = World::start(&[]).await;
    world.kubernetes.add_token("good", json!({"username": "sa"}));
    let client = world.nobody();
    world.kubernetes.stall(TOKEN_REVIEWS, true);
    let requests = (0..50).map(|_| client.get_with(EXTERNAL, &[("Authorization", "Bearer good")]));
    let requests = futures_util::future::join_all(requests);
    let release = async {
        let asked = async || !world.kubernetes.requests(TOKEN_REVIEWS).is_empty();
        wait_until("a review is asked for", asked).await;
        world.kubernetes.stall(TOKEN_REVIEWS, false);
    };
    let (answers, ()) = tokio::join!(requests, release);
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!(world.kubernetes.requests(TOKEN_REVIEWS).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_of_a_stranger_is_closed_and_that_of_the_front_proxy_is_not() {
    let world = World::start(&[]).await;
    let mut stranger = world.nobody().open().await;
    let answer = stranger.get_with(EXTERNAL, &[("Authorization", "Bearer bad")]).await;
    assert_eq!(answer.status, 401);
    stranger.closed().await;

    let mut aggregator = world.aggregator().open().await;
    assert_eq!(aggregator.get_with(EXTERNAL, &[]).await.status, 401);
    assert_eq!(aggregator.get_with(EXTERNAL, USER).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_cannot_become_the_front_proxy_where_one_authority_signs_both() {
    let world = World::start_with(&[], |kubernetes, _, users| {
        kubernetes.publish_authentication(&published(users, users));
    })
    .await;
    let front_proxy = world.with(&world.users.client("front-proxy-client", "", |_| ()));
    assert_eq!(world.ask(&front_proxy, USER).await.1["user"], "u");
    assert_eq!(world.ask(&world.bob(), USER).await.1["user"], "bob");
    let mut any_name = published(&world.users, &world.users);
    any_name.last_mut().unwrap().1 = "[]";
    world.publish(&any_name, "failure").await;
    assert_eq!(world.ask(&world.bob(), USER).await.1["user"], "bob");
}
