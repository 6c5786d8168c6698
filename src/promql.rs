//! From a rule and a request to PromQL, as prometheus-adapter writes it.
//!
//! Pure: a [`rule::Rule`] is compiled once from the configuration, and answers which metrics and
//! kinds of objects a series stands for, and which query fetches their values.

pub mod compat;
pub mod isolate;
pub mod matcher;
pub mod naming;
pub mod re2;
pub mod resource_rules;
pub mod resources;
pub mod rule;
pub mod separable;
pub mod syntax;
pub mod template;
pub mod window;

#[cfg(test)]
pub(crate) mod fixtures;
