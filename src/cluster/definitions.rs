//! Notices when `CustomResourceDefinition` objects change, and kinds with them.
//!
//! Only that something changed is of interest: what the kinds are is asked of discovery. Without
//! the right to watch definitions, kinds are noticed when they are next looked up.

use std::pin::pin;

use futures_util::StreamExt as _;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Client};
use tokio::sync::Notify;

use super::client;
use super::explain;
use crate::model::object::GroupResource;

/// Where API discovery lists the definitions, on a server that has any.
pub(super) const RESOURCE: &str = "customresourcedefinitions.apiextensions.k8s.io";

const PAGE: u32 = 250;

/// Notifies of each change, for ever.
pub(super) async fn watch(client: Client, changed: &Notify) {
    let api =
        Api::<PartialObjectMeta<CustomResourceDefinition>>::all(client::with_paced_watches(client));
    let config = Config::default().page_size(PAGE);
    let mut events = pin!(watcher(api, config).default_backoff());
    let mut listed = false;
    let mut failing = false;
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                failing = false;
                match event {
                    Event::Apply(_) | Event::Delete(_) => changed.notify_one(),
                    // The kinds of the first list are known from discovery.
                    Event::InitDone if listed => changed.notify_one(),
                    Event::InitDone => listed = true,
                    Event::Init | Event::InitApply(_) => {}
                }
            }
            Err(error) if explain::expired(&error) => {}
            Err(error) => {
                let reason = explain::watch(&error, &GroupResource::parse(RESOURCE));
                if failing {
                    tracing::debug!(reason, "still cannot watch the definitions of kinds");
                } else {
                    tracing::warn!(reason, "cannot watch the definitions of kinds");
                }
                failing = true;
            }
        }
    }
}
