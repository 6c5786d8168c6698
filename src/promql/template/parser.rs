//! Builds the typed tree of a template from its tokens.
//!
//! Types are known while parsing: every variable, the dot and every field has one, so that what
//! Go would find out while rendering is found out here.

use std::collections::BTreeSet;

use super::functions::{self, Function, Type};
use super::lexer::{Kind, Token};
use super::{Expression, Field, Fields, Node, Refusal, Template, position};

/// Deepest nesting of actions, parentheses and pipeline stages together.
const MAX_DEPTH: usize = 64;

pub(super) fn parse(text: &str, tokens: &[Token], fields: Fields) -> Result<Template, Refusal> {
    let mut parser = Parser {
        text,
        tokens,
        next: 0,
        fields,
        scope: Vec::new(),
        slots: 0,
        depth: 0,
        used: BTreeSet::new(),
    };
    let (nodes, end) = parser.list(Type::Root)?;
    match end {
        Stop::Text => Ok(Template { nodes, slots: parser.slots, used: parser.used }),
        Stop::Else(offset) => refuse(offset, "this else belongs to no if, with or range"),
        Stop::End(offset) => refuse(offset, "this end belongs to no if, with or range"),
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    next: usize,
    fields: Fields,
    /// Variables in sight, the innermost last.
    scope: Vec<Variable<'a>>,
    slots: usize,
    depth: usize,
    used: BTreeSet<Field>,
}

#[derive(Clone, Copy)]
struct Variable<'a> {
    name: &'a str,
    slot: usize,
    kind: Type,
}

/// What ended a list of nodes, and where it stands. After `else` the rest of its action follows.
#[derive(Clone, Copy)]
enum Stop {
    Text,
    Else(usize),
    End(usize),
}

type Typed = (Expression, Type);

fn refuse<T>(offset: usize, what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { offset, what: what.into() })
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.next)
    }

    fn take(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn takes(&mut self, kind: &Kind) -> bool {
        let fits = self.peek().is_some_and(|token| token.kind == *kind);
        self.next += usize::from(fits);
        fits
    }

    fn offset(&self) -> usize {
        self.peek().map_or(self.text.len(), |token| token.offset)
    }

    /// Runs a parser one level deeper.
    fn nested<T>(
        &mut self,
        offset: usize,
        parse: impl FnOnce(&mut Self) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        if self.depth >= MAX_DEPTH {
            return refuse(offset, format!("it nests deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Nodes up to `else`, `end` or the end of the text. What is declared in them ends with them.
    fn list(&mut self, dot: Type) -> Result<(Vec<Node>, Stop), Refusal> {
        let outer = self.scope.len();
        let mut nodes = Vec::new();
        let end = loop {
            let Some(token) = self.take() else {
                break Stop::Text;
            };
            if let Kind::Text(text) = &token.kind {
                nodes.push(Node::Text(text.clone()));
                continue;
            }
            let Some(first) = self.peek() else {
                break Stop::Text;
            };
            match word(first) {
                Some("end") => {
                    self.next += 1;
                    self.close("end")?;
                    break Stop::End(first.offset);
                }
                Some("else") => {
                    self.next += 1;
                    break Stop::Else(first.offset);
                }
                Some(block @ ("if" | "with" | "range")) => {
                    self.next += 1;
                    nodes.push(self.nested(first.offset, |it| it.block(block, first, dot))?);
                }
                _ => nodes.push(self.action(dot)?),
            }
        };
        self.scope.truncate(outer);
        Ok((nodes, end))
    }

    fn block(&mut self, block: &str, opened: &Token, dot: Type) -> Result<Node, Refusal> {
        let outer = self.scope.len();
        let node = if block == "range" {
            self.range(opened, dot)?
        } else {
            self.condition(block == "with", opened, dot)?
        };
        self.scope.truncate(outer);
        Ok(node)
    }

    fn condition(&mut self, with: bool, opened: &Token, dot: Type) -> Result<Node, Refusal> {
        let (slot, value, kind) = self.declared(dot)?;
        self.close(if with { "with" } else { "if" })?;
        let (then, end) = self.list(if with { kind } else { dot })?;
        let otherwise = self.otherwise(!with, opened, end, dot)?;
        Ok(if with {
            Node::With { slot, value, then, otherwise }
        } else {
            Node::If { slot, condition: value, then, otherwise }
        })
    }

    /// `$x := pipeline` or only the pipeline.
    fn declared(&mut self, dot: Type) -> Result<(Option<usize>, Expression, Type), Refusal> {
        let name = self.declaration();
        let (value, kind) = self.pipeline(dot)?;
        Ok((name.map(|name| self.declare(name, kind)), value, kind))
    }

    fn declaration(&mut self) -> Option<&'a str> {
        let [Token { kind: Kind::Variable(name), .. }, Token { kind: Kind::Declare, .. }] =
            self.tokens.get(self.next..self.next + 2)?
        else {
            return None;
        };
        self.next += 2;
        Some(name)
    }

    fn declare(&mut self, name: &'a str, kind: Type) -> usize {
        let slot = self.slots;
        self.slots += 1;
        self.scope.push(Variable { name, slot, kind });
        slot
    }

    fn range(&mut self, opened: &Token, dot: Type) -> Result<Node, Refusal> {
        let mut names = Vec::new();
        if let [Token { kind: Kind::Variable(key), .. }, Token { kind: Kind::Comma, .. }, ..] =
            self.tokens.get(self.next..).unwrap_or_default()
        {
            self.next += 2;
            let offset = self.offset();
            let Some(value) = self.declaration() else {
                return refuse(offset, "range with two variables is written $key, $value := …");
            };
            names.extend([key.as_str(), value]);
        } else {
            names.extend(self.declaration());
        }
        let offset = self.offset();
        let (over, kind) = self.pipeline(dot)?;
        let key_kind = match kind {
            Type::List => Type::Int,
            Type::Map => Type::Text,
            other => return refuse(offset, format!("range does not go over {}", other.name())),
        };
        self.close("range")?;
        let (key, value) = match names.as_slice() {
            [key, value] => {
                (Some(self.declare(key, key_kind)), Some(self.declare(value, Type::Text)))
            }
            [value] => (None, Some(self.declare(value, Type::Text))),
            _ => (None, None),
        };
        let (body, end) = self.list(Type::Text)?;
        let otherwise = self.otherwise(false, opened, end, dot)?;
        Ok(Node::Range { key, value, over, body, otherwise })
    }

    /// What follows the first list of a block, up to and with its `end`.
    fn otherwise(
        &mut self,
        else_if: bool,
        opened: &Token,
        end: Stop,
        dot: Type,
    ) -> Result<Vec<Node>, Refusal> {
        match end {
            Stop::End(_) => return Ok(Vec::new()),
            Stop::Text => return refuse(opened.offset, "this block has no <<end>>"),
            Stop::Else(_) => {}
        }
        if let Some(token) = self.peek().filter(|token| word(token) == Some("if")) {
            if !else_if {
                return refuse(token.offset, "else if belongs to if alone: write else, then if");
            }
            self.next += 1;
            let node = self.nested(token.offset, |it| it.block("if", opened, dot))?;
            return Ok(vec![node]);
        }
        self.close("else")?;
        let (nodes, end) = self.list(dot)?;
        match end {
            Stop::End(_) => Ok(nodes),
            Stop::Text => refuse(opened.offset, "this block has no <<end>>"),
            Stop::Else(offset) => refuse(offset, "this block has an else already"),
        }
    }

    /// An action that is no block: a value to print, or a variable to set.
    fn action(&mut self, dot: Type) -> Result<Node, Refusal> {
        let offset = self.offset();
        if let Some(name) = self.declaration() {
            let (value, kind) = self.pipeline(dot)?;
            self.close("the declaration")?;
            return Ok(Node::Set { slot: self.declare(name, kind), value });
        }
        if let [Token { kind: Kind::Variable(name), .. }, Token { kind: Kind::Assign, .. }, ..] =
            self.tokens.get(self.next..).unwrap_or_default()
        {
            self.next += 2;
            let Variable { slot, kind, .. } = self.variable(name, offset)?;
            let (value, given) = self.pipeline(dot)?;
            if given != kind {
                let (kind, given) = (kind.name(), given.name());
                return refuse(offset, format!("${name} is {kind} and cannot become {given}"));
            }
            self.close("the assignment")?;
            return Ok(Node::Set { slot, value });
        }
        let (value, kind) = self.pipeline(dot)?;
        if kind == Type::Root {
            return refuse(offset, "the arguments as a whole cannot be printed: name a field");
        }
        self.close("the value")?;
        Ok(Node::Print { value, at: position(self.text, offset) })
    }

    fn close(&mut self, after: &str) -> Result<(), Refusal> {
        let offset = self.offset();
        match self.take() {
            Some(Token { kind: Kind::Close, .. }) => Ok(()),
            Some(token) => {
                refuse(offset, format!("{} cannot follow {after}: >> is due", token.kind))
            }
            None => refuse(offset, format!("the template ends after {after}: >> is due")),
        }
    }

    fn pipeline(&mut self, dot: Type) -> Result<Typed, Refusal> {
        let mut piped = None;
        let mut stages = 0;
        loop {
            piped = Some(self.command(dot, piped)?);
            if !self.takes(&Kind::Pipe) {
                break;
            }
            stages += 1;
            if stages > MAX_DEPTH {
                return refuse(self.offset(), format!("it has more than {MAX_DEPTH} stages"));
            }
        }
        let offset = self.offset();
        piped.map_or_else(|| refuse(offset, "a value is missing"), Ok)
    }

    /// One stage of a pipeline: a function with its arguments, or a value.
    fn command(&mut self, dot: Type, piped: Option<Typed>) -> Result<Typed, Refusal> {
        let offset = self.offset();
        let function = self.peek().and_then(word).filter(|it| !matches!(*it, "true" | "false"));
        let Some(name) = function else {
            let value = self.operand(dot)?;
            if piped.is_some() {
                return refuse(offset, "only a function can follow |");
            }
            return match self.peek() {
                Some(token) if token.kind.begins_operand() => refuse(
                    token.offset,
                    "a value takes no arguments: only functions do, and they stand first",
                ),
                _ => Ok(value),
            };
        };
        let Some(function) = Function::named(name) else {
            return refuse(offset, unknown(name));
        };
        self.next += 1;
        let mut arguments = Vec::new();
        while let Some(token) = self.peek().filter(|token| token.kind.begins_operand()) {
            if !token.spaced {
                return refuse(token.offset, "a space is missing before this argument");
            }
            arguments.push(self.operand(dot)?);
        }
        arguments.extend(piped);
        self.call(function, name, arguments, offset)
    }

    fn call(
        &self,
        function: Function,
        name: &str,
        arguments: Vec<Typed>,
        offset: usize,
    ) -> Result<Typed, Refusal> {
        let at = position(self.text, offset);
        let (mut arguments, mut types): (Vec<_>, Vec<_>) = arguments.into_iter().unzip();
        if function == Function::Printf {
            let Some(Expression::Text(format)) = arguments.first() else {
                return refuse(offset, "printf needs a format that is a string in the template");
            };
            types.remove(0);
            let pieces = functions::format(format, &types).or_else(|what| refuse(offset, what))?;
            arguments.remove(0);
            return Ok((Expression::Format { pieces, arguments, at }, Type::Text));
        }
        let kind = function.answer(name, &types).or_else(|what| refuse(offset, what))?;
        Ok((Expression::Call { function, arguments, at }, kind))
    }

    /// A value with the fields that hang on it.
    fn operand(&mut self, dot: Type) -> Result<Typed, Refusal> {
        let Some(token) = self.take() else {
            return refuse(self.text.len(), "a value is missing");
        };
        let mut value = match &token.kind {
            Kind::Dot => (Expression::Dot, dot),
            Kind::Field(name) => self.field((Expression::Dot, dot), name, token.offset)?,
            Kind::Variable(name) if name.is_empty() => (Expression::Root, Type::Root),
            Kind::Variable(name) => {
                let Variable { slot, kind, .. } = self.variable(name, token.offset)?;
                (Expression::Variable(slot), kind)
            }
            Kind::String(text) => (Expression::Text(text.clone()), Type::Text),
            Kind::Int(number) => (Expression::Int(*number), Type::Int),
            Kind::Word(name) => match name.as_str() {
                "true" | "false" => (Expression::Bool(name == "true"), Type::Bool),
                name if Function::named(name).is_some() => {
                    return refuse(token.offset, format!("put {name} in parentheses"));
                }
                name => return refuse(token.offset, unknown(name)),
            },
            Kind::LeftParenthesis => {
                let value = self.nested(token.offset, |it| it.pipeline(dot))?;
                if !self.takes(&Kind::RightParenthesis) {
                    return refuse(token.offset, "this parenthesis is not closed");
                }
                value
            }
            other => {
                return refuse(token.offset, format!("{other} is no value"));
            }
        };
        while let Some(Token { kind: Kind::Field(name), offset, spaced: false }) = self.peek() {
            self.next += 1;
            value = self.field(value, name, *offset)?;
        }
        Ok(value)
    }

    fn field(&mut self, of: Typed, name: &str, offset: usize) -> Result<Typed, Refusal> {
        let (value, kind) = of;
        if kind == Type::Map {
            let key = name.to_owned();
            return Ok((Expression::Key { map: Box::new(value), key }, Type::Text));
        }
        if kind != Type::Root {
            return refuse(offset, format!(".{name} is not there: {} has no fields", kind.name()));
        }
        let Some(field) = known(self.fields, name) else {
            let served = match self.fields {
                Fields::Query => {
                    ".Series, .LabelMatchers, .LabelValuesByName, .GroupBy and .GroupBySlice"
                }
                Fields::Resource => ".Group and .Resource",
            };
            return refuse(offset, format!(".{name} is no field: there are {served}"));
        };
        self.used.insert(field);
        Ok((Expression::Field(field), Type::of(field)))
    }

    fn variable(&self, name: &str, offset: usize) -> Result<Variable<'a>, Refusal> {
        let found = self.scope.iter().rev().find(|variable| variable.name == name);
        found.map_or_else(|| refuse(offset, format!("${name} is not declared")), |it| Ok(*it))
    }
}

fn known(fields: Fields, name: &str) -> Option<Field> {
    Some(match (fields, name) {
        (Fields::Query, "Series") => Field::Series,
        (Fields::Query, "LabelMatchers") => Field::LabelMatchers,
        (Fields::Query, "LabelValuesByName") => Field::LabelValuesByName,
        (Fields::Query, "GroupBy") => Field::GroupBy,
        (Fields::Query, "GroupBySlice") => Field::GroupBySlice,
        (Fields::Resource, "Group") => Field::Group,
        (Fields::Resource, "Resource") => Field::Resource,
        _ => return None,
    })
}

fn word(token: &Token) -> Option<&str> {
    match &token.kind {
        Kind::Word(word) => Some(word),
        _ => None,
    }
}

fn unknown(name: &str) -> String {
    match name {
        "template" | "define" | "block" | "break" | "continue" | "nil" => {
            format!("{name} is not supported")
        }
        "if" | "with" | "range" | "else" | "end" => format!("{name} is no value"),
        _ => format!("the function {name} is not supported: there are {}", Function::NAMES),
    }
}
