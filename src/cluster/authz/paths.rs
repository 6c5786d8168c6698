//! Paths that everyone may ask: `--authorization-always-allow-paths`.
//!
//! Follows staging/src/k8s.io/apiserver/pkg/authorization/path/path.go: a path as a whole, or,
//! with a `*` at its end, everything that begins so.

/// Paths that everyone may ask.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenPaths {
    paths: Vec<String>,
    prefixes: Vec<String>,
}

/// A pattern that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: a * stands at the end of a path or nowhere")]
pub struct PathError(String);

impl OpenPaths {
    /// Reads the patterns; the slash at the beginning of each may be left out.
    pub fn parse(patterns: &[String]) -> Result<Self, PathError> {
        let mut open = Self::default();
        for pattern in patterns {
            let path = without_slash(pattern);
            match path.strip_suffix('*') {
                Some(prefix) if !prefix.contains('*') => open.prefixes.push(prefix.to_owned()),
                None if !path.contains('*') => open.paths.push(path.to_owned()),
                _ => return Err(PathError(pattern.clone())),
            }
        }
        Ok(open)
    }

    /// Whether everyone may ask a path.
    pub fn contain(&self, path: &str) -> bool {
        let path = without_slash(path);
        self.paths.iter().any(|open| open == path)
            || self.prefixes.iter().any(|prefix| path.starts_with(prefix))
    }
}

fn without_slash(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(patterns: &[&str]) -> Result<OpenPaths, PathError> {
        OpenPaths::parse(&patterns.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_path_is_open_as_a_whole_and_with_a_star_by_its_beginning() {
        let paths = open(&["/healthz", "readyz", "/open*", "/"]).unwrap();
        let asked =
            ["/healthz", "/healthz/", "/healthz/x", "/readyz", "/openapi/v3", "/ope", "/", "/x"];
        let answers = asked.map(|path| paths.contain(path));
        assert_eq!(answers, [true, false, false, true, true, false, true, false]);
        assert!(!open(&[]).unwrap().contain("/"));
        assert!(open(&["*"]).unwrap().contain("/anything"));
    }

    #[test]
    fn a_star_within_a_path_is_refused() {
        for pattern in ["/a*b", "/**", "/*/x*"] {
            assert_eq!(open(&[pattern]), Err(PathError(pattern.to_owned())));
        }
    }
}
