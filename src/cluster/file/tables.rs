//! What a file holds beside metadata, for those who wait for the next state of it.

use std::sync::Arc;

use tokio::sync::watch::Sender;

use super::contents::Tables;
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::Objects;
use crate::model::limit_range::LimitRange;
use crate::model::service::Service;

type Latest<T> = Sender<Option<Arc<Objects<T>>>>;

/// The state that is in force.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) autoscalers: Latest<Autoscaler>,
    pub(super) services: Latest<Service>,
    pub(super) limit_ranges: Latest<LimitRange>,
    cluster_signals: Latest<CustomObject>,
    exemptions: Latest<CustomObject>,
    signals: Latest<CustomObject>,
}

impl Published {
    pub(super) fn new(tables: Tables) -> Self {
        let this = Self {
            autoscalers: Sender::default(),
            services: Sender::default(),
            limit_ranges: Sender::default(),
            cluster_signals: Sender::default(),
            exemptions: Sender::default(),
            signals: Sender::default(),
        };
        this.publish(tables);
        this
    }

    pub(super) fn publish(&self, tables: Tables) {
        let Tables { autoscalers, services, limit_ranges, mut custom } = tables;
        self.autoscalers.send_replace(Some(Arc::new(autoscalers)));
        self.services.send_replace(Some(Arc::new(services)));
        self.limit_ranges.send_replace(Some(Arc::new(limit_ranges)));
        for kind in CustomKind::ALL {
            let objects = custom.remove(&kind).unwrap_or_default();
            self.custom(kind).send_replace(Some(Arc::new(objects)));
        }
    }

    pub(super) fn custom(&self, kind: CustomKind) -> &Latest<CustomObject> {
        match kind {
            CustomKind::ClusterSignal => &self.cluster_signals,
            CustomKind::Exemption => &self.exemptions,
            CustomKind::Signal => &self.signals,
        }
    }
}
