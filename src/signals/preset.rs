//! Presets: which series and labels a source of metrics exports. They are data: those that come
//! with the program lie in `presets/`, each with the place that its names were taken from, and a
//! person writes their own under `presets:` in the same form.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use crate::signals::definition::{HistogramForm, TimeUnit};
use crate::signals::matchers;

/// Most alternative series of one preset.
pub const MAX_SOURCES: usize = 8;

/// What a source of metrics exports.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Preset {
    /// Which labels name whom. A kind that is not listed is found through its pods, where `pods`
    /// is.
    pub objects: Vec<ObjectLabels>,
    /// Alternatives for requests and their duration: of those that an object has, the first
    /// counts.
    pub sources: Vec<Source>,
    /// CPU usage and what it is a part of.
    pub cpu: Option<Resource>,
    /// Memory usage and what it is a part of.
    pub memory: Option<Resource>,
}

/// The labels that name the objects of some kinds.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct ObjectLabels {
    /// The kinds, each with its plural and group: `deployments.apps`.
    pub on: Vec<String>,
    /// The label that names the namespace.
    pub namespace: Option<String>,
    /// The label that names the object.
    pub object: Option<String>,
    /// A regular expression that takes namespace (`$1`) and name (`$2`) from the label `object`.
    pub extract: Option<String>,
    /// A regular expression that takes `NAMESPACE-NAME` (`$1`) from the label `object`.
    pub joined: Option<String>,
}

/// Requests and their duration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Source {
    /// The counter of requests.
    pub requests: Option<Series>,
    /// Those that failed; the counter of requests where `series` is left out.
    pub errors: Option<Series>,
    /// The histogram of durations, without `_bucket`.
    pub latency: Option<Latency>,
    /// The gauge of requests in flight.
    pub in_flight: Option<Series>,
}

/// A series and matchers.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Series {
    /// Its name.
    pub series: String,
    /// PromQL matchers.
    pub matchers: String,
}

/// A histogram of durations.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Latency {
    /// Its name, without `_bucket`.
    pub series: String,
    /// PromQL matchers.
    pub matchers: String,
    /// The unit.
    pub unit: TimeUnit,
    /// The form.
    pub histogram: HistogramForm,
}

/// Usage of a resource and what it is a part of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Resource {
    /// Usage: a counter of seconds for CPU, a gauge of bytes for memory.
    pub usage: Series,
    /// Requests.
    pub requests: Series,
    /// Limits.
    pub limits: Series,
}

/// Presets by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Presets(BTreeMap<String, Preset>);

/// The presets that come with the program.
const FILES: &[(&str, &str)] = &[
    ("cadvisor", include_str!("presets/cadvisor.yaml")),
    ("cilium", include_str!("presets/cilium.yaml")),
    ("contour", include_str!("presets/contour.yaml")),
    ("envoy", include_str!("presets/envoy.yaml")),
    ("envoy-gateway", include_str!("presets/envoy-gateway.yaml")),
    ("grpc", include_str!("presets/grpc.yaml")),
    ("http", include_str!("presets/http.yaml")),
    ("ingress-nginx", include_str!("presets/ingress-nginx.yaml")),
    ("istio", include_str!("presets/istio.yaml")),
    ("kong", include_str!("presets/kong.yaml")),
    ("linkerd", include_str!("presets/linkerd.yaml")),
    ("otel-http", include_str!("presets/otel-http.yaml")),
    ("traefik", include_str!("presets/traefik.yaml")),
];

static BUILT_IN: LazyLock<BTreeMap<String, Preset>> = LazyLock::new(|| {
    // A test reads every file, so that none is left out here.
    let read = |(name, text): &(&str, &str)| {
        Some(((*name).to_owned(), serde_saphyr::from_str(text).ok()?))
    };
    FILES.iter().filter_map(read).collect()
});

impl Default for Presets {
    fn default() -> Self {
        Self(BUILT_IN.clone())
    }
}

impl Presets {
    /// A preset by its name.
    pub fn get(&self, name: &str) -> Option<&Preset> {
        self.0.get(name)
    }

    /// The names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Adds a preset; false where the name is taken.
    pub fn add(&mut self, name: &str, preset: Preset) -> bool {
        if self.0.contains_key(name) {
            return false;
        }
        self.0.insert(name.to_owned(), preset);
        true
    }

    /// The known name that is most like another, for a message.
    pub fn most_like(&self, name: &str) -> Option<&str> {
        let near = |known: &&str| strsim::jaro_winkler(known, name);
        self.names().max_by(|a, b| near(a).total_cmp(&near(b))).filter(|known| near(known) > 0.8)
    }
}

impl Preset {
    /// The labels of a kind.
    pub(super) fn labels_of(&self, on: &str) -> Option<&ObjectLabels> {
        self.objects.iter().find(|labels| labels.on.iter().any(|kind| kind == on))
    }

    /// What is wrong with a preset that a person wrote, each with what to do.
    pub fn mistakes(&self) -> Vec<String> {
        let mut mistakes = Vec::new();
        if self.objects.is_empty() {
            mistakes.push("`objects` is missing: write which labels name whom".to_owned());
        }
        if self.sources.len() > MAX_SOURCES {
            mistakes.push(format!("it has more than {MAX_SOURCES} sources"));
        }
        for (series, text) in self.series() {
            if !series.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':') {
                mistakes.push(format!("{series:?} is no name of a series"));
            }
            if let Err(error) = matchers::parse(text) {
                mistakes.push(format!("{text:?} are no matchers: {error}"));
            }
        }
        mistakes
    }

    /// Every series that is named, with its matchers; empty for what is left out.
    fn series(&self) -> impl Iterator<Item = (&str, &str)> {
        let sources = self.sources.iter().flat_map(|source| {
            let latency =
                source.latency.as_ref().map(|it| (it.series.as_str(), it.matchers.as_str()));
            let others = [&source.requests, &source.errors, &source.in_flight];
            let others =
                others.into_iter().flatten().map(|it| (it.series.as_str(), it.matchers.as_str()));
            latency.into_iter().chain(others)
        });
        let resources = [&self.cpu, &self.memory].into_iter().flatten().flat_map(|resource| {
            let parts = [&resource.usage, &resource.requests, &resource.limits];
            parts.map(|it| (it.series.as_str(), it.matchers.as_str()))
        });
        sources.chain(resources)
    }

    /// The kinds that can be asked for without pods.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &str> {
        self.objects.iter().flat_map(|labels| &labels.on).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_can_be_read() {
        for (name, text) in FILES {
            let read: Result<Preset, _> = serde_saphyr::from_str(text);
            let preset = read.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(preset.mistakes(), [""; 0], "{name}");
        }
        assert_eq!(Presets::default().names().count(), FILES.len());
    }

    #[test]
    fn a_mistyped_name_has_a_likely_one() {
        let presets = Presets::default();
        assert_eq!(presets.most_like("isto"), Some("istio"));
        assert_eq!(presets.most_like("prometheus"), None);
    }

    /// Expositions with the labels that a scrape adds.
    const EXPOSITIONS: [(&str, &str); 9] = [
        ("cadvisor", include_str!("../../tests/data/presets/cadvisor.prom")),
        ("envoy-gateway", include_str!("../../tests/data/presets/envoy-gateway.prom")),
        ("grpc", include_str!("../../tests/data/presets/grpc.prom")),
        ("ingress-nginx", include_str!("../../tests/data/presets/ingress-nginx.prom")),
        ("istio", include_str!("../../tests/data/presets/istio.prom")),
        ("kong", include_str!("../../tests/data/presets/kong.prom")),
        ("linkerd", include_str!("../../tests/data/presets/linkerd.prom")),
        ("otel-http", include_str!("../../tests/data/presets/otel-http.prom")),
        ("traefik", include_str!("../../tests/data/presets/traefik.prom")),
    ];

    #[test]
    fn presets_use_the_series_and_labels_that_are_exported() {
        let presets = Presets::default();
        for (name, exposition) in EXPOSITIONS {
            let preset = presets.get(name).unwrap();
            let added = exposition.lines().find_map(|line| line.strip_prefix("# Scrape adds: "));
            let added: Vec<_> = added.into_iter().flat_map(str::split_whitespace).collect();
            let mut seen = 0;
            for (series, matchers) in preset.series() {
                let mut lines = exposition.lines().filter(|line| !line.starts_with('#'));
                let is_it = |line: &&str| {
                    let exported = line.split('{').next().unwrap();
                    exported == series || exported.strip_suffix("_bucket") == Some(series)
                };
                let Some(line) = lines.find(is_it) else { continue };
                seen += 1;
                let labels = preset.objects.iter().flat_map(|it| [&it.namespace, &it.object]);
                let labels = labels.flatten().cloned();
                for label in labels.chain(matchers::parse(matchers).unwrap().1) {
                    let is_there = line.contains(&format!("{{{label}=\""))
                        || line.contains(&format!(",{label}=\""));
                    assert!(
                        is_there || added.contains(&label.as_str()),
                        "{name}: {series}, {label}"
                    );
                }
            }
            assert!(seen > 0, "{name}");
        }
    }
}
