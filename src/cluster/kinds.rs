//! The kinds that every cluster has, and how Kubernetes names the ones it has to guess.
//!
//! Without an API server there is no discovery: a file of objects says the kind, not its plural.
//! The table is what a plain kube-apiserver 1.36 lists under `/api` and `/apis`, in its order,
//! without what cannot be listed (bindings, reviews).

use crate::model::object::{Kind, Scope};

use Scope::{Cluster, Namespaced};

/// The standard kinds in the order of preference of a kube-apiserver.
pub(super) fn standard() -> impl Iterator<Item = Kind> {
    STANDARD.iter().map(|(group, version, kind, plural, short_names, scope)| Kind {
        group: (*group).to_owned(),
        version: (*version).to_owned(),
        kind: (*kind).to_owned(),
        plural: (*plural).to_owned(),
        singular: kind.to_ascii_lowercase(),
        short_names: short_names.iter().map(|name| (*name).to_owned()).collect(),
        scope: *scope,
    })
}

/// The plural that Kubernetes guesses for a kind (`UnsafeGuessKindToResource` in
/// apimachinery/pkg/api/meta/restmapper.go).
pub(super) fn guess_plural(kind: &str) -> String {
    let singular = kind.to_lowercase();
    if singular.ends_with("endpoints") {
        return singular;
    }
    if let Some(stem) = singular.strip_suffix('y') {
        return format!("{stem}ies");
    }
    if singular.ends_with('s') { format!("{singular}es") } else { format!("{singular}s") }
}

type Row = (&'static str, &'static str, &'static str, &'static str, &'static [&'static str], Scope);

/// Group, preferred version, kind, plural, short names and scope; the singular is always the
/// kind in lower case.
#[rustfmt::skip]
const STANDARD: &[Row] = &[
    ("", "v1", "ComponentStatus", "componentstatuses", &["cs"], Cluster),
    ("", "v1", "ConfigMap", "configmaps", &["cm"], Namespaced),
    ("", "v1", "Endpoints", "endpoints", &["ep"], Namespaced),
    ("", "v1", "Event", "events", &["ev"], Namespaced),
    ("", "v1", "LimitRange", "limitranges", &["limits"], Namespaced),
    ("", "v1", "Namespace", "namespaces", &["ns"], Cluster),
    ("", "v1", "Node", "nodes", &["no"], Cluster),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", &["pvc"], Namespaced),
    ("", "v1", "PersistentVolume", "persistentvolumes", &["pv"], Cluster),
    ("", "v1", "Pod", "pods", &["po"], Namespaced),
    ("", "v1", "PodTemplate", "podtemplates", &[], Namespaced),
    ("", "v1", "ReplicationController", "replicationcontrollers", &["rc"], Namespaced),
    ("", "v1", "ResourceQuota", "resourcequotas", &["quota"], Namespaced),
    ("", "v1", "Secret", "secrets", &[], Namespaced),
    ("", "v1", "ServiceAccount", "serviceaccounts", &["sa"], Namespaced),
    ("", "v1", "Service", "services", &["svc"], Namespaced),
    ("apiregistration.k8s.io", "v1", "APIService", "apiservices", &[], Cluster),
    ("apps", "v1", "ControllerRevision", "controllerrevisions", &[], Namespaced),
    ("apps", "v1", "DaemonSet", "daemonsets", &["ds"], Namespaced),
    ("apps", "v1", "Deployment", "deployments", &["deploy"], Namespaced),
    ("apps", "v1", "ReplicaSet", "replicasets", &["rs"], Namespaced),
    ("apps", "v1", "StatefulSet", "statefulsets", &["sts"], Namespaced),
    ("events.k8s.io", "v1", "Event", "events", &["ev"], Namespaced),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", &["hpa"], Namespaced),
    ("batch", "v1", "CronJob", "cronjobs", &["cj"], Namespaced),
    ("batch", "v1", "Job", "jobs", &[], Namespaced),
    ("certificates.k8s.io", "v1", "CertificateSigningRequest", "certificatesigningrequests", &["csr"], Cluster),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", &[], Cluster),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", &["ing"], Namespaced),
    ("networking.k8s.io", "v1", "IPAddress", "ipaddresses", &["ip"], Cluster),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", &["netpol"], Namespaced),
    ("networking.k8s.io", "v1", "ServiceCIDR", "servicecidrs", &[], Cluster),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", &["pdb"], Namespaced),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", &[], Cluster),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", &[], Cluster),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", &[], Namespaced),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", &[], Namespaced),
    ("storage.k8s.io", "v1", "CSIDriver", "csidrivers", &[], Cluster),
    ("storage.k8s.io", "v1", "CSINode", "csinodes", &[], Cluster),
    ("storage.k8s.io", "v1", "CSIStorageCapacity", "csistoragecapacities", &[], Namespaced),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", &["sc"], Cluster),
    ("storage.k8s.io", "v1", "VolumeAttachment", "volumeattachments", &[], Cluster),
    ("storage.k8s.io", "v1", "VolumeAttributesClass", "volumeattributesclasses", &["vac"], Cluster),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", &[], Cluster),
    ("admissionregistration.k8s.io", "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", &[], Cluster),
    ("admissionregistration.k8s.io", "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", &[], Cluster),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", &[], Cluster),
    ("admissionregistration.k8s.io", "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", &[], Cluster),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", &[], Cluster),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", &["crd", "crds"], Cluster),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", &["pc"], Cluster),
    ("coordination.k8s.io", "v1", "Lease", "leases", &[], Namespaced),
    ("node.k8s.io", "v1", "RuntimeClass", "runtimeclasses", &[], Cluster),
    ("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", &[], Namespaced),
    ("resource.k8s.io", "v1", "DeviceClass", "deviceclasses", &[], Cluster),
    ("resource.k8s.io", "v1", "ResourceClaim", "resourceclaims", &[], Namespaced),
    ("resource.k8s.io", "v1", "ResourceClaimTemplate", "resourceclaimtemplates", &[], Namespaced),
    ("resource.k8s.io", "v1", "ResourceSlice", "resourceslices", &[], Cluster),
    ("flowcontrol.apiserver.k8s.io", "v1", "FlowSchema", "flowschemas", &[], Cluster),
    ("flowcontrol.apiserver.k8s.io", "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", &[], Cluster),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guessed_plural_follows_the_rules_of_kubernetes() {
        // From TestKindToResource and TestUnsafeGuessKindToResource in
        // apimachinery/pkg/api/meta/restmapper_test.go.
        let plurals = [
            ("Pod", "pods"),
            ("ReplicationController", "replicationcontrollers"),
            ("ImageRepository", "imagerepositories"),
            ("miss", "misses"),
            ("lowercase", "lowercases"),
            ("endpoints", "endpoints"),
            ("Proxy", "proxies"),
            ("Ingress", "ingresses"),
        ];
        for (kind, plural) in plurals {
            assert_eq!(guess_plural(kind), plural, "{kind}");
        }
    }

    #[test]
    fn the_standard_kinds_are_found_by_every_name() {
        let kinds = crate::model::object::Kinds::new(standard());
        let resolve = |name: &str| {
            let kind = kinds.resolve(&crate::model::object::GroupResource::parse(name))?;
            Some((kind.api_version(), kind.plural.clone(), kind.scope))
        };
        let found = |version: &str, plural: &str, scope| {
            Some((version.to_owned(), plural.to_owned(), scope))
        };
        assert_eq!(resolve("po"), found("v1", "pods", Namespaced));
        assert_eq!(resolve("node"), found("v1", "nodes", Cluster));
        assert_eq!(resolve("deployments.apps"), found("apps/v1", "deployments", Namespaced));
        assert_eq!(resolve("hpa"), found("autoscaling/v2", "horizontalpodautoscalers", Namespaced));
        assert_eq!(
            resolve("ing.networking"),
            found("networking.k8s.io/v1", "ingresses", Namespaced)
        );
        // The core group goes before events.k8s.io.
        assert_eq!(resolve("events"), found("v1", "events", Namespaced));
        assert_eq!(resolve("endpoints"), found("v1", "endpoints", Namespaced));
        assert_eq!(resolve("widgets"), None);
    }
}
