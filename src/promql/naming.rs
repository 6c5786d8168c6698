//! Which series a rule takes, and what the API calls their metrics.
//!
//! Behaviour is that of prometheus-adapter's `pkg/naming/metric_namer.go`: expressions are RE2 and
//! not anchored, and a name is the expansion of `as` from the first match, not a replacement
//! within the series' name. An empty name is none.

use regex::Regex;

use super::re2::{self, PatternError};

/// Why a rule cannot name metrics.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamingError {
    /// A filter has to say one thing.
    #[error("a filter has either `is` or `isNot`")]
    Filter,
    /// `matches` has several groups and `as` does not choose.
    #[error("`matches` has {0} groups, so `as` has to say which of them make the name")]
    As(usize),
    /// An expression cannot be used.
    #[error(transparent)]
    Pattern(#[from] PatternError),
}

/// A condition on the names of series.
#[derive(Clone, Debug)]
pub struct Filter {
    regex: Regex,
    positive: bool,
}

impl Filter {
    /// Compiles an entry of `seriesFilters`; an empty text counts as absent.
    pub fn compile(is: &str, is_not: &str) -> Result<Self, NamingError> {
        let (pattern, positive) = match (is, is_not) {
            ("", "") => return Err(NamingError::Filter),
            (is, "") => (is, true),
            ("", is_not) => (is_not, false),
            _ => return Err(NamingError::Filter),
        };
        Ok(Self { regex: re2::compile(pattern)?, positive })
    }

    /// Whether a series passes.
    pub fn passes(&self, series: &str) -> bool {
        self.regex.is_match(series) == self.positive
    }
}

/// How the names of series become names of metrics.
#[derive(Clone, Debug)]
pub struct Namer {
    matches: Regex,
    pieces: Vec<Piece>,
    unknown: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Group(usize),
}

impl Namer {
    /// Compiles `name.matches` (empty: everything) and `name.as` (empty: the only group, or the
    /// whole match where there is no group).
    pub fn compile(matches: &str, as_: &str) -> Result<Self, NamingError> {
        let matches = re2::compile(if matches.is_empty() { ".*" } else { matches })?;
        let as_ = match (as_, matches.captures_len() - 1) {
            ("", 0) => "$0",
            ("", 1) => "$1",
            ("", groups) => return Err(NamingError::As(groups)),
            _ => as_,
        };
        let (pieces, unknown) = expansion(as_, &matches);
        Ok(Self { matches, pieces, unknown })
    }

    /// The metric's name, `None` where the series does not match or nothing is left of its name.
    pub fn name(&self, series: &str) -> Option<String> {
        let captures = self.matches.captures(series)?;
        let mut name = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Literal(text) => name.push_str(text),
                Piece::Group(group) => {
                    name.push_str(captures.get(*group).map_or("", |found| found.as_str()));
                }
            }
        }
        (!name.is_empty()).then_some(name)
    }

    /// The name that every series gets, where `as` names no group.
    pub fn constant(&self) -> Option<String> {
        let literals = self.pieces.iter().map(|piece| match piece {
            Piece::Literal(text) => Some(text.as_str()),
            Piece::Group(_) => None,
        });
        literals.collect()
    }

    /// The groups that `as` names and `matches` does not have; they expand to nothing.
    pub fn unknown_groups(&self) -> &[String] {
        &self.unknown
    }
}

/// Reads `as` as Go's `Regexp.Expand` does: `$name` takes as many letters, digits and underscores
/// as there are, so that `$1_x` is a group called `1_x`; `$$` is a dollar, and a dollar that
/// begins nothing is itself. The second answer are the groups that do not exist.
fn expansion(template: &str, regex: &Regex) -> (Vec<Piece>, Vec<String>) {
    let (mut pieces, mut unknown) = (Vec::new(), Vec::new());
    let mut literal = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('$') {
        literal.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            literal.push('$');
            rest = tail;
        } else if let Some((name, tail)) = group_name(after) {
            pieces.push(Piece::Literal(std::mem::take(&mut literal)));
            match group(name, regex) {
                Some(index) => pieces.push(Piece::Group(index)),
                None => unknown.push(name.to_owned()),
            }
            rest = tail;
        } else {
            literal.push('$');
            rest = after;
        }
    }
    literal.push_str(rest);
    pieces.push(Piece::Literal(literal));
    pieces.retain(|piece| *piece != Piece::Literal(String::new()));
    (pieces, unknown)
}

fn group_name(after: &str) -> Option<(&str, &str)> {
    let (body, braced) = after.strip_prefix('{').map_or((after, false), |body| (body, true));
    let end = body.find(|it: char| it != '_' && !it.is_alphanumeric()).unwrap_or(body.len());
    let (name, tail) = body.split_at_checked(end)?;
    let tail = if braced { tail.strip_prefix('}')? } else { tail };
    (!name.is_empty()).then_some((name, tail))
}

fn group(name: &str, regex: &Regex) -> Option<usize> {
    let digits = name.bytes().all(|it| it.is_ascii_digit());
    if digits && (name == "0" || !name.starts_with('0')) {
        return name.parse().ok().filter(|index| *index < regex.captures_len());
    }
    regex.capture_names().position(|other| other == Some(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first three rows are prometheus-adapter's `pkg/naming/regex_matcher_test.go`.
    #[test]
    fn a_filter_finds_its_expression_anywhere_in_the_name() {
        let cases = [
            ("my_.*", "", "my_label", true),
            ("my_.*", "", "your_label", false),
            ("", "my_.*", "my_label", false),
            ("", "my_.*", "your_label", true),
            ("_seconds", "", "http_seconds_total", true),
            ("", "^container_.*_seconds_total$", "container_cpu_seconds_total", false),
        ];
        for (is, is_not, series, passes) in cases {
            let filter = Filter::compile(is, is_not).unwrap();
            assert_eq!(filter.passes(series), passes, "{is} {is_not} {series}");
        }
        assert_eq!(Filter::compile("my_.*", "your_.*").unwrap_err(), NamingError::Filter);
        assert_eq!(Filter::compile("", "").unwrap_err(), NamingError::Filter);
    }

    /// Expected names are those of Go's `Regexp.ExpandString` on the first match.
    #[test]
    fn a_name_is_the_expansion_of_the_first_match() {
        let cases = [
            ("", "", "queue_depth", Some("queue_depth")),
            ("^container_(.*)_seconds_total$", "", "container_cpu_seconds_total", Some("cpu")),
            ("^(.*)_total", "", "http_total_x_total_y", Some("http_total_x")),
            ("^(.*)_total$", "${1}_per_second", "hits_total", Some("hits_per_second")),
            ("^(.*)_total$", "$1_per_second", "hits_total", None),
            ("^(.*)_total$", "$1-rate", "hits_total", Some("hits-rate")),
            ("(?P<what>[a-z]+)_total", "${what}s", "x_hit_total", Some("hits")),
            ("hit", "$0", "some_hits", Some("hit")),
            ("hit", "", "some_hits", Some("hit")),
            ("(a)(b)?", "${2}x$1", "a", Some("xa")),
            ("a", "$$1 $ ${ ${} ${b $", "a", Some("$1 $ ${ ${} ${b $")),
            ("(a)", "$01$9$00${999999999999}z", "a", Some("z")),
            ("", "constant", "anything", Some("constant")),
            ("^(.*)_total$", "", "hits", None),
            ("^(.*)_total$", "", "_total", None),
        ];
        for (matches, as_, series, name) in cases {
            let namer = Namer::compile(matches, as_).unwrap();
            assert_eq!(namer.name(series).as_deref(), name, "{matches} {as_} {series}");
        }
    }

    #[test]
    fn several_groups_need_an_as() {
        assert_eq!(Namer::compile("(a)(b)", "").unwrap_err(), NamingError::As(2));
        assert!(matches!(Namer::compile("(a", ""), Err(NamingError::Pattern(_))));
    }

    #[test]
    fn a_constant_name_and_a_group_that_is_not_there_are_told() {
        let told = |matches, as_| {
            let namer = Namer::compile(matches, as_).unwrap();
            (namer.constant(), namer.unknown_groups().to_vec())
        };
        assert_eq!(told("", "status"), (Some("status".to_owned()), Vec::new()));
        assert_eq!(told("(a)", "$1_x"), (Some(String::new()), vec!["1_x".to_owned()]));
        assert_eq!(told("(a)", "x$1"), (None, Vec::new()));
    }
}
