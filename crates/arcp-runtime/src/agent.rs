//! What an agent is: an async function with typed input and output, run once for each job.

use std::future::Future;
use std::marker::PhantomData;

use arcp_proto::{ErrorCode, Json};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::agent_error::AgentError;
use crate::context::JobContext;

/// An agent: given a job's context and input, it comes to a result.
///
/// Its future is dropped when the job was told to stop and the grace period is over, and when the runtime shuts down;
/// until then it is told through [`JobContext::stopped`]. A panic ends the job in `INTERNAL_ERROR` and nothing else.
///
/// An input that does not decode as `Input` ends the job in `INVALID_REQUEST`, with a message that names the field.
pub trait Agent: Send + Sync + 'static {
    /// What `job.submit` gives it (§7.1).
    type Input: DeserializeOwned + Send;
    /// What `job.result` carries (§7.3).
    type Output: Serialize + Send;

    /// Runs one job.
    fn run(
        &self,
        ctx: JobContext,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, AgentError>> + Send;

    /// What becomes of a job that is running when the runtime dies, once there is another on its store: it fails, if nothing is
    /// said.
    fn restart_policy(&self) -> RestartPolicy {
        RestartPolicy::Fail
    }
}

/// What becomes of a job that was running when its runtime died (§12). Without a store that survives the process there is no
/// job to speak of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestartPolicy {
    /// It ends in `INTERNAL_ERROR`, which invites its client to submit it again.
    #[default]
    Fail,
    /// Its agent is run again, with the same input, lease, what was left of its budget, and its last
    /// [`checkpoint`](JobContext::checkpoint). Its log goes on where it was, and so does the time that it may run. What it had
    /// delegated has ended; credentials that it had are revoked, and others issued, which its submitter is told as of rotations.
    ///
    /// A job that was told to stop ends as it was told. So does one whose time has run out meanwhile. Delegated jobs fail: it
    /// is for who delegated them to do so again.
    Redrive,
}

/// Makes an agent of a function.
///
/// ```
/// use arcp_runtime::{JobContext, agent_fn};
///
/// let agent = agent_fn(async |_ctx: JobContext, input: Vec<f64>| Ok(input.iter().sum::<f64>()));
/// # let _: &dyn std::any::Any = &agent;
/// ```
pub fn agent_fn<F, I, O, Fut>(function: F) -> FnAgent<F, I>
where
    F: Fn(JobContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, AgentError>> + Send,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send,
{
    FnAgent { function, restart: RestartPolicy::Fail, input: PhantomData }
}

/// An agent made of a function; see [`agent_fn`].
pub struct FnAgent<F, I> {
    function: F,
    restart: RestartPolicy,
    input: PhantomData<fn(I)>,
}

impl<F, I> FnAgent<F, I> {
    /// The same agent, with another [`Agent::restart_policy`].
    #[must_use]
    pub fn on_restart(mut self, policy: RestartPolicy) -> Self {
        self.restart = policy;
        self
    }
}

impl<F, I, O, Fut> Agent for FnAgent<F, I>
where
    F: Fn(JobContext, I) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<O, AgentError>> + Send,
    I: DeserializeOwned + Send + 'static,
    O: Serialize + Send,
{
    type Input = I;
    type Output = O;

    fn run(&self, ctx: JobContext, input: I) -> impl Future<Output = Result<O, AgentError>> + Send {
        (self.function)(ctx, input)
    }

    fn restart_policy(&self) -> RestartPolicy {
        self.restart
    }
}

/// The boxed twin of [`Agent`]: JSON in, JSON out.
pub(crate) trait ErasedAgent: Send + Sync + 'static {
    fn run_json(&self, ctx: JobContext, input: Json) -> BoxFuture<'_, Result<Json, AgentError>>;

    fn is_rerun(&self) -> bool;
}

impl<A: Agent> ErasedAgent for A {
    fn run_json(&self, ctx: JobContext, input: Json) -> BoxFuture<'_, Result<Json, AgentError>> {
        async move {
            let input = input.decode().map_err(|error| {
                AgentError::new(ErrorCode::InvalidRequest, error.within("input").to_string())
            })?;
            let output = self.run(ctx, input).await?;
            Json::encode(&output).map_err(AgentError::from)
        }
        .boxed()
    }

    fn is_rerun(&self) -> bool {
        self.restart_policy() == RestartPolicy::Redrive
    }
}
