//! The heart: what is asked for, how it is computed, and the answers that are ready.

pub mod ports;
