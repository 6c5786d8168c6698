//! Go's regular expressions (RE2) in the syntax of the `regex` crate.
//!
//! Both are automata with the same semantics; what differs is spelling. Go's `\d`, `\w`, `\s` and
//! `\b` are ASCII, brackets and `&&` within a class are literal, a brace that begins no repetition
//! is literal, `\Q…\E` quotes and `\101` is octal. Everything else is handed on as it is, so that a
//! few patterns that Go refuses are accepted, such as `a**`, and one that it accepts is refused:
//! two groups of the same name.

use regex::{Regex, RegexBuilder};

/// Longest pattern.
const MAX_PATTERN: usize = 4096;
/// Largest compiled form of one pattern, in bytes.
const MAX_COMPILED: usize = 2 << 20;

/// Why a pattern cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{pattern}` is no regular expression: {reason}")]
pub struct PatternError {
    /// The pattern as it was written.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Compiles a pattern; it matches anywhere unless it is anchored, as in Go.
pub fn compile(pattern: &str) -> Result<Regex, PatternError> {
    let refused = |reason: String| PatternError { pattern: pattern.to_owned(), reason };
    if pattern.len() > MAX_PATTERN {
        let start: String = pattern.chars().take(40).collect();
        let reason = format!("it is longer than {MAX_PATTERN} bytes");
        return Err(PatternError { pattern: format!("{start}…"), reason });
    }
    RegexBuilder::new(&translate(pattern)).size_limit(MAX_COMPILED).nest_limit(100).build().map_err(
        |error| match error {
            regex::Error::CompiledTooBig(_) => refused("it compiles to more than 2 MiB".to_owned()),
            // The crate's syntax error spans lines and ends with the cause.
            other => {
                let text = other.to_string();
                let cause = text.lines().last().unwrap_or_default();
                refused(cause.strip_prefix("error: ").unwrap_or(cause).to_owned())
            }
        },
    )
}

fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    let mut class = Class::Outside;
    while let Some(character) = rest.chars().next() {
        let after = rest.get(character.len_utf8()..).unwrap_or_default();
        rest = match character {
            '\\' => escape(&mut out, after, class != Class::Outside),
            '[' if class == Class::Outside => {
                let (negated, tail) = match after.strip_prefix('^') {
                    Some(tail) => ("[^", tail),
                    None => ("[", after),
                };
                out.push_str(negated);
                class = Class::First;
                rest = tail;
                continue;
            }
            '[' if after.starts_with(':') => {
                let end = after.find(":]").map_or(0, |end| end + 2);
                out.push('[');
                let (name, tail) = after.split_at_checked(end).unwrap_or(("", after));
                out.push_str(name);
                tail
            }
            ']' if class == Class::First => {
                out.push_str("\\]");
                after
            }
            ']' if class == Class::Inside => {
                out.push(']');
                class = Class::Outside;
                rest = after;
                continue;
            }
            '[' | '&' | '~' if class != Class::Outside => {
                out.extend(['\\', character]);
                after
            }
            '-' if class != Class::Outside && after.starts_with('-') => {
                out.push_str("\\-");
                after
            }
            '{' if class == Class::Outside && !is_repetition(after) => {
                out.push_str("\\{");
                after
            }
            other => {
                out.push(other);
                after
            }
        };
        if class == Class::First {
            class = Class::Inside;
        }
    }
    out
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Outside,
    /// Directly after `[` or `[^`, where `]` is literal.
    First,
    Inside,
}

/// Writes the escape that follows a backslash; the answer is what follows the escape.
fn escape<'a>(out: &mut String, after: &'a str, in_class: bool) -> &'a str {
    let mut characters = after.chars();
    let Some(first) = characters.next() else {
        out.push('\\');
        return after;
    };
    let tail = characters.as_str();
    let class = |set: &str, negated: &str| match (in_class, negated.is_empty()) {
        (_, false) => format!("[^{negated}]"),
        (true, true) => set.to_owned(),
        (false, true) => format!("[{set}]"),
    };
    match first {
        'd' => out.push_str(&class("0-9", "")),
        'D' => out.push_str(&class("", "0-9")),
        'w' => out.push_str(&class("0-9A-Za-z_", "")),
        'W' => out.push_str(&class("", "0-9A-Za-z_")),
        's' => out.push_str(&class("\\t\\n\\f\\r ", "")),
        'S' => out.push_str(&class("", "\\t\\n\\f\\r ")),
        'b' if !in_class => out.push_str("(?-u:\\b)"),
        'B' if !in_class => out.push_str("(?-u:\\B)"),
        '<' | '>' => out.push(first),
        'Q' if !in_class => {
            let (quoted, tail) = tail.split_once("\\E").unwrap_or((tail, ""));
            out.push_str(&regex::escape(quoted));
            return tail;
        }
        // A single digit but zero would refer back to a group, which neither side has.
        '0'..='7' if first == '0' || tail.starts_with(|it| matches!(it, '0'..='7')) => {
            let length = after.bytes().take(3).take_while(|it| matches!(it, b'0'..=b'7')).count();
            let (digits, tail) = after.split_at_checked(length).unwrap_or((after, ""));
            let code = u32::from_str_radix(digits, 8).unwrap_or_default();
            let hexadecimal = format!("\\x{{{code:x}}}");
            out.push_str(&hexadecimal);
            return tail;
        }
        // `\p{Greek}` and `\x{1F600}`: the brace belongs to the escape.
        'p' | 'P' | 'x' if tail.starts_with('{') => {
            out.extend(['\\', first]);
            let end = tail.find('}').map_or(tail.len(), |end| end + 1);
            let (name, tail) = tail.split_at_checked(end).unwrap_or((tail, ""));
            out.push_str(name);
            return tail;
        }
        _ => out.extend(['\\', first]),
    }
    tail
}

/// Whether what follows `{` makes a repetition: `{2}`, `{2,}`, `{2,3}`.
fn is_repetition(after: &str) -> bool {
    let Some((body, _)) = after.split_once('}') else {
        return false;
    };
    let number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    match body.split_once(',') {
        Some((least, most)) => number(least) && (most.is_empty() || number(most)),
        None => number(body),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Expected answers are those of Go's `regexp.MatchString`.
    #[test]
    fn patterns_match_what_go_matches() {
        let data = include_str!("../../tests/data/regex/go.json");
        let cases: Vec<(String, String, Option<bool>)> = serde_json::from_str(data).unwrap();
        assert!(cases.len() > 40);
        for (pattern, text, expected) in cases {
            let matches = compile(&pattern).ok().map(|regex| regex.is_match(&text));
            assert_eq!(matches, expected, "{pattern} on {text}");
        }
    }

    #[test]
    fn a_pattern_that_is_wrong_or_too_large_is_refused_with_its_cause() {
        let messages = ["(a", r"(a)\1", "((a{1000}){1000}){1000}", &"x".repeat(5000)]
            .map(|pattern| compile(pattern).unwrap_err().to_string());
        assert_eq!(
            messages.each_ref().map(String::as_str),
            [
                "`(a` is no regular expression: unclosed group",
                "`(a)\\1` is no regular expression: backreferences are not supported",
                "`((a{1000}){1000}){1000}` is no regular expression: it compiles to more than 2 MiB",
                &format!(
                    "`{}…` is no regular expression: it is longer than 4096 bytes",
                    "x".repeat(40)
                ),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_pattern_makes_the_compiler_panic(
            pattern in "([\\[\\]{}()\\\\^$.|?*+&~:-]|\\\\[a-zA-Z]|\\PC){0,20}",
        ) {
            let _compiled = compile(&pattern);
        }
    }
}
