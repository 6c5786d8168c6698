//! The JSON of the HTTP API: the envelope that all answers share, and the result of an instant
//! query, read in one pass straight into the model.
//!
//! The order of the keys does not matter. Source:
//! <https://prometheus.io/docs/prometheus/latest/querying/api/>.

mod rows;

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

pub use self::rows::rows;
use crate::model::value::{Labels, Point, QueryResult, Sample, Series};

/// What an answer says, whatever the status code it came with.
#[derive(Debug, PartialEq)]
pub enum Answer<T> {
    /// `status: success`.
    Success {
        /// What was asked for.
        data: T,
        /// Warnings and infos.
        notes: Notes,
    },
    /// `status: error`.
    Error {
        /// `errorType`: `execution`, `bad_data`, …
        kind: String,
        /// What went wrong, in the words of Prometheus.
        message: String,
    },
}

/// What an answer says beside its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Warnings and infos, for the log.
    pub texts: Vec<String>,
    /// Why the answer lacks something, where it does. Warnings of PromQL itself are about the
    /// query, and their answer is whole.
    pub partial: Option<String>,
}

impl Notes {
    fn warn(&mut self, warnings: Vec<String>) {
        let partial = warnings.iter().find(|text| !text.starts_with("PromQL "));
        if let (None, Some(text)) = (&self.partial, partial) {
            self.partial = Some(text.clone());
        }
        self.texts.extend(warnings);
    }
}

/// Reads the answer to a range query. The error says what is wrong with it.
pub fn range(body: &[u8]) -> Result<Answer<Vec<Series>>, Wrong> {
    let mut json = serde_json::Deserializer::from_slice(body);
    Ok(match read(&mut json, RangeData).map_err(|error| Wrong::Malformed(error.to_string()))? {
        Answer::Success { data, notes } => {
            Answer::Success { data: data.map_err(Wrong::Unusable)?, notes }
        }
        Answer::Error { kind, message } => Answer::Error { kind, message },
    })
}

/// What is wrong with the answer to a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It is not what the HTTP API promises.
    Malformed(String),
    /// It is as it should be and of a type that no metric can be made of.
    Unusable(String),
}

/// Reads the answer to an instant query. The error says what is wrong with it.
pub fn query(body: &[u8]) -> Result<Answer<QueryResult>, Wrong> {
    let mut json = serde_json::Deserializer::from_slice(body);
    Ok(match read(&mut json, QueryData).map_err(|error| Wrong::Malformed(error.to_string()))? {
        Answer::Success { data, notes } => {
            Answer::Success { data: data.map_err(Wrong::Unusable)?, notes }
        }
        Answer::Error { kind, message } => Answer::Error { kind, message },
    })
}

/// Reads the body of a refusal: `None` where it is not in the form of the HTTP API.
pub fn refusal(body: &[u8]) -> Option<(String, String)> {
    let mut json = serde_json::Deserializer::from_slice(body);
    match read(&mut json, Ignored).ok()? {
        Answer::Error { kind, message } => Some((kind, message)),
        Answer::Success { .. } => None,
    }
}

/// Reads an envelope whose `data` the seed reads, up to the end of the input.
pub(super) fn read<'de, R, S>(
    json: &mut serde_json::Deserializer<R>,
    data: S,
) -> Result<Answer<S::Value>, serde_json::Error>
where
    R: serde_json::de::Read<'de>,
    S: DeserializeSeed<'de>,
{
    let answer = json.deserialize_map(EnvelopeVisitor(data))?;
    json.end()?;
    Ok(answer)
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum Field {
    Status,
    Data,
    ErrorType,
    Error,
    Warnings,
    Infos,
    IsPartial,
    #[serde(other)]
    Other,
}

struct EnvelopeVisitor<S>(S);

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for EnvelopeVisitor<S> {
    type Value = Answer<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an answer of the Prometheus HTTP API")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut seed = Some(self.0);
        let (mut status, mut data, mut kind, mut message) = (None, None, None, None);
        let mut notes = Notes::default();
        while let Some(key) = map.next_key::<Field>()? {
            match key {
                Field::Status => status = Some(map.next_value::<String>()?),
                Field::Data => {
                    let seed = seed.take().ok_or_else(|| A::Error::duplicate_field("data"))?;
                    data = map.next_value_seed(Nullable(seed))?;
                }
                Field::ErrorType => kind = map.next_value::<Option<String>>()?,
                Field::Error => message = map.next_value::<Option<String>>()?,
                Field::Warnings => {
                    notes.warn(map.next_value::<Option<Vec<String>>>()?.unwrap_or_default());
                }
                Field::Infos => {
                    let infos = map.next_value::<Option<Vec<String>>>()?;
                    notes.texts.extend(infos.unwrap_or_default());
                }
                // VictoriaMetrics says it so where Thanos warns.
                Field::IsPartial => {
                    if map.next_value::<Option<bool>>()? == Some(true) {
                        notes.warn(vec!["the response is partial".to_owned()]);
                    }
                }
                Field::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        match status.as_deref() {
            Some("success") => {
                let data = data.ok_or_else(|| A::Error::custom("`data` is missing or null"))?;
                Ok(Answer::Success { data, notes })
            }
            Some("error") => Ok(Answer::Error {
                kind: kind.unwrap_or_default(),
                message: message.unwrap_or_else(|| "it gives no reason".to_owned()),
            }),
            Some(other) => Err(A::Error::unknown_variant(other, &["success", "error"])),
            None => Err(A::Error::missing_field("status")),
        }
    }
}

/// `null` or what the seed reads.
struct Nullable<S>(S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for Nullable<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("data")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

struct Ignored;

impl<'de> DeserializeSeed<'de> for Ignored {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| ())
    }
}

/// The `data` of a range query; of another type, the inner error says which.
struct RangeData;

impl<'de> DeserializeSeed<'de> for RangeData {
    type Value = Result<Vec<Series>, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with `resultType` and `result`")]
        struct Data {
            #[serde(rename = "resultType")]
            kind: String,
            result: Option<Vec<Row>>,
        }
        #[derive(Deserialize)]
        struct Row {
            metric: LabelSet,
            #[serde(default)]
            values: Vec<(f64, Number)>,
            histograms: Option<IgnoredAny>,
        }
        let Data { kind, result } = Data::deserialize(deserializer)?;
        if kind != "matrix" {
            return Ok(Err(format!("a range query gives a matrix, not a {kind}")));
        }
        let rows = result.unwrap_or_default();
        if rows.iter().any(|row| row.histograms.is_some()) {
            return Ok(Err("the query gives native histograms; take a number from them".into()));
        }
        let point = |(timestamp, Number(value))| Point { timestamp, value };
        let series = rows.into_iter().map(|row| Series {
            labels: row.metric.0,
            points: row.values.into_iter().map(point).collect(),
        });
        Ok(Ok(series.collect()))
    }
}

/// The `data` of an instant query. JSON that is well formed but of a type that no metric can be
/// made of is an inner error, whose text then carries no line and column.
struct QueryData;

impl<'de> DeserializeSeed<'de> for QueryData {
    type Value = Result<QueryResult, String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        #[derive(Deserialize)]
        #[serde(expecting = "an object with `resultType` and `result`")]
        struct Data<'a> {
            #[serde(rename = "resultType", borrow)]
            kind: Cow<'a, str>,
            #[serde(borrow)]
            result: Option<Items<'a>>,
        }
        let Data { kind, result } = Data::deserialize(deserializer)?;
        Ok(result.unwrap_or_default().into_result(&kind))
    }
}

/// The `result` before its type is known: its keys may come in any order.
#[derive(Default)]
struct Items<'a> {
    samples: Vec<Sample>,
    histogram: bool,
    series: bool,
    time: Option<f64>,
    text: Option<Cow<'a, str>>,
}

impl Items<'_> {
    fn into_result(self, kind: &str) -> Result<QueryResult, String> {
        match kind {
            "vector" if self.histogram => Err("the query gives native histograms; take a number \
                 from them, for instance with histogram_quantile, histogram_sum or \
                 histogram_count"
                .to_owned()),
            "vector" if self.series || self.time.is_some() || self.text.is_some() => {
                Err("an instant vector holds something that is no sample".to_owned())
            }
            "vector" => Ok(QueryResult::Vector(self.samples)),
            "scalar" => {
                let (Some(timestamp), Some(text)) = (self.time, self.text) else {
                    return Err("a scalar is not a pair of time and value".to_owned());
                };
                let value = text.parse().map_err(|_| format!("{text:?} is no number"))?;
                Ok(QueryResult::Scalar(Point { timestamp, value }))
            }
            "matrix" => Err("the query gives a range vector (a matrix), not an instant vector or \
                 a scalar; put rate(…) or another function around the range"
                .to_owned()),
            "string" => {
                Err("the query gives a string, not an instant vector or a scalar".to_owned())
            }
            other => Err(format!("the result type {other:?} is unknown")),
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Items<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;

        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of samples, or a time and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut items = Items::default();
                while let Some(item) = seq.next_element::<Item<'de>>()? {
                    match item {
                        Item::Sample(sample) => items.samples.push(sample),
                        Item::Histogram => items.histogram = true,
                        Item::Series => items.series = true,
                        Item::Time(time) => items.time = Some(time),
                        Item::Text(text) => items.text = Some(text),
                    }
                }
                Ok(items)
            }
        }

        deserializer.deserialize_seq(ItemsVisitor)
    }
}

enum Item<'a> {
    Sample(Sample),
    Histogram,
    Series,
    Time(f64),
    Text(Cow<'a, str>),
}

impl<'de> Deserialize<'de> for Item<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ItemVisitor)
    }
}

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum ItemField {
    Metric,
    Value,
    Histogram,
    Values,
    Histograms,
    #[serde(other)]
    Other,
}

struct ItemVisitor;

impl<'de> Visitor<'de> for ItemVisitor {
    type Value = Item<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut labels, mut value, mut other) = (None, None, None);
        while let Some(key) = map.next_key::<ItemField>()? {
            match key {
                ItemField::Metric => labels = Some(map.next_value::<LabelSet>()?.0),
                ItemField::Value => value = Some(map.next_value::<(f64, Number)>()?),
                ItemField::Histogram => {
                    map.next_value::<IgnoredAny>()?;
                    other = Some(Item::Histogram);
                }
                ItemField::Values | ItemField::Histograms => {
                    map.next_value::<IgnoredAny>()?;
                    other = Some(Item::Series);
                }
                ItemField::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        if let Some(other) = other {
            return Ok(other);
        }
        let (timestamp, Number(value)) = value.ok_or_else(|| A::Error::missing_field("value"))?;
        Ok(Item::Sample(Sample {
            labels: labels.ok_or_else(|| A::Error::missing_field("metric"))?,
            point: Point { timestamp, value },
        }))
    }

    fn visit_f64<E>(self, time: f64) -> Result<Self::Value, E> {
        Ok(Item::Time(time))
    }

    #[expect(clippy::cast_precision_loss, reason = "a time in seconds is far below 2^53")]
    fn visit_u64<E>(self, time: u64) -> Result<Self::Value, E> {
        Ok(Item::Time(time as f64))
    }

    #[expect(clippy::cast_precision_loss, reason = "a time in seconds is far below 2^53")]
    fn visit_i64<E>(self, time: i64) -> Result<Self::Value, E> {
        Ok(Item::Time(time as f64))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Item::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Item::Text(Cow::Owned(text.to_owned())))
    }
}

struct LabelSet(Labels);

impl<'de> Deserialize<'de> for LabelSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct LabelsVisitor;

        impl<'de> Visitor<'de> for LabelsVisitor {
            type Value = LabelSet;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("labels")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<LabelSet, A::Error> {
                std::iter::from_fn(|| map.next_entry::<Box<str>, Box<str>>().transpose())
                    .collect::<Result<Labels, _>>()
                    .map(LabelSet)
            }
        }

        deserializer.deserialize_map(LabelsVisitor)
    }
}

/// A sample's value: a string, because JSON has no `NaN` and no `+Inf`.
struct Number(f64);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberVisitor;

        impl Visitor<'_> for NumberVisitor {
            type Value = Number;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number as a string")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Number, E> {
                let invalid = |_| E::invalid_value(serde::de::Unexpected::Str(text), &self);
                text.parse().map(Number).map_err(invalid)
            }
        }

        deserializer.deserialize_str(NumberVisitor)
    }
}

#[cfg(test)]
mod tests;
