use proptest::prelude::*;

use super::*;

const NAMES: &[&str] = &["rps", "errors", "p95"];

fn value(text: &str, values: [f64; 3]) -> Result<f64, NoValue> {
    Composite::compile(text, NAMES).unwrap().evaluate(&values.map(Some))
}

#[test]
fn arithmetic_has_the_precedence_of_cel() {
    let cases = [
        ("rps / 100", 2.0),
        ("rps / 100.0 + 1", 3.0),
        ("1 - 2 - 3", -4.0),
        ("2 + 3 * 4 - 6 / 2", 11.0),
        ("-(rps - 1) * 2", -398.0),
        ("--.5e1", 5.0),
        ("max(rps / 100, p95 / 0.3, 1)", 2.0),
        ("min(rps)", 200.0),
        ("clamp(rps, 1, 50) + clamp(0, 1, 50) + clamp(5, 9, 3)", 54.0),
        ("errors > 0.5 ? rps / 100.0 : max(rps / 100.0, p95 / 0.3)", 2.0),
        ("errors > 0.5 ? 1 : errors > 0.05 ? 2 : 3", 2.0),
        ("!(errors >= 0.1) || rps <= 200 && p95 != 7 ? 1 : 0", 1.0),
        ("(rps == 200) == true ? 0.7 * rps + 0.3 * p95 : 0", 140.06),
        ("(true ? false : true) != (1 < 2) ? 1\n:\t0", 1.0),
        ("1 / 3 * 3 >= 1 == false ? 1 : 0", 0.0),
    ];
    for (text, wanted) in cases {
        let value = value(text, [200.0, 0.1, 0.2]).unwrap();
        assert!((value - wanted).abs() < 1e-9, "{text}: {value}");
    }
}

#[test]
fn what_is_missing_or_not_finite_is_no_value() {
    let composite = Composite::compile("errors > 0.5 ? rps : max(p95, 1)", NAMES).unwrap();
    let missing = |name: &str| Err(NoValue::Missing(name.to_owned()));
    assert_eq!(composite.evaluate(&[None, Some(0.1), Some(3.0)]), Ok(3.0));
    assert_eq!(composite.evaluate(&[None, Some(0.9), Some(3.0)]), missing("rps"));
    assert_eq!(composite.evaluate(&[Some(1.0), Some(f64::NAN), Some(3.0)]), missing("errors"));
    assert_eq!(composite.evaluate(&[Some(1.0), Some(0.1), Some(f64::INFINITY)]), missing("p95"));
    assert_eq!(composite.evaluate(&[]), missing("errors"));
    let quotient = Err(NoValue::NotFinite(Operator::Divide));
    assert_eq!(value("max(1, rps / errors)", [0.0, 0.0, 0.0]), quotient);
    assert_eq!(value("1 / errors > 5 ? 1 : 0", [0.0; 3]), quotient);
    assert_eq!(value("rps * rps", [1e300; 3]), Err(NoValue::NotFinite(Operator::Multiply)));
    assert_eq!(quotient.unwrap_err().to_string(), "a quotient has no finite value");
}

#[test]
fn a_mistake_is_told_with_its_place() {
    let cases = [
        (
            "rps +",
            "line 1, column 6 of the expression: a number, an input or a function is missing",
        ),
        (
            "rps\n + latency",
            "line 2, column 4 of the expression: there is no input \"latency\"; there are: rps, \
             errors, p95",
        ),
        (
            "avg(rps)",
            "line 1, column 1 of the expression: there is no function \"avg\"; there are max, min \
             and clamp",
        ),
        (
            "rps > 5",
            "line 1, column 1 of the expression: this is true or false, where a number is needed: \
             write `… ? 1 : 0`",
        ),
        (
            "rps ? 1 : 0",
            "line 1, column 1 of the expression: this is a number, where true or false is needed: \
             compare it",
        ),
        (
            "1 ? ",
            "line 1, column 1 of the expression: this is a number, where true or false is \
             needed: compare it",
        ),
        (
            "true ? 1 : false",
            "line 1, column 8 of the expression: one branch is a number and the other is true or \
             false",
        ),
        (
            "true ? 1",
            "line 1, column 9 of the expression: `:` is missing, as in `condition ? a : b`",
        ),
        ("clamp(1, 2)", "line 1, column 1 of the expression: write clamp(value, lowest, highest)"),
        ("(1", "line 1, column 3 of the expression: `)` is missing"),
        (
            "1 2",
            "line 1, column 3 of the expression: the expression should end here, or an operator is \
             missing",
        ),
        (
            "0x1f",
            "line 1, column 1 of the expression: \"0x1f\" is no number, as 100, 0.5 or 1e3 are",
        ),
        (
            "1e999",
            "line 1, column 1 of the expression: \"1e999\" is no number, as 100, 0.5 or 1e3 are",
        ),
        ("rps.sum", "line 1, column 4 of the expression: rps has no parts: inputs are numbers"),
        ("'a'", "line 1, column 1 of the expression: texts have no place here: inputs are numbers"),
        ("é", "line 1, column 1 of the expression: 'é' cannot stand here"),
        ("max()", "line 1, column 5 of the expression: ')' cannot stand here"),
        (
            "1 < 2 < 3 ? 1 : 0",
            "line 1, column 1 of the expression: this is true or false, where a \
             number is needed: write `… ? 1 : 0`",
        ),
    ];
    for (text, message) in cases {
        let error = Composite::compile(text, NAMES).unwrap_err();
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn size_and_depth_are_bounded() {
    let refused = |text: String| Composite::compile(&text, NAMES).unwrap_err().to_string();
    assert!(refused("1".repeat(MAX_LENGTH + 1)).contains("longer than 4096 bytes"));
    assert!(refused("(".repeat(MAX_LENGTH)).contains("nested more than 32 deep"));
    assert!(refused("-".repeat(MAX_LENGTH)).contains("nested more than 32 deep"));
    assert!(refused("true?".repeat(MAX_LENGTH / 5)).contains("nested more than 32 deep"));
    assert!(refused(format!("1{}", "+1".repeat(MAX_PARTS))).contains("more than 512 parts"));
    assert!(Composite::compile(&format!("1{}", "+1".repeat(MAX_PARTS / 2 - 1)), NAMES).is_ok());
}

#[test]
fn inputs_have_names_that_expressions_can_use() {
    for name in ["", "1a", "a-b", "max", "true", "in", "é"] {
        let error = Composite::compile("1", &[name]).unwrap_err();
        assert_eq!(error, ExpressionError::Name(name.to_owned()));
    }
    let composite = Composite::compile("max(p95, rps > 1 ? 1 : 2)", NAMES).unwrap();
    assert_eq!(composite.unused().collect::<Vec<_>>(), ["errors"]);
}

/// Expressions and what Rust makes of them.
fn numbers() -> impl Strategy<Value = (String, Option<f64>)> {
    let leaf = (0..1000u32).prop_map(|number| (number.to_string(), Some(f64::from(number))));
    let finite = |value: f64| Some(value).filter(|value| value.is_finite());
    leaf.prop_recursive(5, 64, 3, move |inner| {
        let two = (inner.clone(), inner.clone());
        let three = (inner.clone(), inner.clone(), inner.clone());
        let both = |a: Option<f64>, b: Option<f64>| a.zip(b);
        prop_oneof![
            two.clone().prop_map(move |((a, x), (b, y))| (
                format!("({a})+({b})"),
                both(x, y).and_then(|(x, y)| finite(x + y))
            )),
            two.clone().prop_map(move |((a, x), (b, y))| (
                format!("({a}) - ({b})"),
                both(x, y).and_then(|(x, y)| finite(x - y))
            )),
            two.clone().prop_map(move |((a, x), (b, y))| (
                format!("({a})/({b})"),
                both(x, y).and_then(|(x, y)| finite(x / y))
            )),
            two.prop_map(move |((a, x), (b, y))| (
                format!("min({a},max({b},{a}))"),
                both(x, y).map(|(x, y)| x.min(y.max(x)))
            )),
            three.prop_map(move |((a, x), (b, y), (c, z))| (
                format!("({a}) <= ({b}) ? ({c}) : -({a})"),
                both(x, y).and_then(|(x, y)| if x <= y { z } else { Some(-x) })
            )),
        ]
    })
}

proptest! {
    #[test]
    fn a_value_is_the_one_that_the_operators_give((text, wanted) in numbers()) {
        if let Ok(composite) = Composite::compile(&text, &[]) {
            prop_assert_eq!(composite.evaluate(&[]).ok(), wanted);
        }
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>(), soup in "([0-9.a-z(),?:<>=!&|+*/ -]|max|min|clamp|rps){0,60}") {
        for text in [text, soup] {
            if let Ok(composite) = Composite::compile(&text, NAMES) {
                prop_assert!(composite.evaluate(&[Some(1.0), None, Some(-1e308)]).is_ok_and(f64::is_finite)
                    || composite.evaluate(&[Some(1.0), None, Some(-1e308)]).is_err());
            }
        }
    }
}
