//! From an object's JSON to a [`Workload`].

use std::collections::BTreeMap;

use serde_json::Value;

use super::at::At;
use super::{
    Class, Container, Handler, Owner, Pod, Port, PortReference, Probe, Resources, Unreadable,
    Workload,
};
use crate::model::policy::{Amounts, ProbeKind, Template};

/// Most containers of a pod; Kubernetes ends at far fewer by the size of an object.
const MAX_CONTAINERS: usize = 10_000;

/// The annotation of a mirror pod.
const MIRROR: &str = "kubernetes.io/config.mirror";

/// Where the pod's spec is, and whether the pod runs to its end.
pub(super) struct Shape<'a> {
    steps: Vec<&'a str>,
    run_to_completion: bool,
}

/// `None` for a kind that is not judged. The group counts: `deployments` of another one are not
/// Kubernetes'.
pub(super) fn shape<'a>(group: &str, kind: &str, templates: &'a [Template]) -> Option<Shape<'a>> {
    let (steps, run_to_completion): (&[&str], bool) = match (group, kind) {
        ("", "Pod") => (&["spec"], false),
        ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("", "ReplicationController") => (&["spec", "template", "spec"], false),
        ("batch", "Job") => (&["spec", "template", "spec"], true),
        ("batch", "CronJob") => (&["spec", "jobTemplate", "spec", "template", "spec"], true),
        _ => {
            let ours = |template: &&Template| *template.group == *group && *template.kind == *kind;
            let template = templates.iter().find(ours)?;
            let steps = template.steps.iter().map(AsRef::as_ref).chain(["spec"]).collect();
            return Some(Shape { steps, run_to_completion: template.run_to_completion });
        }
    };
    Some(Shape { steps: steps.to_vec(), run_to_completion })
}

pub(super) fn workload(
    group: &str,
    kind: &str,
    object: &Value,
    templates: &[Template],
) -> Result<Option<Workload>, Unreadable> {
    let Some(shape) = shape(group, kind, templates) else {
        return Ok(None);
    };
    let root = At::root(object);
    let Metadata { namespace, name, labels, owners, deleting, mirror } = metadata(&root)?;
    let mut pod = descend(&root, &shape.steps, &shape.steps)?;
    let owned_by_job = owners.iter().any(|owner| owner.controller && &*owner.kind == "Job");
    pod.run_to_completion |= shape.run_to_completion || owned_by_job;
    let (group, kind) = (group.into(), kind.into());
    Ok(Some(Workload { group, kind, namespace, name, labels, owners, deleting, mirror, pod }))
}

#[derive(Default)]
struct Metadata {
    namespace: Box<str>,
    name: Box<str>,
    labels: BTreeMap<Box<str>, Box<str>>,
    owners: Vec<Owner>,
    deleting: bool,
    mirror: bool,
}

fn metadata(root: &At<'_>) -> Result<Metadata, Unreadable> {
    let Some(metadata) = root.get("metadata")? else {
        return Ok(Metadata::default());
    };
    let mut name = metadata.text_of("name")?;
    if name.is_empty() {
        name = format!("{}*", metadata.text_of("generateName")?).into();
    }
    let mut labels = BTreeMap::new();
    if let Some(written) = metadata.get("labels")? {
        for (key, value) in written.entries()? {
            labels.insert(key.into(), value.text()?.into());
        }
    }
    let annotations = metadata.get("annotations")?;
    let mirror = annotations.map(|annotations| annotations.get(MIRROR).map(|at| at.is_some()));
    let mut owners = Vec::new();
    if let Some(references) = metadata.get("ownerReferences")? {
        for owner in references.items()? {
            owners.push(Owner {
                api_version: owner.text_of("apiVersion")?,
                kind: owner.text_of("kind")?,
                name: owner.text_of("name")?,
                uid: owner.text_of("uid")?,
                controller: owner.get("controller")?.map_or(Ok(false), |at| at.flag())?,
            });
        }
    }
    Ok(Metadata {
        namespace: metadata.text_of("namespace")?,
        name,
        labels,
        owners,
        deleting: metadata.get("deletionTimestamp")?.is_some(),
        mirror: mirror.transpose()?.unwrap_or(false),
    })
}

/// Goes to the pod's spec one step at a time, so that a missing one is named.
fn descend(at: &At<'_>, steps: &[&str], all: &[&str]) -> Result<Pod, Unreadable> {
    match steps.split_first() {
        Some((step, rest)) => descend(&at.need(step)?, rest, all),
        None => pod(at, all.join(".").into()),
    }
}

fn pod(spec: &At<'_>, path: Box<str>) -> Result<Pod, Unreadable> {
    let mut containers = Vec::new();
    let lists = [
        ("initContainers", Class::Init),
        ("containers", Class::App),
        ("ephemeralContainers", Class::Ephemeral),
    ];
    for (list, class) in lists {
        let Some(list) = spec.get(list)? else { continue };
        for (index, item) in list.items()?.enumerate() {
            if containers.len() == MAX_CONTAINERS {
                return Err(list.error(format!("more than {MAX_CONTAINERS} containers")));
            }
            containers.push(container(&item, class, index)?);
        }
    }
    let resources = resources(spec)?;
    let restart = spec.text_of("restartPolicy")?;
    let run_to_completion = matches!(&*restart, "Never" | "OnFailure");
    Ok(Pod { path, containers, resources, run_to_completion })
}

fn container(at: &At<'_>, class: Class, index: usize) -> Result<Container, Unreadable> {
    let runs_on = class == Class::Init && &*at.text_of("restartPolicy")? == "Always";
    let mut ports = Vec::new();
    if let Some(list) = at.get("ports")? {
        for port in list.items()? {
            let number = port.get("containerPort")?.map_or(Ok(0), |at| at.number())?;
            ports.push(Port { name: port.text_of("name")?, number });
        }
    }
    let [readiness, liveness, startup] = ProbeKind::ALL.map(|kind| {
        let probe = at.get(kind.field())?;
        probe.map(|at| self::probe(&at)).transpose()
    });
    Ok(Container {
        class: if runs_on { Class::Sidecar } else { class },
        index,
        name: at.text_of("name")?,
        image: at.text_of("image")?,
        resources: resources(at)?,
        ports,
        probes: [readiness?, liveness?, startup?],
    })
}

/// `claims`, which DRA has beside requests and limits, are left alone.
fn resources(at: &At<'_>) -> Result<Resources, Unreadable> {
    let Some(resources) = at.get("resources")? else {
        return Ok(Resources::default());
    };
    let amounts = |field| {
        let mut amounts = Amounts::new();
        if let Some(list) = resources.get(field)? {
            for (name, amount) in list.entries()? {
                amounts.insert(name.into(), amount.quantity()?);
            }
        }
        Ok(amounts)
    };
    Ok(Resources { requests: amounts("requests")?, limits: amounts("limits")? })
}

fn probe(at: &At<'_>) -> Result<Probe, Unreadable> {
    let mut handlers = Vec::new();
    for (key, value) in at.entries()? {
        // All fields of a probe are numbers but its handlers.
        if value.value().is_object() {
            handlers.push(handler(key, &value)?);
        }
    }
    // Zero is absent, as in `SetDefaults_Probe` of pkg/apis/core/v1/defaults.go.
    let number = |field, default| {
        let written = at.get(field)?.map(|at| at.number()).transpose()?;
        Ok(written.filter(|number| *number != 0).unwrap_or(default))
    };
    Ok(Probe {
        handlers,
        initial_delay: number("initialDelaySeconds", 0)?,
        period: number("periodSeconds", 10)?,
        timeout: number("timeoutSeconds", 1)?,
        timeout_written: number("timeoutSeconds", 0)? != 0,
        success_threshold: number("successThreshold", 1)?,
        failure_threshold: number("failureThreshold", 3)?,
    })
}

fn handler(name: &str, at: &At<'_>) -> Result<Handler, Unreadable> {
    let port = at.get("port")?.map(|port| match port.value() {
        // The kubelet takes a name that is a number for the number.
        Value::String(text) => Ok(text
            .parse()
            .map_or_else(|_| PortReference::Name(text.as_str().into()), PortReference::Number)),
        _ => port.number().map(PortReference::Number),
    });
    let rest: BTreeMap<_, _> = at.entries()?.map(|(key, at)| (key, at.value())).collect();
    let rest: Vec<String> = rest
        .into_iter()
        .filter(|(key, value)| *key != "port" && !value.is_null())
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    Ok(Handler { name: name.into(), port: port.transpose()?, rest: rest.join(",").into() })
}
