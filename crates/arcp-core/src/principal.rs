//! Who somebody is, once authenticated (§6.1), and what they may ask for.

use std::fmt;
use std::sync::Arc;

use arcp_proto::Timestamp;

use crate::lease::Ceiling;

/// The name that an authenticator gave to the holder of a token. Sessions, jobs and idempotency keys belong to one.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Principal(Arc<str>);

impl Principal {
    /// The principal with this name.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self(name.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The holder of a token, as an authenticator found out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// The most that jobs may ask for that are submitted with this token; `None` if the token says nothing of it.
    pub ceiling: Option<Arc<Ceiling>>,
    /// Until when this holds; `None` if the token says nothing of it. A connection that was let in with the token is closed then,
    /// and its session can be resumed with another.
    pub expires_at: Option<Timestamp>,
}

impl Caller {
    /// A principal who may ask for anything.
    pub fn new(principal: Principal) -> Self {
        Self { principal, ceiling: None, expires_at: None }
    }

    /// The same, whose jobs may ask for this at most.
    #[must_use]
    pub fn with_ceiling(self, ceiling: Ceiling) -> Self {
        Self { ceiling: Some(Arc::new(ceiling)), ..self }
    }

    /// The same until this moment, and nobody after it.
    #[must_use]
    pub fn until(self, expires_at: Timestamp) -> Self {
        Self { expires_at: Some(expires_at), ..self }
    }
}

impl From<Principal> for Caller {
    fn from(principal: Principal) -> Self {
        Self::new(principal)
    }
}
