use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).unwrap()
}

/// Inputs of the default table: cpu, memory, rate, errors, seconds.
fn inputs(values: [f64; 5]) -> [Option<f64>; 5] {
    values.map(|value| (!value.is_nan()).then_some(value))
}

const NONE: f64 = f64::NAN;
const CALM: [f64; 5] = [0.5, 0.5, 10.0, 0.0, 0.1];

/// Decides every 15 seconds on the samples, and tells the last verdict with its reason.
fn last(pods: u32, samples: &[[f64; 5]]) -> (u32, Action, String) {
    let decision = Decision::default();
    let mut history = History::default();
    for (sample, second) in samples.iter().zip((0..).step_by(15)) {
        decision.decide(&mut history, pods, &inputs(*sample), at(second));
    }
    let record = history.latest().unwrap();
    (record.verdict.replicas, record.verdict.action, decision.reason(record))
}

/// What it is, pods, samples, and what is decided.
type Case<'a> = (&'a str, u32, &'a [[f64; 5]], (u32, Action, &'a str));

#[test]
fn each_entry_of_the_default_table_acts_as_it_says() {
    let table: &[Case<'_>] = &[
        ("calm", 4, &[CALM], (4, Action::Hold, "no entry of the table holds")),
        ("cpu", 4, &[[0.96, 0.5, 10.0, 0.0, 0.1]], (5, Action::Up, "cpu 0.96 is above 0.8")),
        ("memory", 4, &[[0.5, 0.9, 10.0, 0.0, 0.1]], (5, Action::Up, "memory 0.9 is above 0.85")),
        (
            "rate",
            4,
            &[CALM, CALM, CALM, [0.5, 0.5, 16.0, 0.0, 0.1]],
            (7, Action::Up, "requestRate 16 is above 1.5 times the highest of the last 3 samples"),
        ),
        (
            "errors",
            4,
            &[[0.5, 0.5, 10.0, 0.06, 0.1]],
            (5, Action::Up, "errorRatio 0.06 is above 0.05"),
        ),
        (
            "latency alone does not act",
            4,
            &[[0.5, 0.5, 10.0, 0.0, 1.5]],
            (4, Action::Hold, "responseSeconds 1.5 is above 1; its confidence is below 0.6"),
        ),
        (
            "idle",
            6,
            &[[0.2, 0.1, 10.0, 0.0, 0.1]],
            (4, Action::Down, "cpu 0.2 is below 0.3 and memory 0.1 is below 0.3"),
        ),
        (
            "idle with two pods",
            2,
            &[[0.2, 0.1, 10.0, 0.0, 0.1]],
            (2, Action::Hold, "no entry of the table holds"),
        ),
        (
            "low for five samples",
            4,
            &[[0.36, 0.5, 10.0, 0.0, 0.1]; 5],
            (3, Action::Down, "cpu 0.36 is below 0.4, 5 samples in a row"),
        ),
        (
            "low for four samples",
            4,
            &[[0.36, 0.5, 10.0, 0.0, 0.1]; 4],
            (4, Action::Hold, "no entry of the table holds"),
        ),
    ];
    for (what, pods, samples, (replicas, action, reason)) in table {
        assert_eq!(last(*pods, samples), (*replicas, *action, (*reason).to_owned()), "{what}");
    }
}

#[test]
fn the_strongest_entry_is_the_reason_even_where_it_does_not_act() {
    // Slow answers (up, 0.5) hold back what idle processors (down, 0.4) would do.
    let (replicas, action, reason) = last(6, &[[0.2, 0.1, 10.0, 0.0, 1.5]]);
    assert_eq!((replicas, action), (6, Action::Hold));
    assert!(reason.starts_with("responseSeconds 1.5"), "{reason}");
    let (replicas, action, reason) = last(6, &[[0.9, 0.9, 10.0, 0.5, 1.5]]);
    assert_eq!((replicas, action), (7, Action::Up));
    assert_eq!(reason, "cpu 0.9 is above 0.8");
}

#[test]
fn a_step_at_most_doubles_and_at_most_halves_within_the_bounds() {
    let table = [
        (4, [8.0, 0.5, 10.0, 0.0, 0.1], 8),
        (40, [8.0, 0.5, 10.0, 0.0, 0.1], 50),
        (50, [8.0, 0.5, 10.0, 0.0, 0.1], 50),
        (9, [0.0, 0.0, 10.0, 0.0, 0.1], 5),
        (3, [0.0, 0.0, 10.0, 0.0, 0.1], 2),
        (1, CALM, 2),
        (60, CALM, 50),
        (0, [0.9, 0.5, 10.0, 0.0, 0.1], 2),
    ];
    for (pods, sample, replicas) in table {
        assert_eq!(last(pods, &[sample]).0, replicas, "{pods} pods, {sample:?}");
    }
}

#[test]
fn without_any_input_there_is_no_verdict_and_nothing_is_remembered() {
    let (decision, mut history) = (Decision::default(), History::default());
    assert_eq!(decision.decide(&mut history, 4, &[None; 5], at(0)), None);
    assert_eq!(history.records().count(), 0);
}

#[test]
fn a_missing_input_makes_no_entry_hold() {
    let low = [0.2, NONE, NONE, NONE, NONE];
    assert_eq!(last(6, &[low]).1, Action::Hold);
    // Four samples in a row and a gap are no five.
    let gap = [NONE, 0.5, 10.0, 0.0, 0.1];
    assert_eq!(last(6, &[low, gap, low, low, low, low]).1, Action::Hold);
    assert_eq!(last(6, &[low, low, low, low, low]).1, Action::Down);
}

#[test]
fn the_history_is_the_last_hour_with_every_change_and_a_record_a_minute() {
    let (decision, mut history) = (Decision::default(), History::default());
    for second in (0..7200).step_by(15) {
        decision.decide(&mut history, 4, &inputs(CALM), at(second));
    }
    let count = history.records().count();
    assert!((60..=MAX_RECORDS_A_CALM_HOUR).contains(&count), "{count}");
    assert_eq!(history.latest().unwrap().at, at(7185));
    assert!(history.records().all(|record| record.at > at(7185 - 3600)));
    let busy = inputs([0.9, 0.5, 10.0, 0.0, 0.1]);
    decision.decide(&mut history, 4, &busy, at(7200));
    decision.decide(&mut history, 5, &inputs(CALM), at(7215));
    let change = history.latest_change().unwrap();
    assert_eq!((change.at, change.verdict.replicas), (at(7200), 5));
}

/// One a minute, and the latest.
const MAX_RECORDS_A_CALM_HOUR: usize = 62;
