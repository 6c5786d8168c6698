//! What admission knows of the cluster, from memory alone.
//!
//! Namespaces, limit ranges and autoscalers are followed from the start: they are few. Whoever has
//! no webhook registered pays for nothing else: workloads and revisions are followed from the first
//! review on, or from the start where a namespace enforces, and other kinds once something names
//! one as its owner or target. What is not in yet is not known, and the answer says so.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use crate::admission::autoscaler::Served;
use crate::admission::decide::Surroundings;
use crate::admission::history::History;
use crate::admission::recorder::Histories;
use crate::app::AppEngine;
use crate::cluster::Snapshots;
use crate::engine::ports::Inventory as _;
use crate::model::autoscaler::{Autoscaler, ObjectReference};
use crate::model::inventory::{LabelSet, Named, Objects};
use crate::model::limit_range::LimitRange;
use crate::model::object::Kind;
use crate::model::policy::{ENFORCE_LABEL, Policy};
use crate::model::template::{Outline, OutlineKind, Revision, RevisionKind};
use crate::model::workload::Workload;

/// How often it is made sure that namespaces are followed: less than that, and they would not be
/// any more, as kinds are that nobody asks for.
const FOLLOW: Duration = Duration::from_mins(1);

/// How many kinds wait to be followed.
const MAX_WISHES: usize = 64;

/// What is known of the cluster.
pub(in crate::app) struct Cluster {
    engine: Arc<AppEngine>,
    policy: watch::Receiver<Arc<Policy>>,
    own_namespace: String,
    histories: Histories,
    limit_ranges: Snapshots<LimitRange>,
    autoscalers: Snapshots<Autoscaler>,
    outlines: OnceLock<[Snapshots<Outline>; OutlineKind::ALL.len()]>,
    revisions: OnceLock<[Snapshots<Revision>; RevisionKind::ALL.len()]>,
    /// Of the catalog of this number.
    served: ArcSwapOption<(u64, Arc<Served>)>,
    wishes: mpsc::Sender<Arc<Kind>>,
}

/// The kinds that somebody wishes to be followed.
pub(in crate::app) type Wishes = mpsc::Receiver<Arc<Kind>>;

impl Cluster {
    pub(in crate::app) fn new(
        engine: Arc<AppEngine>,
        policy: watch::Receiver<Arc<Policy>>,
        histories: Histories,
        own_namespace: Option<String>,
    ) -> (Self, Wishes) {
        let (wishes, wished) = mpsc::channel(MAX_WISHES);
        let this = Self {
            limit_ranges: engine.inventory().limit_ranges(),
            autoscalers: engine.inventory().autoscalers(),
            engine,
            policy,
            histories,
            own_namespace: own_namespace.unwrap_or_default(),
            outlines: OnceLock::new(),
            revisions: OnceLock::new(),
            served: ArcSwapOption::empty(),
            wishes,
        };
        (this, wished)
    }

    /// A review has come: this webhook is registered.
    pub(in crate::app) fn engage(&self) {
        self.outlines();
        self.all_revisions();
    }

    /// Follows the kinds that are looked up, for ever.
    pub(in crate::app) async fn follow(&self, wishes: &mut Wishes) {
        let mut tick = interval(FOLLOW);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let kind = tokio::select! {
                _ = tick.tick() => self.kind(Kind::is_namespace),
                wish = wishes.recv() => match wish {
                    Some(kind) => Some(kind),
                    None => return,
                },
            };
            let Some(kind) = kind else { continue };
            // What cannot be read is not known, and is asked for again by whoever needs it.
            let _unknown = self.engine.inventory().objects(&kind).await;
            if kind.is_namespace() && self.enforces_somewhere(&kind) {
                self.engage();
            }
        }
    }

    /// Does not wish for them: where there are none to be had, that would be answered by the same
    /// question at once.
    fn enforces_somewhere(&self, namespaces: &Kind) -> bool {
        let namespaces = self.engine.inventory().current(namespaces);
        let enforces = |namespaces: Arc<Objects>| {
            let mut namespaces = namespaces.in_namespace("").iter();
            namespaces.any(|namespace| namespace.label(ENFORCE_LABEL).is_some())
        };
        namespaces.is_some_and(enforces)
    }

    fn outlines(&self) -> &[Snapshots<Outline>; OutlineKind::ALL.len()] {
        let inventory = self.engine.inventory();
        self.outlines.get_or_init(|| OutlineKind::ALL.map(|kind| inventory.outlines(kind)))
    }

    fn all_revisions(&self) -> &[Snapshots<Revision>; RevisionKind::ALL.len()] {
        let inventory = self.engine.inventory();
        self.revisions.get_or_init(|| RevisionKind::ALL.map(|kind| inventory.revisions(kind)))
    }

    #[expect(clippy::option_option, reason = "of another kind, or of this one and not known yet")]
    fn outlines_of(&self, api_version: &str, kind: &str) -> Option<Option<Arc<Objects<Outline>>>> {
        let [deployments, stateful_sets] = self.outlines();
        let kind = OutlineKind::parse(kind).filter(|_| group(api_version) == "apps")?;
        Some(match kind {
            OutlineKind::Deployment => deployments.borrow().clone(),
            OutlineKind::StatefulSet => stateful_sets.borrow().clone(),
        })
    }

    fn kind(&self, is_it: impl Fn(&Kind) -> bool) -> Option<Arc<Kind>> {
        let kinds = self.engine.inventory().kinds();
        kinds.iter().find(|kind| is_it(kind)).cloned()
    }

    fn objects(&self, is_it: impl Fn(&Kind) -> bool) -> Option<Arc<Objects>> {
        let kind = self.kind(is_it)?;
        let objects = self.engine.inventory().current(&kind);
        if objects.is_none() {
            // Where there is no room, others wait already, and the next review wishes again.
            let _full = self.wishes.try_send(kind);
        }
        objects
    }
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

fn in_namespace<T: Named + PartialEq>(
    snapshots: &Snapshots<T>,
    namespace: &str,
) -> Option<Vec<Arc<T>>> {
    Some(snapshots.borrow().as_ref()?.in_namespace(namespace).to_vec())
}

impl Surroundings for Cluster {
    fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    fn namespace(&self, namespace: &str) -> Option<LabelSet> {
        let namespaces = self.objects(Kind::is_namespace)?;
        namespaces.get("", namespace).map(|found| Arc::clone(&found.labels))
    }

    fn limit_ranges(&self, namespace: &str) -> Option<Vec<Arc<LimitRange>>> {
        in_namespace(&self.limit_ranges, namespace)
    }

    fn autoscalers(&self, namespace: &str) -> Option<Vec<Arc<Autoscaler>>> {
        in_namespace(&self.autoscalers, namespace)
    }

    fn exists(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Option<bool> {
        if let Some(outlines) = self.outlines_of(api_version, kind) {
            return Some(outlines?.contains(namespace, name));
        }
        let group = group(api_version);
        let objects = self.objects(|other| other.group == group && other.kind == kind)?;
        Some(objects.contains(namespace, name))
    }

    fn revisions(&self, kind: RevisionKind, workload: &Workload) -> Option<Vec<u64>> {
        let [replica_sets, controller_revisions] = self.all_revisions();
        let revisions = match kind {
            RevisionKind::ReplicaSet => replica_sets.borrow().clone()?,
            RevisionKind::ControllerRevision => controller_revisions.borrow().clone()?,
        };
        let ours = revisions.in_namespace(&workload.namespace).iter().filter(|revision| {
            let owner = revision.owner.as_ref();
            owner
                .is_some_and(|owner| *owner.kind == *workload.kind && *owner.name == *workload.name)
        });
        Some(ours.filter_map(|revision| revision.fingerprint).collect())
    }

    fn target(&self, namespace: &str, target: &ObjectReference) -> Option<Workload> {
        let outlines = self.outlines_of(&target.api_version, &target.kind)??;
        let outline = outlines.get(namespace, &target.name)?;
        let pod: serde_json::Value = serde_json::from_str(&outline.pod).ok()?;
        let object = serde_json::json!({
            "metadata": {"name": *outline.name, "namespace": namespace},
            "spec": {"template": {"spec": pod}},
        });
        // What cannot be read is there all the same, and more is not known of it.
        Workload::read("apps", &target.kind, &object, &[]).ok()?
    }

    fn served(&self) -> Option<Arc<Served>> {
        let catalog = self.engine.catalog();
        let undiscovered = catalog.undiscovered();
        let known = undiscovered.custom.is_empty() && undiscovered.external.is_empty();
        if catalog.number() == 0 || !known {
            return None;
        }
        if let Some(served) = self.served.load().as_deref()
            && served.0 == catalog.number()
        {
            return Some(Arc::clone(&served.1));
        }
        let mut served = Served::default();
        for (name, kind) in catalog.custom_metrics() {
            let is_pod = kind.group.is_empty() && kind.kind == "Pod";
            let names = if is_pod { &mut served.pods } else { &mut served.objects };
            names.insert(name.into());
        }
        served.external = catalog.external_metrics().map(Into::into).collect();
        let served = Arc::new(served);
        self.served.store(Some(Arc::new((catalog.number(), Arc::clone(&served)))));
        Some(served)
    }

    fn history(&self, namespace: &str, kind: &str, name: &str) -> Option<Arc<History>> {
        if !self.policy.borrow().history {
            return None;
        }
        // The controllers name what they make by its maker and a suffix.
        let maker = match kind {
            "ReplicaSet" => Some("Deployment"),
            "Job" => Some("CronJob"),
            _ => None,
        };
        let made = maker.and_then(|maker| Some((maker, name.rsplit_once('-')?.0)));
        self.histories
            .of(namespace, kind, name)
            .or_else(|| made.and_then(|(kind, name)| self.histories.of(namespace, kind, name)))
    }

    fn own_namespace(&self) -> &str {
        &self.own_namespace
    }
}
