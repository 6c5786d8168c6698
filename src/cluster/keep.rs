//! What is kept of the objects of each kind that is followed: from what the API server sends, or a
//! file holds, to the model.

mod autoscaler;
mod custom;
mod limit_range;
mod object;
mod outline;
mod revision;
mod service;

use crate::model::custom::{self as model, CustomKind};
use crate::model::object::{Kind, Scope};
use crate::model::template::{OutlineKind, RevisionKind};

pub(super) use self::autoscaler::Spec as AutoscalerSpec;
pub(super) use self::custom::Spec as CustomSpec;
pub(super) use self::limit_range::Spec as LimitRangeSpec;
pub(super) use self::outline::Spec as OutlineSpec;
pub(super) use self::revision::Spec as RevisionSpec;
pub(super) use self::service::Spec as ServiceSpec;

/// `horizontalpodautoscalers.autoscaling`, in the version whose fields are read.
pub(super) fn autoscalers() -> Kind {
    let (kind, plural) = ("HorizontalPodAutoscaler", "horizontalpodautoscalers");
    kind_of("autoscaling", "v2", kind, plural, Scope::Namespaced)
}

/// `limitranges`
pub(super) fn limit_ranges() -> Kind {
    kind_of("", "v1", "LimitRange", "limitranges", Scope::Namespaced)
}

/// `deployments.apps` or `statefulsets.apps`
pub(super) fn outlines(kind: OutlineKind) -> Kind {
    let (kind, plural) = match kind {
        OutlineKind::Deployment => ("Deployment", "deployments"),
        OutlineKind::StatefulSet => ("StatefulSet", "statefulsets"),
    };
    kind_of("apps", "v1", kind, plural, Scope::Namespaced)
}

/// `replicasets.apps` or `controllerrevisions.apps`
pub(super) fn revisions(kind: RevisionKind) -> Kind {
    let (kind, plural) = match kind {
        RevisionKind::ReplicaSet => ("ReplicaSet", "replicasets"),
        RevisionKind::ControllerRevision => ("ControllerRevision", "controllerrevisions"),
    };
    kind_of("apps", "v1", kind, plural, Scope::Namespaced)
}

/// `services`
pub(super) fn services() -> Kind {
    kind_of("", "v1", "Service", "services", Scope::Namespaced)
}

/// One of our own.
pub(super) fn custom(kind: CustomKind) -> Kind {
    // Where its objects are makes no difference to lists and watches of all of them.
    kind_of(model::GROUP, model::VERSION, kind.kind(), kind.plural(), Scope::Namespaced)
}

fn kind_of(group: &str, version: &str, kind: &str, plural: &str, scope: Scope) -> Kind {
    Kind {
        group: group.to_owned(),
        version: version.to_owned(),
        kind: kind.to_owned(),
        plural: plural.to_owned(),
        singular: kind.to_lowercase(),
        short_names: Vec::new(),
        scope,
    }
}
