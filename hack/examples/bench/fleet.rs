//! The cluster that is made up: namespaces of Deployments, each with an HPA and as many pods.
//!
//! All of it follows from numbers, and the numbers are in the names, so that an answer tells whose
//! it is without a table.

/// Deployments of a namespace.
const IN_NAMESPACE: usize = 50;

/// How large it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    /// HPAs, and Deployments.
    pub(crate) hpas: usize,
    /// Pods of all Deployments together.
    pub(crate) pods: usize,
}

impl Fleet {
    pub(crate) fn namespaces(self) -> usize {
        self.hpas.div_ceil(IN_NAMESPACE)
    }

    /// Pods of a Deployment.
    pub(crate) fn replicas(self) -> usize {
        (self.pods / self.hpas).max(1)
    }

    /// The number of the namespace that a Deployment is in.
    pub(crate) fn namespace_of(deployment: usize) -> usize {
        deployment / IN_NAMESPACE
    }

    /// The numbers of the Deployments of a namespace.
    pub(crate) fn deployments_in(self, namespace: usize) -> std::ops::Range<usize> {
        let first = namespace * IN_NAMESPACE;
        first.min(self.hpas)..self.hpas.min(first + IN_NAMESPACE)
    }

    /// The numbers of the pods of a Deployment.
    pub(crate) fn pods_of(self, deployment: usize) -> std::ops::Range<usize> {
        deployment * self.replicas()..(deployment + 1) * self.replicas()
    }

    /// The name of a pod, which is that of its `ReplicaSet` with its number.
    pub(crate) fn pod(self, number: usize) -> String {
        format!("{}-{number:06}", replica_set(number / self.replicas()))
    }
}

pub(crate) fn namespace(number: usize) -> String {
    format!("team-{number:04}")
}

pub(crate) fn deployment(number: usize) -> String {
    format!("app-{number:05}")
}

pub(crate) fn replica_set(deployment: usize) -> String {
    format!("app-{deployment:05}-6d5f9c7b64")
}

/// The number at the end of a name.
pub(crate) fn number(name: &str) -> Option<usize> {
    name.rsplit('-').next()?.parse().ok()
}
