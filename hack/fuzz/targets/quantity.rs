//! Quantities: the canonical text keeps the amount, order is that of the numbers, and sums can be
//! taken back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::model::quantity::{MAX_LENGTH, Quantity};

fuzz_target!(|texts: (&str, &str)| {
    let (Some(first), Some(second)) = (round_trip(texts.0), round_trip(texts.1)) else {
        return;
    };
    if first <= second {
        assert!(first.as_f64() <= second.as_f64(), "{first} <= {second}");
        assert!(first.milli_value() <= second.milli_value(), "{first} <= {second}");
    }
    if let Some(sum) = first.checked_add(second)
        && let Some(difference) = sum.checked_sub(second)
    {
        assert_eq!(difference, first, "{first} + {second} - {second}");
    }
});

fn round_trip(text: &str) -> Option<Quantity> {
    let quantity = Quantity::parse(text).ok()?;
    let canonical = quantity.to_string();
    // The zeros of a plain number past `E` can make it longer than what is read.
    if canonical.len() <= MAX_LENGTH {
        let again = Quantity::parse(&canonical).expect("the canonical text is a quantity");
        assert_eq!(again, quantity, "{text:?} prints as {canonical:?}");
        // Without a suffix nothing tells that it was binary: 1000Ki is 1024000, and that is 1024k.
        if again.format() == quantity.format() {
            assert_eq!(again.to_string(), canonical, "{text:?}");
        }
    }
    Some(quantity)
}
