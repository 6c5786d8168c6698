//! The composition root: the only place that knows every room.
//!
//! [`run`] builds from the inside out — configuration, backend, inventory, engine, servers — and
//! binds every port before anything is spawned, so that what cannot work fails at once, in one
//! sentence. Then it serves until the end comes, in the order of [`crate::serve::shutdown`].

mod admission;
mod answers;
mod backends;
mod certificates;
mod exemptions;
mod lease;
mod reload;
mod reports;
mod signals;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::backends::Ground;
use self::lease::Leadership;
use self::reports::Reports;
use crate::admin::Admin;
use crate::apiserver::ApiServer;
use crate::apiserver::access::{Access, ClusterAccess};
use crate::cli::Invocation;
use crate::cli::serve::{KubernetesArgs, ServeArgs, Settings};
use crate::cluster::authn::Authenticator;
use crate::cluster::authz::Authorizer;
use crate::cluster::file::FileInventory;
use crate::cluster::watch::WatchInventory;
use crate::cluster::{self, AnyInventory, client};
use crate::config::Config;
use crate::engine::discovery::Schedule;
use crate::engine::{self, Engine};
use crate::model::custom::CustomKind;
use crate::prometheus::Backends;
use crate::serve::health::Health;
use crate::serve::shutdown::Shutdown;
use crate::serve::{Context, Limits, Listener, Peer};
use crate::signals::resolve::Resolved;
use crate::tasks;
use crate::telemetry::metrics::{ForecastState, Metrics, SnapshotState, WatchState};
use crate::wire::negotiate::Form;
use crate::wire::version;

/// How often `--objects` is looked at for changes.
const OBJECTS_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
pub async fn run(invocation: Invocation) -> anyhow::Result<()> {
    let Invocation { serve: args, ignored } = invocation;
    let settings = args.settings()?;
    if !ignored.is_empty() {
        warn!(flags = ignored.join(" "), "flags of prometheus-adapter that mean nothing here");
    }
    let metrics = Arc::new(Metrics::new());
    let (text, config) = load(&settings).await?;
    let ground = Ground::new(&args);
    let backend = ground.backends(&config, &metrics)?;
    let client = cluster_client(&args).await?;
    let inventory = inventory(&args, client.clone()).await?;
    let access = access(&args, &settings, &metrics).await?;
    let engine = Arc::new(Engine::new(backend, inventory, engine_settings(&args)));
    let (certificate, keeper) =
        certificates::certificate(&args.serving, &settings, client.as_ref(), &metrics).await?;
    let leadership = Leadership::new(&args.serving, client.as_ref()).await;
    let Listeners { secure, admission, admin } = Listeners::bind(&settings).await?;
    let (changed, config) = watch::channel(Arc::new(config));

    // Nothing is spawned before this line.
    let health = Health::new();
    let certified = health.register("certificate");
    // Admission needs no backend, and the API none of what admission waits for.
    let admission_health = health.part();
    let shutdown = Shutdown::on_signals(health.clone(), settings.shutdown_delay)?;
    observe(&engine, &metrics);
    let stop = shutdown.stopped();
    let exemptions = engine.inventory().custom(CustomKind::Exemption);
    let policy = exemptions::follow(config.clone(), exemptions, stop.clone());
    let cluster = admission::gather(&engine, policy, certificates::namespace().await, &stop);
    let schedule = Schedule {
        relist_interval: args.prometheus.metrics_relist_interval,
        max_age: settings.max_age,
    };
    let resolved = answers::start(&engine, config, schedule, &health, &metrics, &stop);
    tasks::spawn_until(stop.clone(), "heartbeat", health.clone().beat());
    let tls = certificate.config();
    let fresh = certificate.keep_fresh(certified, stop.clone());
    tasks::spawn_until(stop.clone(), "serving certificate", fresh);
    let lease = lead(leadership.zip(client), keeper, &engine, resolved, &stop);
    let poll = args.config_poll_interval;
    let take_up = reload::TakeUp { ground, engine: Arc::clone(&engine), config: changed };
    let follow =
        reload::follow(settings.config, text, poll, take_up, metrics.clone(), stop.clone());
    tasks::spawn_until(stop, "configuration", follow);

    info!(address = %secure.local_addr(), "serving the metrics APIs");
    info!(address = %admission.local_addr(), "serving admission");
    info!(address = %admin.local_addr(), "serving admin");
    let streams = args.serving.http2_max_streams_per_connection;
    let limits = Limits { streams, ..Limits::default() };
    let context = Context { limits, shutdown, metrics: Arc::clone(&metrics) };
    let api = api(engine, access, &health, &metrics);
    let reviews =
        admission::serve(admission, Arc::clone(&tls), context.clone(), admission_health, cluster);
    let admin_handler = admin_handler(health, metrics);
    let served = async {
        tokio::join!(
            secure.serve(tls, context.clone(), api),
            reviews,
            admin.serve_plain(context.clone(), admin_handler)
        )
    };
    let cut = tokio::select! {
        (cut, cut_reviews, _) = served => cut + cut_reviews,
        crash = tasks::crash() => return Err(crash.into()),
    };
    if let Some(lease) = lease {
        // It is given back meanwhile, with a deadline of its own; a panic is in the log.
        let _panicked = lease.await;
    }
    info!(cut, "stopped");
    Ok(())
}

/// Begins to write what must be written once, where there is a Lease; the task that ends when it is
/// given back.
fn lead(
    leadership: Option<(Leadership, kube::Client)>,
    keeper: Option<certificates::Keeper>,
    engine: &Arc<AppEngine>,
    resolved: watch::Receiver<Arc<Resolved>>,
    stop: &CancellationToken,
) -> Option<JoinHandle<()>> {
    let (leadership, client) = leadership?;
    Reports::start(client, &leadership, stop).tell(engine, resolved, stop);
    if let Some(keeper) = keeper {
        keeper.start(leadership.held.clone(), stop);
    }
    Some(leadership.start(stop))
}

/// The configuration as it is written, and what it says.
async fn load(settings: &Settings) -> anyhow::Result<(String, Config)> {
    let (text, config) = reload::load(&settings.config).await.map_err(|error| match error {
        // Told apart from the others, because it has a line for each mistake.
        reload::Error::Invalid(mistakes) => anyhow::Error::new(mistakes),
        error => anyhow::Error::new(error),
    })?;
    warn_of(&config);
    Ok((text, config))
}

/// Every port.
struct Listeners {
    secure: Listener,
    admission: Listener,
    admin: Listener,
}

impl Listeners {
    async fn bind(settings: &Settings) -> anyhow::Result<Self> {
        Ok(Self {
            secure: Listener::bind(settings.secure).await.context("--secure-port")?,
            admin: Listener::bind(settings.admin).await.context("--admin-port")?,
            admission: Listener::bind(settings.admission).await.context("--admission-port")?,
        })
    }
}

/// Tells what loads but may not do what its author thinks.
fn warn_of(config: &Config) {
    for warning in &config.warnings {
        warn!("{warning}");
    }
}

async fn cluster_client(args: &ServeArgs) -> anyhow::Result<Option<kube::Client>> {
    if args.standalone {
        return Ok(None);
    }
    let client = client::connect(&client::Settings { kubeconfig: kubeconfig(args) })
        .await
        .context("cannot reach the Kubernetes API (--standalone runs without one)")?;
    Ok(Some(client))
}

fn kubeconfig(args: &ServeArgs) -> Option<PathBuf> {
    let KubernetesArgs { kubeconfig, lister_kubeconfig } = &args.kubernetes;
    kubeconfig.clone().or_else(|| lister_kubeconfig.clone())
}

async fn access(
    args: &ServeArgs,
    settings: &Settings,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Access> {
    if args.standalone {
        return Ok(Access::Standalone);
    }
    let connect = async |own: &Option<PathBuf>| {
        let kubeconfig = own.clone().or_else(|| kubeconfig(args));
        client::connect_for_reviews(&client::Settings { kubeconfig }).await
    };
    let client = connect(&args.access.authentication_kubeconfig)
        .await
        .context("--authentication-kubeconfig")?;
    let authentication = args.access.authentication();
    let authenticator = Authenticator::start(client, authentication, Arc::clone(metrics)).await?;
    let client = connect(&args.access.authorization_kubeconfig)
        .await
        .context("--authorization-kubeconfig")?;
    let authorizer = Authorizer::new(client, settings.authorization.clone(), Arc::clone(metrics));
    Ok(Access::Cluster(Box::new(ClusterAccess { authenticator, authorizer })))
}

async fn inventory(args: &ServeArgs, client: Option<kube::Client>) -> anyhow::Result<AnyInventory> {
    if let Some(client) = client {
        return Ok(AnyInventory::Watch(WatchInventory::start(client).await?));
    }
    let inventory = match &args.objects {
        None => FileInventory::none(),
        Some(path) => {
            FileInventory::open(path.clone(), OBJECTS_POLL_INTERVAL).await.context("--objects")?
        }
    };
    Ok(AnyInventory::File(inventory))
}

fn engine_settings(args: &ServeArgs) -> engine::Settings {
    engine::Settings { refresh_interval: args.refresh_interval, merge: args.merge }
}

fn observe(engine: &Arc<AppEngine>, metrics: &Metrics) {
    let watched = Arc::clone(engine);
    let forecasting = Arc::clone(engine);
    metrics.observe_forecasts(move || {
        let state = |(signal, record): (String, engine::signals::Record)| ForecastState {
            signal,
            error: record.errors.forecast,
            last_season_error: record.errors.last_season,
            foreseen: record.foreseen,
            refused: record.refused,
        };
        forecasting.forecasts().all(Timestamp::now()).into_iter().map(state).collect()
    });
    let engine = Arc::clone(engine);
    metrics.observe_snapshot(move || SnapshotState {
        age: engine.oldest_answer(),
        demands: engine.demands().len(),
    });
    metrics.observe_watches(move || {
        let watches = watched.inventory().watches().into_iter();
        let state = |watch: cluster::watch::WatchState| WatchState {
            resource: watch.resource.to_string(),
            age: watch.age,
            objects: watch.objects,
            failures: watch.failures,
        };
        watches.map(state).collect()
    });
}

type AppEngine = Engine<Backends, AnyInventory>;

fn api(
    engine: Arc<AppEngine>,
    access: Access,
    health: &Health,
    metrics: &Arc<Metrics>,
) -> impl crate::serve::Handler {
    let api = ApiServer::new(engine, access, health.clone(), Arc::clone(metrics));
    let api = Arc::new(api);
    move |request: Request<Incoming>, peer: Arc<Peer>| {
        let api = Arc::clone(&api);
        async move { api.answer(&request, &peer).await.map(Full::new) }
    }
}

fn admin_handler(health: Health, metrics: Arc<Metrics>) -> impl crate::serve::Handler {
    let admin = Arc::new(Admin::new(health, metrics, version::document().bytes(Form::Json)));
    move |request: Request<Incoming>, _peer: Arc<Peer>| {
        let answer = admin.answer(&request);
        async move { answer }
    }
}
