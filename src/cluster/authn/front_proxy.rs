//! The user in the headers of a front proxy.
//!
//! Follows staging/src/k8s.io/apiserver/pkg/authentication/request/headerrequest/requestheader.go.
//! Pure, and blind to whether the headers may be believed: whoever calls this has made sure.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::percent_decode_str;

use crate::model::access::{Opinion, Subject};

/// Which headers say who the user is. A name that no header can have never matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderNames {
    user: Vec<HeaderName>,
    uid: Vec<HeaderName>,
    groups: Vec<HeaderName>,
    /// In lower case.
    extra_prefixes: Vec<String>,
}

impl HeaderNames {
    /// Headers of the user's name, uid and groups, and beginnings of those with extra keys.
    ///
    /// An empty beginning would make every header part of the user, credentials included, and is
    /// left out.
    pub fn new(
        user: &[String],
        uid: &[String],
        groups: &[String],
        extra_prefixes: &[String],
    ) -> Self {
        let names = |names: &[String]| {
            names.iter().filter_map(|name| HeaderName::try_from(name).ok()).collect()
        };
        let prefixes = extra_prefixes.iter().filter(|prefix| !prefix.is_empty());
        Self {
            user: names(user),
            uid: names(uid),
            groups: names(groups),
            extra_prefixes: prefixes.map(|prefix| prefix.to_ascii_lowercase()).collect(),
        }
    }

    /// The user that the headers name. Without a name they say nothing.
    pub(super) fn subject(&self, headers: &HeaderMap) -> Opinion<Subject> {
        match self.read(headers) {
            Ok(subject) if subject.user.is_empty() => Opinion::None,
            Ok(subject) => Opinion::Accepted(subject),
            // Two names that differ in such bytes must not become one.
            Err(name) => Opinion::Refused(format!("the header {name} is not UTF-8")),
        }
    }

    fn read<'a>(&'a self, headers: &'a HeaderMap) -> Result<Subject, &'a HeaderName> {
        let mut groups = Vec::new();
        for name in &self.groups {
            for value in headers.get_all(name) {
                groups.push(text(name, value)?);
            }
        }
        groups.retain(|group| !group.is_empty());
        Ok(Subject {
            user: first(headers, &self.user)?,
            uid: first(headers, &self.uid)?,
            groups,
            extra: self.extra(headers)?,
        })
    }

    fn extra<'a>(
        &self,
        headers: &'a HeaderMap,
    ) -> Result<BTreeMap<String, Vec<String>>, &'a HeaderName> {
        let mut extra = BTreeMap::<String, Vec<String>>::new();
        for prefix in &self.extra_prefixes {
            for (name, value) in headers {
                // Names are in lower case already.
                if let Some(key) = name.as_str().strip_prefix(prefix) {
                    extra.entry(decode(key)).or_default().push(text(name, value)?);
                }
            }
        }
        Ok(extra)
    }
}

/// The first value of the first header that is there and not empty.
fn first<'a>(headers: &HeaderMap, names: &'a [HeaderName]) -> Result<String, &'a HeaderName> {
    for name in names {
        let value = headers.get(name).filter(|value| !value.is_empty());
        if let Some(value) = value {
            return text(name, value);
        }
    }
    Ok(String::new())
}

fn text<'a>(name: &'a HeaderName, value: &HeaderValue) -> Result<String, &'a HeaderName> {
    std::str::from_utf8(value.as_bytes()).map(str::to_owned).map_err(|_| name)
}

/// A key without its percent-encoding, or as it stands where that is broken.
fn decode(key: &str) -> String {
    let is_broken = |rest: &str| {
        !rest.as_bytes().get(..2).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit))
    };
    if key.split('%').skip(1).any(is_broken) {
        return key.to_owned();
    }
    percent_decode_str(key).decode_utf8().map_or_else(|_| key.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(user: &[&str], uid: &[&str], groups: &[&str], extra: &[&str]) -> HeaderNames {
        let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        HeaderNames::new(&own(user), &own(uid), &own(groups), &own(extra))
    }

    fn standard() -> HeaderNames {
        names(&["X-Remote-User"], &["X-Remote-Uid"], &["X-Remote-Group"], &["X-Remote-Extra-"])
    }

    fn headers(lines: &[(&'static str, &[u8])]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name = HeaderName::try_from(*name).unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_whole_user_is_read() {
        let headers = headers(&[
            ("x-remote-user", "jürgen".as_bytes()),
            ("x-remote-user", b"second"),
            ("x-remote-uid", b"u-1"),
            ("x-remote-group", b"g2"),
            ("x-remote-group", b""),
            ("x-remote-group", b"g1"),
            ("X-Remote-Extra-Acme.com%2fProject", b"p1"),
            ("X-Remote-Extra-acme.com%2FProject", b"p2"),
            ("X-Remote-Extra-Bad%zz", b"kept"),
            ("X-Remote-Extra-Bytes%ff", b"kept"),
            ("X-Remote-Extras", b"not one"),
        ]);
        let list = |values: &[&str]| values.iter().map(|&value| value.to_owned()).collect();
        let subject = Subject {
            user: "jürgen".to_owned(),
            uid: "u-1".to_owned(),
            groups: list(&["g2", "g1"]),
            extra: BTreeMap::from([
                ("acme.com/project".to_owned(), list(&["p1", "p2"])),
                ("bad%zz".to_owned(), list(&["kept"])),
                ("bytes%ff".to_owned(), list(&["kept"])),
            ]),
        };
        assert_eq!(standard().subject(&headers), Opinion::Accepted(subject));
    }

    #[test]
    fn headers_without_a_name_say_nothing() {
        let nameless = [
            headers(&[("x-remote-group", b"system:masters")]),
            headers(&[("x-remote-user", b""), ("x-remote-user", b"admin")]),
            HeaderMap::new(),
        ];
        for headers in nameless {
            assert_eq!(standard().subject(&headers), Opinion::None);
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_refused_wherever_they_stand() {
        for name in ["x-remote-user", "x-remote-uid", "x-remote-group", "x-remote-extra-a"] {
            let mut headers = headers(&[(name, b"a\xff")]);
            headers.entry("x-remote-user").or_insert(HeaderValue::from_static("u"));
            let reason = format!("the header {name} is not UTF-8");
            assert_eq!(standard().subject(&headers), Opinion::Refused(reason));
        }
    }

    #[test]
    fn only_the_headers_that_are_named_count() {
        let headers = headers(&[
            ("x-my-user", b"u"),
            ("x-remote-user", b"admin"),
            ("x-remote-uid", b"0"),
            ("x-remote-group", b"system:masters"),
            ("x-remote-extra-a", b"b"),
            ("authorization", b"Bearer secret"),
        ]);
        let user = |user: &str| Subject { user: user.to_owned(), ..Subject::default() };
        let mine = names(&["X-Other", "X-My-User"], &[], &[], &[""]);
        assert_eq!(mine.subject(&headers), Opinion::Accepted(user("u")));
        let broken = names(&["not a header", ""], &[], &[], &[]);
        assert_eq!(broken.subject(&headers), Opinion::None);
    }
}
