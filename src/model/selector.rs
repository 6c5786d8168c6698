//! Kubernetes label selectors: the query-string form, its canonical text, the form that objects
//! carry it in, and whether it matches a label set.
//!
//! Behaves as apimachinery's `labels.Parse`, down to the text of its errors, which people read in
//! a 400 `Status`. Two differences: a selector is at most [`MAX_LENGTH`] bytes long, and a NUL
//! byte is an invalid character, where Kubernetes takes it for the end of the selector and
//! ignores the rest.

mod parse;
#[cfg(test)]
mod tests;
mod validate;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// The longest selector that is read, in bytes.
pub const MAX_LENGTH: usize = 64 * 1024;

/// A parsed selector: requirements sorted by key, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of its value.
    pub operator: Operator,
    /// The values, sorted and each once; none for the existence operators, one for all others but
    /// `In` and `NotIn`.
    pub values: Vec<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `!k`
    DoesNotExist,
    /// `k==v`: the same as `Equals`, but printed as it was written.
    DoubleEquals,
    /// `k=v`
    Equals,
    /// `k`
    Exists,
    /// `k>n`
    GreaterThan,
    /// `k in (a,b)`
    In,
    /// `k<n`
    LessThan,
    /// `k!=v`
    NotEquals,
    /// `k notin (a,b)`
    NotIn,
}

/// Why a text is no selector, in Kubernetes' words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// `>` and `<` have no place in the object form of a selector.
    #[error("{0:?} isn't supported in label selectors")]
    Inexpressible(&'static str),
    /// A key or a value is not one that a label can have.
    #[error("unable to parse requirement: {0}")]
    Invalid(String),
    /// `in` or `notin` without a list.
    #[error("unable to parse requirement: found '{0}' expected: '('")]
    NoList(String),
    /// A requirement goes on with something that has no place there.
    #[error("unable to parse requirement: found '{found}', expected: {expected}")]
    Requirement {
        /// What stands there; empty at the end of the text.
        found: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// Something between two requirements has no place there.
    #[error("found '{found}', expected: {expected}")]
    Separator {
        /// What stands there; empty at the end of the text.
        found: String,
        /// What could stand there.
        expected: &'static str,
    },
    /// Longer than [`MAX_LENGTH`].
    #[error("the selector is {0} bytes long, more than {MAX_LENGTH}")]
    TooLong(usize),
}

impl Selector {
    /// The selector that matches everything.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Reads the form of the `labelSelector` parameter; a blank text matches everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > MAX_LENGTH {
            return Err(SelectorError::TooLong(text.len()));
        }
        let mut requirements = parse::requirements(text)?;
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// Puts requirements together that were written as fields of an object, as apimachinery's
    /// `LabelSelectorAsSelector` does: keys and values have to be such as a label can have.
    pub fn from_requirements(requirements: Vec<Requirement>) -> Result<Self, SelectorError> {
        let mut requirements = requirements;
        for Requirement { key, operator, values } in &mut requirements {
            values.sort_unstable();
            values.dedup();
            if values.is_empty() && matches!(operator, Operator::In | Operator::NotIn) {
                let rule = "for 'in', 'notin' operators, values set can't be empty";
                return Err(SelectorError::Invalid(format!("values: Invalid value: []: {rule}")));
            }
            let texts: Vec<&str> = values.iter().map(String::as_str).collect();
            validate::key(key)?;
            validate::values(key, *operator, &texts)?;
        }
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(Self { requirements })
    }

    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether it matches everything because it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether every requirement holds for the labels that `value_of` knows.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|requirement| requirement.holds(value_of(&requirement.key)))
    }

    /// The form that objects carry a selector in, as the metrics API echoes it.
    ///
    /// Follows apimachinery's `ParseToLabelSelector`: of several `=` on one key the last one
    /// stays, and `>` and `<` are errors. `!=`, an error there, becomes `NotIn` of its one value.
    pub fn to_label_selector(&self) -> Result<LabelSelector, SelectorError> {
        let mut form = LabelSelector::default();
        for requirement in &self.requirements {
            let operator = match requirement.operator {
                Operator::Equals | Operator::DoubleEquals => {
                    let value = requirement.values.concat();
                    form.match_labels.insert(requirement.key.clone(), value);
                    continue;
                }
                Operator::DoesNotExist => "DoesNotExist",
                Operator::Exists => "Exists",
                Operator::In => "In",
                Operator::NotIn | Operator::NotEquals => "NotIn",
                Operator::GreaterThan => return Err(SelectorError::Inexpressible("gt")),
                Operator::LessThan => return Err(SelectorError::Inexpressible("lt")),
            };
            form.match_expressions.push(LabelSelectorRequirement {
                key: requirement.key.clone(),
                operator,
                values: requirement.values.clone(),
            });
        }
        Ok(form)
    }
}

/// The canonical text, which parses to the same selector.
impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            requirement.fmt(f)?;
        }
        Ok(())
    }
}

impl Requirement {
    fn holds(&self, value: Option<&str>) -> bool {
        let listed = |value| self.values.iter().any(|wanted| wanted == value);
        match self.operator {
            Operator::DoesNotExist => value.is_none(),
            Operator::Exists => value.is_some(),
            Operator::Equals | Operator::DoubleEquals | Operator::In => value.is_some_and(listed),
            Operator::NotEquals | Operator::NotIn => !value.is_some_and(listed),
            Operator::GreaterThan => self.compared(value, |found, bound| found > bound),
            Operator::LessThan => self.compared(value, |found, bound| found < bound),
        }
    }

    /// A label without an integer value compares to nothing.
    fn compared(&self, value: Option<&str>, holds: fn(i64, i64) -> bool) -> bool {
        let integer = |text: &str| text.parse().ok();
        let found = value.and_then(integer);
        let bound = self.values.first().and_then(|text| integer(text));
        found.zip(bound).is_some_and(|(found, bound)| holds(found, bound))
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, between, after) = match self.operator {
            Operator::DoesNotExist => ("!", "", ""),
            Operator::DoubleEquals => ("", "==", ""),
            Operator::Equals => ("", "=", ""),
            Operator::Exists => ("", "", ""),
            Operator::GreaterThan => ("", ">", ""),
            Operator::In => ("", " in (", ")"),
            Operator::LessThan => ("", "<", ""),
            Operator::NotEquals => ("", "!=", ""),
            Operator::NotIn => ("", " notin (", ")"),
        };
        write!(f, "{before}{}{between}", self.key)?;
        for (index, value) in self.values.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            f.write_str(value)?;
        }
        f.write_str(after)
    }
}

/// `metav1.LabelSelector`: a selector as a field of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LabelSelector {
    /// Keys with the one value they have to have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// All other requirements, sorted by key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<LabelSelectorRequirement>,
}

/// `metav1.LabelSelectorRequirement`: one condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LabelSelectorRequirement {
    /// The label's key.
    pub key: String,
    /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: &'static str,
    /// The values, sorted; empty for the existence operators.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}
