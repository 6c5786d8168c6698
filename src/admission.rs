//! The admission webhook: limits and probes at deploy.

pub mod review;
pub mod server;
