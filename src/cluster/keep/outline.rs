//! What the pods of a `Deployment` or `StatefulSet` request.

use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::intern::Interner;
use crate::cluster::partial::Keep;
use crate::model::template::Outline;

/// `DeploymentSpec` or `StatefulSetSpec` of `apps/v1`, as far as it is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub(in crate::cluster) struct Spec {
    template: Option<Template>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Template {
    spec: Option<Pod>,
}

/// `PodSpec` of `v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pod {
    #[serde(skip_serializing_if = "Option::is_none")]
    init_containers: Option<Vec<Container>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    containers: Option<Vec<Container>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Value>,
}

/// `Container` of `v1`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart_policy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resources: Option<Value>,
}

impl Keep for Outline {
    type Spec = Spec;

    const MOST: usize = 200_000;
    const PAGE: u32 = 250;

    fn keep(metadata: &ObjectMeta, spec: Spec, interner: &mut Interner) -> Self {
        let pod = spec.template.and_then(|template| template.spec).unwrap_or_default();
        // What was read as JSON can be written as JSON.
        let pod = serde_json::to_string(&pod).unwrap_or_default();
        let name = metadata.name.as_deref().unwrap_or_default().into();
        Self { name, pod: interner.text(&pod) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn of_a_template_the_names_and_resources_are_kept() {
        let spec = json!({"replicas": 2, "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {
                "volumes": [{"name": "v"}],
                "initContainers": [{"name": "proxy", "image": "p", "restartPolicy": "Always"}],
                "containers": [{
                    "name": "app", "image": "a", "env": [{"name": "E"}],
                    "resources": {"requests": {"cpu": "1"}},
                }],
            },
        }});
        let spec = serde_json::from_value(spec).unwrap();
        let outline = Outline::keep(&ObjectMeta::default(), spec, &mut Interner::default());
        assert_eq!(
            &*outline.pod,
            r#"{"initContainers":[{"name":"proxy","restartPolicy":"Always"}],"containers":[{"name":"app","resources":{"requests":{"cpu":"1"}}}]}"#
        );
    }
}
