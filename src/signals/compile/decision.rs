//! What is decided, and what is foreseen.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Compiler;
use crate::model::no_data::NoData;
use crate::signals::composite::is_input_name;
use crate::signals::decision::{
    Condition, Decision, Direction, Entry, MAX_SAMPLES, Test, default_inputs, default_table,
};
use crate::signals::definition::{
    self, DecisionCondition, DecisionEntry, ErrorRatio, LatencyQuantile, MAX_INPUTS, RequestRate,
    ResourceUsage,
};
use crate::signals::forecast::Forecast;
use crate::signals::inputs::{Input, Inputs, Outcome};
use crate::signals::signal::On;

/// Most entries of a table, as the schema has it.
const MAX_ENTRIES: usize = 32;

impl Compiler<'_> {
    pub(super) fn decision(&mut self, it: &definition::Decision, on: &On) -> Option<Inputs> {
        let has_pods = match on {
            On::External => false,
            On::Objects(resource) => !["pods", "nodes"].contains(&resource.resource.as_str()),
        };
        if !has_pods {
            self.mistake("on", "a decision counts replicas: name a kind that has pods");
            return None;
        }
        let before = self.mistakes.len();
        let inputs = self.decision_inputs(it, on);
        let names: Vec<Arc<str>> = inputs.iter().map(|input| input.name.as_str().into()).collect();
        let table = if it.table.is_empty() { usual_table(&names) } else { self.table(it, &names) };
        let usual = Decision::default();
        let decision = Decision {
            inputs: names,
            table,
            up_confidence: it.up_confidence.unwrap_or(usual.up_confidence),
            down_confidence: it.down_confidence.unwrap_or(usual.down_confidence),
            min: it.min.unwrap_or(usual.min),
            max: it.max.unwrap_or(usual.max),
        };
        if decision.min == 0 || decision.max < decision.min {
            self.mistake("decision.min", "it has to be from 1 to max");
        }
        let confidences = [
            ("decision.upConfidence", decision.up_confidence),
            ("decision.downConfidence", decision.down_confidence),
        ];
        for (path, confidence) in confidences {
            if !(0.0..=1.0).contains(&confidence) {
                self.mistake(path, "it has to be from 0 to 1");
            }
        }
        let outcome = Outcome::Decision(Arc::new(decision));
        (self.mistakes.len() == before).then_some(Inputs { inputs, outcome })
    }

    /// The inputs that are written, and those of the default ones that there can be.
    fn decision_inputs(&mut self, it: &definition::Decision, on: &On) -> Vec<Input> {
        if let Some(preset) = &it.preset
            && self.presets.get(preset).is_none()
        {
            let like = self.presets.most_like(preset);
            let like = like.map(|like| format!(", did you mean {like}?")).unwrap_or_default();
            self.mistake("decision.preset", format!("there is no preset {preset:?}{like}"));
        }
        let mut inputs = Vec::new();
        for (name, written) in &it.inputs {
            let path = format!("decision.inputs.{name}");
            if !is_input_name(name) {
                let what = "an input cannot be called so: write letters, digits and underscores";
                self.mistake(path, what);
                continue;
            }
            let no_data = self.no_data(written.no_data.as_ref(), &format!("{path}.noData"));
            let source = self.input(written, on, &path);
            inputs.extend(source.map(|source| Input { name: name.clone(), source, no_data }));
        }
        for (name, usual) in usual_inputs(it.preset.as_deref()) {
            if it.inputs.contains_key(name) {
                continue;
            }
            // A preset need not have everything.
            let before = self.mistakes.len();
            let source = self.input(&usual, on, "decision");
            if self.mistakes.len() == before {
                let (name, no_data) = (name.to_owned(), NoData::Error);
                inputs.extend(source.map(|source| Input { name, source, no_data }));
            }
            self.mistakes.truncate(before);
        }
        if inputs.len() > MAX_INPUTS {
            self.mistake("decision.inputs", format!("there may be {MAX_INPUTS} at most"));
        } else if inputs.is_empty() && self.mistakes.is_empty() {
            self.mistake("decision.inputs", "there is none: write some, or a preset");
        }
        inputs
    }

    fn table(&mut self, it: &definition::Decision, names: &[Arc<str>]) -> Vec<Entry> {
        if it.table.len() > MAX_ENTRIES {
            self.mistake("decision.table", format!("there may be {MAX_ENTRIES} entries at most"));
        }
        let entries = it.table.iter().enumerate().filter_map(|(index, entry)| {
            self.entry(entry, &format!("decision.table[{index}]"), names)
        });
        entries.collect()
    }

    fn entry(&mut self, it: &DecisionEntry, path: &str, names: &[Arc<str>]) -> Option<Entry> {
        let (direction, confidence) = match (it.up, it.down) {
            (Some(confidence), None) => (Direction::Up, confidence),
            (None, Some(confidence)) => (Direction::Down, confidence),
            _ => {
                self.mistake(path, "exactly one of up and down has to be there");
                return None;
            }
        };
        if !(0.0..=1.0).contains(&confidence) {
            self.mistake(path, "a confidence has to be from 0 to 1");
        }
        if it.when.is_empty() {
            self.mistake(format!("{path}.when"), "there has to be a condition");
        }
        let conditions = it.when.iter().enumerate().filter_map(|(index, condition)| {
            self.condition(condition, &format!("{path}.when[{index}]"), names)
        });
        let conditions = conditions.collect();
        let pods_above = it.pods_above.unwrap_or_default();
        Some(Entry { direction, confidence, conditions, pods_above })
    }

    fn condition(
        &mut self,
        it: &DecisionCondition,
        path: &str,
        names: &[Arc<str>],
    ) -> Option<Condition> {
        let Some(input) = names.iter().position(|name| **name == *it.input) else {
            let what = format!("there is no input {:?}, but {}", it.input, names.join(", "));
            self.mistake(format!("{path}.input"), what);
            return None;
        };
        let samples = |count: u32| usize::try_from(count).unwrap_or(usize::MAX);
        let row = samples(it.samples.unwrap_or(1));
        let test = match (it.above, it.below, &it.above_highest) {
            (Some(line), None, None) => Test::Above(line),
            (None, Some(line), None) => Test::Below(line),
            (None, None, Some(highest)) => {
                Test::AboveHighest { factor: highest.factor, of: samples(highest.samples) }
            }
            _ => {
                self.mistake(path, "exactly one of above, below and aboveHighest has to be there");
                return None;
            }
        };
        let of = if let Test::AboveHighest { of, .. } = test { of } else { 1 };
        if [row, of].iter().any(|count| !(1..=MAX_SAMPLES).contains(count)) {
            self.mistake(path, format!("samples have to be from 1 to {MAX_SAMPLES}"));
        }
        Some(Condition { input, test, samples: row })
    }

    pub(super) fn forecast(&mut self, it: &definition::Forecast, on: &On) -> Option<Inputs> {
        let horizon = self.positive(Some(&it.horizon), "forecast.horizon");
        let history = self.positive(Some(&it.history), "forecast.history");
        let mut seasons = Vec::new();
        for (index, season) in it.seasons.iter().enumerate() {
            seasons.extend(self.positive(Some(season), &format!("forecast.seasons[{index}]")));
        }
        let source = self.input(&it.of, on, "forecast.of");
        if it.of.schedule.is_some() {
            self.mistake("forecast.of", "a schedule is known beforehand: use it itself");
        }
        if it.of.no_data.is_some() {
            self.mistake("forecast.of.noData", "gaps of the past are bridged: take it out");
        }
        let forecast = match Forecast::new(horizon?, seasons, history?) {
            Ok(forecast) => forecast,
            Err(error) => {
                self.mistake("forecast", error.to_string());
                return None;
            }
        };
        let input = Input { name: "of".to_owned(), source: source?, no_data: NoData::Error };
        Some(Inputs { inputs: vec![input], outcome: Outcome::Forecast(forecast) })
    }
}

/// The inputs that a decision has unless others are written.
fn usual_inputs(preset: Option<&str>) -> BTreeMap<&'static str, definition::Input> {
    let usage = || Some(ResourceUsage::default());
    let preset = || preset.map(str::to_owned);
    let none = definition::Input::default;
    let mut inputs = BTreeMap::from([
        ("cpu", definition::Input { cpu: usage(), ..none() }),
        ("memory", definition::Input { memory: usage(), ..none() }),
    ]);
    if preset().is_some() {
        let rate = RequestRate { preset: preset(), ..RequestRate::default() };
        let ratio = ErrorRatio { preset: preset(), ..ErrorRatio::default() };
        let latency =
            LatencyQuantile { preset: preset(), quantile: 0.95, ..LatencyQuantile::default() };
        inputs.extend([
            ("requestRate", definition::Input { request_rate: Some(rate), ..none() }),
            ("errorRatio", definition::Input { error_ratio: Some(ratio), ..none() }),
            ("responseSeconds", definition::Input { latency_quantile: Some(latency), ..none() }),
        ]);
    }
    inputs
}

/// The default table, as far as there are inputs for it.
fn usual_table(names: &[Arc<str>]) -> Vec<Entry> {
    let index: HashMap<&str, usize> =
        names.iter().zip(0..).map(|(name, index)| (&**name, index)).collect();
    let usual = default_inputs();
    let place = |input: usize| index.get(&**usual.get(input)?).copied();
    let entries = default_table().into_iter().filter_map(|mut entry| {
        for condition in &mut entry.conditions {
            condition.input = place(condition.input)?;
        }
        Some(entry)
    });
    entries.collect()
}

#[cfg(test)]
mod tests;
