//! From the file as it is written to compiled rules.

use std::sync::Arc;
use std::time::Duration;

use serde_saphyr::{Location, Spanned};

use super::Config;
use super::backends::{Names, backends};
use super::file::{self, Entry, File, PartialResults, Text};
use super::no_data;
use super::report::{Report, with_causes};
use crate::model::duration;
use crate::model::no_data::NoData;
use crate::model::object::GroupResource;
use crate::promql::matcher::is_label_name;
use crate::promql::naming::{Filter, Namer, NamingError};
use crate::promql::resource_rules::{ResourceRule, ResourceRules};
use crate::promql::resources::Resources;
use crate::promql::rule::{DEFAULT_BACKEND, Rule, refused_external_name};
use crate::promql::template::{Fields, Template};
use crate::promql::window;

/// Which of the two lists a rule stands in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    Custom,
    External,
}

impl List {
    fn name(self) -> &'static str {
        match self {
            Self::Custom => "rules",
            Self::External => "externalRules",
        }
    }
}

/// Compiles everything; what is wrong goes to the report and is left out of the answer.
pub(super) fn config(file: File, text: &str, report: &mut Report<'_>) -> Config {
    let File { rules, external_rules, resource_rules, presets, signals, admission, backends } =
        file;
    let (backends, names) = self::backends(backends, report);
    let rules = list(List::Custom, rules, &names, report);
    let external_rules = list(List::External, external_rules, &names, report);
    let resource_rules = resource_rules.and_then(|Spanned { value, referenced, .. }| {
        self::resource_rules(value, referenced, &names, report).map(Arc::new)
    });
    let (presets, signals) = (presets.unwrap_or_default(), signals.unwrap_or_default());
    let (signals, presets) = super::signals::signals(presets, signals, &names, text, report);
    let presets = Arc::new(presets);
    let admission = super::admission::policy(admission.unwrap_or_default(), report).into();
    let warnings = Vec::new();
    Config {
        backends,
        rules,
        external_rules,
        resource_rules,
        signals,
        presets,
        admission,
        warnings,
    }
}

fn list(
    list: List,
    entries: Option<Vec<Entry<file::Rule>>>,
    names: &Names,
    report: &mut Report<'_>,
) -> Vec<Arc<Rule>> {
    let mut rules = Vec::new();
    for (index, Spanned { value, referenced, .. }) in entries.into_iter().flatten().enumerate() {
        let path = format!("{}[{index}]", list.name());
        let mut compiler = Compiler { list, index, path, at: referenced, names, report };
        rules.extend(compiler.rule(value.unwrap_or_default()).map(Arc::new));
    }
    rules
}

/// The rule that is being compiled.
struct Compiler<'a, 'b> {
    list: List,
    index: usize,
    path: String,
    at: Location,
    names: &'a Names,
    report: &'a mut Report<'b>,
}

impl Compiler<'_, '_> {
    /// Looks at every field before it gives up, so that all mistakes are told.
    fn rule(&mut self, rule: file::Rule) -> Option<Rule> {
        let file::Rule {
            backend,
            partial_results,
            series_query,
            series_filters,
            resources,
            name,
            metrics_query,
            no_data,
            enforce_namespace_label,
            compat,
        } = rule;
        let enforced_label = self.enforced_label(enforce_namespace_label);
        let series_query = self.series_query(series_query);
        let filters = self.filters(series_filters.unwrap_or_default());
        let file::Resources { template, overrides, namespaced } = resources.unwrap_or_default();
        let namespaced = self.namespaced(namespaced.as_ref());
        let resources = self.resources(template, overrides);
        if resources.as_ref().is_some_and(Resources::is_empty) {
            self.warn_without_resources(namespaced);
        }
        let namer = self.namer(name.unwrap_or_default());
        let (query, window) = self.query(metrics_query.as_ref());
        let no_data = match no_data {
            Some(Spanned { value, referenced, .. }) => {
                no_data::compile(value, referenced, &self.path, self.report)
            }
            None => Some(NoData::default()),
        };
        Some(Rule {
            index: self.index,
            path: self.path.clone(),
            backend: backend_name(backend.as_ref(), &self.path, self.names, self.report),
            accept_partial: partial_results == Some(PartialResults::Accept),
            series_query: series_query?,
            filters: filters?,
            namer: namer?,
            resources: resources?,
            query: query?,
            window,
            namespaced,
            no_data: no_data?,
            enforced_label: enforced_label?,
            compat: compat.unwrap_or_default(),
        })
    }

    fn error(&mut self, at: Option<&Text>, field: &str, what: impl Into<String>) {
        let path = format!("{}.{field}", self.path);
        self.report.error(at.map_or(self.at, |text| text.referenced), path, what);
    }

    fn warn(&mut self, at: Option<&Text>, field: &str, what: impl Into<String>) {
        let path = format!("{}.{field}", self.path);
        self.report.warn(at.map_or(self.at, |text| text.referenced), path, what);
    }

    fn series_query(&mut self, query: Option<Text>) -> Option<String> {
        let query = query.map(|query| query.value).filter(|query| !query.trim().is_empty());
        if query.is_none() {
            let what = "it is missing: write the selector of the series that the rule is about";
            self.error(None, "seriesQuery", what);
        }
        query
    }

    fn filters(&mut self, entries: Vec<Entry<file::Filter>>) -> Option<Vec<Filter>> {
        let count = entries.len();
        let mut filters = Vec::new();
        for (index, Spanned { value, referenced, .. }) in entries.into_iter().enumerate() {
            let file::Filter { is, is_not } = value.unwrap_or_default();
            match Filter::compile(text(is.as_ref()), text(is_not.as_ref())) {
                Ok(filter) => filters.push(filter),
                Err(error) => {
                    let key = match (&error, is.is_some()) {
                        (NamingError::Pattern(_), true) => ".is",
                        (NamingError::Pattern(_), false) => ".isNot",
                        _ => "",
                    };
                    let path = format!("{}.seriesFilters[{index}]{key}", self.path);
                    self.report.error(referenced, path, with_causes(&error));
                }
            }
        }
        (filters.len() == count).then_some(filters)
    }

    /// `Some(None)` where the key is not there.
    #[expect(clippy::option_option, reason = "the outer one is whether it could be compiled")]
    fn enforced_label(&mut self, label: Option<Text>) -> Option<Option<String>> {
        let Some(label) = label else { return Some(None) };
        if is_label_name(&label.value) {
            return Some(Some(label.value));
        }
        let what = "this is no label name of Prometheus: write the label that names the namespace";
        self.error(Some(&label), "enforceNamespaceLabel", what);
        None
    }

    fn namespaced(&mut self, namespaced: Option<&Spanned<bool>>) -> bool {
        let Some(Spanned { value, referenced, .. }) = namespaced else {
            return true;
        };
        if self.list == List::Custom && !value {
            let path = format!("{}.resources.namespaced", self.path);
            self.report.warn(*referenced, path, "it has no effect here, only in externalRules");
        }
        *value
    }

    fn resources(
        &mut self,
        template: Option<Text>,
        overrides: Option<file::Overrides>,
    ) -> Option<Resources> {
        let path = format!("{}.resources", self.path);
        resources(template, overrides, &path, self.at, self.report)
    }

    fn warn_without_resources(&mut self, namespaced: bool) {
        let what = match self.list {
            List::Custom => {
                "without a template or overrides no label names an object, so that the rule has \
                 no metrics"
            }
            List::External if namespaced => {
                "no label stands for the namespace, so that every query fails: override a label \
                 with `{resource: namespace}`, or write `namespaced: false`"
            }
            List::External => return,
        };
        self.warn(None, "resources", what);
    }

    fn namer(&mut self, name: file::Name) -> Option<Namer> {
        let file::Name { matches, r#as } = name;
        let namer = match Namer::compile(text(matches.as_ref()), text(r#as.as_ref())) {
            Ok(namer) => namer,
            Err(error) => {
                let field =
                    if matches!(error, NamingError::As(_)) { "name.as" } else { "name.matches" };
                self.error(matches.as_ref(), field, with_causes(&error));
                return None;
            }
        };
        for group in namer.unknown_groups() {
            let what = format!(
                "`matches` has no group {group:?}, so that ${group} is empty: where a name goes on \
                 after a group, write braces as in ${{1}}_per_second"
            );
            self.warn(r#as.as_ref(), "name.as", what);
        }
        let constant = namer.constant();
        if let Some(name) = constant.filter(|name| refused_external_name(&name.to_lowercase()))
            && self.list == List::External
        {
            let what = format!(
                "an external metric cannot be called {name:?}: Kubernetes takes its path for a \
                 subresource of the namespace"
            );
            self.error(r#as.as_ref(), "name.as", what);
            return None;
        }
        Some(namer)
    }

    fn query(&mut self, query: Option<&Text>) -> (Option<Template>, Option<Duration>) {
        let text = text(query);
        if text.is_empty() {
            self.warn(None, "metricsQuery", "it is missing, so that every query fails");
        }
        if text.contains("{{") {
            let what = "{{ goes to Prometheus as it is: actions stand between << and >>";
            self.warn(query, "metricsQuery", what);
        }
        match Template::compile(text, Fields::Query) {
            Ok(template) => (Some(template), window::range_of(text)),
            Err(error) => {
                self.error(query, "metricsQuery", with_causes(&error));
                (None, None)
            }
        }
    }
}

fn backend_name(
    name: Option<&Text>,
    path: &str,
    names: &Names,
    report: &mut Report<'_>,
) -> Arc<str> {
    let Some(Spanned { value, referenced, .. }) = name else { return DEFAULT_BACKEND.into() };
    if let Some(what) = names.mistake(value) {
        report.error(*referenced, format!("{path}.backend"), what);
    }
    value.as_str().into()
}

fn text(text: Option<&Text>) -> &str {
    text.map_or("", |text| text.value.as_str())
}

fn resources(
    template: Option<Text>,
    overrides: Option<file::Overrides>,
    path: &str,
    at: Location,
    report: &mut Report<'_>,
) -> Option<Resources> {
    let mut complete = true;
    let mut taken = Vec::new();
    for (label, Spanned { value, referenced, .. }) in overrides.unwrap_or_default().0 {
        let path = format!("{path}.overrides.{label}");
        let file::GroupResource { group, resource } = value.unwrap_or_default();
        if !is_label_name(&label) {
            let what = "this is no label name of Prometheus, so that queries with it fail";
            report.warn(referenced, path.clone(), what);
        }
        if let Some(resource) = resource.filter(|resource| !resource.is_empty()) {
            taken.push((label, GroupResource { group: group.unwrap_or_default(), resource }));
        } else {
            complete = false;
            report.error(referenced, path, "`resource` is missing: write `{resource: pod}`");
        }
    }
    match Resources::compile(text(template.as_ref()), taken) {
        Ok(resources) => complete.then_some(resources),
        Err(error) => {
            let at = template.map_or(at, |template| template.referenced);
            report.error(at, format!("{path}.template"), with_causes(&error));
            None
        }
    }
}

/// Compiles `resourceRules`. What is missing is no mistake, as in prometheus-adapter: it harms the
/// requests that need it.
fn resource_rules(
    rules: file::ResourceRules,
    at: Location,
    names: &Names,
    report: &mut Report<'_>,
) -> Option<ResourceRules> {
    let file::ResourceRules { cpu, memory, window } = rules;
    let cpu = resource_rule("cpu", cpu, at, names, report);
    let memory = resource_rule("memory", memory, at, names, report);
    let window = match window.as_ref().map(|window| duration::parse(&window.value)).transpose() {
        Ok(window) => Some(window.unwrap_or_default()),
        Err(error) => {
            let at = window.map_or(at, |window| window.referenced);
            report.error(at, "resourceRules.window".to_owned(), with_causes(&error));
            None
        }
    };
    Some(ResourceRules { cpu: cpu?, memory: memory?, window: window? })
}

fn resource_rule(
    name: &str,
    rule: Option<file::ResourceRule>,
    at: Location,
    names: &Names,
    report: &mut Report<'_>,
) -> Option<ResourceRule> {
    let path = format!("resourceRules.{name}");
    let rule = rule.unwrap_or_default();
    let file::Resources { template, overrides, .. } = rule.resources.unwrap_or_default();
    let resources = resources(template, overrides, &format!("{path}.resources"), at, report);
    let mut query = |field: &str, query: Option<Text>| {
        let path = format!("{path}.{field}");
        let text = text(query.as_ref());
        let at = query.as_ref().map_or(at, |query| query.referenced);
        if text.is_empty() {
            report.warn(at, path.clone(), "it is missing, so that every request for it fails");
        }
        Template::compile(text, Fields::Query)
            .map_err(|error| report.error(at, path, with_causes(&error)))
            .ok()
    };
    let container_query = query("containerQuery", rule.container_query);
    let node_query = query("nodeQuery", rule.node_query);
    let container_label = rule.container_label.unwrap_or_default();
    if container_label.is_empty() {
        let what = "it is missing, so that containers have no names";
        report.warn(at, format!("{path}.containerLabel"), what);
    }
    Some(ResourceRule {
        backend: backend_name(rule.backend.as_ref(), &path, names, report),
        accept_partial: rule.partial_results == Some(PartialResults::Accept),
        container_query: container_query?,
        node_query: node_query?,
        resources: resources?,
        container_label,
        path,
    })
}
