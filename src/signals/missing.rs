//! Why an object has no value. All of these are missing data, on which a no-data policy decides.

/// The cause, told to whoever asked for the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Missing {
    /// Several samples where one is wanted.
    #[error("the query has {count} samples for it where there may be one: aggregate them")]
    Ambiguous {
        /// How many.
        count: usize,
    },
    /// A histogram without the bucket that holds everything.
    #[error("the histogram has no bucket with le=\"+Inf\", so that nobody knows its count")]
    BucketInfinity,
    /// A histogram that says nothing but how many there were.
    #[error("the histogram has no bucket but le=\"+Inf\", so that no quantile can be told")]
    BucketsFinite,
    /// Usage without the request or limit that it is a part of.
    #[error("{pod} has usage but no {what}, so that there is nothing to divide by")]
    Capacity {
        /// The pod, or the object itself.
        pod: String,
        /// What is missing.
        what: &'static str,
    },
    /// The capacity is nothing.
    #[error("its capacity is zero")]
    CapacityZero,
    /// What is decided or foreseen, where somebody asks for it as for a value of now.
    #[error("what is decided or foreseen is no value of now")]
    Elsewhere,
    /// An expression that has no value for these inputs.
    #[error("the expression has no value: {0}")]
    Expression(String),
    /// An input of a composite has no value.
    #[error("input `{input}`: {cause}")]
    Input {
        /// The name in the expression.
        input: String,
        /// Why.
        cause: Box<Self>,
    },
    /// Samples, but none that is a number.
    #[error("its samples are not finite numbers")]
    NotFinite,
    /// No request, so that there is no response time.
    #[error("there was no request in the window")]
    NoRequests,
    /// No sample.
    #[error("there is no sample of {what} for it in the window")]
    NoSample {
        /// `requests`, `cpu usage`, …
        what: &'static str,
    },
    /// A quantile that the backend computed is none.
    #[error("there was no request in the window, or the histogram has no finite bucket")]
    QuantileUnknown,
    /// There is no forecast.
    #[error("there is no forecast: {0}")]
    Unforeseen(String),
    /// Outside of all windows of a schedule without a default.
    #[error("no window of the schedule is open, and it has no default")]
    Closed,
}
