//! What can go wrong, one enum an operation. The wire's code survives in each.

use std::time::Duration;

use arcp_core::client::Loss;
use arcp_proto::job::FinalStatus;
use arcp_proto::{DecodeError, EncodeError, ErrorCode, ErrorPayload, Feature, InvalidAgentRef};

/// Why a session could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The runtime could not be reached.
    #[error(transparent)]
    Transport(#[from] arcp_transport::ConnectError),
    /// The runtime was reached and refused (§6.1, §6.2).
    #[error("runtime refused the session: {0}")]
    Refused(ErrorPayload),
    /// The connection was made, but no session came of it.
    #[error(transparent)]
    Lost(Loss),
}

impl ConnectError {
    /// The code with which the runtime refused.
    pub fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Refused(error) => Some(&error.code),
            Self::Transport(_) | Self::Lost(_) => None,
        }
    }

    /// How long to wait before it is tried again, if the runtime has refused and said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(error) => error.retry_after(),
            Self::Transport(_) | Self::Lost(_) => None,
        }
    }
}

/// Why a request was not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The agent's name is no agent reference; nothing was sent.
    #[error("agent {0:?} cannot be submitted to")]
    Agent(String, #[source] InvalidAgentRef),
    /// The input cannot be written as JSON; nothing was sent.
    #[error("input cannot be encoded")]
    Encode(#[source] EncodeError),
    /// The runtime refused this request; the session goes on.
    #[error("runtime refused the request: {0}")]
    Refused(ErrorPayload),
    /// The runtime does not offer a feature that the request makes use of (§6.2), such as listing jobs, or a budget in a lease;
    /// nothing was sent.
    #[error("runtime does not offer {0}")]
    NotOffered(Feature),
    /// The runtime answered, and its answer cannot be read: the error names the place. As with [`TimedOut`](Self::TimedOut), the request
    /// may have been carried out.
    #[error("answer of the runtime cannot be read: {0}")]
    Unreadable(DecodeError),
    /// The runtime did not answer in time. It may have done what it was asked: a submit with an
    /// [`idempotency_key`](crate::Submit::idempotency_key) can be made again safely.
    #[error("runtime did not answer the request in time")]
    TimedOut,
    /// The connection was lost before the answer came, and asking again by itself could do harm. The session goes on: ask
    /// again.
    #[error("connection was lost before the request was answered")]
    Interrupted,
    /// The session has ended. As with [`TimedOut`](Self::TimedOut), the request may have been carried out.
    #[error("session has ended: {0}")]
    SessionEnded(Loss),
}

impl RequestError {
    /// The code with which the runtime refused.
    pub fn code(&self) -> Option<&ErrorCode> {
        match self {
            Self::Refused(error) => Some(&error.code),
            _ => None,
        }
    }

    /// How long to wait before the same is asked again, if the runtime has refused and said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(error) => error.retry_after(),
            _ => None,
        }
    }
}

/// Why a job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// The job ended in an error (§7.3).
    #[error("job ended in an error: {0}")]
    Failed(ErrorPayload),
    /// The job was cancelled (§7.4).
    #[error("job was cancelled: {0}")]
    Cancelled(ErrorPayload),
    /// The job exceeded its `max_runtime_sec`.
    #[error("job ran out of time: {0}")]
    TimedOut(ErrorPayload),
    /// The result is there but is not what was asked for.
    #[error("result of the job cannot be read: {0}")]
    Result(DecodeError),
    /// The job succeeded and streamed its result, but not all of it came by here: it was subscribed to too late, or a chunk is
    /// not what it says it is.
    #[error("result of the job was streamed, and is not complete here")]
    Incomplete,
    /// The job succeeded and streamed more than this client keeps: see [`Connect::max_result_bytes`](crate::Connect::max_result_bytes).
    /// [`Job::result_stream`](crate::Job::result_stream) takes results of any size.
    #[error("result of the job was streamed, and is above the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The runtime was restarted, and the agent, which was run again, has begun its result anew, after pieces of the earlier one
    /// were given to whoever reads it as a stream.
    #[error("result of the job was begun anew after parts of it were read")]
    BegunAnew,
    /// The session that followed the job is gone, and the one after it could not take it up: the runtime no longer knows the
    /// job, or does not show it. The job may run on at the runtime.
    #[error("job could not be followed any further: {0}")]
    Lost(ErrorPayload),
    /// The session ended before the job did. The job runs on at the runtime.
    #[error("session ended before the job did: {0}")]
    SessionEnded(Loss),
}

impl JobError {
    pub(crate) fn from_wire(error: arcp_proto::job::JobError) -> Self {
        match error.final_status {
            FinalStatus::Cancelled => Self::Cancelled(error.error),
            FinalStatus::TimedOut => Self::TimedOut(error.error),
            _ => Self::Failed(error.error),
        }
    }

    /// The code in which the job ended.
    pub fn code(&self) -> Option<&ErrorCode> {
        self.payload().map(|error| &error.code)
    }

    /// All that the runtime said about it.
    pub fn payload(&self) -> Option<&ErrorPayload> {
        match self {
            Self::Failed(error) | Self::Cancelled(error) | Self::TimedOut(error) | Self::Lost(error) => {
                Some(error)
            }
            Self::Result(_)
            | Self::Incomplete
            | Self::TooLarge { .. }
            | Self::BegunAnew
            | Self::SessionEnded(_) => None,
        }
    }
}
