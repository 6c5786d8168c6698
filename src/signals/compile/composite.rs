//! Composites: their inputs and expression.

use super::{Compiler, compile_leaf, kinds_of, not_one};
use crate::signals::composite::{Composite, is_input_name};
use crate::signals::definition::{self, MAX_INPUTS};
use crate::signals::inputs::{Input, Inputs, Outcome, Source};
use crate::signals::signal::{Kind, On};

impl Compiler<'_> {
    pub(super) fn composite(&mut self, it: &definition::Composite, on: &On) -> Option<Inputs> {
        if it.inputs.is_empty() || it.inputs.len() > MAX_INPUTS {
            let what = format!("there have to be from 1 to {MAX_INPUTS}");
            self.mistake("composite.inputs", what);
            return None;
        }
        let mut inputs = Vec::new();
        let mut is_whole = true;
        for (name, written) in &it.inputs {
            let path = format!("composite.inputs.{name}");
            if !is_input_name(name) {
                let what = "no expression can use this name: write letters, digits and underscores";
                self.mistake(path.clone(), what);
                is_whole = false;
                continue;
            }
            let no_data = self.no_data(written.no_data.as_ref(), &format!("{path}.noData"));
            match self.input(written, on, &path) {
                Some(source) => inputs.push(Input { name: name.clone(), source, no_data }),
                None => is_whole = false,
            }
        }
        let names: Vec<&str> =
            it.inputs.keys().map(String::as_str).filter(|name| is_input_name(name)).collect();
        let expression = match Composite::compile(&it.expression, &names) {
            Ok(expression) => expression,
            Err(error) => {
                self.mistake("composite.expression", error.to_string());
                return None;
            }
        };
        if let Some(unused) = expression.unused().next() {
            let what = "the expression does not use it: take it out, or use it";
            self.mistake(format!("composite.inputs.{unused}"), what);
        }
        is_whole.then_some(Inputs { inputs, outcome: Outcome::Expression(expression) })
    }

    pub(super) fn input(&mut self, it: &definition::Input, on: &On, path: &str) -> Option<Source> {
        let written = kinds_of!(it, "metric" => metric);
        let [name] = written.as_slice() else {
            self.mistake(path, not_one(&written, "or the metric of another signal"));
            return None;
        };
        if let Some(metric) = &it.metric {
            return Some(Source::Named(metric.clone()));
        }
        let path = format!("{path}.{name}");
        compile_leaf!(self, it, on, path.as_str()).map(Source::Own)
    }
}
