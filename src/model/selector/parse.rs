//! The grammar of selectors: a token ahead, no allocation but for what is kept.
//!
//! Follows apimachinery's `labels.Parser` (pkg/labels/selector.go), which reports the first token
//! that has no place where it stands.

use crate::model::selector::{Operator, Requirement, SelectorError, validate};

/// Reads a whole selector; requirements come in the order they are written in.
pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut requirements = Vec::new();
    let mut parser = Parser { next: "", rest: text };
    parser.advance();
    match parser.next {
        "" => return Ok(requirements),
        token if begins_requirement(token) => {}
        token => return Err(separator(token, "!, identifier, or 'end of string'")),
    }
    loop {
        requirements.push(parser.requirement()?);
        match parser.advance() {
            "" => return Ok(requirements),
            "," if begins_requirement(parser.next) => {}
            "," => return Err(separator(parser.next, "identifier after ','")),
            token => return Err(separator(token, "',' or 'end of string'")),
        }
    }
}

/// A token is the text it is written as: `""` at the end, an operator, a parenthesis, a comma, or
/// a word. `in` and `notin` are words too, since they are keys and values as well as operators.
struct Parser<'a> {
    next: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    /// Takes the next token.
    fn advance(&mut self) -> &'a str {
        let rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let length = match rest.as_bytes() {
            [b'=' | b'!', b'=', ..] => 2,
            [first, ..] if is_special(*first) => 1,
            bytes => bytes
                .iter()
                .position(|byte| is_special(*byte) || matches!(byte, b' ' | b'\t' | b'\r' | b'\n'))
                .unwrap_or(bytes.len()),
        };
        let (following, rest) = rest.split_at(length);
        self.rest = rest;
        std::mem::replace(&mut self.next, following)
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let mut key = self.advance();
        let negated = key == "!";
        if negated {
            key = self.advance();
        }
        if !is_word(key) {
            return Err(unexpected(key, "identifier"));
        }
        validate::key(key)?;
        let (operator, values) = match self.next {
            _ if negated => (Operator::DoesNotExist, Vec::new()),
            "" | "," => (Operator::Exists, Vec::new()),
            _ => match self.operator()? {
                operator @ (Operator::In | Operator::NotIn) => (operator, self.values()?),
                operator => (operator, vec![self.value()?]),
            },
        };
        validate::values(key, operator, &values)?;
        let values = values.into_iter().map(str::to_owned).collect();
        Ok(Requirement { key: key.to_owned(), operator, values })
    }

    fn operator(&mut self) -> Result<Operator, SelectorError> {
        Ok(match self.advance() {
            "!=" => Operator::NotEquals,
            "<" => Operator::LessThan,
            "=" => Operator::Equals,
            "==" => Operator::DoubleEquals,
            ">" => Operator::GreaterThan,
            "in" => Operator::In,
            "notin" => Operator::NotIn,
            token => return Err(unexpected(token, "in, notin, =, ==, !=, gt, lt")),
        })
    }

    /// The value of a comparison; nothing before the end or a comma is the empty value.
    fn value(&mut self) -> Result<&'a str, SelectorError> {
        if matches!(self.next, "" | ",") {
            return Ok("");
        }
        match self.advance() {
            token if is_word(token) => Ok(token),
            token => Err(unexpected(token, "identifier")),
        }
    }

    /// A list in parentheses, sorted, each value once; nothing beside a comma, or between the
    /// parentheses, is the empty value.
    fn values(&mut self) -> Result<Vec<&'a str>, SelectorError> {
        match self.advance() {
            "(" => {}
            token => return Err(SelectorError::NoList(token.to_owned())),
        }
        let mut values = match self.next {
            ")" => vec![""],
            token if token == "," || is_word(token) => self.items()?,
            token => return Err(unexpected(token, "',', ')' or identifier")),
        };
        self.advance();
        values.sort_unstable();
        values.dedup();
        Ok(values)
    }

    /// The items of a list, up to the closing parenthesis.
    fn items(&mut self) -> Result<Vec<&'a str>, SelectorError> {
        let mut items = Vec::new();
        loop {
            match self.advance() {
                "," => {
                    if items.is_empty() || matches!(self.next, "," | ")") {
                        items.push("");
                    }
                    if self.next == ")" {
                        return Ok(items);
                    }
                }
                word if is_word(word) => {
                    items.push(word);
                    match self.next {
                        "," => {}
                        ")" => return Ok(items),
                        token => return Err(unexpected(token, "',' or ')'")),
                    }
                }
                token => return Err(unexpected(token, "',', or identifier")),
            }
        }
    }
}

fn begins_requirement(token: &str) -> bool {
    token == "!" || is_word(token)
}

fn is_word(token: &str) -> bool {
    token.bytes().next().is_some_and(|first| !is_special(first))
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'=' | b'!' | b'(' | b')' | b',' | b'>' | b'<')
}

fn unexpected(found: &str, expected: &'static str) -> SelectorError {
    SelectorError::Requirement { found: found.to_owned(), expected }
}

fn separator(found: &str, expected: &'static str) -> SelectorError {
    SelectorError::Separator { found: found.to_owned(), expected }
}
