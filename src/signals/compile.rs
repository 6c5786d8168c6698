//! From a definition to a checked signal. Every mistake is told, each with the path of its field.

mod composite;
mod decision;
mod labels;
mod plain;
mod sources;
mod time;

use std::sync::Arc;

use crate::model::no_data::NoData;
use crate::model::object::GroupResource;
use crate::model::quantity::{Milli, Rounding};
use crate::promql::rule::refused_external_name;
use crate::signals::definition::{NoDataChoice, NoDataPolicy, SignalSpec, Smoothing};
use crate::signals::preset::Presets;
use crate::signals::signal::{Kind, On, Signal};
use crate::signals::smoothing::Smoother;

/// The names of the kinds that are written.
macro_rules! kinds_of {
    ($written:expr, $($name:literal => $more:ident),*) => {{
        let all = [
            $(($name, $written.$more.is_some()),)*
            ("requestRate", $written.request_rate.is_some()),
            ("errorRatio", $written.error_ratio.is_some()),
            ("latencyQuantile", $written.latency_quantile.is_some()),
            ("latencyAverage", $written.latency_average.is_some()),
            ("saturation", $written.saturation.is_some()),
            ("cpu", $written.cpu.is_some()),
            ("memory", $written.memory.is_some()),
            ("query", $written.query.is_some()),
            ("schedule", $written.schedule.is_some()),
        ];
        all.into_iter().filter(|(_, written)| *written).map(|(name, _)| name).collect::<Vec<_>>()
    }};
}

/// Compiles the kind that signals and inputs may both be; the path is that of the kind.
macro_rules! compile_leaf {
    ($self:expr, $written:expr, $on:expr, $path:expr) => {{
        let (compiler, written, on, path) = ($self, $written, $on, $path);
        if let Some(it) = &written.request_rate {
            compiler.request_rate(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.error_ratio {
            compiler.error_ratio(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.latency_quantile {
            compiler.latency_quantile(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.latency_average {
            compiler.latency_average(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.saturation {
            compiler.saturation(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.cpu {
            compiler.resource(it, on, path, |preset| preset.cpu.as_ref()).map(Kind::Leaf)
        } else if let Some(it) = &written.memory {
            compiler.resource(it, on, path, |preset| preset.memory.as_ref()).map(Kind::Leaf)
        } else if let Some(it) = &written.query {
            compiler.query(it, on, path).map(Kind::Leaf)
        } else if let Some(it) = &written.schedule {
            compiler.schedule(it, path).map(Kind::Schedule)
        } else {
            None
        }
    }};
}

use {compile_leaf, kinds_of};

/// Something that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The field, from the signal on: `latencyQuantile.quantile`; empty for the whole.
    pub path: String,
    /// What is wrong, and what to do.
    pub what: String,
}

/// Checks a definition. The origin is for messages; one that is confined to a namespace sees that
/// namespace alone. Composites over other signals have to be [linked](super::link).
pub fn compile(
    origin: &str,
    spec: &SignalSpec,
    presets: &Presets,
    namespace: Option<&str>,
) -> Result<Signal, Vec<Mistake>> {
    let mut compiler = Compiler { presets, namespace, mistakes: Vec::new() };
    let on = compiler.on(spec);
    compiler.metric(spec, on.as_ref());
    let kind = on.as_ref().and_then(|on| compiler.kind(spec, on));
    let no_data = compiler.no_data(spec.no_data.as_ref(), "noData");
    let smoother = compiler.smoothing(spec.smoothing.as_ref());
    if compiler.mistakes.is_empty()
        && let (Some(on), Some(kind)) = (on, kind)
    {
        let backend = spec.backend.clone().filter(|backend| !backend.is_empty());
        let namespace = namespace.map(Arc::from);
        let (metric, origin) = (spec.metric.clone(), origin.to_owned());
        return Ok(Signal { metric, on, origin, namespace, backend, no_data, kind, smoother });
    }
    Err(compiler.mistakes)
}

/// What is being compiled.
struct Compiler<'a> {
    presets: &'a Presets,
    namespace: Option<&'a str>,
    mistakes: Vec<Mistake>,
}

impl Compiler<'_> {
    fn mistake(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.mistakes.push(Mistake { path: path.into(), what: what.into() });
    }

    fn on(&mut self, spec: &SignalSpec) -> Option<On> {
        let on = spec.on().trim();
        if on == "external" {
            return Some(On::External);
        }
        if on.is_empty() {
            self.mistake("on", "it is missing: write a kind as `deployments.apps`, or `external`");
            return None;
        }
        let is_kind = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || ".-".contains(c);
        if !on.chars().all(is_kind) {
            self.mistake(
                "on",
                format!("{on:?} is no kind: write its plural and group as `deployments.apps`"),
            );
            return None;
        }
        Some(On::Objects(GroupResource::parse(plural(on))))
    }

    fn metric(&mut self, spec: &SignalSpec, on: Option<&On>) {
        let metric = spec.metric.as_str();
        let is_fit = |c: char| c.is_ascii_alphanumeric() || "_:.-".contains(c);
        if metric.is_empty() {
            self.mistake("metric", "it is missing: write the name that an HPA uses");
        } else if !metric.chars().all(is_fit) || metric.len() > 253 {
            let what = "a metric's name has letters, digits and _ : . - and at most 253 of them";
            self.mistake("metric", format!("{metric:?} cannot be in a path: {what}"));
        } else if on == Some(&On::External) && refused_external_name(&metric.to_lowercase()) {
            let what = "Kubernetes takes its path for a subresource of the namespace";
            self.mistake(
                "metric",
                format!("an external metric cannot be called {metric:?}: {what}"),
            );
        }
    }

    fn kind(&mut self, spec: &SignalSpec, on: &On) -> Option<Kind> {
        let written = kinds_of!(
            spec,
            "composite" => composite,
            "decision" => decision,
            "forecast" => forecast
        );
        let [name] = written.as_slice() else {
            self.mistake("", not_one(&written, "composite, decision and forecast"));
            return None;
        };
        if let Some(composite) = &spec.composite {
            self.composite(composite, on).map(Kind::Composite)
        } else if let Some(decision) = &spec.decision {
            self.decision(decision, on).map(Kind::Composite)
        } else if let Some(forecast) = &spec.forecast {
            self.forecast(forecast, on).map(Kind::Composite)
        } else {
            compile_leaf!(self, spec, on, name)
        }
    }

    fn no_data(&mut self, policy: Option<&NoDataPolicy>, path: &str) -> NoData {
        let Some(NoDataPolicy { policy, max_age, value }) = policy else {
            return NoData::Error;
        };
        if max_age.is_some() != (*policy == NoDataChoice::LastKnown) {
            self.mistake(
                format!("{path}.maxAge"),
                "it belongs to the policy lastKnown, which needs it",
            );
        }
        if value.is_some() != (*policy == NoDataChoice::Constant) {
            self.mistake(
                format!("{path}.value"),
                "it belongs to the policy constant, which needs it",
            );
        }
        match policy {
            NoDataChoice::Error => NoData::Error,
            NoDataChoice::Zero => NoData::Zero,
            NoDataChoice::LastKnown => {
                let max_age = self.duration(max_age.as_deref(), &format!("{path}.maxAge"));
                NoData::LastKnown { max_age: max_age.unwrap_or_default() }
            }
            NoDataChoice::Constant => {
                let constant = Milli::from_f64(value.unwrap_or_default(), Rounding::AwayFromZero);
                if constant.is_none() {
                    self.mistake(format!("{path}.value"), "no quantity can say it");
                }
                NoData::Constant(constant.unwrap_or_default())
            }
        }
    }

    fn smoothing(&mut self, smoothing: Option<&Smoothing>) -> Smoother {
        let Some(Smoothing { ewma, hysteresis }) = smoothing else {
            return Smoother::default();
        };
        let half_life = ewma
            .as_ref()
            .and_then(|ewma| self.positive(Some(&ewma.half_life), "smoothing.ewma.halfLife"));
        let band = hysteresis.as_ref().map(|hysteresis| hysteresis.ratio);
        if band.is_some_and(|band| !(0.0..=1.0).contains(&band)) {
            self.mistake("smoothing.hysteresis.ratio", "it has to be from 0 to 1");
        }
        Smoother { half_life, band }
    }
}

fn not_one(written: &[&str], also: &str) -> String {
    if written.is_empty() {
        return format!(
            "it has no kind: write one of requestRate, errorRatio, latencyQuantile, \
             latencyAverage, saturation, cpu, memory, query, schedule, {also}"
        );
    }
    format!("it has several kinds, {}: make each a signal of its own", written.join(" and "))
}

/// The name of a well-known kind as presets have it.
fn plural(on: &str) -> &str {
    match on {
        "pod" | "po" => "pods",
        "service" | "svc" => "services",
        "namespace" | "ns" => "namespaces",
        "deployment" | "deployments" | "deploy" | "deployment.apps" => "deployments.apps",
        "statefulset" | "statefulsets" | "sts" | "statefulset.apps" => "statefulsets.apps",
        "daemonset" | "daemonsets" | "ds" | "daemonset.apps" => "daemonsets.apps",
        "replicaset" | "replicasets" | "rs" | "replicaset.apps" => "replicasets.apps",
        "job" | "jobs" | "job.batch" => "jobs.batch",
        "ingress" | "ingresses" | "ing" | "ingress.networking.k8s.io" => {
            "ingresses.networking.k8s.io"
        }
        other => other,
    }
}
