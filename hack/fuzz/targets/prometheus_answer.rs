//! Answers of Prometheus: only JSON is read, and a listing is the same however it is cut.

#![no_main]

use std::io::{self, Read};

use libfuzzer_sys::fuzz_target;
use plimsoll::prometheus::{answer, listing};
use serde::de::IgnoredAny;

fuzz_target!(|body: &[u8]| {
    if answer::query(body).is_ok() || answer::refusal(body).is_some() {
        serde_json::from_slice::<IgnoredAny>(body).expect("JSON");
    }
    let whole = listing::fold(body);
    assert_eq!(listing::fold(Byte(body)), whole);
    if whole.is_ok() {
        serde_json::from_slice::<IgnoredAny>(body).expect("JSON");
    }
});

/// Gives one byte at a time.
struct Byte<'a>(&'a [u8]);

impl Read for Byte<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(1);
        self.0.read(&mut buffer[..length])
    }
}
