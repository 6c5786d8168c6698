//! Kubernetes label selectors: the query-string form, and whether they match a label set.

/// A parsed selector: requirements sorted by key, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Selector {
    requirements: Vec<Requirement>,
}

/// One condition on one label.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key.
    pub key: String,
    /// What is asked of its value.
    pub operator: Operator,
    /// The values, sorted; empty for the existence operators.
    pub values: Vec<String>,
}

/// What a requirement asks of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `!k`
    DoesNotExist,
    /// `k=v` or `k==v`
    Equals,
    /// `k`
    Exists,
    /// `k>n`
    GreaterThan,
    /// `k in (a,b)`
    In,
    /// `k<n`
    LessThan,
    /// `k!=v`
    NotEquals,
    /// `k notin (a,b)`
    NotIn,
}

impl Selector {
    /// The requirements, sorted by key.
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Whether every requirement holds for the labels that `value_of` knows.
    pub fn matches<'a>(&self, value_of: impl Fn(&str) -> Option<&'a str>) -> bool {
        let _ = value_of;
        unimplemented!()
    }
}
