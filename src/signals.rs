//! Signals: metrics that a person declares by what they mean, not by a query.
//!
//! Pure: definitions and results go in, queries and values come out.

pub mod decision;
pub mod forecast;
