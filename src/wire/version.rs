//! `/version`: `version.Info` of k8s.io/apimachinery, with the fields that a crate knows of itself.

use serde::Serialize;

use super::document::Document;

/// The document.
pub fn document() -> Document {
    Document::new(&Info {
        major: env!("CARGO_PKG_VERSION_MAJOR"),
        minor: env!("CARGO_PKG_VERSION_MINOR"),
        git_version: concat!("v", env!("CARGO_PKG_VERSION")),
        git_commit: "",
        git_tree_state: "",
        build_date: "",
        go_version: "",
        compiler: "rustc",
        platform: format!("{}/{}", std::env::consts::OS, go_architecture()),
    })
}

/// The fields in Go's order; all of them are always present there.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    major: &'static str,
    minor: &'static str,
    git_version: &'static str,
    git_commit: &'static str,
    git_tree_state: &'static str,
    build_date: &'static str,
    go_version: &'static str,
    compiler: &'static str,
    platform: String,
}

/// The name by which Kubernetes knows this processor.
fn go_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::negotiate::Form;

    #[test]
    fn it_has_every_field_of_kubernetes() {
        let version = env!("CARGO_PKG_VERSION");
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next().unwrap(), numbers.next().unwrap());
        let platform = format!("{}/{}", std::env::consts::OS, go_architecture());

        assert_eq!(
            document().bytes(Form::Json),
            format!(
                r#"{{"major":"{major}","minor":"{minor}","gitVersion":"v{version}","gitCommit":"","gitTreeState":"","buildDate":"","goVersion":"","compiler":"rustc","platform":"{platform}"}}"#
            ) + "\n"
        );
    }
}
