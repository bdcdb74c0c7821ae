//! Delegation as an agent does it (§10).

use std::future::{Future, IntoFuture};
use std::sync::Arc;

use arcp_core::runtime::{Child as Delegated, Delegation, Entry, JobKey, NotDelegated, StopCause};
use arcp_proto::job::{FinalStatus, JobError, JobResult};
use arcp_proto::{
    Amount, Currency, DecodeError, DelegateId, EncodeError, ErrorCode, ErrorPayload, InvalidAgentRef, JobId,
    Json, Lease, LeaseConstraints, MessageType, Timestamp, namespace,
};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::oneshot;

use crate::context::JobContext;
use crate::driver::Driver;

/// A delegation about to be made; await it. See [`JobContext::delegate`].
#[must_use = "nothing is delegated until this is awaited"]
pub struct Delegate {
    ctx: JobContext,
    agent: String,
    input: Result<Json, EncodeError>,
    lease: Lease,
    lease_constraints: LeaseConstraints,
}

/// Why nothing was delegated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DelegateError {
    /// The agent's name is no agent reference; nothing was emitted.
    #[error("agent {0:?} cannot be delegated to")]
    Agent(String, #[source] InvalidAgentRef),
    /// The input cannot be written as JSON; nothing was emitted.
    #[error("input cannot be encoded")]
    Encode(#[source] EncodeError),
    /// The lease does not allow it, there is no such agent, or a limit is reached. The job's clients were told.
    #[error(transparent)]
    Refused(#[from] NotDelegated),
}

impl DelegateError {
    /// As `tool_result` and `job.error` carry it.
    pub fn payload(&self) -> ErrorPayload {
        match self {
            Self::Refused(refused) => refused.payload(),
            Self::Agent(..) | Self::Encode(_) => {
                ErrorPayload::new(ErrorCode::InvalidRequest, self.to_string())
            }
        }
    }
}

impl JobContext {
    /// Starts a delegation to an agent of this runtime, `name` or `name@version`. Await what it returns, or set it up first.
    ///
    /// The child is a job of its own in the same session, in the same trace, with no more authority than this one: nothing, if
    /// nothing is said, but that it draws on this job's budget and may use its models. It ends with this job at the latest.
    pub fn delegate(&self, agent: impl Into<String>) -> Delegate {
        Delegate {
            ctx: self.clone(),
            agent: agent.into(),
            input: Ok(Json::null()),
            lease: Lease::empty(),
            lease_constraints: LeaseConstraints::default(),
        }
    }
}

impl Delegate {
    /// What the agent is given; `null` if nothing is said.
    pub fn input<I: Serialize + ?Sized>(mut self, input: &I) -> Self {
        self.input = Json::encode(input);
        self
    }

    /// What the child may do, of what this job may (§9.4).
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// Sets part of this job's budget aside for the child, and the child may spend no more (§9.6). What it has left comes back
    /// when it ends.
    pub fn budget_share(mut self, currency: &Currency, amount: Amount) -> Self {
        self.lease = self.lease.grant(namespace::COST_BUDGET, format!("{currency}:{amount}"));
        self
    }

    /// When the child's lease ends; with this job's if nothing is said, and no later.
    pub fn expires_at(mut self, expires_at: Timestamp) -> Self {
        self.lease_constraints.expires_at = Some(expires_at);
        self
    }

    /// The bounds of the child's lease as a whole.
    pub fn lease_constraints(mut self, constraints: LeaseConstraints) -> Self {
        self.lease_constraints = constraints;
        self
    }

    async fn send(self) -> Result<Child, DelegateError> {
        let agent = self.agent.parse().map_err(|error| DelegateError::Agent(self.agent, error))?;
        let input = self.input.map_err(DelegateError::Encode)?;
        let delegation = Delegation::new(agent, input, self.lease, self.lease_constraints);
        self.ctx.released().await;
        let (delegated, begun, end) = self.ctx.driver().delegate(self.ctx.key(), delegation)?;
        let Delegated { job, job_id, delegate_id, lease, lease_constraints, provisioning } = delegated;
        if provisioning {
            begun.await.unwrap_or(Err(NotDelegated::Ended))?;
        }
        let driver = Arc::clone(self.ctx.driver());
        Ok(Child { job, job_id, delegate_id, lease, lease_constraints, end: Pending::Waiting(end), driver })
    }
}

impl IntoFuture for Delegate {
    type Output = Result<Child, DelegateError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        fn boxed<F: Future + Send + 'static>(future: F) -> BoxFuture<'static, F::Output> {
            future.boxed()
        }
        boxed(self.send())
    }
}

/// A job that was delegated. It runs on when this is dropped, until the job that delegated to it ends.
pub struct Child {
    job: JobKey,
    job_id: JobId,
    delegate_id: DelegateId,
    lease: Lease,
    lease_constraints: LeaseConstraints,
    end: Pending,
    driver: Arc<Driver>,
}

enum Pending {
    Waiting(oneshot::Receiver<Arc<Entry>>),
    Ended(ChildEnd),
}

/// How a delegated job has ended.
#[derive(Clone, Debug)]
pub struct ChildEnd {
    /// Its final status (§7.3).
    pub final_status: FinalStatus,
    /// Its result, or the error in which it ended.
    pub outcome: Result<Json, ErrorPayload>,
}

/// Why a delegated job has no result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChildError {
    /// It ended in an error, was cancelled, or ran out of time.
    #[error("delegated job ended in an error: {0}")]
    Failed(ErrorPayload),
    /// Its result is not what was asked for.
    #[error("result of the delegated job cannot be read: {0}")]
    Result(DecodeError),
}

impl Child {
    /// The job.
    pub fn job_id(&self) -> &JobId {
        &self.job_id
    }

    /// What ties it to the `delegate` event.
    pub fn delegate_id(&self) -> &DelegateId {
        &self.delegate_id
    }

    /// What it may do.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The bounds of that.
    pub fn lease_constraints(&self) -> &LeaseConstraints {
        &self.lease_constraints
    }

    /// Tells it to stop, as its client could (§7.4): it has its grace to do so, and ends in `CANCELLED`. One that has ended stays
    /// as it is.
    pub fn cancel(&self) {
        self.driver.with(|machine, now| machine.stop_job(now, self.job, StopCause::Cancelled));
    }

    /// Waits for its end. Dropping the future is safe: it can be called again.
    pub async fn ended(&mut self) -> &ChildEnd {
        if let Pending::Waiting(end) = &mut self.end {
            self.end =
                Pending::Ended(end.await.map_or_else(|_| ChildEnd::lost(), |entry| ChildEnd::of(&entry)));
        }
        match &self.end {
            Pending::Ended(end) => end,
            Pending::Waiting(_) => unreachable!("it was awaited just now"),
        }
    }

    /// Waits for its end and decodes its result.
    ///
    /// # Errors
    /// When it ended without a result, or with one that is no `T`.
    pub async fn result<T: DeserializeOwned>(&mut self) -> Result<T, ChildError> {
        let outcome = self.ended().await.outcome.clone();
        outcome.map_err(ChildError::Failed)?.decode().map_err(ChildError::Result)
    }
}

impl ChildEnd {
    fn of(entry: &Entry) -> Self {
        // A result that was streamed is put together for who cannot take chunks.
        let entry = entry.plain.as_deref().unwrap_or(entry);
        let read = match entry.message_type {
            MessageType::JobResult => entry.payload.decode().map(|result: JobResult| Self {
                final_status: result.final_status,
                outcome: Ok(result.result.unwrap_or_default()),
            }),
            _ => entry
                .payload
                .decode()
                .map(|error: JobError| Self { final_status: error.final_status, outcome: Err(error.error) }),
        };
        read.unwrap_or_else(|_| Self::lost())
    }

    /// The runtime has stopped in the middle of things.
    fn lost() -> Self {
        let error = ErrorPayload::new(ErrorCode::InternalError, "runtime has stopped");
        Self { final_status: FinalStatus::Error, outcome: Err(error) }
    }
}

impl std::fmt::Debug for Child {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Child").field("job_id", &self.job_id).finish_non_exhaustive()
    }
}
