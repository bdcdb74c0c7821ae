//! The envelope around every message (§5), read without touching the payload.
//!
//! Writing one is in [`write`]; what an envelope means is not here.

mod read;
mod reader;
mod write;

use std::collections::BTreeMap;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::decode::DecodeError;
use crate::id::{JobId, MessageId, SessionId};
use crate::json::Json;
use crate::message::{Message, MessageType, Payload};
use crate::trace::{TraceContext, TraceId};

pub use reader::Reader;
pub use write::EnvelopeRef;

/// Where an envelope begins, as it is written here, up to its id.
const HEAD: &str = r#"{"arcp":"1.1","id":""#;
const EVENT_SEQ: &str = r#","event_seq":"#;
const PAYLOAD: &str = r#","payload":"#;

/// What this crate writes into `arcp`. Every `1` and `1.x` is read.
pub const PROTOCOL_VERSION: &str = "1.1";

/// One message with everything around it (§5).
///
/// Decoding leaves the payload as text: [`Envelope::message`] decodes it. Encoding splices the payload's text in
/// behind a small header, so that one payload can be shared by any number of envelopes.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Names this message; answers refer to it as `request_id`.
    pub id: MessageId,
    /// Which message.
    pub message_type: MessageType,
    /// The session, once there is one.
    pub session_id: Option<SessionId>,
    /// The trace it belongs to (§11).
    pub trace_id: Option<TraceId>,
    /// The job, on messages of a job.
    pub job_id: Option<JobId>,
    /// The session's own count, on `job.event`, `job.result` and `job.error` (§8.3); starts at 1.
    pub event_seq: Option<u64>,
    /// What vendors add.
    pub extensions: Extensions,
    /// The payload, always an object.
    pub payload: Json,
    /// Top-level fields that the protocol does not define, kept as they came.
    pub unknown: BTreeMap<Box<str>, Json>,
}

impl Envelope {
    /// An envelope around `payload`, with nothing but the required fields.
    pub fn new<P: Payload>(id: MessageId, payload: &P) -> Self {
        Self::with_payload(id, P::TYPE, payload.to_json())
    }

    /// An envelope around a payload that is encoded already, which must be an object.
    pub fn with_payload(id: MessageId, message_type: MessageType, payload: Json) -> Self {
        Self {
            id,
            message_type,
            session_id: None,
            trace_id: None,
            job_id: None,
            event_seq: None,
            extensions: Extensions::default(),
            payload,
            unknown: BTreeMap::new(),
        }
    }

    /// Decodes a frame. The payload is not looked into, but shares the frame's memory.
    ///
    /// # Errors
    /// Says what is wrong and where; [`Undecodable`] also carries the `id` if that much could be read.
    pub fn decode(frame: impl Into<ByteString>) -> Result<Self, Undecodable> {
        read::decode(&frame.into())
    }

    /// Decodes the payload as its type demands.
    ///
    /// # Errors
    /// Gives the JSON path, starting with `payload`.
    pub fn message(&self) -> Result<Message, DecodeError> {
        Message::decode(&self.message_type, &self.payload).map_err(|error| error.within("payload"))
    }

    /// Encodes the envelope. No absent field is written.
    pub fn encode(&self) -> ByteString {
        write::encode(self)
    }
}

/// A frame that is no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct Undecodable {
    /// What was wrong.
    #[source]
    pub error: EnvelopeError,
    /// The `id` of the frame, if that could be read: an answer can name it.
    pub id: Option<MessageId>,
}

impl From<Undecodable> for DecodeError {
    fn from(undecodable: Undecodable) -> Self {
        match undecodable.error {
            EnvelopeError::Malformed(error) => error,
            EnvelopeError::Version => Self::new("arcp", EnvelopeError::Version.to_string()),
        }
    }
}

/// What is wrong with a frame that is no envelope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// No JSON, no object, a field missing or of the wrong type.
    #[error(transparent)]
    Malformed(DecodeError),
    /// Another major version of the protocol.
    #[error("protocol version is not 1.x")]
    Version,
}

/// What vendors add to an envelope, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Extensions(BTreeMap<Box<str>, Json>);

impl Extensions {
    /// The name under which a whole trace context travels.
    pub const TRACE_CONTEXT: &str = "x-vendor.opentelemetry.tracecontext";

    /// On `job.subscribed`, and on the `job.accepted` of a submit that was attached to a job which had begun: the place in the
    /// job's log, from 0, of the first of its messages that follows. By it a client knows whether it has missed any.
    pub const NEXT_INDEX: &str = "x-vendor.arcp.next_index";

    /// An extension by name.
    pub fn by_name(&self, name: &str) -> Option<&Json> {
        self.0.get(name)
    }

    /// Adds or replaces an extension. Names are `optional` or `x-vendor.<vendor>.<name>`.
    pub fn insert(&mut self, name: impl Into<Box<str>>, value: Json) {
        self.0.insert(name.into(), value);
    }

    /// The whole trace context, if one is there that can be read.
    pub fn trace_context(&self) -> Option<TraceContext> {
        self.by_name(Self::TRACE_CONTEXT)?.decode().ok()
    }

    /// The place in its job's log of the first message that follows, if that is told.
    pub fn next_index(&self) -> Option<u64> {
        self.by_name(Self::NEXT_INDEX)?.decode().ok()
    }

    /// Tells the place in its job's log of the first message that follows.
    pub fn insert_next_index(&mut self, index: u64) {
        self.insert(Self::NEXT_INDEX, Json::from(serde_json::Value::from(index)));
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
