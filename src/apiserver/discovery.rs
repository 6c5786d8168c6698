//! The documents that say what is served: discovery, `OpenAPI` and the version.
//!
//! They are written once for each catalog and then served from memory, whatever the backend does:
//! while the API server cannot read them, it takes the groups for stale, stops every HPA on them
//! and blocks the deletion of every namespace.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Response};
use tracing::warn;

use crate::apiserver::path::{Document, Parameters};
use crate::engine::catalog::Catalog;
use crate::model::object::Scope;
use crate::wire::discovery::{CustomResource, Documents, LeftOut, Resources};
use crate::wire::negotiate::{Choice, Endpoint, Form, Shape, negotiate};
use crate::wire::status::Status;
use crate::wire::{Group, GroupVersion, Groups, openapi, version};

/// The other groups are served always, whatever is configured: one that came and went with its
/// rules would break whoever has registered it. `metrics.k8s.io` is served while there are rules for
/// it: mostly metrics-server serves it.
const fn groups(catalog: &Catalog) -> Groups {
    Groups { resource: catalog.resource_rules().is_some() }
}

/// The documents, and the catalog that those of discovery were written for.
#[derive(Debug)]
pub struct Discovery {
    version: crate::wire::document::Document,
    current: ArcSwapOption<Current>,
}

#[derive(Debug)]
struct Current {
    catalog: Arc<Catalog>,
    documents: Documents,
    openapi: openapi::Documents,
}

impl Default for Discovery {
    /// Writes the document that never changes.
    fn default() -> Self {
        Self { version: version::document(), current: ArcSwapOption::empty() }
    }
}

impl Discovery {
    /// Answers a request for a document.
    pub fn respond(
        &self,
        document: &Document,
        catalog: Arc<Catalog>,
        headers: &HeaderMap,
        parameters: &Parameters<'_>,
    ) -> Result<Response<Bytes>, Status> {
        let endpoint = match document {
            Document::Groups => Endpoint::Groups,
            _ => Endpoint::Other,
        };
        let Choice { form, shape } = negotiate(endpoint, headers, parameters.first("pretty"))?;
        let current = self.current(catalog);
        let documents = &current.documents;
        let openapi = &current.openapi;
        let found = match document {
            Document::Groups if shape == Shape::AggregatedDiscovery => {
                Some(documents.aggregated(form, headers))
            }
            Document::Groups => Some(json(documents.group_list(form), form)),
            Document::Group(name) => Group::ALL
                .into_iter()
                .find(|group| group.as_str() == name)
                .and_then(|group| documents.group(group, form))
                .map(|bytes| json(bytes, form)),
            Document::Resources(group, version) => GroupVersion::parse(group, version)
                .and_then(|version| documents.resource_list(version, form))
                .map(|bytes| json(bytes, form)),
            Document::OpenApiV2 => Some(openapi.v2(form, headers)),
            Document::OpenApiV3 => Some(openapi.root(form, headers)),
            Document::OpenApiV3Group(group, version) => GroupVersion::parse(group, version)
                .and_then(|version| {
                    openapi.version(version, parameters.first("hash"), form, headers)
                }),
            Document::Version => Some(json(self.version.bytes(form), form)),
        };
        found.ok_or_else(Status::path_not_found)
    }

    fn current(&self, catalog: Arc<Catalog>) -> Arc<Current> {
        if let Some(current) = self.current.load_full()
            && Arc::ptr_eq(&current.catalog, &catalog)
        {
            return current;
        }
        let groups = groups(&catalog);
        let documents = Documents::new(groups, &resources(&catalog));
        let LeftOut { custom, external } = documents.left_out();
        if custom + external > 0 {
            warn!(custom, external, "discovery does not list every metric; all are served");
        }
        let openapi = openapi::Documents::new(groups);
        let current = Arc::new(Current { catalog, documents, openapi });
        self.current.store(Some(Arc::clone(&current)));
        current
    }
}

fn resources(catalog: &Catalog) -> Resources {
    Resources {
        custom: catalog
            .custom_metrics()
            .map(|(metric, kind)| CustomResource {
                resource: kind.group_resource().to_string(),
                namespaced: kind.scope == Scope::Namespaced,
                metric: metric.to_owned(),
            })
            .collect(),
        external: catalog.external_metrics().map(str::to_owned).collect(),
    }
}

fn json(body: Bytes, form: Form) -> Response<Bytes> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.content_type()));
    response
}
