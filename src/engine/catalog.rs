//! Which metrics are served, and by which rule and series: what discovery has found; or by which
//! signal.
//!
//! Immutable. A new one is built whenever the rules, the series or the kinds have changed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use crate::model::object::{GroupResource, Kind, Kinds, Scope};
use crate::model::value::SeriesNames;
use crate::promql::resource_rules::ResourceRules;
use crate::promql::resources::Resources;
use crate::promql::rule::{self, Rule};
use crate::signals::signal::{On, Signal};

/// How many served names a "no such metric" suggests.
const SUGGESTIONS: usize = 3;

/// Below this Jaro-Winkler similarity a name is not worth suggesting.
const SUGGESTION_SIMILARITY: f64 = 0.75;

/// Everything that is served.
#[derive(Debug, Default)]
pub struct Catalog {
    /// Counts the catalogs that were put in force.
    number: u64,
    /// The kinds it was built with, which requests are resolved against.
    kinds: Arc<Kinds>,
    custom: BTreeMap<String, Vec<CustomMetric>>,
    external: BTreeMap<String, Sources>,
    resource_rules: Option<Arc<ResourceRules>>,
    undiscovered: Undiscovered,
    problems: Vec<String>,
}

/// Rules whose series have never been listed, each with the reason.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Undiscovered {
    /// Of `rules`.
    pub custom: Vec<String>,
    /// Of `externalRules`.
    pub external: Vec<String>,
}

/// A metric of objects of one kind.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomMetric {
    /// The kind that it describes.
    pub kind: Arc<Kind>,
    /// What it is computed from.
    pub sources: Sources,
}

/// What a metric is computed from, which may be something else in some namespaces.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    everywhere: Option<Source>,
    confined: BTreeMap<Arc<str>, Source>,
}

impl Sources {
    /// What the metric is computed from for a namespace, or for objects in none.
    pub fn of(&self, namespace: Option<&str>) -> Option<&Source> {
        let confined = namespace.and_then(|namespace| self.confined.get(namespace));
        confined.or(self.everywhere.as_ref())
    }

    /// Takes the series of a rule; they win over those before.
    fn add_series(&mut self, served: Served, what: &str, problems: &mut Vec<String>) {
        if let Some(Source::Series(earlier)) = &self.everywhere {
            problems.push(collision(what, earlier, &served));
        }
        self.everywhere = Some(Source::Series(served));
    }

    /// Takes a signal; it wins over a rule, and gives way to a signal before it.
    fn add_signal(&mut self, signal: &Arc<Signal>, what: &str, problems: &mut Vec<String>) {
        let source = Source::Signal(Arc::clone(signal));
        let there = match &signal.namespace {
            Some(namespace) => self.confined.get(namespace),
            None => self.everywhere.as_ref(),
        };
        match there {
            Some(Source::Signal(earlier)) => {
                let (origin, earlier) = (&signal.origin, &earlier.origin);
                problems.push(format!(
                    "{what} is declared by {earlier} and by {origin}; the former is served"
                ));
                return;
            }
            Some(Source::Series(Served { rule, .. })) => problems.push(format!(
                "{what} comes from {} and from the signal {}; the latter is served",
                rule.path, signal.origin
            )),
            None => {}
        }
        match &signal.namespace {
            Some(namespace) => drop(self.confined.insert(Arc::clone(namespace), source)),
            None => self.everywhere = Some(source),
        }
    }
}

/// What a metric is computed from.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The series of a rule.
    Series(Served),
    /// A signal.
    Signal(Arc<Signal>),
}

/// The series of a rule.
#[derive(Clone, Debug)]
pub struct Served {
    /// The rule.
    pub rule: Arc<Rule>,
    /// The name of the series.
    pub series: String,
    /// Whether one query answers for all namespaces and objects, once somebody has found out.
    pub is_separable: OnceLock<bool>,
}

/// The same rule, by identity, and the same series.
impl PartialEq for Served {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.rule, &other.rule) && self.series == other.series
    }
}

impl Served {
    fn new(rule: &Arc<Rule>, series: &str) -> Self {
        Self { rule: Arc::clone(rule), series: series.to_owned(), is_separable: OnceLock::new() }
    }
}

/// A rule with what is known of its series.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its series; `None` where they have never been listed, with the reason.
    pub series: Result<Arc<SeriesNames>, String>,
}

impl Catalog {
    /// Joins the rules with their series. Where two give the same name to a metric of the same
    /// kind, the later rule wins, and within a rule the series that sorts last.
    pub fn build(
        rules: impl IntoIterator<Item = Discovered>,
        external_rules: impl IntoIterator<Item = Discovered>,
        kinds: &Arc<Kinds>,
    ) -> Self {
        let mut catalog = Self { kinds: Arc::clone(kinds), ..Self::default() };
        for Discovered { rule, series } in rules {
            catalog.add_problems(&rule.path, &rule.resources);
            match series {
                Ok(series) => catalog.add_custom(&rule, &series),
                Err(reason) => {
                    catalog.undiscovered.custom.push(format!("{}: {reason}", rule.path));
                }
            }
        }
        for Discovered { rule, series } in external_rules {
            catalog.add_problems(&rule.path, &rule.resources);
            match series {
                Ok(series) => catalog.add_external(&rule, &series),
                Err(reason) => {
                    catalog.undiscovered.external.push(format!("{}: {reason}", rule.path));
                }
            }
        }
        catalog
    }

    /// Serves resource metrics as well, where there are rules for them.
    #[must_use]
    pub fn with_resource_rules(mut self, rules: Option<Arc<ResourceRules>>) -> Self {
        for rule in rules.iter().flat_map(|rules| [&rules.cpu, &rules.memory]) {
            self.add_problems(&rule.path, &rule.resources);
        }
        self.resource_rules = rules;
        self
    }

    /// Serves signals as well. Of those with the same name in the same place the first wins.
    #[must_use]
    pub fn with_signals(mut self, signals: &[Arc<Signal>]) -> Self {
        for signal in signals {
            match &signal.on {
                On::External => self.add_external_signal(signal),
                On::Objects(resource) => self.add_signal_of(signal, resource),
            }
        }
        self
    }

    fn add_signal_of(&mut self, signal: &Arc<Signal>, resource: &GroupResource) {
        let Some(kind) = self.kinds.resolve(resource).cloned() else {
            // A preset names the kinds of all who may have it.
            if !signal.is_golden() {
                self.problems.push(format!(
                    "{}: there is no resource {resource} in this cluster; it is not served",
                    signal.origin
                ));
            }
            return;
        };
        if signal.namespace.is_some() && kind.scope == Scope::Cluster && !kind.is_namespace() {
            self.problems.push(format!(
                "{}: {resource} are in no namespace, so that a signal of one namespace can say \
                 nothing of them; it is not served",
                signal.origin
            ));
            return;
        }
        let what = format!("{}/{}", kind.group_resource(), signal.metric);
        let metrics = self.custom.entry(signal.metric.clone()).or_default();
        sources_of(metrics, kind).add_signal(signal, &what, &mut self.problems);
    }

    fn add_external_signal(&mut self, signal: &Arc<Signal>) {
        let name = signal.metric.to_lowercase();
        let sources = self.external.entry(name.clone()).or_default();
        sources.add_signal(signal, &name, &mut self.problems);
    }

    /// What a rule says of resources that this cluster does not have, or says twice.
    fn add_problems(&mut self, path: &str, resources: &Resources) {
        let problems = resources.problems(&self.kinds);
        self.problems.extend(problems.iter().map(|problem| format!("{path}.resources: {problem}")));
    }

    fn add_custom(&mut self, rule: &Arc<Rule>, series: &SeriesNames) {
        let kinds = Arc::clone(&self.kinds);
        for (series, labels) in series {
            let Some(name) = rule.metric_name(series) else { continue };
            for kind in rule.described_kinds(labels.iter().map(String::as_str), &kinds) {
                let what = format!("{}/{name}", kind.group_resource());
                let metrics = self.custom.entry(name.clone()).or_default();
                let sources = sources_of(metrics, kind);
                sources.add_series(Served::new(rule, series), &what, &mut self.problems);
            }
        }
    }

    fn add_external(&mut self, rule: &Arc<Rule>, series: &SeriesNames) {
        for series in series.keys() {
            let Some(name) = rule.metric_name(series) else { continue };
            // The HPA controller asks in lower case whatever the HPA says.
            let name = name.to_lowercase();
            if rule::refused_external_name(&name) {
                self.problems.push(format!(
                    "{} names an external metric `{name}`, which Kubernetes authorizes as a part \
                     of the namespace itself; it is not served",
                    rule.path.clone()
                ));
                continue;
            }
            let sources = self.external.entry(name.clone()).or_default();
            sources.add_series(Served::new(rule, series), &name, &mut self.problems);
        }
    }

    /// The same as the one after a number of others.
    #[must_use]
    pub fn numbered(self, number: u64) -> Self {
        Self { number, ..self }
    }

    /// Tells it apart from those that were in force before it.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Whether it serves the same in the same way.
    pub fn is_like(&self, other: &Self) -> bool {
        let rules = |catalog: &Self| catalog.resource_rules.as_ref().map(Arc::as_ptr);
        Arc::ptr_eq(&self.kinds, &other.kinds)
            && rules(self) == rules(other)
            && self.custom == other.custom
            && self.external == other.external
            && self.undiscovered == other.undiscovered
            && self.problems == other.problems
    }

    /// The kinds that names in requests stand for.
    pub fn kinds(&self) -> &Kinds {
        &self.kinds
    }

    /// What a metric of a kind is computed from, for a namespace or for objects in none.
    pub fn custom(&self, kind: &Kind, metric: &str, namespace: Option<&str>) -> Option<&Source> {
        let metric = self.custom.get(metric)?.iter().find(|custom| *custom.kind == *kind)?;
        metric.sources.of(namespace)
    }

    /// What an external metric is computed from for a namespace; names are in lower case.
    pub fn external(&self, metric: &str, namespace: &str) -> Option<&Source> {
        self.external.get(metric)?.of(Some(namespace))
    }

    /// What resource metrics are computed from; none where they are not served.
    pub const fn resource_rules(&self) -> Option<&Arc<ResourceRules>> {
        self.resource_rules.as_ref()
    }

    /// Every custom metric: name, resource with its group, and scope.
    pub fn custom_metrics(&self) -> impl Iterator<Item = (&str, &Kind)> {
        self.custom
            .iter()
            .flat_map(|(name, metrics)| metrics.iter().map(move |metric| (&**name, &*metric.kind)))
    }

    /// Every external metric's name.
    pub fn external_metrics(&self) -> impl Iterator<Item = &str> {
        self.external.keys().map(String::as_str)
    }

    /// How many metrics there are: custom, by kind, and external.
    pub fn len(&self) -> usize {
        self.custom.values().map(Vec::len).sum::<usize>() + self.external.len()
    }

    /// Whether nothing is served.
    pub fn is_empty(&self) -> bool {
        self.custom.is_empty() && self.external.is_empty()
    }

    /// Rules whose series have never been listed, each with the reason.
    pub fn undiscovered(&self) -> &Undiscovered {
        &self.undiscovered
    }

    /// What is not as the rules say: names that more than one of them gave, and resources that do
    /// not exist.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// A sentence on why a metric of a kind is not served: what is, instead.
    pub fn why_no_custom(&self, kind: &Kind, metric: &str) -> String {
        let resource = kind.group_resource();
        if let Some(metrics) = self.custom.get(metric) {
            if metrics.iter().any(|metric| *metric.kind == *kind) {
                return "it is a signal of other namespaces".to_owned();
            }
            let kinds: Vec<_> =
                metrics.iter().map(|metric| metric.kind.group_resource().to_string()).collect();
            return format!(
                "it is served for {}, since its series carry no label that names {}",
                kinds.join(", "),
                kind.plural
            );
        }
        let names = self.custom_metrics().filter(|(_, other)| *other == kind).map(|(name, _)| name);
        suggest(
            metric,
            names,
            &format!("no rule serves it; {resource} have no metric with a name like it"),
        )
    }

    /// A sentence on why an external metric is not served.
    pub fn why_no_external(&self, metric: &str) -> String {
        if self.external.contains_key(metric) {
            return "it is a signal of other namespaces".to_owned();
        }
        suggest(metric, self.external_metrics(), "no external rule serves it")
    }

    /// Whether objects of a kind are in a namespace while the request is not, or the other way.
    pub fn scope_mismatch(kind: &Kind, namespace: Option<&str>) -> Option<String> {
        let resource = kind.group_resource();
        match (kind.scope, namespace) {
            (Scope::Namespaced, None) => {
                Some(format!("{resource} are in a namespace: ask under /namespaces/NAMESPACE/"))
            }
            (Scope::Cluster, Some(_)) if kind.is_namespace() => Some(
                "a metric of a namespace is asked for as /namespaces/NAMESPACE/metrics/METRIC"
                    .to_owned(),
            ),
            (Scope::Cluster, Some(_)) => {
                Some(format!("{resource} are in no namespace: ask without /namespaces/NAMESPACE"))
            }
            _ => None,
        }
    }
}

/// The sources of a kind, which come into being with the first.
fn sources_of(metrics: &mut Vec<CustomMetric>, kind: Arc<Kind>) -> &mut Sources {
    let known = metrics.iter().position(|metric| metric.kind == kind);
    let index = known.unwrap_or_else(|| {
        metrics.push(CustomMetric { kind, sources: Sources::default() });
        metrics.len() - 1
    });
    &mut metrics[index].sources
}

fn collision(what: &str, earlier: &Served, later: &Served) -> String {
    format!(
        "{what} comes from series {} of {} and from series {} of {}; the latter is served",
        earlier.series,
        earlier.rule.path.clone(),
        later.series,
        later.rule.path.clone()
    )
}

fn suggest<'a>(wanted: &str, names: impl Iterator<Item = &'a str>, otherwise: &str) -> String {
    let mut near: Vec<_> = names
        .map(|name| (strsim::jaro_winkler(wanted, name), name))
        .filter(|(similarity, _)| *similarity >= SUGGESTION_SIMILARITY)
        .collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    near.truncate(SUGGESTIONS);
    if near.is_empty() {
        return otherwise.to_owned();
    }
    let names: Vec<_> = near.into_iter().map(|(_, name)| name).collect();
    format!("no rule serves it; the nearest names are {}", names.join(", "))
}
