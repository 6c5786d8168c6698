use std::time::Duration;

use url::Url;

use super::*;
use crate::config::parse;

fn problems(text: &str) -> Vec<String> {
    parse("c.yaml", text).unwrap_err().problems().to_vec()
}

fn text(text: &str) -> String {
    text.to_owned()
}

const EVERY_KEY: &str = "
backends:
  mimir:
    urls: [https://a:8080/prometheus, https://b:8080/prometheus]
    method: POST
    ca: ca.pem
    clientCertificate: client.pem
    clientKey: client-key.pem
    serverName: mimir.example.com
    oauth2: {clientId: me, clientSecretFile: s, tokenUrl: https://id/token, scopes: [read]}
    headers: {X-From: plimsoll}
    tenant: {header: X-Scope-OrgID, fromNamespace: true, value: platform}
    dedup: true
    partialResponse: false
    maxSourceResolution: 5m
    nocache: true
    deadline: 5s
    concurrency: 4
    maxSeries: 1000
    maxSamples: 2000
    maxResponseBytes: 3000
    maxLag: 1m
  plain:
    urls: [http://p]
";

#[test]
fn every_key_is_taken_up() {
    let config = parse("c.yaml", EVERY_KEY);
    let url = |text: &str| Url::parse(text).unwrap();
    let pair = |name: &str, value: &str| (text(name), text(value));
    let plain = Backend {
        name: "plain".into(),
        urls: vec![url("http://p")],
        post: false,
        ca: None,
        client_certificate: None,
        server_name: None,
        auth: None,
        headers: Vec::new(),
        tenant: None,
        parameters: Vec::new(),
        deadline: None,
        concurrency: None,
        max_series: None,
        max_samples: None,
        max_response_bytes: None,
        max_lag: None,
    };
    let mimir = Backend {
        name: "mimir".into(),
        urls: vec![url("https://a:8080/prometheus"), url("https://b:8080/prometheus")],
        post: true,
        ca: Some("ca.pem".into()),
        client_certificate: Some(("client.pem".into(), "client-key.pem".into())),
        server_name: Some(text("mimir.example.com")),
        auth: Some(Auth::OAuth2(OAuth2 {
            client_id: text("me"),
            client_secret_file: "s".into(),
            token_url: url("https://id/token"),
            scopes: vec![text("read")],
        })),
        headers: vec![pair("X-From", "plimsoll")],
        tenant: Some(Tenant {
            header: text("X-Scope-OrgID"),
            value: text("platform"),
            from_namespace: true,
        }),
        parameters: vec![
            pair("dedup", "true"),
            pair("partial_response", "false"),
            pair("max_source_resolution", "5m"),
            pair("nocache", "1"),
        ],
        deadline: Some(Duration::from_secs(5)),
        concurrency: Some(4),
        max_series: Some(1000),
        max_samples: Some(2000),
        max_response_bytes: Some(3000),
        max_lag: Some(Duration::from_mins(1)),
    };
    assert_eq!(config.unwrap().backends, [mimir, plain]);
}

#[test]
fn each_way_to_say_who_we_are_is_read() {
    let auth = |written: &str| {
        let text = format!("backends: {{b: {{urls: ['http://p'], {written}}}}}");
        parse("c", &text).unwrap().backends.remove(0).auth
    };
    let password_file = "p".into();
    assert_eq!(
        [
            auth("basicAuth: {username: me, passwordFile: p}"),
            auth("bearerTokenFile: t"),
            auth("dedup: true")
        ],
        [
            Some(Auth::Basic { username: text("me"), password_file }),
            Some(Auth::Bearer("t".into())),
            None
        ]
    );
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let found = problems(
        "backends:
  empty:
  b:
    urls: ['http://p', 'ftp://user:secret@p', 'http://p', 'no url']
    method: PUT
    clientKey: k
    serverName: 10.0.0.1
    basicAuth: {}
    bearerTokenFile: ''
    headers: {'a b': c, Authorization: x}
    tenant: {fromNamespace: true}
    maxSourceResolution: fine
    deadline: 0s
    concurrency: 0
  c:
    urls: [http://p]
    tenant: {header: X-Scope-OrgID, fromNamespace: true}
    oauth2: {}
    deadline: 1h
    clientCertificate: c
",
    );
    let expected = [
        ":11: backends.b.tenant.header: ",
        ":12: backends.b.maxSourceResolution: ",
        ":13: backends.b.deadline: it is zero",
        ":14: backends.b.concurrency: it is a number from 1 to 1000",
        ":17: backends.c.tenant.value: it is missing: the listing",
        ":18: backends.c.oauth2.clientId: it is missing",
        ":18: backends.c.oauth2.clientSecretFile: it is missing",
        ":18: backends.c.oauth2.tokenUrl: it is missing",
        ":19: backends.c.deadline: it is longer than 600s",
        ":20: backends.c.clientCertificate: it goes with `clientKey`",
        ":2: backends.empty.urls: it is missing",
        ":4: backends.b.urls[1]: it begins with ftp:",
        ":4: backends.b.urls[2]: it stands here twice",
        ":4: backends.b.urls[3]: this is no URL",
        ":5: backends.b.method: it is GET or POST",
        ":6: backends.b.clientKey: it goes with `clientCertificate`",
        ":7: backends.b.serverName: ",
        ":8: backends.b.basicAuth.passwordFile: it is missing",
        ":8: backends.b.basicAuth.username: it is missing",
        ":4: backends.b: only one of",
        ":10: backends.b.headers.a b: ",
    ];
    for start in expected {
        let start = format!("c.yaml{start}");
        assert!(found.iter().any(|line| line.starts_with(&start)), "{start}: {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    assert!(!found.concat().contains("secret"), "{found:#?}");
}

#[test]
fn two_identities_are_a_mistake() {
    let found = problems(
        "backends:
  b:
    urls: ['http://user:secret@p']
    headers: {Authorization: x}
    bearerTokenFile: t
",
    );
    let fields: Vec<_> = found.iter().filter_map(|line| line.split(": ").nth(1)).collect();
    assert_eq!(fields, ["backends.b.urls", "backends.b.headers"]);
}

#[test]
fn a_rule_or_signal_that_names_no_backend_is_a_mistake() {
    let rest = "resources: {template: <<.Resource>>}, metricsQuery: 'x{<<.LabelMatchers>>}'";
    let found = problems(&format!(
        "backends: {{thanos: {{urls: ['http://p']}}}}
rules:
- {{backend: thanos, seriesQuery: x, {rest}}}
- {{backend: default, seriesQuery: x, {rest}}}
- {{backend: thanso, seriesQuery: x, {rest}}}
externalRules:
- {{backend: a, seriesQuery: x, {rest}}}
resourceRules:
  cpu: {{backend: b}}
signals:
- metric: m
  on: deployments.apps
  backend: d
  requestRate: {{preset: http}}
"
    ));
    let what = |name: &str| format!("there is no backend {name:?} under `backends`, only ");
    let expected = [
        (":5: rules[2].backend: ", "thanso"),
        (":7: externalRules[0].backend: ", "a"),
        (":9: resourceRules.cpu.backend: ", "b"),
        (":13: signals[0].backend: ", "d"),
    ];
    for (place, name) in expected {
        let line = format!("c.yaml{place}{}default, thanos", what(name));
        assert!(found.contains(&line), "{line}: {found:#?}");
    }
}
