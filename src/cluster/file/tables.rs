//! What a file holds beside metadata, for those who wait for the next state of it.

use std::sync::Arc;

use tokio::sync::watch::Sender;

use super::contents::Tables;
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::{CustomKind, CustomObject};
use crate::model::inventory::Objects;
use crate::model::limit_range::LimitRange;
use crate::model::service::Service;
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};

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
    deployments: Latest<Outline>,
    stateful_sets: Latest<Outline>,
    replica_sets: Latest<Revision>,
    controller_revisions: Latest<Revision>,
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
            deployments: Sender::default(),
            stateful_sets: Sender::default(),
            replica_sets: Sender::default(),
            controller_revisions: Sender::default(),
        };
        this.publish(tables);
        this
    }

    pub(super) fn publish(&self, tables: Tables) {
        let Tables { autoscalers, services, limit_ranges, mut custom, .. } = tables;
        let Tables { mut outlines, mut revisions, .. } = tables;
        self.autoscalers.send_replace(Some(Arc::new(autoscalers)));
        self.services.send_replace(Some(Arc::new(services)));
        self.limit_ranges.send_replace(Some(Arc::new(limit_ranges)));
        for kind in CustomKind::ALL {
            let objects = custom.remove(&kind).unwrap_or_default();
            self.custom(kind).send_replace(Some(Arc::new(objects)));
        }
        for kind in OutlineKind::ALL {
            let objects = outlines.remove(&kind).unwrap_or_default();
            self.outlines(kind).send_replace(Some(Arc::new(objects)));
        }
        for kind in RevisionKind::ALL {
            let objects = revisions.remove(&kind).unwrap_or_default();
            self.revisions(kind).send_replace(Some(Arc::new(objects)));
        }
    }

    pub(super) fn outlines(&self, kind: OutlineKind) -> &Latest<Outline> {
        match kind {
            OutlineKind::Deployment => &self.deployments,
            OutlineKind::StatefulSet => &self.stateful_sets,
        }
    }

    pub(super) fn revisions(&self, kind: RevisionKind) -> &Latest<Revision> {
        match kind {
            RevisionKind::ReplicaSet => &self.replica_sets,
            RevisionKind::ControllerRevision => &self.controller_revisions,
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
