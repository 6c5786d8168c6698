//! What the tests of both forms write: a pod's value and the selector that it was asked for with.

use std::collections::BTreeMap;

use super::metrics::{MetricValue, ObjectReference, Seconds};
use crate::model::quantity::Milli;
use crate::model::selector::{LabelSelector, LabelSelectorRequirement};

pub(super) const TIME: Seconds = Seconds(1_767_323_045);

pub(super) fn selector() -> LabelSelector {
    LabelSelector {
        match_labels: BTreeMap::from([("verb".to_owned(), "GET".to_owned())]),
        match_expressions: vec![LabelSelectorRequirement {
            key: "code".to_owned(),
            operator: "In",
            values: vec!["200".to_owned(), "201".to_owned()],
        }],
    }
}

pub(super) fn pod<'a>(
    name: &'a str,
    selector: Option<&'a LabelSelector>,
    window: Option<u32>,
    value: i64,
) -> MetricValue<'a> {
    let object = ObjectReference { kind: "Pod", namespace: "default", name, api_version: "/v1" };
    let value = Milli(value);
    MetricValue { object, metric: "http_requests", selector, timestamp: TIME, window, value }
}
