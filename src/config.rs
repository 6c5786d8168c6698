//! The configuration file: what a person writes, checked and compiled.
//!
//! It is a superset of prometheus-adapter's: `rules`, `externalRules` and `resourceRules` mean what
//! they mean there; `presets` and `signals` declare metrics that people can name, `backends` says whom
//! both may ask, and `admission` what it asks for. Every other key is an error. All mistakes of a file
//! are told at once, each as `FILE:LINE: rules[3].name.as: what is wrong`; only a mistake in the YAML
//! itself ends the reading. Pure: reading the file is somebody else's task.

mod admission;
pub mod backends;
mod compile;
mod file;
mod no_data;
mod places;
mod report;
mod signals;

use std::sync::Arc;

use self::backends::Backend;
use crate::model::policy::Policy;
use crate::promql::resource_rules::ResourceRules;
use crate::promql::rule::Rule;
use crate::signals::preset::Presets;
use crate::signals::signal::Signal;

pub use report::ConfigError;

/// Longest file, in bytes. A Kubernetes `ConfigMap` ends at one megabyte.
pub const MAX_FILE: usize = 4 << 20;

/// A file without mistakes.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The backends that rules and signals may name, besides the one that the flags describe.
    pub backends: Vec<Backend>,
    /// The rules of custom metrics, in file order.
    pub rules: Vec<Arc<Rule>>,
    /// The rules of external metrics, in file order.
    pub external_rules: Vec<Arc<Rule>>,
    /// The rules of resource metrics; `metrics.k8s.io` is served where there are some.
    pub resource_rules: Option<Arc<ResourceRules>>,
    /// The signals, those written first and then those of the presets that are named.
    pub signals: Vec<Arc<Signal>>,
    /// The presets there are, for signals that are declared elsewhere.
    pub presets: Arc<Presets>,
    /// What admission asks for.
    pub admission: Arc<Policy>,
    /// What loads but does not do what it seems to; each names file, line and path.
    pub warnings: Vec<String>,
}

/// Checks and compiles a file. The name is for messages alone.
pub fn parse(file_name: &str, text: &str) -> Result<Config, ConfigError> {
    let mut report = report::Report::new(file_name);
    let file = if text.len() > MAX_FILE {
        let what = format!("the file is longer than {MAX_FILE} bytes");
        Err(report::Problem { line: None, path: String::new(), what })
    } else {
        file::read(text, &mut report)
    };
    let config = match file {
        Ok(file) => compile::config(file, text, &mut report),
        Err(problem) => {
            report.problem(problem);
            Config::default()
        }
    };
    let warnings = report.finish()?;
    Ok(Config { warnings, ..config })
}

#[cfg(test)]
mod tests;
