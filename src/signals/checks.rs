//! What is wrong with a signal on the series that a backend really has.

use std::time::Duration;

use crate::model::value::SeriesNames;
use crate::signals::query::{Form, Key, Over, Pattern, Series, promql_duration};
use crate::signals::signal::Signal;

/// The time in which scrapes are counted.
const COUNTED: Duration = Duration::from_mins(10);

impl Signal {
    /// The names of all series that it may read, for a listing of what there is.
    pub fn series(&self) -> Vec<&str> {
        let mut names: Vec<_> = self
            .kind
            .patterns()
            .into_iter()
            .flat_map(variants)
            .map(|it| it.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// A selector of all of them, for a listing; of those of its own namespace where it sees no other.
    /// `None` where it reads none, or where no label tells the namespaces apart.
    pub fn listing(&self) -> Option<String> {
        self.selector(&self.series())
    }

    fn selector(&self, names: &[&str]) -> Option<String> {
        if names.is_empty() {
            return None;
        }
        let names = names.join("|");
        let Some(namespace) = &self.namespace else {
            return Some(format!("{{__name__=~\"{names}\"}}"));
        };
        let patterns = self.kind.patterns();
        let labels: Option<Vec<&str>> = patterns
            .iter()
            .map(|pattern| match pattern.key.as_ref() {
                Key::Labels { namespace, .. } => namespace.as_deref(),
                Key::Extracted { .. } | Key::Joined { .. } => None,
            })
            .collect();
        let labels = labels?;
        let label = labels.first().filter(|label| labels.iter().all(|other| other == *label))?;
        Some(format!("{{__name__=~\"{names}\",{label}=\"{namespace}\"}}"))
    }

    /// Why it cannot have values, each reason with what to do; the listing is that of a backend's
    /// series of the last minutes.
    pub fn problems(&self, listing: &SeriesNames) -> Vec<String> {
        let patterns = self.kind.patterns();
        let mut problems: Vec<_> =
            patterns.into_iter().flat_map(|pattern| of_pattern(pattern, listing)).collect();
        problems.dedup();
        problems
    }

    /// A query for the seconds between two scrapes of what it takes rates of; `None` where it
    /// takes none. Nothing answers it but series that have been there all the time, since the
    /// samples of a young one, which are few, would pass for rare scrapes.
    pub fn interval_query(&self) -> Option<String> {
        let series = self.kind.patterns().into_iter().flat_map(variants);
        let mut names: Vec<_> = series
            .filter(|it| matches!(it.over, Over::Rate(_)))
            .map(|it| it.name.as_str())
            .collect();
        names.sort_unstable();
        names.dedup();
        let (seconds, range) = (COUNTED.as_secs(), promql_duration(COUNTED));
        let selector = self.selector(&names)?;
        Some(format!(
            "{seconds} / max(count_over_time({selector}[{range}]) and {selector} \
             and {selector} offset {range})"
        ))
    }

    /// What is wrong where there is so much time between two scrapes: a rate needs two samples.
    pub fn too_short(&self, interval: Duration) -> Option<String> {
        let series = self.kind.patterns().into_iter().flat_map(variants);
        let windows = series.filter_map(|it| match it.over {
            Over::Rate(window) => Some(window),
            Over::Instant | Over::Average(_) => None,
        });
        let shortest = windows.min().filter(|window| *window < interval.saturating_mul(2))?;
        Some(format!(
            "its window of {} is less than twice the time between two scrapes, {}, so that it has \
             no rate now and then: make it {} or more",
            promql_duration(shortest),
            promql_duration(interval),
            promql_duration(interval.saturating_mul(4)),
        ))
    }
}

fn variants(pattern: &Pattern) -> &[Series] {
    match &pattern.form {
        Form::Sums { variants, .. } => variants,
        Form::Written(_) => &[],
    }
}

fn of_pattern(pattern: &Pattern, listing: &SeriesNames) -> Vec<String> {
    let variants = variants(pattern);
    let there: Vec<_> =
        variants.iter().filter_map(|series| Some((series, listing.get(&series.name)?))).collect();
    if there.is_empty() && !variants.is_empty() {
        let summary = variants.iter().find_map(|series| {
            let name = series.name.strip_suffix("_bucket")?;
            listing.get(name).filter(|labels| labels.contains("quantile")).map(|_| name)
        });
        if let Some(name) = summary {
            return vec![format!(
                "{name} is a summary, whose quantiles cannot be put together: export a histogram, \
                 or use latencyAverage"
            )];
        }
        let names: Vec<_> = variants.iter().map(|series| series.name.as_str()).collect();
        return vec![format!("there is no series {}", names.join(" and none "))];
    }
    let labels: Vec<&str> = match pattern.key.as_ref() {
        Key::Labels { namespace, object } => {
            [namespace, object].into_iter().flatten().map(AsRef::as_ref).collect()
        }
        Key::Extracted { label, .. } | Key::Joined { label, .. } => vec![label],
    };
    let mut problems = Vec::new();
    for (series, carried) in there {
        for label in labels.iter().filter(|label| !carried.contains(**label)) {
            let known: Vec<_> = carried.iter().map(String::as_str).collect();
            let (name, known) = (&series.name, known.join(", "));
            problems.push(format!("the series {name} has no label {label}, but {known}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::compile::compile;
    use crate::signals::preset::Presets;

    fn signal(yaml: &str) -> Signal {
        compile("test", &serde_saphyr::from_str(yaml).unwrap(), &Presets::default(), None).unwrap()
    }

    fn listing(series: &[(&str, &[&str])]) -> SeriesNames {
        let labels = |labels: &[&str]| labels.iter().map(|label| (*label).to_owned()).collect();
        series.iter().map(|(name, carried)| ((*name).to_owned(), labels(carried))).collect()
    }

    #[test]
    fn what_the_series_lack_is_told() {
        let rate = signal("{metric: m, on: pods, requestRate: {series: x_total}}");
        let slow = signal("{metric: m, on: pods, latencyQuantile: {series: x, quantile: 0.9}}");
        let whole = listing(&[("x_total", &["namespace", "pod"]), ("x", &["quantile"])]);
        assert_eq!(rate.problems(&whole), [""; 0]);
        assert_eq!(
            slow.problems(&whole),
            ["x is a summary, whose quantiles cannot be put together: export a histogram, or use \
              latencyAverage"]
        );
        assert_eq!(rate.problems(&listing(&[])), ["there is no series x_total"]);
        assert_eq!(
            rate.problems(&listing(&[("x_total", &["code", "namespace"])])),
            ["the series x_total has no label pod, but code, namespace"]
        );
    }

    #[test]
    fn a_window_has_room_for_two_scrapes() {
        let rate = signal("{metric: m, on: pods, requestRate: {series: x_total, window: 1m}}");
        assert_eq!(rate.series(), ["x_total"]);
        assert_eq!(
            rate.interval_query().as_deref(),
            Some(
                "600 / max(count_over_time({__name__=~\"x_total\"}[600s]) and \
                 {__name__=~\"x_total\"} and {__name__=~\"x_total\"} offset 600s)"
            )
        );
        assert_eq!(rate.too_short(Duration::from_secs(30)), None);
        assert_eq!(
            rate.too_short(Duration::from_secs(31)).as_deref(),
            Some(
                "its window of 60s is less than twice the time between two scrapes, 31s, so that \
                 it has no rate now and then: make it 124s or more"
            )
        );
        let clock = "{metric: m, on: external, schedule: {windows: [{from: '08:00', to: '9:00', value: 1}]}}";
        assert_eq!(signal(clock).interval_query(), None);
    }
}
