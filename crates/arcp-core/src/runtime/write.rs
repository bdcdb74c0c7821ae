//! What a store is asked to write. The machine does not know how it is done, only when it has been.

use std::sync::Arc;
use std::time::Duration;

use arcp_proto::job::{Accepted, FinalStatus};
use arcp_proto::{Budget, Digest, Features, JobId, Json, SessionId, Timestamp, TraceContext, TraceId};

use super::StopCause;
use super::log::{Entry, JobHead};
use crate::fingerprint::Fingerprint;
use crate::principal::Principal;
use crate::quirks::Quirks;

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

/// One write. What a store has after it can be read back as a [`Recovered`](super::Recovered).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Write {
    /// A session was opened, resumed or closed, or its connection has gone. Replaces what was written of it before.
    Session(SessionRecord),
    /// A session can no longer be resumed: its view, and what it follows, are gone with it.
    SessionGone(SessionId),
    /// A session's view has grown, or its beginning was freed.
    View(ViewRecord),
    /// A session follows a job. Replaces what was written of the two before.
    Follow(FollowRecord),
    /// A session follows a job no more.
    Unfollow(SessionId, JobId),
    /// A job was accepted.
    Job(Box<JobRecord>),
    /// A job's log has grown by these entries, one after the other.
    Appended(Vec<Logged>),
    /// A job was told to stop: it ends in that.
    JobStopping(JobId, StopCause, Option<String>),
    /// A job has ended; its terminal message is the last entry of its log. Who followed it and was not reading its log
    /// ([`FollowRecord::behind`]) follows it no more.
    JobEnded(JobId, FinalStatus),
    /// The oldest entries of a job's log are no longer part of it. They are still needed where a view shows them.
    Forgotten(ForgottenRecord),
    /// What the agent of a job wants to be given when it is run again. Replaces what was written before.
    Checkpoint(JobId, Json),
    /// What remains in a job's own counters.
    Remaining(JobId, Budget),
    /// A job is forgotten. Its entries are still needed where a view shows them.
    JobGone(JobId),
    /// An idempotency key is forgotten.
    KeyGone(Principal, Box<str>),
}

/// What is kept of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionRecord {
    /// The session.
    pub session_id: SessionId,
    /// Whose it is.
    pub principal: Principal,
    /// What it may use.
    pub features: Features,
    /// How its messages deviate from the draft.
    pub quirks: Quirks,
    /// The digest of its resume token.
    pub resume_token: Digest,
    /// The digest of the token before that, while it is still good (§6.3).
    pub old_resume_token: Option<Digest>,
    /// When its connection went; `None` while it is connected.
    pub disconnected_at: Option<Timestamp>,
}

/// How the view of a session has changed.
#[derive(Clone, Debug)]
pub struct ViewRecord {
    /// The session.
    pub session_id: SessionId,
    /// The number of the first message that is kept: all before it are freed.
    pub kept_from: u64,
    /// The highest number that its client says it has processed.
    pub acknowledged: u64,
    /// The number of the first message in `shown`.
    pub first_seq: u64,
    /// What the session was numbered since, one after the other.
    pub shown: Vec<Shown>,
}

/// A run of consecutive messages of one job in the view of a session.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The job.
    pub job: Arc<JobHead>,
    /// The place of the first one in the job's log.
    pub index: u64,
    /// How many there are.
    pub count: u64,
    /// Of when it is, if this is no message of the log but stands for those before `index`, which are no longer kept.
    pub gap: Option<Timestamp>,
}

/// A session that is sent a job's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowRecord {
    /// The session.
    pub session_id: SessionId,
    /// The job.
    pub job_id: JobId,
    /// Whether it submitted the job, be it as the second with one key.
    pub submitted: bool,
    /// Whether the job's agent waits for this session's reader.
    pub paces: bool,
    /// The place in the job's log of the next entry that it is to be shown, if it reads the log.
    pub behind: Option<u64>,
}

/// What is kept of a job beside its log.
#[derive(Clone, Debug)]
pub struct JobRecord {
    /// Whose it is.
    pub principal: Principal,
    /// The session that submitted it.
    pub session_id: SessionId,
    /// Its trace.
    pub trace_id: TraceId,
    /// Where it stands in that, if that is known.
    pub trace_context: Option<TraceContext>,
    /// The number of that session's last message before the acceptance.
    pub accepted_after: u64,
    /// What its submitter was told, without credentials.
    pub accepted: Arc<Accepted>,
    /// Its idempotency key, and what a second submit under it must equal.
    pub key: Option<(Box<str>, Fingerprint)>,
    /// What its agent is to be run with again after a restart, if it is.
    pub rerun: Option<Rerun>,
}

/// What an agent is run with.
#[derive(Clone, Debug)]
pub struct Rerun {
    /// What it was given.
    pub input: Json,
    /// How long it may run, counted from its acceptance.
    pub max_runtime: Option<Duration>,
    /// The submitter's whole trace context, if it gave one.
    pub trace_context: Option<TraceContext>,
}

/// An entry of a job's log.
#[derive(Clone, Debug)]
pub struct Logged {
    /// The entry.
    pub entry: Arc<Entry>,
    /// The number that its submitter's session had come to with it.
    pub owner_seq: u64,
}

/// Where a job's log begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForgottenRecord {
    /// The job.
    pub job_id: JobId,
    /// The place of the first entry that is kept.
    pub kept_from: u64,
    /// The number that its submitter's session had come to with the last one before that.
    pub owner_seq: u64,
}
