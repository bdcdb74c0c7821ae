//! One running job: its agent's task, and how it is told to wait, to go on and to stop.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arcp_core::runtime::{JobSpec, Outcome, StopCause};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent::ErasedAgent;
use crate::context::JobContext;
use crate::driver::Driver;

/// What the driver and the context of a job share.
pub(crate) struct JobControl {
    stop: CancellationToken,
    cause: OnceLock<StopCause>,
    /// Whether the agent must not emit for now.
    held: AtomicBool,
    released: Notify,
}

impl JobControl {
    pub(crate) fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            cause: OnceLock::new(),
            held: AtomicBool::new(false),
            released: Notify::new(),
        }
    }

    pub(crate) fn stop(&self, cause: StopCause) {
        self.cause.get_or_init(|| cause);
        self.stop.cancel();
    }

    pub(crate) fn cause(&self) -> Option<StopCause> {
        self.cause.get().copied()
    }

    pub(crate) async fn stopped(&self) -> StopCause {
        self.stop.cancelled().await;
        self.cause().unwrap_or(StopCause::Cancelled)
    }

    pub(crate) fn hold(&self) {
        self.held.store(true, Ordering::Release);
    }

    pub(crate) fn release(&self) {
        self.held.store(false, Ordering::Release);
        self.released.notify_waiters();
    }

    /// Waits until the agent may emit.
    pub(crate) async fn released(&self) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if !self.held.load(Ordering::Acquire) {
                return;
            }
            released.await;
        }
    }
}

/// Runs the agent of a job to its end and reports it.
pub(crate) async fn supervise(
    driver: Arc<Driver>,
    spec: JobSpec,
    agent: Arc<dyn ErasedAgent>,
    control: Arc<JobControl>,
) {
    let job = spec.job;
    let job_id = spec.job_id.clone();
    let input = spec.input.clone();
    tracing::debug!(%job_id, agent = %spec.agent, "job starts");
    let ctx = JobContext::new(Arc::clone(&driver), spec, control);
    let outcome = match AssertUnwindSafe(agent.run_json(ctx, input)).catch_unwind().await {
        Ok(Ok(result)) => Outcome::Success(result),
        Ok(Err(error)) => {
            tracing::debug!(%job_id, code = %error.code(), "agent failed");
            Outcome::Failure(error.into_payload())
        }
        Err(_) => {
            tracing::error!(%job_id, "agent panicked");
            Outcome::Panicked
        }
    };
    driver.with(|machine, now| machine.finish(now, job, outcome));
    driver.forget_job(job);
}
