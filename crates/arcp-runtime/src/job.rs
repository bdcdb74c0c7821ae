//! One running job: its agent's task, and how it is told to wait, to go on and to stop.

use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arcp_core::runtime::{JobKey, JobSpec, Limits, Outcome, StopCause};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::agent::ErasedAgent;
use crate::context::JobContext;
use crate::driver::Driver;
use crate::said::Said;
use crate::within::Within;

/// What the driver and the context of a job share.
pub(crate) struct JobControl {
    stop: CancellationToken,
    cause: OnceLock<StopCause>,
    /// Whether the agent must not emit for now.
    held: AtomicBool,
    released: Notify,
    /// What the machine is yet to be told.
    pub(crate) said: Said,
}

impl JobControl {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            stop: CancellationToken::new(),
            cause: OnceLock::new(),
            held: AtomicBool::new(false),
            released: Notify::new(),
            said: Said::new(limits),
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

    /// The job has ended: what its agent has left behind waits for nothing any more.
    pub(crate) fn end(&self) {
        self.stop.cancel();
        self.release();
    }

    /// Waits until the agent may emit.
    pub(crate) async fn released(&self) {
        while self.held.load(Ordering::Acquire) {
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

/// Reports how a job has ended, however its task ends: no job is left without a terminal message.
struct Supervised {
    driver: Arc<Driver>,
    job: JobKey,
    outcome: Option<Outcome>,
}

impl Drop for Supervised {
    fn drop(&mut self) {
        let outcome = self.outcome.take().unwrap_or(Outcome::Panicked);
        self.driver.with(|machine, now| machine.finish(now, self.job, outcome));
        self.driver.forget_job(self.job);
    }
}

/// Runs the agent of a job to its end and reports it.
pub(crate) async fn supervise(
    driver: Arc<Driver>,
    spec: JobSpec,
    agent: Arc<dyn ErasedAgent>,
    control: Arc<JobControl>,
) {
    let mut supervised = Supervised { driver: Arc::clone(&driver), job: spec.job, outcome: None };
    let job_id = spec.job_id.clone();
    let input = spec.input.clone();
    tracing::debug!(%job_id, agent = %spec.agent, "job starts");
    let span = spec.span.clone();
    let ctx = JobContext::new(driver, spec, control);
    let run = Within::new(span, None, agent.run_json(ctx, input));
    let outcome = match AssertUnwindSafe(run).catch_unwind().await {
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
    supervised.outcome = Some(outcome);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hold_lasts_until_the_release_and_a_release_is_never_lost() {
        let control = JobControl::new(&Limits::default());
        control.released().await;
        control.hold();
        let mut waiting = [std::pin::pin!(control.released()), std::pin::pin!(control.released())];
        for waiting in &mut waiting {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        control.release();
        for waiting in waiting {
            waiting.await;
        }
        control.hold();
        control.release(); // before anybody waits
        control.released().await;
    }

    #[tokio::test]
    async fn a_hold_between_release_and_waking_is_seen() {
        let control = JobControl::new(&Limits::default());
        control.hold();
        let mut waiting = std::pin::pin!(control.released());
        assert!(waiting.as_mut().now_or_never().is_none());
        control.release();
        control.hold();
        assert!(waiting.as_mut().now_or_never().is_none());
        control.release();
        waiting.await;
    }

    #[tokio::test]
    async fn the_first_cause_is_the_one_that_counts() {
        let control = JobControl::new(&Limits::default());
        assert_eq!(control.cause(), None);
        control.stop(StopCause::TimedOut);
        control.stop(StopCause::Cancelled);
        assert_eq!(
            (control.cause(), control.stopped().await),
            (Some(StopCause::TimedOut), StopCause::TimedOut)
        );
        control.hold();
        control.end();
        control.released().await;
        assert_eq!(control.stopped().await, StopCause::TimedOut);
    }
}
