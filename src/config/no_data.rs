//! `noData` of a rule: what its metric answers where the backend has nothing.

use std::time::Duration;

use serde_saphyr::{Location, Spanned};

use super::report::{Report, with_causes};
use crate::model::duration;
use crate::model::no_data::NoData as Policy;
use crate::model::quantity::{Milli, Quantity};

/// As it is written: `{policy: lastKnown, maxAge: 2m}`, `{policy: constant, value: "5"}`.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct NoData {
    policy: Option<Spanned<String>>,
    max_age: Option<Spanned<String>>,
    value: Option<Spanned<String>>,
}

/// Checks a policy that stands at a place; none where it has a mistake.
pub(super) fn compile(
    no_data: NoData,
    at: Location,
    path: &str,
    report: &mut Report<'_>,
) -> Option<Policy> {
    let NoData { policy, max_age, value } = no_data;
    let name = policy.as_ref().map_or("", |policy| policy.value.as_str());
    let mut error = |at: Location, field: &str, what: String| {
        report.error(at, format!("{path}.noData{field}"), what);
        None
    };
    for (key, given, of) in [(".maxAge", &max_age, "lastKnown"), (".value", &value, "constant")] {
        if let Some(given) = given.as_ref().filter(|_| name != of) {
            return error(given.referenced, key, format!("it goes with `policy: {of}` alone"));
        }
    }
    match (name, max_age, value) {
        ("error", ..) => Some(Policy::Error),
        ("zero", ..) => Some(Policy::Zero),
        ("lastKnown", Some(max_age), _) => match duration::parse(&max_age.value) {
            Ok(Duration::ZERO) => error(max_age.referenced, ".maxAge", "it is zero".to_owned()),
            Ok(max_age) => Some(Policy::LastKnown { max_age }),
            Err(mistake) => error(max_age.referenced, ".maxAge", with_causes(&mistake)),
        },
        ("lastKnown", None, _) => {
            error(at, ".maxAge", "it is missing: lastKnown needs a largest age".to_owned())
        }
        ("constant", _, Some(value)) => match Quantity::parse(&value.value) {
            Ok(quantity) => Some(Policy::Constant(Milli(quantity.milli_value()))),
            Err(mistake) => error(value.referenced, ".value", with_causes(&mistake)),
        },
        ("constant", _, None) => error(at, ".value", "it is missing".to_owned()),
        _ => {
            let at = policy.as_ref().map_or(at, |policy| policy.referenced);
            let what = "it is error, zero, lastKnown or constant";
            error(at, ".policy", what.to_owned())
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config;
    use crate::model::no_data::NoData;
    use crate::model::quantity::Milli;

    /// What a rule with that policy has, or what is wrong with it.
    fn policy(text: &str) -> Result<NoData, String> {
        let text = format!(
            "rules:\n- seriesQuery: x\n  resources: {{template: <<.Resource>>}}\n  \
             metricsQuery: x{{<<.LabelMatchers>>}}\n  noData: {text}\n"
        );
        let config = config::parse("f", &text).map_err(|error| error.to_string())?;
        Ok(config.rules[0].no_data)
    }

    #[test]
    fn each_policy_takes_what_it_needs_and_nothing_else() {
        let max_age = std::time::Duration::from_mins(2);
        let cases = [
            ("{policy: error}", Ok(NoData::Error)),
            ("{policy: zero}", Ok(NoData::Zero)),
            ("{policy: lastKnown, maxAge: 2m}", Ok(NoData::LastKnown { max_age })),
            ("{policy: constant, value: 1500m}", Ok(NoData::Constant(Milli(1500)))),
            (
                "{policy: lastKnown}",
                Err("f:5: rules[0].noData.maxAge: it is missing: lastKnown needs a largest age"),
            ),
            (
                "{policy: zero, maxAge: 2m}",
                Err("f:5: rules[0].noData.maxAge: it goes with `policy: lastKnown` alone"),
            ),
            (
                "{policy: always}",
                Err("f:5: rules[0].noData.policy: it is error, zero, lastKnown or constant"),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(policy(text), expected.map_err(str::to_owned), "{text}");
        }
    }
}
