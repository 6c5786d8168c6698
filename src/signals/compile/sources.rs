//! Which series a signal reads: what is written, and what a preset fills in.

use std::sync::Arc;
use std::time::Duration;

use super::Compiler;
use crate::signals::definition::{
    Against, Capacity, ErrorRatio, HistogramForm, LatencyAverage, LatencyQuantile, RequestRate,
    ResourceUsage, Saturation, SeriesLabels, TimeUnit,
};
use crate::signals::leaf::{Combine, Leaf, Place};
use crate::signals::matchers;
use crate::signals::preset::{self, Preset, Source};
use crate::signals::query::{Form, Key, Over, Pattern, Reading, Series};
use crate::signals::signal::On;

/// The window where none is written.
const WINDOW: Duration = Duration::from_mins(2);
/// The longest window and offset; a query over more reads too much of a backend.
const MAX_WINDOW: Duration = Duration::from_hours(24 * 31);

/// What the kinds have in common, as it is written.
pub(super) struct Common<'a> {
    /// The kind, and where its fields stand.
    pub(super) path: &'a str,
    pub(super) preset: Option<&'a str>,
    pub(super) window: Option<&'a str>,
    pub(super) offset: Option<&'a str>,
    pub(super) series: Option<&'a str>,
    pub(super) matchers: Option<&'a str>,
    pub(super) labels: Option<&'a SeriesLabels>,
}

macro_rules! common {
    ($written:expr, $path:expr) => {
        Common {
            path: $path,
            preset: $written.preset.as_deref(),
            window: $written.window.as_deref(),
            offset: $written.offset.as_deref(),
            series: $written.series.as_deref(),
            matchers: $written.matchers.as_deref(),
            labels: $written.labels.as_ref(),
        }
    };
}

/// The same after it has been checked.
struct Base<'a> {
    path: &'a str,
    preset: Option<&'a Preset>,
    key: Arc<Key>,
    place: Place,
    window: Option<Duration>,
    offset: Duration,
    matchers: String,
}

/// A series that a variant reads and the matchers that belong to it.
type Named = (String, String);

impl<'a> Compiler<'a> {
    pub(super) fn request_rate(&mut self, it: &RequestRate, on: &On, path: &str) -> Option<Leaf> {
        let base = self.base(&common!(it, path), on)?;
        let requests = |source: &Source| requests(source);
        let variants = self.variants(&base, it.series.as_deref(), "series", requests)?;
        let patterns = vec![base.sums(variants, base.rate(), Reading::Value)];
        Some(base.leaf(patterns, Combine::Sum, "requests"))
    }

    pub(super) fn error_ratio(&mut self, it: &ErrorRatio, on: &On, path: &str) -> Option<Leaf> {
        let base = self.base(&common!(it, path), on)?;
        let errors = self.matchers(it.errors.as_deref(), &format!("{path}.errors"))?;
        let minimum_rate = it.minimum_rate.unwrap_or_default();
        if !(minimum_rate >= 0.0 && minimum_rate.is_finite()) {
            self.mistake(format!("{path}.minimumRate"), "it has to be zero or more");
        }
        let is_complete = |source: &Source| source.errors.is_some() || it.errors.is_some();
        let total = |source: &Source| requests(source).filter(|_| is_complete(source));
        let totals = self.variants(&base, it.series.as_deref(), "series", total)?;
        let failed = |source: &Source| {
            let (series, all) = total(source)?;
            let known = source.errors.clone().unwrap_or_default();
            let series = if known.series.is_empty() { series } else { known.series };
            let which = if it.errors.is_some() { errors.clone() } else { known.matchers };
            Some((series, joined(&all, &which)))
        };
        let written = it.error_series.as_deref().or(it.series.as_deref());
        if it.series.is_some() && it.errors.is_none() && it.error_series.is_none() {
            let what = "it is missing: write the matchers of failed requests, as `code=~\"5..\"`";
            self.mistake(format!("{path}.errors"), what);
        }
        let mut failures = self.variants(&base, written, "errorSeries", failed)?;
        if written.is_some() {
            for (_, matchers) in &mut failures {
                *matchers = joined(matchers, &errors);
            }
        }
        let patterns = [totals, failures].map(|it| base.sums(it, base.rate(), Reading::Value));
        Some(base.leaf(patterns.into(), Combine::ErrorRatio { minimum_rate }, "requests"))
    }

    pub(super) fn latency_quantile(
        &mut self,
        it: &LatencyQuantile,
        on: &On,
        path: &str,
    ) -> Option<Leaf> {
        let base = self.base(&common!(it, path), on)?;
        if !(0.0..=1.0).contains(&it.quantile) {
            let what = format!("{} is no quantile: it has to be from 0 to 1, as 0.95", it.quantile);
            self.mistake(format!("{path}.quantile"), what);
        }
        let known = base.sources().find_map(|source| Some(source.latency.as_ref()?.histogram));
        let form =
            it.histogram.or_else(|| known.filter(|_| it.series.is_none())).unwrap_or_default();
        let is_native = form == HistogramForm::Native;
        if is_native && base.place.is_pods() {
            let what = "native histograms of several pods are merged by the backend alone: name \
                        the label of the object under `labels.object`, or put the signal on pods";
            self.mistake(format!("{path}.histogram"), what);
        }
        let suffix = if is_native { "" } else { "_bucket" };
        let histogram = |source: &Source| {
            let latency = source.latency.as_ref().filter(|latency| latency.histogram == form)?;
            Some((format!("{}{suffix}", latency.series), latency.matchers.clone()))
        };
        let written = it
            .series
            .as_deref()
            .map(|series| format!("{}{suffix}", series.strip_suffix("_bucket").unwrap_or(series)));
        let variants = self.variants(&base, written.as_deref(), "series", histogram)?;
        if variants.iter().any(|(_, matchers)| {
            matchers.starts_with("quantile=") || matchers.contains(",quantile=")
        }) {
            let what = "a series with a label `quantile` is a summary, whose quantiles cannot be \
                        put together: use a histogram, or latencyAverage";
            self.mistake(format!("{path}.matchers"), what);
        }
        let (reading, combine) = match (base.place.is_pods(), is_native) {
            (true, _) => (Reading::Buckets, Combine::Quantile(it.quantile)),
            (false, true) => (Reading::NativeQuantile(it.quantile), Combine::OwnQuantile),
            (false, false) => (Reading::ClassicQuantile(it.quantile), Combine::OwnQuantile),
        };
        let scales = scales(&base, it.series.is_some(), it.unit.map(TimeUnit::seconds), Some(form));
        let patterns = vec![base.sums(variants, base.rate(), reading)];
        Some(Leaf { scales, ..base.leaf(patterns, combine, "response times") })
    }

    pub(super) fn latency_average(
        &mut self,
        it: &LatencyAverage,
        on: &On,
        path: &str,
    ) -> Option<Leaf> {
        let base = self.base(&common!(it, path), on)?;
        let mut parts = Vec::new();
        for suffix in ["_count", "_sum"] {
            let part = |source: &Source| {
                let latency = source.latency.as_ref()?;
                Some((format!("{}{suffix}", latency.series), latency.matchers.clone()))
            };
            let written = it.series.as_deref().map(|series| format!("{series}{suffix}"));
            let variants = self.variants(&base, written.as_deref(), "series", part)?;
            parts.push(base.sums(variants, base.rate(), Reading::Value));
        }
        let scales = scales(&base, it.series.is_some(), it.unit.map(TimeUnit::seconds), None);
        Some(Leaf { scales, ..base.leaf(parts, Combine::Average, "response times") })
    }

    pub(super) fn saturation(&mut self, it: &Saturation, on: &On, path: &str) -> Option<Leaf> {
        let mut base = self.base(&common!(it, path), on)?;
        base.window = base.window.filter(|_| it.window.is_some());
        let gauge = |source: &Source| {
            source.in_flight.as_ref().map(|series| (series.series.clone(), series.matchers.clone()))
        };
        let variants = self.variants(&base, it.series.as_deref(), "series", gauge)?;
        let mut patterns = vec![base.sums(variants, base.gauge(), Reading::Value)];
        let combine = match &it.capacity {
            None => Combine::Sum,
            Some(Capacity { series: Some(series), per_pod: None, total: None }) => {
                let series = self.series_name(series, &format!("{path}.capacity.series"))?;
                patterns.push(base.sums(
                    vec![(series, String::new())],
                    base.gauge(),
                    Reading::Value,
                ));
                Combine::Share { capacity: "capacity" }
            }
            Some(Capacity { series: None, per_pod: Some(each), total: None }) if *each > 0.0 => {
                if !base.place.is_pods() && !is_pods(on) {
                    let what = "the series of this signal do not name pods: write `total`";
                    self.mistake(format!("{path}.capacity.perPod"), what);
                }
                Combine::PerPod(*each)
            }
            Some(Capacity { series: None, per_pod: None, total: Some(total) }) if *total > 0.0 => {
                Combine::Total(*total)
            }
            Some(_) => {
                let what = "exactly one of series, perPod and total has to be there, and the \
                            numbers have to be greater than zero";
                self.mistake(format!("{path}.capacity"), what);
                return None;
            }
        };
        Some(base.leaf(patterns, combine, "what is in flight"))
    }

    pub(super) fn resource(
        &mut self,
        it: &ResourceUsage,
        on: &On,
        path: &str,
        of: fn(&Preset) -> Option<&preset::Resource>,
    ) -> Option<Leaf> {
        let written =
            Common { preset: it.preset.as_deref().or(Some("cadvisor")), ..common!(it, path) };
        let base = self.base(&written, on)?;
        let against = it.against.unwrap_or_default();
        let Some(known) = base.preset.and_then(of) else {
            let what =
                format!("the preset {} knows nothing of it", written.preset.unwrap_or_default());
            self.mistake(format!("{path}.preset"), what);
            return None;
        };
        let (capacity, what) = match against {
            Against::Requests => (&known.requests, "request"),
            Against::Limits => (&known.limits, "limit"),
        };
        let usage = self.one(&base, it.series.as_deref(), "series", &known.usage)?;
        let more =
            self.matchers(it.capacity_matchers.as_deref(), &format!("{path}.capacityMatchers"))?;
        let capacity = match it.capacity_series.as_deref() {
            Some(series) => (self.series_name(series, &format!("{path}.capacitySeries"))?, more),
            None => (capacity.series.clone(), joined(&capacity.matchers, &more)),
        };
        let is_counter = usage.0.ends_with("_total");
        let over = if is_counter { base.rate() } else { Over::Instant };
        let patterns = vec![
            base.sums(vec![usage], over, Reading::Value),
            base.sums(vec![capacity], Over::Instant, Reading::Value),
        ];
        let leaf = base.leaf(patterns, Combine::Share { capacity: what }, "usage");
        Some(Leaf { window: leaf.window.filter(|_| is_counter), ..leaf })
    }

    fn base<'b>(&mut self, it: &Common<'b>, on: &On) -> Option<Base<'b>>
    where
        'a: 'b,
    {
        let preset = self.preset(it);
        let window = self.positive(it.window, &format!("{}.window", it.path));
        let offset = self.duration(it.offset, &format!("{}.offset", it.path)).unwrap_or_default();
        for (length, field) in [(window.unwrap_or_default(), "window"), (offset, "offset")] {
            if length > MAX_WINDOW {
                self.mistake(format!("{}.{field}", it.path), "it is longer than 31 days");
            }
        }
        let matchers = self.matchers(it.matchers, &format!("{}.matchers", it.path));
        let preset = preset.ok()?;
        let (key, place) = self.key(it, preset, on)?;
        let matchers = matchers?;
        let window = Some(window.unwrap_or(WINDOW));
        Some(Base { path: it.path, preset, key, place, window, offset, matchers })
    }

    /// The preset, or none where none is named; a wrong name is the error.
    fn preset(&mut self, it: &Common<'_>) -> Result<Option<&'a Preset>, ()> {
        let Some(name) = it.preset else {
            return Ok(None);
        };
        let presets = self.presets;
        if let Some(preset) = presets.get(name) {
            return Ok(Some(preset));
        }
        let known = match presets.most_like(name) {
            Some(like) => format!("did you mean {like}?"),
            None => format!("there are {}", presets.names().collect::<Vec<_>>().join(", ")),
        };
        self.mistake(
            format!("{}.preset", it.path),
            format!("there is no preset {name:?}; {known}"),
        );
        Err(())
    }

    fn matchers(&mut self, text: Option<&str>, path: &str) -> Option<String> {
        match matchers::parse(text.unwrap_or_default()) {
            Ok((matchers, _)) => Some(matchers),
            Err(error) => {
                self.mistake(path, format!("these are no matchers: {error}"));
                None
            }
        }
    }

    /// A name that stands in a query as it is.
    fn series_name(&mut self, name: &str, path: &str) -> Option<String> {
        let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
        let is_fit =
            name.starts_with(is_first) && name.chars().all(|c| is_first(c) || c.is_ascii_digit());
        if !is_fit {
            let what = format!("{name:?} is no name of a series: matchers go under `matchers`");
            self.mistake(path, what);
        }
        is_fit.then(|| name.to_owned())
    }

    /// What is written, or the alternatives of the preset with what is written added.
    fn variants(
        &mut self,
        base: &Base<'_>,
        written: Option<&str>,
        field: &str,
        of_source: impl Fn(&Source) -> Option<Named>,
    ) -> Option<Vec<Named>> {
        let path = format!("{}.{field}", base.path);
        if let Some(series) = written {
            return Some(vec![(self.series_name(series, &path)?, base.matchers.clone())]);
        }
        let known = base.sources().filter_map(of_source);
        let known: Vec<_> =
            known.map(|(series, own)| (series, joined(&own, &base.matchers))).collect();
        if known.is_empty() {
            let what = match base.preset {
                Some(_) => "it is missing: the preset knows no series for it",
                None => "it is missing: write the series' name, or a preset",
            };
            self.mistake(path, what);
            return None;
        }
        Some(known)
    }

    fn one(
        &mut self,
        base: &Base<'_>,
        written: Option<&str>,
        field: &str,
        known: &preset::Series,
    ) -> Option<Named> {
        match written {
            Some(series) => {
                let series = self.series_name(series, &format!("{}.{field}", base.path))?;
                Some((series, base.matchers.clone()))
            }
            None => Some((known.series.clone(), joined(&known.matchers, &base.matchers))),
        }
    }
}

impl Base<'_> {
    fn sources(&self) -> impl Iterator<Item = &Source> {
        self.preset.into_iter().flat_map(|preset| &preset.sources)
    }

    fn rate(&self) -> Over {
        Over::Rate(self.window.unwrap_or(WINDOW))
    }

    fn gauge(&self) -> Over {
        self.window.map_or(Over::Instant, Over::Average)
    }

    fn sums(&self, variants: Vec<Named>, over: Over, reading: Reading) -> Pattern {
        let offset = self.offset;
        let variants = variants.into_iter().take(preset::MAX_SOURCES);
        let series = |(name, matchers)| Series { name, matchers, over, offset };
        let form = Form::Sums { variants: variants.map(series).collect(), reading };
        Pattern { key: Arc::clone(&self.key), form }
    }

    fn leaf(&self, patterns: Vec<Pattern>, combine: Combine, what: &'static str) -> Leaf {
        let (place, window) = (self.place, self.window);
        Leaf { patterns, place, combine, window, scales: Vec::new(), what }
    }
}

/// The seconds of each variant's unit.
fn scales(
    base: &Base<'_>,
    is_written: bool,
    unit: Option<f64>,
    form: Option<HistogramForm>,
) -> Vec<f64> {
    if is_written {
        return vec![unit.unwrap_or(1.0)];
    }
    let latencies = base.sources().filter_map(|source| source.latency.as_ref());
    let latencies = latencies.filter(|it| form.is_none_or(|form| it.histogram == form));
    latencies.map(|latency| unit.unwrap_or_else(|| latency.unit.seconds())).collect()
}

/// The counter of requests, or the count of their durations.
fn requests(source: &Source) -> Option<Named> {
    if let Some(requests) = &source.requests {
        return Some((requests.series.clone(), requests.matchers.clone()));
    }
    let latency = source.latency.as_ref()?;
    (latency.histogram == HistogramForm::Classic)
        .then(|| (format!("{}_count", latency.series), latency.matchers.clone()))
}

fn joined(some: &str, more: &str) -> String {
    let parts: Vec<_> = [some, more].into_iter().filter(|part| !part.is_empty()).collect();
    parts.join(",")
}

fn is_pods(on: &On) -> bool {
    matches!(on, On::Objects(resource) if resource.group.is_empty() && resource.resource == "pods")
}
