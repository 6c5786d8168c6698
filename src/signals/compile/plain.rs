//! Plain queries and schedules.

use std::time::Duration;

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;

use super::Compiler;
use super::sources::Common;
use crate::promql::template::{Field, Fields, Template};
use crate::promql::window;
use crate::signals::definition::{PlainQuery, RollUp, ScheduleWindow};
use crate::signals::definition::{Schedule as Written, SeriesLabels};
use crate::signals::leaf::{Combine, Leaf, Place};
use crate::signals::query::{Form, Key, Pattern, Scope};
use crate::signals::schedule::{Schedule, Window};
use crate::signals::signal::On;

const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl Compiler<'_> {
    pub(super) fn query(&mut self, it: &PlainQuery, on: &On, path: &str) -> Option<Leaf> {
        let template = match Template::compile(&it.promql, Fields::Query) {
            Ok(template) => template,
            Err(error) => {
                self.mistake(format!("{path}.promql"), error.to_string());
                return None;
            }
        };
        let labels = query_labels(it, on);
        let (preset, window, offset, series, matchers) = (None, None, None, None, None);
        let common =
            Common { path, preset, window, offset, series, matchers, labels: Some(&labels) };
        let (key, place) = self.key(&common, None, on)?;
        let is_scoped = template.uses(Field::LabelMatchers);
        if matches!(*key, Key::Labels { namespace: Some(_), .. }) && !is_scoped {
            let what = "it asks for all namespaces each time: write <<.LabelMatchers>> where the \
                        matchers of the namespace go, or `labels: {namespace: \"\"}`";
            self.mistake(format!("{path}.promql"), what);
        }
        let combine = match (place, it.roll_up) {
            (_, Some(roll_up)) => Combine::RollUp(roll_up),
            (Place::Namespace { .. }, None) => Combine::RollUp(RollUp::Sum),
            (Place::Pods { .. }, None) => {
                let what = "the query names pods: write sum, max or min for what becomes of the \
                            values of an object's pods, or name the object under `labels.object`";
                self.mistake(format!("{path}.rollUp"), what);
                return None;
            }
            (Place::Object { .. } | Place::Joined, None) => Combine::Only,
        };
        let pattern = Pattern { key, form: Form::Written(template) };
        let namespaces = self.namespace;
        let scope = Scope { namespaces: Some(namespaces.as_slice()), matchers: "" };
        if let Err(error) = pattern.render(&scope, self.namespace) {
            self.mistake(format!("{path}.promql"), chain(&error));
        }
        let patterns = vec![pattern];
        let window = window::range_of(&it.promql);
        Some(Leaf { patterns, place, combine, window, scales: Vec::new(), what: "the query" })
    }

    pub(super) fn schedule(&mut self, it: &Written, path: &str) -> Option<Schedule> {
        let name = it.time_zone.as_deref().unwrap_or("UTC");
        let time_zone = TimeZone::get(name);
        if time_zone.is_err() {
            let what = format!("there is no time zone {name:?}: write one as Europe/Berlin");
            self.mistake(format!("{path}.timeZone"), what);
        }
        if it.default.is_some_and(|default| !default.is_finite()) {
            self.mistake(format!("{path}.default"), "it has to be a number");
        }
        if it.windows.is_empty() {
            self.mistake(format!("{path}.windows"), "there has to be one");
        }
        let windows = it.windows.iter().enumerate();
        let windows: Option<Vec<_>> = windows
            .map(|(index, window)| self.open(window, &format!("{path}.windows[{index}]")))
            .collect();
        Some(Schedule { time_zone: time_zone.ok()?, default: it.default, windows: windows? })
    }

    fn open(&mut self, it: &ScheduleWindow, path: &str) -> Option<Window> {
        let mut time = |text: &str, field: &str| {
            // Midnight at the end of a day is that at the beginning of the next.
            let parsed =
                if text == "24:00" { Ok(Time::midnight()) } else { Time::strptime("%H:%M", text) };
            if parsed.is_err() {
                self.mistake(
                    format!("{path}.{field}"),
                    format!("{text:?} is no time: write for example 08:00"),
                );
            }
            parsed.ok()
        };
        let (from, to) = (time(&it.from, "from"), time(&it.to, "to"));
        if !it.value.is_finite() {
            self.mistake(format!("{path}.value"), "it has to be a number");
        }
        let ramp = self.duration(it.ramp.as_deref(), &format!("{path}.ramp")).unwrap_or_default();
        if ramp > Duration::from_hours(24) {
            self.mistake(format!("{path}.ramp"), "it is longer than a day");
        }
        let days = self.days(&it.days, &format!("{path}.days"))?;
        Some(Window { days, from: from?, to: to?, value: it.value, ramp })
    }

    fn days(&mut self, written: &[String], path: &str) -> Option<Vec<Weekday>> {
        if written.is_empty() {
            return Some(DAYS.map(|(_, day)| day).into());
        }
        let position = |name: &str| DAYS.iter().position(|(known, _)| *known == name);
        let mut days = Vec::new();
        for text in written {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let (Some(first), Some(last)) = (position(first), position(last)) else {
                let what = format!("{text:?} is no day: write for example mon, or mon-fri");
                self.mistake(path, what);
                return None;
            };
            let count = (last + 7 - first) % 7 + 1;
            days.extend(DAYS.iter().cycle().skip(first).take(count).map(|(_, day)| *day));
        }
        Some(days)
    }
}

/// Without a label, an object is named by its kind: `deployment`, as in rules.
fn query_labels(it: &PlainQuery, on: &On) -> SeriesLabels {
    let mut labels = it.labels.clone().unwrap_or_default();
    if let On::Objects(resource) = on
        && labels.object.is_none()
        && labels.pod.is_none()
        && it.roll_up.is_none()
        && !["pods", "namespaces"].contains(&resource.resource.as_str())
    {
        let plural = resource.resource.as_str();
        labels.object = Some(plural.strip_suffix('s').unwrap_or(plural).to_owned());
    }
    labels
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
