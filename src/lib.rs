//! Plimsoll keeps Kubernetes workloads within their load line: it computes metrics for the
//! native `HorizontalPodAutoscaler` from Prometheus, and serves them as `custom.metrics.k8s.io`
//! and `external.metrics.k8s.io`.

pub mod admin;
pub mod apiserver;
pub mod app;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod engine;
pub mod model;
pub mod prometheus;
pub mod promql;
pub mod serve;
pub mod tasks;
pub mod telemetry;
pub mod wire;
