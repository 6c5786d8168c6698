use tempfile::TempDir;

use super::*;
use crate::cli::{Program, parse};

/// A directory of files, and the time.
struct Desk {
    directory: TempDir,
    now: Timestamp,
}

impl Desk {
    fn new() -> Self {
        let now = "2026-11-23T12:00:00Z".parse().unwrap();
        Self { directory: tempfile::tempdir().unwrap(), now }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn issue(&self, dir: &str, names: &[&str]) -> String {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.plain(&issue(&self.path(dir), &names, self.now).unwrap())
    }

    /// The text without what differs at each run.
    fn plain(&self, text: &str) -> String {
        let text = text.replace(self.directory.path().to_str().unwrap(), "DIR");
        let lines = text.lines().map(|line| {
            let secret =
                [("sha256:", "…"), ("plimsoll-ca ", "…")].into_iter().find_map(|(mark, rest)| {
                    let (before, _) = line.split_once(mark)?;
                    Some(format!("{before}{mark}{rest}\n"))
                });
            secret.unwrap_or_else(|| format!("{line}\n"))
        });
        lines.collect()
    }

    #[track_caller]
    fn finds(&self, file: &str, key: Option<&str>, ca: Option<&str>, names: &[&str], wrong: &str) {
        let path = |name: Option<&str>| name.map(|name| self.path(name));
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let found =
            check(&self.path(file), path(key).as_deref(), path(ca).as_deref(), &names, self.now);
        assert_eq!(self.plain(&found.unwrap()), wrong);
    }
}

#[test]
fn a_certificate_is_issued_with_its_authority_and_told_what_to_do_with() {
    let desk = Desk::new();
    let told = desk.issue("certs", &["localhost", "127.0.0.1"]);
    assert_eq!(
        told,
        "\
certificate CN=localhost
  names        localhost, 127.0.0.1
  issuer       CN=plimsoll-ca …
  valid        2026-11-23T11:55:00Z to 2029-02-25T12:00:00Z (825 days left)
  fingerprint  sha256:…

Serve with it:    plimsoll --tls-cert-file DIR/certs/tls.crt --tls-private-key-file DIR/certs/tls.key
Trust it:         curl --cacert DIR/certs/ca.crt
"
    );
    let names = ["localhost", "127.0.0.1"];
    desk.finds("certs/tls.crt", Some("certs/tls.key"), Some("certs/ca.crt"), &names, "");
    for key in ["certs/ca.key", "certs/tls.key"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(desk.path(key)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{key}");
    }

    // The next one is of the same authority.
    let authority = std::fs::read(desk.path("certs/ca.crt")).unwrap();
    desk.issue("certs", &["demo.test"]);
    assert_eq!(std::fs::read(desk.path("certs/ca.crt")).unwrap(), authority);
    desk.finds("certs/tls.crt", Some("certs/tls.key"), Some("certs/ca.crt"), &["demo.test"], "");
}

#[test]
fn whatever_is_wrong_is_said_in_a_sentence() {
    let mut desk = Desk::new();
    desk.issue("one", &["plimsoll.monitoring.svc"]);
    desk.issue("two", &["localhost"]);
    std::fs::write(desk.path("no.key"), "nothing").unwrap();
    let (crt, place) = ("one/tls.crt", "DIR/one/tls.crt");
    desk.finds(
        crt,
        Some("two/tls.key"),
        None,
        &[],
        "The key in DIR/two/tls.key does not belong to DIR/one/tls.crt.\n",
    );
    desk.finds(
        crt,
        Some("no.key"),
        None,
        &[],
        "DIR/no.key holds no private key in PEM that can be used.\n",
    );
    desk.finds(
        crt,
        None,
        Some("no.key"),
        &[],
        &format!("{place} is not trusted by DIR/no.key: there is no certificate in it.\n"),
    );
    desk.finds(
        crt,
        None,
        Some("two/ca.crt"),
        &[],
        &format!("{place} is not trusted by DIR/two/ca.crt: it was issued by another authority.\n"),
    );
    desk.finds(
        crt,
        None,
        None,
        &["plimsoll.monitoring.svc", "plimsoll.monitoring"],
        "It is not for plimsoll.monitoring, but for plimsoll.monitoring.svc; a common name does not count.\n",
    );
    desk.finds("one/ca.crt", None, None, &[], "DIR/one/ca.crt begins with a certificate authority; servers need a certificate that is none, and first in the file.\n");
    let issued = desk.now;
    desk.now = "2029-02-20T12:30:00Z".parse().unwrap();
    desk.finds(
        crt,
        None,
        None,
        &[],
        &format!("{place} expires on 2029-02-25T12:00:00Z (4 days left).\n"),
    );
    desk.now = "2029-02-25T12:00:00Z".parse().unwrap();
    desk.finds(
        crt,
        None,
        Some("one/ca.crt"),
        &[],
        &format!("{place} expired on 2029-02-25T12:00:00Z.\n"),
    );
    desk.now = issued - SignedDuration::from_hours(1);
    desk.finds(
        crt,
        None,
        Some("one/ca.crt"),
        &[],
        &format!("{place} is not valid before 2026-11-23T11:55:00Z.\n"),
    );
}

#[test]
fn a_bundle_is_printed_whole() {
    let desk = Desk::new();
    desk.issue("one", &["a.test"]);
    let pem =
        ["tls.crt", "tls.key", "ca.crt"].map(|name| read(&desk.path("one").join(name)).unwrap());
    let printed =
        desk.plain(&print(&pem.concat(), "2026-11-24T12:00:00Z".parse().unwrap()).unwrap());
    let heads: Vec<_> = printed.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(heads, ["certificate CN=a.test", "certificate authority CN=plimsoll-ca …"]);
    assert!(
        printed.contains("(824 days left)") && printed.contains("names        none"),
        "{printed}"
    );
    assert_eq!(print("no certificate", desk.now).unwrap(), "");
}

#[tokio::test]
async fn the_command_line_says_what_is_to_be_done() {
    let desk = Desk::new();
    let run = async |line: String| {
        let line = line.replace("DIR", desk.directory.path().to_str().unwrap());
        match parse(std::iter::once("plimsoll").chain(line.split(' '))) {
            Ok(Program::Certs(args)) => match run(args).await {
                Ok(report) => (report.good, desk.plain(&report.text)),
                Err(error) => (false, desk.plain(&crate::telemetry::chain(&error))),
            },
            Ok(other) => panic!("{other:?}"),
            Err(error) => (false, error.kind().to_string()),
        }
    };
    assert!(run("certs issue --dir DIR --name localhost".to_owned()).await.0);
    let good = run(
        "certs check DIR/tls.crt --key DIR/tls.key --ca DIR/ca.crt --name localhost".to_owned()
    )
    .await;
    assert_eq!(good, (true, "DIR/tls.crt is good.\n".to_owned()));
    assert!(!run("certs check DIR/tls.crt --name other".to_owned()).await.0);
    assert!(run("certs print DIR/ca.crt".to_owned()).await.1.starts_with("certificate authority"));
    let none = run("certs print DIR/tls.key".to_owned()).await;
    assert_eq!(none, (false, "no PEM certificate in DIR/tls.key\n".to_owned()));
    let missing = run("certs print DIR/no".to_owned()).await.1;
    assert_eq!(missing, "cannot read DIR/no: No such file or directory (os error 2)\n");
    for line in [
        "certs",
        "certs print",
        "certs print a --secret b/c",
        "certs issue --dir a",
        "certs issue --dir a --name a_b/c",
        "certs check",
    ] {
        assert!(!run(line.to_owned()).await.0, "{line}");
    }
    assert!(!desk.path("a").exists());
}
