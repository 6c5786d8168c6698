//! Documents that change rarely and are asked for often: written once, then served as they are.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderValue, IF_NONE_MATCH, VARY};
use http::{HeaderMap, Response, StatusCode};
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::negotiate::Form;

/// A document in each form of JSON; negotiation offers no other for documents.
#[derive(Clone, Debug)]
pub struct Document {
    compact: Body,
    pretty: Body,
    hash: String,
}

/// The bytes of one form.
#[derive(Clone, Debug)]
struct Body {
    bytes: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub(super) fn new(value: &impl Serialize) -> Self {
        let compact = Form::Json.encode(value, 4096);
        let pretty = Form::PrettyJson.encode(value, 8192);
        let hash = hash(&compact);
        Self {
            compact: Body { etag: quoted(&hash), bytes: compact },
            pretty: Body { etag: quoted(&self::hash(&pretty)), bytes: pretty },
            hash,
        }
    }

    /// The document's bytes.
    pub fn bytes(&self, form: Form) -> Bytes {
        self.body(form).bytes.clone()
    }

    /// A hash of the content, the same in every process that has the same content.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// A strong entity tag of the document in that form.
    pub fn etag(&self, form: Form) -> &HeaderValue {
        &self.body(form).etag
    }

    /// Answers with the document, or with 304 where the client has it already.
    pub(super) fn respond(
        &self,
        form: Form,
        content_type: &'static str,
        cache_control: &'static str,
        request: &HeaderMap,
    ) -> Response<Bytes> {
        let body = self.body(form);
        let known = has_tag(request, &body.etag);
        let mut response = Response::new(if known { Bytes::new() } else { body.bytes.clone() });
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        if !known {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        headers.insert(ETAG, body.etag.clone());
        headers.insert(VARY, HeaderValue::from_static("Accept"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static(cache_control));
        response
    }

    const fn body(&self, form: Form) -> &Body {
        match form {
            Form::Json | Form::Protobuf => &self.compact,
            Form::PrettyJson => &self.pretty,
        }
    }
}

/// Whether `If-None-Match` names the tag (RFC 9110, 13.1.2: weak comparison, lists and `*`).
fn has_tag(request: &HeaderMap, etag: &HeaderValue) -> bool {
    request
        .get_all(IF_NONE_MATCH)
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|tag| tag == b"*" || tag.strip_prefix(b"W/").unwrap_or(tag) == etag.as_bytes())
}

fn hash(bytes: &[u8]) -> String {
    format!("{:X}", Sha256::digest(bytes))
}

#[expect(clippy::expect_used, reason = "hexadecimal digits stand in every header")]
fn quoted(hash: &str) -> HeaderValue {
    HeaderValue::try_from(format!("\"{hash}\"")).expect("an entity tag")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(tags: &[&'static str]) -> HeaderMap {
        tags.iter().map(|tag| (IF_NONE_MATCH, HeaderValue::from_static(tag))).collect()
    }

    #[test]
    fn a_client_that_has_the_document_gets_no_body() {
        let etag = HeaderValue::from_static("\"A1\"");
        let verdicts = [
            (vec![], false),
            (vec!["\"A1\""], true),
            (vec!["W/\"A1\""], true),
            (vec!["\"B2\", \"A1\""], true),
            (vec!["\"B2\"", "\"A1\""], true),
            (vec!["*"], true),
            (vec!["A1"], false),
            (vec!["\"a1\""], false),
            (vec!["\"B2\""], false),
            (vec![""], false),
        ];
        for (tags, known) in verdicts {
            assert_eq!(has_tag(&request(&tags), &etag), known, "{tags:?}");
        }
    }

    #[test]
    fn the_tag_follows_the_content_of_the_form() {
        let (one, same, other) = (Document::new(&[1]), Document::new(&[1]), Document::new(&[2]));

        assert_eq!(one.etag(Form::Json), same.etag(Form::Json));
        assert_ne!(one.etag(Form::Json), other.etag(Form::Json));
        assert_ne!(one.etag(Form::Json), one.etag(Form::PrettyJson));
        assert_eq!(one.etag(Form::Json), &*format!("\"{}\"", one.hash()));
    }

    #[test]
    fn an_answer_carries_what_caches_need() {
        let document = Document::new(&[1]);
        let tagged: HeaderMap =
            [(IF_NONE_MATCH, document.etag(Form::Json).clone())].into_iter().collect();

        let full = document.respond(Form::Json, "a/b", "public", &HeaderMap::new());
        let empty = document.respond(Form::Json, "a/b", "public", &tagged);
        let other_form = document.respond(Form::PrettyJson, "a/b", "public", &tagged);

        assert_eq!((full.status(), &full.body()[..]), (StatusCode::OK, &b"[1]\n"[..]));
        assert_eq!((empty.status(), empty.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(other_form.status(), StatusCode::OK);
        let tag = document.etag(Form::Json);
        let header = |name, response: &Response<Bytes>| response.headers().get(name).cloned();
        for response in [&full, &empty] {
            assert_eq!(header(ETAG, response).as_ref(), Some(tag));
            assert_eq!(header(VARY, response).unwrap(), "Accept");
            assert_eq!(header(CACHE_CONTROL, response).unwrap(), "public");
        }
        assert_eq!(header(CONTENT_TYPE, &full).unwrap(), "a/b");
        assert_eq!(header(CONTENT_TYPE, &empty), None);
    }
}
