//! What a client session tells its application.

use arcp_proto::job::{Accepted, Event as JobEvent, FinalStatus, JobError, JobResult, Subscribed};
use arcp_proto::session::{AgentInfo, Jobs, Peer};
use arcp_proto::{DecodeError, ErrorCode, ErrorPayload, Feature, Features, JobId, SessionId};

use super::place::Audience;

/// Names a request towards the machine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestKey(pub(super) u64);

/// Something that has happened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The session is open (§6.2).
    Opened(Opened),
    /// The connection was lost, and the session is about to be resumed: nothing that it holds is lost.
    Disconnected,
    /// Make a new connection and tell [`handle_connected`](super::Session::handle_connected) or
    /// [`handle_connect_failed`](super::Session::handle_connect_failed). The old one, if it still is, is of no more use.
    Connect,
    /// The session was resumed (§6.3): what was missed follows.
    Resumed,
    /// The session that was lost is gone: the runtime no longer has it, and said why, or could not be reached for as long as it
    /// kept it. The next connection opens another.
    Lapsed(Option<ErrorPayload>),
    /// Another session is open in place of one that is gone. The jobs that it followed are subscribed to from where they were:
    /// each event is still told once. They can no longer be cancelled (§7.4).
    Renewed(Opened),
    /// Events of a job are no longer kept by the runtime and were not told: they will not be. The job's others follow.
    Missed {
        /// The job.
        job_id: JobId,
        /// Who was to be told of them.
        audience: Audience,
    },
    /// How far has the application come? Tell [`acknowledge`](super::Session::acknowledge).
    AcknowledgeDue,
    /// A page of jobs (§6.6).
    Jobs {
        /// The request.
        request: RequestKey,
        /// The page.
        page: Box<Jobs>,
    },
    /// A subscription has begun (§7.6).
    Subscribed {
        /// The request.
        request: RequestKey,
        /// What may be known of the job.
        subscribed: Box<Subscribed>,
    },
    /// The connection was lost before a request was answered that cannot be repeated without harm. It may have been carried
    /// out; ask again.
    Interrupted {
        /// The request.
        request: RequestKey,
    },
    /// The handshake was refused (§6.1, §6.2); the session never opened. [`Event::Ended`] follows.
    HandshakeRefused(ErrorPayload),
    /// A submit was accepted (§7.1). Two submits with one idempotency key may be told the same job.
    Accepted {
        /// The submit.
        request: RequestKey,
        /// What the runtime granted.
        accepted: Box<Accepted>,
    },
    /// A job of this session has delegated (§10): the child is a job of this session too, and what it says is told.
    Delegated(Box<Accepted>),
    /// A cancellation was acknowledged (§7.4), or its job has ended.
    CancelAcknowledged {
        /// The cancel.
        request: RequestKey,
    },
    /// A request was refused; nothing else is affected.
    Refused {
        /// The request.
        request: RequestKey,
        /// Why.
        error: ErrorPayload,
    },
    /// A request was not sent: it makes use of a feature that the session does not have (§6.2).
    NotOffered {
        /// The request.
        request: RequestKey,
        /// What the runtime does not offer.
        feature: Feature,
    },
    /// A request was answered by what cannot be read. It may have been carried out: a job that was accepted so runs on, and can be
    /// asked for again under its idempotency key.
    Unreadable {
        /// The request.
        request: RequestKey,
        /// What was wrong with the answer, and where in it.
        error: DecodeError,
    },
    /// A request was not answered in time. It may still have been carried out.
    TimedOut {
        /// The request.
        request: RequestKey,
    },
    /// Something happened in a job (§8).
    Job {
        /// The job.
        job_id: JobId,
        /// The number, if the runtime gave one.
        event_seq: Option<u64>,
        /// What.
        event: JobEvent,
        /// Who it is for: a subscription to a job that was followed already has its history come again, which is not for
        /// those who have been told.
        audience: Audience,
    },
    /// A job has ended (§7.3).
    JobEnded {
        /// The job.
        job_id: JobId,
        /// How.
        end: JobEnd,
    },
    /// The session is over. Every open request and every live job of this session is without an answer.
    Ended(Loss),
}

/// What the runtime said of itself and of the session.
#[derive(Clone, Debug, Default)]
pub struct Opened {
    /// The session.
    pub session_id: Option<SessionId>,
    /// Who answered.
    pub runtime: Option<Peer>,
    /// What may be used.
    pub features: Features,
    /// The agents that can be submitted to.
    pub agents: Vec<AgentInfo>,
}

/// How a job has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum JobEnd {
    /// With a result.
    Success(JobResult),
    /// Without one.
    Failure(JobError),
    /// Its terminal message could not be read.
    Unreadable(DecodeError),
    /// The session that followed it is gone, and the one after it could not take it up. The job may run on.
    Lost(ErrorPayload),
}

impl From<JobResult> for JobEnd {
    /// Some runtimes end cancelled and timed-out jobs in a `job.result`.
    fn from(result: JobResult) -> Self {
        let (code, message) = match &result.final_status {
            FinalStatus::Success => return Self::Success(result),
            FinalStatus::Cancelled => (ErrorCode::Cancelled, "job was cancelled"),
            FinalStatus::TimedOut => (ErrorCode::Timeout, "job exceeded its max_runtime_sec"),
            _ => (ErrorCode::InternalError, "job ended in an error"),
        };
        let message = result.summary.as_deref().unwrap_or(message);
        let error = ErrorPayload::new(code, message);
        Self::Failure(JobError {
            final_status: result.final_status,
            error,
            completed_at: result.completed_at,
        })
    }
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Loss {
    /// It was closed in order, by this side or the other.
    #[error("session is closed")]
    Closed,
    /// The connection went before the runtime said welcome.
    #[error("connection was lost before the runtime answered session.hello")]
    BeforeWelcome,
    /// The runtime did not answer in time.
    #[error("runtime did not answer session.hello in time")]
    HandshakeTimeout,
    /// The runtime refused; [`Event::HandshakeRefused`] said why.
    #[error("runtime refused the session")]
    Refused,
    /// The runtime sent a frame larger than is read. It would do so again.
    #[error("runtime sent a frame larger than is read")]
    FrameTooLarge,
    /// The connection was lost, and the runtime could not be reached again within the time for which that is tried.
    #[error("connection was lost and the runtime could not be reached again")]
    Unreachable,
    /// The connection went.
    #[error("connection was lost")]
    ConnectionLost,
}
