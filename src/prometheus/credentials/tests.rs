use tempfile::TempDir;
use url::Url;

use super::*;

/// A directory with a CA, a certificate and its key, and a token.
fn files() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (name, content) in [
        ("ca.crt", certified.cert.pem()),
        ("client.crt", certified.cert.pem()),
        ("client.key", certified.signing_key.serialize_pem()),
        ("token", "from-file\n".to_owned()),
    ] {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

fn settings() -> Settings {
    Settings::new(Url::parse("https://prometheus").unwrap())
}

fn write_kubeconfig(directory: &TempDir, cluster: &str, user: &str) -> PathBuf {
    let path = directory.path().join("kubeconfig");
    let text = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
         contexts: [{{name: c, context: {{cluster: k, user: u}}}}]\n\
         clusters: [{{name: k, cluster: {{server: 'https://kubernetes', {cluster}}}}}]\n\
         users: [{{name: u, user: {{{user}}}}}]\n"
    );
    fs::write(&path, text).unwrap();
    path
}

/// Whether there is a client certificate, and the header, in clear.
fn summary(settings: &Settings) -> Result<(bool, Option<String>), String> {
    let (_, Credentials { tls, authorization }) =
        read(settings).map_err(|error| error.to_string())?;
    assert!(authorization.iter().all(HeaderValue::is_sensitive));
    let header = authorization.map(|header| header.to_str().unwrap().to_owned());
    Ok((tls.client_auth_cert_resolver.has_certs(), header))
}

#[test]
fn files_give_trust_identity_and_a_trimmed_token() {
    let directory = files();
    let path = |name: &str| Some(directory.path().join(name));
    let complete = Settings {
        ca_file: path("ca.crt"),
        client_cert_file: path("client.crt"),
        client_key_file: path("client.key"),
        token_file: path("token"),
        ..settings()
    };
    assert_eq!(summary(&complete), Ok((true, Some("Bearer from-file".to_owned()))));
}

#[test]
fn a_kubeconfig_gives_all_three_from_files_beside_it() {
    let directory = files();
    let cluster = "certificate-authority: ca.crt";
    let user = "client-certificate: client.crt, client-key: client.key, token: inline";
    let auth_config = Some(write_kubeconfig(&directory, cluster, user));
    let mut settings = Settings { auth_config, ..settings() };
    assert_eq!(summary(&settings), Ok((true, Some("Bearer inline".to_owned()))));

    settings.token_file = Some(directory.path().join("token"));
    assert_eq!(summary(&settings), Ok((true, Some("Bearer from-file".to_owned()))));

    settings.ca_file = Some(directory.path().join("ca.crt"));
    settings.token_file = None;
    assert_eq!(summary(&settings), Ok((false, None)), "the CA file turns the kubeconfig off");
}

#[test]
fn a_kubeconfig_that_cannot_be_followed_to_the_letter_is_refused() {
    let directory = files();
    let cases = [
        ("", "exec: {apiVersion: client.authentication.k8s.io/v1, command: x}", "`exec`"),
        ("", "auth-provider: {name: oidc, config: {}}", "`auth-provider`"),
        ("", "username: a, password: b", "`username`"),
        ("", "as: other", "`as`"),
        ("tls-server-name: x", "", "`tls-server-name`"),
        ("proxy-url: 'http://proxy'", "", "`proxy-url`"),
        ("certificate-authority: none.crt", "", "cannot use "),
        ("", "tokenFile: none", "cannot read "),
    ];
    for (cluster, user, expected) in cases {
        let auth_config = Some(write_kubeconfig(&directory, cluster, user));
        let error = summary(&Settings { auth_config, ..settings() }).unwrap_err();
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn the_service_account_mount_gives_trust_and_a_token() {
    let directory = files();
    let settings = Settings { in_cluster: true, ..settings() };
    let source = source(&settings, directory.path()).unwrap();
    let Credentials { authorization, .. } = source.credentials().unwrap();
    assert_eq!(authorization.unwrap(), "Bearer from-file");
    assert_eq!(source.config.root_cert.map(|certificates| certificates.len()), Some(1));
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let directory = files();
    let path = |name: &str| Some(directory.path().join(name));
    fs::write(directory.path().join("empty"), "").unwrap();
    fs::write(directory.path().join("split"), "a\nb").unwrap();
    let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
    fs::write(directory.path().join("other.key"), other).unwrap();
    let pair = |cert: Option<&str>, key: Option<&str>| Settings {
        client_cert_file: cert.and_then(path),
        client_key_file: key.and_then(path),
        ca_file: path("ca.crt"),
        ..settings()
    };
    let cases = [
        (Settings { ca_file: path("none"), ..settings() }, "/none"),
        (Settings { ca_file: path("empty"), ..settings() }, "/empty holds no usable CA"),
        (Settings { ca_file: path("token"), ..settings() }, "/token holds no usable CA"),
        (Settings { token_file: path("none"), ..settings() }, "/none"),
        (Settings { token_file: path("empty"), ..settings() }, "/empty holds characters"),
        (Settings { token_file: path("split"), ..settings() }, "/split holds characters"),
        (Settings { auth_config: path("none"), ..settings() }, "/none"),
        (
            Settings { auth_config: path("none"), in_cluster: true, ..settings() },
            "from a kubeconfig or from the service account",
        ),
        (pair(Some("client.crt"), None), "the key file is missing"),
        (pair(None, Some("client.key")), "the certificate file is missing"),
        (pair(Some("client.crt"), Some("none")), "/none"),
        (pair(Some("client.crt"), Some("other.key")), "cannot be used for TLS"),
        (pair(Some("client.key"), Some("client.key")), "cannot be used for TLS"),
    ];
    for (settings, expected) in cases {
        let error = summary(&settings).unwrap_err();
        assert!(error.contains(expected), "{expected} is not in {error}");
    }
}

#[test]
fn plain_http_needs_no_certificates_of_the_system() {
    let settings = Settings::new(Url::parse("http://prometheus").unwrap());
    let mut source = source(&settings, Path::new("")).unwrap();
    assert!(source.tls().is_ok());
    assert_eq!(source.config.root_cert.take(), None);
}

#[test]
fn a_change_in_any_file_is_seen_and_nothing_else_is() {
    let directory = files();
    let path = |name: &str| Some(directory.path().join(name));
    let user = "client-certificate: client.crt, client-key: client.key";
    let auth_config = Some(write_kubeconfig(&directory, "certificate-authority: ca.crt", user));
    let settings = Settings { auth_config, token_file: path("token"), ..settings() };
    let (mut known, _) = read(&settings).unwrap();
    assert!(read_changed(&settings, &known).unwrap().is_none());

    let replacement = files();
    for names in [&["ca.crt"][..], &["client.crt", "client.key"]] {
        for name in names {
            fs::copy(replacement.path().join(name), directory.path().join(name)).unwrap();
        }
        let (fingerprint, _) = read_changed(&settings, &known).unwrap().unwrap();
        known = fingerprint;
    }
    fs::write(directory.path().join("token"), "new").unwrap();
    let (known, changed) = read_changed(&settings, &known).unwrap().unwrap();
    assert_eq!(changed.authorization.unwrap(), "Bearer new");
    assert!(read_changed(&settings, &known).unwrap().is_none());
}
