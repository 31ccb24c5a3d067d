//! The coarse error of all ports.

/// What went wrong in a port, as far as the domain has to tell it apart. The text is for logs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// What was named is not there.
    #[error("not found")]
    NotFound,
    /// A condition of the write did not hold.
    #[error("conflict")]
    Conflict,
    /// Too many requests for now.
    #[error("throttled")]
    Throttled,
    /// The store, queue or network failed; the write may have taken effect.
    #[error("unavailable: {0}")]
    Unavailable(String),
    /// There is no room left to store anything.
    #[error("storage is full")]
    Full,
    /// The request cannot be carried out as it is.
    #[error("invalid: {0}")]
    Invalid(String),
    /// What is stored cannot be read.
    #[error("corrupt: {0}")]
    Corrupt(String),
}

impl PortError {
    /// True if the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, PortError::Throttled | PortError::Unavailable(_) | PortError::Full)
    }
}
