//! `insight.plimsoll.dev`: what decision signals decided, for people.

use bytes::Bytes;

use crate::apiserver::path::DecisionsRoute;
use crate::engine::decisions::{Decided, Decisions};
use crate::model::object::GroupResource;
use crate::signals::decision::Record;
use crate::wire::insight::{self, Decision, Inputs, Metadata, Spec, Target};
use crate::wire::metrics::Seconds;
use crate::wire::negotiate::{Choice, Shape};
use crate::wire::status::Status;
use crate::wire::table::{self, IncludeObject};

/// Writes one decision with its history, or a list of those that hold now.
pub fn respond(
    decisions: &Decisions,
    route: &DecisionsRoute,
    choice: Choice,
    include: IncludeObject,
    now: Seconds,
) -> Result<Bytes, Status> {
    let namespace = route.namespace.as_deref();
    let items = if let Some(name) = &route.name {
        let found = decisions.get(namespace.unwrap_or_default(), name);
        let decision = decision(&found.ok_or_else(|| not_found(name))?);
        if !matches!(choice.shape, Shape::Table(_)) {
            return Ok(insight::object(choice.form, &decision));
        }
        vec![decision]
    } else {
        let all = decisions.list(namespace).into_iter();
        let selected = all.filter(|decided| {
            route.fields.matches(&decided.subject.namespace, &decided.subject.name)
        });
        selected.map(|decided| decision(&decided)).collect()
    };
    Ok(match choice.shape {
        Shape::Table(version) => table::decisions(choice.form, version, include, &items, now),
        _ => insight::list(choice.form, &items),
    })
}

fn not_found(name: &str) -> Status {
    Status::object_not_found(&GroupResource::parse("decisions.insight.plimsoll.dev"), name).because(
        "a decision is there while somebody asks for its metric; its name is OBJECT.METRIC",
    )
}

fn decision(decided: &Decided) -> Decision {
    let record = |record| self::record(decided, record);
    Decision {
        metadata: Metadata {
            name: decided.subject.name.to_string(),
            namespace: decided.subject.namespace.to_string(),
            creation_timestamp: Seconds(decided.since.as_second()),
        },
        spec: Spec {
            metric: decided.metric.to_string(),
            target: Target {
                api_version: decided.kind.api_version(),
                kind: decided.kind.kind.clone(),
                name: decided.object.to_string(),
            },
        },
        status: insight::Status {
            latest: record(&decided.latest),
            history: decided.history.iter().map(record).collect(),
        },
    }
}

fn record(decided: &Decided, record: &Record) -> insight::Record {
    let names = decided.decision.inputs.iter();
    let inputs = names.zip(record.inputs());
    insight::Record {
        time: Seconds(record.at.as_second()),
        pods: record.pods,
        replicas: record.verdict.replicas,
        action: record.verdict.action.to_string(),
        reason: decided.decision.reason(record),
        confidence: record.verdict.confidence,
        inputs: Inputs(
            inputs.filter_map(|(name, value)| Some((name.to_string(), value?))).collect(),
        ),
    }
}
