//! gzip for answers that are worth it: lists of hundreds of values and long discovery documents.
//!
//! Threshold and level are those of Kubernetes (k8s.io/apiserver, responsewriters/writers.go),
//! which looks for the word `gzip` alone; here the weights count as well. The HPA controller asks
//! for no compression.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, HeaderValue, VARY};
use http::{HeaderMap, Response};

use super::negotiate::{MAX_CLAUSES, parameter, quality, trim};

/// Longest body in bytes that is never compressed.
pub const THRESHOLD: usize = 128 * 1024;

/// Compresses a body that is longer than [`THRESHOLD`] where the request allows it.
pub fn apply(request: &HeaderMap, response: &mut Response<Bytes>) {
    if response.body().len() <= THRESHOLD || response.headers().contains_key(CONTENT_ENCODING) {
        return;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !takes_gzip(request) {
        return;
    }
    // Memory takes everything; were it not so, the body would be as good as it is.
    let Ok(body) = gzip(response.body()) else { return };
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    headers.remove(CONTENT_LENGTH);
    // The same content in other bytes, which is what a weak tag says (RFC 9110, 8.8.1).
    if let Some(weak) = headers.get(ETAG).and_then(weakened) {
        headers.insert(ETAG, weak);
    }
}

/// Whether gzip is at least as welcome as no compression (RFC 9110, 12.5.3). A request that says
/// nothing takes everything there, but gets no compression here, as nobody expects it.
fn takes_gzip(request: &HeaderMap) -> bool {
    let clauses = request
        .get_all(ACCEPT_ENCODING)
        .iter()
        .filter_map(|field| field.to_str().ok())
        .flat_map(|field| field.split(','))
        .take(MAX_CLAUSES)
        .filter_map(clause);
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for (coding, quality) in clauses {
        if coding == "*" {
            any = Some(quality);
        } else if coding.eq_ignore_ascii_case("identity") {
            identity = Some(quality);
        } else if ["gzip", "x-gzip"].iter().any(|name| coding.eq_ignore_ascii_case(name)) {
            gzip = Some(quality);
        }
    }
    let gzip = gzip.or(any).unwrap_or(0.0);
    gzip > 0.0 && gzip >= identity.unwrap_or(0.0)
}

/// A coding and its weight; `None` where the weight cannot be read.
fn clause(text: &str) -> Option<(&str, f32)> {
    let mut parts = text.split(';').map(trim);
    let coding = parts.next()?;
    let weight = parts.filter_map(parameter).find(|(name, _)| name.eq_ignore_ascii_case("q"));
    Some((coding, weight.map_or(Some(1.0), |(_, value)| quality(value))?))
}

fn gzip(body: &[u8]) -> io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 8), Compression::fast());
    encoder.write_all(body)?;
    encoder.finish().map(Bytes::from)
}

fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    if tag.as_bytes().starts_with(b"W/") {
        return None;
    }
    HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use proptest::prelude::*;

    use super::*;

    fn request(encodings: &[&str]) -> HeaderMap {
        encodings
            .iter()
            .map(|encoding| (ACCEPT_ENCODING, HeaderValue::try_from(*encoding).unwrap()))
            .collect()
    }

    /// A tagged answer of that length, after what a client with that `Accept-Encoding` does to it.
    fn answer(length: usize, encoding: &str) -> Response<Bytes> {
        let mut response = Response::new(Bytes::from("x".repeat(length)));
        response.headers_mut().insert(ETAG, HeaderValue::from_static("\"A1\""));
        response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        apply(&request(&[encoding]), &mut response);
        response
    }

    fn headers(response: &Response<Bytes>) -> Vec<(&str, &str)> {
        let headers = response.headers().iter();
        headers.map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn a_long_body_is_compressed_and_its_headers_say_so() {
        let response = answer(THRESHOLD + 1, "gzip");

        let mut body = String::new();
        GzDecoder::new(&response.body()[..]).read_to_string(&mut body).unwrap();
        assert!(body == "x".repeat(THRESHOLD + 1) && response.body().len() < 2048);
        assert_eq!(
            headers(&response),
            [
                ("etag", "W/\"A1\""),
                ("vary", "Accept"),
                ("vary", "Accept-Encoding"),
                ("content-encoding", "gzip"),
            ]
        );
    }

    #[test]
    fn a_body_of_the_threshold_stays_as_it_is() {
        let response = answer(THRESHOLD, "gzip");

        assert!(response.body() == &"x".repeat(THRESHOLD));
        assert_eq!(headers(&response), [("etag", "\"A1\""), ("vary", "Accept")]);
    }

    #[test]
    fn caches_learn_that_a_long_body_could_have_been_compressed() {
        let response = answer(THRESHOLD + 1, "br");

        assert!(response.body() == &"x".repeat(THRESHOLD + 1));
        assert_eq!(
            headers(&response),
            [("etag", "\"A1\""), ("vary", "Accept"), ("vary", "Accept-Encoding")]
        );
    }

    #[test]
    fn a_body_that_is_encoded_already_stays_as_it_is() {
        let mut response = Response::new(Bytes::from("x".repeat(THRESHOLD + 1)));
        response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("br"));
        apply(&request(&["gzip"]), &mut response);

        assert_eq!(response.body().len(), THRESHOLD + 1);
        assert_eq!(headers(&response), [("content-encoding", "br")]);
    }

    #[test]
    fn weights_decide_whether_gzip_is_welcome() {
        let verdicts: [(&[&str], bool); 23] = [
            (&[], false),
            (&[""], false),
            (&["gzip"], true),
            (&["GZIP"], true),
            (&["x-gzip"], true),
            (&["deflate, gzip;q=1.0, *;q=0.5"], true),
            (&["gzip, deflate, br, zstd"], true),
            (&["br", "gzip"], true),
            (&["br ; q=1 , gzip ; q=0.001"], true),
            (&["*"], true),
            (&["*;q=0.1"], true),
            (&["identity, gzip"], true),
            (&["identity;q=0.5, gzip;q=0.8"], true),
            (&["identity;q=0.5, gzip;q=0.2"], false),
            (&["identity"], false),
            (&["br"], false),
            (&["gzip;q=0"], false),
            (&["gzip;Q=0"], false),
            (&["gzip;q=0, *"], false),
            (&["*;q=0"], false),
            (&["gzip;q=2"], false),
            (&["gzip;q=x"], false),
            (&["gzipped"], false),
        ];
        for (encodings, expected) in verdicts {
            assert_eq!(takes_gzip(&request(encodings)), expected, "{encodings:?}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(
            bytes in prop_oneof![
                proptest::collection::vec(0x20_u8..=0xff, 0..80),
                "([*,;= .]|gzip|identity|q=|[01]|[0-9]){0,30}".prop_map(String::into_bytes),
            ],
        ) {
            let Ok(value) = HeaderValue::from_bytes(&bytes) else { return Ok(()) };
            _ = takes_gzip(&HeaderMap::from_iter([(ACCEPT_ENCODING, value)]));
        }

        #[test]
        fn gzip_that_is_refused_by_name_is_never_sent(
            others in "([a-z*]{1,8}(;q=[01](\\.[0-9]{1,3})?)?,){0,5}",
        ) {
            let refusing = format!("{others}gzip;q=0");
            prop_assert!(!takes_gzip(&request(&[&refusing])), "{}", refusing);
        }
    }
}
