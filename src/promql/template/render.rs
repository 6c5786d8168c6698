//! Runs a compiled template with its arguments, within bounds.

use std::collections::BTreeMap;

use super::functions::{self, Function, Value};
use super::{
    Expression, Field, MAX_OUTPUT, Node, Position, QueryArguments, Template, TemplateError,
};

/// Most nodes that one rendering may run: a query needs some dozens.
pub(super) const MAX_STEPS: usize = 100_000;
/// Most text that `print` and `printf` may make on the way, all calls together.
const MAX_MADE: usize = 4 * MAX_OUTPUT;

/// The arguments of a rendering.
#[derive(Clone, Copy, Debug)]
pub(super) enum Root<'a> {
    Query(&'a QueryArguments),
    Resource { group: &'a str, resource: &'a str },
}

impl<'a> Root<'a> {
    fn field(self, field: Field) -> Value<'a> {
        match (self, field) {
            (Self::Query(it), Field::Series) => Value::Text(&it.series),
            (Self::Query(it), Field::LabelMatchers) => Value::Text(&it.label_matchers),
            (Self::Query(it), Field::LabelValuesByName) => Value::Map(&it.label_values_by_name),
            (Self::Query(it), Field::GroupBy) => Value::Text(&it.group_by),
            (Self::Query(it), Field::GroupBySlice) => Value::List(&it.group_by_slice),
            (Self::Resource { group, .. }, Field::Group) => Value::Text(group),
            (Self::Resource { resource, .. }, Field::Resource) => Value::Text(resource),
            _ => Value::Missing("of another kind of template"),
        }
    }
}

/// How much text may still be made.
#[derive(Debug)]
pub(super) struct TextBudget(usize);

impl TextBudget {
    /// Fails where so much is more than is left.
    pub(super) fn check(&self, bytes: usize) -> Result<(), String> {
        if bytes > self.0 {
            return Err(format!("print and printf made more than {MAX_MADE} bytes"));
        }
        Ok(())
    }

    /// Uses some of it up.
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), String> {
        self.check(bytes)?;
        self.0 -= bytes;
        Ok(())
    }
}

pub(super) fn render(template: &Template, root: Root<'_>) -> Result<String, TemplateError> {
    let mut run = Run {
        root,
        variables: vec![Value::Text(""); template.slots],
        out: String::new(),
        steps: 0,
        budget: TextBudget(MAX_MADE),
    };
    run.nodes(&template.nodes, &Value::Root)?;
    Ok(run.out)
}

struct Run<'a> {
    root: Root<'a>,
    variables: Vec<Value<'a>>,
    out: String,
    steps: usize,
    budget: TextBudget,
}

impl<'a> Run<'a> {
    fn nodes(&mut self, nodes: &'a [Node], dot: &Value<'a>) -> Result<(), TemplateError> {
        nodes.iter().try_for_each(|node| self.node(node, dot))
    }

    fn node(&mut self, node: &'a Node, dot: &Value<'a>) -> Result<(), TemplateError> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return Err(TemplateError::TooManySteps);
        }
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Print { value, at } => {
                let value = self.evaluate(value, dot)?;
                value.write(&mut self.out, false).map_err(|what| failed(*at, what))?;
            }
            Node::Set { slot, value } => {
                let value = self.evaluate(value, dot)?;
                self.set(Some(*slot), &value);
            }
            Node::If { slot, condition, then, otherwise } => {
                let value = self.evaluate(condition, dot)?;
                self.set(*slot, &value);
                return self.nodes(if value.is_true() { then } else { otherwise }, dot);
            }
            Node::With { slot, value, then, otherwise } => {
                let value = self.evaluate(value, dot)?;
                self.set(*slot, &value);
                return if value.is_true() {
                    self.nodes(then, &value)
                } else {
                    self.nodes(otherwise, dot)
                };
            }
            Node::Range { .. } => return self.range(node, dot),
        }
        if self.out.len() > MAX_OUTPUT {
            return Err(TemplateError::TooLong);
        }
        Ok(())
    }

    fn range(&mut self, node: &'a Node, dot: &Value<'a>) -> Result<(), TemplateError> {
        let Node::Range { key, value, over, body, otherwise } = node else {
            return Ok(());
        };
        let over = self.evaluate(over, dot)?;
        if !over.is_true() {
            return self.nodes(otherwise, dot);
        }
        let items: Vec<(Value<'a>, &'a str)> = match over {
            Value::List(list) => {
                (0..).map(Value::Int).zip(list.iter().map(String::as_str)).collect()
            }
            Value::Map(map) => sorted(map).collect(),
            _ => Vec::new(),
        };
        for (item_key, item) in items {
            let item = Value::Text(item);
            self.set(*key, &item_key);
            self.set(*value, &item);
            self.nodes(body, &item)?;
        }
        Ok(())
    }

    fn set(&mut self, slot: Option<usize>, value: &Value<'a>) {
        if let Some(variable) = slot.and_then(|slot| self.variables.get_mut(slot)) {
            *variable = value.clone();
        }
    }

    fn evaluate(
        &mut self,
        expression: &'a Expression,
        dot: &Value<'a>,
    ) -> Result<Value<'a>, TemplateError> {
        Ok(match expression {
            Expression::Dot => dot.clone(),
            Expression::Root => Value::Root,
            Expression::Text(text) => Value::Text(text),
            Expression::Int(number) => Value::Int(*number),
            Expression::Bool(value) => Value::Bool(*value),
            Expression::Field(field) => self.root.field(*field),
            Expression::Variable(slot) => {
                self.variables.get(*slot).cloned().unwrap_or(Value::Missing(""))
            }
            Expression::Key { map, key } => match self.evaluate(map, dot)? {
                Value::Map(map) => map.get(key).map_or(Value::Missing(key), |it| Value::Text(it)),
                other => other,
            },
            Expression::Call { function, arguments, at } => match function {
                Function::And => self.first(arguments, dot, false)?,
                Function::Or => self.first(arguments, dot, true)?,
                _ => {
                    let values = self.all(arguments, dot)?;
                    function.call(&values, &mut self.budget).map_err(|what| failed(*at, what))?
                }
            },
            Expression::Format { pieces, arguments, at } => {
                let values = self.all(arguments, dot)?;
                let made = functions::printf(pieces, &values, &mut self.budget);
                made.map_err(|what| failed(*at, what))?
            }
        })
    }

    fn all(
        &mut self,
        arguments: &'a [Expression],
        dot: &Value<'a>,
    ) -> Result<Vec<Value<'a>>, TemplateError> {
        arguments.iter().map(|argument| self.evaluate(argument, dot)).collect()
    }

    /// The first argument with that truth, else the last one; the rest is not evaluated.
    fn first(
        &mut self,
        arguments: &'a [Expression],
        dot: &Value<'a>,
        truth: bool,
    ) -> Result<Value<'a>, TemplateError> {
        let mut value = Value::Bool(!truth);
        for argument in arguments {
            value = self.evaluate(argument, dot)?;
            if value.is_true() == truth {
                break;
            }
        }
        Ok(value)
    }
}

fn sorted(map: &BTreeMap<String, String>) -> impl Iterator<Item = (Value<'_>, &str)> {
    map.iter().map(|(key, value)| (Value::Text(key), value.as_str()))
}

fn failed(at: Position, what: String) -> TemplateError {
    TemplateError::Failed { at, what }
}
