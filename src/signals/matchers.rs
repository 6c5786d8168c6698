//! Label matchers as a person writes them, `code=~"5..",method!="GET"`: nothing else may come into
//! a query with them, or a team's signal could look beyond its namespace.

use crate::promql::matcher::is_label_name;
use crate::promql::re2;

/// Longest list of matchers, in bytes.
const MAX_LENGTH: usize = 4096;

/// Checks a list of matchers. The answer is the list without spaces around its parts, and the
/// labels that it looks at; the error says what is wrong and where, in characters from one.
pub(super) fn parse(text: &str) -> Result<(String, Vec<String>), String> {
    if text.len() > MAX_LENGTH {
        return Err(format!("it is longer than {MAX_LENGTH} bytes"));
    }
    let mut checked = String::new();
    let mut labels = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let at = |rest: &str| {
            let before = text.len() - rest.len();
            format!("at character {}", text.get(..before).unwrap_or_default().chars().count() + 1)
        };
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let (label, after) = rest.split_at(end.unwrap_or(rest.len()));
        if !is_label_name(label) {
            return Err(format!("{}: there has to be a label, as in code=~\"5..\"", at(rest)));
        }
        let after = after.trim_start();
        let Some(operator) = ["=~", "!~", "!=", "="].into_iter().find(|it| after.starts_with(it))
        else {
            return Err(format!("{}: there has to be =, !=, =~ or !~", at(after)));
        };
        let value = after.get(operator.len()..).unwrap_or_default().trim_start();
        let (quoted, after) = quoted(value)
            .ok_or_else(|| format!("{}: there has to be a value in quotes", at(value)))?;
        if operator.ends_with('~') && !quoted.contains('\\') {
            let pattern = quoted.trim_matches(['"', '\'', '`']);
            re2::compile(pattern).map_err(|error| format!("{}: {error}", at(value)))?;
        }
        if !checked.is_empty() {
            checked.push(',');
        }
        checked.extend([label, operator, quoted]);
        labels.push(label.to_owned());
        rest = after.trim_start();
        match rest.strip_prefix(',') {
            Some(after) => rest = after.trim_start(),
            None if rest.is_empty() => {}
            None => return Err(format!("{}: there has to be a comma", at(rest))),
        }
    }
    Ok((checked, labels))
}

/// A string of PromQL with its quotes, and what comes after.
fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|quote| ['"', '\'', '`'].contains(quote))?;
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' if quote != '`' => drop(characters.next()),
            '\n' if quote != '`' => return None,
            _ if character == quote => return text.split_at_checked(index + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn matchers_are_taken_as_prometheus_takes_them() {
        let cases = [
            ("", Ok(("", vec![]))),
            (r#"a="b""#, Ok((r#"a="b""#, vec!["a"]))),
            (" a = 'b' , c !~ `d\\` ,", Ok(("a='b',c!~`d\\`", vec!["a", "c"]))),
            (r#"a="} or b{c=\"""#, Ok((r#"a="} or b{c=\"""#, vec!["a"]))),
            (r#"a="b"} or up{c="d""#, Err("at character 6: there has to be a comma")),
            ("5xx", Err("at character 1: there has to be a label, as in code=~\"5..\"")),
            ("code", Err("at character 5: there has to be =, !=, =~ or !~")),
            ("code=5", Err("at character 6: there has to be a value in quotes")),
            ("code=\"5", Err("at character 6: there has to be a value in quotes")),
        ];
        for (text, expected) in cases {
            let expected = expected
                .map(|(text, labels)| {
                    (text.to_owned(), labels.into_iter().map(str::to_owned).collect::<Vec<_>>())
                })
                .map_err(str::to_owned);
            assert_eq!(parse(text), expected, "{text}");
        }
        assert!(parse("code=~\"5(\"").unwrap_err().contains("no regular expression"));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_taken_again_as_it_is(text in r#"[a-c=~!"'`,\\ {}5-]{0,20}"#) {
            if let Ok((checked, labels)) = parse(&text) {
                prop_assert_eq!(parse(&checked), Ok((checked, labels)));
            }
        }
    }
}
