//! The part of Go's `text/template` that rules are written in, with `<<` and `>>` as delimiters.
//!
//! Served are field access, `index`, `if`/`else if`/`else`, `with`, `range`, variables, pipelines,
//! parentheses, comments, trim markers, literals, `print`, `printf`, `len`, the comparisons and
//! `and`/`or`/`not`. Everything else is refused when the template is compiled, with its place, and
//! so is every use of a value whose type does not fit: a compiled template fails only on an index
//! beyond the end, a label that is not there, or a bound. What is served renders as Go renders it.

mod functions;
mod lexer;
mod parser;
mod render;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use functions::Function;

/// Longest rendered text.
pub const MAX_OUTPUT: usize = 1 << 20;
/// Longest template: a query longer than this does not fit into a request either.
pub const MAX_TEMPLATE: usize = 1 << 16;

/// Which fields a template may look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// Those of `metricsQuery`: see [`QueryArguments`].
    Query,
    /// Those of `resources.template`: `.Group` and `.Resource`.
    Resource,
}

/// A field of a template's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `.Series`
    Series,
    /// `.LabelMatchers`
    LabelMatchers,
    /// `.LabelValuesByName`
    LabelValuesByName,
    /// `.GroupBy`
    GroupBy,
    /// `.GroupBySlice`
    GroupBySlice,
    /// `.Group`
    Group,
    /// `.Resource`
    Resource,
}

/// What `metricsQuery` is rendered with (prometheus-adapter's `queryTemplateArgs`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueryArguments {
    /// The name of the Prometheus metric.
    pub series: String,
    /// The label matchers, separated by commas.
    pub label_matchers: String,
    /// The values looked for by label, several joined with `|`.
    pub label_values_by_name: BTreeMap<String, String>,
    /// The labels to group by, separated by commas; empty for external metrics.
    pub group_by: String,
    /// The same labels one by one.
    pub group_by_slice: Vec<String>,
}

/// A place in a template's text, both counted from one, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a template cannot be compiled or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// Rendering met something that only the arguments decide.
    #[error("{at} of the template: {what}")]
    Failed {
        /// Where in the template.
        at: Position,
        /// What is wrong.
        what: String,
    },
    /// The template is not served.
    #[error("{at} of the template: {what}")]
    Refused {
        /// Where in the template.
        at: Position,
        /// The construct and what to write in its place.
        what: String,
    },
    /// The rendered text passes its bound.
    #[error("the template renders to more than {MAX_OUTPUT} bytes")]
    TooLong,
    /// The template repeats more than a query can need.
    #[error("the template takes more than {} steps to render", render::MAX_STEPS)]
    TooManySteps,
}

/// A compiled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    nodes: Vec<Node>,
    slots: usize,
    used: BTreeSet<Field>,
}

impl Template {
    /// Compiles a template that may look at the given fields.
    pub fn compile(text: &str, fields: Fields) -> Result<Self, TemplateError> {
        if text.len() > MAX_TEMPLATE {
            return Err(TemplateError::Refused {
                at: Position { line: 1, column: 1 },
                what: format!("it is longer than {MAX_TEMPLATE} bytes"),
            });
        }
        let refused =
            |Refusal { offset, what }| TemplateError::Refused { at: position(text, offset), what };
        let tokens = lexer::tokens(text).map_err(refused)?;
        parser::parse(text, &tokens, fields).map_err(refused)
    }

    /// Renders a template compiled for [`Fields::Query`].
    pub fn render(&self, arguments: &QueryArguments) -> Result<String, TemplateError> {
        render::render(self, render::Root::Query(arguments))
    }

    /// Renders a template compiled for [`Fields::Resource`].
    pub fn render_resource(&self, group: &str, resource: &str) -> Result<String, TemplateError> {
        render::render(self, render::Root::Resource { group, resource })
    }

    /// Whether the template looks at a field at all.
    pub fn uses(&self, field: Field) -> bool {
        self.used.contains(&field)
    }

    /// Whether the template prints a field as it is and does nothing else with it, so that no
    /// value of it makes another text around it.
    pub fn only_prints(&self, field: Field) -> bool {
        self.uses(field) && self.nodes.iter().all(|node| node.only_prints(field))
    }
}

/// A refusal and the byte where the construct begins.
#[derive(Debug)]
struct Refusal {
    offset: usize,
    what: String,
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    Position {
        line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
        column: line.chars().count() + 1,
    }
}

/// One step of rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    /// Text outside of actions.
    Text(String),
    /// `<<expression>>`
    Print { value: Expression, at: Position },
    /// `<<$x := expression>>` and `<<$x = expression>>`
    Set { slot: usize, value: Expression },
    /// `<<if>>` with its `else`.
    If { slot: Option<usize>, condition: Expression, then: Vec<Self>, otherwise: Vec<Self> },
    /// `<<with>>` with its `else`.
    With { slot: Option<usize>, value: Expression, then: Vec<Self>, otherwise: Vec<Self> },
    /// `<<range>>` with its `else`.
    Range {
        key: Option<usize>,
        value: Option<usize>,
        over: Expression,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

impl Node {
    fn only_prints(&self, field: Field) -> bool {
        let all = |nodes: &[Self]| nodes.iter().all(|node| node.only_prints(field));
        match self {
            Self::Text(_) => true,
            Self::Print { value, .. } => *value == Expression::Field(field) || !value.uses(field),
            Self::Set { value, .. } => !value.uses(field),
            Self::If { condition: value, then: one, otherwise: other, .. }
            | Self::With { value, then: one, otherwise: other, .. }
            | Self::Range { over: value, body: one, otherwise: other, .. } => {
                !value.uses(field) && all(one) && all(other)
            }
        }
    }
}

impl Expression {
    fn uses(&self, field: Field) -> bool {
        match self {
            Self::Field(other) => *other == field,
            Self::Key { map, .. } => map.uses(field),
            Self::Call { arguments, .. } | Self::Format { arguments, .. } => {
                arguments.iter().any(|it| it.uses(field))
            }
            Self::Dot
            | Self::Root
            | Self::Text(_)
            | Self::Int(_)
            | Self::Bool(_)
            | Self::Variable(_) => false,
        }
    }
}

/// Something with a value. Types have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Expression {
    Dot,
    Root,
    Text(String),
    Int(i64),
    Bool(bool),
    Variable(usize),
    /// A field of the root.
    Field(Field),
    /// `.LabelValuesByName.name`
    Key {
        map: Box<Self>,
        key: String,
    },
    Call {
        function: Function,
        arguments: Vec<Self>,
        at: Position,
    },
    Format {
        pieces: Vec<functions::Piece>,
        arguments: Vec<Self>,
        at: Position,
    },
}

#[cfg(test)]
mod tests;
