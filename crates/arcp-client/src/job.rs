//! A job as its submitter sees it: a stream of events and one outcome.

use std::pin::Pin;
use std::task::{Context, Poll};

use arcp_core::client::JobEnd;
use arcp_proto::job::Accepted;
use arcp_proto::{JobId, Json};
use futures_core::Stream;
use futures_util::StreamExt;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::driver::{Commands, Delivery};
use crate::error::{JobError, RequestError};
use crate::event::Event;

/// A job that was accepted. As a `Stream` it yields its events; the stream ends when the job does.
///
/// **Take the events, or drop the job.** Up to 1,024 of them wait here; beyond that the whole session is not read until
/// some are taken, and in the end the agent waits too. [`Job::result`] takes what is left.
///
/// Dropping a job does not cancel it (§7.4): it runs on at the runtime.
pub struct Job {
    accepted: Box<Accepted>,
    deliveries: mpsc::Receiver<Delivery>,
    end: Option<JobEnd>,
    commands: Commands,
}

impl Job {
    pub(crate) fn new(
        accepted: Box<Accepted>,
        deliveries: mpsc::Receiver<Delivery>,
        commands: Commands,
    ) -> Self {
        Self { accepted, deliveries, end: None, commands }
    }

    /// The job.
    pub fn id(&self) -> &JobId {
        &self.accepted.job_id
    }

    /// What the runtime granted: the resolved agent, the effective lease, the trace (§7.1).
    pub fn accepted(&self) -> &Accepted {
        &self.accepted
    }

    /// Cancels the job (§7.4) and waits until the runtime has acknowledged it. The outcome, `Cancelled` unless the job was
    /// faster, comes from [`Job::result`].
    ///
    /// # Errors
    /// When the runtime refuses, does not answer in time, or the session has ended. The answer comes after the events
    /// before it: it is not seen while those are not taken.
    pub async fn cancel(&self) -> Result<(), RequestError> {
        self.commands.cancel(self.id().clone(), None).await
    }

    /// The same, with a reason that the runtime passes on.
    ///
    /// # Errors
    /// As [`Job::cancel`].
    pub async fn cancel_because(&self, reason: impl Into<String>) -> Result<(), RequestError> {
        self.commands.cancel(self.id().clone(), Some(reason.into())).await
    }

    /// Waits for the end of the job and decodes its result; events that were not taken are let go.
    ///
    /// Dropping the future is safe: it can be called again.
    ///
    /// # Errors
    /// When the job ended without a result, or with one that is no `T`, or the session ended first.
    pub async fn result<T: DeserializeOwned>(&mut self) -> Result<T, JobError> {
        self.result_json().await?.decode().map_err(JobError::Result)
    }

    /// The same, with the result as it came. `null` where the runtime sent none.
    ///
    /// # Errors
    /// As [`Job::result`], but for one that is no `T`.
    pub async fn result_json(&mut self) -> Result<Json, JobError> {
        while self.next().await.is_some() {}
        match &self.end {
            Some(JobEnd::Success(result)) => Ok(result.result.clone().unwrap_or_default()),
            Some(JobEnd::Failure(error)) => Err(JobError::from_wire(error.clone())),
            Some(JobEnd::Unreadable(error)) => Err(JobError::Result(error.clone())),
            _ => Err(JobError::SessionEnded(self.commands.loss())),
        }
    }
}

impl Stream for Job {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.end.is_some() {
            return Poll::Ready(None);
        }
        match self.deliveries.poll_recv(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Delivery::Event(event))) => Poll::Ready(Some(event)),
            Poll::Ready(Some(Delivery::End(end))) => {
                self.end = Some(end);
                Poll::Ready(None)
            }
            Poll::Ready(None) => Poll::Ready(None),
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("accepted", &self.accepted).finish_non_exhaustive()
    }
}
