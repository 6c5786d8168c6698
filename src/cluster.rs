//! What exists: kinds and objects, from a file or from an API server.
//!
//! Both implement the engine's port [`Inventory`]. Names and labels are all that is kept of an
//! object. Who asks and what they may is not answered here.

pub mod file;
mod kinds;
