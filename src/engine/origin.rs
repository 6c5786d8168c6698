//! Who computes a metric: a rule of the file, or a signal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::no_data::NoData;
use crate::promql::rule::Rule;
use crate::signals::signal::Signal;

/// Who computes a metric, as far as whoever reads its values has to know.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A rule.
    Rule(Arc<Rule>),
    /// A signal.
    Signal(Arc<Signal>),
}

/// The same one, by identity.
impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Rule(one), Self::Rule(other)) => Arc::ptr_eq(one, other),
            (Self::Signal(one), Self::Signal(other)) => Arc::ptr_eq(one, other),
            (Self::Rule(_) | Self::Signal(_), _) => false,
        }
    }
}

impl fmt::Display for Origin {
    /// Where it was declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rule(rule) => &rule.path,
            Self::Signal(signal) => &signal.origin,
        })
    }
}

impl Origin {
    /// What it answers when there is no data.
    pub fn no_data(&self) -> NoData {
        match self {
            Self::Rule(rule) => rule.no_data,
            Self::Signal(signal) => signal.no_data,
        }
    }

    /// The span of time that its values are computed over, where it tells.
    pub fn window(&self) -> Option<Duration> {
        match self {
            Self::Rule(rule) => rule.window,
            Self::Signal(signal) => signal.window(),
        }
    }

    /// Whether core kinds are said to be of `/v1`, as prometheus-adapter does.
    pub fn core_api_version_slash(&self) -> bool {
        match self {
            Self::Rule(rule) => rule.compat.core_api_version_slash,
            Self::Signal(_) => false,
        }
    }
}
