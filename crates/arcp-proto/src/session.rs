//! Messages of sessions (§6).

mod handshake;
mod listing;

use serde::{Deserialize, Serialize};

pub use handshake::{
    AgentInfo, Auth, ClientCapabilities, Hello, Peer, Resume, ResumeRequest, RuntimeCapabilities, Welcome,
};
pub use listing::{JobEntry, JobFilter, Jobs, JobsEncoder, ListJobs};

use crate::decode::integer;
use crate::error_code::{ErrorCode, ErrorPayload, ErrorWire};
use crate::id::{JobId, MessageId, empty_is_absent};
use crate::json::Json;
use crate::timestamp::Timestamp;

/// `session.error`: the runtime refuses a handshake, or one request of a session that goes on (§12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "ErrorMessageWire")]
pub struct Error {
    /// Why.
    #[serde(flatten)]
    pub error: ErrorPayload,
    /// The `id` of the refused message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<MessageId>,
    /// The job that the refused message was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub job_id: Option<JobId>,
}

/// What is read; spelt out, since raw JSON cannot be read through a flattened field.
#[derive(Deserialize)]
struct ErrorMessageWire {
    code: ErrorCode,
    message: Option<String>,
    retryable: Option<bool>,
    details: Option<Json>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    request_id: Option<MessageId>,
    #[serde(default, deserialize_with = "empty_is_absent")]
    job_id: Option<JobId>,
}

impl From<ErrorMessageWire> for Error {
    fn from(wire: ErrorMessageWire) -> Self {
        let ErrorMessageWire { code, message, retryable, details, request_id, job_id } = wire;
        Self { error: ErrorWire { code, message, retryable, details }.into(), request_id, job_id }
    }
}

/// `session.ping` (§6.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {
    /// Comes back in the pong.
    pub nonce: String,
    /// When it was sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
}

/// `session.pong` (§6.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pong {
    /// The nonce of the ping.
    pub ping_nonce: String,
    /// When the ping arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
}

/// `session.ack`: the highest `event_seq` that the client has processed (§6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ack {
    /// Everything up to and including this number has been processed; 0 for nothing.
    #[serde(with = "integer")]
    pub last_processed_seq: u64,
}

/// `session.close` (§6.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `session.closed` (§6.7).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// `session.bye`, the close of version 1.0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bye {
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_flat_and_keeps_its_details() {
        let text = concat!(
            r#"{"code":"DUPLICATE_KEY","message":"m","retryable":false,"#,
            r#""details":{"existing_job_id":"j","n":1.10},"request_id":"r"}"#
        );
        let error: Error = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&error).unwrap(), text);
    }
}
