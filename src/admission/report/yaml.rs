//! Writes a fragment as YAML, as people write manifests: two spaces, plain texts where they are
//! safe. A text that is not is written as JSON, which YAML takes.

use serde_json::Value;

pub(super) fn write(value: &Value) -> String {
    let mut text = String::new();
    node(value, 0, &mut text);
    text
}

fn node(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            // The name of a container stands first.
            let named = map.iter().filter(|(key, _)| *key == "name");
            let rest = map.iter().filter(|(key, _)| *key != "name");
            for (index, (key, value)) in named.chain(rest).enumerate() {
                if index > 0 || !text.ends_with("- ") {
                    text.extend(std::iter::repeat_n(' ', indent));
                }
                text.push_str(&scalar(key));
                text.push(':');
                nested(value, indent + 2, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                text.extend(std::iter::repeat_n(' ', indent));
                text.push_str("- ");
                if is_leaf(item) {
                    text.push_str(&leaf(item));
                    text.push('\n');
                } else {
                    node(item, indent + 2, text);
                }
            }
        }
        other => {
            text.push_str(&leaf(other));
            text.push('\n');
        }
    }
}

fn nested(value: &Value, indent: usize, text: &mut String) {
    if is_leaf(value) {
        text.push(' ');
        text.push_str(&leaf(value));
        text.push('\n');
    } else {
        text.push('\n');
        node(value, indent, text);
    }
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

fn leaf(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), scalar)
}

/// Plain where it reads back as the same text. `12` is left plain too: a quantity may be a number.
fn scalar(text: &str) -> String {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-./".contains(&byte));
    let starts = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    if plain && starts && !words.contains(&text.to_ascii_lowercase().as_str()) {
        text.to_owned()
    } else {
        Value::from(text).to_string()
    }
}
