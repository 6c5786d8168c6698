//! The file as it is written: types for the parser, nothing checked yet.
//!
//! prometheus-adapter reads its file with yaml.v2 in strict mode, which takes every null for an
//! absent value; so does this.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_saphyr::Spanned;

use crate::promql::compat::Compat;

/// A text with its place.
pub(super) type Text = Spanned<String>;

/// An entry of a list with its place; `None` for a null.
pub(super) type Entry<T> = Spanned<Option<T>>;

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct File {
    pub(super) rules: Option<Vec<Entry<Rule>>>,
    pub(super) external_rules: Option<Vec<Entry<Rule>>>,
    pub(super) resource_rules: Option<Spanned<ResourceRules>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) series_query: Option<Text>,
    pub(super) series_filters: Option<Vec<Entry<Filter>>>,
    pub(super) resources: Option<Resources>,
    pub(super) name: Option<Name>,
    pub(super) metrics_query: Option<Text>,
    pub(super) compat: Option<Compat>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Filter {
    pub(super) is: Option<Text>,
    pub(super) is_not: Option<Text>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Name {
    pub(super) matches: Option<Text>,
    pub(super) r#as: Option<Text>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Resources {
    pub(super) template: Option<Text>,
    pub(super) overrides: Option<Overrides>,
    pub(super) namespaced: Option<Spanned<bool>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct GroupResource {
    pub(super) group: Option<String>,
    pub(super) resource: Option<String>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ResourceRules {
    pub(super) cpu: Option<ResourceRule>,
    pub(super) memory: Option<ResourceRule>,
    pub(super) window: Option<Text>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ResourceRule {
    pub(super) container_query: Option<Text>,
    pub(super) node_query: Option<Text>,
    pub(super) resources: Option<Resources>,
    #[expect(dead_code, reason = "accepted as prometheus-adapter does; not served yet")]
    pub(super) container_label: Option<String>,
}

/// Label → resource in file order, which decides between two labels for one resource.
#[derive(Debug, Default)]
pub(super) struct Overrides(pub(super) Vec<(String, Entry<GroupResource>)>);

impl<'de> Deserialize<'de> for Overrides {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = Overrides;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of labels to resources")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Overrides(entries))
            }
        }

        deserializer.deserialize_map(InOrder)
    }
}
