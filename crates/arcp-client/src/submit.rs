//! Submitting a job (§7.1): a builder that is awaited.

use std::future::IntoFuture;
use std::time::Duration;

use arcp_core::client::Backoff;
use arcp_proto::job::Submit as Payload;
use arcp_proto::{AgentRef, EncodeError, InvalidAgentRef, Json, Lease, Timestamp, TraceContext};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::time::Instant;

use crate::driver::{Commands, random_bits};
use crate::error::RequestError;
use crate::job::Job;

/// The longest that anybody waits.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A job about to be submitted; await it to have it accepted.
///
/// Dropping the future of a submit takes nothing back: the job may run.
#[must_use = "nothing is submitted until this is awaited"]
pub struct Submit {
    commands: Commands,
    agent: (String, Result<AgentRef, InvalidAgentRef>),
    input: Result<Json, EncodeError>,
    lease: Lease,
    expires_at: Option<Timestamp>,
    idempotency_key: Option<String>,
    max_runtime: Option<Duration>,
    trace: Option<TraceContext>,
    retry_within: Duration,
}

impl Submit {
    pub(crate) fn new(commands: Commands, agent: &str) -> Self {
        let trace = commands.current_trace();
        Self {
            commands,
            agent: (agent.to_owned(), agent.parse()),
            input: Ok(Json::null()),
            lease: Lease::empty(),
            expires_at: None,
            idempotency_key: None,
            max_runtime: None,
            trace,
            retry_within: Duration::ZERO,
        }
    }

    /// What the agent is given; `null` if nothing is said.
    pub fn input<T: Serialize + ?Sized>(mut self, input: &T) -> Self {
        self.input = Json::encode(input);
        self
    }

    /// What the job asks to be allowed to do (§9.1); nothing if nothing is said.
    pub fn lease(mut self, lease: Lease) -> Self {
        self.lease = lease;
        self
    }

    /// When the lease is to end (§9.5).
    pub fn expires_at(mut self, expires_at: Timestamp) -> Self {
        self.expires_at = Some(expires_at);
        self
    }

    /// Makes the submit safe to repeat: the same key with the same parameters is the same job (§7.2).
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Ends the job when it has run this long (§7.3), rounded up to whole seconds, at least one.
    pub fn max_runtime(mut self, limit: Duration) -> Self {
        self.max_runtime = Some(limit);
        self
    }

    /// The caller's trace context, which the job continues (§11), in place of what [`Connect::trace`](crate::Connect::trace) tells.
    pub fn trace(mut self, trace: impl Into<Option<TraceContext>>) -> Self {
        self.trace = trace.into();
        self
    }

    /// Makes the submit again while the runtime refuses it and says when to try again, as it does where a principal submits more
    /// than its rate allows ([`RequestError::retry_after`]). Each try waits for as long as the runtime wants, and a little more the more
    /// there were. The refusal is given once the next try would come later than this after the first; at once if nothing is said.
    pub fn retry_within(mut self, limit: Duration) -> Self {
        self.retry_within = limit;
        self
    }

    async fn send(self) -> Result<Job, RequestError> {
        let (name, agent) = self.agent;
        let agent = agent.map_err(|error| RequestError::Agent(name, error))?;
        let mut payload = Payload::new(agent, self.input.map_err(RequestError::Encode)?);
        payload.lease_request = self.lease;
        payload.lease_constraints.expires_at = self.expires_at;
        payload.idempotency_key = self.idempotency_key;
        payload.max_runtime_sec = self.max_runtime.map(whole_seconds);
        let deadline = Instant::now() + self.retry_within.min(LONGEST);
        let mut refused = 0;
        loop {
            let error = match self.commands.submit(payload.clone(), self.trace.clone()).await {
                Ok((accepted, inbox)) => return Ok(Job::submitted(accepted, inbox, self.commands)),
                Err(error) => error,
            };
            let Some(least) = error.retry_after().filter(|_| !self.retry_within.is_zero()) else {
                return Err(error);
            };
            let pause = Backoff::default().pause(refused, random_bits());
            let at = Instant::now().checked_add(least.saturating_add(pause)).filter(|at| *at <= deadline);
            let Some(at) = at else { return Err(error) };
            tokio::time::sleep_until(at).await;
            refused += 1;
        }
    }
}

fn whole_seconds(limit: Duration) -> u64 {
    let rest = u64::from(limit.subsec_nanos() > 0);
    limit.as_secs().saturating_add(rest).max(1)
}

impl IntoFuture for Submit {
    type Output = Result<Job, RequestError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        self.send().boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_never_shorter_than_asked() {
        let cases = [(0, 1), (1, 1), (999, 1), (1_000, 1), (1_001, 2), (1_800_000, 1_800)];
        for (millis, seconds) in cases {
            assert_eq!(whole_seconds(Duration::from_millis(millis)), seconds, "{millis} ms");
        }
    }
}
