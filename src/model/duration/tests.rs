use proptest::prelude::*;

use super::*;

/// Cases from `TestParseDuration` of prometheus/common.
#[test]
fn prometheus_durations_are_whole_numbers_of_falling_units() {
    let cases = [
        ("0", 0),
        ("0w", 0),
        ("0s", 0),
        ("324ms", 324),
        ("3s", 3000),
        ("90s", 90_000),
        ("5m", 300_000),
        ("1h", 3_600_000),
        ("4d", 4 * 86_400_000),
        ("4d1h", 4 * 86_400_000 + 3_600_000),
        ("14d", 14 * 86_400_000),
        ("3w", 21 * 86_400_000),
        ("3w2d1h", 23 * 86_400_000 + 3_600_000),
        ("10y", 3650 * 86_400_000),
        ("1h30m", 5_400_000),
        ("1y1w1d1h1m1s1ms", (365 + 7 + 1) * 86_400_000 + 3_661_001),
    ];
    assert_eq!(
        cases.map(|(text, _)| parse(text)),
        cases.map(|(_, milliseconds)| Ok(Duration::from_millis(milliseconds)))
    );
}

#[test]
fn what_is_no_prometheus_duration_is_an_error_that_says_why() {
    let cases = [
        ("", "empty duration; write for example 5m"),
        ("1", "missing unit in duration \"1\"; write for example 5m"),
        ("5m3", "missing unit in duration \"5m3\"; write for example 5m"),
        ("-1w", "duration \"-1w\" is negative"),
        ("m", "\"m\" is not a duration; write for example 5m"),
        ("+5m", "\"+5m\" is not a duration; write for example 5m"),
        ("1.5d", "unknown unit \".\" in duration \"1.5d\"; known are y, w, d, h, m, s and ms"),
        ("5 m", "unknown unit \" m\" in duration \"5 m\"; known are y, w, d, h, m, s and ms"),
        ("5us", "unknown unit \"us\" in duration \"5us\"; known are y, w, d, h, m, s and ms"),
        ("1m1d", "unit \"d\" is out of order in duration \"1m1d\"; write y, w, d, h, m, s, ms"),
        ("1s1s", "unit \"s\" is out of order in duration \"1s1s\"; write y, w, d, h, m, s, ms"),
        ("294y", "duration \"294y\" is out of range"),
        ("292y1000000d", "duration \"292y1000000d\" is out of range"),
        ("99999999999999999999s", "duration \"99999999999999999999s\" is out of range"),
    ];
    let said = cases.map(|(text, _)| parse(text).unwrap_err().to_string());
    assert_eq!(said, cases.map(|(_, message)| message.to_owned()));
}

/// Cases from `parseDurationTests` of Go's `time_test.go`.
#[test]
fn go_durations_are_decimal_numbers_of_any_units() {
    let cases = [
        ("0", 0),
        ("+0", 0),
        ("5s", 5_000_000_000),
        ("+5s", 5_000_000_000),
        ("5.s", 5_000_000_000),
        (".5s", 500_000_000),
        ("1.0s", 1_000_000_000),
        ("1.004s", 1_004_000_000),
        ("100.00100s", 100_001_000_000),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("1.5h", 5_400_000_000_000),
        ("1h15m30.918s", 4_530_918_000_000),
        ("10.5s4m", 250_500_000_000),
        ("1h2m3s4ms5us6ns", 3_723_004_005_006),
        ("39h9m14.425s", 140_954_425_000_000),
        ("52763797000ns", 52_763_797_000),
        // 1_200_000_000_000 in Go, whose floating-point product is rounded.
        ("0.3333333333333333333h", 1_200_000_000_000 - 1),
        ("0.1h", 360_000_000_000),
        ("0.9007199254740993ms", 900_719),
        ("9223372036854775807ns", 9_223_372_036_854_775_807),
    ];
    assert_eq!(
        cases.map(|(text, _)| parse_go(text)),
        cases.map(|(_, nanoseconds)| Ok(Duration::from_nanos(nanoseconds)))
    );
}

#[test]
fn what_is_no_go_duration_is_an_error_that_says_why() {
    let cases = [
        ("", "empty duration; write for example 5m"),
        ("+", "empty duration; write for example 5m"),
        ("3", "missing unit in duration \"3\"; write for example 5m"),
        ("-5m", "duration \"-5m\" is negative"),
        ("s", "\"s\" is not a duration; write for example 5m"),
        (".", "\".\" is not a duration; write for example 5m"),
        (".s", "\".s\" is not a duration; write for example 5m"),
        ("1d", "unknown unit \"d\" in duration \"1d\"; known are h, m, s, ms, us and ns"),
        ("3000000h", "duration \"3000000h\" is out of range"),
        ("9223372036854775807.5ns1ns", "duration \"9223372036854775807.5ns1ns\" is out of range"),
    ];
    let said = cases.map(|(text, _)| parse_go(text).unwrap_err().to_string());
    assert_eq!(said, cases.map(|(_, message)| message.to_owned()));
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC*|[+-]?([0-9]{0,25}\\.?[0-9]{0,25}[yhmnsuµ]{0,2}){0,4}") {
        let _outcomes = (parse(&text), parse_go(&text));
    }

    #[test]
    fn both_notations_agree_where_they_meet(h in 0_u64..99, m in 0_u64..99, s in 0_u64..99) {
        let text = format!("{h}h{m}m{s}s");
        let wanted = Duration::from_secs(h * 3600 + m * 60 + s);
        prop_assert_eq!((parse(&text), parse_go(&text)), (Ok(wanted), Ok(wanted)));
    }
}

#[test]
fn durations_are_written_as_go_does() {
    let cases = [
        (0, "0s"),
        (20, "20ms"),
        (1_000, "1s"),
        (1_500, "1.5s"),
        (61_005, "1m1.005s"),
        (300_000, "5m0s"),
        (3_600_000, "1h0m0s"),
        (90_061_000, "25h1m1s"),
    ];
    for (milliseconds, text) in cases {
        assert_eq!(to_go(Duration::from_millis(milliseconds)), text);
    }
}
