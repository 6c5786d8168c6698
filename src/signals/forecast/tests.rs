use std::f64::consts::TAU;

use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);
const END: f64 = 1_790_000_000.0;

fn daily() -> Forecast {
    Forecast::new(HOUR, vec![DAY], DAY * 7).unwrap()
}

/// The past of a week, as a function of the days before its end.
fn past(forecast: &Forecast, value: impl Fn(f64) -> f64) -> Vec<Point> {
    let step = forecast.step.as_secs_f64();
    let count = u32::try_from(forecast.steps(forecast.history)).unwrap();
    let at = |index: u32| END - step * f64::from(count - 1 - index);
    let day = |timestamp: f64| (timestamp - END) / 86_400.0;
    (0..count).map(at).map(|timestamp| Point { timestamp, value: value(day(timestamp)) }).collect()
}

/// The same noise at each run, between -1 and 1.
fn noise(day: f64) -> f64 {
    ((day * 10_000.0).sin() * 43_758.547).fract()
}

fn traffic(day: f64) -> f64 {
    100.0 + 10.0 * day + 50.0 * (day * TAU).sin() + noise(day)
}

#[test]
fn a_day_with_a_trend_is_continued() {
    let forecast = daily();
    let outlook = forecast.look_ahead(&past(&forecast, traffic), END).unwrap();
    let truth = traffic(1.0 / 24.0);
    assert!((outlook.value - truth).abs() < 3.0, "{outlook:?}, truth {truth}");
    // To repeat yesterday forgets the trend.
    assert!(outlook.errors.forecast < outlook.errors.last_season / 2.0, "{outlook:?}");
}

#[test]
fn gaps_are_bridged_while_they_are_few() {
    let forecast = daily();
    let whole = past(&forecast, traffic);
    let without = |share: usize| -> Vec<_> {
        let kept = whole.iter().enumerate().filter(|(index, _)| index % 10 >= share);
        kept.map(|(_, point)| *point).collect()
    };
    let outlook = forecast.look_ahead(&without(1), END).unwrap();
    assert!((outlook.value - traffic(1.0 / 24.0)).abs() < 3.0, "{outlook:?}");
    let error = forecast.look_ahead(&without(3), END).unwrap_err();
    assert_eq!(error, ForecastError::Gaps { missing: 606, needed: 2016 });
    assert!(forecast.look_ahead(&[], END).is_err());
}

#[test]
fn what_is_worse_than_the_last_season_is_not_served() {
    let forecast = daily();
    // Nothing but a random walk is in it: yesterday's exact repetition cannot be beaten.
    let repeated = past(&forecast, |day| 100.0 + 80.0 * noise(day.rem_euclid(1.0).min(0.999)));
    match forecast.look_ahead(&repeated, END) {
        Err(ForecastError::Worse(errors)) => assert!(errors.forecast > errors.last_season),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_never_was_negative_is_not_forecast_to_be() {
    let forecast = daily();
    let falling = past(&forecast, |day| (-20.0 * day + noise(day)).max(0.0));
    if let Ok(outlook) = forecast.look_ahead(&falling, END) {
        assert!(outlook.value >= 0.0, "{outlook:?}");
    }
}

#[test]
fn a_declaration_that_cannot_be_says_why() {
    let minute = Duration::from_mins(1);
    let said = |horizon, seasons: &[Duration], history| {
        Forecast::new(horizon, seasons.to_vec(), history).unwrap_err().to_string()
    };
    assert_eq!(said(HOUR, &[], DAY), "a forecast needs a season, such as 1d");
    assert_eq!(
        said(HOUR, &[DAY], DAY),
        "history 86400s is less than twice the longest season, 86400s"
    );
    assert_eq!(
        said(minute, &[DAY], DAY * 7),
        "horizon 60s is less than 1 steps of 300s: give a longer one or less history"
    );
    assert_eq!(
        said(HOUR, &[minute * 10], DAY * 7),
        "season 600s is less than 4 steps of 300s: give a longer one or less history"
    );
    assert_eq!(said(DAY * 2, &[DAY], DAY * 7), "horizon 172800s is more than 288 steps of 300s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_past_makes_it_panic(
        values in prop::collection::vec(
            (prop::num::f64::ANY, prop_oneof![Just(0.0), -1e6..1e6, prop::num::f64::ANY]),
            0..400,
        ),
        end in prop_oneof![Just(END), prop::num::f64::ANY],
    ) {
        let forecast = Forecast::new(HOUR, vec![HOUR * 4], HOUR * 12).unwrap();
        let wild: Vec<_> = values
            .iter()
            .map(|(timestamp, value)| Point { timestamp: *timestamp, value: *value })
            .collect();
        let _outlook = forecast.look_ahead(&wild, end);
        let tidy: Vec<_> = values
            .iter()
            .zip(0_u32..)
            .map(|((_, value), index)| Point { timestamp: END - 60.0 * f64::from(index), value: *value })
            .collect();
        let _outlook = forecast.look_ahead(&tidy, END);
    }
}
