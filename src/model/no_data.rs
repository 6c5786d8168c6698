//! What a metric answers when the backend has nothing for an object.

use std::time::Duration;

use super::quantity::Milli;

/// A no-data policy. Whatever it says, data that is there is served as it is.
///
/// `Zero` and `Constant` hold where the backend answered and had no sample: while it fails nobody
/// knows whether there is none, and the failure is the answer. `LastKnown` holds in both cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoData {
    /// An error, on which an HPA holds still.
    #[default]
    Error,
    /// Zero.
    Zero,
    /// The last value with its true time, while that is not longer ago than this; then an error.
    LastKnown {
        /// The largest age.
        max_age: Duration,
    },
    /// A value that a person chose.
    Constant(Milli),
}
