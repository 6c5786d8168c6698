//! Which labels of a series name Kubernetes objects, and of which kind.
//!
//! Both ways as in prometheus-adapter's `pkg/naming/resource_converter.go` and `lbl_res.go`, with
//! three differences. Literal text of the template is escaped before it recognises labels: text
//! that means something else as an expression makes labels that no query can use, so no working
//! rule changes. Of two overrides for one kind the first in the file is used, not a random one.
//! Kinds are looked up at each use, so that an unknown one harms its rule alone and is found as
//! soon as the cluster has it.

use std::sync::Arc;

use regex::Regex;

use super::matcher::is_label_name;
use super::re2::{self, PatternError};
use super::template::{Fields, Template, TemplateError};
use crate::model::object::{GroupResource, Kind, Kinds};

/// The template's fields while it recognises labels; no label holds these characters.
const GROUP_MARK: char = '\u{1}';
const RESOURCE_MARK: char = '\u{2}';

/// Why labels and kinds cannot be associated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResourceError {
    /// Two overrides name the same kind.
    #[error(
        "labels {used:?} and {ignored:?} both stand for {kind}; queries use {used:?}, the first"
    )]
    Ambiguous {
        /// The resource: `deployments.apps`.
        kind: String,
        /// The label that queries use.
        used: String,
        /// The label that only recognises objects.
        ignored: String,
    },
    /// The template gives no label for a kind.
    #[error("the template gives an empty label for {0}")]
    EmptyLabel(String),
    /// Neither override nor template.
    #[error("no label stands for {0}: add it to `resources.overrides`, or a `resources.template`")]
    NoLabel(String),
    /// What the template makes is no label name.
    #[error(
        "the template makes {0:?} of a resource `x`, which cannot be a Prometheus label name: it \
         consists of letters, digits and underscores"
    )]
    NotALabel(String),
    /// The template cannot recognise labels.
    #[error("the template makes no expression that recognises labels")]
    Pattern(#[source] PatternError),
    /// The template does not say which resource a label is.
    #[error("the template has to contain <<.Resource>> as it is, so that it recognises labels")]
    Resource,
    /// The template cannot be compiled or rendered.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// The cluster has no such kind, or not yet.
    #[error("label {label:?} stands for {resource}, which is no resource of this cluster")]
    Unknown {
        /// The label of the override.
        label: String,
        /// The resource as it was written.
        resource: GroupResource,
    },
}

/// A rule's association of labels and kinds.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// In file order.
    overrides: Vec<(String, GroupResource)>,
    template: Option<Recogniser>,
}

#[derive(Clone, Debug)]
struct Recogniser {
    template: Template,
    label: Regex,
    group_index: Option<usize>,
    resource_index: usize,
}

impl Resources {
    /// Compiles `resources.template` (empty: none) and takes the overrides in file order.
    pub fn compile(
        template: &str,
        overrides: Vec<(String, GroupResource)>,
    ) -> Result<Self, ResourceError> {
        let template =
            if template.is_empty() { None } else { Some(Recogniser::compile(template)?) };
        Ok(Self { overrides, template })
    }

    /// Whether no label stands for anything.
    pub fn is_empty(&self) -> bool {
        self.template.is_none() && self.overrides.is_empty()
    }

    /// What is wrong with the overrides in a cluster with these kinds.
    pub fn problems(&self, kinds: &Kinds) -> Vec<ResourceError> {
        let mut problems = Vec::new();
        let mut seen: Vec<(&str, &Arc<Kind>)> = Vec::new();
        for (label, resource) in &self.overrides {
            let Some(kind) = kinds.resolve(resource) else {
                let (label, resource) = (label.clone(), resource.clone());
                problems.push(ResourceError::Unknown { label, resource });
                continue;
            };
            match seen.iter().find(|(_, other)| other == &kind) {
                Some((used, _)) => problems.push(ResourceError::Ambiguous {
                    kind: kind.group_resource().to_string(),
                    used: (*used).to_owned(),
                    ignored: label.clone(),
                }),
                None => seen.push((label, kind)),
            }
        }
        problems
    }

    /// The label whose value is the name of an object of a kind.
    pub fn label_for(&self, kind: &Kind, kinds: &Kinds) -> Result<String, ResourceError> {
        let overriding = self.overrides.iter().find(|(_, resource)| {
            kinds
                .resolve(resource)
                .is_some_and(|other| other.group == kind.group && other.plural == kind.plural)
        });
        if let Some((label, _)) = overriding {
            return Ok(label.clone());
        }
        let name = || kind.group_resource().to_string();
        let Some(Recogniser { template, .. }) = &self.template else {
            return Err(ResourceError::NoLabel(name()));
        };
        let label =
            template.render_resource(&kind.group.replace(['.', '-'], "_"), &kind.singular)?;
        if label.is_empty() { Err(ResourceError::EmptyLabel(name())) } else { Ok(label) }
    }

    /// The kind whose objects a label names, if it names objects at all.
    pub fn kind_of_label(&self, label: &str, kinds: &Kinds) -> Option<Arc<Kind>> {
        if let Some((_, resource)) = self.overrides.iter().find(|(other, _)| other == label) {
            return kinds.resolve(resource).cloned();
        }
        let resource = self.template.as_ref()?.resource_of(label)?;
        // prometheus-adapter knows no short names here: a label `ns` or `no` is no object.
        let kind = kinds.resolve(&resource)?;
        let full = kind.plural == resource.resource || kind.singular == resource.resource;
        full.then(|| Arc::clone(kind))
    }
}

impl Recogniser {
    fn compile(text: &str) -> Result<Self, ResourceError> {
        let template = Template::compile(text, Fields::Resource)?;
        let shape =
            template.render_resource(&GROUP_MARK.to_string(), &RESOURCE_MARK.to_string())?;
        let example = shape.replace([GROUP_MARK, RESOURCE_MARK], "x");
        if !is_label_name(&example) {
            return Err(ResourceError::NotALabel(example));
        }
        let pattern = format!("^{}$", regex::escape(&shape))
            .replace(GROUP_MARK, "(.+?)")
            .replace(RESOURCE_MARK, "(.+?)");
        // Where a field stands twice, Go takes the last of its groups.
        let marks: Vec<char> =
            shape.chars().filter(|it| [GROUP_MARK, RESOURCE_MARK].contains(it)).collect();
        let index_of = |mark| marks.iter().rposition(|other| *other == mark).map(|it| it + 1);
        let resource_index = index_of(RESOURCE_MARK).ok_or(ResourceError::Resource)?;
        Ok(Self {
            label: re2::compile(&pattern).map_err(ResourceError::Pattern)?,
            group_index: index_of(GROUP_MARK),
            resource_index,
            template,
        })
    }

    fn resource_of(&self, label: &str) -> Option<GroupResource> {
        let captures = self.label.captures(label)?;
        let group = |index| captures.get(index).map_or("", |found| found.as_str()).to_owned();
        Some(GroupResource {
            group: self.group_index.map(group).unwrap_or_default(),
            resource: group(self.resource_index),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::promql::fixtures::{kind, kinds};

    fn resources(template: &str, overrides: &[(&str, &str)]) -> Resources {
        let overrides =
            overrides.iter().map(|(label, name)| ((*label).to_owned(), GroupResource::parse(name)));
        Resources::compile(template, overrides.collect()).unwrap()
    }

    #[test]
    fn a_template_that_can_make_no_label_name_is_refused() {
        for template in
            ["(<<.Resource>>", "<<.Resource>>.name", "1<<.Resource>>", "a b<<.Resource>>"]
        {
            let refusal = Resources::compile(template, Vec::new()).unwrap_err();
            assert!(matches!(refusal, ResourceError::NotALabel(_)), "{template}: {refusal}");
        }
    }

    #[test]
    fn a_template_makes_a_label_of_the_singular_and_the_sanitised_group() {
        let of =
            |template, name| resources(template, &[]).label_for(&kind(name), &kinds()).unwrap();
        assert_eq!(of("kube_<<.Resource>>", "pods"), "kube_pod");
        assert_eq!(of("<<.Group>>_<<.Resource>>", "ingresses"), "extensions_ingress");
        assert_eq!(of("<<.Group>>_<<.Resource>>", "widgets"), "my_shop_io_widget");
    }

    #[test]
    fn a_template_recognises_the_labels_it_makes_and_no_others() {
        let of = |template, label| {
            let found = resources(template, &[]).kind_of_label(label, &kinds());
            found.map(|kind| kind.group_resource().to_string())
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(of("kube_<<.Resource>>", "kube_pod"), some("pods"));
        assert_eq!(of("kube_<<.Resource>>", "kube_pods"), some("pods"));
        assert_eq!(of("kube_<<.Resource>>", "pod"), None);
        assert_eq!(of("<<.Resource>>", "container"), None);
        assert_eq!(of("<<.Resource>>", "po"), None);
        assert_eq!(
            of("kube_<<.Group>>_<<.Resource>>", "kube_extensions_ingress"),
            some("ingresses.extensions")
        );
        assert_eq!(of("<<.Resource>>_<<.Resource>>", "node_pod"), some("pods"));
    }

    #[test]
    fn overrides_win_over_the_template_both_ways() {
        let resources = resources("<<.Resource>>", &[("instance", "node"), ("pod", "services")]);
        let kinds = kinds();
        let label = |name| resources.label_for(&kind(name), &kinds).unwrap();
        assert_eq!([label("nodes"), label("services"), label("pods")], ["instance", "pod", "pod"]);
        let kind = |label| resources.kind_of_label(label, &kinds).map(|kind| kind.plural.clone());
        assert_eq!(kind("instance").as_deref(), Some("nodes"));
        assert_eq!(kind("pod").as_deref(), Some("services"));
        assert_eq!(kind("node").as_deref(), Some("nodes"));
    }

    #[test]
    fn the_first_of_two_overrides_is_used_and_an_unknown_kind_is_told() {
        let overrides = [("a", "pod"), ("b", "brand.cheese.io"), ("c", "pods")];
        let resources = resources("", &overrides);
        let label = resources.label_for(&kind("pods"), &kinds());
        assert_eq!(label.as_deref(), Ok("a"));
        let problems: Vec<_> =
            resources.problems(&kinds()).iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "label \"b\" stands for brand.cheese.io, which is no resource of this cluster",
                "labels \"a\" and \"c\" both stand for pods; queries use \"a\", the first",
            ]
        );
        let error = resources.label_for(&kind("nodes"), &kinds()).unwrap_err();
        assert_eq!(error, ResourceError::NoLabel("nodes".to_owned()));
    }

    #[test]
    fn a_template_has_to_name_the_resource() {
        let refused = |template| Resources::compile(template, Vec::new()).unwrap_err();
        assert_eq!(refused("kube_<<.Group>>"), ResourceError::Resource);
        assert_eq!(refused("pod"), ResourceError::Resource);
        assert!(matches!(refused("<<.Series>>"), ResourceError::Template(_)));
    }
}
