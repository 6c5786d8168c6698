//! The values that labels may have. Each enum's discriminant is its index in `ALL`.

/// What a request does, in Kubernetes' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object, or a path that is no resource.
    Get,
    /// Reads a collection.
    List,
    /// Follows a collection.
    Watch,
    /// Anything that would write; refused today.
    Other,
}

impl Verb {
    /// Every verb.
    pub const ALL: [Self; 4] = [Self::Get, Self::List, Self::Watch, Self::Other];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Other => "other",
        }
    }
}

/// The API group that a request asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApiGroup {
    /// `custom.metrics.k8s.io`
    CustomMetrics,
    /// `external.metrics.k8s.io`
    ExternalMetrics,
    /// `metrics.k8s.io`
    ResourceMetrics,
    /// `insight.plimsoll.dev`
    Insight,
    /// No group: health, `/apis`, `/openapi`, `/version`, unknown paths.
    NonResource,
}

impl ApiGroup {
    /// Every group.
    pub const ALL: [Self; 5] = [
        Self::CustomMetrics,
        Self::ExternalMetrics,
        Self::ResourceMetrics,
        Self::Insight,
        Self::NonResource,
    ];

    /// The label's value; empty for [`Self::NonResource`], as in the API server's own metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CustomMetrics => "custom.metrics.k8s.io",
            Self::ExternalMetrics => "external.metrics.k8s.io",
            Self::ResourceMetrics => "metrics.k8s.io",
            Self::Insight => "insight.plimsoll.dev",
            Self::NonResource => "",
        }
    }
}

/// What a backend is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// An instant query.
    Query,
    /// A range query.
    QueryRange,
    /// A list of series.
    Series,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 3] = [Self::Query, Self::QueryRange, Self::Series];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::QueryRange => "query_range",
            Self::Series => "series",
        }
    }
}

/// What came of asking a backend: success, or which `BackendError`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QueryOutcome {
    /// Others took all the slots until the deadline.
    Busy,
    /// No answer in time.
    Deadline,
    /// The answer began in time and did not end.
    Incomplete,
    /// An answer that cannot be used.
    Malformed,
    /// An answer that lacks something.
    Partial,
    /// The backend said no.
    Refused,
    /// An answer.
    Success,
    /// Not asked, because of what happened before.
    Suspended,
    /// Too many questions.
    Throttled,
    /// No connection.
    Unreachable,
}

impl QueryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 10] = [
        Self::Busy,
        Self::Deadline,
        Self::Incomplete,
        Self::Malformed,
        Self::Partial,
        Self::Refused,
        Self::Success,
        Self::Suspended,
        Self::Throttled,
        Self::Unreachable,
    ];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Deadline => "deadline",
            Self::Incomplete => "incomplete",
            Self::Malformed => "malformed",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Success => "success",
            Self::Suspended => "suspended",
            Self::Throttled => "throttled",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What came of a round of discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiscoveryOutcome {
    /// No series matched.
    Empty,
    /// The last good result became too old and was dropped.
    Expired,
    /// The backend gave no answer.
    Failure,
    /// Some series matched.
    Success,
}

impl DiscoveryOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Empty, Self::Expired, Self::Failure, Self::Success];

    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Expired => "expired",
            Self::Failure => "failure",
            Self::Success => "success",
        }
    }
}

/// How the evaluation of a metric went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EvaluationOutcome {
    /// In no namespace.
    Failure,
    /// In some namespaces.
    Partial,
    /// In all namespaces.
    Success,
}

impl EvaluationOutcome {
    /// The label's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Failure => "failure",
            Self::Partial => "partial",
            Self::Success => "success",
        }
    }
}
