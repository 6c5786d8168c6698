//! Which of the replicas writes what must be written once: certificates, Events, statuses.

use kube::Client;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::certificates;
use crate::cli::serve::ServingArgs;
use crate::cluster::lease::{self, Lease};
use crate::tasks;

/// The Lease of an installation, before it is wanted.
pub(super) struct Leadership {
    lease: Lease,
    /// Who we are in it.
    pub(super) identity: String,
    hold: watch::Sender<bool>,
    /// Whether it is ours now.
    pub(super) held: watch::Receiver<bool>,
}

impl Leadership {
    /// The Lease that is named as our Service: whoever serves under one name is one installation.
    /// `None` outside of a pod, unless a flag says where it is.
    pub(super) async fn new(args: &ServingArgs, client: Option<&Client>) -> Option<Self> {
        let client = client?;
        let places = certificates::places(args).await?;
        let (namespace, name) = (places.secret.namespace, places.service.name);
        let identity = certificates::identity();
        let settings = lease::Settings::new(namespace, name, identity.clone());
        let (hold, held) = watch::channel(false);
        Some(Self { lease: Lease::new(client.clone(), settings), identity, hold, held })
    }

    /// Wants it until the stop. The task that is returned ends after that, when the Lease is given
    /// back.
    pub(super) fn start(self, stop: &CancellationToken) -> JoinHandle<()> {
        tasks::spawn("lease", self.lease.run(self.hold, stop.clone()))
    }
}
