//! The error in which an agent ends its job, with the code that goes over the wire.

use std::error::Error;
use std::fmt;

use arcp_core::lease::Denied;
use arcp_core::runtime::StopCause;
use arcp_proto::{ErrorCode, ErrorPayload, Json};

use crate::context::Stopped;
use crate::credentials::RotateError;
use crate::delegate::{ChildError, DelegateError};
use crate::operation::OperationError;

/// Why an agent has failed.
///
/// Every error converts into one with `?`. Those of this crate keep their code; any other becomes `INTERNAL_ERROR` with
/// the error's own text, which the job's client is shown.
pub struct AgentError {
    payload: ErrorPayload,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl AgentError {
    /// An error with this code, which may be one of the agent's own (§12), and a sentence for people.
    pub fn new(code: impl Into<ErrorCode>, message: impl Into<String>) -> Self {
        Self { payload: ErrorPayload::new(code.into(), message), source: None }
    }

    /// `INVALID_REQUEST`: the job's input is not what the agent works with.
    pub fn invalid_request(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// The same error with `details`, which must be an object; anything else is left out.
    #[must_use]
    pub fn with_details(mut self, details: Json) -> Self {
        self.payload.details = Some(details).filter(Json::is_object);
        self
    }

    /// The code.
    pub fn code(&self) -> &ErrorCode {
        &self.payload.code
    }

    /// What the job's client is told.
    pub fn payload(&self) -> &ErrorPayload {
        &self.payload
    }

    /// The error that it was made of.
    pub fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }

    pub(crate) fn into_payload(self) -> ErrorPayload {
        self.payload
    }
}

impl fmt::Debug for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgentError").field("payload", &self.payload).field("source", &self.source).finish()
    }
}

impl fmt::Display for AgentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.payload, f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for AgentError {
    fn from(error: E) -> Self {
        let payload = payload_of(&error)
            .unwrap_or_else(|| ErrorPayload::new(ErrorCode::InternalError, error.to_string()));
        Self { payload, source: Some(Box::new(error)) }
    }
}

/// What an error of this crate says of itself, be it the error or what caused it.
fn payload_of(error: &(dyn Error + 'static)) -> Option<ErrorPayload> {
    let mut next = Some(error);
    while let Some(error) = next {
        let payload = if let Some(stopped) = error.downcast_ref::<Stopped>() {
            Some(ErrorPayload::new(stopped.code(), stopped.to_string()))
        } else if let Some(denied) = error.downcast_ref::<Denied>() {
            Some(denied.payload())
        } else if let Some(error) = error.downcast_ref::<OperationError>() {
            Some(error.payload())
        } else if let Some(error) = error.downcast_ref::<RotateError>() {
            Some(error.payload())
        } else if let Some(ChildError::Failed(payload)) = error.downcast_ref::<ChildError>() {
            Some(payload.clone())
        } else {
            error.downcast_ref::<DelegateError>().map(DelegateError::payload)
        };
        if payload.is_some() {
            return payload;
        }
        // An I/O error shows what caused its cause, and not the cause.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = inner.map(|inner| inner as &(dyn Error + 'static)).or_else(|| error.source());
    }
    None
}

impl Stopped {
    fn code(self) -> ErrorCode {
        match self.cause() {
            StopCause::Cancelled => ErrorCode::Cancelled,
            StopCause::TimedOut => ErrorCode::Timeout,
            StopCause::LeaseExpired => ErrorCode::LeaseExpired,
            _ => ErrorCode::InternalError,
        }
    }
}
