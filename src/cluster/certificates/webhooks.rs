//! What the API server trusts of our webhooks: `clientConfig.caBundle` in the configurations that
//! are named as our Service and point to it.
//!
//! Server-side apply owns that field alone: rules and selectors are for those who install, and
//! some clusters add to them. Manifests leave the field out, so that nobody takes it back.

use std::collections::HashSet;

use k8s_openapi::ByteString;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{Error, FIELD_MANAGER};
use crate::cluster::name::NamespacedName;
use crate::pki::authority::split;

const GROUP: &str = "admissionregistration.k8s.io";
const KINDS: [&str; 2] = ["ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"];

/// The configurations of webhooks that may be ours.
#[derive(Debug)]
pub(super) struct Webhooks {
    configurations: Vec<(&'static str, Api<DynamicObject>)>,
    service: NamespacedName,
    /// Those that may not be seen, for what was told once.
    told: HashSet<&'static str>,
}

impl Webhooks {
    pub(super) fn new(client: &Client, service: NamespacedName) -> Self {
        let api = |kind: &'static str| {
            let resource = ApiResource {
                group: GROUP.to_owned(),
                version: "v1".to_owned(),
                api_version: format!("{GROUP}/v1"),
                kind: kind.to_owned(),
                plural: format!("{}s", kind.to_lowercase()),
            };
            (kind, Api::all_with(client.clone(), &resource))
        };
        Self { configurations: KINDS.map(api).into(), service, told: HashSet::new() }
    }

    /// Gives the bundle to all that are ours; true where one did not have it yet.
    pub(super) async fn publish(&mut self, bundle: &str) -> Result<bool, Error> {
        let mut changed = false;
        for (kind, api) in &self.configurations {
            let Some(found) = read(kind, api, &self.service, &mut self.told).await? else {
                continue;
            };
            let bundle = json!(ByteString(bundle.as_bytes().to_vec()));
            let ours: Vec<&Value> = self.ours(&found).collect();
            if ours.iter().all(|webhook| webhook["clientConfig"]["caBundle"] == bundle) {
                continue;
            }
            let webhooks = ours.iter().map(
                |webhook| json!({"name": webhook["name"], "clientConfig": {"caBundle": bundle}}),
            );
            let name = &self.service.name;
            // The version makes it conditional: who owns the Lease now may have written since.
            let apply = json!({
                "apiVersion": format!("{GROUP}/v1"),
                "kind": kind,
                "metadata": {"name": name, "resourceVersion": found.resource_version()},
                "webhooks": webhooks.collect::<Vec<_>>(),
            });
            let parameters = PatchParams::apply(FIELD_MANAGER).force();
            api.patch(name, &parameters, &Patch::Apply(&apply))
                .await
                .map_err(|source| Error::WriteWebhooks { kind, source })?;
            tracing::info!(kind, name, "the API server trusts the changed bundle");
            changed = true;
        }
        Ok(changed)
    }

    /// The certificates that they have now, each once.
    pub(super) async fn published(&mut self) -> Result<Vec<String>, Error> {
        let mut published = Vec::new();
        for (kind, api) in &self.configurations {
            let Some(found) = read(kind, api, &self.service, &mut self.told).await? else {
                continue;
            };
            for webhook in self.ours(&found) {
                let bundle = serde_json::from_value(webhook["clientConfig"]["caBundle"].clone());
                let ByteString(bundle) = bundle.unwrap_or_default();
                for certificate in split(std::str::from_utf8(&bundle).unwrap_or_default()) {
                    if !published.contains(&certificate) {
                        published.push(certificate);
                    }
                }
            }
        }
        Ok(published)
    }

    /// The webhooks that point to our Service.
    fn ours<'a>(&'a self, found: &'a DynamicObject) -> impl Iterator<Item = &'a Value> {
        let webhooks = found.data["webhooks"].as_array().map_or(&[][..], Vec::as_slice);
        webhooks.iter().filter(|webhook| {
            let service = &webhook["clientConfig"]["service"];
            service["namespace"] == self.service.namespace && service["name"] == self.service.name
        })
    }
}

/// The configuration of one kind. One that we may not see is none that we have to care for.
async fn read(
    kind: &'static str,
    api: &Api<DynamicObject>,
    service: &NamespacedName,
    told: &mut HashSet<&'static str>,
) -> Result<Option<DynamicObject>, Error> {
    match api.get_opt(&service.name).await {
        Ok(found) => Ok(found),
        Err(kube::Error::Api(status)) if status.code == 403 => {
            if told.insert(kind) {
                let name = &service.name;
                tracing::info!(kind, name, "no right to see it: its caBundle is left to others");
            }
            Ok(None)
        }
        Err(source) => Err(Error::ReadWebhooks { kind, source }),
    }
}
