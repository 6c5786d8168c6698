//! The functions of templates: which types they take, and what they answer.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::Field;
use super::render::TextBudget;
use crate::promql::matcher::go_quote;

/// What is known of a value before there are arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Text,
    Int,
    Bool,
    List,
    Map,
    /// The arguments as a whole.
    Root,
    /// What `and` and `or` of different types give: it can be printed and tested.
    Mixed,
}

impl Type {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "a string",
            Self::Int => "a number",
            Self::Bool => "a bool",
            Self::List => "a list",
            Self::Map => "a map",
            Self::Root => "the whole of the arguments",
            Self::Mixed => "a value of one type or another",
        }
    }

    /// The type of a field.
    pub(super) fn of(field: Field) -> Self {
        match field {
            Field::LabelValuesByName => Self::Map,
            Field::GroupBySlice => Self::List,
            _ => Self::Text,
        }
    }
}

/// A value while a template renders. Texts of the arguments and the template are borrowed.
#[derive(Clone, Debug)]
pub(super) enum Value<'a> {
    Text(&'a str),
    /// A text that `print` or `printf` made.
    Made(Rc<str>),
    Int(i64),
    Bool(bool),
    List(&'a [String]),
    Map(&'a BTreeMap<String, String>),
    Root,
    /// A label that is not there, asked for as a field. Go prints `<no value>`.
    Missing(&'a str),
}

impl Value<'_> {
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Made(text) => Some(text),
            _ => None,
        }
    }

    /// Go's truth: what is empty, zero or absent is false.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Text(_) | Self::Made(_) => self.as_text().is_some_and(|text| !text.is_empty()),
            Self::Int(number) => *number != 0,
            Self::Bool(value) => *value,
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            Self::Root => true,
            Self::Missing(_) => false,
        }
    }

    /// Appends the value as Go's `%v` or, for strings within, `%q` writes it.
    pub(super) fn write(&self, out: &mut String, quote: bool) -> Result<(), String> {
        let text = |out: &mut String, text: &str| {
            if quote {
                go_quote(out, text);
            } else {
                out.push_str(text);
            }
        };
        match self {
            Self::Text(_) | Self::Made(_) => text(out, self.as_text().unwrap_or_default()),
            Self::Int(number) => out.push_str(&number.to_string()),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::List(list) => {
                out.push('[');
                for (index, item) in list.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { " " });
                    text(out, item);
                }
                out.push(']');
            }
            Self::Map(map) => {
                out.push_str("map[");
                for (index, (key, value)) in map.iter().enumerate() {
                    out.push_str(if index == 0 { "" } else { " " });
                    text(out, key);
                    out.push(':');
                    text(out, value);
                }
                out.push(']');
            }
            Self::Root => return Err("the arguments as a whole cannot be printed".to_owned()),
            Self::Missing(name) => return Err(missing(name)),
        }
        Ok(())
    }
}

fn missing(name: &str) -> String {
    format!("the query has no label {name:?}; `index .LabelValuesByName {name:?}` would be empty")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    And,
    Eq,
    Ge,
    Gt,
    Index,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    /// Compiled to a format of its own, so that it is never called.
    Printf,
}

impl Function {
    pub(super) const NAMES: &str =
        "and, eq, ge, gt, index, le, len, lt, ne, not, or, print and printf";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "and" => Self::And,
            "eq" => Self::Eq,
            "ge" => Self::Ge,
            "gt" => Self::Gt,
            "index" => Self::Index,
            "le" => Self::Le,
            "len" => Self::Len,
            "lt" => Self::Lt,
            "ne" => Self::Ne,
            "not" => Self::Not,
            "or" => Self::Or,
            "print" => Self::Print,
            "printf" => Self::Printf,
            _ => return None,
        })
    }

    /// The type of the answer, or why the arguments do not fit.
    pub(super) fn answer(self, name: &str, arguments: &[Type]) -> Result<Type, String> {
        use Type::{Bool, Int, List, Map, Mixed, Root, Text};
        if matches!(self, Self::And | Self::Or | Self::Print) && arguments.contains(&Root) {
            return Err(format!("{name} cannot take the arguments as a whole"));
        }
        match (self, arguments) {
            (Self::Print | Self::Printf, _) | (Self::Index, [Map, Text] | [List, Int]) => Ok(Text),
            (Self::Len, [Text | List | Map]) => Ok(Int),
            (Self::And | Self::Or, [first, rest @ ..]) => {
                Ok(if rest.iter().all(|it| it == first) { *first } else { Mixed })
            }
            (Self::Eq, [first @ (Text | Int | Bool), rest @ ..])
                if !rest.is_empty() && rest.iter().all(|it| it == first) =>
            {
                Ok(Bool)
            }
            (Self::Not, [_])
            | (Self::Ne, [Text, Text] | [Int, Int] | [Bool, Bool])
            | (Self::Lt | Self::Le | Self::Gt | Self::Ge, [Text, Text] | [Int, Int]) => Ok(Bool),
            (_, []) => Err(format!("{name} needs arguments")),
            _ => {
                let given: Vec<_> = arguments.iter().map(|it| it.name()).collect();
                Err(format!("{name} does not take {}", given.join(" and ")))
            }
        }
    }

    /// Calls a function with arguments of the types that [`Self::answer`] allowed. `and` and `or`
    /// are not called: they evaluate no more than they need.
    pub(super) fn call<'a>(
        self,
        arguments: &[Value<'a>],
        budget: &mut TextBudget,
    ) -> Result<Value<'a>, String> {
        let absent = arguments.iter().find(|it| matches!(it, Value::Missing(_)));
        if let Some(Value::Missing(name)) = absent
            && !matches!(self, Self::Not | Self::Eq | Self::Ne)
        {
            return Err(missing(name));
        }
        let compare = |wanted: fn(Ordering) -> bool| match arguments {
            [left, right] => compare(left, right).is_some_and(wanted),
            _ => false,
        };
        Ok(match (self, arguments) {
            (Self::Not, [value]) => Value::Bool(!value.is_true()),
            (Self::Len, [Value::List(list)]) => Value::Int(length(list.len())),
            (Self::Len, [Value::Map(map)]) => Value::Int(length(map.len())),
            (Self::Len, [value]) => Value::Int(length(value.as_text().map_or(0, str::len))),
            (Self::Index, [Value::Map(map), key]) => {
                let found = key.as_text().and_then(|key| map.get(key));
                Value::Text(found.map_or("", String::as_str))
            }
            (Self::Index, [Value::List(list), Value::Int(index)]) => {
                let found = usize::try_from(*index).ok().and_then(|index| list.get(index));
                let length = list.len();
                Value::Text(found.ok_or_else(|| {
                    format!("index {index} lies outside of the list, which has {length} items")
                })?)
            }
            (Self::Eq, [first, rest @ ..]) => {
                Value::Bool(rest.iter().any(|it| compare_equal(first, it)))
            }
            (Self::Ne, _) => Value::Bool(!compare(Ordering::is_eq)),
            (Self::Lt, _) => Value::Bool(compare(Ordering::is_lt)),
            (Self::Le, _) => Value::Bool(compare(Ordering::is_le)),
            (Self::Gt, _) => Value::Bool(compare(Ordering::is_gt)),
            (Self::Ge, _) => Value::Bool(compare(Ordering::is_ge)),
            (Self::Print, _) => print(arguments, budget)?,
            _ => return Err("the arguments do not fit the function".to_owned()),
        })
    }
}

fn length(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

fn compare_equal(left: &Value<'_>, right: &Value<'_>) -> bool {
    compare(left, right).is_some_and(Ordering::is_eq)
}

fn compare(left: &Value<'_>, right: &Value<'_>) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Some(left.cmp(right)),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        // What is absent equals what is absent and nothing else.
        (Value::Missing(_), Value::Missing(_)) => Some(Ordering::Equal),
        _ => Some(left.as_text()?.cmp(right.as_text()?)),
    }
}

/// Go's `fmt.Sprint`: a space between two values of which neither is a string.
fn print<'a>(arguments: &[Value<'a>], budget: &mut TextBudget) -> Result<Value<'a>, String> {
    let mut out = String::new();
    let mut after_text = true;
    for value in arguments {
        let is_text = value.as_text().is_some();
        if !is_text && !after_text {
            out.push(' ');
        }
        value.write(&mut out, false)?;
        budget.check(out.len())?;
        after_text = is_text;
    }
    budget.take(out.len())?;
    Ok(Value::Made(out.into()))
}

/// A piece of a `printf` format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Literal(String),
    Verb(char),
}

/// Reads a `printf` format and checks what it is given.
pub(super) fn format(text: &str, arguments: &[Type]) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut given = arguments.iter();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            literal.push(character);
            continue;
        }
        match characters.next() {
            Some('%') => literal.push('%'),
            Some(verb @ ('s' | 'q' | 'd' | 'v')) => {
                let kind =
                    given.next().ok_or_else(|| format!("printf has no value for %{verb}"))?;
                if !verb_takes(verb, *kind) {
                    return Err(format!("%{verb} does not take {}", kind.name()));
                }
                pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                pieces.push(Piece::Verb(verb));
            }
            Some(other) => {
                return Err(format!("printf's %{other} is not supported: write %s, %q, %d or %v"));
            }
            None => return Err("printf's format ends with a bare %".to_owned()),
        }
    }
    pieces.push(Piece::Literal(literal));
    match given.count() {
        0 => Ok(pieces),
        count => Err(format!("printf has {count} values more than its format")),
    }
}

fn verb_takes(verb: char, kind: Type) -> bool {
    match verb {
        's' | 'q' => matches!(kind, Type::Text | Type::List | Type::Map),
        'd' => kind == Type::Int,
        _ => kind != Type::Root,
    }
}

/// Calls `printf`.
pub(super) fn printf<'a>(
    pieces: &[Piece],
    arguments: &[Value<'a>],
    budget: &mut TextBudget,
) -> Result<Value<'a>, String> {
    let mut out = String::new();
    let mut values = arguments.iter();
    for piece in pieces {
        match piece {
            Piece::Literal(text) => out.push_str(text),
            Piece::Verb(verb) => {
                let Some(value) = values.next() else { continue };
                value.write(&mut out, *verb == 'q')?;
            }
        }
        budget.check(out.len())?;
    }
    budget.take(out.len())?;
    Ok(Value::Made(out.into()))
}
