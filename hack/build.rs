//! What the linker is told.

fn main() {
    println!("cargo::rerun-if-changed=hack/build.rs");
    let target = |name: &str| std::env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    if target("OS") == "linux" && target("ENV") == "gnu" {
        // The relocations of a position-independent program are read at every start and stay
        // resident: packed (DT_RELR, glibc 2.36) they take kilobytes in place of most of a megabyte.
        println!("cargo::rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}
