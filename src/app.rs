//! The composition root: the only place that knows every room.
//!
//! [`run`] builds from the inside out — configuration, backend, inventory, engine, servers — and
//! binds every port before anything is spawned, so that what cannot work fails at once, in one
//! sentence. Then it waits for the end, which comes in the order of `serve::shutdown`.

mod reload;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::admin::Admin;
use crate::apiserver::ApiServer;
use crate::apiserver::access::Access;
use crate::cli::Invocation;
use crate::cli::serve::{ServeArgs, Settings};
use crate::cluster::{self, AnyInventory, FileInventory, WatchInventory};
use crate::config::Config;
use crate::engine::Engine;
use crate::engine::discovery::{Discovery, Schedule};
use crate::prometheus;
use crate::serve::certificate::{self, Certificate};
use crate::serve::health::Health;
use crate::serve::shutdown::Shutdown;
use crate::serve::{Context, Limits, Listener, Peer};
use crate::telemetry::metrics::{Metrics, SnapshotState};
use crate::wire::negotiate::Form;
use crate::wire::version;
