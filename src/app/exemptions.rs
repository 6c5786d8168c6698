//! The policy in force: the file's, and the `Exemption`s of the cluster.
//!
//! It is put together when one of them changes, so that a review only takes it. What cannot be used
//! is told once and left out.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::admission::exemptions::join;
use crate::cluster::Snapshots;
use crate::config::Config;
use crate::model::custom::CustomObject;
use crate::model::policy::Policy;
use crate::tasks;

/// Follows both until the stop.
pub(super) fn follow(
    mut config: watch::Receiver<Arc<Config>>,
    mut exemptions: Snapshots<CustomObject>,
    stop: CancellationToken,
) -> watch::Receiver<Arc<Policy>> {
    let first = Arc::clone(&config.borrow_and_update().admission);
    let (publish, policy) = watch::channel(first);
    tasks::spawn_until(stop, "exemptions", async move {
        let mut told = BTreeSet::new();
        loop {
            let of_file = Arc::clone(&config.borrow_and_update().admission);
            let of_cluster = exemptions.borrow_and_update().clone();
            let (joined, mistakes) = join(&of_file, of_cluster.as_deref());
            for mistake in mistakes.difference(&told) {
                warn!("{mistake}");
            }
            told = mistakes;
            publish.send_replace(joined);
            let changed = tokio::select! {
                changed = config.changed() => changed,
                changed = exemptions.changed() => changed,
            };
            if changed.is_err() {
                // Whoever fed it has ended, as everything is about to.
                std::future::pending::<()>().await;
            }
        }
    });
    policy
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::config;
    use crate::model::custom::ResourceVersion;
    use crate::model::inventory::Objects;

    fn object(name: &str, spec: Value) -> Arc<CustomObject> {
        Arc::new(CustomObject {
            namespace: "".into(),
            name: name.into(),
            uid: "".into(),
            generation: 1,
            created: None,
            resource_version: ResourceVersion::default(),
            spec: Ok(Arc::new(spec)),
        })
    }

    #[test]
    fn the_exemptions_of_file_and_cluster_hold_together_and_bad_ones_are_told() {
        let file = "admission: {exemptions: [{names: [a], reason: r, expires: 2027-01-01}]}";
        let of_file = config::parse("c.yaml", file).unwrap().admission;
        let mut objects = Objects::default();
        let good = json!({"kinds": ["Job"], "reason": "r", "expires": "2027-01-01"});
        objects.insert("", object("jobs", good));
        objects.insert("", object("all", json!({"reason": "r", "expires": "2027-01-01"})));
        objects.insert("", object("odd", json!({"kinds": [1], "reason": "r", "expires": "x"})));
        let (policy, mistakes) = join(&of_file, Some(&objects));
        let sources: Vec<_> =
            policy.exemptions.iter().map(|exemption| exemption.source.as_str()).collect();
        assert_eq!(sources, ["admission.exemptions[0]", "Exemption jobs"]);
        let mistakes: Vec<_> = mistakes.iter().map(String::as_str).collect();
        assert_eq!(
            mistakes,
            [
                "Exemption all exempts nothing: it would exempt everything: write `namespaces`, \
                 `kinds`, `names`, `containers` or `images`",
                "Exemption odd exempts nothing: spec.kinds[0]: invalid type: integer `1`, expected \
                 a string",
            ]
        );
    }

    #[test]
    fn without_exemptions_of_the_cluster_the_policy_is_the_files_own() {
        let of_file = config::parse("c.yaml", "rules: []").unwrap().admission;
        let (policy, _) = join(&of_file, Some(&Objects::default()));
        assert!(Arc::ptr_eq(&policy, &of_file));
    }
}
