//! The manifests, checked against each other and against the code: flags, ports, names, rights,
//! and the metrics that alerts and examples name.
//!
//! `chart` renders the Helm chart where there is a `helm`, `cluster` applies everything to a real
//! API server where there is one.

mod chart;
mod cluster;
mod deployment;
mod examples;
mod files;
mod monitoring;
mod rights;
