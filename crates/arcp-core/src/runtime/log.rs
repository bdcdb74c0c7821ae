//! What a job says: messages encoded once, numbered by each session that follows the job.

use std::sync::Arc;

use arcp_proto::event::EventKind;
use arcp_proto::{EncodeError, Feature, JobId, Json, MessageType, Timestamp, TraceId};
use serde::Serialize;

/// An event before it is in any log: its payload is encoded, everything else comes with the log.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) kind: EventKind,
    pub(super) ts: Timestamp,
    pub(super) payload: Json,
}

impl Draft {
    /// Encodes an event, once for all sessions that will see it. Needs no state, so that a driver can do it outside
    /// of its locks.
    ///
    /// # Errors
    /// When the body cannot be encoded.
    pub fn new<B: Serialize + ?Sized>(kind: EventKind, ts: Timestamp, body: &B) -> Result<Self, EncodeError> {
        #[derive(Serialize)]
        struct Payload<'a, B: ?Sized> {
            kind: &'a EventKind,
            ts: Timestamp,
            body: &'a B,
        }
        let payload = Json::encode(&Payload { kind: &kind, ts, body })?;
        Ok(Self { kind, ts, payload })
    }
}

/// One message of a job's log: `job.event`, `job.result` or `job.error`. Sessions number it, each by its own count.
#[derive(Debug)]
pub struct Entry {
    /// What every message of the job has in common.
    pub job: Arc<JobHead>,
    /// Its place in the job's log, from 0.
    pub index: u64,
    /// Which of the three messages.
    pub message_type: MessageType,
    /// The kind, for an event.
    pub kind: Option<EventKind>,
    /// When.
    pub ts: Timestamp,
    /// The payload, encoded.
    pub payload: Json,
    /// The [`Batch`](super::Batch) that stores it: it may be sent once that is committed.
    pub position: u64,
}

impl Entry {
    /// The feature that a session must have negotiated to be sent this (§6.2).
    pub(super) fn feature(&self) -> Option<Feature> {
        match self.kind {
            Some(EventKind::Progress) => Some(Feature::Progress),
            Some(EventKind::ResultChunk) => Some(Feature::ResultChunk),
            _ => None,
        }
    }
}

/// What every message of a job has on its envelope.
#[derive(Debug)]
pub struct JobHead {
    /// The job.
    pub job_id: JobId,
    /// Its trace.
    pub trace_id: TraceId,
}
