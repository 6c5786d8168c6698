//! A place in a JSON document that knows its path, which is written out only for an error.

use std::fmt;

use serde_json::{Map, Value};

use super::Unreadable;
use crate::model::quantity::Quantity;

/// The most of an offending text that an error repeats, in characters.
const MAX_SHOWN: usize = 40;

#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    value: &'a Value,
    parent: Option<&'a Self>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl<'a> At<'a> {
    pub(crate) fn root(value: &'a Value) -> Self {
        Self { value, parent: None, step: Step::Key("object") }
    }

    pub(crate) fn value(&self) -> &'a Value {
        self.value
    }

    pub(crate) fn error(&self, what: impl Into<String>) -> Unreadable {
        Unreadable { path: self.to_string(), what: what.into() }
    }

    fn expected(&self, wanted: &str) -> Unreadable {
        let found = match self.value {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.error(format!("expected {wanted}, found {found}"))
    }

    fn map(&self) -> Result<&'a Map<String, Value>, Unreadable> {
        self.value.as_object().ok_or_else(|| self.expected("an object"))
    }

    /// A field; `None` where it is absent or null, which Kubernetes takes for the same.
    pub(crate) fn get<'b>(&'b self, key: &'b str) -> Result<Option<At<'b>>, Unreadable> {
        let value = self.map()?.get(key).filter(|value| !value.is_null());
        Ok(value.map(|value| At { value, parent: Some(self), step: Step::Key(key) }))
    }

    pub(crate) fn need<'b>(&'b self, key: &'b str) -> Result<At<'b>, Unreadable> {
        self.get(key)?.ok_or_else(|| self.error(format!("`{key}` is missing")))
    }

    /// The entries of an object.
    pub(crate) fn entries<'b>(
        &'b self,
    ) -> Result<impl Iterator<Item = (&'a str, At<'b>)>, Unreadable> {
        Ok(self.map()?.iter().map(|(key, value)| {
            (key.as_str(), At { value, parent: Some(self), step: Step::Key(key) })
        }))
    }

    /// The items of a list.
    pub(crate) fn items(&self) -> Result<impl Iterator<Item = At<'_>>, Unreadable> {
        let items = self.value.as_array().ok_or_else(|| self.expected("a list"))?;
        let at = |(index, value)| At { value, parent: Some(self), step: Step::Index(index) };
        Ok(items.iter().enumerate().map(at))
    }

    pub(crate) fn text(&self) -> Result<&'a str, Unreadable> {
        self.value.as_str().ok_or_else(|| self.expected("a text"))
    }

    pub(crate) fn number(&self) -> Result<i64, Unreadable> {
        self.value.as_i64().ok_or_else(|| self.expected("a whole number"))
    }

    pub(crate) fn flag(&self) -> Result<bool, Unreadable> {
        self.value.as_bool().ok_or_else(|| self.expected("true or false"))
    }

    /// A quantity, which may be written as a number too.
    pub(crate) fn quantity(&self) -> Result<Quantity, Unreadable> {
        let read = |text: &str| {
            let shown: String = text.chars().take(MAX_SHOWN).collect();
            Quantity::parse(text).map_err(|error| self.error(format!("{shown:?}: {error}")))
        };
        match self.value {
            Value::String(text) => read(text),
            Value::Number(number) => read(&number.to_string()),
            _ => Err(self.expected("a quantity")),
        }
    }

    /// The text of a field; empty where it is absent.
    pub(crate) fn text_of(&self, key: &str) -> Result<Box<str>, Unreadable> {
        Ok(self.get(key)?.map(|at| at.text().map(Box::from)).transpose()?.unwrap_or_default())
    }
}

/// The path as people write it, with unusual keys quoted.
impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else {
            return match self.step {
                Step::Key(key) => f.write_str(key),
                Step::Index(index) => write!(f, "[{index}]"),
            };
        };
        if parent.parent.is_some() {
            write!(f, "{parent}")?;
        }
        match self.step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) if key.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                let dot = if parent.parent.is_some() { "." } else { "" };
                write!(f, "{dot}{key}")
            }
            Step::Key(key) => {
                let shown: String = key.chars().take(MAX_SHOWN).collect();
                write!(f, "[{shown:?}]")
            }
        }
    }
}
