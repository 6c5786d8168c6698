//! `NAMESPACE/NAME`, as flags name one object.

use std::fmt;
use std::str::FromStr;

/// An object in a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespacedName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl FromStr for NamespacedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || NameError(text.to_owned());
        let (namespace, name) = text.split_once('/').ok_or_else(error)?;
        // Every name of an object is a DNS subdomain, a namespace's has no dots.
        let fits = |part: &str, extra: char| {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
            part.len() <= 253
                && part.starts_with(plain)
                && part.ends_with(plain)
                && part.chars().all(|c| plain(c) || c == '-' || c == extra)
        };
        if !fits(namespace, '-') || !fits(name, '.') {
            return Err(error());
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl fmt::Display for NamespacedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The text names no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not NAMESPACE/NAME")]
pub struct NameError(String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_and_a_name_are_read_and_nothing_else_is() {
        let read = |text: &str| text.parse::<NamespacedName>().map(|name| name.to_string()).ok();
        assert_eq!(
            read("monitoring/plimsoll.certs-1").as_deref(),
            Some("monitoring/plimsoll.certs-1")
        );
        for text in
            ["", "/", "name", "a/", "/b", "a/b/c", "a.b/c", "A/b", "a/b_c", "-a/b", "a/b-", "a/é"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
