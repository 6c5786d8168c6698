//! The words everything else is written in: objects, selectors, values, quantities.
//!
//! Pure: nothing in here awaits, reads a clock, the environment or a file.

pub mod access;
pub mod autoscaler;
pub mod backend;
pub mod custom;
pub mod duration;
pub mod inventory;
pub mod limit_range;
pub mod membership;
pub mod no_data;
pub mod object;
pub mod policy;
pub mod quantity;
pub mod rows;
pub mod selector;
pub mod service;
pub mod template;
pub mod usage;
pub mod value;
pub mod workload;
