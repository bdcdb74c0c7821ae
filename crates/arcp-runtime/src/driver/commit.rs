//! Committing: what the machine asks to be written goes to the store one batch at a time, and what that makes of the runtime when
//! there is no room, the store fails, or it is closed. How it is opened is in `driver.rs`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::FutureExt;
use futures_util::future::{self, BoxFuture};

use super::{Commit, Driver, State};
use crate::runtime::Health;
use crate::store::{Batch, Epoch, StoreError};

/// The longest pause before a full store is tried again.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Driver {
    /// Waits until everything that has happened is committed, and has the store finish.
    pub(crate) async fn close_store(&self) {
        loop {
            let mut committed = self.committed.subscribe();
            committed.mark_unchanged();
            if self.stop_commits() {
                break;
            }
            tokio::select! {
                _ = committed.changed() => {}
                () = self.failed() => break,
            }
        }
        self.store.close().await;
    }

    /// Commits nothing from now on, unless something is being committed.
    fn stop_commits(&self) -> bool {
        let mut state = self.lock();
        let idle = !matches!(state.commit, Commit::Busy);
        if idle {
            state.commit = Commit::Closed;
        }
        idle
    }

    /// Commits what is to be written. A store that answers at once is answered at once; otherwise a task waits for it.
    pub(super) fn commit(&self, state: &mut State) {
        while let Commit::Idle(epoch) = state.commit {
            let Some(batch) = state.machine.poll_write() else { return };
            let batch = Arc::new(batch);
            let committed = catch_unwind(AssertUnwindSafe(|| {
                let mut commit = self.store.commit(epoch, Arc::clone(&batch));
                match commit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(outcome) => Ok(outcome),
                    Poll::Pending => Err(commit),
                }
            }));
            match committed {
                Ok(Ok(Ok(()))) => self.is_committed(state, batch.position),
                Ok(Ok(Err(full @ StoreError::Full(_)))) => {
                    state.commit = Commit::Busy;
                    self.finish_commit(epoch, batch, future::ready(Err(full)).boxed());
                }
                Ok(Ok(Err(error))) => self.fail(state, error),
                Ok(Err(commit)) => {
                    state.commit = Commit::Busy;
                    self.finish_commit(epoch, batch, commit);
                }
                Err(panic) => self.fail(state, panicked(panic)),
            }
        }
    }

    fn is_committed(&self, state: &mut State, position: u64) {
        state.machine.handle_committed(position);
        self.committed.send_if_modified(|committed| {
            *committed = position;
            self.committed.receiver_count() > 0
        });
    }

    /// Waits for a commit. While the store is full the batch is committed again and again.
    fn finish_commit(
        &self,
        epoch: Epoch,
        batch: Arc<Batch>,
        mut commit: BoxFuture<'static, Result<(), StoreError>>,
    ) {
        let Some(driver) = self.this.upgrade() else { return };
        self.executor.spawn(async move {
            let mut pauses = retries();
            let outcome = loop {
                let outcome = AssertUnwindSafe(commit).catch_unwind().await;
                let outcome = outcome.unwrap_or_else(|panic| Err(panicked(panic)));
                let Err(full @ StoreError::Full(_)) = outcome else { break outcome };
                tracing::error!(
                    error = &full as &dyn std::error::Error,
                    "store is full: jobs end and requests are refused until there is room"
                );
                driver.becomes(Health::Ready, Health::Full);
                driver.with(|machine, now| machine.handle_full(now));
                tokio::time::sleep(pauses.next().unwrap_or(LONGEST_PAUSE)).await;
                commit = driver.store.commit(epoch, Arc::clone(&batch));
            };
            driver.with_state(|state, _| match outcome {
                Ok(()) => {
                    driver.becomes(Health::Full, Health::Ready);
                    state.commit = Commit::Idle(epoch);
                    driver.is_committed(state, batch.position);
                }
                Err(error) => driver.fail(state, error),
            });
        });
    }

    /// Tells of a change of health, unless something else has changed it before.
    pub(super) fn becomes(&self, from: Health, to: Health) {
        self.health.send_if_modified(|health| {
            let changes = *health == from;
            if changes {
                *health = to;
            }
            changes
        });
    }

    /// The store can no longer be relied on: nothing more is promised to anybody.
    pub(super) fn fail(&self, state: &mut State, error: StoreError) {
        tracing::error!(error = &error as &dyn std::error::Error, "store failed, the runtime stops");
        self.failure.get_or_init(|| Arc::new(error));
        state.commit = Commit::Failed;
        self.health.send_replace(Health::Failed);
        for (_, job) in state.jobs.drain() {
            job.control.end();
            job.task.abort();
        }
    }
}

/// How long to wait before a full store is tried again.
fn retries() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(100))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .build()
}

/// A store that panics has failed; what it has written nobody knows.
pub(super) fn panicked(_: Box<dyn Any + Send>) -> StoreError {
    StoreError::Failed("store panicked".into())
}
