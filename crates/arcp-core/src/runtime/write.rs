//! What a store is asked to write. The machine does not know how it is done, only when it has been.

use std::sync::Arc;

use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Digest, Features, JobId, SessionId, Timestamp};

use super::log::Entry;
use crate::fingerprint::Fingerprint;
use crate::principal::Principal;

/// Writes that belong together: all of them take effect or none.
///
/// Batches are committed in the order of their positions. Nothing that a batch speaks of is sent to any client
/// before [`Runtime::handle_committed`](super::Runtime::handle_committed) was told its position.
#[derive(Debug)]
pub struct Batch {
    /// The place of this batch in the order of all.
    pub position: u64,
    /// The writes, in order.
    pub writes: Vec<Write>,
}

/// One write.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Write {
    /// A session was opened, resumed or closed, or its connection has gone.
    Session(SessionRecord),
    /// A session can no longer be resumed.
    SessionGone(SessionId),
    /// A job was accepted.
    Job(Box<JobRecord>),
    /// A job's log has grown by these entries, one after the other.
    Appended(Vec<Arc<Entry>>),
    /// A job has ended; its terminal message is the last entry of its log.
    JobEnded(JobId, FinalStatus),
    /// A job is forgotten.
    JobGone(JobId),
    /// An idempotency key is forgotten.
    KeyGone(Principal, Box<str>),
}

/// What is kept of a session.
#[derive(Clone, Debug)]
pub struct SessionRecord {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub principal: Principal,
    /// What it may use.
    pub features: Features,
    /// The digest of its resume token.
    pub resume_token: Digest,
    /// When its connection went; `None` while it is connected.
    pub disconnected_at: Option<Timestamp>,
}

/// What is kept of a job beside its log.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Whose it is.
    pub principal: Principal,
    /// The session that submitted it.
    pub session_id: SessionId,
    /// What its submitter was told, without credentials.
    pub accepted: Accepted,
    /// Its idempotency key, and what a second submit under it must equal.
    pub key: Option<(Box<str>, Fingerprint)>,
}
