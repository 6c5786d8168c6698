//! Who may ask: the conformance cases 5, 53 and 80 to 104 of the wire specification, against a
//! fake API server that records what it is asked, and the same in short against a real one.

mod authentication;
mod authorization;
mod lookup;
mod real;

use std::fs;

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::kubernetes::{ACCESS_REVIEWS, FakeKubernetes};
use crate::support::pki::{Authority, Pair};
use crate::support::plimsoll::{Plimsoll, Start, wait_until};
use crate::support::prometheus::FakePrometheus;

const C2: &str = "/apis/custom.metrics.k8s.io/v1beta2";
const EXTERNAL: &str = "/apis/external.metrics.k8s.io/v1beta1";

const CONFIG: &str = "rules: [{seriesQuery: up, resources: {template: <<.Resource>>}, \
    metricsQuery: sum(<<.Series>>) by (<<.GroupBy>>)}]";

/// A cluster with its authorities, and a server in it.
struct World {
    kubernetes: FakeKubernetes,
    front_proxy: Authority,
    users: Authority,
    plimsoll: Plimsoll,
    _prometheus: FakePrometheus,
}

impl World {
    /// Starts in a cluster that publishes what is trusted.
    async fn start(flags: &[&str]) -> Self {
        Self::start_with_files(flags, &[]).await
    }

    /// The same with files in the server's directory.
    async fn start_with_files(flags: &[&str], files: &[(&str, &str)]) -> Self {
        Self::start_in(flags, files, |kubernetes, front_proxy, users| {
            kubernetes.publish_authentication(&published(front_proxy, users));
        })
        .await
    }

    /// Starts in a cluster that is made ready first.
    async fn start_with(
        flags: &[&str],
        prepare: impl FnOnce(&FakeKubernetes, &Authority, &Authority),
    ) -> Self {
        Self::start_in(flags, &[], prepare).await
    }

    async fn start_in(
        flags: &[&str],
        files: &[(&str, &str)],
        prepare: impl FnOnce(&FakeKubernetes, &Authority, &Authority),
    ) -> Self {
        let kubernetes = FakeKubernetes::start().await;
        let prometheus = FakePrometheus::start().await;
        let (front_proxy, users) = (Authority::new(), Authority::new());
        prepare(&kubernetes, &front_proxy, &users);
        let url = prometheus.url();
        let start = Start {
            config: CONFIG,
            prometheus: url.as_str(),
            kubeconfig: &kubernetes.kubeconfig(),
            flags,
            files,
            ..Start::default()
        };
        let plimsoll = Plimsoll::start(start).await;
        Self { kubernetes, front_proxy, users, plimsoll, _prometheus: prometheus }
    }

    /// A client without credentials.
    fn nobody(&self) -> Client {
        self.plimsoll.client()
    }

    fn with(&self, certificate: &Pair) -> Client {
        self.nobody().with_certificate(certificate)
    }

    /// The API server.
    fn aggregator(&self) -> Client {
        self.with(&self.front_proxy_certificate())
    }

    fn front_proxy_certificate(&self) -> Pair {
        self.front_proxy.client("front-proxy-client", "", |_| ())
    }

    /// A user of the cluster with a certificate.
    fn bob(&self) -> Client {
        self.with(&self.users.client("bob", "ops", |_| ()))
    }

    /// The specs of all reviews of access so far.
    fn reviewed(&self) -> Vec<Value> {
        self.kubernetes.reviews(ACCESS_REVIEWS)
    }

    /// Asks for a path that everyone who is authenticated may see, and returns the status with
    /// the last review that it led to.
    async fn ask(&self, client: &Client, headers: &[(&str, &str)]) -> (u16, Value) {
        let before = self.reviewed().len();
        let status = client.get_with(EXTERNAL, headers).await.status;
        let reviews = self.reviewed();
        (status, if reviews.len() > before { reviews[before].clone() } else { Value::Null })
    }

    /// Publishes what is trusted, and waits until it is in force or refused.
    async fn publish(&self, data: &[(&str, &str)], outcome: &str) {
        let series = format!("plimsoll_authorities_reloads_total{{outcome=\"{outcome}\"}}");
        let before = self.metric(&series).await;
        self.kubernetes.publish_authentication(data);
        wait_until(&series, async || self.metric(&series).await > before).await;
    }

    /// The value of a series of the process's own metrics; 0 where there is none.
    async fn metric(&self, series: &str) -> f64 {
        let metrics =
            reqwest::get(format!("http://{}/metrics", self.plimsoll.admin)).await.unwrap();
        let text = metrics.text().await.unwrap();
        let value = text.lines().find_map(|line| line.strip_prefix(series));
        value.map_or(0.0, |value| value.trim().parse().unwrap())
    }
}

/// What an API server publishes, with the header names of every cluster.
fn published<'a>(front_proxy: &'a Authority, users: &'a Authority) -> Vec<(&'a str, &'a str)> {
    vec![
        ("client-ca-file", &users.pem),
        ("requestheader-client-ca-file", &front_proxy.pem),
        ("requestheader-username-headers", r#"["X-Remote-User"]"#),
        ("requestheader-group-headers", r#"["X-Remote-Group"]"#),
        ("requestheader-extra-headers-prefix", r#"["X-Remote-Extra-"]"#),
        ("requestheader-allowed-names", r#"["front-proxy-client"]"#),
    ]
}

/// The same with another value of one key, or without it where the value is empty.
fn published_but<'a>(world: &'a World, key: &str, value: &'a str) -> Vec<(&'a str, &'a str)> {
    let mut data = published(&world.front_proxy, &world.users);
    let known = data.iter().position(|(known, _)| *known == key);
    match (known, value) {
        (Some(index), "") => drop(data.remove(index)),
        (Some(index), value) => data[index].1 = value,
        (None, value) => data.push((Box::leak(key.to_owned().into_boxed_str()), value)),
    }
    data
}

/// A review of a read of [`EXTERNAL`].
fn review(user: &str, groups: &[&str]) -> Value {
    let attributes = json!({"path": EXTERNAL, "verb": "get"});
    json!({"user": user, "groups": groups, "nonResourceAttributes": attributes})
}

fn write(plimsoll: &Plimsoll, name: &str, text: &str) {
    fs::write(plimsoll.path(name), text).unwrap();
}
