//! Cases 54 to 59: from numbers to quantities.

use serde_json::{Value, json};

use super::{C2, CONFIG, E, Lab, Setup, answer, items, pairs};

/// What is served for pods n00, n01, … whose samples are these texts; `None` where there is no
/// item.
async fn served(compat: &str, numbers: &[&str]) -> Vec<Option<String>> {
    let config = CONFIG.replace("  metricsQuery", &format!("  compat: {compat}\n  metricsQuery"));
    let lab = Lab::with(Setup { config: &config, objects: "", ..Setup::default() }).await;
    let names: Vec<_> = (0..numbers.len()).map(|index| format!("n{index:02}")).collect();
    let samples: Vec<(Value, &str)> =
        names.iter().zip(numbers).map(|(name, it)| (json!({"pod": name}), *it)).collect();
    answer(&lab.prometheus, r#"numbers{namespace="default"}"#, &samples);
    let values = items(&lab.get(C2, "/namespaces/default/pods/*/numbers").await);
    let find = |name| values.iter().find(|(other, _)| other == name).map(|(_, it)| it.clone());
    names.iter().map(find).collect()
}

fn texts<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
    texts.map(|text| Some(text.to_owned()))
}

/// Numbers and how Kubernetes' quantities write them. Values are whole thousandths, which is all that an HPA computes
/// with: where the table has finer ones, the rule says which way they go (case 58).
#[tokio::test]
async fn case_54_each_number_is_the_canonical_quantity() {
    let numbers = [
        "0",
        "1",
        "1.5",
        "0.5",
        "1000",
        "1500",
        "1e6",
        "1234567890123",
        "-1.5",
        "0.0001",
        "3.14159265358979",
        "-0",
        "0.001",
        "12000",
        "9e15",
    ];
    let whole = ["0", "1", "1500m", "500m", "1k", "1500", "1M", "1234567890123", "-1500m"];
    let rest = |cut: [&str; 2]| {
        let last = ["0", "1m", "12k", "9P"];
        [texts(whole).as_slice(), &texts(cut), &texts(last)].concat()
    };
    assert_eq!(served("{}", &numbers).await, rest(["0", "3141m"]));
    assert_eq!(served("{roundUp: true}", &numbers).await, rest(["1m", "3142m"]));
}

#[tokio::test]
async fn case_55_infinities_are_left_out_and_nan_where_it_is_not_zero() {
    let numbers = ["NaN", "+Inf", "-Inf", "1"];
    let one = Some("1".to_owned());
    assert_eq!(served("{nanAsZero: false}", &numbers).await, [None, None, None, one.clone()]);
    // prometheus-adapter serves NaN as zero, and rules in its format go on to do so.
    assert_eq!(served("{}", &numbers).await, [Some("0".to_owned()), None, None, one]);
}

#[tokio::test]
async fn case_55_an_external_nan_or_infinity_is_left_out_whatever_the_rule_says() {
    for compat in ["{}", "{nanAsZero: true}"] {
        let config = CONFIG
            .replace("namespaced: false}", &format!("namespaced: false}}\n  compat: {compat}"));
        let lab = Lab::with(Setup { config: &config, ..Setup::default() }).await;
        let labels = |a: &str| json!({"a": a});
        let samples = [
            (labels("1"), "NaN"),
            (labels("2"), "+Inf"),
            (labels("3"), "-Inf"),
            (labels("4"), "1"),
        ];
        answer(&lab.prometheus, "debts{}", &samples);
        let answered = lab.get(E, "/namespaces/default/debts").await;
        assert_eq!(items(&answered), pairs(&[("a=4", "1")]));
    }
}

/// The case asks for the largest number in its place. The issue that this program is built from
/// says otherwise, and wins: a number that has been bent makes an HPA scale to its limit, while
/// without one it holds still.
#[tokio::test]
async fn case_56_overflow_is_missing_data_and_never_a_clamped_number() {
    let numbers = ["1e300", "-1e300", "9223372036854777", "-9223372036854777", "9e15"];
    let expected = [None, None, None, None, Some("9P".to_owned())];
    assert_eq!(served("{}", &numbers).await, expected);
    assert_eq!(served("{roundUp: true}", &numbers).await, expected);
}

/// The HPA controller adds the items up itself, so each of them can be right and the sum wrong.
#[tokio::test]
async fn case_57_items_whose_sum_overflows_are_cut_so_that_it_does_not() {
    let lab = Lab::start().await;
    let labels = |a: &str| json!({"a": a});
    let samples = [(labels("1"), "9e15"), (labels("2"), "9e15"), (labels("3"), "1")];
    answer(&lab.prometheus, "debts{}", &samples);
    let answered = lab.get(E, "/namespaces/default/debts").await;
    let share = "3074457345618258333m";
    assert_eq!(items(&answered), pairs(&[("a=1", share), ("a=2", share), ("a=3", "1")]));
}

/// The documented rounding: thousandths are cut off, as prometheus-adapter does it, and rounded
/// away from zero under `compat: {roundUp: true}`.
#[tokio::test]
async fn case_58_thousandths_are_cut_off_and_rounded_up_where_the_rule_says_so() {
    let numbers = ["0.3", "0.30000000000000004", "1e-12", "-0.0005"];
    assert_eq!(served("{}", &numbers).await, texts(["300m", "300m", "0", "0"]));
    let rounded = served("{roundUp: true}", &numbers).await;
    assert_eq!(rounded, texts(["300m", "301m", "1m", "-1m"]));
}

#[tokio::test]
async fn case_59_a_timestamp_is_rfc_3339_in_utc_and_whole_seconds() {
    let lab = Lab::start().await;
    let shape = |text: &str| -> String {
        text.chars().map(|it| if it.is_ascii_digit() { 'd' } else { it }).collect()
    };
    for (version, path) in [(C2, super::PODS), (E, "/namespaces/default/queue_depth")] {
        let list = lab.get(version, path).await.json();
        let timestamp = list["items"][0]["timestamp"].as_str().unwrap();
        assert_eq!(shape(timestamp), "dddd-dd-ddTdd:dd:ddZ", "{timestamp}");
    }
}
