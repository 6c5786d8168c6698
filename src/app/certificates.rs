//! Where the serving certificate comes from: files, ourselves, or the Secret of a cluster.

use std::path::Path;
use std::sync::Arc;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::cli::serve::{ServingArgs, Settings};
use crate::cluster::certificates::{self, Certificates};
use crate::cluster::name::NamespacedName;
use crate::pki::Provision;
use crate::serve::certificate::{Certificate, CertificateError, Source, own_names};
use crate::serve::tls::Protocols;
use crate::tasks;
use crate::telemetry::metrics::Metrics;

/// The name of the Secret where none is given, in the namespace of the pod.
const SECRET: &str = "plimsoll-certificates";
/// The name of the Service, and of the Lease, where none is given.
const SERVICE: &str = "plimsoll";

/// Where a pod finds the namespace that it is in.
const NAMESPACE_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The downward API's usual variable for it.
const NAMESPACE_VARIABLE: &str = "POD_NAMESPACE";

/// What keeps a certificate in the cluster, before it is started.
pub(super) struct Keeper {
    client: Client,
    settings: certificates::Settings,
    provide: watch::Sender<Provision>,
}

/// The certificate, and what keeps it where that is in a Secret.
pub(super) async fn certificate(
    args: &ServingArgs,
    settings: &Settings,
    client: Option<&Client>,
    metrics: &Arc<Metrics>,
) -> Result<(Certificate, Option<Keeper>), CertificateError> {
    let mut keeper = None;
    let source = match (&args.tls_cert_file, &args.tls_private_key_file) {
        (Some(certificate), Some(key)) => {
            Source::Files { certificate: certificate.clone(), key: key.clone() }
        }
        _ => match client.zip(places(args).await) {
            Some((client, settings)) => {
                let (provide, provision) = watch::channel(Provision::Waiting);
                keeper = Some(Keeper { client: client.clone(), settings, provide });
                Source::Provided(provision)
            }
            None => Source::SelfSigned {
                directory: Some(args.cert_dir.clone()),
                names: own_names(settings.secure.ip()),
            },
        },
    };
    let protocols = Protocols { minimum: args.tls_min_version, http2: !args.disable_http2 };
    let certificate = Certificate::load(source, protocols, Arc::clone(metrics)).await?;
    Ok((certificate, keeper))
}

impl Keeper {
    /// Starts following the Secret, and keeping it while the Lease is `held`.
    pub(super) fn start(self, held: watch::Receiver<bool>, stop: &CancellationToken) {
        let Self { client, settings, provide } = self;
        let follow = certificates::follow(client.clone(), settings.secret.clone(), provide);
        tasks::spawn_until(stop.clone(), "watch of the certificate", follow);
        let maintain = Certificates::new(client, settings).maintain(held);
        tasks::spawn_until(stop.clone(), "certificate", maintain);
    }
}

/// Where everything is. `None` outside of a pod, unless a flag says it.
pub(super) async fn places(args: &ServingArgs) -> Option<certificates::Settings> {
    let secret = args.certificate_secret.clone();
    let service = args.service.clone();
    let namespace = match secret.as_ref().or(service.as_ref()) {
        Some(given) => given.namespace.clone(),
        None => namespace().await?,
    };
    let named = |name: &str| NamespacedName { namespace: namespace.clone(), name: name.to_owned() };
    Some(certificates::Settings::new(
        secret.unwrap_or_else(|| named(SECRET)),
        service.unwrap_or_else(|| named(SERVICE)),
    ))
}

pub(super) async fn namespace() -> Option<String> {
    let variable = std::env::var(NAMESPACE_VARIABLE).ok().filter(|name| !name.is_empty());
    if variable.is_some() {
        return variable;
    }
    let text = tokio::fs::read_to_string(Path::new(NAMESPACE_FILE)).await.ok()?;
    Some(text.trim().to_owned())
}

/// The pod's name and something that no other process has.
pub(super) fn identity() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut random = [0; 8];
    // Without randomness the number of the process has to tell them apart.
    if rustls::crypto::aws_lc_rs::default_provider().secure_random.fill(&mut random).is_err() {
        random = u64::from(std::process::id()).to_be_bytes();
    }
    format!("{}_{:016x}", host.trim(), u64::from_be_bytes(random))
}
