//! Programs that `hack/install` installs, and that a developer's machine may lack.

use std::process::Command;

/// Whether a program is there; a line says so where it is not. In CI everything is, so that a
/// test that is skipped there fails.
pub(crate) fn is_installed(program: &str, harmless: &[&str]) -> bool {
    let installed = Command::new(program).args(harmless).output().is_ok();
    if !installed {
        let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!ci, "{program} is not installed, and CI=true: see hack/install");
        eprintln!("skipped: {program} is not installed");
    }
    installed
}
