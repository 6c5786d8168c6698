//! Signals: declared metrics that people can name, as a request rate, an error ratio, a latency
//! quantile or an expression over them.
//!
//! Pure. The way of a signal: a [`definition`], written in the file or in a CRD, is
//! [compiled](compile) with the [presets](preset) into a [`Signal`](signal::Signal). That names its
//! [queries](query) for some namespaces, and reads a value for each object from the
//! [tables](table) that their results make. Where the series name pods, an object's value is that
//! of its pods together: rates add, ratios divide sums, quantiles come from merged buckets.

mod checks;
pub mod compile;
pub mod composite;
pub mod crd;
pub mod decision;
#[expect(unreachable_pub, reason = "KubeSchema copies the types into a block")]
pub mod definition;
pub mod forecast;
pub mod golden;
mod inputs;
mod leaf;
pub mod link;
mod matchers;
pub mod missing;
pub mod preset;
mod quantile;
pub mod query;
pub mod resolve;
pub mod schedule;
pub mod signal;
pub mod smoothing;
pub mod table;

#[cfg(test)]
mod tests;
