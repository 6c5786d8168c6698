//! The writes that are never judged, so that nothing Kubernetes needs for its own work or for
//! recovery is held up: said by the request and the object alone.

use super::workload::Workload;

/// Namespaces of Kubernetes itself.
const SYSTEM: &[&str] = &["kube-system", "kube-node-lease", "kube-public"];

/// The user that a node's kubelet is.
const NODE: &str = "system:node:";

/// Service accounts of Kubernetes' own controllers, which make pods for workloads.
const CONTROLLERS: &str = "system:serviceaccount:kube-system:";

/// A write as the API server tells it.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    pub operation: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// The kind of the object.
    pub kind: &'a str,
    /// The namespace of the request.
    pub namespace: &'a str,
    /// `userInfo.username`.
    pub user: &'a str,
    /// The namespace that this process runs in, if any.
    pub own_namespace: &'a str,
}

/// Why a write is not judged; for the audit log and metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Skip {
    /// A deletion or a connection.
    Operation,
    /// Scale, status, ephemeral containers and others that change nothing which is judged.
    Subresource,
    /// A namespace of Kubernetes or our own.
    Namespace,
    /// A static pod, which runs whatever anybody says.
    Mirror,
    /// The object is being deleted; finalizers go one by one.
    Deleting,
    /// A pod that exists: only `pods/resize` changes its resources, and nothing its probes.
    PodUpdate,
}

impl Skip {
    /// One word for a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Subresource => "subresource",
            Self::Namespace => "namespace",
            Self::Mirror => "mirror",
            Self::Deleting => "deleting",
            Self::PodUpdate => "podUpdate",
        }
    }
}

/// What the request alone says, before its object is read.
pub fn skips_request(write: &Write<'_>) -> Option<Skip> {
    let Write { operation, subresource, kind, namespace, user, own_namespace } = *write;
    let resize = kind == "Pod" && subresource == "resize";
    if !matches!(operation, "CREATE" | "UPDATE") {
        Some(Skip::Operation)
    } else if !subresource.is_empty() && !resize {
        Some(Skip::Subresource)
    } else if SYSTEM.contains(&namespace)
        || (!own_namespace.is_empty() && namespace == own_namespace)
    {
        Some(Skip::Namespace)
    } else if user.starts_with(NODE) {
        Some(Skip::Mirror)
    } else if kind == "Pod" && operation == "UPDATE" && !resize {
        Some(Skip::PodUpdate)
    } else {
        None
    }
}

/// What the object says.
pub fn skips_object(workload: &Workload) -> Option<Skip> {
    if workload.mirror {
        Some(Skip::Mirror)
    } else if workload.deleting {
        Some(Skip::Deleting)
    } else {
        None
    }
}

/// Whether one of Kubernetes' own controllers writes: then the owner that an object names exists,
/// although it may not have been seen here yet.
pub fn is_controller(user: &str) -> bool {
    user.starts_with(CONTROLLERS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WRITE: Write<'_> = Write {
        operation: "CREATE",
        subresource: "",
        kind: "Pod",
        namespace: "shop",
        user: "jane",
        own_namespace: "plimsoll",
    };

    #[test]
    fn what_kubernetes_needs_for_its_own_work_is_never_held_up() {
        let update = Write { operation: "UPDATE", ..WRITE };
        let cases = [
            (WRITE, None),
            (update, Some(Skip::PodUpdate)),
            (Write { subresource: "resize", ..update }, None),
            (Write { subresource: "ephemeralcontainers", ..update }, Some(Skip::Subresource)),
            (Write { subresource: "eviction", ..WRITE }, Some(Skip::Subresource)),
            (Write { subresource: "binding", ..WRITE }, Some(Skip::Subresource)),
            (Write { kind: "Deployment", ..update }, None),
            (Write { kind: "Scale", subresource: "scale", ..update }, Some(Skip::Subresource)),
            (
                Write { kind: "Deployment", subresource: "status", ..update },
                Some(Skip::Subresource),
            ),
            (Write { operation: "DELETE", ..WRITE }, Some(Skip::Operation)),
            (Write { operation: "CONNECT", ..WRITE }, Some(Skip::Operation)),
            (Write { operation: "PATCH", ..WRITE }, Some(Skip::Operation)),
            (Write { namespace: "kube-system", ..WRITE }, Some(Skip::Namespace)),
            (Write { namespace: "plimsoll", ..WRITE }, Some(Skip::Namespace)),
            (Write { user: "system:node:n1", ..WRITE }, Some(Skip::Mirror)),
        ];
        for (write, skip) in cases {
            assert_eq!(skips_request(&write), skip, "{write:?}");
        }
    }
}
