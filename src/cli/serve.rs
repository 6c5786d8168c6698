//! The flags of `plimsoll serve`, and what they mean together.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::cli::access::AccessArgs;
use crate::cluster::authz;
use crate::cluster::name::NamespacedName;
use crate::model::duration;
use crate::prometheus::{self, Verb};
use crate::serve::tls::MinimumVersion;
use crate::telemetry::LogFormat;

/// More often than any scrape; `--refresh-interval=0` is for those who want each request to ask.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_millis(100);

/// The flags of `serve` as typed.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// Configuration file: a prometheus-adapter configuration, or a superset of one.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// How often the configuration file is looked at for changes.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = duration::parse_go)]
    pub config_poll_interval: Duration,

    /// Run without any Kubernetes API: listen on loopback only and take everyone for an admin.
    #[arg(long)]
    pub standalone: bool,

    /// With --standalone: the objects there are, as `kubectl get pods,services,… -A -o yaml`
    /// prints them; read again when the file changes.
    #[arg(long, value_name = "FILE", requires = "standalone")]
    pub objects: Option<PathBuf>,

    /// How often a metric that is in demand is computed; 0 asks Prometheus for each request.
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse_go)]
    pub refresh_interval: Duration,

    /// Answer for all objects and namespaces with one query where that is the same; false asks for
    /// each by itself, as prometheus-adapter does.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = true, default_missing_value = "true", action = ArgAction::Set
    )]
    pub merge: bool,

    #[command(flatten, next_help_heading = "Prometheus")]
    /// How Prometheus is reached.
    pub prometheus: PrometheusArgs,

    #[command(flatten, next_help_heading = "Serving")]
    /// Where the servers listen.
    pub serving: ServingArgs,

    #[command(flatten, next_help_heading = "Kubernetes")]
    /// How the Kubernetes API is reached.
    pub kubernetes: KubernetesArgs,

    #[command(flatten, next_help_heading = "Authentication and authorization")]
    /// Who asks and what they may.
    pub access: AccessArgs,

    #[command(flatten, next_help_heading = "Logging")]
    /// What is logged.
    pub logging: LoggingArgs,
}

/// How Prometheus is reached and how often its series are listed.
#[derive(Args, Clone, Debug)]
pub struct PrometheusArgs {
    /// Base URL of Prometheus; a path prefix and a query string of its own are kept.
    #[arg(long, value_name = "URL", default_value = Self::DEFAULT_URL)]
    pub prometheus_url: String,

    /// HTTP verb for queries; a query too long for a URL is sent as POST in any case.
    #[arg(long, value_name = "VERB", default_value = "GET", value_parser = verb)]
    pub prometheus_verb: Verb,

    /// CA bundle that Prometheus' certificate is verified with; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub prometheus_ca_file: Option<PathBuf>,

    /// Client certificate for Prometheus; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "prometheus_client_tls_key_file")]
    pub prometheus_client_tls_cert_file: Option<PathBuf>,

    /// Private key of the client certificate.
    #[arg(long, value_name = "FILE", requires = "prometheus_client_tls_cert_file")]
    pub prometheus_client_tls_key_file: Option<PathBuf>,

    /// File with a bearer token for Prometheus; read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub prometheus_token_file: Option<PathBuf>,

    /// Header for each request to Prometheus, NAME=VALUE; may be given several times.
    #[arg(long, value_name = "NAME=VALUE", value_parser = header)]
    pub prometheus_header: Vec<(String, String)>,

    /// Kubeconfig whose credentials are used for Prometheus.
    #[arg(long, value_name = "FILE", conflicts_with = "prometheus_auth_incluster")]
    pub prometheus_auth_config: Option<PathBuf>,

    /// Use the pod's service account for Prometheus.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true,
        default_value_t = false, default_missing_value = "true", action = ArgAction::Set
    )]
    pub prometheus_auth_incluster: bool,

    /// How often the series of the rules are listed.
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration::parse_go)]
    pub metrics_relist_interval: Duration,

    /// How old a series' last sample may be for it to be listed; 0 means the relist interval.
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = duration::parse_go)]
    pub metrics_max_age: Duration,
}

impl PrometheusArgs {
    /// `--prometheus-url` where nobody gives it.
    pub const DEFAULT_URL: &str = "https://localhost";

    /// The backend that the flags describe; an error where `--prometheus-url` is no URL.
    pub fn settings(&self) -> Result<prometheus::Settings, url::ParseError> {
        Ok(prometheus::Settings {
            verb: self.prometheus_verb,
            ca_file: self.prometheus_ca_file.clone(),
            client_cert_file: self.prometheus_client_tls_cert_file.clone(),
            client_key_file: self.prometheus_client_tls_key_file.clone(),
            token_file: self.prometheus_token_file.clone(),
            headers: self.prometheus_header.clone(),
            auth_config: self.prometheus_auth_config.clone(),
            in_cluster: self.prometheus_auth_incluster,
            ..prometheus::Settings::new(self.prometheus_url.parse()?)
        })
    }
}

/// Where the servers listen and with which certificate.
#[derive(Args, Clone, Debug)]
pub struct ServingArgs {
    /// Address to listen on [default: 0.0.0.0; with --standalone 127.0.0.1].
    #[arg(long, value_name = "IP")]
    pub bind_address: Option<IpAddr>,

    /// Port of the metrics APIs; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 6443)]
    pub secure_port: u16,

    /// Port of the admission webhooks; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 9443)]
    pub admission_port: u16,

    /// Port of /metrics and the health endpoints in plain HTTP; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub admin_port: u16,

    /// Secret in which the replicas keep their certificate where --tls-cert-file is not given
    /// [default: plimsoll-certificates in the pod's namespace].
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with_all = ["standalone", "tls_cert_file"])]
    pub certificate_secret: Option<NamespacedName>,

    /// Service that the API server reaches this one by: the certificate is for its names, and the
    /// APIServices that point to it are told what to trust [default: plimsoll in the namespace of
    /// the Secret].
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "standalone")]
    pub service: Option<NamespacedName>,

    /// Directory of a self-signed certificate, made outside of a cluster where --tls-cert-file is
    /// not given.
    #[arg(long, value_name = "DIR", default_value = "apiserver.local.config/certificates")]
    pub cert_dir: PathBuf,

    /// Serving certificate with its chain; read again when it changes.
    #[arg(long, value_name = "FILE", requires = "tls_private_key_file")]
    pub tls_cert_file: Option<PathBuf>,

    /// Private key of the serving certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert_file")]
    pub tls_private_key_file: Option<PathBuf>,

    /// Oldest TLS version to accept.
    #[arg(long, value_name = "VERSION", default_value = "VersionTLS12")]
    pub tls_min_version: MinimumVersion,

    /// Serve HTTP/1.1 alone.
    #[arg(
        long, value_name = "BOOL", num_args = 0..=1, require_equals = true, alias = "disable-http2-serving",
        default_value_t = false, default_missing_value = "true", action = ArgAction::Set
    )]
    pub disable_http2: bool,

    /// Requests at one time on one HTTP/2 connection.
    #[arg(
        long, value_name = "COUNT", default_value_t = 250,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub http2_max_streams_per_connection: u32,

    /// How long to go on serving, unready, after SIGTERM [default: 15s; with --standalone 0s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse_go)]
    pub shutdown_delay: Option<Duration>,
}

/// How the Kubernetes API is reached.
#[derive(Args, Clone, Debug)]
pub struct KubernetesArgs {
    /// Kubeconfig of the cluster [default: the pod's service account].
    #[arg(long, value_name = "FILE", conflicts_with = "standalone")]
    pub kubeconfig: Option<PathBuf>,

    /// The same, under the name that prometheus-adapter has for it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["standalone", "kubeconfig"])]
    pub lister_kubeconfig: Option<PathBuf>,
}

/// What is logged and how.
#[derive(Args, Clone, Debug)]
pub struct LoggingArgs {
    /// Format of the log.
    #[arg(long, alias = "logging-format", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// How much to log: 4 and more for details of each evaluation, 6 for those of each request.
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 2)]
    pub verbosity: u8,
}

fn verb(text: &str) -> Result<Verb, String> {
    match text.to_ascii_uppercase().as_str() {
        "GET" => Ok(Verb::Get),
        "POST" => Ok(Verb::Post),
        _ => Err("the verb is GET or POST".to_owned()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a header is given as NAME=VALUE")?;
    http::HeaderName::try_from(name).map_err(|_| format!("{name:?} is not a header name"))?;
    http::HeaderValue::try_from(value)
        .map_err(|_| format!("the value of {name} is no header value"))?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What the flags of `serve` mean together.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration file.
    pub config: PathBuf,
    /// Where the metrics APIs listen.
    pub secure: SocketAddr,
    /// Where the admission webhooks listen.
    pub admission: SocketAddr,
    /// Where the admin endpoints listen.
    pub admin: SocketAddr,
    /// How far back series are listed.
    pub max_age: Duration,
    /// How long to go on serving after SIGTERM.
    pub shutdown_delay: Duration,
    /// What clients may.
    pub authorization: authz::Settings,
}

/// Flags that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Series would vanish between two listings.
    #[error(
        "--metrics-max-age ({max_age:?}) must not be less than --metrics-relist-interval \
         ({relist_interval:?})"
    )]
    MaxAgeTooShort {
        /// `--metrics-max-age`
        max_age: Duration,
        /// `--metrics-relist-interval`
        relist_interval: Duration,
    },
    /// There is nothing to serve.
    #[error("--config FILE is needed: a prometheus-adapter configuration will do")]
    NoConfig,
    /// Standalone takes everyone for an admin, so it may not be reached from elsewhere.
    #[error("--standalone listens on loopback only, and --bind-address {0} is not loopback")]
    NotLoopback(IpAddr),
    /// A path that needs no authorization is malformed.
    #[error("--authorization-always-allow-paths")]
    OpenPaths(#[from] authz::PathError),
    /// The file would be read without a pause.
    #[error("--config-poll-interval must be more than 0")]
    NoConfigPollInterval,
    /// Nobody scrapes that often, and Prometheus would do nothing else.
    #[error("--refresh-interval must be 0 or at least {MIN_REFRESH_INTERVAL:?}, not {0:?}")]
    RefreshTooOften(Duration),
    /// Discovery would never rest.
    #[error("--metrics-relist-interval must be more than 0")]
    NoRelistInterval,
}

impl ServeArgs {
    /// Checks the flags against each other and fills in what depends on others.
    pub fn settings(&self) -> Result<Settings, Error> {
        if self.config_poll_interval.is_zero() {
            return Err(Error::NoConfigPollInterval);
        }
        if !self.refresh_interval.is_zero() && self.refresh_interval < MIN_REFRESH_INTERVAL {
            return Err(Error::RefreshTooOften(self.refresh_interval));
        }
        let relist_interval = self.prometheus.metrics_relist_interval;
        if relist_interval.is_zero() {
            return Err(Error::NoRelistInterval);
        }
        let max_age = match self.prometheus.metrics_max_age {
            Duration::ZERO => relist_interval,
            max_age => max_age,
        };
        if max_age < relist_interval {
            return Err(Error::MaxAgeTooShort { max_age, relist_interval });
        }
        let (address, shutdown_delay) = if self.standalone {
            (IpAddr::V4(Ipv4Addr::LOCALHOST), Duration::ZERO)
        } else {
            (IpAddr::V4(Ipv4Addr::UNSPECIFIED), Duration::from_secs(15))
        };
        let address = self.serving.bind_address.unwrap_or(address);
        if self.standalone && !address.is_loopback() {
            return Err(Error::NotLoopback(address));
        }
        Ok(Settings {
            config: self.config.clone().ok_or(Error::NoConfig)?,
            secure: SocketAddr::new(address, self.serving.secure_port),
            admission: SocketAddr::new(address, self.serving.admission_port),
            admin: SocketAddr::new(address, self.serving.admin_port),
            max_age,
            shutdown_delay: self.serving.shutdown_delay.unwrap_or(shutdown_delay),
            authorization: self.access.authorization()?,
        })
    }
}
