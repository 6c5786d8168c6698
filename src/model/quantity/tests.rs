use proptest::prelude::*;

use super::*;

/// What `resource.ParseQuantity` of Kubernetes 1.36 makes of each input: canonical text, format
/// and `MilliValue`, the last one saturated where it wraps around there.
const GOLDEN: &str = include_str!("golden.txt");

fn parse(text: &str) -> Quantity {
    Quantity::parse(text).unwrap()
}

#[test]
fn every_recorded_quantity_reads_and_prints_as_in_kubernetes() {
    let answer = |line: &str| {
        let quoted = line.get(..=line.rfind("\" -> ").unwrap()).unwrap();
        match Quantity::parse(quoted.trim_matches('"')) {
            Ok(quantity) => format!(
                "{quoted} -> {quantity} {:?} milli={}",
                quantity.format(),
                quantity.milli_value()
            ),
            Err(error) => format!("{quoted} -> ERR {error}"),
        }
    };
    let recorded: Vec<_> = GOLDEN.lines().collect();
    let answers: Vec<_> = recorded.iter().map(|line| answer(line)).collect();
    assert_eq!(answers, recorded);
}

/// Rows of `TestQuantityParse` in apimachinery's `quantity_test.go` that round, cap or change the
/// format; the last three are read or printed wrong there.
#[test]
fn rounding_caps_and_formats_are_those_of_kubernetes() {
    use Format::{BinarySI, DecimalExponent, DecimalSI};
    let cases = [
        ("0Ki", "0", BinarySI),
        ("3Ei", "3Ei", BinarySI),
        ("8Ei", "9223372036854775807", BinarySI),
        ("9223372036854775807Ki", "9223372036854775807", BinarySI),
        ("-9Ei", "-9223372036854775807", BinarySI),
        ("100.035Ki", "102435840m", BinarySI),
        ("0.05Gi", "53687091200m", BinarySI),
        ("0.025Ti", "27487790694400m", BinarySI),
        ("0.5Ki", "512", BinarySI),
        ("0.000000000001Ki", "2n", DecimalSI),
        ("-0.000000000001Ki", "-2n", DecimalSI),
        ("0.00000000000000000000000001Ei", "12n", DecimalSI),
        ("3.001n", "4n", DecimalSI),
        ("1.1E-9", "2e-9", DecimalExponent),
        ("0.5e-9", "1e-9", DecimalExponent),
        ("0.00000012354", "124n", DecimalSI),
        ("1.3E+6", "1300e3", DecimalExponent),
        ("0.5e-1", "50e-3", DecimalExponent),
        ("100.035k", "100035", DecimalSI),
        ("1.01E", "1010P", DecimalSI),
        (".0001k", "100m", DecimalSI),
        ("1.G", "1G", DecimalSI),
        ("-", "0", DecimalSI),
        (".", "0", DecimalSI),
        ("k", "0", DecimalSI),
        ("1e999999", "1e999999", DecimalExponent),
        ("1e-99999999999", "1e-9", DecimalExponent),
        ("0e99999999999", "0", DecimalExponent),
        ("1000E", "1000E", DecimalSI),
    ];
    for (text, canonical, format) in cases {
        let quantity = parse(text);
        let outcome = (quantity.to_string(), quantity.format());
        assert_eq!(outcome, (canonical.to_owned(), format), "{text:?}");
        assert_eq!(parse(canonical), quantity, "{text:?}");
    }
}

#[test]
fn what_is_no_quantity_is_an_error() {
    use QuantityError::{Format, Range, Suffix, TooLong};
    let digits = "1".repeat(40);
    let length = "0".repeat(MAX_LENGTH + 1);
    let cases = [
        ("1.1.M", Format),
        ("1+1.0M", Format),
        (" 1", Format),
        ("１", Format),
        ("0.1mi", Suffix),
        ("0.1am", Format),
        ("aoeu", Format),
        (".5i", Suffix),
        ("-3.01e-", Suffix),
        ("1+1", Suffix),
        ("1e99999999999999999999", Suffix),
        ("1e3000000000", Range),
        (&digits, Range),
        (&length, TooLong),
    ];
    assert_eq!(cases.map(|(text, _)| Quantity::parse(text)), cases.map(|(_, error)| Err(error)));
}

#[test]
fn a_long_row_of_zeros_is_no_loss() {
    let text = format!("1{}", "0".repeat(400));
    assert_eq!(parse(&text), parse("1e400"));
    assert_eq!(parse(&parse(&text).to_string()), parse("1e400"));
    assert_eq!(parse(&format!("1.{}", "0".repeat(400))), parse("1"));
}

#[test]
fn order_reaches_across_formats_and_sizes() {
    let mut texts = [
        "1e999999",
        "-1e999999",
        "1Ki",
        "1k",
        "0",
        "1e30",
        "-1n",
        "1n",
        "999m",
        "1",
        "9Ei",
        "10E",
        "-1e30",
        "170141183460469231731687303715884105727",
        "2e38",
    ];
    texts.sort_by_key(|text| parse(text));
    assert_eq!(
        texts,
        [
            "-1e999999",
            "-1e30",
            "-1n",
            "0",
            "1n",
            "999m",
            "1",
            "1k",
            "1Ki",
            "9Ei",
            "10E",
            "1e30",
            "170141183460469231731687303715884105727",
            "2e38",
            "1e999999",
        ]
    );
    assert_eq!(parse("1.5Gi"), parse("1610612736000m"));
}

#[test]
fn sums_are_exact_and_keep_the_format_of_what_is_not_zero() {
    let sum = |a, b| parse(a).checked_add(parse(b)).map(|sum| sum.to_string());
    let difference = |a, b| parse(a).checked_sub(parse(b)).map(|rest| rest.to_string());
    assert_eq!(sum("100m", "1Gi").as_deref(), Some("1073741824100m"));
    assert_eq!(sum("1Gi", "1024Mi").as_deref(), Some("2Gi"));
    assert_eq!(sum("0", "1Gi").as_deref(), Some("1Gi"));
    assert_eq!(sum("4Ei", "4Ei").as_deref(), Some("9223372036854775808"));
    assert_eq!(sum("1e999999", "1n"), None);
    assert_eq!(difference("1Gi", "1Gi").as_deref(), Some("0"));
    assert_eq!(difference("0", "1Gi").as_deref(), Some("-1Gi"));
}

#[test]
fn conversions_saturate_instead_of_wrapping_around() {
    let texts = ["1e999999", "-1e999999", "-9300T", "-1.0001", "1e-9", "-1500m"];
    assert_eq!(
        texts.map(|text| parse(text).milli_value()),
        [i64::MAX, i64::MIN, i64::MIN, -1001, 1, -1500]
    );
    let numbers = ["1e999999", "-1e999999", "100n", "0.1", "1.5Gi"];
    assert_eq!(
        numbers.map(|text| parse(text).as_f64().to_string()),
        ["inf", "-inf", "0.0000001", "0.1", "1610612736"]
    );
}

proptest! {
    #[test]
    fn reading_never_panics(text in "\\PC*|[0-9.+eEinumkKMGTP-]{0,50}") {
        let _outcome = Quantity::parse(&text);
    }

    #[test]
    fn what_is_printed_reads_as_the_same_quantity(
        text in "[+-]?[0-9]{0,19}(\\.[0-9]{0,30})?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,2})?"
    ) {
        match Quantity::parse(&text) {
            Ok(quantity) => prop_assert_eq!(parse(&quantity.to_string()), quantity),
            Err(QuantityError::Format) => prop_assert_eq!(text, ""),
            Err(error) => prop_assert_eq!(error, QuantityError::Range),
        }
    }

    #[test]
    fn order_and_sums_agree_with_integers_of_nanos(
        (a, left) in nanos(), (b, right) in nanos()
    ) {
        let (a, b) = (parse(&a), parse(&b));
        prop_assert_eq!(a.cmp(&b), left.cmp(&right));
        prop_assert_eq!(a == b, left == right);
        let sum = Quantity::new(left + right, NANO.into(), Format::DecimalSI);
        prop_assert_eq!(a.checked_add(b), sum);
        prop_assert_eq!(a.checked_sub(b).unwrap().checked_add(b), Some(a));
    }

    #[test]
    fn thousandths_print_as_the_quantity_they_are(thousandths in any::<i64>(), zeros in 0_u32..19) {
        let milli = Milli(thousandths / 10_i64.pow(zeros) * 10_i64.pow(zeros));
        let quantity = parse(&milli.to_string());
        prop_assert_eq!(quantity.milli_value(), milli.0);
        prop_assert_eq!(quantity.to_string(), milli.to_string());
    }
}

/// A text and its amount in nanos, worked out without the code under test.
fn nanos() -> impl Strategy<Value = (String, i128)> {
    let decimal = ("n|u|m||k|M|G|T|P|E", -20_000_i128..20_000).prop_map(|(suffix, count)| {
        let power = ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"];
        let power = power.iter().position(|name| *name == suffix).unwrap();
        (format!("{count}{suffix}"), count * 1000_i128.pow(u32::try_from(power).unwrap()))
    });
    let binary = ("K|M|G|T|P|E", -20_000_i128..20_000).prop_map(|(suffix, count)| {
        let power = ["K", "M", "G", "T", "P", "E"].iter().position(|name| *name == suffix).unwrap();
        let amount = count << (10 * (power + 1));
        let cap = i128::from(i64::MAX);
        (format!("{count}{suffix}i"), amount.clamp(-cap, cap) * 1_000_000_000)
    });
    prop_oneof![decimal, binary]
}

#[test]
fn thousandths_print_as_in_kubernetes() {
    let cases = [0, 1, 999, 1000, 1500, 1_000_000, -1500, i64::MAX, i64::MIN];
    assert_eq!(
        cases.map(|thousandths| Milli(thousandths).to_string()),
        [
            "0",
            "1m",
            "999m",
            "1",
            "1500m",
            "1k",
            "-1500m",
            "9223372036854775807m",
            "-9223372036854775808m"
        ]
    );
}

#[test]
fn samples_become_thousandths_or_missing_data() {
    use Rounding::{AwayFromZero, TowardZero};
    let cases = [
        (0.0, "0", "0"),
        (-0.0, "0", "0"),
        (1.5, "1500m", "1500m"),
        (0.000_1, "1m", "0"),
        (-0.000_5, "-1m", "0"),
        (5e-324, "1m", "0"),
        (0.035, "35m", "35m"),
        (1.001, "1001m", "1"),
        (1.000_1, "1001m", "1"),
        (12_000.0, "12k", "12k"),
        (9_223_372_036_854_774.0, "9223372036854774", "9223372036854773760m"),
    ];
    let text = |value, rounding| Milli::from_f64(value, rounding).unwrap().to_string();
    for (value, away, toward) in cases {
        assert_eq!(
            (text(value, AwayFromZero), text(value, TowardZero)),
            (away.into(), toward.into())
        );
    }
    let missing =
        [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e16, 1e300, -1e300, f64::MAX, f64::MIN];
    assert_eq!(missing.map(|value| Milli::from_f64(value, AwayFromZero)), [None; 8]);
    assert_eq!(missing.map(|value| Milli::from_f64(value, TowardZero)), [None; 8]);
}

/// As `resource.NewMilliQuantity(…, resource.BinarySI)` prints them.
#[test]
fn thousandths_print_in_the_format_that_is_asked_for() {
    let cases = [
        (0, "0"),
        (1, "1m"),
        (1_023_000, "1023"),
        (1_024_000, "1Ki"),
        (1_536_000, "1536"),
        (1_073_741_824_000, "1Gi"),
        (1_073_741_824_500, "1073741824500m"),
        (2_097_153_000, "2097153"),
        (1_000_000_000, "1000000"),
        (Milli::MAX.0, "9223372036854775"),
    ];
    for (thousandths, text) in cases {
        let quantity = Quantity::from_milli(Milli(thousandths), Format::BinarySI);
        assert_eq!(quantity.to_string(), text);
    }
}
