//! Limits and probes at deploy: what a workload declares is judged by rules, and the answer says
//! completely what is wrong, where, and what would be right.
//!
//! The judging half is pure: a [`Workload`](workload::Workload) is read from an object, and
//! [`judge`](judge::judge) knows the cluster from [`Facts`](judge::Facts) in memory alone. What a
//! person decides, the rules' modes and exemptions, is a [`Policy`](crate::model::policy::Policy).

pub mod autoscaler;
pub mod crd;
pub mod decide;
mod effective;
pub mod exemptions;
pub mod finding;
pub mod history;
pub mod judge;
pub mod mutate;
pub mod recorder;
pub mod report;
pub mod review;
mod rules;
pub mod scope;
pub mod server;
pub use crate::model::workload;
