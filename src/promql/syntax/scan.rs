//! A look at the tokens of a query before the parser sees it: bounds, and plain forms only.
//!
//! It never takes a query for valid that Prometheus would read otherwise: what it does not know it
//! refuses or leaves to the grammar.

use std::iter::Peekable;
use std::str::CharIndices;

use super::{MAX_OPERATORS, MAX_QUERY, SyntaxError};

/// Refuses texts on which the parser or its callers cannot be trusted.
pub(super) fn scan(text: &str) -> Result<(), SyntaxError> {
    if text.len() > MAX_QUERY {
        return Err(SyntaxError::TooLong);
    }
    let mut scanner = Scanner {
        text,
        characters: text.char_indices().peekable(),
        operators: 0,
        in_brackets: false,
        after_offset: false,
    };
    scanner.run().map_err(|refusal| match refusal {
        Refusal::TooDeep => SyntaxError::TooDeep,
        Refusal::Token(start, what) => SyntaxError::Token {
            at: text.get(..start).map_or(0, |before| before.chars().count()) + 1,
            what,
        },
    })
}

enum Refusal {
    TooDeep,
    /// Where in bytes, and what.
    Token(usize, &'static str),
}

struct Scanner<'a> {
    text: &'a str,
    characters: Peekable<CharIndices<'a>>,
    operators: usize,
    /// Between `[` and `]`, where numbers are durations.
    in_brackets: bool,
    /// Behind `offset` and its sign.
    after_offset: bool,
}

impl Scanner<'_> {
    fn run(&mut self) -> Result<(), Refusal> {
        while let Some((start, first)) = self.characters.next() {
            match first {
                ' ' | '\t' | '\n' | '\r' => {}
                '#' => self.skip(|other| other != '\n'),
                '"' | '\'' | '`' => {
                    self.string(start, first)?;
                    self.after_offset = false;
                }
                '0'..='9' | '.' => self.number(start, first)?,
                _ if is_word(first) => self.word(start)?,
                _ => self.sign(first)?,
            }
        }
        Ok(())
    }

    fn sign(&mut self, sign: char) -> Result<(), Refusal> {
        match sign {
            '[' => self.in_brackets = true,
            ']' => self.in_brackets = false,
            _ => {}
        }
        if !matches!(sign, '+' | '-') {
            self.after_offset = false;
        }
        if matches!(sign, ')' | ']' | '}' | ',') { Ok(()) } else { self.count_operator() }
    }

    fn count_operator(&mut self) -> Result<(), Refusal> {
        self.operators += 1;
        if self.operators > MAX_OPERATORS { Err(Refusal::TooDeep) } else { Ok(()) }
    }

    fn word(&mut self, start: usize) -> Result<(), Refusal> {
        let word = self.rest_of_word(start).to_ascii_lowercase();
        if self.in_brackets || self.after_offset {
            return Err(Refusal::Token(start, "a duration is expected"));
        }
        self.after_offset = word == "offset";
        if matches!(word.as_str(), "and" | "or" | "unless" | "atan2") {
            self.count_operator()?;
        }
        Ok(())
    }

    fn number(&mut self, start: usize, first: char) -> Result<(), Refusal> {
        let mut end = start + first.len_utf8();
        let mut last = first;
        while let Some((at, next)) = self.characters.peek().copied() {
            let is_sign_of_exponent = matches!(next, '+' | '-')
                && matches!(last, 'e' | 'E')
                && !self.text.get(start..end).is_some_and(|number| number.starts_with("0x"));
            if !(next.is_ascii_alphanumeric() || matches!(next, '.' | '_') || is_sign_of_exponent) {
                break;
            }
            self.characters.next();
            (end, last) = (at + next.len_utf8(), next);
        }
        let number = self.text.get(start..end).unwrap_or_default();
        let is_duration_wanted = self.in_brackets || self.after_offset;
        self.after_offset = false;
        if is_duration(number) || is_decimal(number) {
            return Ok(());
        }
        if !is_duration_wanted && (is_hexadecimal(number) || is_scientific(number)) {
            return Ok(());
        }
        Err(Refusal::Token(start, "a number or duration in plain form is expected"))
    }

    fn string(&mut self, start: usize, quote: char) -> Result<(), Refusal> {
        while let Some((at, next)) = self.characters.next() {
            match next {
                _ if next == quote => return Ok(()),
                '\\' if quote != '`' => self.escape(at, quote)?,
                '\n' if quote != '`' => {
                    return Err(Refusal::Token(at, "a string ends in its line"));
                }
                '\0' | char::REPLACEMENT_CHARACTER => {
                    return Err(Refusal::Token(at, "this character cannot be in a string"));
                }
                _ => {}
            }
        }
        Err(Refusal::Token(start, "the string has no end"))
    }

    /// Go's escapes of one character each; bytes beyond ASCII would be part of one.
    fn escape(&mut self, start: usize, quote: char) -> Result<(), Refusal> {
        let refused = Refusal::Token(start, "this escape is not understood");
        let (digits, radix) = match self.characters.next() {
            Some((_, 'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\')) => return Ok(()),
            Some((_, other)) if other == quote => return Ok(()),
            Some((_, 'x')) => (2, 16),
            Some((_, 'u')) => (4, 16),
            Some((_, 'U')) => (8, 16),
            _ => return Err(refused),
        };
        let mut code = 0;
        for _ in 0..digits {
            let digit = self.characters.next().and_then(|(_, digit)| digit.to_digit(radix));
            let Some(digit) = digit else { return Err(refused) };
            code = code * radix + digit;
        }
        let is_character = char::from_u32(code)
            .is_some_and(|character| !matches!(character, '\0' | char::REPLACEMENT_CHARACTER));
        if is_character && (digits > 2 || code < 0x80) { Ok(()) } else { Err(refused) }
    }

    fn rest_of_word(&mut self, start: usize) -> &str {
        self.skip(|other| is_word(other) || other.is_ascii_digit());
        let end = self.characters.peek().map_or(self.text.len(), |(at, _)| *at);
        self.text.get(start..end).unwrap_or_default()
    }

    fn skip(&mut self, wanted: impl Fn(char) -> bool) {
        while self.characters.next_if(|(_, next)| wanted(*next)).is_some() {}
    }
}

/// A colon is part of the name of a metric, and between brackets a sign.
fn is_word(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_'
}

/// `1h30m`, with numbers that fit.
fn is_duration(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
        let digits = rest.len() - unit.len();
        if !(1..=9).contains(&digits) {
            return false;
        }
        let units = ["ms", "s", "m", "h", "d", "w", "y"];
        let Some(after) = units.iter().find_map(|name| unit.strip_prefix(name)) else {
            return false;
        };
        rest = after;
    }
    !text.is_empty()
}

/// `12`, `1.5` or `.5`, of no more digits than a double holds; a leading zero would make it octal.
fn is_decimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    is_digits(whole)
        && is_digits(fraction)
        && !has_leading_zero
        && (1..=15).contains(&(whole.len() + fraction.len()))
}

fn is_hexadecimal(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| {
        (1..=12).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

fn is_scientific(text: &str) -> bool {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return false };
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    is_decimal(mantissa)
        && (1..=3).contains(&exponent.len())
        && exponent.bytes().all(|byte| byte.is_ascii_digit())
}
