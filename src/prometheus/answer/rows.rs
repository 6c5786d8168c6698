//! The vector of an instant query as [`Rows`]: labels that say nothing of whose a sample is are
//! passed over, without a string for each.

use std::fmt;

use serde::Deserialize;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};

use super::{Answer, Number, Wrong, query, read};
use crate::model::rows::{Builder, ObjectLabels, Rows};
use crate::model::value::{Point, QueryResult};

/// Reads the answer to an instant query; the data is none where it is a scalar. Where `describe`
/// says so, the labels of samples that are of one object are kept. What is not as it should be is
/// read once more by [`query`], which says what is wrong.
pub fn rows(
    body: &[u8],
    labels: &ObjectLabels,
    describe: bool,
) -> Result<Answer<Option<Rows>>, Wrong> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let fast = read(&mut json, Data(labels));
    if let Ok(Answer::Success { data, notes }) = fast
        && !(describe && data.has_several())
    {
        return Ok(Answer::Success { data: Some(data), notes });
    }
    Ok(match query(body)? {
        Answer::Success { data: QueryResult::Vector(samples), notes } => {
            Answer::Success { data: Some(Rows::of(&samples, labels)), notes }
        }
        Answer::Success { data: QueryResult::Scalar(_), notes } => {
            Answer::Success { data: None, notes }
        }
        Answer::Error { kind, message } => Answer::Error { kind, message },
    })
}

/// The `data` of the answer.
struct Data<'a>(&'a ObjectLabels);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum DataField {
    ResultType,
    Result,
    #[serde(other)]
    Other,
}

impl<'de> DeserializeSeed<'de> for Data<'_> {
    type Value = Rows;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Rows, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Data<'_> {
    type Value = Rows;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a vector")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Rows, A::Error> {
        let mut samples = Samples::new(self.0);
        let mut is_vector = false;
        while let Some(key) = map.next_key()? {
            match key {
                DataField::ResultType => is_vector = map.next_value::<String>()? == "vector",
                DataField::Result => map.next_value_seed(&mut samples)?,
                DataField::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        if is_vector { Ok(samples.rows.build()) } else { Err(A::Error::custom("no vector")) }
    }
}

/// The samples so far, and the names of the one that is being read.
struct Samples<'a> {
    labels: &'a ObjectLabels,
    rows: Builder,
    namespace: String,
    object: String,
}

impl<'a> Samples<'a> {
    fn new(labels: &'a ObjectLabels) -> Self {
        let (rows, namespace, object) = (Builder::default(), String::new(), String::new());
        Self { labels, rows, namespace, object }
    }
}

impl<'de> DeserializeSeed<'de> for &mut Samples<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Samples<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("samples")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(OneSample(self))?.is_some() {}
        Ok(())
    }
}

struct OneSample<'a, 'b>(&'a mut Samples<'b>);

#[derive(Deserialize)]
#[serde(field_identifier, rename_all = "camelCase")]
enum SampleField {
    Metric,
    Value,
}

impl<'de> DeserializeSeed<'de> for OneSample<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for OneSample<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sample")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self(samples) = self;
        samples.namespace.clear();
        samples.object.clear();
        let (mut has_labels, mut point) = (false, None);
        while let Some(key) = map.next_key()? {
            match key {
                SampleField::Metric => {
                    map.next_value_seed(Names(samples))?;
                    has_labels = true;
                }
                SampleField::Value => {
                    let (timestamp, Number(value)) = map.next_value()?;
                    point = Some(Point { timestamp, value });
                }
            }
        }
        let (Some(point), true) = (point, has_labels) else {
            return Err(A::Error::custom("no sample"));
        };
        let namespace = samples.labels.namespace.is_some().then_some(samples.namespace.as_str());
        samples.rows.add(namespace, &samples.object, point);
        Ok(())
    }
}

/// The labels of a sample, of which two are read.
struct Names<'a, 'b>(&'a mut Samples<'b>);

impl<'de> DeserializeSeed<'de> for Names<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Names<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Samples { labels, namespace, object, .. } = self.0;
        while let Some(which) = map.next_key_seed(Which(labels))? {
            match which {
                Label::Namespace => map.next_value_seed(Into(namespace))?,
                Label::Object => map.next_value_seed(Into(object))?,
                Label::Other => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

enum Label {
    Namespace,
    Object,
    Other,
}

/// Which label a name is of.
struct Which<'a>(&'a ObjectLabels);

impl<'de> DeserializeSeed<'de> for Which<'_> {
    type Value = Label;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Label, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Which<'_> {
    type Value = Label;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a label")
    }

    fn visit_str<E>(self, name: &str) -> Result<Label, E> {
        Ok(if *name == self.0.object {
            Label::Object
        } else if self.0.namespace.as_deref() == Some(name) {
            Label::Namespace
        } else {
            Label::Other
        })
    }
}

/// Reads a text into one that is there.
struct Into<'a>(&'a mut String);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a label")
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        self.0.clear();
        self.0.push_str(value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> ObjectLabels {
        ObjectLabels { namespace: Some("namespace".to_owned()), object: "pod".to_owned() }
    }

    /// What the reader of all labels makes of it.
    fn whole(body: &[u8]) -> Result<Answer<Option<Rows>>, Wrong> {
        Ok(match query(body)? {
            Answer::Success { data, notes } => {
                let data = match data {
                    QueryResult::Vector(samples) => Some(Rows::of(&samples, &labels())),
                    QueryResult::Scalar(_) => None,
                };
                Answer::Success { data, notes }
            }
            Answer::Error { kind, message } => Answer::Error { kind, message },
        })
    }

    #[test]
    fn an_answer_says_the_same_as_with_all_its_labels() {
        let sample = |labels: &str| format!(r#"{{"metric":{{{labels}}},"value":[1.5,"2"]}}"#);
        let a = r#""namespace":"a","pod":"x\u002d1","code":"200""#;
        let results = [
            format!(r#""resultType":"vector","result":[{}]"#, sample(a)),
            format!(r#""result":[{},{}],"resultType":"vector""#, sample(a), sample("")),
            format!(r#""resultType":"vector","result":[{},{}]"#, sample(a), sample(a)),
            r#""resultType":"vector","result":[]"#.to_owned(),
            r#""resultType":"vector","result":null"#.to_owned(),
            r#""resultType":"scalar","result":[1,"2"]"#.to_owned(),
            r#""resultType":"matrix","result":[{"metric":{},"values":[]}]"#.to_owned(),
            r#""resultType":"vector","result":[{"metric":{},"histogram":[1,{}]}]"#.to_owned(),
            r#""resultType":"vector","result":[{"metric":{},"value":[1,"x"]}]"#.to_owned(),
            r#""resultType":"vector","result":[{"value":[1,"2"]}]"#.to_owned(),
        ];
        for result in results {
            let body = format!(r#"{{"status":"success","data":{{{result}}}}}"#);
            assert_eq!(rows(body.as_bytes(), &labels(), true), whole(body.as_bytes()), "{body}");
        }
        let error = br#"{"status":"error","errorType":"execution","error":"no"}"#;
        assert_eq!(rows(error, &labels(), true), whole(error));
    }

    proptest! {
        #[test]
        fn names_are_read_whatever_they_are(
            samples in proptest::collection::vec((".{0,3}", "[ab\\PC]{0,3}", any::<f64>()), 0..8),
        ) {
            let items: Vec<_> = samples
                .iter()
                .map(|(namespace, pod, value)| {
                    serde_json::json!({
                        "metric": {"namespace": namespace, "pod": pod, "z": "y"},
                        "value": [1.5, value.to_string()],
                    })
                })
                .collect();
            let data = serde_json::json!({"resultType": "vector", "result": items});
            let body = serde_json::json!({"status": "success", "data": data}).to_string();
            let told = |answer| format!("{answer:?}");
            let (fast, whole) = (rows(body.as_bytes(), &labels(), true), whole(body.as_bytes()));
            prop_assert_eq!(told(fast), told(whole));
        }
    }
}
