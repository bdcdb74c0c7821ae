//! What a runtime machine asks of the world around it.

use std::sync::Arc;

use arcp_proto::session::Peer;
use arcp_proto::{BearerToken, JobId, Json, Lease, LeaseConstraints, SessionId, TraceContext, TraceId};

use super::log::Entry;
use super::{ConnectionKey, JobKey, JobSpan, NotDelegated, ResolvedAgent};
use crate::lease::Authority;
use crate::principal::Principal;

/// Something that the driver of a [`Runtime`](super::Runtime) has to do.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// Find out whose token this is and say it with
    /// [`handle_authenticated`](super::Runtime::handle_authenticated). Until then nothing more is read.
    Authenticate {
        /// Who waits for the answer.
        connection: ConnectionKey,
        /// The token.
        token: BearerToken,
        /// Who the client says it is.
        client: Option<Peer>,
    },
    /// There is something to transmit; ask [`poll_transmit`](super::Runtime::poll_transmit).
    Transmit(ConnectionKey),
    /// A connection is to be closed. What is still to be sent over it has a bounded time; then it is to be dropped.
    Close(ConnectionKey),
    /// A connection that was not being read may be read again.
    Read(ConnectionKey),
    /// Find out what credentials a job is to have (§9.8), have them issued, and say it with
    /// [`handle_provisioned`](super::Runtime::handle_provisioned). The job does not exist before. When that is an error, say
    /// with [`handle_revoked`](super::Runtime::handle_revoked) that nothing of what was asked for is good any more.
    Provision(Box<JobSpec>),
    /// Have the upstream hold the credentials of a job to what [`constraint`](super::Runtime::constraint) says then (§9.8.3).
    Constrain(JobKey),
    /// Revoke everything that was issued for a job: it has ended, or will not be. Said once, and only of a job for which
    /// something was issued. When that is done, say it with [`handle_revoked`](super::Runtime::handle_revoked).
    Revoke(JobKey),
    /// Whether a job that was delegated and waited for its credentials begins.
    Delegated {
        /// The job.
        child: JobKey,
        /// Why it does not, if it does not. The clients of the job that delegates have been told.
        outcome: Result<(), NotDelegated>,
    },
    /// Run the agent of a job.
    Start(Box<JobSpec>),
    /// Tell the agent of a job to stop. It has until [`Event::Abort`].
    Stop(JobKey, StopCause),
    /// The job has ended while its agent was still running: end its task.
    Abort(JobKey),
    /// A job that another one delegated has ended (§10); this is its terminal message.
    ChildEnded {
        /// The job that has ended.
        child: JobKey,
        /// How.
        end: Arc<Entry>,
    },
    /// The agent of a job may emit again.
    Wake(JobKey),
    /// After [`drain`](super::Runtime::drain), no job runs any more.
    Drained,
}

/// Why a job is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StopCause {
    /// Its client cancelled it (§7.4).
    Cancelled,
    /// It has run for `max_runtime_sec` (§7.3).
    TimedOut,
    /// Its lease has expired (§9.5).
    LeaseExpired,
}

/// Everything that an agent may know of its job.
#[derive(Clone, Debug)]
pub struct JobSpec {
    /// For commands to the machine.
    pub job: JobKey,
    /// The job.
    pub job_id: JobId,
    /// The agent that is to run.
    pub agent: ResolvedAgent,
    /// What it is given.
    pub input: Json,
    /// Whose job it is.
    pub principal: Principal,
    /// The session that submitted it.
    pub session_id: SessionId,
    /// The job that delegated to it.
    pub parent_job_id: Option<JobId>,
    /// Its trace.
    pub trace_id: TraceId,
    /// Where it stands in that: the context of its span or, if it is not traced, the one that it was submitted with.
    pub trace_context: Option<TraceContext>,
    /// What it may do.
    pub lease: Lease,
    /// Bounds on that.
    pub lease_constraints: LeaseConstraints,
    /// What decides on both.
    pub authority: Arc<Authority>,
    /// Its span, if it is traced.
    pub span: Option<Arc<dyn JobSpan>>,
    /// The last checkpoint of an earlier run, if the agent is run again after a restart and there is one.
    pub restored: Option<Json>,
}
