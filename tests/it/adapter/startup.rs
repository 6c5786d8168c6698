//! Configurations and flags that prometheus-adapter starts with or refuses.

use std::collections::BTreeSet;
use std::sync::Mutex;

use serde::Deserialize;
use serde_json::Value;

use super::recording::lines;
use crate::support::plimsoll::{Plimsoll, Start};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Attempt {
    case: String,
    /// None where the flags name the file.
    #[serde(default)]
    config: Option<String>,
    #[serde(default)]
    flags: Vec<String>,
    started: bool,
    #[serde(default, rename = "exit_code")]
    _exit_code: Option<i32>,
    #[serde(default, rename = "log")]
    _log: Vec<String>,
}

/// Who starts, where prometheus-adapter does not, and why.
const STARTS: [(&str, &str); 7] = [
    ("override of wrong group", "the resource may be defined later; it is told as a problem"),
    ("override group with version", "the same"),
    ("unknown override", "the same"),
    ("external bad override", "the same"),
    ("override short name", "short names work throughout"),
    ("namespaced as string", "\"yes\" cannot be misunderstood"),
    ("logtostderr", "a flag of its older versions, which its stored chart still passes"),
];

/// What is refused, where prometheus-adapter starts, and why.
const REFUSED: [(&str, &str); 6] = [
    ("no seriesQuery", "it starts, and every listing fails"),
    ("empty seriesQuery twice", "it starts, and every listing fails"),
    ("query unknown field", "it starts, and every query fails"),
    ("relist 0", "it lists without a pause"),
    ("max-age below relist, external only", "series vanish between two listings"),
    ("positional", "it ignores what is most likely a flag without its dashes"),
];

#[test]
fn what_prometheus_adapter_starts_with_or_refuses_is_started_with_or_refused() {
    let attempts: Vec<Attempt> = lines("startup.jsonl");
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for some in attempts.chunks(10) {
            scope.spawn(|| {
                let some: Vec<_> = some.iter().map(check).collect();
                outcomes.lock().unwrap().extend(some);
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap();
    let wrong: Vec<_> = outcomes.iter().filter_map(|outcome| outcome.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let cases: BTreeSet<_> = attempts.iter().map(|attempt| attempt.case.as_str()).collect();
    for (case, _) in STARTS.iter().chain(&REFUSED) {
        assert!(cases.contains(case), "{case}");
    }
    assert_eq!(outcomes.len(), 73);
}

fn check(attempt: &Attempt) -> Result<(), String> {
    let flags: Vec<_> = attempt.flags.iter().map(String::as_str).collect();
    let starts = STARTS.iter().any(|(case, _)| *case == attempt.case)
        || attempt.started && !REFUSED.iter().any(|(case, _)| *case == attempt.case);
    let outcome = Plimsoll::try_start(&Start {
        config: attempt.config.as_deref().unwrap_or_default(),
        // Nothing listens there.
        prometheus: "http://127.0.0.1:9",
        flags: &flags,
        ..Start::default()
    });
    let complaint = |what: &str| Err(format!("{}: {what}", attempt.case));
    match outcome {
        Ok(_) if starts => Ok(()),
        Ok(_) => complaint("it starts"),
        Err((_, log)) if starts => complaint(&format!("it does not start: {log:?}")),
        Err((status, _)) if attempt.case == "help" && status.success() => Ok(()),
        Err((status, _)) if status.success() => complaint("it ends without an error"),
        Err((_, log)) if attempt.flags.is_empty() => {
            // Only what is no YAML at all has no path.
            let has_path = !["not yaml", "tabs", "string document", "duplicate top key"]
                .contains(&attempt.case.as_str());
            let error = log.last().and_then(|it| it["error"].as_str()).unwrap_or_default();
            let place = if has_path {
                regex::Regex::new(
                    r"/config\.yaml:\d+: (rules|externalRules|resourceRules|Rules|foo)",
                )
            } else {
                regex::Regex::new(r"/config\.yaml:\d+: ")
            };
            if place.unwrap().is_match(error) { Ok(()) } else { complaint(&format!("{log:?}")) }
        }
        Err((_, log)) => {
            let text = log.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
            let names_it = attempt.flags.iter().any(|flag| {
                let (name, value) = flag.split_once('=').unwrap_or((flag, ""));
                text.contains(name) || !value.is_empty() && text.contains(value)
            });
            if names_it { Ok(()) } else { complaint(&text) }
        }
    }
}
