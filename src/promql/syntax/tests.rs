use proptest::prelude::*;

use super::*;

#[test]
fn queries_of_every_form_are_read_and_printed() {
    let queries = [
        r#"sum by (a, b) (rate(x{a="1",b=~"2|3"}[5m] offset 1h))"#,
        "sum by (a) (x) / on (a) group_left (c) y",
        "max_over_time(rate(x[1m])[1h:30s] @ 1700000000)",
        "{__name__=~\"a.*\"} @ start() offset -5m",
        "histogram_quantile(0.95, sum without (pod) (x))",
        "sum by () (a) + ignoring () b and ignoring () c",
        "-(a + b) ^ 2 ^ -1 > bool 0x1f",
        "topk(3, a) or b unless on () c and d",
        "1e3 + 1.5 + .5 + Inf + NaN",
        r#"label_replace(x, "a", "$1", "b", "(.*)\\.\"é\u00e9")"#,
        "up:rate5m{} # a comment ( with [ signs",
        "{'a\\'b'=\"1\"}",
    ];
    for query in queries {
        let tree = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        assert_eq!(parse(&tree.to_string()).as_ref(), Ok(&tree), "{query}");
    }
}

#[test]
fn what_the_parser_panics_on_or_reads_otherwise_is_refused() {
    let long = format!("x{{a=\"{}\"}}", "b".repeat(MAX_QUERY));
    let queries = [
        "x[1e300]",
        "x[Inf]",
        "x offset 1e300",
        "x offset - nan",
        "x[99999999999999999999y]",
        r#"x{a="\é"}"#,
        r#"x{a="\xff"}"#,
        r#"x{a="\377"}"#,
        r#"x{a="\ud800"}"#,
        "010",
        "1_000",
        "x @ -5",
        "x{a=\"",
        "rate(x[5m] smoothed)",
        "unknown_function(x)",
        "sum(",
        "",
        &"(".repeat(100_000),
        &format!("a{}", "+a".repeat(10_000)),
        &format!("{}a", "-".repeat(10_000)),
        &long,
    ];
    for query in queries {
        assert!(parse(query).is_err(), "{query}");
    }
}

#[test]
fn a_tree_of_the_largest_depth_fits_on_a_small_stack() {
    let read = || {
        for query in [
            format!("{}a{}", "(".repeat(MAX_OPERATORS), ")".repeat(MAX_OPERATORS)),
            format!("{}a", "-".repeat(MAX_OPERATORS)),
            format!("a{}", "+a".repeat(MAX_OPERATORS)),
            format!("a{}", " or a".repeat(MAX_OPERATORS)),
            format!("a{}", "^a".repeat(MAX_OPERATORS)),
        ] {
            assert!(parse(&query).is_ok(), "{query}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(read);
    thread.unwrap().join().unwrap();
}

#[test]
fn an_error_names_the_place() {
    assert_eq!(
        parse("é + x[1e9]").unwrap_err().to_string(),
        "character 7 of the query: a number or duration in plain form is expected"
    );
}

/// Pieces of PromQL in any order, which get further into the parser than any text.
fn soup() -> impl Strategy<Value = String> {
    let pieces = [
        "sum",
        " by ",
        " without ",
        "(",
        ")",
        "{",
        "}",
        "[",
        "]",
        ",",
        "a",
        "x",
        "rate",
        "\"v\"",
        "=",
        "=~",
        "!=",
        "!~",
        "+",
        "-",
        "^",
        "*",
        "==",
        ">",
        " bool ",
        " on ",
        " ignoring ",
        " group_left ",
        " offset ",
        "5m",
        "1",
        "0.5",
        "1e3",
        " @ ",
        "start",
        "end",
        ":",
        " or ",
        " and ",
        "topk",
        "'",
        "`",
        "\\",
        "é",
        "#",
        "\n",
        "info",
        "label_replace",
        "Inf",
        "fill",
        ".",
        "0x",
        "e",
        "smoothed",
    ];
    proptest::collection::vec(proptest::sample::select(pieces.to_vec()), 0..24)
        .prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), soup in soup()) {
        drop(parse(&text));
        drop(parse(&soup));
        drop(parse(&format!("x{{a=\"{text}\"}}")));
        drop(parse(&format!("x[{soup}]")));
    }
}
