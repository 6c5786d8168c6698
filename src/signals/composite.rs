//! An expression over other signals' values: the arithmetic of CEL.
//!
//! The words, operators and precedence are those of the Common Expression Language, which people
//! know from `ValidatingAdmissionPolicy`: `+ - * /`, comparisons, `&& || !`, `c ? a : b`, and the
//! functions `max(a, b, …)`, `min(a, b, …)` and `clamp(value, lowest, highest)`. All numbers are
//! doubles. There are no strings, lists, macros or other functions, and so no cost but the length.
//!
//! It is not the `cel` crate, 0.15, because that (1) checks no types before it evaluates, so that a
//! wrong expression would be found by an autoscaler; (2) as CEL itself, has no `double / int`, so
//! that `rps / 100` fails when it is evaluated; (3) brings a generated ANTLR parser whose runtime
//! is larger than the language that is wanted here. What is accepted here means the same in CEL
//! once its whole numbers are written as `100.0`, but that `&&` and `||` go from left to right.
//!
//! What is not finite on the way is missing data, so that no `max` hides it.

mod parser;

use std::fmt;

/// Longest expression, in bytes.
pub const MAX_LENGTH: usize = 4096;
/// Most parts of an expression: numbers, inputs, operators and calls.
pub const MAX_PARTS: usize = 512;
/// Deepest nesting of parentheses, calls and signs.
pub const MAX_DEPTH: usize = 32;

/// Words that name no input: CEL's literals and reserved words, and the functions.
const RESERVED: &[&str] = &[
    "as",
    "break",
    "clamp",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "max",
    "min",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

/// Why an expression cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// It is longer than [`MAX_LENGTH`].
    #[error("the expression is longer than {MAX_LENGTH} bytes")]
    TooLong,
    /// An input has a name that no expression can use.
    #[error(
        "an input cannot be called {0:?}: write a letter or underscore, then letters, digits or \
         underscores, and no word of the language"
    )]
    Name(String),
    /// Something in the text.
    #[error("line {line}, column {column} of the expression: {what}")]
    Refused {
        /// The line, from one.
        line: usize,
        /// The column in characters, from one.
        column: usize,
        /// What is wrong and what to write.
        what: String,
    },
}

/// Why an expression has no value. Both are missing data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoValue {
    /// An input that counts has none.
    #[error("the input {0:?} has no value")]
    Missing(String),
    /// A division by zero, or an overflow.
    #[error("{0} has no finite value")]
    NotFinite(Operator),
}

/// An operator whose result may not be finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    /// `a + b`
    Add,
    /// `a - b`
    Subtract,
    /// `a * b`
    Multiply,
    /// `a / b`
    Divide,
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add => "a sum",
            Self::Subtract => "a difference",
            Self::Multiply => "a product",
            Self::Divide => "a quotient",
        })
    }
}

/// A compiled expression, whose value is a number.
#[derive(Clone, Debug, PartialEq)]
pub struct Composite {
    inputs: Vec<String>,
    root: Number,
}

impl Composite {
    /// Compiles an expression over inputs of these names.
    pub fn compile(text: &str, inputs: &[&str]) -> Result<Self, ExpressionError> {
        if text.len() > MAX_LENGTH {
            return Err(ExpressionError::TooLong);
        }
        if let Some(name) = inputs.iter().find(|name| !is_input_name(name)) {
            return Err(ExpressionError::Name((*name).to_owned()));
        }
        let root = parser::parse(text, inputs).map_err(|refusal| refusal.at_position(text))?;
        Ok(Self { inputs: inputs.iter().map(|name| (*name).to_owned()).collect(), root })
    }

    /// The value, where each input's stands at its name's place in the list that was compiled.
    /// Only the branch that a condition chooses needs values; a value that is not finite is none.
    pub fn evaluate(&self, values: &[Option<f64>]) -> Result<f64, NoValue> {
        self.root.evaluate(&Inputs { names: &self.inputs, values })
    }

    /// The inputs that the expression never looks at.
    pub fn unused(&self) -> impl Iterator<Item = &str> {
        let mut used = vec![false; self.inputs.len()];
        self.root.mark(&mut used);
        self.inputs.iter().zip(used).filter(|(_, used)| !used).map(|(name, _)| name.as_str())
    }
}

/// Whether an input can have this name.
pub fn is_input_name(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
        && !RESERVED.contains(&name)
}

struct Inputs<'a> {
    names: &'a [String],
    values: &'a [Option<f64>],
}

impl Inputs<'_> {
    fn value(&self, at: usize) -> Result<f64, NoValue> {
        let value = self.values.get(at).copied().flatten().filter(|value| value.is_finite());
        value.ok_or_else(|| NoValue::Missing(self.names.get(at).cloned().unwrap_or_default()))
    }
}

/// A part whose value is a number.
#[derive(Clone, Debug, PartialEq)]
enum Number {
    Literal(f64),
    Input(usize),
    Negated(Box<Self>),
    Arithmetic(Operator, Box<Self>, Box<Self>),
    Chosen(Box<Condition>, Box<Self>, Box<Self>),
    Highest(Vec<Self>),
    Lowest(Vec<Self>),
    /// The value, then the lowest and the highest; the highest wins where they cross.
    Clamped(Box<[Self; 3]>),
}

/// A part whose value is true or false.
#[derive(Clone, Debug, PartialEq)]
enum Condition {
    Literal(bool),
    Not(Box<Self>),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Same(bool, Box<Self>, Box<Self>),
    Compared(Comparison, Box<Number>, Box<Number>),
    Chosen(Box<Self>, Box<Self>, Box<Self>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Number {
    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<f64, NoValue> {
        match self {
            Self::Literal(number) => Ok(*number),
            Self::Input(at) => inputs.value(*at),
            Self::Negated(of) => of.evaluate(inputs).map(|value| -value),
            Self::Arithmetic(operator, left, right) => {
                let (left, right) = (left.evaluate(inputs)?, right.evaluate(inputs)?);
                let value = match operator {
                    Operator::Add => left + right,
                    Operator::Subtract => left - right,
                    Operator::Multiply => left * right,
                    Operator::Divide => left / right,
                };
                if value.is_finite() { Ok(value) } else { Err(NoValue::NotFinite(*operator)) }
            }
            Self::Chosen(condition, then, otherwise) => {
                if condition.evaluate(inputs)? { then } else { otherwise }.evaluate(inputs)
            }
            Self::Highest(of) => fold(of, inputs, f64::max),
            Self::Lowest(of) => fold(of, inputs, f64::min),
            Self::Clamped(of) => {
                let [value, lowest, highest] = of.as_ref();
                let at_least = value.evaluate(inputs)?.max(lowest.evaluate(inputs)?);
                Ok(at_least.min(highest.evaluate(inputs)?))
            }
        }
    }

    fn mark(&self, used: &mut [bool]) {
        match self {
            Self::Literal(_) => {}
            Self::Input(at) => used.get_mut(*at).into_iter().for_each(|used| *used = true),
            Self::Negated(of) => of.mark(used),
            Self::Arithmetic(_, left, right) => {
                left.mark(used);
                right.mark(used);
            }
            Self::Chosen(condition, then, otherwise) => {
                condition.mark(used);
                then.mark(used);
                otherwise.mark(used);
            }
            Self::Highest(of) | Self::Lowest(of) => of.iter().for_each(|part| part.mark(used)),
            Self::Clamped(of) => of.iter().for_each(|part| part.mark(used)),
        }
    }
}

fn fold(
    of: &[Number],
    inputs: &Inputs<'_>,
    pick: impl Fn(f64, f64) -> f64,
) -> Result<f64, NoValue> {
    let (first, rest) = of.split_first().ok_or_else(|| NoValue::Missing(String::new()))?;
    rest.iter().try_fold(first.evaluate(inputs)?, |picked, part| {
        part.evaluate(inputs).map(|value| pick(picked, value))
    })
}

impl Condition {
    fn evaluate(&self, inputs: &Inputs<'_>) -> Result<bool, NoValue> {
        match self {
            Self::Literal(value) => Ok(*value),
            Self::Not(of) => of.evaluate(inputs).map(|value| !value),
            Self::And(left, right) => Ok(left.evaluate(inputs)? && right.evaluate(inputs)?),
            Self::Or(left, right) => Ok(left.evaluate(inputs)? || right.evaluate(inputs)?),
            Self::Same(wanted, left, right) => {
                Ok((left.evaluate(inputs)? == right.evaluate(inputs)?) == *wanted)
            }
            Self::Compared(comparison, left, right) => {
                Ok(comparison.holds(left.evaluate(inputs)?, right.evaluate(inputs)?))
            }
            Self::Chosen(condition, then, otherwise) => {
                if condition.evaluate(inputs)? { then } else { otherwise }.evaluate(inputs)
            }
        }
    }

    fn mark(&self, used: &mut [bool]) {
        match self {
            Self::Literal(_) => {}
            Self::Not(of) => of.mark(used),
            Self::And(left, right) | Self::Or(left, right) | Self::Same(_, left, right) => {
                left.mark(used);
                right.mark(used);
            }
            Self::Compared(_, left, right) => {
                left.mark(used);
                right.mark(used);
            }
            Self::Chosen(condition, then, otherwise) => {
                condition.mark(used);
                then.mark(used);
                otherwise.mark(used);
            }
        }
    }
}

impl Comparison {
    #[expect(clippy::float_cmp, reason = "CEL compares doubles exactly")]
    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Equal => left == right,
            Self::NotEqual => left != right,
        }
    }
}

#[cfg(test)]
mod tests;
