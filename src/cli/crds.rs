//! `plimsoll crds`: prints the definitions of the custom resources.

use crate::signals::crd;

/// The first lines of the text.
const HEADER: &str = "\
# The custom resources, as `plimsoll crds` prints them.
";

/// The definitions as YAML, ready for `kubectl apply -f -`.
pub fn print() -> Result<String, serde_saphyr::ser::Error> {
    let mut text = HEADER.to_owned();
    for (index, definition) in crd::definitions().iter().enumerate() {
        text.push_str(if index > 0 { "---\n" } else { "" });
        text.push_str(&serde_saphyr::to_string(definition)?);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifests_have_the_definitions_that_are_printed() {
        let kept = include_str!("../../manifests/base/crds.yaml");
        assert_eq!(kept, print().unwrap(), "run: plimsoll crds > manifests/base/crds.yaml");
    }
}
