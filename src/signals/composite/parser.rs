//! The text of an expression becomes a tree, by precedence climbing; types are checked on the way.

use super::{
    Comparison, Condition, ExpressionError, MAX_DEPTH, MAX_PARTS, Number, Operator, RESERVED,
};

/// What is wrong, and the byte where it begins.
#[derive(Debug)]
pub(super) struct Refusal {
    offset: usize,
    what: String,
}

impl Refusal {
    pub(super) fn at_position(self, text: &str) -> ExpressionError {
        let before = text.get(..self.offset).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        ExpressionError::Refused {
            line: before.matches('\n').count() + 1,
            column: line.chars().count() + 1,
            what: self.what,
        }
    }
}

/// Parses a whole text into a number.
pub(super) fn parse(text: &str, inputs: &[&str]) -> Result<Number, Refusal> {
    let mut parser = Parser { text, offset: 0, inputs, depth: 0, parts: 0 };
    let start = parser.here();
    let value = parser.choice()?;
    let end = parser.here();
    if end < text.len() {
        return Err(refused(end, "the expression should end here, or an operator is missing"));
    }
    number(value, start)
}

/// A part of either type.
enum Value {
    Number(Number),
    Condition(Condition),
}

/// Operators with two sides, loosest first; of two that begin alike the longer one first.
const LEVELS: &[&[&str]] =
    &[&["||"], &["&&"], &["<=", ">=", "==", "!=", "<", ">"], &["+", "-"], &["*", "/"]];

struct Parser<'a> {
    text: &'a str,
    offset: usize,
    inputs: &'a [&'a str],
    depth: usize,
    parts: usize,
}

impl<'a> Parser<'a> {
    /// `condition ? then : otherwise`, or what binds tighter.
    fn choice(&mut self) -> Result<Value, Refusal> {
        self.enter()?;
        let start = self.here();
        let value = self.level(LEVELS)?;
        let value = if self.takes("?") {
            let condition = condition(value, start)?;
            let then_at = self.here();
            let then = self.choice()?;
            if !self.takes(":") {
                return Err(refused(self.here(), "`:` is missing, as in `condition ? a : b`"));
            }
            let otherwise = self.choice()?;
            chosen(condition, then, otherwise, then_at)?
        } else {
            value
        };
        self.depth -= 1;
        Ok(value)
    }

    fn level(&mut self, levels: &[&[&str]]) -> Result<Value, Refusal> {
        let Some((operators, tighter)) = levels.split_first() else { return self.unary() };
        let start = self.here();
        let mut left = self.level(tighter)?;
        loop {
            let at = self.here();
            let Some(operator) = operators.iter().find(|operator| self.takes(operator)) else {
                return Ok(left);
            };
            self.count(at)?;
            let right_at = self.here();
            let right = self.level(tighter)?;
            left = combine(operator, (left, start), (right, right_at))?;
        }
    }

    fn unary(&mut self) -> Result<Value, Refusal> {
        let at = self.here();
        let is_negated = self.takes("-");
        if !is_negated && (self.rest().starts_with("!=") || !self.takes("!")) {
            return self.primary();
        }
        self.enter()?;
        self.count(at)?;
        let operand_at = self.here();
        let operand = self.unary()?;
        self.depth -= 1;
        Ok(if is_negated {
            Value::Number(Number::Negated(Box::new(number(operand, operand_at)?)))
        } else {
            Value::Condition(Condition::Not(Box::new(condition(operand, operand_at)?)))
        })
    }

    fn primary(&mut self) -> Result<Value, Refusal> {
        let at = self.here();
        self.count(at)?;
        if self.takes("(") {
            let value = self.choice()?;
            return self.close().map(|()| value);
        }
        match self.rest().chars().next() {
            Some('0'..='9' | '.') => self.literal(at),
            Some('a'..='z' | 'A'..='Z' | '_') => self.name(at),
            Some('"' | '\'') => Err(refused(at, "texts have no place here: inputs are numbers")),
            Some('[' | '{') => Err(refused(at, "lists and maps have no place here")),
            Some(other) => Err(refused(at, format!("{other:?} cannot stand here"))),
            None => Err(refused(at, "a number, an input or a function is missing")),
        }
    }

    fn literal(&mut self, at: usize) -> Result<Value, Refusal> {
        let digits = |parser: &mut Self| parser.take_while(|next| next.is_ascii_digit());
        digits(self);
        if self.rest().starts_with('.') {
            self.offset += 1;
            // As in CEL, a point stands before a digit.
            if digits(self).is_empty() {
                return Err(refused(self.offset, "a digit is missing after the point"));
            }
        }
        if self.rest().starts_with(['e', 'E']) {
            self.offset += 1;
            self.offset += usize::from(self.rest().starts_with(['+', '-']));
            digits(self);
        }
        let word = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
        let text = self.text.get(at..self.offset).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(number) if word.is_empty() && number.is_finite() => {
                Ok(Value::Number(Number::Literal(number)))
            }
            _ => Err(refused(at, format!("{text:?} is no number, as 100, 0.5 or 1e3 are"))),
        }
    }

    fn name(&mut self, at: usize) -> Result<Value, Refusal> {
        let name = self.take_while(|next| next.is_ascii_alphanumeric() || next == '_');
        self.here();
        if self.rest().starts_with('(') {
            return self.call(name, at).map(Value::Number);
        }
        if self.rest().starts_with(['.', '[']) {
            let what = format!("{name} has no parts: inputs are numbers");
            return Err(refused(self.offset, what));
        }
        match name {
            "true" | "false" => Ok(Value::Condition(Condition::Literal(name == "true"))),
            _ => match self.inputs.iter().position(|input| *input == name) {
                Some(input) => Ok(Value::Number(Number::Input(input))),
                None => Err(refused(at, self.unknown(name))),
            },
        }
    }

    fn unknown(&self, name: &str) -> String {
        if RESERVED.contains(&name) {
            return format!("{name:?} cannot stand here");
        }
        let inputs = self.inputs.join(", ");
        format!("there is no input {name:?}; there are: {inputs}")
    }

    fn call(&mut self, name: &str, at: usize) -> Result<Number, Refusal> {
        if !matches!(name, "max" | "min" | "clamp") {
            let what = format!("there is no function {name:?}; there are max, min and clamp");
            return Err(refused(at, what));
        }
        let arguments = self.arguments()?;
        match name {
            "max" => Ok(Number::Highest(arguments)),
            "min" => Ok(Number::Lowest(arguments)),
            _ => <[Number; 3]>::try_from(arguments)
                .map(|arguments| Number::Clamped(Box::new(arguments)))
                .map_err(|_| refused(at, "write clamp(value, lowest, highest)")),
        }
    }

    /// One or more, in parentheses.
    fn arguments(&mut self) -> Result<Vec<Number>, Refusal> {
        self.takes("(");
        let mut arguments = Vec::new();
        loop {
            let at = self.here();
            let argument = self.choice()?;
            arguments.push(number(argument, at)?);
            if !self.takes(",") {
                return self.close().map(|()| arguments);
            }
        }
    }

    fn close(&mut self) -> Result<(), Refusal> {
        if self.takes(")") { Ok(()) } else { Err(refused(self.here(), "`)` is missing")) }
    }

    fn enter(&mut self) -> Result<(), Refusal> {
        self.depth += 1;
        if self.depth <= MAX_DEPTH {
            return Ok(());
        }
        Err(refused(self.offset, format!("it is nested more than {MAX_DEPTH} deep")))
    }

    fn count(&mut self, at: usize) -> Result<(), Refusal> {
        self.parts += 1;
        if self.parts <= MAX_PARTS {
            return Ok(());
        }
        Err(refused(at, format!("the expression has more than {MAX_PARTS} parts")))
    }

    /// The place of the next token, behind white space.
    fn here(&mut self) -> usize {
        self.take_while(|next| matches!(next, ' ' | '\t' | '\n' | '\r' | '\x0c'));
        self.offset
    }

    fn takes(&mut self, token: &str) -> bool {
        self.here();
        let is_next = self.rest().starts_with(token);
        self.offset += if is_next { token.len() } else { 0 };
        is_next
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let taken = rest.len() - rest.trim_start_matches(wanted).len();
        self.offset += taken;
        rest.get(..taken).unwrap_or_default()
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }
}

fn refused(offset: usize, what: impl Into<String>) -> Refusal {
    Refusal { offset, what: what.into() }
}

fn number(value: Value, at: usize) -> Result<Number, Refusal> {
    match value {
        Value::Number(number) => Ok(number),
        Value::Condition(_) => {
            Err(refused(at, "this is true or false, where a number is needed: write `… ? 1 : 0`"))
        }
    }
}

fn condition(value: Value, at: usize) -> Result<Condition, Refusal> {
    match value {
        Value::Condition(condition) => Ok(condition),
        Value::Number(_) => {
            Err(refused(at, "this is a number, where true or false is needed: compare it"))
        }
    }
}

fn chosen(
    condition: Condition,
    then: Value,
    otherwise: Value,
    at: usize,
) -> Result<Value, Refusal> {
    let condition = Box::new(condition);
    match (then, otherwise) {
        (Value::Number(then), Value::Number(otherwise)) => {
            Ok(Value::Number(Number::Chosen(condition, Box::new(then), Box::new(otherwise))))
        }
        (Value::Condition(then), Value::Condition(otherwise)) => {
            Ok(Value::Condition(Condition::Chosen(condition, Box::new(then), Box::new(otherwise))))
        }
        _ => Err(refused(at, "one branch is a number and the other is true or false")),
    }
}

fn combine(
    operator: &str,
    (left, left_at): (Value, usize),
    (right, right_at): (Value, usize),
) -> Result<Value, Refusal> {
    if let "||" | "&&" = operator {
        let sides = (Box::new(condition(left, left_at)?), Box::new(condition(right, right_at)?));
        let join = if operator == "&&" { Condition::And } else { Condition::Or };
        return Ok(Value::Condition(join(sides.0, sides.1)));
    }
    let (left, right) = match (left, right) {
        (Value::Condition(left), Value::Condition(right)) if matches!(operator, "==" | "!=") => {
            let same = Condition::Same(operator == "==", Box::new(left), Box::new(right));
            return Ok(Value::Condition(same));
        }
        (left, right) => (Box::new(number(left, left_at)?), Box::new(number(right, right_at)?)),
    };
    let arithmetic = match operator {
        "+" => Some(Operator::Add),
        "-" => Some(Operator::Subtract),
        "*" => Some(Operator::Multiply),
        "/" => Some(Operator::Divide),
        _ => None,
    };
    if let Some(operator) = arithmetic {
        return Ok(Value::Number(Number::Arithmetic(operator, left, right)));
    }
    let comparison = match operator {
        "<" => Comparison::Less,
        "<=" => Comparison::LessOrEqual,
        ">" => Comparison::Greater,
        ">=" => Comparison::GreaterOrEqual,
        "==" => Comparison::Equal,
        _ => Comparison::NotEqual,
    };
    Ok(Value::Condition(Condition::Compared(comparison, left, right)))
}
