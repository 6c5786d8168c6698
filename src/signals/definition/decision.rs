//! What is decided and what is foreseen, as a person writes it. The comments of the fields are what
//! `kubectl explain` prints.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Input, MAX_INPUTS};

/// A replica count that a table of conditions decides. The entry that holds with the highest
/// confidence is the reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Decision {
    /// The preset of the inputs requestRate, errorRatio and responseSeconds (the 95th percentile)
    /// where they are left out; without it there are only cpu and memory, against requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Inputs by the name that the table uses, in place of the default ones or besides.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = MAX_INPUTS))]
    pub inputs: BTreeMap<String, Input>,
    /// The entries, in place of the default ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub table: Vec<DecisionEntry>,
    /// The least count; 2 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub min: Option<u32>,
    /// The largest count; 50 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max: Option<u32>,
    /// The confidence from which an entry raises the count; 0.6 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub up_confidence: Option<f64>,
    /// The confidence from which an entry lowers the count; 0.3 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub down_confidence: Option<f64>,
}

/// An entry of a decision's table: up or down, and when.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.up) != has(self.down)")
    .message("exactly one of up and down has to be there"))]
pub struct DecisionEntry {
    /// It raises the count, with this confidence from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub up: Option<f64>,
    /// It lowers the count, with this confidence from 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub down: Option<f64>,
    /// It holds only for objects with more pods than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pods_above: Option<u32>,
    /// All of these have to hold.
    #[schemars(length(min = 1, max = 8))]
    pub when: Vec<DecisionCondition>,
}

/// What an input has to be: exactly one of above, below and aboveHighest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "[has(self.above), has(self.below), has(self.aboveHighest)].filter(it, it).size() == 1"
).message("exactly one of above, below and aboveHighest has to be there"))]
pub struct DecisionCondition {
    /// The name of the input.
    #[schemars(length(min = 1, max = 63))]
    pub input: String,
    /// It is greater than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above: Option<f64>,
    /// It is less than this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// It is greater than a multiple of the highest of the last samples before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_highest: Option<AboveHighest>,
    /// How many samples in a row have to pass; 1 where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 16))]
    pub samples: Option<u32>,
}

/// A multiple of the highest of the last samples.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct AboveHighest {
    /// How many times the highest.
    pub factor: f64,
    /// How many samples.
    #[schemars(range(min = 1, max = 16))]
    pub samples: u32,
}

/// What a value will be some time ahead.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Forecast {
    /// Of what.
    pub of: Input,
    /// How far ahead, as `30m`.
    pub horizon: String,
    /// The lengths of the seasons, as `1d`.
    #[schemars(length(min = 1, max = 4))]
    pub seasons: Vec<String>,
    /// How far back the past is read, as `14d`: at least two of the longest season.
    pub history: String,
}
