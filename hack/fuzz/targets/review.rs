//! Admission reviews: whatever is readable is judged without a panic, what is said of it keeps its
//! bounds, and a patch leaves nothing to add.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use plimsoll::admission::judge::{Facts, judge};
use plimsoll::admission::workload::Workload;
use plimsoll::admission::{autoscaler, mutate, report, review};
use plimsoll::model::policy::{Mode, Mutation, Policy, Rule, Setting};
use serde_json::Value;

fuzz_target!(|body: &[u8]| {
    let Ok(request) = review::parse(body) else { return };
    assert!(!request.uid.is_empty());
    let kind = request.kind.clone().unwrap_or_default();
    let read = |raw: Option<&serde_json::value::RawValue>| -> Option<Value> {
        serde_json::from_str(raw?.get()).ok()
    };
    let Some(object) = read(request.object) else { return };
    let _autoscaler = autoscaler::read(&object);
    let policy = strict();
    let facts = Facts::alone(Timestamp::UNIX_EPOCH);
    let workload = |object: &Value| {
        Workload::read(&kind.group, &kind.kind, object, &policy.templates).ok().flatten()
    };
    let Some(new) = workload(&object) else { return };
    let old = read(request.old_object).as_ref().and_then(workload);
    let judgement = judge(&new, old.as_ref(), &policy, &facts);
    let warnings = report::warnings(&judgement);
    assert!(warnings.iter().all(|text| text.chars().count() <= report::MAX_WARNING));
    let total: usize = warnings.iter().map(|text| text.chars().count()).sum();
    assert!(total <= report::MAX_WARNINGS);
    assert_eq!(judgement.is_denied(), !report::refusal(&new.title(), &judgement).is_empty());
    let _causes = report::causes(&judgement);
    let _annotations = report::audit_annotations(&judgement);
    let _patch = mutate::patch(&new, &object, &policy, &facts);
});

/// Every rule denies, and pods are added to.
fn strict() -> Policy {
    let deny = Setting { mode: Mode::Deny, written: true };
    let modes = Rule::ALL.iter().map(|rule| (*rule, deny)).collect();
    Policy { modes, mutation: Some(Mutation { from_history: false }), ..Policy::default() }
}
