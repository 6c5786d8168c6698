//! Label selectors: the canonical text parses to the same selector, and each of both matches the
//! labels that the other matches.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::model::selector::{Operator, Selector};

fuzz_target!(|text: &str| {
    let Ok(selector) = Selector::parse(text) else {
        return;
    };
    let canonical = selector.to_string();
    let again = Selector::parse(&canonical).expect("the canonical text is a selector");
    assert_eq!(again, selector, "{text:?} prints as {canonical:?}");
    for requirement in selector.requirements() {
        let value = requirement.values.first().map(String::as_str);
        let alone = Selector::parse(&requirement.to_string()).expect("so is each requirement");
        let matched = alone.matches(|key| value.filter(|_| key == requirement.key));
        match requirement.operator {
            Operator::Equals | Operator::DoubleEquals | Operator::In => assert!(matched, "{alone}"),
            Operator::NotEquals | Operator::NotIn | Operator::Exists => {
                assert!(!matched, "{alone}");
            }
            Operator::DoesNotExist => assert!(matched, "{alone}"),
            Operator::GreaterThan | Operator::LessThan => assert!(!matched, "{alone}"),
        }
    }
    let inexpressible = selector.requirements().iter().any(|requirement| {
        matches!(requirement.operator, Operator::GreaterThan | Operator::LessThan)
    });
    assert_eq!(selector.to_label_selector().is_err(), inexpressible, "{text:?}");
});
