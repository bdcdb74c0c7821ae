//! What a job says: messages encoded once, numbered by each session that follows the job.

use std::collections::VecDeque;
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
    /// What is sent in its place to a session that was not sent the chunks of the job's result (§8.4).
    pub plain: Option<Arc<Entry>>,
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

/// What is kept of a job's log for those who subscribe later.
#[derive(Debug, Default)]
pub(super) struct JobLog {
    kept: VecDeque<Kept>,
    bytes: usize,
    last_owner_seq: u64,
}

#[derive(Debug)]
struct Kept {
    entry: Arc<Entry>,
    /// The number that its submitter's session had come to with it.
    owner_seq: u64,
}

impl JobLog {
    pub(super) fn push(&mut self, entry: Arc<Entry>, owner_seq: u64) {
        self.last_owner_seq = owner_seq;
        self.bytes += entry.payload.len();
        self.kept.push_back(Kept { entry, owner_seq });
    }

    /// The number of the last entry in the submitter's count; 0 before the first.
    pub(super) fn last_owner_seq(&self) -> u64 {
        self.last_owner_seq
    }

    /// What is kept of the entries after a number of the submitter's count.
    pub(super) fn after(&self, owner_seq: u64) -> impl Iterator<Item = &Arc<Entry>> {
        let start = self.kept.partition_point(|kept| kept.owner_seq <= owner_seq);
        self.kept.range(start..).map(|kept| &kept.entry)
    }

    pub(super) fn len(&self) -> usize {
        self.kept.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Forgets the oldest entry and returns its size.
    pub(super) fn forget_first(&mut self) -> Option<usize> {
        let kept = self.kept.pop_front()?;
        self.bytes -= kept.entry.payload.len();
        Some(kept.entry.payload.len())
    }

    /// Forgets everything and returns its size.
    pub(super) fn clear(&mut self) -> usize {
        self.kept = VecDeque::new();
        std::mem::take(&mut self.bytes)
    }
}
