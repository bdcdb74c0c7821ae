//! What a runtime does, as spans of a trace (§11): where a tracer is told of it. Which tracing system that is, and what is
//! sampled, is decided behind these traits; without a tracer a job has the trace context of whoever submitted it.

use std::fmt;

use arcp_proto::event::{EventKind, ToolCall, ToolResult};
use arcp_proto::job::FinalStatus;
use arcp_proto::{
    Budget, CallId, ErrorCode, JobId, Lease, LeaseConstraints, SessionId, TraceContext, TraceId,
};

use super::ResolvedAgent;

/// Makes spans of what a runtime does. It is called under the runtime's lock, as are all spans that it makes but for
/// [`JobSpan::tool_call`], [`JobSpan::tool_result`] and [`JobSpan::within`]: it must not wait for anything.
///
/// Nothing that it is told is a secret, nor what a job is given or comes to; [`ToolCall`]s and [`ToolResult`]s have both.
pub trait Tracer: Send + Sync {
    /// A session begins, or is taken up again by a runtime that has been restarted. `None` if nobody wants to know of it.
    fn session(&self, session: &TracedSession<'_>) -> Option<Box<dyn SessionSpan>>;

    /// A job begins, or is about to as soon as it has its credentials. Its span ends with [`JobSpan::end`], or when it is
    /// dropped: then the job has never been. `None` if nobody wants to know of it.
    fn job(&self, job: &TracedJob<'_>) -> Option<Box<dyn JobSpan>>;
}

/// A session that begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct TracedSession<'a> {
    /// The session.
    pub session_id: &'a SessionId,
    /// The trace to which the request for its connection belonged, if it said so.
    pub parent: Option<&'a TraceContext>,
}

/// A job that begins.
#[derive(Debug)]
#[non_exhaustive]
pub struct TracedJob<'a> {
    /// The job.
    pub job_id: &'a JobId,
    /// The session that submitted it.
    pub session_id: &'a SessionId,
    /// The span of that session.
    pub session: Option<TraceContext>,
    /// The agent that is to run.
    pub agent: &'a ResolvedAgent,
    /// What it belongs to: the context that it was submitted with or, of a job that was delegated, that of the job above it.
    pub parent: Option<&'a TraceContext>,
    /// The trace that it is in. Without a context to belong to, its span is to be the first of this trace, if that can be; where
    /// nobody but the runtime has named the trace, the job is in the trace of its span.
    pub trace_id: TraceId,
    /// Whether another job has delegated to it.
    pub delegated: bool,
    /// What it may do. Patterns in it may tell more than a trace should.
    pub lease: &'a Lease,
    /// Bounds on that.
    pub lease_constraints: &'a LeaseConstraints,
}

/// How a job has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct TracedEnd<'a> {
    /// Its final status.
    pub status: &'a FinalStatus,
    /// The code of the error in which it ended, if it did.
    pub code: Option<&'a ErrorCode>,
    /// What remained of its budget.
    pub remaining: Budget,
}

/// The span of a session. It ends when this is dropped.
pub trait SessionSpan: Send + Sync {
    /// Where it stands in its trace.
    fn context(&self) -> TraceContext;

    /// Something has happened to the session: `resumed`, `disconnected`.
    fn event(&self, name: &'static str);
}

/// The span of a job.
pub trait JobSpan: Send + Sync {
    /// Where it stands in its trace: what the job does, and the jobs that it delegates to, belong to this.
    fn context(&self) -> TraceContext;

    /// Whether it is recorded. Otherwise it is told of neither events nor tools.
    fn is_recording(&self) -> bool;

    /// The job has said something, at a place in its log.
    fn event(&self, kind: &EventKind, index: u64);

    /// A tool is called.
    fn tool_call(&self, call: &ToolCall);

    /// A tool has answered.
    fn tool_result(&self, result: &ToolResult);

    /// Where a tool that is called stands in the trace; the job itself if the call is not known.
    fn tool_context(&self, call_id: &CallId) -> TraceContext;

    /// Runs part of the job's agent, or of a tool that it calls, as what belongs to its span.
    fn within(&self, call_id: Option<&CallId>, run: &mut dyn FnMut());

    /// The job has ended, and its span with it.
    fn end(&self, end: &TracedEnd<'_>);
}

impl fmt::Debug for dyn JobSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.context())
    }
}

impl fmt::Debug for dyn SessionSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.context())
    }
}
