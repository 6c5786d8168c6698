//! The file as it is written: types for the parser, nothing checked yet.
//!
//! prometheus-adapter reads its file with yaml.v2 in strict mode, which takes every null for an
//! absent value; so does this.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_path_to_error::{Path, Segment};
use serde_saphyr::{Error, Spanned};

use super::no_data::NoData;
use super::report::{Problem, Report};
use super::signals::PresetEntry;
use crate::promql::compat::Compat;
use crate::signals::definition::SignalSpec;

/// Reads the first document of a text, as prometheus-adapter does. An empty text is an empty file.
pub(super) fn read(text: &str, report: &mut Report<'_>) -> Result<File, Problem> {
    let mut file = None;
    let mut path = String::new();
    let read = serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        let read: Option<File> =
            serde_path_to_error::deserialize(deserializer).map_err(|error| {
                path = path_of(error.path());
                error.into_inner()
            })?;
        file = Some(read.unwrap_or_default());
        Ok(())
    });
    let Err(error) = read else {
        return Ok(file.unwrap_or_default());
    };
    if let (Error::MultipleDocuments { location, .. }, Some(file)) = (error.without_snippet(), file)
    {
        let what = "everything from here on is ignored: it is another document";
        report.warn(*location, String::new(), what);
        return Ok(file);
    }
    Err(problem(&error, path))
}

fn problem(error: &Error, path: String) -> Problem {
    let location = error.location();
    let line = location.map(|at| at.line());
    let what = match error.without_snippet() {
        Error::DuplicateMappingKey { key: Some(key), .. } => {
            format!("the key `{key}` stands twice")
        }
        other => {
            let text = other.to_string();
            let place =
                location.map(|at| format!(" at line {}, column {}", at.line(), at.column()));
            place.and_then(|place| text.strip_suffix(&place).map(str::to_owned)).unwrap_or(text)
        }
    };
    Problem { line, path, what }
}

/// The path as people write it: without the steps that [`Spanned`] adds, which are called `value`
/// as no key of the file is but a label under `overrides`.
fn path_of(path: &Path) -> String {
    let mut text = String::new();
    let mut in_overrides = false;
    for segment in path {
        match segment {
            Segment::Seq { index } => text.extend(["[", &index.to_string(), "]"]),
            Segment::Map { key } if key == "value" && !in_overrides => {}
            Segment::Map { key } => {
                text.push_str(if text.is_empty() { "" } else { "." });
                text.push_str(key);
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
        in_overrides = matches!(segment, Segment::Map { key } if key == "overrides");
    }
    text
}

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
    pub(super) presets: Option<Vec<Entry<PresetEntry>>>,
    pub(super) signals: Option<Vec<Entry<SignalSpec>>>,
    pub(super) admission: Option<super::admission::Section>,
    pub(super) backends: Option<Spanned<super::backends::Section>>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Rule {
    pub(super) backend: Option<Text>,
    pub(super) partial_results: Option<PartialResults>,
    pub(super) series_query: Option<Text>,
    pub(super) series_filters: Option<Vec<Entry<Filter>>>,
    pub(super) resources: Option<Resources>,
    pub(super) name: Option<Name>,
    pub(super) metrics_query: Option<Text>,
    pub(super) no_data: Option<Spanned<NoData>>,
    pub(super) enforce_namespace_label: Option<Text>,
    pub(super) compat: Option<Compat>,
}

/// What becomes of an answer that the backend calls partial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum PartialResults {
    Error,
    Accept,
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
    pub(super) backend: Option<Text>,
    pub(super) partial_results: Option<PartialResults>,
    pub(super) container_query: Option<Text>,
    pub(super) node_query: Option<Text>,
    pub(super) resources: Option<Resources>,
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
