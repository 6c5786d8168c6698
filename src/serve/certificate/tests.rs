use std::os::unix::fs::PermissionsExt;

use jiff::SignedDuration;
use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;
use crate::serve::health::Health;

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

struct Fixture {
    directory: TempDir,
    metrics: Arc<Metrics>,
}

impl Fixture {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, metrics: Arc::new(Metrics::new()) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, pair: &Pair) {
        let [certificate, key] = self_signed::paths(self.directory.path());
        std::fs::write(certificate, &pair.certificate).unwrap();
        std::fs::write(key, &pair.key).unwrap();
    }

    fn files(&self) -> Source {
        let [certificate, key] = self_signed::paths(self.directory.path());
        Source::Files { certificate, key }
    }

    fn kept(&self) -> Source {
        Source::SelfSigned { directory: Some(self.directory.path().to_owned()), names: vec![] }
    }

    async fn load(&self, source: Source) -> Result<Certificate, CertificateError> {
        Certificate::load(source, Protocols::default(), Arc::clone(&self.metrics)).await
    }

    /// Reloads that were taken up, and refused.
    fn reloads(&self) -> [String; 2] {
        let text = self.metrics.encode();
        ["success", "failure"].map(|outcome| {
            let series = format!("plimsoll_certificate_reloads_total{{outcome=\"{outcome}\"}} ");
            let value = text.lines().find_map(|line| line.strip_prefix(&series));
            value.unwrap_or("0").to_owned()
        })
    }
}

fn fresh() -> Pair {
    self_signed::make(&[], None, Timestamp::now()).unwrap()
}

/// A pair whose CA is somebody else's and that expired long ago.
fn foreign_and_expired() -> Pair {
    let key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut server = CertificateParams::new(["localhost".to_owned()]).unwrap();
    server.not_after = rcgen::date_time_ymd(2001, 2, 3);
    let issuer = Issuer::from_params(&authority, &key);
    let certificate = server.signed_by(&key, &issuer).unwrap().pem().into_bytes();
    Pair { certificate, key: key.serialize_pem().into_bytes(), ..fresh() }
}

async fn load_error(fixture: &Fixture) -> String {
    let error = fixture.load(fixture.files()).await.unwrap_err();
    let directory = fixture.directory.path().to_str().unwrap();
    crate::telemetry::chain(&error).replace(directory, "DIR")
}

/// Whether a client that has `trusted` as its CA file accepts the certificate for the name.
async fn accepts(trusted: &[u8], certificate: &Certificate, name: &str) -> bool {
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(trusted) {
        roots.add(root.unwrap()).unwrap();
    }
    let client = ClientConfig::builder_with_provider(Arc::new(tls::provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (near, far) = tokio::io::duplex(16 * 1024);
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let connector = TlsConnector::from(Arc::new(client));
    let acceptor = TlsAcceptor::from(certificate.config().load_full());
    tokio::join!(connector.connect(name, near), acceptor.accept(far)).0.is_ok()
}

#[tokio::test]
async fn a_replaced_pair_is_taken_up() {
    let fixture = Fixture::new();
    fixture.write(&fresh());
    let mut certificate = fixture.load(fixture.files()).await.unwrap();
    certificate.refresh(Timestamp::now()).await;
    assert_eq!(fixture.reloads(), ["0", "0"]);

    let new = fresh();
    fixture.write(&new);
    assert!(!accepts(&new.certificate, &certificate, "localhost").await);
    certificate.refresh(Timestamp::now()).await;
    assert!(accepts(&new.certificate, &certificate, "localhost").await);
    assert_eq!(fixture.reloads(), ["1", "0"]);
}

#[tokio::test]
async fn a_bad_pair_leaves_the_last_good_and_is_told_once() {
    let fixture = Fixture::new();
    let good = fresh();
    fixture.write(&good);
    let mut certificate = fixture.load(fixture.files()).await.unwrap();
    let [certificate_path, key_path] = self_signed::paths(fixture.directory.path());
    let breaks: [&dyn Fn(); 4] = [
        &|| std::fs::write(&key_path, fresh().key).unwrap(),
        &|| std::fs::write(&key_path, "nonsense").unwrap(),
        &|| std::fs::write(&certificate_path, "").unwrap(),
        &|| std::fs::remove_file(&certificate_path).unwrap(),
    ];
    for break_it in breaks {
        break_it();
        certificate.refresh(Timestamp::now()).await;
        certificate.refresh(Timestamp::now()).await;
        assert!(accepts(&good.certificate, &certificate, "localhost").await);
    }
    assert_eq!(fixture.reloads(), ["0", "4"]);
    fixture.write(&good);
    certificate.refresh(Timestamp::now()).await;
    assert_eq!((certificate.told, fixture.reloads()), (None, ["0", "4"].map(str::to_owned)));
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_every_ten_seconds_until_the_stop() {
    let fixture = Fixture::new();
    fixture.write(&fresh());
    let certificate = fixture.load(fixture.files()).await.unwrap();
    let config = certificate.config();
    let first = config.load_full();
    let stop = CancellationToken::new();
    let health = Health::new();
    let task = tokio::spawn(certificate.keep_fresh(health.register("certificate"), stop.clone()));
    fixture.write(&fresh());
    while Arc::ptr_eq(&first, &config.load()) {
        tokio::time::sleep(INTERVAL).await;
    }
    assert!(health.is_ready());
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_provided_certificate_is_waited_for_and_a_bad_one_leaves_the_last_good() {
    let fixture = Fixture::new();
    let (provide, provision) = watch::channel(Provision::Waiting);
    let certificate = fixture.load(Source::Provided(provision)).await.unwrap();
    let config = certificate.config();
    let health = Health::new();
    let stop = CancellationToken::new();
    let task = tokio::spawn(certificate.keep_fresh(health.register("certificate"), stop.clone()));
    let stopgap = config.load_full();
    let settle = async |Pair { certificate, key, .. }: Pair| {
        let reloads = fixture.reloads();
        let place = "Secret a/b".to_owned();
        provide.send_replace(Provision::Pair(Arc::new(Provided { place, certificate, key })));
        while reloads == fixture.reloads() {
            tokio::task::yield_now().await;
        }
    };
    assert!(!health.is_ready());
    let (pair, other) = (fresh(), fresh());
    settle(Pair { key: other.key, ..pair.clone() }).await;
    assert!(!health.is_ready() && Arc::ptr_eq(&stopgap, &config.load()));
    settle(pair).await;
    while !health.is_ready() {
        tokio::task::yield_now().await;
    }
    let good = config.load_full();
    assert!(!Arc::ptr_eq(&stopgap, &good));
    settle(Pair { key: b"no".to_vec(), ..fresh() }).await;
    provide.send_replace(Provision::Denied);
    assert!(Arc::ptr_eq(&good, &config.load()));
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_stopgap_has_to_do_where_nothing_may_be_provided() {
    let fixture = Fixture::new();
    let (_provide, provision) = watch::channel(Provision::Denied);
    let certificate = fixture.load(Source::Provided(provision)).await.unwrap();
    let health = Health::new();
    let stop = CancellationToken::new();
    let task = tokio::spawn(certificate.keep_fresh(health.register("certificate"), stop.clone()));
    while !health.is_ready() {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    task.await.unwrap();
}

#[tokio::test]
async fn a_first_pair_that_cannot_be_used_names_its_file_and_the_reason() {
    let fixture = Fixture::new();
    let good = fresh();
    let cannot = "DIR/apiserver.crt";
    let missing = format!("cannot read {cannot}: No such file or directory (os error 2)");
    assert_eq!(load_error(&fixture).await, missing);

    fixture.write(&Pair { key: fresh().key, ..good.clone() });
    let mismatch =
        format!("the key in DIR/apiserver.key does not belong to the certificate in {cannot}");
    assert_eq!(load_error(&fixture).await, mismatch);

    fixture.write(&Pair { certificate: good.key.clone(), ..good.clone() });
    let swapped = load_error(&fixture).await;
    assert!(swapped.starts_with(&format!("no PEM certificate in {cannot}")), "{swapped}");

    fixture.write(&Pair { key: good.certificate.clone(), ..good.clone() });
    let swapped = load_error(&fixture).await;
    assert!(swapped.starts_with("no PEM private key in DIR/apiserver.key"), "{swapped}");

    let body = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    fixture.write(&Pair { certificate: body.into(), ..good.clone() });
    let garbage = load_error(&fixture).await;
    assert!(garbage.starts_with(&format!("no X.509 certificate in {cannot}: ")), "{garbage}");

    let huge = vec![b'x'; 2 * 1024 * 1024];
    fixture.write(&Pair { certificate: huge, ..good });
    assert_eq!(load_error(&fixture).await, format!("cannot read {cannot}: larger than 1 MiB"));
}

#[tokio::test]
async fn a_self_signed_pair_is_kept_and_its_file_is_a_ca_file() {
    let fixture = Fixture::new();
    let directory = fixture.path("made/by/us");
    let names = vec!["metrics.example".to_owned(), "192.0.2.1".to_owned()];
    let source = Source::SelfSigned { directory: Some(directory.clone()), names };
    let first = fixture.load(source.clone()).await.unwrap();
    let [certificate, key] = self_signed::paths(&directory);
    let mode = std::fs::metadata(key).unwrap().permissions().mode() & 0o777;
    let file = std::fs::read(certificate).unwrap();
    let second = fixture.load(source).await.unwrap();
    assert!(first.pair.same_bytes(&second.pair));
    for name in ["localhost", "127.0.0.1", "::1", "metrics.example", "192.0.2.1"] {
        assert!(accepts(&file, &second, name).await, "{name}");
    }
    assert!(!accepts(&file, &second, "elsewhere.example").await);
    assert_eq!(mode, 0o600);
    let left = std::fs::read_dir(directory).unwrap().count();
    assert_eq!(left, 2, "no temporary files stay");
}

#[tokio::test]
async fn a_self_signed_pair_is_renewed_with_its_key_before_it_expires() {
    let fixture = Fixture::new();
    let mut certificate = fixture.load(fixture.kept()).await.unwrap();
    let (old, expires) = (certificate.pair.clone(), certificate.expires());
    certificate.refresh(expires - SignedDuration::from_hours(31 * 24)).await;
    assert!(old.same_bytes(&certificate.pair));

    certificate.refresh(expires - SignedDuration::from_hours(29 * 24)).await;
    assert_eq!(old.key, certificate.pair.key);
    assert!(certificate.expires() > expires + YEAR / 2);
    assert!(certificate.pair.same_bytes(&Pair::read_from(fixture.directory.path()).await.unwrap()));
    assert_eq!(fixture.reloads(), ["1", "0"]);
}

#[tokio::test]
async fn a_client_that_trusts_the_old_file_trusts_its_successor() {
    let fixture = Fixture::new();
    let old = self_signed::make(&[], None, Timestamp::now() - YEAR * 2).unwrap();
    fixture.write(&old);
    let renewed = fixture.load(fixture.kept()).await.unwrap();
    assert!(renewed.expires() > Timestamp::now() + YEAR / 2);
    assert!(accepts(&old.certificate, &renewed, "localhost").await);
}

#[tokio::test]
async fn an_unusable_pair_in_the_directory_is_replaced() {
    let fixture = Fixture::new();
    let (one, other) = (fresh(), fresh());
    for bad in [
        Pair { certificate: b"nonsense".to_vec(), ..one.clone() },
        Pair { key: other.key, ..one.clone() },
    ] {
        fixture.write(&bad);
        let certificate = fixture.load(fixture.kept()).await.unwrap();
        assert!(certificate.expires() > Timestamp::now() + YEAR / 2);
    }
}

#[tokio::test]
async fn a_pair_of_somebody_else_is_never_replaced() {
    let fixture = Fixture::new();
    let foreign = foreign_and_expired();
    fixture.write(&foreign);
    let mut certificate = fixture.load(fixture.kept()).await.unwrap();
    certificate.refresh(Timestamp::now()).await;
    assert!(certificate.pair.same_bytes(&foreign));
    assert_eq!(certificate.expires().to_string(), "2001-02-03T00:00:00Z");
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_leaves_the_pair_in_memory() {
    let fixture = Fixture::new();
    std::fs::write(fixture.path("file"), "").unwrap();
    let directory = Some(fixture.path("file").join("below"));
    let source = Source::SelfSigned { directory, names: vec![] };
    let mut certificate = fixture.load(source).await.unwrap();
    let pair = certificate.pair.clone();
    certificate.refresh(Timestamp::now()).await;
    assert!(pair.same_bytes(&certificate.pair));
}

#[test]
fn own_names_are_good_for_a_certificate() {
    let names = own_names([192, 0, 2, 7].into());
    assert_eq!(names[0], "192.0.2.7");
    self_signed::make(&names, None, Timestamp::now()).unwrap();
    assert!(own_names([0, 0, 0, 0].into()).iter().all(|name| name != "0.0.0.0"));
}

#[test]
fn a_key_is_never_shown() {
    let shown = format!("{:?}", fresh());
    assert!(!shown.contains("PRIVATE") && !shown.contains("key: ["), "{shown}");
}
