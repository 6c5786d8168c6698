use proptest::prelude::*;
use serde_json::json;

use super::*;

/// What `labels.Parse` of Kubernetes 1.36 says of each input, one per line: `"input" OK -> "text"
/// n=requirements` or `"input" ERR message`. Inputs are written as Go quotes them.
const GOLDEN: &str = include_str!("golden.txt");

#[test]
fn every_recorded_selector_reads_and_prints_as_in_kubernetes() {
    let answer = |line: &str| {
        let end = line.find("\" OK ").or_else(|| line.find("\" ERR ")).unwrap();
        let quoted = line.get(..=end).unwrap();
        let input: String = serde_json::from_str(quoted).unwrap();
        match Selector::parse(&input) {
            Ok(selector) => {
                let count = selector.requirements().len();
                format!("{quoted} OK -> \"{selector}\" n={count}")
            }
            Err(error) => format!("{quoted} ERR {error}"),
        }
    };
    let recorded: Vec<_> = GOLDEN.lines().collect();
    let answers: Vec<_> = recorded.iter().map(|line| answer(line)).collect();
    assert_eq!(answers, recorded);
}

fn error(text: &str) -> String {
    Selector::parse(text).unwrap_err().to_string()
}

/// Inputs from apimachinery's `selector_test.go`; messages worked out from `selector.go`.
#[test]
fn errors_beyond_the_recorded_ones_have_kubernetes_words() {
    let unable = "unable to parse requirement";
    let value_rule = "a valid label must be an empty string or consist of alphanumeric characters, \
        '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  \
        or 'my_value',  or '12345', regex used for validation is \
        '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
    let name_rule = "name part must consist of alphanumeric characters, '-', '_' or '.', and must \
        start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or \
        '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
    let long = "x".repeat(64);
    let cases = [
        ("x==a==b", "found '==', expected: ',' or 'end of string'".to_owned()),
        ("!x=a", "found '=', expected: ',' or 'end of string'".to_owned()),
        ("!", format!("{unable}: found '', expected: identifier")),
        ("!!x", format!("{unable}: found '!', expected: identifier")),
        ("x exists", format!("{unable}: found 'exists', expected: in, notin, =, ==, !=, gt, lt")),
        ("x in", format!("{unable}: found '' expected: '('")),
        ("x in (", format!("{unable}: found '', expected: ',', ')' or identifier")),
        ("x in (=)", format!("{unable}: found '=', expected: ',', ')' or identifier")),
        ("x in (a,=)", format!("{unable}: found '=', expected: ',', or identifier")),
        ("x in (a b)", format!("{unable}: found 'b', expected: ',' or ')'")),
        (
            "x in (-b,-a)",
            format!(
                "{unable}: [values[0][x]: Invalid value: \"-a\": {value_rule}, \
                 values[1][x]: Invalid value: \"-b\": {value_rule}]"
            ),
        ),
        ("/a", format!("{unable}: <nil>: Invalid value: \"/a\": prefix part must be non-empty")),
        (
            "a/",
            format!(
                "{unable}: <nil>: Invalid value: \"a/\": name part must be non-empty; {name_rule}"
            ),
        ),
        (
            &long,
            format!(
                "{unable}: <nil>: Invalid value: \"{long}\": name part must be no more than 63 \
                 bytes"
            ),
        ),
        (
            "a\0\u{7f}\u{200b}é\"=b",
            format!("{unable}: <nil>: Invalid value: \"a\\x00\\x7f\\u200bé\\\"\": {name_rule}"),
        ),
    ];
    for (text, message) in cases {
        assert_eq!(error(text), message, "{text:?}");
    }
    assert_eq!(
        error(&",".repeat(MAX_LENGTH + 1)),
        "the selector is 65537 bytes long, more than 65536"
    );
}

#[test]
fn requirements_are_sorted_by_key_and_values_in_themselves() {
    let selector = Selector::parse("x notin (c,,a,c),b=1,x,a/b!=2").unwrap();
    assert_eq!(selector.to_string(), "a/b!=2,b=1,x notin (,a,c),x");
}

/// Cases from `TestSelectorMatches` of apimachinery's `selector_test.go`.
#[test]
fn a_selector_matches_as_in_kubernetes() {
    let labels = [("foo", "bar"), ("n", "2"), ("notin", "in"), ("word", "two")];
    let matches = |text: &str| {
        let selector = Selector::parse(text).unwrap();
        selector.matches(|key| labels.iter().find(|(name, _)| *name == key).map(|(_, v)| *v))
    };
    let matching = [
        "",
        "foo=bar",
        "foo==bar,n=2",
        "foo!=x",
        "absent!=x",
        "notin=in",
        "foo",
        "!absent",
        "n>1",
        "n<3",
        "foo in (a,bar)",
        "foo notin (a)",
        "absent notin (a)",
    ];
    let others = [
        "foo=x",
        "absent=x",
        "foo=bar,n=3",
        "foo!=bar",
        "absent",
        "!foo",
        "n>2",
        "n<2",
        "absent<2",
        "word>1",
        "foo in (a)",
        "absent in (a)",
        "foo notin (a,bar)",
        "absent=",
    ];
    assert_eq!(matching.map(matches), [true; 13]);
    assert_eq!(others.map(matches), [false; 14]);
}

#[test]
fn the_object_form_has_the_names_of_kubernetes_json() {
    let form = |text: &str| {
        let form = Selector::parse(text).unwrap().to_label_selector()?;
        Ok::<_, SelectorError>(serde_json::to_value(form).unwrap())
    };
    assert_eq!(form(""), Ok(json!({})));
    assert_eq!(form("a=1,b==2"), Ok(json!({"matchLabels": {"a": "1", "b": "2"}})));
    assert_eq!(
        form("c in (y,x),d notin (z),e!=,f,!g,a=1"),
        Ok(json!({
            "matchLabels": {"a": "1"},
            "matchExpressions": [
                {"key": "c", "operator": "In", "values": ["x", "y"]},
                {"key": "d", "operator": "NotIn", "values": ["z"]},
                {"key": "e", "operator": "NotIn", "values": [""]},
                {"key": "f", "operator": "Exists"},
                {"key": "g", "operator": "DoesNotExist"},
            ],
        }))
    );
    assert_eq!(form("a>1").unwrap_err().to_string(), "\"gt\" isn't supported in label selectors");
}

#[test]
fn the_selector_of_everything_is_empty_and_matches() {
    let everything = Selector::everything();
    assert_eq!(Selector::parse(" \t\r\n"), Ok(everything.clone()));
    assert!(everything.is_empty() && everything.matches(|_| None));
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC*|[a-z!=<>(), \\t\\x00é/.-]{0,40}") {
        let _outcome = Selector::parse(&text);
    }

    #[test]
    fn what_is_printed_reads_as_the_same_selector(
        text in prop::collection::vec(
            "!?[ab]/?[ab]|[ab]{1,2}(=|==|!=)[ab1]{0,2}|[ab][<>][1-3]|[ab]{1,2} (not)?in ?\\([ab,]{0,5}\\)",
            0..5,
        )
    ) {
        let selector = Selector::parse(&text.join(" , ")).unwrap();
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }
}
