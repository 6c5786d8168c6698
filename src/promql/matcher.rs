//! Label matchers as prometheus-adapter writes them, byte for byte.
//!
//! The order is that of its `pkg/naming/metrics_query.go`: the selector's requirements sorted by
//! key, then the namespace, then the names of the objects. Values are quoted as Go's `%q` does and
//! never escaped as regular expressions; whoever writes `k in (a.*)` passes the expression on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use regex::Regex;

use crate::model::selector::{Operator, Requirement, Selector};

/// Why a selector has no equivalent in PromQL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The key is no Prometheus label name; prometheus-adapter wrote invalid PromQL
    /// (kubernetes-sigs/prometheus-adapter#323, #364).
    #[error(
        "the selector's key {0:?} cannot be a Prometheus label name, which consists of letters, \
         digits and underscores: select by a label that the series carry"
    )]
    LabelName(String),
    /// An operator that needs values came without.
    #[error("the selector asks for a value of {0:?} but names none")]
    NoValues(String),
    /// Prometheus has no matcher that compares numbers.
    #[error("Prometheus has no matcher for {operator}, which the selector asks of {key:?}")]
    Operator {
        /// The label's key.
        key: String,
        /// `>` or `<`.
        operator: &'static str,
    },
}

/// A comma-separated list of matchers and the values they look for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matchers {
    text: String,
    values: BTreeMap<String, String>,
}

impl Matchers {
    /// The matchers that a selector asks for.
    pub fn of_selector(selector: &Selector) -> Result<Self, MatcherError> {
        let mut matchers = Self::default();
        for requirement in selector.requirements() {
            matchers.require(requirement)?;
        }
        Ok(matchers)
    }

    /// Adds `label="value"`.
    pub fn equal(&mut self, label: &str, value: &str) {
        self.push(label, "=", value.to_owned());
    }

    /// Adds `label="name"` for one name, `label=~"a|b"` for several and nothing for none. Names
    /// are not escaped: as names of objects they hold no metacharacter but the dot.
    pub fn names(&mut self, label: &str, names: &[&str]) {
        match names {
            [] => {}
            [name] => self.push(label, "=", (*name).to_owned()),
            _ => self.push(label, "=~", names.join("|")),
        }
    }

    /// Adds `label=~".+"`: the label is there, whatever its value.
    pub fn any(&mut self, label: &str) {
        self.push(label, "=~", ".+".to_owned());
    }

    /// The matchers as text and the values by label, several joined with `|`.
    pub fn into_parts(self) -> (String, BTreeMap<String, String>) {
        (self.text, self.values)
    }

    fn require(&mut self, requirement: &Requirement) -> Result<(), MatcherError> {
        let Requirement { key, operator, values } = requirement;
        if !is_label_name(key) {
            return Err(MatcherError::LabelName(key.clone()));
        }
        let unsupported = |operator| MatcherError::Operator { key: key.clone(), operator };
        let sign = match operator {
            Operator::GreaterThan => return Err(unsupported(">")),
            Operator::LessThan => return Err(unsupported("<")),
            Operator::Exists => "!=",
            Operator::DoesNotExist => "=",
            _ if values.is_empty() => return Err(MatcherError::NoValues(key.clone())),
            Operator::Equals | Operator::DoubleEquals => "=",
            Operator::NotEquals => "!=",
            Operator::In => "=~",
            Operator::NotIn => "!~",
        };
        self.push(key, sign, values.join("|"));
        Ok(())
    }

    fn push(&mut self, label: &str, sign: &str, value: String) {
        if !self.text.is_empty() {
            self.text.push(',');
        }
        self.text.push_str(label);
        self.text.push_str(sign);
        go_quote(&mut self.text, &value);
        self.values.insert(label.to_owned(), value);
    }
}

/// Whether a text is a label name in every version of Prometheus.
pub fn is_label_name(text: &str) -> bool {
    let mut characters = text.chars();
    characters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
        && characters.all(|other| other.is_ascii_alphanumeric() || other == '_')
}

/// Appends a text as Go's `strconv.Quote` writes it; PromQL reads the same escapes.
pub fn go_quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            _ if is_printable(character) => out.push(character),
            _ => escape(out, u32::from(character)),
        }
    }
    out.push('"');
}

fn escape(out: &mut String, code: u32) {
    let written = match code {
        0..0x20 | 0x7f => write!(out, "\\x{code:02x}"),
        0..0x1_0000 => write!(out, "\\u{code:04x}"),
        _ => write!(out, "\\U{code:08x}"),
    };
    debug_assert!(written.is_ok(), "writing to a string does not fail");
}

/// Go's `strconv.IsPrint` beyond ASCII: letters, marks, numbers, punctuation and symbols.
fn is_printable(character: char) -> bool {
    static PRINTABLE: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"^[\pL\pM\pN\pP\pS]$").ok());
    let mut buffer = [0; 4];
    PRINTABLE.as_ref().is_some_and(|regex| regex.is_match(character.encode_utf8(&mut buffer)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(selector: &str) -> Result<String, MatcherError> {
        Matchers::of_selector(&Selector::parse(selector).unwrap()).map(|it| it.into_parts().0)
    }

    #[test]
    fn every_selector_operator_has_the_matcher_of_prometheus_adapter() {
        let cases = [
            ("k=v", r#"k="v""#),
            ("k==v", r#"k="v""#),
            ("k!=v", r#"k!="v""#),
            ("k in (a)", r#"k=~"a""#),
            ("k in (b,a)", r#"k=~"a|b""#),
            ("k notin (a)", r#"k!~"a""#),
            ("k notin (b,a)", r#"k!~"a|b""#),
            ("k", r#"k!="""#),
            ("!k", r#"k="""#),
            ("z=1,a", r#"a!="",z="1""#),
        ];
        for (selector, matchers) in cases {
            assert_eq!(text_of(selector).as_deref(), Ok(matchers), "{selector}");
        }
    }

    #[test]
    fn what_prometheus_cannot_match_is_refused_by_name() {
        let messages = ["k>3", "k<3", "app.kubernetes.io/name=web"]
            .map(|selector| text_of(selector).unwrap_err().to_string());
        assert_eq!(
            messages,
            [
                "Prometheus has no matcher for >, which the selector asks of \"k\"",
                "Prometheus has no matcher for <, which the selector asks of \"k\"",
                "the selector's key \"app.kubernetes.io/name\" cannot be a Prometheus label name, \
                 which consists of letters, digits and underscores: select by a label that the \
                 series carry",
            ]
        );
    }

    #[test]
    fn names_stand_after_the_namespace_and_in_the_order_given() {
        let mut matchers = Matchers::of_selector(&Selector::parse("verb=GET").unwrap()).unwrap();
        matchers.equal("namespace", "shop");
        matchers.names("pod", &["web-2", "web-1"]);
        matchers.names("node", &[]);
        let (text, values) = matchers.into_parts();
        assert_eq!(text, r#"verb="GET",namespace="shop",pod=~"web-2|web-1""#);
        let expected = [("namespace", "shop"), ("pod", "web-2|web-1"), ("verb", "GET")];
        assert_eq!(values, expected.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }

    /// Expected texts were printed by Go 1.26's `strconv.Quote`.
    #[test]
    fn quoting_is_that_of_go() {
        let cases = [
            ("", r#""""#),
            ("a\"b\\c", r#""a\"b\\c""#),
            ("\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            ("\0\x1b\x7f", r#""\x00\x1b\x7f""#),
            ("é日😀", "\"é日😀\""),
            (
                "\u{80}\u{a0}\u{ad}\u{2028}\u{feff}\u{e000}",
                r#""\u0080\u00a0\u00ad\u2028\ufeff\ue000""#,
            ),
            ("\u{e0001}\u{10ffff}", r#""\U000e0001\U0010ffff""#),
        ];
        for (text, quoted) in cases {
            let mut out = String::new();
            go_quote(&mut out, text);
            assert_eq!(out, quoted);
        }
    }

    proptest! {
        #[test]
        fn a_quoted_text_is_one_line_without_a_bare_quote(text in any::<String>()) {
            let mut out = String::new();
            go_quote(&mut out, &text);
            let inner = out.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap();
            let unescaped = inner.replace("\\\\", "").replace("\\\"", "");
            prop_assert!(!unescaped.contains(['"', '\n', '\r', '\0']));
        }
    }
}
