use proptest::prelude::*;

use super::*;

#[test]
fn every_selector_is_limited_and_keeps_its_other_matchers() {
    let cases = [
        ("x", r#"x{namespace="shop"}"#),
        ("{__name__=~\".+\"}", r#"{__name__=~".+",namespace="shop"}"#),
        ("x{namespace=\"bank\"}", r#"x{namespace="shop"}"#),
        ("x{namespace=~\".+\",a=\"b\"}[5m]", r#"x{a="b",namespace="shop"}[5m]"#),
        ("x{namespace!=\"shop\",namespace!~\"s.*\"}", r#"x{namespace="shop"}"#),
        (
            "sum(rate(x[5m] offset 1h)) by (a) / on (a) y @ 5",
            r#"sum by (a) (rate(x{namespace="shop"}[5m] offset 1h)) / on (a) y{namespace="shop"} @ 5.000"#,
        ),
        (
            "topk(scalar(y), max_over_time(x[1h:5m]))",
            r#"topk(scalar(y{namespace="shop"}), max_over_time(x{namespace="shop"}[1h:5m]))"#,
        ),
        ("{a=\"1\" or namespace=\"bank\"}", r#"{a="1", namespace="shop" or namespace="shop"}"#),
        ("-(x) ^ 2 or vector(0)", r#"-(x{namespace="shop"}) ^ 2 or vector(0)"#),
    ];
    for (query, wanted) in cases {
        assert_eq!(isolate(query, "namespace", "shop").as_deref(), Ok(wanted), "{query}");
    }
}

#[test]
fn a_value_cannot_break_out_of_its_quotes() {
    let isolated = isolate("x", "namespace", "a\"} or x{b=\"\\").unwrap();
    assert_eq!(isolated, r#"x{namespace="a\"} or x{b=\"\\"}"#);
}

#[test]
fn what_is_not_understood_is_refused() {
    let messages = ["sum(", "info(x)", "rate(x[5m] anchored)"]
        .map(|query| isolate(query, "namespace", "shop").unwrap_err().to_string());
    let refused = "the query cannot be limited to one namespace";
    assert!(messages.iter().all(|message| message.starts_with(refused)), "{messages:?}");
    let error = isolate("x", "namespace", "").unwrap_err();
    assert_eq!(error, IsolateError::NoValue { label: "namespace".to_owned() });
}

fn selector() -> impl Strategy<Value = String> {
    let matcher = proptest::sample::select(vec![
        "namespace=\"bank\"",
        "namespace=~\".+\"",
        "namespace!=\"shop\"",
        "namespace=\"\"",
        "'namespace'=\"bank\"",
        "a=\"}\"",
        "b=~\"{1}\"",
        "__name__=~\"y.*\"",
        "c=`\\`",
    ]);
    let separator = proptest::sample::select(vec![", ", " or "]);
    (any::<bool>(), proptest::collection::vec((matcher, separator), 0..4)).prop_map(
        |(is_named, matchers)| {
            let name = if is_named { "x" } else { "{__name__=\"x\"}" };
            let matchers = matchers.iter().flat_map(|(matcher, separator)| [*separator, *matcher]);
            let matchers: String = matchers.collect();
            match matchers.strip_prefix(", ").or_else(|| matchers.strip_prefix(" or ")) {
                Some(matchers) if is_named => format!("{name}{{{matchers}}}"),
                Some(matchers) => format!("{{d=\"1\", {matchers}}}"),
                None => name.to_owned(),
            }
        },
    )
}

fn query() -> impl Strategy<Value = String> {
    selector().prop_recursive(4, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone())
                .prop_map(|(a, b)| format!("({a}) or on (namespace) {b}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a} / ({b})")),
            inner.clone().prop_map(|a| format!("max_over_time(({a})[1h:5m] offset 5m)")),
            inner.clone().prop_map(|a| format!("sum by (namespace) ({a})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("quantile(scalar({a}), {b})")),
            inner.prop_map(|a| format!("-{a}")),
            selector().prop_map(|a| format!("rate({a}[5m] @ end() offset -1m)")),
        ]
    })
}

/// Counts by the text alone, so that it does not trust the tree it tests.
fn count(text: &str, part: &str) -> usize {
    text.matches(part).count()
}

proptest! {
    #[test]
    fn every_selector_of_any_query_has_the_matcher_once(query in query()) {
        match isolate(&query, "namespace", "shop") {
            Ok(isolated) => {
                // Each alternative of each selector has it, and no other operator is left.
                let braces = count(&isolated, "namespace=\"shop\"");
                prop_assert!(braces >= 1, "{isolated}");
                for hostile in ["bank", "namespace=~", "namespace!", "namespace=\"\"", "\"namespace\""] {
                    prop_assert!(!isolated.contains(hostile), "{isolated}");
                }
                prop_assert_eq!(isolate(&isolated, "namespace", "shop"), Ok(isolated));
            }
            // A name given twice, for one.
            Err(IsolateError::Syntax { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn no_text_makes_it_panic(query in any::<String>(), label in any::<String>(), value in any::<String>()) {
        drop(isolate(&query, &label, &value));
        drop(isolate("x{a=\"b\"} + y", &label, &value));
    }
}
