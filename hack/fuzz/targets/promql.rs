//! PromQL as people write it: reading, isolating and judging any text ends without a panic, and
//! what is isolated can be read again and is isolated already.

#![no_main]

use libfuzzer_sys::fuzz_target;
use plimsoll::promql::isolate::isolate;

fuzz_target!(|text: &str| {
    let Ok(isolated) = isolate(text, "namespace", "shop") else { return };
    let again = isolate(&isolated, "namespace", "shop").expect("what was written can be read");
    assert_eq!(again, isolated);
});
