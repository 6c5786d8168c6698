//! Who the client says it is: passwords, OAuth 2.0, server names, and what else a backend wants to
//! hear in each request.

use std::fs;
use std::time::Duration;

use futures_util::future::join_all;
use http::HeaderValue;
use plimsoll::model::backend::OAuth2;
use plimsoll::prometheus::Client;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::support::pki::Authority;

use super::{Answer, FakePrometheus, client_with, query};

fn file(text: &str) -> NamedTempFile {
    let file = NamedTempFile::new().unwrap();
    fs::write(&file, text).unwrap();
    file
}

async fn prometheus() -> FakePrometheus {
    let fake = FakePrometheus::start().await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    fake
}

#[tokio::test]
async fn a_password_is_read_again_when_it_changes() {
    let (fake, password) = (prometheus().await, file("secret\n"));
    let client = client_with(&fake, |settings| {
        settings.basic_auth = Some(("me".to_owned(), password.path().to_owned()));
        settings.reread_interval = Duration::ZERO;
    });
    for (text, expected) in
        [("secret", "Basic bWU6c2VjcmV0"), ("a:b c", "Basic bWU6YTpiIGM="), ("", "Basic bWU6")]
    {
        fs::write(&password, text).unwrap();
        query(&client, "up").await.unwrap();
        assert_eq!(fake.last_request().header("authorization"), Some(expected));
    }
}

/// A token server and a client that gets its tokens there.
async fn oauth2(fake: &FakePrometheus) -> (FakePrometheus, Client, NamedTempFile) {
    let (server, secret) = (FakePrometheus::start().await, file("p+w\n"));
    let client = client_with(fake, |settings| {
        settings.oauth2 = Some(OAuth2 {
            client_id: "a client".to_owned(),
            client_secret_file: secret.path().to_owned(),
            token_url: server.url().join("/token").unwrap(),
            scopes: vec!["read".to_owned(), "list".to_owned()],
        });
    });
    (server, client, secret)
}

fn token(token: &str) -> Answer {
    Answer::json(200, &json!({"access_token": token, "token_type": "bearer", "expires_in": 3600}))
}

#[tokio::test]
async fn a_token_is_fetched_once_for_all_and_anew_when_it_is_refused() {
    let fake = prometheus().await;
    let (server, client, _secret) = oauth2(&fake).await;
    server.answer_all(token("one"));
    for answer in join_all((0..10).map(|_| query(&client, "up"))).await {
        answer.unwrap();
    }
    let fetches = server.take_requests();
    assert_eq!(fetches.len(), 1);
    let fetch = &fetches[0];
    assert_eq!(
        (fetch.method.as_str(), fetch.path.as_str(), fetch.header("authorization")),
        // `a+client:p%2Bw`
        ("POST", "/token", Some("Basic YStjbGllbnQ6cCUyQnc="))
    );
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(fetch.form, [pair("grant_type", "client_credentials"), pair("scope", "read list")]);
    assert!(fake.requests().iter().all(|it| it.header("authorization") == Some("Bearer one")));

    server.answer_all(token("two"));
    fake.answer_all(Answer::text(401, "who are you"));
    query(&client, "up").await.unwrap_err();
    fake.answer_all(Answer::scalar(1.0, "1"));
    query(&client, "up").await.unwrap();
    assert_eq!(fake.last_request().header("authorization"), Some("Bearer two"));
}

#[tokio::test]
async fn without_a_token_nothing_is_asked_and_the_server_is_left_alone_for_a_while() {
    let fake = prometheus().await;
    let (server, client, _secret) = oauth2(&fake).await;
    let refusal = json!({"error": "invalid_client", "error_description": "unknown"});
    server.answer_all(Answer::json(401, &refusal));
    for _ in 0..3 {
        let error = query(&client, "up").await.unwrap_err().to_string();
        let expected = "127.0.0.1 gave no OAuth2 token for it: it answered 401 Unauthorized \
                        invalid_client: unknown";
        assert_eq!(error, expected);
    }
    assert_eq!((server.requests().len(), fake.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_server_may_have_a_certificate_for_another_name() {
    let authority = Authority::new();
    let pair = authority.issue_for(&["prometheus.example.com"]);
    let fake = FakePrometheus::start_tls(crate::support::pki::server(&pair)).await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let ca = file(&authority.pem);
    let with_name = |name: Option<&str>| {
        client_with(&fake, |settings| {
            settings.ca_file = Some(ca.path().to_owned());
            settings.server_name = name.map(str::to_owned);
        })
    };
    query(&with_name(Some("prometheus.example.com")), "up").await.unwrap();
    let host = fake.url().authority().to_owned();
    assert_eq!(fake.last_request().header("host"), Some(host.as_str()));
    for name in [None, Some("other.example.com")] {
        let error = query(&with_name(name), "up").await.unwrap_err().to_string();
        assert!(error.contains("TLS failed"), "{error}");
    }
}

#[tokio::test]
async fn parameters_and_the_tenant_are_in_every_request() {
    let fake = prometheus().await;
    let client = client_with(&fake, |settings| {
        settings.parameters = vec![("dedup".to_owned(), "true".to_owned())];
    });
    let tenant = (http::HeaderName::from_static("x-scope-orgid"), HeaderValue::from_static("shop"));
    let terms = super::Terms { tenant: Some(tenant), accept_partial: false };
    client.query("up", super::now(), &terms).await.unwrap();
    client.series("up", super::now(), &terms).await.unwrap_err();
    let requests = fake.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| (request.parameter("dedup"), request.header("x-scope-orgid")))
        .collect();
    assert_eq!(seen, [(Some("true"), Some("shop")); 2]);
}
