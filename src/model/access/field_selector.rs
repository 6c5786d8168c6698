//! Field selectors, as far as a review needs them: `metadata.name=web-0,spec.x!=a\,b`.
//!
//! Follows apimachinery's `fields.ParseSelector` (pkg/fields/selector.go).

use super::SelectorRequirement;

/// Reads a selector; `None` where it is malformed. Terms are sorted, as Kubernetes sorts them.
pub(super) fn parse(text: &str) -> Option<Vec<SelectorRequirement>> {
    let mut terms = split(text);
    terms.sort_unstable();
    terms.into_iter().filter(|term| !term.is_empty()).map(requirement).collect()
}

/// The one name that the selector admits, where it can be a name in a path.
pub(super) fn exact_name(requirements: &[SelectorRequirement]) -> Option<&str> {
    let is_name =
        |term: &&SelectorRequirement| term.key == "metadata.name" && term.operator == "In";
    let name = requirements.iter().find(is_name)?.values.first()?.as_str();
    (!matches!(name, "." | "..") && !name.contains(['/', '%'])).then_some(name)
}

/// Splits at the commas that no backslash stands before.
fn split(text: &str) -> Vec<&str> {
    let mut escaped = false;
    text.split(|character| {
        let separates = character == ',' && !escaped;
        escaped = character == '\\' && !escaped;
        separates
    })
    .collect()
}

fn requirement(term: &str) -> Option<SelectorRequirement> {
    let (key, rest) = term.split_at(term.find("!=").into_iter().chain(term.find('=')).min()?);
    let (operator, value) = match rest.strip_prefix("!=") {
        Some(value) => ("NotIn", value),
        None => ("In", rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?),
    };
    Some(SelectorRequirement { key: key.to_owned(), operator, values: vec![unescape(value)?] })
}

fn unescape(value: &str) -> Option<String> {
    let mut unescaped = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(literal @ ('\\' | ',' | '=')) => unescaped.push(literal),
                _ => return None,
            },
            ',' | '=' => return None,
            character => unescaped.push(character),
        }
    }
    Some(unescaped)
}
