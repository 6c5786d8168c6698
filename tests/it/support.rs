//! Fakes and helpers.

pub(crate) mod control_plane;
pub(crate) mod kubernetes;
