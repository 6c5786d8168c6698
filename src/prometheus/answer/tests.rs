use proptest::prelude::*;

use super::*;
use crate::model::value::QueryResult::{Scalar, Vector};

fn sample(labels: &[(&str, &str)], timestamp: f64, value: f64) -> Sample {
    Sample { labels: labels.iter().copied().collect(), point: Point { timestamp, value } }
}

fn success(data: QueryResult) -> Answer<QueryResult> {
    Answer::Success { data, notes: Notes::default() }
}

#[test]
fn vectors_and_scalars_are_read() {
    let cases = [
        (
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{"pod":"b","__name__":"m","é\n":"\u00e9\"\\"},"value":[1435781451.781,"1"]},
                {"metric":{},"value":[1435781451,"-2.5e3"]}]}}"#,
            Vector(vec![
                sample(
                    &[("pod", "b"), ("__name__", "m"), ("é\n", "é\"\\")],
                    1_435_781_451.781,
                    1.0,
                ),
                sample(&[], 1_435_781_451.0, -2_500.0),
            ]),
        ),
        (
            r#"{"data":{"result":[{"value":[1,"1e300"],"metric":{"a":"b"}}],"resultType":"vector",
                "stats":{"timings":{}}},"status":"success","analysis":null}"#,
            Vector(vec![sample(&[("a", "b")], 1.0, 1e300)]),
        ),
        (
            r#"{"status":"success","data":{"resultType":"vector","result":[
                {"metric":{},"value":[0,"+Inf"]},{"metric":{},"value":[0,"-Inf"]}]}}"#,
            Vector(vec![sample(&[], 0.0, f64::INFINITY), sample(&[], 0.0, f64::NEG_INFINITY)]),
        ),
        (r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#, Vector(Vec::new())),
        (
            r#"{"status":"success","data":{"resultType":"vector","result":null}}"#,
            Vector(Vec::new()),
        ),
        (
            r#"{"status":"success","data":{"resultType":"scalar","result":[1.5,"42"]}}"#,
            Scalar(Point { timestamp: 1.5, value: 42.0 }),
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(query(body.as_bytes()), Ok(success(expected)), "{body}");
    }
}

#[test]
fn not_a_number_is_read_as_such() {
    let body = br#"{"status":"success","data":{"resultType":"scalar","result":[1,"NaN"]}}"#;
    let Ok(Answer::Success { data: Scalar(point), .. }) = query(body) else {
        panic!("no scalar");
    };
    assert!(point.value.is_nan());
}

#[test]
fn warnings_infos_and_partial_responses_are_notes_on_an_answer() {
    let body = br#"{"status":"success","isPartial":true,"warnings":["w1","w2"],"infos":["i"],
        "data":{"resultType":"vector","result":[]}}"#;
    let texts = ["the response is partial", "w1", "w2", "i"].map(str::to_owned).to_vec();
    let notes = Notes { texts, partial: Some("the response is partial".to_owned()) };
    assert_eq!(query(body), Ok(Answer::Success { data: Vector(Vec::new()), notes }));
}

#[test]
fn a_warning_of_promql_itself_does_not_make_an_answer_partial() {
    let body = br#"{"status":"success","warnings":["PromQL warning: x"],"infos":["i"],
        "data":{"resultType":"matrix","result":[
            {"metric":{"pod":"a"},"values":[[1,"2"],[2,"NaN"]]}]}}"#;
    let Ok(Answer::Success { data, notes }) = range(body) else { panic!("no series") };
    assert_eq!(notes.partial, None);
    assert_eq!(notes.texts, ["PromQL warning: x", "i"]);
    let labels: Labels = [("pod", "a")].into_iter().collect();
    assert_eq!(
        (&data[0].labels, data[0].points[0]),
        (&labels, Point { timestamp: 1.0, value: 2.0 })
    );
    assert!(data[0].points[1].value.is_nan());
}

#[test]
fn an_error_is_read_with_its_type_and_words() {
    let cases = [
        (
            r#"{"status":"error","errorType":"execution","error":"too many"}"#,
            "execution",
            "too many",
        ),
        (r#"{"status":"error","error":"x","data":null}"#, "", "x"),
        (r#"{"status":"error"}"#, "", "it gives no reason"),
    ];
    for (body, kind, message) in cases {
        let expected = Answer::Error { kind: kind.to_owned(), message: message.to_owned() };
        assert_eq!(query(body.as_bytes()), Ok(expected), "{body}");
        assert_eq!(refusal(body.as_bytes()), Some((kind.to_owned(), message.to_owned())));
    }
    assert_eq!(refusal(br#"{"status":"success","data":{}}"#), None);
    assert_eq!(refusal(b"Bad Gateway"), None);
}

#[test]
fn what_is_wrong_with_an_answer_is_said() {
    let data = |data: &str| format!(r#"{{"status":"success","data":{data}}}"#);
    let result =
        |kind: &str, result: &str| data(&format!(r#"{{"resultType":"{kind}","result":{result}}}"#));
    let cases = [
        (result("matrix", r#"[{"metric":{},"values":[[1,"1"]]}]"#), "a range vector (a matrix)"),
        (result("string", r#"[1,"text"]"#), "gives a string"),
        (result("tensor", "[]"), r#"the result type "tensor" is unknown"#),
        (result("vector", r#"[{"metric":{},"histogram":[1,{"count":"1"}]}]"#), "native histograms"),
        (result("vector", r#"[1,"1"]"#), "holds something that is no sample"),
        (result("vector", r#"[{"metric":{},"value":[1,1]}]"#), "expected a number as a string"),
        (result("vector", r#"[{"metric":{},"value":[1,"one"]}]"#), r#"string "one""#),
        (result("vector", r#"[{"metric":{},"value":[1]}]"#), "invalid length 1"),
        (result("vector", r#"[{"metric":{},"value":[1,"1",2]}]"#), "line 1 column"),
        (result("vector", r#"[{"metric":{}}]"#), "missing field `value`"),
        (result("vector", r#"[{"value":[1,"1"]}]"#), "missing field `metric`"),
        (result("vector", r#"[{"metric":{"a":1},"value":[1,"1"]}]"#), "expected a string"),
        (result("vector", "[[]]"), "expected a sample"),
        (result("vector", "{}"), "expected a list of samples"),
        (result("scalar", "[1]"), "not a pair of time and value"),
        (result("scalar", r#"[1,"x"]"#), r#""x" is no number"#),
        (data("null"), "`data` is missing or null"),
        (data("[]"), "expected an object with `resultType`"),
        (data(r#"{"result":[]}"#), "missing field `resultType`"),
        (r#"{"status":"success"}"#.to_owned(), "`data` is missing or null"),
        (r#"{"status":"fine"}"#.to_owned(), "unknown variant `fine`"),
        (r#"{"data":{"resultType":"vector","result":[]}}"#.to_owned(), "missing field `status`"),
        (r#"{"status":"success","data":null,"data":null}"#.to_owned(), "duplicate field `data`"),
        (result("vector", "[]") + "x", "trailing characters"),
        (result("vector", r#"[{"metric":{"a":"b"#), "EOF while parsing"),
        (r#"{"status":"success","data":{"resultTy"#.to_owned(), "EOF while parsing"),
        ("[]".to_owned(), "expected an answer of the Prometheus HTTP API"),
        (String::new(), "EOF while parsing"),
        ("[".repeat(100_000), "expected an answer"),
        (result("vector", &"[".repeat(100_000)), "expected a sample"),
    ];
    for (body, expected) in cases {
        let (Wrong::Malformed(error) | Wrong::Unusable(error)) =
            query(body.as_bytes()).expect_err(&body);
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_an_answer_or_an_error(body: Vec<u8>) {
        query(&body).ok();
        refusal(&body);
    }

    #[test]
    fn a_damaged_answer_gives_an_answer_or_an_error(
        at in 0_usize..150, replacement: Vec<u8>, length in 0_usize..20,
    ) {
        let mut body = br#"{"status":"success","warnings":["w"],"data":{"resultType":"vector","result":[{"metric":{"pod":"a","ns":"b"},"value":[1435781451.781,"1"]}]}}"#.to_vec();
        let start = at.min(body.len());
        body.splice(start..(start + length).min(body.len()), replacement);
        query(&body).ok();
        refusal(&body);
    }

    #[test]
    fn every_value_that_go_writes_comes_back(timestamp in 0_u32.., value: f64) {
        let body = format!(
            r#"{{"status":"success","data":{{"resultType":"scalar","result":[{timestamp},"{value}"]}}}}"#,
        );
        let point = Point { timestamp: f64::from(timestamp), value };
        prop_assert_eq!(query(body.as_bytes()), Ok(success(Scalar(point))));
    }
}
