//! Which keys and values a label can have, with the texts of apimachinery's
//! pkg/api/validate/content and of its field errors.

use crate::model::selector::{Operator, SelectorError};

const MAX_NAME: usize = 63;
const MAX_PREFIX: usize = 253;

const KEY_RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start \
    and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex \
    used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const PREFIX_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric \
    characters, '-' or '.', and must start and end with an alphanumeric character (e.g. \
    'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const VALUE_RULE: &str = "a valid label must be an empty string or consist of alphanumeric \
    characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. \
    'MyValue',  or 'my_value',  or '12345', regex used for validation is \
    '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

/// An optional DNS subdomain and a slash, then a name of at most 63 bytes.
pub(super) fn key(key: &str) -> Result<(), SelectorError> {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let mut faults = Vec::new();
    if name.contains('/') {
        faults.push(format!(
            "a valid label key {KEY_RULE} with an optional DNS subdomain prefix and '/' \
             (e.g. 'example.com/MyName')"
        ));
    } else {
        prefix_faults(prefix, &mut faults);
        name_faults(name, &mut faults);
    }
    if faults.is_empty() {
        return Ok(());
    }
    Err(SelectorError::Invalid(invalid("<nil>", key, &faults.join("; "))))
}

/// Each value is empty or a name of at most 63 bytes, and an integer where it is compared.
pub(super) fn values(key: &str, operator: Operator, values: &[&str]) -> Result<(), SelectorError> {
    let integers = matches!(operator, Operator::GreaterThan | Operator::LessThan);
    let mut errors = Vec::new();
    for (index, value) in values.iter().enumerate() {
        if integers && value.parse::<i64>().is_err() {
            let rule = "for 'Gt', 'Lt' operators, the value must be an integer";
            errors.push(invalid(&format!("values[{index}]"), value, rule));
        }
        let mut faults = Vec::new();
        if value.len() > MAX_NAME {
            faults.push(too_long(MAX_NAME));
        }
        if !value.is_empty() && !is_name(value) {
            faults.push(VALUE_RULE.to_owned());
        }
        if !faults.is_empty() {
            errors.push(invalid(&format!("values[{index}][{key}]"), value, &faults.join("; ")));
        }
    }
    match errors.as_slice() {
        [] => Ok(()),
        [error] => Err(SelectorError::Invalid(error.clone())),
        several => Err(SelectorError::Invalid(format!("[{}]", several.join(", ")))),
    }
}

fn prefix_faults(prefix: Option<&str>, faults: &mut Vec<String>) {
    let Some(prefix) = prefix else { return };
    if prefix.is_empty() {
        faults.push("prefix part must be non-empty".to_owned());
        return;
    }
    if prefix.len() > MAX_PREFIX {
        faults.push(format!("prefix part {}", too_long(MAX_PREFIX)));
    }
    if !is_subdomain(prefix) {
        faults.push(format!("prefix part {PREFIX_RULE}"));
    }
}

fn name_faults(name: &str, faults: &mut Vec<String>) {
    if name.is_empty() {
        faults.push("name part must be non-empty".to_owned());
    } else if name.len() > MAX_NAME {
        faults.push(format!("name part {}", too_long(MAX_NAME)));
    }
    if !is_name(name) {
        faults.push(format!("name part {KEY_RULE}"));
    }
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*`
fn is_subdomain(text: &str) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    text.split('.').map(str::as_bytes).all(|label| {
        label.first().is_some_and(is_plain)
            && label.last().is_some_and(is_plain)
            && label.iter().all(|byte| is_plain(byte) || *byte == b'-')
    })
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

fn invalid(field: &str, value: &str, rule: &str) -> String {
    format!("{field}: Invalid value: {}: {rule}", quoted(value))
}

/// Quotes as Go's `%q` does, which writes what cannot be printed in another way than Rust.
fn quoted(text: &str) -> String {
    let escaped: String = text.chars().map(escaped).collect();
    format!("\"{escaped}\"")
}

fn escaped(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        '\x07' => "\\a".to_owned(),
        '\x08' => "\\b".to_owned(),
        '\x0b' => "\\v".to_owned(),
        '\x0c' => "\\f".to_owned(),
        '\0'..='\x1f' | '\x7f' => format!("\\x{:02x}", u32::from(c)),
        c if is_printable(c) => c.to_string(),
        '\0'..='\u{ffff}' => format!("\\u{:04x}", u32::from(c)),
        c => format!("\\U{:08x}", u32::from(c)),
    }
}

/// As far as the standard library knows, which escapes what cannot be printed. A combining mark
/// it would escape too, unless another character stands before it.
fn is_printable(c: char) -> bool {
    let after_another = String::from_iter(['a', c]);
    !after_another.escape_debug().any(|escaped| escaped == '{' && c != '{')
}
