//! `plimsoll scan`: what of a live cluster the webhook would refuse, by namespace and owner.
//!
//! Everything is read page by page and judged as the webhook judges a creation; nothing is kept but
//! what was found. What another workload makes is not judged: its maker is. Histories and the
//! metrics that are served are not known here, and play no part.

mod policy_report;
mod read;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use self::read::ReadError;

use self::read::Cluster;
use super::check::{self, CheckError};
use crate::admission::autoscaler::{self, AutoscalerFacts, Target};
use crate::admission::finding::Finding;
use crate::admission::judge::{Facts, Judgement, judge, judge_autoscaler};
use crate::admission::report;
use crate::admission::scope::{self, Write};
use crate::admission::workload::{Unreadable, Workload};
use crate::cluster::client::{self, ClientError};
use crate::model::inventory::LabelSet;
use crate::model::policy::{ENFORCE_LABEL, Mode, Policy};

/// `plimsoll scan` as typed.
#[derive(Args, Clone, Debug)]
pub struct ScanArgs {
    /// Namespace to look at; may be given several times [default: all].
    #[arg(long, short, value_name = "NAME")]
    namespace: Vec<String>,
    /// Configuration file whose `admission` says what is asked for [default: the built-in policy].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Judge as if every namespace had this level in its label plimsoll.dev/enforce: what would
    /// break?
    #[arg(long, value_name = "LEVEL")]
    enforce: Option<Level>,
    /// Kubeconfig of the cluster [default: the pod's service account].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How findings are printed.
    #[arg(long, short, value_name = "FORM", default_value = "text")]
    output: Output,
    /// Write a `PolicyReport` (wgpolicyk8s.io/v1alpha2) named plimsoll into each namespace.
    #[arg(long)]
    policy_reports: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Level {
    Baseline,
    Strict,
}

/// Why a cluster cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] CheckError),
    /// Something cannot be read or written.
    #[error(transparent)]
    Cluster(#[from] ReadError),
}

/// An object that was judged.
#[derive(Debug)]
struct Judged {
    api_version: String,
    kind: String,
    name: String,
    uid: String,
    judgement: Result<Judgement, Unreadable>,
}

impl Judged {
    fn findings(&self, mode: Mode) -> impl Iterator<Item = &Finding> {
        self.judgement.iter().flat_map(move |judgement| judgement.with(mode))
    }

    /// What the webhook would have done to its creation.
    fn is(&self, mode: Mode) -> bool {
        self.findings(mode).next().is_some()
    }
}

/// The objects of each namespace.
type Namespaces = BTreeMap<String, Vec<Judged>>;

/// Judges a cluster.
pub async fn run(args: ScanArgs) -> Result<check::Report, ScanError> {
    let client = client::connect(&client::Settings { kubeconfig: args.kubeconfig.clone() }).await?;
    let policy = check::policy(args.config.as_deref())?;
    let cluster = Cluster::connect(client).await?;
    let policy = cluster.with_exemptions(&policy).await?;
    let namespaces = Scan { cluster: &cluster, policy: &policy, args: &args }.all().await?;
    if args.policy_reports {
        for (namespace, judged) in &namespaces {
            let report = policy_report::document(namespace, judged, Timestamp::now());
            cluster.write_report(namespace, &report).await?;
        }
    }
    let found = namespaces.values().flatten().any(|one| one.is(Mode::Deny) || one.is(Mode::Warn));
    let text = match args.output {
        Output::Text => text(&namespaces),
        Output::Json => format!("{:#}\n", as_json(&namespaces)),
    };
    Ok(check::Report { text, found })
}

struct Scan<'a> {
    cluster: &'a Cluster,
    policy: &'a Policy,
    args: &'a ScanArgs,
}

impl Scan<'_> {
    async fn all(&self) -> Result<Namespaces, ScanError> {
        let enforced = self.args.enforce.map(|level| -> LabelSet {
            let level = if level == Level::Strict { "strict" } else { "baseline" };
            Arc::from([(Arc::from(ENFORCE_LABEL), Arc::from(level))])
        });
        let mut namespaces = Namespaces::new();
        for (namespace, labels) in self.cluster.namespaces().await? {
            let asked = &self.args.namespace;
            if is_judged(&namespace) && (asked.is_empty() || asked.contains(&namespace)) {
                let labels = enforced.as_ref().unwrap_or(&labels);
                let judged = self.namespace(&namespace, labels).await?;
                namespaces.insert(namespace, judged);
            }
        }
        Ok(namespaces)
    }

    async fn namespace(
        &self,
        namespace: &str,
        labels: &LabelSet,
    ) -> Result<Vec<Judged>, ScanError> {
        let now = Timestamp::now();
        let limit_ranges = self.cluster.limit_ranges(namespace);
        let autoscalers = self.cluster.autoscalers(namespace);
        let facts = Facts {
            namespace: Some(labels),
            limit_ranges: Some(&limit_ranges),
            autoscalers: Some(&autoscalers),
            ..Facts::alone(now)
        };
        let mut judged = Vec::new();
        // Those that an autoscaler scales.
        let mut targets: Vec<Workload> = Vec::new();
        let mut existing = Vec::new();
        for (group, kind) in Cluster::kinds(&self.policy.templates) {
            let mut each = |object: Value| {
                let read = Workload::read(&group, &kind, &object, &self.policy.templates);
                let judgement = match read {
                    Ok(None) => return,
                    Ok(Some(workload)) => {
                        existing.push((kind.clone(), workload.name.clone()));
                        let scaled = autoscalers.iter().any(|one| {
                            *one.target.kind == kind && *one.target.name == *workload.name
                        });
                        if self.is_made_by_another(&workload) {
                            return;
                        }
                        let judgement = judge(&workload, None, self.policy, &facts);
                        targets.extend(scaled.then_some(workload));
                        Ok(judgement)
                    }
                    Err(unreadable) => Err(unreadable),
                };
                judged.push(new_judged(&object, &group, &kind, judgement));
            };
            self.cluster.each(&group, &kind, namespace, &mut each).await?;
        }
        let mut each = |object: Value| {
            let judgement = autoscaler::read(&object).map(|autoscaler| {
                let target = &autoscaler.target;
                let is_it = |kind: &str, name: &str| *target.kind == *kind && *target.name == *name;
                let known = targets.iter().find(|workload| is_it(&workload.kind, &workload.name));
                let exists = existing.iter().any(|(kind, name)| is_it(kind, name));
                let facts = AutoscalerFacts {
                    namespace: Some(labels),
                    limit_ranges: Some(&limit_ranges),
                    autoscalers: Some(&autoscalers),
                    served: None,
                    target: match known {
                        Some(workload) => Target::Workload(workload),
                        None if exists => Target::Exists,
                        None if read::SCALABLE.contains(&&*target.kind) => Target::Absent,
                        None => Target::Unknown,
                    },
                    now,
                };
                judge_autoscaler(&autoscaler, None, self.policy, &facts)
            });
            let (group, kind) = read::AUTOSCALER;
            judged.push(new_judged(&object, group, kind, judgement));
        };
        let (group, kind) = read::AUTOSCALER;
        self.cluster.each(group, kind, namespace, &mut each).await?;
        Ok(judged)
    }

    /// What made it is judged in its place.
    fn is_made_by_another(&self, workload: &Workload) -> bool {
        workload.controller().is_some_and(|owner| {
            let group = owner.api_version.split_once('/').map_or("", |(group, _)| group);
            Workload::is_judged(group, &owner.kind, &self.policy.templates)
        })
    }
}

fn new_judged(
    object: &Value,
    group: &str,
    kind: &str,
    judgement: Result<Judgement, Unreadable>,
) -> Judged {
    let text = |field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
    let version = read::version(group, object);
    Judged {
        api_version: if group.is_empty() { version } else { format!("{group}/{version}") },
        kind: kind.to_owned(),
        name: text("name"),
        uid: text("uid"),
        judgement,
    }
}

/// Namespaces of Kubernetes itself are left out, as the webhook leaves them.
fn is_judged(namespace: &str) -> bool {
    let write = Write {
        operation: "CREATE",
        subresource: "",
        kind: "Deployment",
        namespace,
        user: "",
        own_namespace: "",
    };
    scope::skips_request(&write).is_none()
}

fn text(namespaces: &Namespaces) -> String {
    let mut text = String::new();
    let (mut refused, mut warned, mut all) = (0, 0, 0);
    for (namespace, judged) in namespaces {
        all += judged.len();
        refused += judged.iter().filter(|one| one.is(Mode::Deny)).count();
        warned += judged.iter().filter(|one| !one.is(Mode::Deny) && one.is(Mode::Warn)).count();
        let quiet =
            |one: &&Judged| one.judgement.is_ok() && !one.is(Mode::Deny) && !one.is(Mode::Warn);
        let mut told = judged.iter().filter(|one| !quiet(one)).peekable();
        if told.peek().is_some() {
            text.extend(["namespace ", namespace, "\n"]);
        }
        for one in told {
            let title = report::clean(&format!("{} {}", one.kind, one.name), report::MAX_WARNING);
            text.extend(["  ", &title, "\n"]);
            for finding in one.findings(Mode::Deny).chain(one.findings(Mode::Warn)) {
                text.extend(["    ", finding.mode.name(), ": ", &report::line(finding), "\n"]);
            }
            if let Err(unreadable) = &one.judgement {
                text.extend(["    not judged: ", &unreadable.to_string(), "\n"]);
            }
        }
    }
    let places = namespaces.len();
    text + &format!(
        "{all} objects in {places} namespaces: {refused} would be refused, {warned} warned about\n"
    )
}

fn as_json(namespaces: &Namespaces) -> Value {
    let object = |one: &Judged| {
        let findings = one.judgement.iter().flat_map(|judgement| &judgement.findings);
        json!({
            "apiVersion": one.api_version,
            "kind": one.kind,
            "name": one.name,
            "refused": one.is(Mode::Deny),
            "findings": findings.map(report::json).collect::<Vec<_>>(),
            "unreadable": one.judgement.as_ref().err().map(ToString::to_string),
        })
    };
    let namespace = |(name, judged): (&String, &Vec<Judged>)| json!({"namespace": name, "objects": judged.iter().map(object).collect::<Vec<_>>()});
    Value::Array(namespaces.iter().map(namespace).collect())
}
