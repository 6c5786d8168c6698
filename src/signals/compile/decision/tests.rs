use crate::signals::compile::compile;
use crate::signals::link::link;
use crate::signals::preset::Presets;
use crate::signals::signal::Signal;

fn read(yaml: &str) -> Result<Signal, Vec<String>> {
    let spec = serde_saphyr::from_str(yaml).unwrap();
    let mistakes = compile("test", &spec, &Presets::default(), None);
    mistakes.map_err(|mistakes| {
        mistakes.into_iter().map(|mistake| format!("{}: {}", mistake.path, mistake.what)).collect()
    })
}

#[test]
fn a_decision_has_the_inputs_that_its_preset_can_fill_and_the_entries_for_them() {
    let inputs = |yaml: &str| {
        let signal = read(yaml).unwrap();
        let decision = signal.decision().unwrap();
        (decision.inputs.join(" "), decision.table.len(), decision.min, decision.max)
    };
    let expected = ("cpu errorRatio memory requestRate responseSeconds".to_owned(), 7, 2, 50);
    assert_eq!(inputs("{metric: m, on: deployments.apps, decision: {preset: http}}"), expected);
    let expected = ("cpu memory".to_owned(), 4, 1, 9);
    let alone = "{metric: m, on: deployments.apps, decision: {min: 1, max: 9}}";
    assert_eq!(inputs(alone), expected);
    let own = "{metric: m, on: deployments.apps, decision: {inputs: {queue: {query: {promql: \
        'q{<<.LabelMatchers>>}'}}}, table: [{up: 0.7, when: [{input: queue, above: 9}]}]}}";
    assert_eq!(inputs(own), ("queue cpu memory".to_owned(), 1, 2, 50));
}

#[test]
fn decisions_and_forecasts_that_cannot_be_say_why() {
    let cases = [
        ("{metric: m, on: external, decision: {}}", "on: a decision counts replicas"),
        ("{metric: m, on: deployments.apps, decision: {min: 9, max: 3}}", "decision.min: it has"),
        (
            "{metric: m, on: deployments.apps, decision: {preset: isto}}",
            "decision.preset: there is no preset \"isto\", did you mean istio?",
        ),
        (
            "{metric: m, on: deployments.apps, decision: {table: [{up: 0.7, when: [{input: x}]}]}}",
            "decision.table[0].when[0].input: there is no input \"x\", but cpu, memory",
        ),
        (
            "{metric: m, on: deployments.apps, decision: {table: [{when: []}]}}",
            "decision.table[0]: exactly one of up and down",
        ),
        (
            "{metric: m, on: pods, forecast: {of: {requestRate: {preset: http}}, horizon: 30m, \
             seasons: [1d], history: 1d}}",
            "forecast: history",
        ),
        (
            "{metric: m, on: pods, forecast: {of: {schedule: {windows: [{from: '08:00', \
             to: '09:00', value: 1}]}}, horizon: 30m, seasons: [1d], history: 2d}}",
            "forecast.of: a schedule is known beforehand",
        ),
    ];
    for (yaml, expected) in cases {
        let mistakes = read(yaml).unwrap_err();
        assert!(mistakes[0].starts_with(expected), "{yaml}: {mistakes:?}");
    }
}

#[test]
fn a_decision_is_no_input_of_another_signal() {
    let decision = read("{metric: wanted, on: deployments.apps, decision: {}}").unwrap();
    let composite = read(
        "{metric: m, on: deployments.apps, composite: {inputs: {a: {metric: wanted}}, \
         expression: a}}",
    );
    let (linked, mistakes) = link(vec![decision, composite.unwrap()], &|_, _| None);
    let told: Vec<_> = mistakes.into_iter().map(|(index, it)| (index, it.path, it.what)).collect();
    assert_eq!(linked.len(), 1);
    assert_eq!(
        told,
        [(
            1,
            "composite.inputs.a.metric".to_owned(),
            "\"wanted\" is a decision or a forecast, which can be no input of another signal"
                .to_owned()
        )]
    );
}
