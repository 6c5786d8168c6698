//! Tests through sockets, one module for each server and adapter.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of a test fail as the test does, by panicking"
)]

mod cluster;
mod support;
