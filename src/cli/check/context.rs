//! What surrounds the manifests that are checked, from a file as `plimsoll serve --objects` takes it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use crate::admission::exemptions::join;
use crate::admission::judge::Facts;
use crate::cluster::file::{self, Contents, FileError};
use crate::model::autoscaler::Autoscaler;
use crate::model::custom::CustomKind;
use crate::model::inventory::LabelSet;
use crate::model::limit_range::LimitRange;
use crate::model::object::GroupResource;
use crate::model::policy::Policy;

/// The objects of a file, or none.
pub(super) struct Context(Option<Contents>);

impl Context {
    pub(super) fn new(objects: Option<(&Path, &str)>) -> Result<Self, FileError> {
        let contents = objects.map(|(path, text)| file::parse(path, text.as_bytes()));
        Ok(Self(contents.transpose()?))
    }

    /// The policy with the exemptions among the objects.
    pub(super) fn policy(&self, policy: &Arc<Policy>) -> Arc<Policy> {
        let contents = self.0.as_ref();
        let exemptions =
            contents.and_then(|contents| contents.tables.custom.get(&CustomKind::Exemption));
        join(policy, exemptions).0
    }

    /// What is known about a namespace.
    pub(super) fn place(&self, namespace: &str) -> Place {
        let Some(contents) = &self.0 else {
            return Place { labels: None, limit_ranges: Vec::new(), autoscalers: None };
        };
        let namespaces = contents.objects.get(&GroupResource::parse("namespaces"));
        let found = namespaces.and_then(|namespaces| namespaces.get("", namespace));
        let tables = &contents.tables;
        Place {
            labels: found.map(|found| Arc::clone(&found.labels)),
            limit_ranges: tables.limit_ranges.in_namespace(namespace).to_vec(),
            autoscalers: Some(tables.autoscalers.in_namespace(namespace).to_vec()),
        }
    }
}

/// What surrounds an object.
pub(super) struct Place {
    labels: Option<LabelSet>,
    limit_ranges: Vec<Arc<LimitRange>>,
    autoscalers: Option<Vec<Arc<Autoscaler>>>,
}

impl Place {
    pub(super) fn facts(&self, now: Timestamp) -> Facts<'_> {
        Facts {
            namespace: self.labels.as_ref(),
            limit_ranges: Some(&self.limit_ranges),
            autoscalers: self.autoscalers.as_deref(),
            ..Facts::alone(now)
        }
    }
}
