//! The HPA controller, as far as its questions go: through the front proxy over TLS and HTTP/2, in
//! protobuf, each HPA's metrics one after the other, by a few workers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;

use crate::cluster::FrontProxy;
use crate::fleet::{self, Fleet};
use crate::samples;
use crate::workload::{Metric, Of};

/// `--concurrent-horizontal-pod-autoscaler-syncs` of the controller manager, as it is shipped.
const WORKERS: usize = 5;

/// What the controller accepts.
const ACCEPT: &str = "application/vnd.kubernetes.protobuf, */*";

/// What a protobuf body of Kubernetes begins with.
const MAGIC: &[u8] = b"k8s\0";

/// How long an answer may take; the controller would wait longer.
const DEADLINE: Duration = Duration::from_secs(30);

/// A client of one server.
pub(crate) struct Asker {
    address: SocketAddr,
    connector: TlsConnector,
    connection: Mutex<Option<SendRequest<Empty<Bytes>>>>,
}

/// How the asking is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) fleet: Fleet,
    /// From one time that an HPA asks to the next.
    pub(crate) period: Duration,
    pub(crate) duration: Duration,
    /// Whether each HPA has a selector of its own for the external metric.
    pub(crate) own_selectors: bool,
}

/// What came of all questions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How many questions were due.
    pub(crate) due: usize,
    /// How many were asked.
    pub(crate) asked: usize,
    /// How many had no value, and those of them that were promised one.
    pub(crate) lost: usize,
    pub(crate) broken_promises: usize,
    /// Values that are not those of whom they were asked for.
    pub(crate) wrong: usize,
    /// Age of the oldest value in milliseconds, those apart whose last values are promised.
    pub(crate) oldest: u64,
    pub(crate) oldest_promised: u64,
    /// How long each answer took.
    latencies: Vec<Duration>,
    /// Why there was no value.
    pub(crate) reasons: BTreeMap<String, usize>,
}

impl Asker {
    /// A client that trusts a certificate and is the front proxy.
    pub(crate) fn new(address: SocketAddr, ca: &Path, proxy: &FrontProxy) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(ca)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(
                vec![CertificateDer::from_pem_slice(proxy.certificate.as_bytes())?],
                PrivateKeyDer::from_pem_slice(proxy.key.as_bytes())?,
            )?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(config));
        Ok(Self { address, connector, connection: Mutex::new(None) })
    }

    /// Asks for a path; the status and the body. A connection that ends before it has taken a
    /// request is no failure: Go's client takes another one then.
    pub(crate) async fn get(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        match self.get_once(path).await {
            Err(error) if error.downcast_ref().is_some_and(hyper::Error::is_canceled) => {
                self.get_once(path).await
            }
            other => other,
        }
    }

    async fn get_once(&self, path: &str) -> Result<(StatusCode, Bytes)> {
        let request = Request::get(format!("https://{}{path}", self.address))
            .header("accept", ACCEPT)
            .header("x-remote-user", "system:serviceaccount:kube-system:horizontal-pod-autoscaler")
            .header("x-remote-group", "system:serviceaccounts")
            .header("x-remote-group", "system:authenticated")
            .body(Empty::new())?;
        let answer = async {
            let response = self.connection().await?.send_request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        timeout(DEADLINE, answer).await.context("no answer in time")?
    }

    /// Has the next question connect anew.
    pub(crate) async fn disconnect(&self) {
        *self.connection.lock().await = None;
    }

    async fn connection(&self) -> Result<SendRequest<Empty<Bytes>>> {
        let mut known = self.connection.lock().await;
        if let Some(connection) = known.as_ref().filter(|it| !it.is_closed()) {
            return Ok(connection.clone());
        }
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::from(self.address.ip());
        let stream = self.connector.connect(name, stream).await?;
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        // How it ends is seen by whoever asks.
        tokio::spawn(connection);
        *known = Some(sender.clone());
        Ok(sender)
    }

    /// Asks as the controller does, each HPA once in a period.
    pub(crate) async fn run(self: &Arc<Self>, pace: Pace) -> Result<Tally> {
        let begin = Instant::now();
        let next = Arc::new(AtomicUsize::new(0));
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            workers.spawn(Arc::clone(self).work(pace, begin, Arc::clone(&next)));
        }
        let mut tally = Tally::default();
        while let Some(one) = workers.join_next().await {
            tally.add(one?);
        }
        let due = pace.duration.as_secs_f64() / pace.period.as_secs_f64() * count(pace.fleet.hpas);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let due = due.round() as usize;
        tally.due = due * Metric::ALL.len();
        Ok(tally)
    }

    async fn work(self: Arc<Self>, pace: Pace, begin: Instant, next: Arc<AtomicUsize>) -> Tally {
        let mut tally = Tally::default();
        let step = pace.period.div_f64(count(pace.fleet.hpas));
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let due = begin + step.mul_f64(count(number));
            sleep_until(due).await;
            if begin.elapsed() >= pace.duration {
                return tally;
            }
            for metric in Metric::ALL {
                self.ask(pace, metric, number % pace.fleet.hpas, &mut tally).await;
            }
        }
    }

    /// Asks for one metric of a Deployment.
    pub(crate) async fn ask(
        &self,
        pace: Pace,
        metric: Metric,
        deployment: usize,
        tally: &mut Tally,
    ) {
        let asked = Instant::now();
        let answer = self.get(&metric.path(deployment, pace.own_selectors)).await;
        tally.asked += 1;
        tally.latencies.push(asked.elapsed());
        let values = match answer {
            Ok((StatusCode::OK, body)) => values(metric, &body).map_err(|error| error.to_string()),
            Ok((status, body)) => Err(format!("{}: {}", status.as_u16(), message(&body))),
            Err(error) => Err(format!("{error:#}")),
        };
        match values {
            Ok(values) => tally.judge(pace.fleet, metric, deployment, &values),
            Err(reason) => tally.lose(metric, &reason),
        }
    }
}

impl Tally {
    fn add(&mut self, mut other: Self) {
        self.asked += other.asked;
        self.lost += other.lost;
        self.broken_promises += other.broken_promises;
        self.wrong += other.wrong;
        self.oldest = self.oldest.max(other.oldest);
        self.oldest_promised = self.oldest_promised.max(other.oldest_promised);
        self.latencies.append(&mut other.latencies);
        for (reason, times) in other.reasons {
            *self.reasons.entry(reason).or_default() += times;
        }
    }

    fn lose(&mut self, metric: Metric, reason: &str) {
        self.lost += 1;
        self.broken_promises += usize::from(metric.is_promised());
        // Up to what names an object, so that the like come together.
        let reason: String = reason.chars().take(300).collect();
        if self.reasons.len() < 100 || self.reasons.contains_key(&reason) {
            *self.reasons.entry(reason).or_default() += 1;
        }
    }

    fn judge(
        &mut self,
        fleet: Fleet,
        metric: Metric,
        deployment: usize,
        values: &[(Option<usize>, u64)],
    ) {
        let (expected, count) = match metric.of() {
            Of::Pods => (fleet.pods_of(deployment), fleet.replicas()),
            Of::Deployment => (deployment..deployment + 1, 1),
            Of::Namespace => {
                let number = Fleet::namespace_of(deployment);
                (number..number + 1, 1)
            }
        };
        if values.len() < count {
            return self.lose(metric, "values are missing");
        }
        for (name, value) in values {
            let (made, number) = samples::read(*value);
            let age = samples::now().saturating_sub(made);
            let is_right = expected.contains(&number) && name.is_none_or(|name| name == number);
            self.wrong += usize::from(!is_right || made > samples::now());
            let oldest =
                if metric.is_promised() { &mut self.oldest_promised } else { &mut self.oldest };
            *oldest = age.max(*oldest);
        }
    }

    /// The latency that so many of a hundred answers are not slower than, in milliseconds.
    pub(crate) fn latency(&mut self, percent: usize) -> f64 {
        self.latencies.sort_unstable();
        let at = self.latencies.get(self.latencies.len() * percent / 100);
        at.map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }
}

/// A count that is far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "it is far below 2^53")]
pub(crate) fn count(number: usize) -> f64 {
    number as f64
}

/// The `runtime.Unknown` that every protobuf body is.
#[derive(prost::Message)]
struct Unknown {
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

/// `MetricValueList` and `ExternalMetricValueList`, which are alike as far as they are read here.
#[derive(prost::Message)]
struct List {
    #[prost(message, repeated, tag = "2")]
    items: Vec<Item>,
}

#[derive(prost::Message)]
struct Item {
    /// An object; for an external metric it is the metric's name.
    #[prost(bytes = "vec", tag = "1")]
    described: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    value: Option<Quantity>,
}

#[derive(prost::Message)]
struct Described {
    #[prost(string, tag = "3")]
    name: String,
}

#[derive(prost::Message)]
struct Quantity {
    #[prost(string, tag = "1")]
    text: String,
}

/// `Status` of meta/v1.
#[derive(prost::Message)]
struct Status {
    #[prost(string, tag = "3")]
    message: String,
}

/// What a `Status` says, or the body where it is none.
fn message(body: &[u8]) -> String {
    let raw = body.strip_prefix(MAGIC).and_then(|body| Unknown::decode(body).ok());
    let status = raw.and_then(|unknown| Status::decode(&*unknown.raw).ok());
    status.map_or_else(|| String::from_utf8_lossy(body).into_owned(), |status| status.message)
}

/// The number of the object, where there is one, and the value of each item.
fn values(metric: Metric, body: &[u8]) -> Result<Vec<(Option<usize>, u64)>> {
    let body = body.strip_prefix(MAGIC).context("the answer is not protobuf")?;
    let list = List::decode(&*Unknown::decode(body)?.raw)?;
    let item = |item: Item| {
        let name = match metric.of() {
            Of::Namespace => None,
            _ => fleet::number(&Described::decode(&*item.described)?.name),
        };
        Ok((name, quantity(&item.value.unwrap_or_default().text)?))
    };
    list.items.into_iter().map(item).collect()
}

/// A quantity that is whole.
fn quantity(text: &str) -> Result<u64> {
    let suffixes = [("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
    for (suffix, zeros) in suffixes {
        if let Some(digits) = text.strip_suffix(suffix) {
            return Ok(digits.parse::<u64>()? * 10_u64.pow(zeros));
        }
    }
    let Ok(value) = text.parse() else { bail!("{text:?} is no value that was given") };
    Ok(value)
}
