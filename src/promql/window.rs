//! The time that a query looks back over, for `windowSeconds` of the API.

use std::time::Duration;

use crate::model::duration;

/// The longest range selector (`[5m]`, `[30m:1m]`) of a query or of its template, strings and
/// comments aside. `None` where there is none, or where one of them is no plain duration, as when
/// a template action or an expression makes it: a window that is not certain is not told.
pub fn range_of(query: &str) -> Option<Duration> {
    let text = without_actions(query);
    let mut longest = None;
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        match character {
            '"' | '\'' | '`' => skip_string(&mut rest, character),
            '#' => rest.by_ref().take_while(|it| *it != '\n').for_each(drop),
            '[' => {
                let range: String = rest.by_ref().take_while(|it| *it != ']').collect();
                let range = range.split(':').next().unwrap_or_default().trim();
                longest = longest.max(Some(duration::parse(range).ok()?));
            }
            _ => {}
        }
    }
    longest
}

fn skip_string(rest: &mut std::str::Chars<'_>, quote: char) {
    while let Some(character) = rest.next() {
        if character == '\\' && quote != '`' {
            rest.next();
        } else if character == quote {
            return;
        }
    }
}

/// The text with every action replaced by a character that no query holds: an action may stand in
/// a string and hold quotes itself.
fn without_actions(template: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, action)) = rest.split_once("<<") {
        text.push_str(before);
        text.push('\0');
        rest = action.split_once(">>").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_range_is_the_window() {
        let cases = [
            ("sum(rate(<<.Series>>{<<.LabelMatchers>>}[5m])) by (<<.GroupBy>>)", Some(300)),
            ("rate(a[1m]) / rate(b[1h30m])", Some(5400)),
            ("max_over_time(rate(a[5m])[30m:1m])", Some(1800)),
            ("irate(\n  a{}[ 4m ]\n)", Some(240)),
            ("sum(a)", None),
            ("a{b=\"[5m]\"}", None),
            ("a{b='\\'[5m]'} # [9m]\n + rate(c[2m])", Some(120)),
            ("a{b=`\\`} + rate(c[2m])", Some(120)),
            ("a{b=\"<<index .LabelValuesByName \"[1m]\">>\"} + rate(c[2m])", Some(120)),
            ("rate(a[<<.Series>>]) + rate(b[5m])", None),
            ("rate(a[5m", Some(300)),
            ("<<.Series [5m]", None),
            ("a[", None),
        ];
        for (query, seconds) in cases {
            assert_eq!(range_of(query), seconds.map(Duration::from_secs), "{query}");
        }
    }
}
