//! What is asked, in the words of `SubjectAccessReview`. What is empty is left out, as Go does it,
//! so that one question has one form.

use k8s_openapi::api::authorization::v1::{
    FieldSelectorAttributes, LabelSelectorAttributes, NonResourceAttributes,
    ResourceAttributes as ReviewedResource, SubjectAccessReviewSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{
    FieldSelectorRequirement, LabelSelectorRequirement,
};

use crate::model::access::{Attributes, ResourceAttributes, SelectorRequirement, Subject};

/// Whether the subject may do what the attributes say.
pub(super) fn of(subject: &Subject, attributes: &Attributes) -> SubjectAccessReviewSpec {
    let Subject { user, uid, groups, extra } = subject;
    let mut spec = SubjectAccessReviewSpec {
        user: given(user),
        uid: given(uid),
        groups: some(groups.clone()),
        extra: (!extra.is_empty()).then(|| extra.clone()),
        ..SubjectAccessReviewSpec::default()
    };
    match attributes {
        Attributes::NonResource { path, verb } => {
            spec.non_resource_attributes =
                Some(NonResourceAttributes { path: given(path), verb: given(verb) });
        }
        Attributes::Resource(attributes) => spec.resource_attributes = Some(resource(attributes)),
    }
    spec
}

/// Whether the subject may do the same with all objects of all namespaces, which is what an empty
/// name and an empty namespace mean in a review (`ResourceAttributes` of authorization/v1). None
/// where the question is not about a namespace.
pub(super) fn everywhere(spec: &SubjectAccessReviewSpec) -> Option<SubjectAccessReviewSpec> {
    let attributes = spec.resource_attributes.as_ref()?;
    attributes.namespace.as_ref()?;
    let everywhere = ReviewedResource {
        namespace: None,
        name: None,
        label_selector: None,
        field_selector: None,
        ..attributes.clone()
    };
    Some(SubjectAccessReviewSpec { resource_attributes: Some(everywhere), ..spec.clone() })
}

fn resource(attributes: &ResourceAttributes) -> ReviewedResource {
    let labels = attributes.label_selector.iter().map(|requirement| LabelSelectorRequirement {
        key: requirement.key.clone(),
        operator: requirement.operator.to_owned(),
        values: values(requirement),
    });
    let fields = attributes.field_selector.iter().map(|requirement| FieldSelectorRequirement {
        key: requirement.key.clone(),
        operator: requirement.operator.to_owned(),
        values: values(requirement),
    });
    ReviewedResource {
        namespace: given(&attributes.namespace),
        verb: given(&attributes.verb),
        group: given(&attributes.group),
        version: given(&attributes.version),
        resource: given(&attributes.resource),
        subresource: given(&attributes.subresource),
        name: given(&attributes.name),
        label_selector: some(labels.collect()).map(|requirements| LabelSelectorAttributes {
            requirements: Some(requirements),
            raw_selector: None,
        }),
        field_selector: some(fields.collect()).map(|requirements| FieldSelectorAttributes {
            requirements: Some(requirements),
            raw_selector: None,
        }),
    }
}

fn values(requirement: &SelectorRequirement) -> Option<Vec<String>> {
    some(requirement.values.clone())
}

fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
