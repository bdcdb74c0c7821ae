//! What agents say of their inputs: a schema for clients to read, and a check before there is a job. Neither schemas nor their
//! language are known here.

use std::fmt;

use arcp_proto::{ErrorPayload, Json};

/// What an agent works with.
///
/// Checking is pure and may take a while, so that a driver does it outside of its locks:
/// see [`Incoming::checked`](crate::Incoming::checked) and [`Delegation::checked`](super::Delegation::checked).
pub trait InputContract: fmt::Debug + Send + Sync {
    /// A JSON Schema of it, as `session.welcome` shows it.
    fn schema(&self) -> &Json;

    /// Whether an input is such a one.
    ///
    /// # Errors
    /// What whoever submitted it is told: the place, and what was due there.
    fn check(&self, input: &Json) -> Result<(), ErrorPayload>;
}

/// What was found out of an input before a machine takes it. Nothing if nobody has asked, or there is nobody to ask.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict(pub(crate) Option<Result<(), ErrorPayload>>);
