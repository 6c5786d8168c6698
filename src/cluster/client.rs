//! The client of the API server: whose account it uses and how long it waits.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use kube::Client;
use kube::client::{Body, ClientBuilder};
use kube::config::{Config, InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use tokio::sync::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tower::limit::RateLimitLayer;
use tower::timeout::TimeoutLayer;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an answer may take to begin. A page of a list begins within a second or two; the API
/// server itself gives a request up after 60 s.
pub(super) const RESPOND: Duration = Duration::from_secs(30);
/// How long a connection may be silent: longer than a watch lasts (290 s), so that a quiet watch
/// is ended by the API server and not by us.
const SILENCE: Duration = Duration::from_mins(5);

/// How many requests are sent in a second at most; 100,000 objects are listed in 100 requests.
const REQUESTS: u64 = 100;
/// How many reviews are asked for in a second at most, as by the API server's own extensions
/// (staging/src/k8s.io/apiserver/pkg/server/options/authorization.go). They have a client of
/// their own, so that a flood of requests to us does not keep the inventory waiting.
const REVIEWS: u64 = 200;

/// From one watch of a kind to the next, at least.
const WATCHES: Duration = Duration::from_secs(1);

/// Whose account is used against which API server.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `--kubeconfig` or `--lister-kubeconfig`; without it the account of the pod.
    pub kubeconfig: Option<PathBuf>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The file that `--kubeconfig` names cannot be used.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<KubeconfigError>,
    },
    /// There is no kubeconfig and this is no pod.
    #[error(
        "no service account of a pod was found: name a file with --kubeconfig, or run with --standalone"
    )]
    InCluster(#[source] InClusterError),
    /// The credentials cannot be used.
    #[error("cannot make a client of the Kubernetes API")]
    Build(#[source] Box<kube::Error>),
}

/// Makes a client with a deadline on everything. Nothing is sent yet.
pub async fn connect(settings: &Settings) -> Result<Client, ClientError> {
    connect_at(settings, REQUESTS).await
}

/// Makes a client for reviews of tokens and access.
pub async fn connect_for_reviews(settings: &Settings) -> Result<Client, ClientError> {
    connect_at(settings, REVIEWS).await
}

async fn connect_at(settings: &Settings, rate: u64) -> Result<Client, ClientError> {
    let config = match &settings.kubeconfig {
        Some(path) => from_file(path)
            .await
            .map_err(|source| ClientError::Kubeconfig { path: path.clone(), source })?,
        None => Config::incluster().map_err(ClientError::InCluster)?,
    };
    with_deadlines(config, rate)
}

async fn from_file(path: &PathBuf) -> Result<Config, Box<KubeconfigError>> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Ok(Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?)
}

fn with_deadlines(mut config: Config, rate: u64) -> Result<Client, ClientError> {
    config.connect_timeout = Some(CONNECT);
    config.read_timeout = Some(SILENCE);
    config.reset_reader_on_write = true;
    // Whoever asks has a back-off of its own and wants to know that an attempt failed.
    config.default_retry = false;
    let builder =
        ClientBuilder::try_from(config).map_err(|error| ClientError::Build(Box::new(error)))?;
    let limit = RateLimitLayer::new(rate, Duration::from_secs(1));
    Ok(builder.with_layer(&TimeoutLayer::new(RESPOND)).with_layer(&limit).build())
}

/// A client for the lists and watches of one kind, which sends at most one watch each
/// [`WATCHES`]. kube's watcher backs off after an error, but not after a watch that ends at once
/// without one.
pub(super) fn with_paced_watches(client: Client) -> Client {
    let mut pace = interval(WATCHES);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let pace = Arc::new(Mutex::new(pace));
    let namespace = client.default_namespace().to_owned();
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, pace) = (client.clone(), Arc::clone(&pace));
        async move {
            let query = request.uri().query().unwrap_or_default();
            if query.split('&').any(|parameter| parameter == "watch=true") {
                pace.lock().await.tick().await;
            }
            client.send(request).await
        }
    });
    Client::new(service, namespace)
}
