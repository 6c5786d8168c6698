//! Tests through sockets: our servers and clients against fakes and, where they are installed, a
//! real Prometheus and a real control plane.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "helpers of tests are tests, which clippy sees only under #[test]"
)]

mod access;
mod adapter;
mod admission;
mod any_cluster;
mod backend;
mod backends;
mod certificates;
mod cluster;
mod conformance;
mod export;
mod foreseen;
mod hpa;
mod isolation;
mod manifests;
mod merging;
mod promises;
mod readme;
mod reports;
mod resource_metrics;
mod signals;
mod standalone;
mod support;
mod tables;
