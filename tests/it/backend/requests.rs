//! What is sent: paths, parameters, headers, verbs.

use url::Url;

use plimsoll::prometheus::Verb;

use super::{Answer, FakePrometheus, Settings, client, client_with, query, series};

#[tokio::test]
async fn a_query_carries_its_time_and_the_time_that_is_left() {
    let fake = FakePrometheus::start().await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    query(&client(Settings::new(fake.url())), r#"up{a="&=+ é"}"#).await.unwrap();
    let request = fake.last_request();
    assert_eq!((request.method.as_str(), request.path.as_str()), ("GET", "/api/v1/query"));
    assert_eq!(request.parameter("query"), Some(r#"up{a="&=+ é"}"#));
    assert_eq!(request.parameter("time"), Some("1700000000.5"));
    let timeout = request.parameter("timeout").and_then(|text| text.strip_suffix("ms")).unwrap();
    let timeout: u64 = timeout.parse().unwrap();
    assert!((5_000..=10_000).contains(&timeout), "{timeout} ms");
    assert_eq!(request.query.len(), 3);
}

#[tokio::test]
async fn a_listing_carries_its_selector_verbatim() {
    let fake = FakePrometheus::start().await;
    let selector = r#"{__name__=~"^a.*|b", c!=""}"#;
    fake.answer(selector, Answer::data(&serde_json::json!([])));
    for (verb, method) in [(Verb::Get, "GET"), (Verb::Post, "POST")] {
        let client = client_with(&fake, |settings| settings.verb = verb);
        series(&client, selector).await.unwrap();
        let request = fake.last_request();
        assert_eq!((request.method.as_str(), request.path.as_str()), (method, "/api/v1/series"));
        let pairs = if verb == Verb::Get { request.query } else { request.form };
        let expected = [("match[]", selector), ("start", "1700000000.5")];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}

#[tokio::test]
async fn a_path_prefix_and_a_query_string_of_the_url_stay_in_every_request() {
    let fake = FakePrometheus::start().await;
    fake.answer("up", Answer::scalar(1.0, "1"));
    fake.answer("{}", Answer::data(&serde_json::json!([])));
    let cases = [
        ("", "/api/v1/"),
        ("?tenant=a%20b&dedup=true#fragment", "/api/v1/"),
        ("prom", "/prom/api/v1/"),
        ("select/0:0/prom%20etheus/?tenant=a+b&dedup=true", "/select/0:0/prom%20etheus/api/v1/"),
    ];
    for (url, path) in cases {
        for verb in [Verb::Get, Verb::Post] {
            let client = client_with(&fake, |settings| {
                settings.url = Url::parse(&format!("{}{url}", fake.url())).unwrap();
                settings.verb = verb;
            });
            query(&client, "up").await.unwrap();
            series(&client, "{}").await.unwrap();
            let requests = fake.requests();
            let [.., first, second] = &requests[..] else { panic!("two requests") };
            for (request, endpoint) in [(first, "query"), (second, "series")] {
                assert_eq!(request.path, format!("{path}{endpoint}"));
                let expected = url.contains('?').then_some(("a b", "true"));
                let seen = request.parameter("tenant").zip(request.parameter("dedup"));
                assert_eq!(seen, expected, "{verb:?} {url} {endpoint}");
            }
        }
    }
}

#[tokio::test]
async fn a_long_query_is_posted() {
    let fake = FakePrometheus::start().await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let client = client(Settings::new(fake.url()));
    for length in (7_800..8_300).step_by(50) {
        let promql = "x".repeat(length);
        query(&client, &promql).await.unwrap();
        let request = fake.last_request();
        assert!(request.target.len() <= 8 << 10, "{} bytes", request.target.len());
        assert_eq!(request.parameter("query"), Some(promql.as_str()));
        let method = if length < 8_000 { "GET" } else { "POST" };
        if !(8_000..8_100).contains(&length) {
            assert_eq!(request.method, method, "{length}");
        }
    }
    series(&client, &format!("{{a=\"{}\"}}", "x".repeat(9_000))).await.unwrap_err();
    assert_eq!(fake.last_request().method, "POST");
}

#[tokio::test]
async fn headers_are_sent_and_an_authorization_among_them_wins() {
    let fake = FakePrometheus::start().await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let directory = tempfile::tempdir().unwrap();
    let token_file = directory.path().join("token");
    std::fs::write(&token_file, "abc\n").unwrap();
    let mut with_user = fake.url();
    with_user.set_username("user").unwrap();
    with_user.set_password(Some("pass")).unwrap();
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let cases = [
        (fake.url(), None, "Bearer abc"),
        (with_user.clone(), None, "Basic dXNlcjpwYXNz"),
        (with_user, Some(header("Authorization", "Custom x")), "Custom x"),
    ];
    for (url, extra, expected) in cases {
        let client = client_with(&fake, |settings| {
            settings.url = url;
            settings.token_file = Some(token_file.clone());
            settings.headers = vec![header("X-Scope-OrgID", "a"), header("x-scope-orgid", "b")];
            settings.headers.extend(extra);
        });
        query(&client, "up").await.unwrap();
        // No listing, but a request with the same headers.
        series(&client, "up").await.unwrap_err();
        let requests = fake.requests();
        for request in requests.iter().rev().take(2) {
            assert_eq!(request.header("authorization"), Some(expected));
            let tenants: Vec<_> = request.headers.get_all("x-scope-orgid").iter().collect();
            assert_eq!(tenants, ["a", "b"]);
            let agent = request.header("user-agent").unwrap();
            assert!(agent.starts_with("plimsoll/"), "{agent}");
        }
    }
}
