//! What an agent has of its job: who asked, what for, and the ways to tell how it goes.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use arcp_core::lease::Authority;
use arcp_core::runtime::{
    Draft, EmitError as Refused, JobKey, JobSpec, ResolvedAgent, Runtime as Machine, StopCause,
};
use arcp_core::{Now, Principal};
use arcp_proto::event::{ArtifactRef, EventKind, Log, LogLevel, Metric, Progress, Status, Thought};
use arcp_proto::{
    CallId, EncodeError, ErrorCode, JobId, Json, Lease, LeaseConstraints, SessionId, Timestamp, TraceContext,
    TraceId, Ulid,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent_error::AgentError;
use crate::clock::{self, Clock};
use crate::driver::Driver;
use crate::job::JobControl;
use crate::result::Emitted;

/// An agent's view of its job. Cheap to clone; all clones are the same job.
///
/// Events appear in the session's stream in the order in which these methods are called (§8.3). Each waits while the
/// client is behind by more than the session's send window, so that an agent cannot outrun its reader; dropping the
/// future of an emission that waits does not take the event back.
#[derive(Clone)]
pub struct JobContext {
    driver: Arc<Driver>,
    spec: Arc<JobSpec>,
    control: Arc<JobControl>,
}

/// Why an event was not emitted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// The job has ended: its client cancelled it, its time is over, or the runtime is shutting down.
    #[error("job has ended")]
    Ended,
    /// The event is too large for one frame.
    #[error("event payload of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// Events of this kind are emitted by the runtime itself.
    #[error("events of kind {0} are emitted by the runtime itself")]
    Reserved(EventKind),
    /// The job streams a result already.
    #[error("job streams a result already")]
    AlreadyStreaming,
    /// A result that is streamed as text is not UTF-8.
    #[error("result that is streamed as text is not UTF-8")]
    NotUtf8,
    /// The body cannot be written as JSON.
    #[error("event body cannot be encoded")]
    Encode(#[source] EncodeError),
}

/// The job was told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("job was told to stop")]
pub struct Stopped(StopCause);

impl Stopped {
    /// Why.
    pub fn cause(self) -> StopCause {
        self.0
    }
}

impl JobContext {
    pub(crate) fn new(driver: Arc<Driver>, spec: JobSpec, control: Arc<JobControl>) -> Self {
        Self { driver, spec: Arc::new(spec), control }
    }

    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.spec.job_id
    }

    /// The agent and version that is running.
    pub fn agent(&self) -> &ResolvedAgent {
        &self.spec.agent
    }

    /// Whose job it is.
    pub fn principal(&self) -> &Principal {
        &self.spec.principal
    }

    /// The session that submitted it.
    pub fn session_id(&self) -> &SessionId {
        &self.spec.session_id
    }

    /// The job that delegated to it, if any (§10).
    pub fn parent_job_id(&self) -> Option<&JobId> {
        self.spec.parent_job_id.as_ref()
    }

    /// Its trace (§11).
    pub fn trace_id(&self) -> TraceId {
        self.spec.trace_id
    }

    /// Where the job stands in its trace, if that is known: the context of its span or, in a runtime without a
    /// [`Tracer`](crate::Tracer), the one that it was submitted with (§11). What the agent asks of others belongs to it; requests of
    /// `http` carry it.
    pub fn trace_context(&self) -> Option<&TraceContext> {
        self.spec.trace_context.as_ref()
    }

    /// What the job may do (§9.1).
    pub fn lease(&self) -> &Lease {
        &self.spec.lease
    }

    /// Bounds on the lease as a whole (§9.5).
    pub fn lease_constraints(&self) -> &LeaseConstraints {
        &self.spec.lease_constraints
    }

    /// Why the job is to stop, once it is (§7.4): cancelled, out of time, or its lease expired.
    pub fn stop_cause(&self) -> Option<StopCause> {
        self.control.cause()
    }

    /// Waits until the job is told to stop. An agent that then returns, with anything, ends its job as cancelled or timed
    /// out; one that does not is aborted after the grace period.
    ///
    /// In a task that an agent has left behind, the end of the job counts as a cancellation.
    pub async fn stopped(&self) -> StopCause {
        self.control.stopped().await
    }

    /// Runs a future until it is done or the job is told to stop; then the future is dropped.
    ///
    /// # Errors
    /// [`Stopped`], which with `?` ends the job as it should.
    pub async fn until_stopped<F: Future>(&self, future: F) -> Result<F::Output, Stopped> {
        tokio::select! {
            biased;
            cause = self.stopped() => Err(Stopped(cause)),
            output = future => Ok(output),
        }
    }

    /// Keeps what the agent wants to have when it is run again after a restart of the runtime, in place of what it kept before;
    /// for agents whose [`restart_policy`](crate::Agent::restart_policy) is `Redrive`. When this returns, the checkpoint and
    /// everything that was emitted before it are in the store. Dropping the future does not take the checkpoint back.
    ///
    /// Of an agent that is not run again nothing is kept.
    ///
    /// # Errors
    /// [`EmitError::Ended`], [`EmitError::TooLarge`] and [`EmitError::Encode`].
    pub async fn checkpoint<T: Serialize + ?Sized>(&self, checkpoint: &T) -> Result<(), EmitError> {
        let checkpoint = Json::encode(checkpoint).map_err(EmitError::Encode)?;
        let position = self.driver.with(|machine, now| machine.checkpoint(now, self.spec.job, checkpoint))?;
        self.driver.committed(position).await;
        Ok(())
    }

    /// The last checkpoint of an earlier run of this job, if the runtime was restarted meanwhile and there is one.
    ///
    /// # Errors
    /// When it cannot be read as `T`; with `?` the job fails with `INTERNAL_ERROR`.
    pub fn restored<T: DeserializeOwned>(&self) -> Result<Option<T>, AgentError> {
        let decode = |json: &Json| {
            json.decode().map_err(|error| {
                AgentError::new(ErrorCode::InternalError, error.within("checkpoint").to_string())
            })
        };
        self.spec.restored.as_ref().map(decode).transpose()
    }

    /// Emits a `log` event (§8.2).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn log(&self, level: LogLevel, message: impl Into<String>) -> Result<(), EmitError> {
        self.emit(EventKind::Log, &Log { level, message: message.into() }).await
    }

    /// Emits a `log` event at level `info`.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn info(&self, message: impl Into<String>) -> Result<(), EmitError> {
        self.log(LogLevel::Info, message).await
    }

    /// Emits a `log` event at level `warn`.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn warn(&self, message: impl Into<String>) -> Result<(), EmitError> {
        self.log(LogLevel::Warn, message).await
    }

    /// Emits a `thought` event (§8.2).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn thought(&self, text: impl Into<String>) -> Result<(), EmitError> {
        self.emit(EventKind::Thought, &Thought { text: text.into() }).await
    }

    /// Emits a `status` event (§8.2).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn status(&self, phase: impl Into<String>) -> Result<(), EmitError> {
        let status = Status { phase: phase.into(), message: None, id: None, value: None };
        self.emit(EventKind::Status, &status).await
    }

    /// Emits a `progress` event (§8.2.1).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn progress(&self, progress: Progress) -> Result<(), EmitError> {
        self.emit(EventKind::Progress, &progress).await
    }

    /// Emits a `metric` event (§8.2).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn metric(&self, metric: Metric) -> Result<(), EmitError> {
        self.emit(EventKind::Metric, &metric).await
    }

    /// Emits an `artifact_ref` event (§8.2).
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn artifact(&self, artifact: ArtifactRef) -> Result<(), EmitError> {
        self.emit(EventKind::ArtifactRef, &artifact).await
    }

    /// Emits an event of any kind, vendors' kinds (`x-vendor.…`) included, but for those that the runtime emits itself.
    ///
    /// # Errors
    /// See [`EmitError`].
    pub async fn emit<B>(&self, kind: EventKind, body: &B) -> Result<(), EmitError>
    where
        B: Serialize + ?Sized + Sync,
    {
        if matches!(kind, EventKind::Delegate | EventKind::ResultChunk) {
            return Err(EmitError::Reserved(kind));
        }
        if kind == EventKind::Status && is_rotation(body) {
            return Err(EmitError::Reserved(kind));
        }
        self.trace_tool(&kind, body);
        let draft = Draft::new(kind, Clock::wall(), body).map_err(EmitError::Encode)?;
        self.enter().await;
        match self.control.said.push(draft) {
            Ok(()) => Ok(()),
            Err(draft) => self.emit_now(|machine, now, job| machine.emit(now, job, draft)).await,
        }
    }

    /// Tells the job's span, if it is recorded, of a call of a tool and of its end.
    fn trace_tool<B: Serialize + ?Sized>(&self, kind: &EventKind, body: &B) {
        let tool = matches!(kind, EventKind::ToolCall | EventKind::ToolResult);
        let Some(span) = self.spec.span.as_ref().filter(|span| tool && span.is_recording()) else { return };
        let Ok(body) = Json::encode(body) else { return };
        if *kind == EventKind::ToolCall {
            if let Ok(call) = body.decode() {
                span.tool_call(&call);
            }
        } else if let Ok(result) = body.decode() {
            span.tool_result(&result);
        }
    }

    /// Emits by way of the machine: waits before while others of this job wait, and after if there is too much.
    pub(crate) async fn emit_with(
        &self,
        emit: impl FnOnce(&mut Machine, Now, JobKey) -> Emitted,
    ) -> Result<(), EmitError> {
        self.enter().await;
        self.emit_now(emit).await
    }

    /// Waits until the agent may emit.
    async fn enter(&self) {
        // An agent that does nothing but emit, and is never made to wait, must still let others have its thread.
        tokio::task::coop::consume_budget().await;
        self.control.released().await;
    }

    async fn emit_now(
        &self,
        emit: impl FnOnce(&mut Machine, Now, JobKey) -> Emitted,
    ) -> Result<(), EmitError> {
        self.driver.with_job(self.spec.job, &self.control, emit)?;
        self.control.released().await;
        Ok(())
    }

    /// Waits until the agent may emit.
    pub(crate) async fn released(&self) {
        self.control.released().await;
    }

    pub(crate) fn driver(&self) -> &Arc<Driver> {
        &self.driver
    }

    pub(crate) fn key(&self) -> JobKey {
        self.spec.job
    }

    pub(crate) fn spec(&self) -> &JobSpec {
        &self.spec
    }

    pub(crate) fn authority(&self) -> &Authority {
        &self.spec.authority
    }

    pub(crate) fn clock(&self) -> Now {
        self.driver.now()
    }

    pub(crate) fn lease_expired(&self) {
        self.driver.with(|machine, now| machine.lease_expired(now, self.spec.job));
    }

    pub(crate) fn with_machine<T>(
        &self,
        ask: impl FnOnce(&mut Machine, Now, JobKey) -> Result<T, Refused>,
    ) -> Result<T, EmitError> {
        Ok(self.driver.with(|machine, now| ask(machine, now, self.spec.job))?)
    }

    /// A new id that ties a `tool_result` to its `tool_call` (§8.2).
    pub fn new_call_id(&self) -> CallId {
        let millis = u64::try_from(self.now().as_millis()).unwrap_or(0);
        CallId::from_ulid(Ulid::from_parts(millis, clock::random()))
    }

    /// The time as the runtime writes it into events.
    pub fn now(&self) -> Timestamp {
        Clock::wall()
    }
}

/// Whether a status says that a credential was rotated, or shows the value of one: that is the runtime's word.
fn is_rotation<B: Serialize + ?Sized>(body: &B) -> bool {
    let status = Json::encode(body).ok().and_then(|json| json.decode::<Status>().ok());
    status.is_some_and(|status| status.phase == "credential_rotated" || status.value.is_some())
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("job_id", self.job_id())
            .field("agent", self.agent())
            .finish_non_exhaustive()
    }
}
