//! Credentials that change while the client runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::prometheus::Client;
use tempfile::TempDir;

use crate::support::pki::Authority;

use super::{Answer, FakePrometheus, client_with, query};

/// CA, client certificate and token of an authority, as files.
struct Files(TempDir);

impl Files {
    fn new(authority: &Authority) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(authority);
        fs::write(files.path("token"), "first").unwrap();
        files
    }

    fn write(&self, authority: &Authority) {
        let pair = authority.issue();
        fs::write(self.path("ca.crt"), &authority.pem).unwrap();
        fs::write(self.path("client.crt"), pair.cert).unwrap();
        fs::write(self.path("client.key"), pair.key).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A client that looks at the files for each request.
    fn client(&self, fake: &FakePrometheus) -> Client {
        client_with(fake, |settings| {
            settings.ca_file = Some(self.path("ca.crt"));
            settings.client_cert_file = Some(self.path("client.crt"));
            settings.client_key_file = Some(self.path("client.key"));
            settings.token_file = Some(self.path("token"));
            settings.reread_interval = Duration::ZERO;
        })
    }
}

fn authorization(fake: &FakePrometheus) -> Option<String> {
    fake.last_request().header("authorization").map(str::to_owned)
}

#[tokio::test]
async fn a_client_certificate_and_a_token_are_shown() {
    let authority = Authority::new();
    let fake = FakePrometheus::start_tls(authority.mutual_tls_server()).await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let files = Files::new(&authority);
    query(&files.client(&fake), "up").await.unwrap();
    assert_eq!(authorization(&fake).as_deref(), Some("Bearer first"));
}

#[tokio::test]
async fn a_new_token_is_used_and_a_bad_one_is_not() {
    let authority = Authority::new();
    let fake = FakePrometheus::start_tls(authority.mutual_tls_server()).await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let files = Files::new(&authority);
    let client = files.client(&fake);
    query(&client, "up").await.unwrap();
    assert_eq!(authorization(&fake).as_deref(), Some("Bearer first"));
    for (content, expected) in [
        (Some("second"), "Bearer second"),
        (Some(""), "Bearer second"),
        (None, "Bearer second"),
        (Some("third"), "Bearer third"),
    ] {
        let path = files.path("token");
        let changed = content.map_or_else(|| fs::remove_file(&path), |text| fs::write(&path, text));
        changed.unwrap();
        query(&client, "up").await.unwrap();
        assert_eq!(authorization(&fake).as_deref(), Some(expected), "after {content:?}");
    }
}

#[tokio::test]
async fn another_authority_is_taken_up_once_its_files_fit_together() {
    let (old, new) = (Authority::new(), Authority::new());
    let fake = FakePrometheus::start_tls(new.mutual_tls_server()).await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let files = Files::new(&old);
    let client = files.client(&fake);
    query(&client, "up").await.unwrap_err();

    fs::write(files.path("ca.crt"), "-----BEGIN").unwrap();
    query(&client, "up").await.unwrap_err();

    files.write(&new);
    query(&client, "up").await.unwrap();

    // The next certificate is there and its key is not: the last good pair stays in use.
    fs::write(files.path("client.crt"), new.issue().cert).unwrap();
    query(&client, "up").await.unwrap();
}

#[tokio::test]
async fn a_kubeconfig_says_whom_to_trust_and_who_we_are() {
    let authority = Authority::new();
    let fake = FakePrometheus::start_tls(authority.mutual_tls_server()).await;
    fake.answer_all(Answer::scalar(1.0, "1"));
    let files = Files::new(&authority);
    let auth_config = files.path("kubeconfig");
    write_kubeconfig(&auth_config);
    let client = client_with(&fake, |settings| {
        settings.auth_config = Some(auth_config);
        settings.reread_interval = Duration::ZERO;
    });
    query(&client, "up").await.unwrap();
    assert_eq!(authorization(&fake).as_deref(), Some("Bearer first"));
    fs::write(files.path("token"), "second").unwrap();
    query(&client, "up").await.unwrap();
    assert_eq!(authorization(&fake).as_deref(), Some("Bearer second"));
}

fn write_kubeconfig(path: &Path) {
    let text = "
apiVersion: v1
kind: Config
current-context: other
contexts:
- {name: unused, context: {cluster: none, user: none}}
- {name: other, context: {cluster: here, user: me}}
clusters:
- name: here
  cluster: {server: 'https://kubernetes', certificate-authority: ca.crt}
users:
- name: me
  user: {client-certificate: client.crt, client-key: client.key, tokenFile: token}
";
    fs::write(path, text).unwrap();
}
