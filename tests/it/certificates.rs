//! The self-managed certificate against a fake API server, and in `aggregator` with a real one that
//! verifies it.

mod aggregator;

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use k8s_openapi::ByteString;
use kube::Client;
use plimsoll::cluster::certificates::{Certificates, Settings, follow};
use plimsoll::cluster::client;
use plimsoll::cluster::lease::{self, Lease};
use plimsoll::cluster::name::NamespacedName;
use plimsoll::pki::Provision;
use plimsoll::pki::authority::{Authority, split};
use plimsoll::pki::rotation::Schedule;
use plimsoll::serve::certificate::{Certificate, Source};
use plimsoll::serve::health::{Health, Probe};
use plimsoll::serve::shutdown::Shutdown;
use plimsoll::serve::tls::Protocols;
use plimsoll::serve::{Context, Limits, Listener, Peer};
use plimsoll::telemetry::metrics::Metrics;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::support::objects::FakeObjects;
use crate::support::plimsoll::wait_until;

const SECRET: &str = "/api/v1/namespaces/monitoring/secrets/plimsoll-certificates";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/monitoring/leases/plimsoll";
const CUSTOM: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta2.custom.metrics.k8s.io";
const EXTERNAL: &str =
    "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io";
const RESOURCE: &str = "/apis/apiregistration.k8s.io/v1/apiservices/v1beta1.metrics.k8s.io";

fn named(name: &str) -> NamespacedName {
    format!("monitoring/{name}").parse().unwrap()
}

fn settings(schedule: Schedule) -> Settings {
    let interval = Duration::from_millis(50);
    let settings = Settings::new(named("plimsoll-certificates"), named("plimsoll"));
    Settings { schedule, interval, ..settings }
}

fn lease_settings(identity: &str) -> lease::Settings {
    let settings =
        lease::Settings::new("monitoring".to_owned(), "plimsoll".to_owned(), identity.to_owned());
    lease::Settings {
        duration: Duration::from_secs(1),
        retry: Duration::from_millis(200),
        ..settings
    }
}

fn apiservice(name: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {},
        "spec": {
            "group": "g", "version": "v", "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"namespace": "monitoring", "name": name, "port": 443},
        },
    })
}

async fn client(kubeconfig: &str) -> Client {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), kubeconfig).unwrap();
    client::connect(&client::Settings { kubeconfig: Some(file.path().to_owned()) }).await.unwrap()
}

/// What the API server trusts.
fn bundle(fake: &FakeObjects, path: &str) -> Option<String> {
    let object = fake.get(path)?;
    let ByteString(bytes) = serde_json::from_value(object["spec"]["caBundle"].clone()).ok()?;
    Some(String::from_utf8(bytes).unwrap()).filter(|bundle| !bundle.is_empty())
}

/// A replica with everything that it has in a cluster; it dies when this is dropped.
struct Replica {
    address: SocketAddr,
    health: Health,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

impl Replica {
    async fn start(client: Client, settings: Settings, lease: lease::Settings) -> Self {
        Self::start_at("127.0.0.1:0".parse().unwrap(), client, settings, lease).await
    }

    async fn start_at(
        address: SocketAddr,
        client: Client,
        settings: Settings,
        lease: lease::Settings,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let (provide, provision) = watch::channel(Provision::Waiting);
        let source = Source::Provided(provision);
        let protocols = Protocols { http2: false, ..Protocols::default() };
        let certificate = Certificate::load(source, protocols, Arc::clone(&metrics));
        let certificate = certificate.await.unwrap();
        let listener = Listener::bind(address).await.unwrap();
        let (address, tls) = (listener.local_addr(), certificate.config());
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let ready = health.register("certificate");
        let (hold, held) = watch::channel(false);
        let context = Context { limits: Limits::default(), shutdown: shutdown.clone(), metrics };
        let serve = async move {
            listener.serve(tls, context, answer).await;
        };
        let spawn = |task| AbortOnDropHandle::new(tokio::spawn(task));
        let lease = Lease::new(client.clone(), lease).run(hold, CancellationToken::new());
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(serve)),
            AbortOnDropHandle::new(tokio::spawn(certificate.keep_fresh(ready, shutdown.stopped()))),
            AbortOnDropHandle::new(tokio::spawn(lease)),
            AbortOnDropHandle::new(tokio::spawn(follow(
                client.clone(),
                settings.secret.clone(),
                provide,
            ))),
            spawn(Certificates::new(client, settings).maintain(held)),
        ];
        Self { address, health, _tasks: tasks }
    }

    async fn ready(&self) {
        wait_until("the certificate is there", async || {
            self.health.answer(Probe::Readyz, None).0 == StatusCode::OK
        })
        .await;
    }
}

/// The discovery of any group and version: what the API server asks for to find it available. The
/// next request has to be on a connection of its own, and to verify the certificate again.
async fn answer(request: Request<Incoming>, _peer: Arc<Peer>) -> Response<Full<Bytes>> {
    let group_version = request.uri().path().trim_start_matches("/apis/").to_owned();
    let list = json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": [],
    });
    let body = Full::new(Bytes::from(list.to_string()));
    let response = Response::builder().header("content-type", "application/json");
    response.header("connection", "close").body(body).unwrap()
}

/// A request as the API server sends it: a new connection, verified by the bundle of now. The
/// certificate that was served, or what went wrong.
async fn ask(address: SocketAddr, bundle: &str) -> Result<CertificateDer<'static>, String> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(bundle.as_bytes()) {
        roots.add(authority.unwrap()).unwrap();
    }
    let tls = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("plimsoll.monitoring.svc").unwrap();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
    let stream = stream.map_err(|error| error.to_string())?;
    let certificate = stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned();
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    tokio::spawn(connection);
    let request = Request::get("/apis").header("host", "plimsoll").body(Full::<Bytes>::default());
    let answer = sender.send_request(request.unwrap()).await.map_err(|error| error.to_string())?;
    match answer.status() {
        StatusCode::OK => Ok(certificate),
        status => Err(status.to_string()),
    }
}

/// A life of seconds: the authority is renewed after six of nine, certificates after four of six.
const FAST: Schedule = Schedule {
    leaf_lifetime: Duration::from_secs(6),
    authority_lifetime: Duration::from_secs(9),
    propagation: Duration::from_millis(500),
    grace: Duration::from_millis(500),
};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_all_the_time_sees_no_failure_while_everything_rotates() {
    let fake = FakeObjects::start().await;
    fake.put(CUSTOM, apiservice("plimsoll"));
    let client = client(&fake.kubeconfig()).await;
    let first = Replica::start(client.clone(), settings(FAST), lease_settings("first")).await;
    first.ready().await;
    let second = Replica::start(client, settings(FAST), lease_settings("second")).await;
    second.ready().await;

    let mut replicas = vec![first, second];
    let (mut certificates, mut authorities) = (HashSet::new(), BTreeSet::new());
    let (mut requests, mut deleted) = (0, false);
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    while authorities.len() < 5 || certificates.len() < 6 {
        assert!(tokio::time::Instant::now() < deadline, "{} authorities", authorities.len());
        for replica in &replicas {
            let bundle = bundle(&fake, CUSTOM).unwrap();
            authorities.extend(split(&bundle));
            match ask(replica.address, &bundle).await {
                Ok(certificate) => drop(certificates.insert(certificate)),
                Err(error) => panic!("request {requests} to {}: {error}", replica.address),
            }
            requests += 1;
        }
        if authorities.len() == 2 && replicas.len() == 2 {
            // In the middle of a rotation the holder dies without a word.
            let holder = fake.get(LEASE).unwrap()["spec"]["holderIdentity"].clone();
            replicas.remove(usize::from(holder == "second"));
        }
        if authorities.len() == 3 && !deleted && split(&bundle(&fake, CUSTOM).unwrap()).len() == 1 {
            fake.delete(SECRET);
            deleted = true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(deleted && requests > 100, "{requests} requests");
}

#[tokio::test]
async fn the_bundle_goes_to_what_points_to_us_and_to_nothing_else() {
    let fake = FakeObjects::start().await;
    let unverified = {
        let mut apiservice = apiservice("plimsoll");
        apiservice["spec"]["insecureSkipTLSVerify"] = json!(true);
        apiservice
    };
    fake.put(CUSTOM, apiservice("plimsoll"));
    fake.put(EXTERNAL, apiservice("keda-operator-metrics-apiserver"));
    fake.put(RESOURCE, unverified);
    fake.refuse(&format!("GET {}", CUSTOM.replace('2', "1")), Some(StatusCode::FORBIDDEN));
    let client = client(&fake.kubeconfig()).await;
    let schedule = Schedule::default();
    let replica = Replica::start(client, settings(schedule), lease_settings("one")).await;
    replica.ready().await;
    let ours = bundle(&fake, CUSTOM).unwrap();
    assert_eq!(split(&ours).len(), 1);
    assert_eq!((bundle(&fake, EXTERNAL), bundle(&fake, RESOURCE)), (None, None));
    let patches = fake.requests("PATCH /apis/apiregistration");
    assert_eq!(patches, [format!("PATCH {CUSTOM}?&force=true&fieldManager=plimsoll-certificates")]);
    let spec = &fake.get(CUSTOM).unwrap()["spec"];
    assert_eq!((&spec["group"], &spec["service"]["port"]), (&json!("g"), &json!(443)));

    // One that comes, one that is made again, and one that somebody spoils.
    fake.put(EXTERNAL, apiservice("plimsoll"));
    fake.delete(CUSTOM);
    fake.put(CUSTOM, apiservice("plimsoll"));
    let both = async || {
        [CUSTOM, EXTERNAL].map(|path| bundle(&fake, path)) == [(); 2].map(|()| Some(ours.clone()))
    };
    wait_until("both have the bundle", both).await;
    let mut spoiled = fake.get(CUSTOM).unwrap();
    spoiled["spec"]["caBundle"] = json!("bm8=");
    fake.put(CUSTOM, spoiled);
    wait_until("it is repaired", both).await;
    assert!(ask(replica.address, &ours).await.is_ok());
}

#[tokio::test]
async fn the_authority_of_an_operator_signs_and_stays_untouched() {
    let fake = FakeObjects::start().await;
    fake.put(CUSTOM, apiservice("plimsoll"));
    let given = Authority::make(jiff::Timestamp::now(), Duration::from_hours(1)).unwrap();
    let data = json!({
        "ca.crt": ByteString(given.certificate.clone().into_bytes()),
        "ca.key": ByteString(given.key.unwrap().into_bytes()),
    });
    fake.put(SECRET, json!({"apiVersion": "v1", "kind": "Secret", "metadata": {}, "data": data}));
    let client = client(&fake.kubeconfig()).await;
    let replica =
        Replica::start(client, settings(Schedule::default()), lease_settings("one")).await;
    replica.ready().await;
    assert_eq!(bundle(&fake, CUSTOM).as_ref(), Some(&given.certificate));
    assert!(ask(replica.address, &given.certificate).await.is_ok());
    let now = fake.get(SECRET).unwrap()["data"].clone();
    assert_eq!((&now["ca.crt"], &now["ca.key"]), (&data["ca.crt"], &data["ca.key"]));
}

#[tokio::test]
async fn without_the_right_to_read_the_secret_a_stopgap_serves_until_there_is_one() {
    let fake = FakeObjects::start().await;
    fake.put(CUSTOM, apiservice("plimsoll"));
    let secrets = "GET /api/v1/namespaces/monitoring/secrets";
    fake.refuse(secrets, Some(StatusCode::FORBIDDEN));
    let client = client(&fake.kubeconfig()).await;
    let replica =
        Replica::start(client, settings(Schedule::default()), lease_settings("one")).await;
    replica.ready().await;
    assert_eq!(bundle(&fake, CUSTOM), None);
    fake.refuse(secrets, None);
    wait_until("the real one serves", async || match bundle(&fake, CUSTOM) {
        Some(bundle) => ask(replica.address, &bundle).await.is_ok(),
        None => false,
    })
    .await;
}

#[tokio::test]
async fn a_lease_has_one_holder_and_passes_on() {
    let fake = FakeObjects::start().await;
    let client = client(&fake.kubeconfig()).await;
    let start = |identity| {
        let (hold, held) = watch::channel(false);
        let stop = CancellationToken::new();
        let lease = Lease::new(client.clone(), lease_settings(identity));
        let task = AbortOnDropHandle::new(tokio::spawn(lease.run(hold, stop.clone())));
        (held, stop, task)
    };
    let (mut one, stop_one, _task_one) = start("one");
    one.wait_for(|held| *held).await.unwrap();
    let (mut two, _stop_two, task_two) = start("two");
    let gets = fake.requests("GET").len();
    wait_until("both have looked", async || fake.requests("GET").len() > gets + 10).await;
    assert_eq!((*one.borrow(), *two.borrow()), (true, false));

    // Given back, it passes on at once; from one that died it does after its duration.
    stop_one.cancel();
    two.wait_for(|held| *held).await.unwrap();
    assert!(!*one.borrow_and_update());
    drop(task_two);
    let died = tokio::time::Instant::now();
    let (mut three, _stop_three, _task_three) = start("three");
    three.wait_for(|held| *held).await.unwrap();
    assert!(died.elapsed() >= Duration::from_millis(700), "{:?}", died.elapsed());
    let spec = fake.get(LEASE).unwrap()["spec"].clone();
    assert_eq!((&spec["holderIdentity"], &spec["leaseTransitions"]), (&json!("three"), &json!(2)));

    // Cut off, the holder gives up by itself, and comes back.
    fake.refuse("GET", Some(StatusCode::INTERNAL_SERVER_ERROR));
    three.wait_for(|held| !held).await.unwrap();
    fake.refuse("GET", None);
    three.wait_for(|held| *held).await.unwrap();
}
