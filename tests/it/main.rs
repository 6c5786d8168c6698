//! Tests through sockets, one module for each server and adapter.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper fails as its test does, by panicking; a skipped test says so"
)]

mod cluster;
mod support;
