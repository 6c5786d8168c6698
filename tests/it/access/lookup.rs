//! What is trusted, and how it changes.

use serde_json::Value;

use super::{CONFIG, EXTERNAL, World, published, published_but, review, write};
use crate::support::kubernetes::FakeKubernetes;
use crate::support::pki::Authority;
use crate::support::plimsoll::{Plimsoll, Start, wait_until};

const USER: &[(&str, &str)] = &[("X-Remote-User", "u")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_90_an_update_with_a_list_that_is_none_leaves_the_last_configuration() {
    let world = World::start(&[]).await;
    let lists = [
        "requestheader-username-headers",
        "requestheader-uid-headers",
        "requestheader-group-headers",
        "requestheader-extra-headers-prefix",
        "requestheader-allowed-names",
    ];
    for (number, key) in lists.into_iter().enumerate() {
        let broken = format!("[\"{number}\"");
        world.publish(&published_but(&world, key, &broken), "failure").await;
        let asked = world.ask(&world.aggregator(), USER).await;
        assert_eq!(asked.0, 200, "{key}");
    }
    let good = "plimsoll_authorities_last_reload_successful";
    assert_eq!(world.metric(good).await.to_string(), "0");
    world.publish(&published(&world.front_proxy, &world.users), "success").await;
    assert_eq!(world.metric(good).await.to_string(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_91_a_rotated_authority_is_in_force_on_open_connections() {
    let world = World::start(&[]).await;
    let new = Authority::new();
    let renewed = world.with(&new.client("front-proxy-client", "", |_| ()));
    let mut open = world.aggregator().open().await;
    assert_eq!(open.get_with(EXTERNAL, USER).await.status, 200);
    assert_eq!(world.ask(&renewed, USER).await, (401, Value::Null));

    let both = format!("{}{}", world.front_proxy.pem, new.pem);
    world.publish(&published_but(&world, "requestheader-client-ca-file", &both), "success").await;
    assert_eq!(open.get_with(EXTERNAL, USER).await.status, 200);
    assert_eq!(renewed.get_with(EXTERNAL, USER).await.status, 200);

    let only_new = published_but(&world, "requestheader-client-ca-file", &new.pem);
    world.publish(&only_new, "success").await;
    assert_eq!(open.get_with(EXTERNAL, USER).await.status, 401);
    assert_eq!(renewed.get_with(EXTERNAL, USER).await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_92_authorities_that_are_taken_away_stay() {
    let world = World::start(&[]).await;
    let mut data = published(&world.front_proxy, &world.users);
    data.retain(|(key, _)| !key.ends_with("client-ca-file") && *key != "client-ca-file");
    world.kubernetes.publish_authentication(&data);
    // A change that is visible shows that the one before it was seen.
    let junk = [("client-ca-file", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----")];
    world.publish(&junk, "failure").await;
    assert_eq!(world.ask(&world.aggregator(), USER).await.0, 200);
    assert_eq!(world.ask(&world.bob(), &[]).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn case_93_without_the_config_map_certificates_are_refused_until_there_is_one() {
    let world = World::start_with(&[], |_, _, _| ()).await;
    assert_eq!(world.ask(&world.aggregator(), USER).await, (401, Value::Null));
    assert_eq!(world.aggregator().get("/healthz").await.status, 200);
    assert_eq!(world.ask(&world.nobody(), USER).await.1["user"], "system:anonymous");
    world.publish(&published(&world.front_proxy, &world.users), "success").await;
    assert_eq!(
        world.ask(&world.aggregator(), USER).await,
        (200, review("u", &["system:authenticated"]))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_config_map_that_may_not_be_read_ends_the_start_and_names_the_role_binding() {
    let kubernetes = FakeKubernetes::start().await;
    kubernetes.forbid_authentication(true);
    let kubeconfig = kubernetes.kubeconfig();
    let start = Start {
        config: CONFIG,
        prometheus: "http://127.0.0.1:9",
        kubeconfig: &kubeconfig,
        ..Start::default()
    };
    let (status, log) = Plimsoll::run_to_the_end(&start);
    assert_eq!(status.code(), Some(1), "{log}");
    for part in ["403", "create rolebinding", "extension-apiserver-authentication-reader"] {
        assert!(log.contains(part), "{part} in {log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_that_fails_is_tolerated_where_the_flag_says_so() {
    let flags = &["--authentication-tolerate-lookup-failure"];
    let world = World::start_with(flags, |kubernetes, front_proxy, users| {
        kubernetes.publish_authentication(&published(front_proxy, users));
        kubernetes.forbid_authentication(true);
    })
    .await;
    assert_eq!(world.ask(&world.aggregator(), USER).await, (401, Value::Null));
    world.kubernetes.forbid_authentication(false);
    wait_until("the lookup succeeds", async || {
        world.aggregator().get_with(EXTERNAL, USER).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_take_the_place_of_the_config_map_and_changes_of_theirs_are_taken_up() {
    let flags = [
        "--client-ca-file={dir}/users.pem",
        "--requestheader-client-ca-file={dir}/proxy.pem",
        "--requestheader-allowed-names=one,two",
        "--requestheader-uid-headers=X-Remote-Uid",
    ];
    let (proxy, users) = (Authority::new(), Authority::new());
    let world =
        World::start_with_files(&flags, &[("users.pem", &users.pem), ("proxy.pem", &proxy.pem)])
            .await;
    let from_files = world.with(&proxy.client("two", "", |_| ()));
    let headers = &[("X-Remote-User", "u"), ("X-Remote-Uid", "1")];
    let (status, asked) = world.ask(&from_files, headers).await;
    assert_eq!((status, asked["uid"].as_str()), (200, Some("1")));
    assert_eq!(world.ask(&world.aggregator(), USER).await, (401, Value::Null));
    assert_eq!(world.ask(&world.bob(), &[]).await, (401, Value::Null));
    assert_eq!(world.kubernetes.requests("configmaps").len(), 0);

    write(&world.plimsoll, "users.pem", &world.users.pem);
    wait_until("the changed file is in force", async || {
        world.bob().get(EXTERNAL).await.status == 200
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_lookup_nobody_is_known_by_a_certificate() {
    let world = World::start(&["--authentication-skip-lookup"]).await;
    assert_eq!(world.ask(&world.aggregator(), USER).await.1["user"], "system:anonymous");
    // It is the same question as before.
    assert_eq!(world.ask(&world.bob(), &[]).await, (200, Value::Null));
    assert_eq!(world.kubernetes.requests("configmaps").len(), 0);
}
