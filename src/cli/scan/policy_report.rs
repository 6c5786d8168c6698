//! The findings of a namespace as a `PolicyReport` (wgpolicyk8s.io/v1alpha2), one for all of it, so
//! that etcd holds no more of them than there are namespaces.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Judged;
use crate::admission::finding::Finding;
use crate::admission::report;
use crate::model::policy::{Level, Mode};

/// Most results in a report: a kilobyte each at most, far below what etcd takes.
const MAX_RESULTS: usize = 500;

/// The report of a namespace. The summary counts all, whatever there is room for.
pub(super) fn document(namespace: &str, judged: &[Judged], now: Timestamp) -> Value {
    let found = |mode| judged.iter().map(|one| one.findings(mode).count()).sum::<usize>();
    let passed =
        |one: &&Judged| one.judgement.is_ok() && !one.is(Mode::Deny) && !one.is(Mode::Warn);
    let of = |mode| judged.iter().flat_map(move |one| one.findings(mode).map(move |f| (one, f)));
    let gravest = of(Mode::Deny).chain(of(Mode::Warn)).take(MAX_RESULTS);
    let results: Vec<_> =
        gravest.map(|(one, finding)| result(namespace, one, finding, now)).collect();
    json!({
        "apiVersion": "wgpolicyk8s.io/v1alpha2",
        "kind": "PolicyReport",
        "metadata": {
            "name": "plimsoll",
            "namespace": namespace,
            "labels": {"app.kubernetes.io/managed-by": "plimsoll"},
        },
        "summary": {
            "pass": judged.iter().filter(passed).count(),
            "fail": found(Mode::Deny),
            "warn": found(Mode::Warn),
            "error": judged.iter().filter(|one| one.judgement.is_err()).count(),
            "skip": 0,
        },
        "results": results,
    })
}

fn result(namespace: &str, one: &Judged, finding: &Finding, now: Timestamp) -> Value {
    let denied = finding.mode == Mode::Deny;
    let severity = match finding.rule.level() {
        _ if denied => "high",
        Some(Level::Baseline) => "medium",
        _ => "low",
    };
    json!({
        "source": "plimsoll",
        "policy": "plimsoll",
        "rule": finding.rule.name(),
        "category": "Limits and probes",
        "severity": severity,
        "result": if denied { "fail" } else { "warn" },
        "message": report::line(finding),
        "timestamp": {"seconds": now.as_second(), "nanos": 0},
        "resources": [{
            "apiVersion": one.api_version,
            "kind": one.kind,
            "namespace": namespace,
            "name": one.name,
            "uid": one.uid,
        }],
        "properties": {"path": finding.path},
    })
}
