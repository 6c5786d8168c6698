//! Expressions of composites: any text compiles or is refused at a place in it, and what compiles
//! can be computed from any numbers.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::signals::composite::Composite;

fuzz_target!(|input: (&str, [Option<f64>; 3])| {
    let (text, values) = input;
    let names = ["rps", "errors", "p95"];
    let Ok(composite) = Composite::compile(text, &names) else { return };
    if let Ok(value) = composite.evaluate(&values) {
        assert!(value.is_finite());
    }
});
