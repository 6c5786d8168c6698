//! `hack/bench faults`: what is lost while something breaks, and how soon all is well again.
//!
//! Meanwhile HPAs ask on. Two kinds of loss are told apart: metrics without a policy must fail
//! while there is no data, one whose last values are promised must not. No answer may be wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::asker::{Asker, Pace, Tally};
use crate::cluster::FakeCluster;
use crate::fleet::Fleet;
use crate::samples::{Failure, FakePrometheus};
use crate::scale::{REFRESH, start_plimsoll};
use crate::serve::{memory, ready};
use crate::workload::{self, Metric};

/// The clients that come at once; most of them are told to come again.
const CROWD: usize = 10_000;

/// The clients that read a byte a second.
const SLOW_READERS: usize = 50;

/// How long to wait until all is well.
const PATIENCE: Duration = Duration::from_mins(2);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// How long each fault lasts.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// HPAs, each with a Deployment of its own, which each ask every 5 s.
    #[arg(long, default_value_t = 100)]
    hpas: usize,
    /// Pods of all Deployments together.
    #[arg(long, default_value_t = 10_000)]
    pods: usize,
    /// How many clients connect at once.
    #[arg(long, default_value_t = CROWD)]
    crowd: usize,
}

/// What breaks.
#[derive(Clone, Copy)]
enum Fault {
    Backend(Failure),
    ApiServer,
    Crowd,
    /// And the API server has to connect among them.
    Crush,
    SlowReaders,
}

const FAULTS: [(&str, Fault); 11] = [
    ("none", Fault::Backend(Failure::None)),
    ("backend down", Fault::Backend(Failure::Down)),
    ("backend slow to the deadline", Fault::Backend(Failure::Stalls)),
    ("backend flaps every second", Fault::Backend(Failure::Flaps)),
    ("backend gives wrong data", Fault::Backend(Failure::WrongData)),
    ("backend gives half answers", Fault::Backend(Failure::HalfAnswers)),
    ("backend says 429, Retry-After", Fault::Backend(Failure::TooManyRequests)),
    ("API server gone", Fault::ApiServer),
    ("clients connect at once", Fault::Crowd),
    ("the same, API server reconnects", Fault::Crush),
    ("clients read a byte a second", Fault::SlowReaders),
];

/// A plimsoll and what it stands on.
struct World {
    plimsoll: Child,
    address: SocketAddr,
    certificate: PathBuf,
    prometheus: FakePrometheus,
    cluster: FakeCluster,
    asker: Arc<Asker>,
    pace: Pace,
    crowd: usize,
}

pub(crate) async fn run(args: &Args) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut world = World::start(dir.path(), args).await?;
    println!(
        "each fault lasts {} s; {} HPAs over {} pods ask for 5 metrics every {:?}, refreshed every \
         {REFRESH:?}\n",
        args.seconds, args.hpas, args.pods, world.pace.period
    );
    println!(
        "{:<32}{:>8}{:>8}{:>10}{:>8}{:>11}{:>13}{:>10}{:>13}",
        "fault",
        "asked",
        "lost",
        "promised",
        "wrong",
        "oldest s",
        "promised s",
        "peak MiB",
        "recovery s"
    );
    let mut failed = Vec::new();
    for (name, fault) in FAULTS {
        let (tally, recovery) = world.suffer(name, fault).await?;
        let is_of_backend = matches!(fault, Fault::Backend(_));
        if tally.wrong > 0 || (is_of_backend && tally.broken_promises > 0) || recovery > REFRESH * 2
        {
            failed.push(name);
        }
    }
    world.plimsoll.kill().await?;
    println!(
        "\naims: wrong 0; promised answers lost 0 while a backend fails; recovery within {:?}",
        REFRESH * 2
    );
    if failed.is_empty() { Ok(()) } else { bail!("aims missed: {}", failed.join(", ")) }
}

impl World {
    async fn start(dir: &Path, args: &Args) -> Result<Self> {
        let fleet = Fleet { hpas: args.hpas, pods: args.pods };
        let prometheus = FakePrometheus::start(fleet).await?;
        let cluster = FakeCluster::start(fleet).await?;
        let (config, kubeconfig) = (dir.join("config.yaml"), dir.join("kubeconfig"));
        std::fs::write(&config, workload::config(true))?;
        std::fs::write(&kubeconfig, cluster.kubeconfig())?;
        let (plimsoll, addresses) =
            start_plimsoll(dir, &config, &kubeconfig, prometheus.address).await?;
        ready(addresses.admin).await?;
        let (address, certificate) = (addresses.secure, dir.join("apiserver.crt"));
        let asker = Arc::new(Asker::new(address, &certificate, &cluster.front_proxy)?);
        let duration = Duration::from_secs(args.seconds);
        let period = Duration::from_secs(5).min(duration);
        let pace = Pace { fleet, period, duration, own_selectors: false };
        let crowd = args.crowd;
        Ok(Self { plimsoll, address, certificate, prometheus, cluster, asker, pace, crowd })
    }

    /// Breaks something, asks on, mends it, and prints a row.
    async fn suffer(&mut self, name: &str, fault: Fault) -> Result<(Tally, Duration)> {
        self.recovery().await?;
        let process = self.plimsoll.id().context("plimsoll has ended")?;
        // Begins to count the peak anew.
        std::fs::write(format!("/proc/{process}/clear_refs"), "5")?;
        let over = CancellationToken::new();
        let mut clients = JoinSet::new();
        match fault {
            Fault::Backend(failure) => self.prometheus.fail(failure),
            Fault::ApiServer => drop(self.cluster.is_open.send_replace(false)),
            Fault::Crowd => self.clients(self.crowd, &over, &mut clients, "")?,
            Fault::Crush => {
                self.clients(self.crowd, &over, &mut clients, "")?;
                self.asker.disconnect().await;
            }
            Fault::SlowReaders => {
                let path = "/apis/custom.metrics.k8s.io/v1beta2/namespaces/team-0000/pods/*/\
                            http_requests_in_flight";
                self.clients(SLOW_READERS, &over, &mut clients, path)?;
            }
        }
        let tally = self.asker.run(self.pace).await?;
        self.prometheus.fail(Failure::None);
        self.cluster.is_open.send_replace(true);
        over.cancel();
        clients.join_all().await;
        let recovery = self.recovery().await?;
        println!(
            "{name:<32}{:>8}{:>8}{:>10}{:>8}{:>11.1}{:>13.1}{:>10.1}{:>13.1}",
            tally.asked,
            tally.lost,
            tally.broken_promises,
            tally.wrong,
            Duration::from_millis(tally.oldest).as_secs_f64(),
            Duration::from_millis(tally.oldest_promised).as_secs_f64(),
            memory(process, "VmHWM")?,
            recovery.as_secs_f64(),
        );
        let mut reasons: Vec<_> = tally.reasons.iter().collect();
        reasons.sort_unstable_by_key(|(_, times)| std::cmp::Reverse(**times));
        for (reason, times) in reasons.into_iter().take(2) {
            println!("    {times} lost to: {reason}");
        }
        Ok((tally, recovery))
    }

    /// How long it takes until every metric has values that are not too old.
    async fn recovery(&self) -> Result<Duration> {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            let mut tally = Tally::default();
            for metric in Metric::ALL {
                for deployment in [0, self.pace.fleet.hpas - 1] {
                    self.asker.ask(self.pace, metric, deployment, &mut tally).await;
                }
            }
            let oldest = Duration::from_millis(tally.oldest.max(tally.oldest_promised));
            if tally.lost == 0 && oldest <= REFRESH * 2 {
                return Ok(begin.elapsed());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("it has not recovered within {PATIENCE:?}")
    }

    /// Connects clients all at once, which stay until it is over. With a path each asks for it and
    /// reads a byte of the answer a second; without, it says nothing.
    fn clients(
        &self,
        count: usize,
        over: &CancellationToken,
        clients: &mut JoinSet<()>,
        path: &str,
    ) -> Result<()> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(&self.certificate)? {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        for _ in 0..count {
            let (connector, address, over) = (connector.clone(), self.address, over.clone());
            let path = path.to_owned();
            clients.spawn(async move {
                let client = async {
                    // Whoever is turned away has nothing to do.
                    if let Err(error) = linger(&connector, address, &path).await {
                        drop(error);
                    }
                };
                over.run_until_cancelled(client).await;
            });
        }
        Ok(())
    }
}

async fn linger(connector: &TlsConnector, address: SocketAddr, path: &str) -> Result<()> {
    let stream = TcpStream::connect(address).await?;
    let mut stream = connector.connect(ServerName::from(address.ip()), stream).await?;
    if !path.is_empty() {
        let request = format!("GET {path} HTTP/1.1\r\nhost: plimsoll\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        while stream.read_u8().await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    }
    std::future::pending().await
}
