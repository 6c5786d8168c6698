//! Cuts a template into text and the tokens of its actions, trim markers already applied.

use std::fmt;

use super::Refusal;

/// Go trims and separates by these alone.
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// A token and where it begins.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) offset: usize,
    /// Whether white space stands before it: `.A .B` are two operands, `.A.B` is one.
    pub(super) spaced: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text outside of actions.
    Text(String),
    /// `<<`
    Open,
    /// `>>`
    Close,
    /// `if`, `index`, `true`
    Word(String),
    /// `.Name`, without its dot
    Field(String),
    /// `.`
    Dot,
    /// `$` (empty) or `$name`, without the dollar
    Variable(String),
    /// A string, escapes resolved.
    String(String),
    Int(i64),
    /// `:=`
    Declare,
    /// `=`
    Assign,
    Comma,
    Pipe,
    LeftParenthesis,
    RightParenthesis,
}

impl Kind {
    /// Whether the token can begin a value.
    pub(super) fn begins_operand(&self) -> bool {
        !matches!(
            self,
            Self::Text(_)
                | Self::Open
                | Self::Close
                | Self::Declare
                | Self::Assign
                | Self::Comma
                | Self::Pipe
                | Self::RightParenthesis
        )
    }
}

/// A token as a message names it.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => f.write_str("text"),
            Self::Open => f.write_str("<<"),
            Self::Close => f.write_str(">>"),
            Self::Word(name) => f.write_str(name),
            Self::Field(name) => write!(f, ".{name}"),
            Self::Dot => f.write_str("a dot"),
            Self::Variable(name) => write!(f, "${name}"),
            Self::String(text) => write!(f, "{text:?}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Declare => f.write_str(":="),
            Self::Assign => f.write_str("="),
            Self::Comma => f.write_str("a comma"),
            Self::Pipe => f.write_str("|"),
            Self::LeftParenthesis => f.write_str("("),
            Self::RightParenthesis => f.write_str(")"),
        }
    }
}

/// All tokens of a template.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Refusal> {
    let mut lexer = Lexer { text, offset: 0, tokens: Vec::new() };
    let mut trim = false;
    while let Some(start) = lexer.rest().find("<<") {
        let action = lexer.offset + start;
        let after = text.get(action + 2..).unwrap_or_default();
        let trims_before = after.strip_prefix('-').is_some_and(|rest| rest.starts_with(SPACES));
        lexer.text_until(action, trim, trims_before);
        lexer.offset = action + if trims_before { 4 } else { 2 };
        trim = if lexer.rest().starts_with("/*") {
            lexer.comment(action)?
        } else {
            lexer.push(action, Kind::Open, false);
            lexer.action(action)?
        };
    }
    lexer.text_until(text.len(), trim, false);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    offset: usize,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.offset..).unwrap_or_default()
    }

    fn push(&mut self, offset: usize, kind: Kind, spaced: bool) {
        self.tokens.push(Token { kind, offset, spaced });
    }

    fn text_until(&mut self, end: usize, trim_start: bool, trim_end: bool) {
        let mut text = self.text.get(self.offset..end).unwrap_or_default();
        if trim_start {
            text = text.trim_start_matches(SPACES);
        }
        if trim_end {
            text = text.trim_end_matches(SPACES);
        }
        if !text.is_empty() {
            self.push(self.offset, Kind::Text(text.to_owned()), false);
        }
        self.offset = end;
    }

    /// Passes a comment; the answer says whether it trims the text after it.
    fn comment(&mut self, action: usize) -> Result<bool, Refusal> {
        let refused = |what: &str| Refusal { offset: action, what: what.to_owned() };
        let body = self.rest();
        let end = body.find("*/").ok_or_else(|| refused("this comment has no end: write */>>"))?;
        let after = body.get(end + 2..).unwrap_or_default();
        let trim =
            after.starts_with(SPACES) && after.get(1..).is_some_and(|it| it.starts_with("->>"));
        if !trim && !after.starts_with(">>") {
            return Err(refused("a comment has to be alone in its action: <</* … */>>"));
        }
        self.offset += end + 2 + if trim { 4 } else { 2 };
        Ok(trim)
    }

    /// Reads an action to its end; the answer says whether it trims the text after it.
    fn action(&mut self, action: usize) -> Result<bool, Refusal> {
        loop {
            let spaces = self.rest().len() - self.rest().trim_start_matches(SPACES).len();
            self.offset += spaces;
            let (start, spaced, rest) = (self.offset, spaces > 0, self.rest());
            if spaced && rest.starts_with("->>") {
                self.offset += 3;
                self.push(start, Kind::Close, spaced);
                return Ok(true);
            }
            if rest.starts_with(">>") {
                self.offset += 2;
                self.push(start, Kind::Close, spaced);
                return Ok(false);
            }
            let (kind, length) = token(rest).map_err(|what| Refusal {
                offset: if rest.is_empty() { action } else { start },
                what,
            })?;
            self.offset += length;
            self.push(start, kind, spaced);
        }
    }
}

/// The token that a text begins with, and its length in bytes.
fn token(rest: &str) -> Result<(Kind, usize), String> {
    let mut characters = rest.chars();
    let Some(first) = characters.next() else {
        return Err("this action has no end: write >>".to_owned());
    };
    let second = characters.next();
    let one = |kind| Ok((kind, 1));
    match first {
        ':' if second == Some('=') => Ok((Kind::Declare, 2)),
        '=' => one(Kind::Assign),
        ',' => one(Kind::Comma),
        '|' => one(Kind::Pipe),
        '(' => one(Kind::LeftParenthesis),
        ')' => one(Kind::RightParenthesis),
        '"' => quoted(rest),
        '`' => raw(rest),
        '\'' => Err("character constants are not supported: write a string".to_owned()),
        '+' | '-' | '0'..='9' => number(rest),
        '.' if second.is_some_and(|it| it.is_ascii_digit()) => number(rest),
        '.' | '$' => {
            let name: String = characters_of_name(rest.get(1..).unwrap_or_default());
            let length = name.len() + 1;
            Ok(match (first, name.is_empty()) {
                ('.', true) => (Kind::Dot, 1),
                ('.', false) => (Kind::Field(name), length),
                _ => (Kind::Variable(name), length),
            })
        }
        _ if first == '_' || first.is_alphabetic() => {
            let name = characters_of_name(rest);
            let length = name.len();
            Ok((Kind::Word(name), length))
        }
        other => Err(format!("{other:?} has no meaning in an action")),
    }
}

fn characters_of_name(text: &str) -> String {
    text.chars().take_while(|it| *it == '_' || it.is_alphanumeric()).collect()
}

/// A whole number as Go writes it: `1_000`, `0x1f`, `0o17`, `017`, `0b1`.
fn number(rest: &str) -> Result<(Kind, usize), String> {
    let signs = usize::from(rest.starts_with(['+', '-']));
    let (sign, unsigned) = rest.split_at_checked(signs).unwrap_or_default();
    let digits: String = unsigned
        .chars()
        .take_while(|it| it.is_ascii_alphanumeric() || matches!(it, '_' | '.'))
        .collect();
    let lower = digits.to_ascii_lowercase().replace('_', "");
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)),
        [b'0', b'o', ..] => (8, lower.get(2..)),
        [b'0', b'b', ..] => (2, lower.get(2..)),
        [b'0', _, ..] => (8, lower.get(1..)),
        _ => (10, Some(lower.as_str())),
    };
    let body = body.filter(|it| !it.starts_with(['+', '-'])).unwrap_or_default();
    let sign = if sign == "-" { "-" } else { "" };
    match i64::from_str_radix(&format!("{sign}{body}"), radix) {
        Ok(value) => Ok((Kind::Int(value), signs + digits.len())),
        Err(_) if digits.is_empty() => Err("a sign has to stand before a number".to_owned()),
        Err(_) => Err(format!("{sign}{digits} is not supported: numbers are whole and of 64 bits")),
    }
}

fn raw(rest: &str) -> Result<(Kind, usize), String> {
    let body = rest.get(1..).unwrap_or_default();
    let end = body.find('`').ok_or("this raw string has no end: write `")?;
    // Go drops carriage returns from raw strings.
    let text = body.get(..end).unwrap_or_default().replace('\r', "");
    Ok((Kind::String(text), end + 2))
}

fn quoted(rest: &str) -> Result<(Kind, usize), String> {
    let mut bytes = Vec::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '"' => {
                let text = String::from_utf8(bytes)
                    .map_err(|_| "the escapes of this string do not spell UTF-8")?;
                return Ok((Kind::String(text), index + 1));
            }
            '\n' => break,
            '\\' => {
                let escape = rest.get(index + 1..).unwrap_or_default();
                let length = unescape(escape, &mut bytes).ok_or_else(|| {
                    let shown: String = escape.chars().take(1).collect();
                    format!("\\{shown} begins no escape that Go knows")
                })?;
                // Everything in an escape is ASCII, so that bytes and characters agree.
                for _ in 0..length {
                    characters.next();
                }
            }
            other => bytes.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Err("this string has no end: write \" on the same line".to_owned())
}

/// Resolves what follows a backslash; the answer is its length.
fn unescape(escape: &str, bytes: &mut Vec<u8>) -> Option<usize> {
    let digits = |from: usize, length: usize, radix: u32| {
        let digits = escape.get(from..from + length)?;
        let all = digits.chars().all(|it| it.is_digit(radix));
        all.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
    };
    let first = escape.chars().next()?;
    let simple = match first {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '"' => b'"',
        'x' => {
            bytes.push(u8::try_from(digits(1, 2, 16)?).ok()?);
            return Some(3);
        }
        '0'..='7' => {
            bytes.push(u8::try_from(digits(0, 3, 8)?).ok()?);
            return Some(3);
        }
        'u' | 'U' => {
            let length = if first == 'u' { 4 } else { 8 };
            let character = char::from_u32(digits(1, length, 16)?)?;
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            return Some(length + 1);
        }
        _ => return None,
    };
    bytes.push(simple);
    Some(1)
}
