//! The error taxonomy (§12) and the payload that carries it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decode::Integer;
use crate::json::Json;
use crate::text_enum::text_enum;

text_enum! {
    /// Why something failed (§12). Codes of agents and vendors are kept as text.
    pub enum ErrorCode {
        /// Operation rejected by lease enforcement, or a job that may be seen but not observed or cancelled.
        PermissionDenied = "PERMISSION_DENIED",
        /// Delegation request expanded beyond the parent's lease.
        LeaseSubsetViolation = "LEASE_SUBSET_VIOLATION",
        /// The `job_id` does not exist or is not visible.
        JobNotFound = "JOB_NOT_FOUND",
        /// An `idempotency_key` used again with other parameters.
        DuplicateKey = "DUPLICATE_KEY",
        /// The agent is not registered.
        AgentNotAvailable = "AGENT_NOT_AVAILABLE",
        /// The agent is registered, but not in this version.
        AgentVersionNotAvailable = "AGENT_VERSION_NOT_AVAILABLE",
        /// The job ended because its client cancelled it.
        Cancelled = "CANCELLED",
        /// The job exceeded `max_runtime_sec`.
        Timeout = "TIMEOUT",
        /// A resume came after the buffer window had closed.
        ResumeWindowExpired = "RESUME_WINDOW_EXPIRED",
        /// The peer has gone silent.
        HeartbeatLost = "HEARTBEAT_LOST",
        /// The lease's `expires_at` was reached.
        LeaseExpired = "LEASE_EXPIRED",
        /// A `cost.budget` counter reached zero.
        BudgetExhausted = "BUDGET_EXHAUSTED",
        /// A malformed envelope or a payload that is not what its type demands.
        InvalidRequest = "INVALID_REQUEST",
        /// Missing or invalid authentication.
        Unauthenticated = "UNAUTHENTICATED",
        /// An unrecoverable fault of the runtime.
        InternalError = "INTERNAL_ERROR",
    }
}

impl ErrorCode {
    /// Whether trying the same again may succeed: true for `INTERNAL_ERROR` and `TIMEOUT`, false for all others,
    /// unknown codes included.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::InternalError | Self::Timeout)
    }
}

/// An error as `tool_result`, `job.error` and `session.error` carry it (§12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ErrorWire")]
pub struct ErrorPayload {
    /// Why.
    pub code: ErrorCode,
    /// One sentence for people; never empty, and left out when it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether trying the same again may succeed.
    pub retryable: bool,
    /// More, by code; an object, and left out when it is none.
    #[serde(skip_serializing_if = "no_object")]
    pub details: Option<Json>,
}

fn no_object(details: &Option<Json>) -> bool {
    !details.as_ref().is_some_and(Json::is_object)
}

impl ErrorPayload {
    /// An error whose `retryable` is what its code says. An empty message becomes the code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.is_empty() {
            message = code.as_str().to_owned();
        }
        Self { retryable: code.is_retryable(), code, message, details: None }
    }

    /// When to try the same again, if it says so: `details.retry_after_ms`. A runtime that wants somebody to wait may say it.
    pub fn retry_after(&self) -> Option<Duration> {
        #[derive(Deserialize)]
        struct RetryAfter {
            retry_after_ms: Integer,
        }
        let details = self.details.as_ref().filter(|_| self.retryable)?;
        let RetryAfter { retry_after_ms: Integer(millis) } = details.decode().ok()?;
        Some(Duration::from_millis(millis))
    }
}

impl std::fmt::Display for ErrorPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// What is read: `message` and `retryable` may be missing, the code speaks for them; `details` that are no object
/// are dropped. The messages that carry an error flat in their payload read its fields through this.
#[derive(Deserialize)]
pub(crate) struct ErrorWire {
    pub(crate) code: ErrorCode,
    pub(crate) message: Option<String>,
    pub(crate) retryable: Option<bool>,
    pub(crate) details: Option<Json>,
}

impl From<ErrorWire> for ErrorPayload {
    fn from(ErrorWire { code, message, retryable, details }: ErrorWire) -> Self {
        let mut error = Self::new(code, message.unwrap_or_default());
        error.retryable = retryable.unwrap_or(error.retryable);
        error.details = details.filter(Json::is_object);
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fifteen_codes_and_any_other() {
        assert_eq!(ErrorCode::KNOWN.len(), 15);
        let code = ErrorCode::from("RATE_LIMITED");
        assert_eq!((code.as_str(), code.is_known(), code.is_retryable()), ("RATE_LIMITED", false, false));
        let retryable: Vec<_> = ErrorCode::KNOWN.iter().filter(|code| code.is_retryable()).collect();
        assert_eq!(retryable, [&ErrorCode::Timeout, &ErrorCode::InternalError]);
    }

    #[test]
    fn when_to_try_again_is_read_where_it_is_said() {
        let after = |code: &str, details: &str| {
            let text = format!(r#"{{"code":"{code}","details":{details}}}"#);
            serde_json::from_str::<ErrorPayload>(&text).unwrap().retry_after()
        };
        let millis = |millis| Some(Duration::from_millis(millis));
        assert_eq!(after("INTERNAL_ERROR", r#"{"retry_after_ms":501,"more":[]}"#), millis(501));
        assert_eq!(after("INTERNAL_ERROR", r#"{"retry_after_ms":0}"#), millis(0));
        for none in ["null", "7", "{}", r#"{"retry_after_ms":"5"}"#, r#"{"retry_after_ms":-5}"#] {
            assert_eq!(after("INTERNAL_ERROR", none), None, "{none}");
        }
        assert_eq!(
            after("PERMISSION_DENIED", r#"{"retry_after_ms":5}"#),
            None,
            "it will not be granted then"
        );
    }

    #[test]
    fn a_terse_peer_is_understood() {
        let error: ErrorPayload =
            serde_json::from_str(r#"{"code":"INTERNAL_ERROR","details":null}"#).unwrap();
        assert!(error.retryable && error.details.is_none());
        assert_eq!(error.message, "INTERNAL_ERROR");
        let error: ErrorPayload =
            serde_json::from_str(r#"{"code":"X","message":"m","details":"text"}"#).unwrap();
        assert_eq!(serde_json::to_string(&error).unwrap(), r#"{"code":"X","message":"m","retryable":false}"#);
    }
}
