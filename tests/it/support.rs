//! What the tests share: fakes and servers to test against.

pub(crate) mod client;
pub(crate) mod control_plane;
pub(crate) mod demo;
pub(crate) mod installed;
pub(crate) mod kubectl;
pub(crate) mod kubernetes;
pub(crate) mod objects;
pub(crate) mod pki;
pub(crate) mod plain_api;
pub(crate) mod plimsoll;
pub(crate) mod prometheus;
pub(crate) mod real_prometheus;
