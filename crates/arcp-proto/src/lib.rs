//! Wire types of the Agent Runtime Control Protocol (ARCP) v1.1: what is said, not who says it when.
//!
//! This crate has no I/O, no async, no clock and no randomness. It decodes and encodes:
//!
//! - the [`Envelope`] around every message (§5), whose payload stays raw [`Json`] until it is asked for,
//! - every message of [`session`] (§6) and [`job`] (§7), and all [`Message`]s as one enum,
//! - the [`event`] kinds of §8, vendor kinds included,
//! - [`Lease`], [`LeaseConstraints`], [`Budget`] and [`Credential`] (§9), [`TraceContext`] (§11), [`ErrorCode`] (§12),
//! - and the values they are made of: ids, [`AgentRef`], [`Timestamp`], [`Number`], [`Amount`], secrets.
//!
//! # Rules that hold throughout
//!
//! - **Emit exactly the draft, accept what a reasonable peer sends.** `null` in an optional field is an absent
//!   field; an absent field is never written as `null`, but for `next_cursor` and `parent_job_id` where the draft
//!   draws one.
//! - **What is unknown survives.** Unknown envelope fields are kept and written again, unknown payload fields
//!   live on in the raw payload, unknown message types, event kinds, features and error codes keep their text.
//! - **Errors name the place, never the text.** A [`DecodeError`] gives a JSON path and what was expected there.
//! - **Secrets are types.** Tokens and credential values print as `[redacted]` and compare in constant time.
//!
//! # Example
//!
//! ```
//! use arcp_proto::{Envelope, Message};
//!
//! let frame = r#"{"arcp":"1.1","id":"01J","type":"job.event","job_id":"job_1","event_seq":7,
//!     "payload":{"kind":"log","ts":"2026-05-13T19:42:13Z","body":{"level":"info","message":"hi"}}}"#;
//! let envelope = Envelope::decode(frame)?; // the payload is still text here
//! assert_eq!(envelope.event_seq, Some(7));
//!
//! let Message::JobEvent(event) = envelope.message()? else { panic!("not an event") };
//! let arcp_proto::event::Body::Log(log) = event.body()? else { panic!("not a log") };
//! assert_eq!(log.message, "hi");
//! # Ok::<(), arcp_proto::DecodeError>(())
//! ```

mod agent_ref;
mod amount;
mod credential;
mod decode;
mod envelope;
mod error_code;
pub mod event;
mod feature;
mod id;
pub mod job;
mod json;
mod lease;
mod message;
mod number;
mod plain;
mod secret;
pub mod session;
mod text_enum;
mod timestamp;
mod trace;

pub use agent_ref::{AgentName, AgentRef, AgentVersion, InvalidAgentRef};
pub use amount::{Amount, Budget, BudgetAmount, Currency, InvalidAmount};
pub use bytestring::ByteString;
pub use credential::{Credential, CredentialConstraints};
pub use decode::DecodeError;
pub use envelope::{Envelope, EnvelopeError, EnvelopeRef, Extensions, PROTOCOL_VERSION, Reader, Undecodable};
pub use error_code::{ErrorCode, ErrorPayload};
pub use feature::{Feature, Features};
pub use id::{
    CallId, CredentialId, DelegateId, InvalidId, JobId, MessageId, ResultId, SessionId, SubscriptionId,
};
pub use json::{EncodeError, Json, JsonPack};
pub use lease::{Lease, LeaseConstraints, namespace};
pub use message::{Message, MessageType, Payload};
pub use number::{InvalidNumber, Number};
pub use secret::{BearerToken, CredentialValue, Digest, ResumeToken};
pub use timestamp::{InvalidTimestamp, Timestamp};
pub use trace::{InvalidTraceContext, SpanId, TraceContext, TraceId};
pub use ulid::{ULID_LEN, Ulid};
