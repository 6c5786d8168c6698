//! What the API server trusts: `spec.caBundle` of the APIServices that point to our Service.

use std::collections::HashSet;

use k8s_openapi::ByteString;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::{APIService, APIServiceSpec};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use super::{Error, FIELD_MANAGER};
use crate::cluster::name::NamespacedName;
use crate::pki::authority::split;

/// The APIs that can be served here. Which of them are, their `spec.service` says.
const NAMES: [&str; 5] = [
    "v1beta1.custom.metrics.k8s.io",
    "v1beta2.custom.metrics.k8s.io",
    "v1beta1.external.metrics.k8s.io",
    "v1beta1.metrics.k8s.io",
    "v1alpha1.insight.plimsoll.dev",
];

/// The APIServices that may be ours.
#[derive(Debug)]
pub(super) struct ApiServices {
    api: Api<APIService>,
    service: NamespacedName,
    /// Those that are left out, for what was told once.
    told: HashSet<&'static str>,
}

impl ApiServices {
    pub(super) fn new(client: Client, service: NamespacedName) -> Self {
        Self { api: Api::all(client), service, told: HashSet::new() }
    }

    /// Gives the bundle to all that are ours; true where one did not have it yet.
    pub(super) async fn publish(&mut self, bundle: &str) -> Result<bool, Error> {
        let mut changed = false;
        for name in NAMES {
            let Some(found) = self.ours(name).await? else {
                continue;
            };
            if ca_bundle(&found).is_some_and(|ca| ca == bundle.as_bytes()) {
                continue;
            }
            // The version makes it conditional: who owns the Lease now may have written since.
            let apply = json!({
                "apiVersion": "apiregistration.k8s.io/v1",
                "kind": "APIService",
                "metadata": {"name": name, "resourceVersion": found.resource_version()},
                "spec": {"caBundle": ByteString(bundle.as_bytes().to_vec())},
            });
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            self.api
                .patch(name, &parameters, &Patch::Apply(&apply))
                .await
                .map_err(|source| Error::WriteApiService { name, source })?;
            tracing::info!(apiservice = name, "the API server trusts the changed bundle");
            changed = true;
        }
        Ok(changed)
    }

    /// The certificates that they have now, each once.
    pub(super) async fn published(&mut self) -> Result<Vec<String>, Error> {
        let mut published = Vec::new();
        for name in NAMES {
            let Some(found) = self.ours(name).await? else {
                continue;
            };
            let text = ca_bundle(&found).and_then(|ca| std::str::from_utf8(ca).ok());
            for certificate in split(text.unwrap_or_default()) {
                if !published.contains(&certificate) {
                    published.push(certificate);
                }
            }
        }
        Ok(published)
    }

    /// The APIService of a name, where it points to our Service and verifies certificates. One
    /// that we may not see is none that we have to care for.
    async fn ours(&mut self, name: &'static str) -> Result<Option<APIService>, Error> {
        let found = match self.api.get_opt(name).await {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(None),
            Err(kube::Error::Api(status)) if status.code == 403 => {
                if self.told.insert(name) {
                    let apiservice = name;
                    tracing::info!(
                        apiservice,
                        "no right to see it: its caBundle is left to others"
                    );
                }
                return Ok(None);
            }
            Err(source) => return Err(Error::ReadApiService { name, source }),
        };
        let Some(APIServiceSpec { service: Some(service), .. }) = &found.spec else {
            return Ok(None);
        };
        let NamespacedName { namespace: our_namespace, name: our_name } = &self.service;
        if (service.namespace.as_ref(), service.name.as_ref())
            != (Some(our_namespace), Some(our_name))
        {
            return Ok(None);
        }
        if found.spec.as_ref().and_then(|spec| spec.insecure_skip_tls_verify) == Some(true) {
            if self.told.insert(name) {
                tracing::warn!(
                    apiservice = name,
                    remedy = format!(
                        "kubectl patch apiservice {name} --type json -p \
                         '[{{\"op\":\"remove\",\"path\":\"/spec/insecureSkipTLSVerify\"}}]'"
                    ),
                    "it has insecureSkipTLSVerify: no caBundle can be set, and nothing is verified"
                );
            }
            return Ok(None);
        }
        Ok(Some(found))
    }
}

fn ca_bundle(found: &APIService) -> Option<&[u8]> {
    Some(&found.spec.as_ref()?.ca_bundle.as_ref()?.0)
}
