//! What goes wrong with a request, in words for people: never a URL, which may hold credentials.

use std::error::Error;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use url::Url;

use crate::engine::ports::Fault;
use crate::prometheus::answer;

/// How much of a body that is no JSON is worth showing.
const EXCERPT: usize = 300;

/// How much of the backend's own reason is passed on: it ends up in the conditions of HPAs.
const REASON: usize = 1_000;

/// No connection, or one that broke.
pub(super) fn unreachable(error: &(dyn Error + 'static)) -> Fault {
    let chain = || std::iter::successors(Some(error), |&error| error.source());
    let cause = chain().last().unwrap_or(error);
    let phase = if chain().any(is_tls) {
        "TLS failed: "
    } else if error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_dns) {
        "the name cannot be resolved: "
    } else {
        ""
    };
    Fault::Unreachable(format!("{phase}{}", one_line(&cause.to_string(), EXCERPT)))
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    // The source of an io::Error is the source of what it wraps, so the chain skips that.
    let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    error.is::<rustls::Error>() || wrapped.is_some_and(|wrapped| is_tls(wrapped))
}

/// An answer that ends before it is complete.
pub(super) fn broken(received: u64, error: &(dyn Error + 'static)) -> Fault {
    match unreachable(error) {
        Fault::Unreachable(text) => {
            Fault::Unreachable(format!("{text}, after {received} bytes of the answer"))
        }
        other => other,
    }
}

/// An answer with a status other than 2xx.
pub(super) fn refused(base: &Url, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Fault {
    if status.is_redirection() {
        let message = redirect(base, headers);
        return Fault::Refused { status: status.to_string(), message };
    }
    let fault = if let Some((kind, message)) = answer::refusal(body) {
        said(status, &kind, &message)
    } else {
        let mut message = one_line(&String::from_utf8_lossy(body), EXCERPT);
        if message.is_empty() {
            "without a word of explanation".clone_into(&mut message);
        }
        Fault::Refused { status: status.to_string(), message }
    };
    match fault {
        Fault::Refused { status: text, message } if status == StatusCode::TOO_MANY_REQUESTS => {
            Fault::Throttled {
                status: text,
                message,
                after: retry_after(headers, Timestamp::now()),
            }
        }
        fault => fault,
    }
}

/// How long `Retry-After` asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// A refusal in the form of the HTTP API, whatever its status.
pub(super) fn said(status: StatusCode, kind: &str, message: &str) -> Fault {
    let kind = one_line(kind, EXCERPT);
    let status =
        if kind.is_empty() { status.to_string() } else { format!("{} {kind}", status.as_u16()) };
    Fault::Refused { status, message: one_line(message, REASON) }
}

/// An answer that lacks something.
pub(super) fn partial(text: &str) -> Fault {
    Fault::Partial(one_line(text, EXCERPT))
}

/// An answer that is not what it should be. Shows how it begins unless that looks right: a login
/// page is recognised at once.
pub(super) fn malformed(reason: &str, body: &[u8]) -> Fault {
    let begin = body.trim_ascii_start();
    let text = if begin.is_empty() {
        "it is empty".to_owned()
    } else if begin.first() == Some(&b'{') {
        one_line(reason, EXCERPT)
    } else {
        let excerpt = begin.get(..EXCERPT).unwrap_or(begin);
        let excerpt = one_line(&String::from_utf8_lossy(excerpt), 80);
        format!("it is no JSON and begins with {excerpt:?}")
    };
    Fault::Malformed(text)
}

fn redirect(base: &Url, headers: &HeaderMap) -> String {
    let target = headers
        .get(LOCATION)
        .and_then(|location| base.join(&String::from_utf8_lossy(location.as_bytes())).ok());
    let Some(mut target) = target else {
        return "it redirects without saying where; check the URL of the backend".to_owned();
    };
    target.set_query(None);
    target.set_fragment(None);
    // Refused only where there is no host, and then there are no credentials either.
    let cleared = target.set_username("").and_then(|()| target.set_password(None));
    let target =
        if cleared.is_ok() { one_line(target.as_str(), EXCERPT) } else { target.scheme().into() };
    format!("it redirects to {target}, which is not followed; give the backend's final URL")
}

/// White space and control characters become single blanks, and the end is cut off.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    let mut line = String::new();
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    for (count, c) in words
        .filter(|word| !word.is_empty())
        .flat_map(|word| std::iter::once(' ').chain(word.chars()))
        .skip(1)
        .enumerate()
    {
        if count == max_chars {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_one_line_of_bounded_length() {
        let cases = [
            (" a\r\n\t b\u{0}c ", 10, "a b c"),
            ("", 10, ""),
            ("äöü", 3, "äöü"),
            ("äöüß", 3, "äöü…"),
        ];
        for (text, max, expected) in cases {
            assert_eq!(one_line(text, max), expected, "{text:?}");
        }
    }

    #[test]
    fn a_time_to_come_back_is_a_number_of_seconds_or_a_date() {
        let now = Timestamp::from_second(784_111_767).unwrap();
        let cases = [
            (Some("30"), Some(30)),
            (Some("Sun, 06 Nov 1994 08:49:37 GMT"), Some(10)),
            (Some("Sun, 06 Nov 1994 08:49:07 GMT"), Some(0)),
            (Some("-1"), None),
            (Some("soon"), None),
            (None, None),
        ];
        for (text, expected) in cases {
            let headers = text.map(|text| (RETRY_AFTER, text.parse().unwrap()));
            let after = retry_after(&headers.into_iter().collect(), now);
            assert_eq!(after, expected.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn a_redirect_is_named_without_its_credentials() {
        let base = Url::parse("http://user:secret@prometheus:9090/base/").unwrap();
        let cases = [
            (Some("https://u:p@other/x?token=1#f"), "it redirects to https://other/x, "),
            (Some("/login"), "it redirects to http://prometheus:9090/login, "),
            (Some("mailto:x@y"), "it redirects to mailto, "),
            (None, "it redirects without saying where; "),
        ];
        for (location, expected) in cases {
            let headers = location.map(|text| (LOCATION, text.parse().unwrap()));
            let text = redirect(&base, &headers.into_iter().collect());
            assert!(text.starts_with(expected), "{location:?} gives {text}");
        }
    }
}
