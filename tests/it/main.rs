//! Tests through sockets: our servers and clients against fakes and, where it is installed, a
//! real Prometheus.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests are tests, which clippy sees only under #[test]"
)]

mod backend;
mod support;
