//! From what a signal needs to PromQL that serves many objects at once: sums by namespace and
//! object, with nothing of one object in the text but the namespaces that are wanted.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use crate::promql::isolate::{IsolateError, isolate};
use crate::promql::matcher::go_quote;
use crate::promql::template::{QueryArguments, Template, TemplateError};

/// The label of a result that tells which of several alternative series it came from.
pub(super) const VARIANT_LABEL: &str = "plimsoll_variant";
/// The labels of a result into which namespace and object are extracted.
const NAMESPACE_LABEL: &str = "plimsoll_namespace";
const OBJECT_LABEL: &str = "plimsoll_object";

/// The label by which a signal of one namespace is kept in it, whatever a person writes.
pub(super) const CONFINING_LABEL: &str = "namespace";

/// Why a signal has no query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// What a person wrote cannot be kept in the signal's namespace.
    #[error(transparent)]
    Isolate(#[from] IsolateError),
    /// What a person wrote does not render.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// For which objects a signal is asked.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope<'a> {
    /// The namespaces; `None` for all.
    pub namespaces: Option<&'a [&'a str]>,
    /// More matchers of each series, as a metric selector of an HPA asks for; may be empty.
    pub matchers: &'a str,
}

/// A query and how its result is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// What the backend is asked.
    pub promql: String,
    /// Which labels of the result say whose a sample is.
    pub labels: ResultLabels,
}

/// Which labels of a result say whose a sample is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultLabels {
    /// The label of the namespace; `None` where the object is not in one, or where `object` holds
    /// it as well.
    pub namespace: Option<Arc<str>>,
    /// The label of the object or pod; `None` where the namespace is the object.
    pub object: Option<Arc<str>>,
    /// Whether each sample is a bucket of a histogram with its bound in `le`.
    pub buckets: bool,
    /// How far in the past the values lie.
    pub offset: Duration,
}

/// Whose a series is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// A label for each; see [`ResultLabels`].
    Labels { namespace: Option<Arc<str>>, object: Option<Arc<str>> },
    /// A label that a regular expression takes namespace (`$1`) and object (`$2`) from.
    Extracted { label: Arc<str>, pattern: Arc<str> },
    /// A label that a regular expression takes `NAMESPACE-OBJECT` from, as `$1`.
    Joined { label: Arc<str>, pattern: Arc<str> },
}

/// A query before its scope is known.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pattern {
    pub(super) key: Arc<Key>,
    pub(super) form: Form,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// Sums over alternative series, the preferred one first.
    Sums { variants: Vec<Series>, reading: Reading },
    /// What a person wrote.
    Written(Template),
}

/// What is summed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    /// Checked matchers, separated by commas; may be empty.
    pub(super) matchers: String,
    pub(super) over: Over,
    pub(super) offset: Duration,
}

/// What becomes of a series before it is summed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The present value.
    Instant,
    /// The mean of a window.
    Average(Duration),
    /// The increase per second in a window.
    Rate(Duration),
}

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Reading {
    Value,
    /// They are kept apart by `le`.
    Buckets,
    /// A quantile of each object's own classic histogram.
    ClassicQuantile(f64),
    /// A quantile of each object's own native histogram.
    NativeQuantile(f64),
}

impl Key {
    /// The labels of the result.
    pub(super) fn result(&self) -> (Option<Arc<str>>, Option<Arc<str>>) {
        match self {
            Self::Labels { namespace, object } => (namespace.clone(), object.clone()),
            Self::Extracted { .. } => (Some(NAMESPACE_LABEL.into()), Some(OBJECT_LABEL.into())),
            Self::Joined { .. } => (None, Some(OBJECT_LABEL.into())),
        }
    }
}

impl Pattern {
    /// The query for a scope.
    pub(super) fn render(
        &self,
        scope: &Scope<'_>,
        confined: Option<&str>,
    ) -> Result<Query, QueryError> {
        let (namespace, object) = self.key.result();
        let (promql, buckets, offset) = match &self.form {
            Form::Sums { variants, reading } => {
                let offset = variants.first().map(|series| series.offset).unwrap_or_default();
                (self.sums(variants, *reading, scope), *reading == Reading::Buckets, offset)
            }
            Form::Written(template) => {
                let promql = self.written(template, scope)?;
                let promql = match confined {
                    Some(namespace) => isolate(&promql, CONFINING_LABEL, namespace)?,
                    None => promql,
                };
                (promql, false, Duration::ZERO)
            }
        };
        Ok(Query { promql, labels: ResultLabels { namespace, object, buckets, offset } })
    }

    fn sums(&self, variants: &[Series], reading: Reading, scope: &Scope<'_>) -> String {
        if let [only] = variants {
            return self.sum(only, reading, scope);
        }
        let mut promql = String::new();
        for (index, series) in variants.iter().enumerate() {
            if index > 0 {
                promql.push_str(" or ");
            }
            let sum = self.sum(series, reading, scope);
            write_to(
                &mut promql,
                format_args!("label_replace({sum}, \"{VARIANT_LABEL}\", \"{index}\", \"\", \"\")"),
            );
        }
        promql
    }

    fn sum(&self, series: &Series, reading: Reading, scope: &Scope<'_>) -> String {
        let (namespace, object) = self.key.result();
        let mut labels: Vec<&str> =
            [&namespace, &object].into_iter().flatten().map(AsRef::as_ref).collect();
        if matches!(reading, Reading::Buckets | Reading::ClassicQuantile(_)) {
            labels.push("le");
        }
        let values = self.extract(&self.values(series, scope));
        let sum = match reading {
            // Whose value does not matter where there is but one object, the whole backend.
            _ if labels.is_empty() => format!("sum({values})"),
            _ => format!("sum by ({}) ({values})", labels.join(", ")),
        };
        match reading {
            Reading::Value | Reading::Buckets => sum,
            Reading::ClassicQuantile(quantile) | Reading::NativeQuantile(quantile) => {
                format!("histogram_quantile({quantile}, {sum})")
            }
        }
    }

    fn values(&self, series: &Series, scope: &Scope<'_>) -> String {
        let mut matchers = self.namespaces(scope);
        for more in [series.matchers.as_str(), scope.matchers] {
            if !more.is_empty() {
                if !matchers.is_empty() {
                    matchers.push(',');
                }
                matchers.push_str(more);
            }
        }
        let mut selector = if matchers.is_empty() {
            series.name.clone()
        } else {
            format!("{}{{{matchers}}}", series.name)
        };
        if let Over::Average(window) | Over::Rate(window) = series.over {
            write_to(&mut selector, format_args!("[{}]", promql_duration(window)));
        }
        if !series.offset.is_zero() {
            write_to(&mut selector, format_args!(" offset {}", promql_duration(series.offset)));
        }
        match series.over {
            Over::Instant => selector,
            Over::Average(_) => format!("avg_over_time({selector})"),
            Over::Rate(_) => format!("rate({selector})"),
        }
    }

    fn extract(&self, values: &str) -> String {
        let replace = |values: &str, to: &str, part: &str, label: &str, pattern: &str| {
            let mut quoted = String::new();
            go_quote(&mut quoted, pattern);
            format!("label_replace({values}, \"{to}\", \"{part}\", \"{label}\", {quoted})")
        };
        match self.key.as_ref() {
            Key::Labels { .. } => values.to_owned(),
            Key::Extracted { label, pattern } => {
                let values = replace(values, NAMESPACE_LABEL, "$1", label, pattern);
                replace(&values, OBJECT_LABEL, "$2", label, pattern)
            }
            Key::Joined { label, pattern } => replace(values, OBJECT_LABEL, "$1", label, pattern),
        }
    }

    /// The matcher of the namespaces, where a label names them.
    fn namespaces(&self, scope: &Scope<'_>) -> String {
        let mut matcher = String::new();
        let (Key::Labels { namespace: Some(label), .. }, Some(namespaces)) =
            (self.key.as_ref(), scope.namespaces)
        else {
            return matcher;
        };
        matcher.push_str(label);
        if let [namespace] = namespaces {
            matcher.push('=');
            go_quote(&mut matcher, namespace);
        } else {
            let escaped: Vec<_> =
                namespaces.iter().map(|namespace| regex::escape(namespace)).collect();
            matcher.push_str("=~");
            go_quote(&mut matcher, &escaped.join("|"));
        }
        matcher
    }

    fn written(&self, template: &Template, scope: &Scope<'_>) -> Result<String, TemplateError> {
        let mut label_matchers = self.namespaces(scope);
        if !scope.matchers.is_empty() {
            if !label_matchers.is_empty() {
                label_matchers.push(',');
            }
            label_matchers.push_str(scope.matchers);
        }
        let (namespace, object) = self.key.result();
        let group_by_slice: Vec<_> =
            [&namespace, &object].into_iter().flatten().map(ToString::to_string).collect();
        template.render(&QueryArguments {
            label_matchers,
            group_by: group_by_slice.join(","),
            group_by_slice,
            ..QueryArguments::default()
        })
    }
}

/// A duration as every version of PromQL reads it.
pub(super) fn promql_duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    if milliseconds.is_multiple_of(1000) {
        format!("{}s", milliseconds / 1000)
    } else {
        format!("{milliseconds}ms")
    }
}

fn write_to(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let written = out.write_fmt(arguments);
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}
