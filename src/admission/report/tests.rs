use serde_json::json;

use super::*;
use crate::model::policy::Rule;

fn finding(mode: Mode, container: &str) -> Finding {
    Finding {
        rule: Rule::MemoryLimit,
        container: Some(container.into()),
        path: "spec.template.spec.containers[0].resources.limits.memory".to_owned(),
        current: "missing".to_owned(),
        wanted: "512Mi".to_owned(),
        message: "no memory limit (no history)".to_owned(),
        fix: Some(json!({"resources": {"limits": {"memory": "512Mi"}}})),
        mode,
        lowered: None,
        badness: None,
    }
}

fn judgement(findings: Vec<Finding>) -> Judgement {
    Judgement { findings, ..Judgement::default() }
}

#[test]
fn a_refusal_says_what_matters_first_and_ends_with_what_to_paste() {
    let mut request = finding(Mode::Deny, "app");
    request.fix = Some(json!({"resources": {"requests": {"memory": "448Mi"}}}));
    request.path = "spec.template.spec.containers[0].resources.requests.memory".to_owned();
    let judgement = judgement(vec![finding(Mode::Deny, "app"), request, finding(Mode::Warn, "b")]);
    assert_eq!(
        refusal("Deployment shop/cart", &judgement),
        "Deployment shop/cart: 2 problems. container \"app\": resources.limits.memory missing → \
         512Mi: no memory limit (no history)\n\
         - container \"app\": resources.requests.memory missing → 512Mi: no memory limit (no history)\n\
         To paste:\n\
         - name: app\n  resources:\n    limits:\n      memory: 512Mi\n    requests:\n      memory: 448Mi\n"
    );
    let fields: Vec<_> =
        causes(&judgement).into_iter().map(|cause| (cause.reason, cause.field)).collect();
    let path = |side: &str| format!("spec.template.spec.containers[0].resources.{side}.memory");
    let required = "FieldValueRequired";
    assert_eq!(fields, [(required, path("limits")), (required, path("requests"))]);
    let annotations = audit_annotations(&judgement);
    let expected = [
        ("deny", "memoryLimit/app,memoryLimit/app"),
        ("verdict", "denied"),
        ("warn", "memoryLimit/b"),
    ];
    assert_eq!(annotations, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
fn answers_stay_within_their_bounds() {
    let many =
        |mode| judgement((0..500).map(|index| finding(mode, &format!("c{index}"))).collect());
    let warnings = warnings(&many(Mode::Warn));
    assert!(warnings.iter().all(|warning| warning.chars().count() <= MAX_WARNING));
    assert!(warnings.iter().map(|warning| warning.chars().count()).sum::<usize>() <= MAX_WARNINGS);
    assert!(warnings.last().unwrap().contains("more"));
    let refusal = refusal("Deployment shop/cart", &many(Mode::Deny));
    assert!(refusal.len() < 1200 && refusal.contains("more"), "{refusal}");
    assert_eq!(causes(&many(Mode::Deny)).len(), 100);
}

#[test]
fn names_cannot_write_to_a_terminal() {
    let hostile = finding(Mode::Deny, "\u{1b}[31mapp\n- fine\u{202e}");
    let text = refusal("Pod shop/\u{1b}]0;x\u{7}", &judgement(vec![hostile]));
    assert!(!text.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{text:?}");
    assert_eq!(clean("a\nb", 10), "a\u{fffd}b");
    assert_eq!(clean("abcdef", 4), "abc…");
    assert_eq!(clean("abcd", 4), "abcd");
}

#[test]
fn sarif_names_rule_level_and_place() {
    let finding = finding(Mode::Deny, "app");
    let located =
        sarif::Located { finding: &finding, title: "Deployment cart", file: "a.yaml", line: 3 };
    let document = sarif::document("0.1.0", &[located]);
    let result = &document["runs"][0]["results"][0];
    assert_eq!((&result["ruleId"], &result["level"]), (&json!("memoryLimit"), &json!("error")));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 3);
}
