use std::fmt::Write;

use proptest::prelude::*;

use super::*;
use crate::prometheus::answer::Notes;

fn names(expected: &[(&str, &[&str])]) -> SeriesNames {
    let labels = |labels: &[&str]| labels.iter().map(|&label| label.to_owned()).collect();
    expected.iter().map(|(metric, names)| ((*metric).to_owned(), labels(names))).collect()
}

fn fold_data(data: &str) -> Result<Answer<SeriesNames>, String> {
    fold(format!(r#"{{"status":"success","data":{data}}}"#).as_bytes())
}

#[test]
fn series_are_folded_into_metrics_and_their_label_names() {
    let folded = fold_data(
        r#"[{"__name__":"up","job":"a","pod":"x"},{"job":"b","__name__":"up","env":"c"},
            {"__name__":"é\"","\u0061":"1"},{"__name__":"bare"},{"no":"name"},{}]"#,
    );
    let expected = names(&[("up", &["job", "pod", "env"]), ("é\"", &["a"]), ("bare", &[])]);
    assert_eq!(folded, Ok(Answer::Success { data: expected, notes: Notes::default() }));
}

#[test]
fn an_empty_listing_is_one_and_null_is_none() {
    let empty = Answer::Success { data: names(&[]), notes: Notes::default() };
    assert_eq!(fold_data("[]"), Ok(empty));
    let error = fold_data("null").unwrap_err();
    assert!(error.starts_with("`data` is missing or null"), "{error}");
}

#[test]
fn an_error_inside_a_success_and_warnings_are_kept() {
    let error = fold(&br#"{"status":"error","errorType":"bad_data","error":"x"}"#[..]);
    let expected = Answer::Error { kind: "bad_data".to_owned(), message: "x".to_owned() };
    assert_eq!(error, Ok(expected));
    let noted = fold(&br#"{"status":"success","data":[],"warnings":["w"]}"#[..]);
    let notes = Notes { texts: vec!["w".to_owned()], partial: Some("w".to_owned()) };
    assert_eq!(noted, Ok(Answer::Success { data: names(&[]), notes }));
}

#[test]
fn what_is_wrong_with_a_listing_is_said() {
    let cases = [
        (r#"[{"__name__":"up","#, "line 1 column"),
        (r#"[{"__name__":1}]"#, "expected a metric name"),
        (r#"["up"]"#, "expected the labels of a series"),
        ("{}", "expected a list of series"),
    ];
    for (data, expected) in cases {
        let error = fold_data(data).unwrap_err();
        assert!(error.contains(expected), "{expected:?} is not in {error:?}");
    }
}

#[test]
fn more_names_than_the_bounds_allow_are_an_error_that_names_the_bound() {
    let list = |count: usize, series: &dyn Fn(usize) -> String| {
        let mut data = String::from("[");
        for number in 0..count {
            let comma = if number == 0 { "" } else { "," };
            write!(data, "{comma}{}", series(number)).unwrap();
        }
        fold_data(&(data + "]"))
    };
    let metric = |number: usize| format!(r#"{{"__name__":"m{number}"}}"#);
    let label = |number: usize| format!(r#"{{"__name__":"m","l{number}":""}}"#);
    let long = format!(r#"{{"__name__":"m","{}":""}}"#, "l".repeat(MAX_NAME + 1));
    assert!(list(MAX_METRICS, &metric).is_ok());
    assert!(list(MAX_LABELS, &label).is_ok());
    assert_eq!(
        [list(MAX_METRICS + 1, &metric), list(MAX_LABELS + 1, &label), list(1, &|_| long.clone()),],
        [
            Err("it lists more than 200000 metric names".to_owned()),
            Err("it lists more than 10000 label names".to_owned()),
            Err("it lists a name longer than 1024 bytes".to_owned()),
        ]
    );
}

#[test]
fn pairs_of_metric_and_label_are_bounded() {
    let mut fold = Fold { pairs: MAX_PAIRS, ..Fold::default() };
    assert!(fold.add_metric("m").is_ok() && fold.end_series().is_ok());
    assert!(fold.add_metric("m").is_ok() && fold.add_label("l").is_ok());
    assert!(fold.end_series().is_err());
    let bound = "it lists more than 2000000 pairs of metric and label name";
    assert_eq!(fold.exceeded.as_deref(), Some(bound));
}

#[test]
fn one_endless_element_is_an_error_however_it_is_made() {
    // Never ends, so that a fold without a bound would not either.
    let endless = |begin: &str, byte: u8| {
        let begin = format!(r#"{{"status":"success","data":{begin}"#).into_bytes();
        fold(Read::chain(&begin[..], io::repeat(byte))).unwrap_err()
    };
    for (begin, byte) in [
        (r#"[{"__name__":""#, b'x'),
        (r#"[{""#, b'x'),
        (r#"[{"a":""#, b'x'),
        (r#"[{"a":[1,"#, b' '),
        ("[", b' '),
        (r#"[],"warnings":[""#, b'x'),
        (r#"[],"unknown":""#, b'x'),
    ] {
        let error = endless(begin, byte);
        assert!(error.contains("one element is larger than 1048576 bytes"), "{begin}: {error}");
    }
}

#[test]
fn many_series_are_no_single_element() {
    let series = br#"{"__name__":"m","label":"0123456789012345678901234567890123456789"},"#;
    let mut body = br#"{"status":"success","data":["#.to_vec();
    while body.len() < 3 * MAX_ELEMENT {
        body.extend_from_slice(series);
    }
    body.extend_from_slice(b"{}]}");
    let expected = names(&[("m", &["label"])]);
    assert_eq!(fold(&body[..]), Ok(Answer::Success { data: expected, notes: Notes::default() }));
}

#[test]
fn a_body_that_is_given_up_is_no_complete_listing() {
    let (sender, chunks) = channel();
    sender.try_send(Chunk::Data(Bytes::from_static(br#"{"status":"success","data":[]"#))).unwrap();
    drop(sender);
    assert!(fold(chunks).is_err());
}

proptest! {
    #[test]
    fn arbitrary_bytes_give_a_listing_or_an_error(body: Vec<u8>) {
        fold(&body[..]).ok();
    }

    #[test]
    fn chunks_may_be_cut_anywhere(cut in 0_usize..90) {
        let body = br#"{"status":"success","data":[{"__name__":"a","x":"1"},{"__name__":"b","y":"\u00e9"}]}"#;
        let (head, tail) = body.split_at(cut.min(body.len()));
        let (sender, chunks) = channel();
        sender.try_send(Chunk::Data(Bytes::copy_from_slice(head))).unwrap();
        sender.try_send(Chunk::Data(Bytes::copy_from_slice(tail))).unwrap();
        let folded = std::thread::spawn(move || fold(chunks));
        sender.blocking_send(Chunk::End).unwrap();
        let expected = names(&[("a", &["x"]), ("b", &["y"])]);
        prop_assert_eq!(
            folded.join().unwrap(),
            Ok(Answer::Success { data: expected, notes: Notes::default() })
        );
    }
}
